"""Convolution in graph wavelets: smooth in the eigenvalue, or with a free number at every node as in GWNN."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import ModuleList, Parameter
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.inits import ones, reset, zeros
from torch_geometric.typing import OptTensor

from graphkit._checks import at_least, laplacian_weights, member, same_graph, to_numpy
from graphkit._kernels.csr_layout import fingerprint
from graphkit._torch_internals import inside_transform
from graphkit.nn.fused import Fused
from graphkit.nn.inputs import check_features, densify, is_tracing
from graphkit.nn.maps import add_bias, apply_linear, matrix_dtype, result_dtype, upcast
from graphkit.nn.spectral.fused_laplacian import warn_of_directed
from graphkit.operators import SparseOperator, chebyshev_sum, laplacian
from graphkit.operators.autograd import is_cacheable
from graphkit.operators.edges import edges_of
from graphkit.operators.feature_matrix import features_of
from graphkit.operators.graph_cache import cached
from graphkit.operators.wavelets import FilterBank, ThresholdedWavelets, heat, thresholded_wavelets
from graphkit.operators.wavelets.filter_bank import one_band
from graphkit.operators.wavelets.kernel_polynomials import (
    apply_polynomials,
    default_order,
    evaluate_polynomials,
    inverting_order,
    kernel_coefficients,
    sum_polynomials,
)
from graphkit.operators.wavelets.shift import shifted_edges, shifted_laplacian
from graphkit.operators.wavelets.transform import check_condition

FORMS = ("bands", "mixed", "gwnn")
LARGEST = 2.0
"""No eigenvalue of a normalised Laplacian is above it."""

LOST = 1e-5
"""Relative error that inverting may leave in single precision; beyond it the published form computes in double."""


class GraphWaveletConv(Fused):
    r"""Convolution by wavelets :math:`\psi_b = g_b(L)`, applied as polynomials: no ``nodes x nodes`` array is made.

    ===========  ===========================================================================================
    ``"bands"``  :math:`X' = \sum_b \psi_b X \Theta_b + b`, a map of the channels for each band
    ``"mixed"``  :math:`X' = \sum_b \theta_b \psi_b X \Theta + b`, one response :math:`\sum_b \theta_b g_b(\lambda)`
    ``"gwnn"``   :math:`X' = \sum_b \psi_b\,\mathrm{diag}(\gamma_b)\,\tilde\psi_b X \Theta + b`, the published form
    ===========  ===========================================================================================

    The first two are functions of the eigenvalue: they belong to no graph, and what was learnt on one is used on
    another. In the published form :math:`\gamma` holds one number per node, so it is tied to the graph it first sees
    and refuses any other. :math:`\tilde\psi` is the true inverse of :math:`\psi` (of the heat kernel
    :math:`e^{+sL}`; the canonical dual where there are several bands), so that with :math:`\gamma = 1`, where it
    starts, the layer is a linear map. Wavelets so wide that their inverse would leave single precision fewer than five
    digits are multiplied by in double precision. Neither public code inverts: one has overwritten the eigenvalues by
    then, the other clips the kernel to 1, and both drop all negative entries with their threshold.

    Isolated nodes have the eigenvalue 0: a heat kernel leaves them as they are.

    Args:
        in_channels, out_channels: features of a node, -1 to learn it from the first input, and of the result.
        scale: :math:`s` of heat kernels :math:`e^{-s\lambda}`, one band for each.
        bank: other kernels in their place, made for ``largest=2``.
        form: see above.
        num_nodes: of the graph that the published form is tied to; no other form takes it.
        normalization: ``"sym"`` or ``"rw"``.
        order: degree of the polynomials. Left out: the smallest within 1e-7 of the kernels, relative to their largest
            value, and for the published form that at which wavelets and inverse cancel within 1e-7, or what float64
            leaves of it; within 1e-3 for kernels that are not smooth, which are Meyer's and itersine.
        threshold: make the wavelets sparse matrices, once per graph, without entries below it; see ``wavelets``.
        bias: whether :math:`b` is there.
        kwargs: of ``MessagePassing``.

    Raises:
        ValueError: for ``"gwnn"`` without ``num_nodes``, or with wavelets too wide to be inverted in float64; in a call
            for negative, infinite or NaN weights.

    Shape:
        ``x`` ``[..., nodes, in_channels]``; ``edge_weight`` ``[edges]``. Returns ``[..., nodes, out_channels]``.

    Source: Xu et al. (2019), arXiv:1904.07785, equations 3 and 6, for ``"gwnn"``; Hammond, Vandergheynst & Gribonval
    (2011), arXiv:0912.3848, for the wavelets.

    Example:
        >>> conv = GraphWaveletConv(3, 2, scale=[0.5, 2.0])
        >>> conv(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 2])
        >>> conv.response(torch.tensor([0.0, 1.0])).shape
        torch.Size([2, 2, 3])
    """

    weight: Any  # of each band, or of each band and node
    graph: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        scale: float | Sequence[float] = (0.5, 1.0, 2.0, 4.0),
        bank: FilterBank | None = None,
        form: str = "bands",
        num_nodes: int | None = None,
        normalization: str = "sym",
        order: int | None = None,
        threshold: float | None = None,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(**kwargs)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.bank = heat(scale, largest=LARGEST) if bank is None else bank
        if self.bank.largest != LARGEST:
            raise ValueError(f"`bank` must be made with `largest=2`, got {self.bank.largest:g}.")
        self.form = member("form", form, FORMS)
        self.normalization = member("normalization", normalization, ("sym", "rw"))
        if threshold is not None and normalization != "sym":
            raise ValueError("`threshold` needs `normalization='sym'`: only symmetric wavelets are mirrored.")
        if (form == "gwnn") != (num_nodes is not None):
            raise ValueError(
                "`num_nodes` must be given with form='gwnn', whose parameters belong to the nodes of one graph, and "
                f"with no other form; got form={form!r} and num_nodes={num_nodes}."
            )
        self.threshold = threshold
        self._condition = check_condition(self.bank, torch.float64) if form == "gwnn" else 1.0
        if order is None and form == "gwnn":  # what float64 leaves of 1e-7 after kernels of such a condition
            left = max(1e-7, 16 * self._condition * torch.finfo(torch.float64).eps)
            order = inverting_order(self.bank, self.bank.dual(), largest=LARGEST, tolerance=left)
        elif order is None:
            order = default_order(self.bank, 1e-7, largest=LARGEST)
        self.order = order
        self._series = _table(self.bank, order)
        self._inverse_series = _table(self.bank.dual(), order) if form == "gwnn" else ()
        maps = self.bank.bands if form == "bands" else 1
        self.lins = ModuleList(
            Linear(in_channels, out_channels, bias=False, weight_initializer="glorot") for _ in range(maps)
        )
        self.num_nodes = num_nodes
        self._bound_graph: int | None = None
        if form == "gwnn":
            self.register_buffer("graph", torch.zeros((), dtype=torch.long))
            self.register_load_state_dict_pre_hook(_forget_graph)
        self.weight = Parameter(torch.empty(self.bank.bands)) if form == "mixed" else None
        if num_nodes is not None:
            self.weight = Parameter(torch.empty(self.bank.bands, at_least("num_nodes", num_nodes, 1)))
        self.register_parameter("bias", Parameter(torch.empty(out_channels)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew and belong to no graph yet."""
        super().reset_parameters()
        reset(self.lins)
        zeros(self.bias)
        ones(self.weight)
        if self.form == "mixed":
            torch.nn.init.constant_(self.weight, 1 / self.bank.bands)
        self._bound_graph = None
        zeros(getattr(self, "graph", None))

    def forward(self, x: Any, edge_index: Any, edge_weight: OptTensor = None) -> Tensor:
        """Return the convolved features."""
        check_features(x, self.lins[0])
        if self.threshold is not None:
            return self._filter_thresholded(features_of(x), edge_index, edge_weight)
        plain = not self.fusible(edge_index, x)
        x = densify(x) if plain else features_of(x)
        dtype = self._exact_dtype(matrix_dtype(x))
        if plain:
            apply: Callable[[Tensor], Tensor] = self._message_product(upcast(x), edge_index, edge_weight, dtype)
        else:
            apply = self._operator(x, edge_index, edge_weight, dtype)
        narrowing = isinstance(x, SparseOperator) or self.out_channels <= x.size(-1)
        filtered = self._filter_bands if self.form == "bands" else self._filter_once
        return add_bias(filtered(apply, x, narrowing), self.bias, fresh=False).to(result_dtype(x, self.bias))

    def _filter_bands(self, apply: Callable[[Tensor], Tensor], x: Any, narrowing: bool) -> Tensor:
        """Return the sum of the bands, each with a map of its own."""
        if narrowing:
            bands = torch.stack([upcast(apply_linear(lin, x)) for lin in self.lins])
            return sum_polynomials(apply, bands, bands.new_tensor(self._series))
        wide = upcast(x)
        bands = apply_polynomials(apply, wide, wide.new_tensor(self._series))
        out = upcast(apply_linear(self.lins[0], bands[0].to(x.dtype)))
        for lin, band in zip(self.lins[1:], bands[1:], strict=True):
            out = out + upcast(apply_linear(lin, band.to(x.dtype)))
        return out

    def _filter_once(self, apply: Callable[[Tensor], Tensor], x: Any, narrowing: bool) -> Tensor:
        """Return the filtered features, mapped before or after."""
        signal = upcast(apply_linear(self.lins[0], x) if narrowing else x)
        signal = self._filter_mixed(apply, signal) if self.form == "mixed" else self._filter_gwnn(apply, signal)
        return signal if narrowing else apply_linear(self.lins[0], signal.to(x.dtype))

    def _filter_mixed(self, apply: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        coefficients = self.weight.to(x.dtype) @ x.new_tensor(self._series)
        return chebyshev_sum(apply, [factor * x for factor in coefficients])

    def _filter_gwnn(self, apply: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        exact = x.to(self._exact_dtype(x.dtype))
        found = apply_polynomials(apply, exact, exact.new_tensor(self._inverse_series))
        weight = self.weight.to(exact.dtype).view(-1, *[1] * (x.dim() - 2), x.shape[-2], 1)
        return sum_polynomials(apply, weight * found, exact.new_tensor(self._series)).to(x.dtype)

    def _exact_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """Return the type in which wavelets are multiplied by: double where the inverse leaves single fewer digits."""
        lost = self._condition * torch.finfo(torch.float32).eps
        return torch.float64 if self.form == "gwnn" and lost > LOST else dtype

    def wavelets(
        self, edge_index: Any, edge_weight: OptTensor = None, *, num_nodes: int, dtype: torch.dtype = torch.float32
    ) -> list[ThresholdedWavelets]:
        """Return the thresholded wavelets of each band, which say what was left out, cached with the graph.

        For the published form those of the inverse follow.
        """
        found = self._wavelets(edge_index, edge_weight, num_nodes, dtype)
        return [replace(part, operator=part.operator._shared_copy()) for part in found]

    def _wavelets(
        self, edge_index: Any, edge_weight: OptTensor, num_nodes: int, dtype: torch.dtype
    ) -> list[ThresholdedWavelets]:
        edges = edges_of(edge_index, edge_weight, flow=self.flow, num_nodes=num_nodes)
        if not is_cacheable(edges.weight):
            raise ValueError("`edge_weight` has a gradient, which thresholded wavelets do not pass on; detach it.")
        banks = [self.bank, self.bank.dual()] if self.form == "gwnn" else [self.bank]

        def build() -> list[ThresholdedWavelets]:
            matrix = laplacian(
                edges.index, edges.weight, num_nodes, normalization=self.normalization, dtype=torch.float64
            )
            bands = [one_band(bank, b) for bank in banks for b in range(bank.bands)]
            threshold, order = self.threshold or 0.0, self.order
            found = [thresholded_wavelets(matrix, band, threshold=threshold, order=order) for band in bands]
            return [part.to(dtype) for part in found]

        form = ("wavelets", num_nodes, self.bank, self.form == "gwnn", self.threshold, self.order, dtype)
        return cached(build, form, edges.index, edges.weight)

    def _filter_thresholded(self, x: Any, edge_index: Any, edge_weight: OptTensor) -> Tensor:
        dtype = self._exact_dtype(matrix_dtype(x))
        found = self._wavelets(edge_index, edge_weight, x.size(-2), dtype)
        operators = [part.operator for part in found]
        if self.form == "gwnn":
            self._bind_to_graph(operators[0], x.size(-2))
        signals = [upcast(apply_linear(lin, x)) for lin in self.lins]
        parts: list[Tensor] = []
        for b in range(self.bank.bands):
            signal = signals[b if self.form == "bands" else 0]
            if self.form == "mixed":
                signal = self.weight[b] * signal
            if self.form == "gwnn":
                signal = self.weight[b].unsqueeze(-1) * (operators[self.bank.bands + b] @ signal.to(dtype))
            parts.append(operators[b] @ signal)
        out = torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]
        return add_bias(out, self.bias, fresh=False).to(result_dtype(x, self.bias))

    def response(self, eigenvalues: Tensor) -> Tensor:
        r"""Return what the layer does at eigenvalues ``[points]`` in [0, 2], polynomials and weights included.

        That is ``[points, out_channels, in_channels]`` for ``"bands"``; ``[points]``, without :math:`\Theta`, for
        ``"mixed"``.

        Raises:
            ValueError: for ``"gwnn"``, which is no function of the eigenvalue.
        """
        if self.form == "gwnn":
            raise ValueError(
                "`form='gwnn'` has a number for each node and no response: it is not a function of the eigenvalue."
            )
        values = evaluate_polynomials(torch.tensor(self._series, dtype=torch.float64), eigenvalues, largest=LARGEST)
        if self.form == "mixed":
            return self.weight.to(values.dtype) @ values
        weights = torch.stack([lin.weight for lin in self.lins]).to(values)  # type: ignore[misc]
        return torch.einsum("bp,boi->poi", values, weights)

    def _operator(self, x: Any, edge_index: Any, edge_weight: OptTensor, dtype: torch.dtype) -> SparseOperator:
        nodes = x.size(-2)
        operator = shifted_laplacian(
            edge_index, edge_weight, num_nodes=nodes, normalization=self.normalization, flow=self.flow, dtype=dtype
        )
        if self.normalization != "rw":
            warn_of_directed(operator, "wavelets of it are not functions")
        if self.form == "gwnn":
            self._bind_to_graph(operator, nodes)
        return operator

    def _bind_to_graph(self, operator: SparseOperator, nodes: int) -> None:
        """Belong to the first graph, and refuse another."""

        def build() -> int:
            columns, pointers = to_numpy(operator.pattern._indices), to_numpy(operator.pattern._indptr)
            words = torch.from_numpy(columns).long(), torch.from_numpy(pointers).long()
            return int(fingerprint(torch.cat(words).numpy())) % 2**62 + 1  # 0 stands for no graph yet

        found = cached(build, "places", operator.pattern)
        known = found if self._bound_graph == found else int(self.graph)  # reading a buffer waits for an accelerator
        same_graph("form='gwnn'", self.num_nodes or 0, nodes, known in (0, found))
        if self._bound_graph is None:
            self.graph.fill_(found)
            self._bound_graph = found

    def _message_product(
        self, x: Any, edge_index: Any, edge_weight: OptTensor, dtype: torch.dtype
    ) -> Callable[[Tensor], Tensor]:
        """Return the product with :math:`L - I` by message passing, in operations that can be traced."""
        nodes = x.size(-2)
        edge_index, edge_weight = self.edges(edge_index, edge_weight, num_nodes=nodes)
        if self.form == "gwnn":
            same_graph("form='gwnn'", self.num_nodes or 0, nodes, True)
        if edge_weight is not None and not (is_tracing() or inside_transform()):
            laplacian_weights(edge_weight)
        weight = x.new_ones(edge_index.size(1)) if edge_weight is None else edge_weight.flatten()
        weight = weight.to(dtype)
        norm, isolated = shifted_edges(edge_index, weight, nodes, self.normalization, self.flow)
        return lambda v: self.propagate(edge_index, x=v, norm=norm) - isolated * v

    def message(self, x_j: Tensor, norm: Tensor) -> Tensor:
        """Return each edge's source features times its entry of the shifted Laplacian."""
        return norm.view(-1, 1) * x_j

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, {self.bank.name}, "
            f"bands={self.bank.bands}, form={self.form}, order={self.order})"
        )


def _forget_graph(layer: Any, *_: Any) -> None:
    """Look at the buffer anew: weights that are loaded may belong to another graph."""
    layer._bound_graph = None


def _table(bank: FilterBank, order: int) -> tuple[tuple[float, ...], ...]:
    """Return the coefficients as numbers: a buffer would be rounded with the layer's type."""
    return tuple(map(tuple, kernel_coefficients(bank, order, largest=LARGEST).tolist()))

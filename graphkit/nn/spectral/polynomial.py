"""Graph convolution whose response is a learnt polynomial, in any of nine bases."""

from collections.abc import Callable
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.inits import reset, zeros
from torch_geometric.typing import OptTensor

from graphkit._checks import at_least, laplacian_weights, member, positive, rescaling_eigenvalue, symmetric_operator
from graphkit._torch_internals import inside_transform, is_wrapped, unwrap
from graphkit.nn.inputs import check_features, densify, is_tracing
from graphkit.nn.maps import add_bias, apply_linear, result_dtype, upcast
from graphkit.nn.spectral.fused_laplacian import FusedLaplacian
from graphkit.operators import SparseOperator, chebyshev_sum
from graphkit.operators.autograd import is_cacheable, outside_transforms
from graphkit.operators.edges import edges_of
from graphkit.operators.feature_matrix import features_of
from graphkit.operators.graph_cache import cached
from graphkit.operators.polynomials import cayley_series, cayley_values, chebyshev_filter, optimal_terms
from graphkit.operators.polynomials.cayley import cayley_degree
from graphkit.operators.polynomials.polynomial_bases import chebyshev_table, check_jacobi

FILTERS = ("monomial", "chebyshev", "chebii", "bernstein", "jacobi", "legendre", "even", "optbasis", "cayley")
VALUES = ("bernstein", "chebii")
"""Bases whose coefficients are, or control, values of the response: what is not negative there stays so."""
DESCENDING = ("monomial", "jacobi", "legendre", "even", "optbasis")
"""Bases whose variable falls with frequency, 1 - 2 lambda / lambda_max: that of the adjacency, as their authors'."""

ACCURACY = (1e-6, 1e-11)
"""How far each term of a Cayley filter is from its polynomial at most, in single precision and in float64."""


class Coefficients(nn.Module):
    r"""Coefficients of a filter, turned into Chebyshev's of :math:`2\lambda/\lambda_{max} - 1` whatever their basis.

    Filters start as the identity; ``"monomial"`` with ``alpha`` as :math:`\sum_k \alpha (1-\alpha)^k \hat A^k`.

    Args:
        order, basis, a, b, alpha, nonnegative, zoom, degree: as of ``PolynomialConv``; a degree of ``None`` is what the
            zoom, as it is now, needs for :data:`ACCURACY`.
        channels: filters, one for each channel; 0 for one filter of all channels.

    Source: Wang & Zhang (2022), arXiv:2205.11172, for the factors; Chien et al. (2021), arXiv:2006.07988, for the
    start by PageRank.

    Example:
        >>> Coefficients(2, "chebyshev").chebyshev().tolist()
        [1.0, 0.0, 0.0]
    """

    def __init__(
        self,
        order: int,
        basis: str,
        channels: int = 0,
        *,
        a: float = 1.0,
        b: float = 1.0,
        alpha: float | None = None,
        nonnegative: bool = True,
        zoom: float = 1.0,
        degree: int | None = None,
    ) -> None:
        super().__init__()
        self.order, self.basis, self.channels = at_least("order", order, 0), member("basis", basis, FILTERS), channels
        self.a, self.b = check_jacobi(a, b)
        self.alpha = None if alpha is None else positive("alpha", alpha)
        if alpha is not None and basis not in ("jacobi", "monomial"):
            raise ValueError(f"`alpha` belongs to basis='jacobi' and 'monomial' and says nothing of {basis!r}.")
        self.nonnegative = nonnegative and basis in VALUES
        self.start, self._fixed_degree = positive("zoom", zoom), degree is not None
        self.degree = at_least("degree", degree, 1) if degree is not None else cayley_degree(order, zoom, ACCURACY[0])
        terms = 2 * order + 1 if basis == "cayley" else order + 1
        self.weight = Parameter(torch.empty(terms, channels) if channels else torch.empty(terms))
        damped = basis == "jacobi" and alpha is not None
        self.factor = Parameter(torch.empty(order)) if damped else None
        self.zoom = Parameter(torch.empty(())) if basis == "cayley" else None
        sign = -1.0 if basis in DESCENDING else 1.0
        known = basis if basis not in ("cayley", "optbasis") else "monomial"
        self._table = chebyshev_table(known, order, a=self.a, b=self.b, sign=sign)  # a buffer would be rounded
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as the identity, as PageRank, or for damped Jacobi terms with ones, as the authors do."""
        with torch.no_grad():
            if self.basis in VALUES or self.factor is not None:
                self.weight.fill_(1.0)
            else:
                self.weight.zero_()
                self.weight[0] = 1.0
            if self.basis == "monomial" and self.alpha is not None:
                powers = [self.alpha * (1 - self.alpha) ** k for k in range(self.order)]
                start = self.weight.new_tensor([*powers, (1 - self.alpha) ** self.order])
                self.weight.copy_(start.view(-1, *[1] * (self.weight.dim() - 1)).expand_as(self.weight))
            if self.factor is not None and self.alpha is not None:
                self.factor.fill_(min(1 / self.alpha, 1.0))
            if self.zoom is not None:
                self.zoom.fill_(self.start)

    def chebyshev(self, dtype: torch.dtype | None = None) -> Tensor:
        """Return Chebyshev's coefficients, ``[degree + 1]`` or ``[degree + 1, channels]``."""
        weight = self.weight if dtype is None else self.weight.to(dtype)
        if self.basis == "chebyshev":
            return weight
        if self.zoom is not None:
            return cayley_series(weight, self.zoom.to(weight.dtype), degree=self._required_degree(weight.dtype))
        weight = weight.relu() if self.nonnegative else weight
        if self.factor is not None and self.alpha is not None:
            damping = torch.cat((weight.new_ones(1), (self.alpha * torch.tanh(self.factor)).to(weight.dtype)))
            # Operation by operation where it is traced: ONNX knows no running product.
            damping = torch.stack(list(accumulate(damping, mul))) if is_tracing() else torch.cumprod(damping, 0)
            weight = weight * (damping.unsqueeze(-1) if self.channels else damping)
        return torch.tensordot(self._table.to(weight), weight, dims=1)

    def _required_degree(self, dtype: torch.dtype) -> int:
        """Return the degree of a Cayley filter's polynomial; where no number can be looked at, the one known last.

        Of several tasks under ``vmap`` it is what the largest zoom needs.
        """
        zoom: Any = self.zoom
        if zoom is not None and not (self._fixed_degree or torch.compiler.is_compiling()):
            while is_wrapped(zoom):
                zoom = unwrap(zoom)
            with outside_transforms():
                largest = float(zoom.detach().abs().max())
            self.degree = cayley_degree(self.order, largest, ACCURACY[dtype == torch.float64])
        return self.degree

    def forward(self, points: Tensor) -> Tensor:
        """Return the response at points of [-1, 1], ``[points]`` or ``[points, channels]``."""
        factors = self.chebyshev(points.dtype)
        points = points.unsqueeze(-1) if self.channels else points
        return chebyshev_sum(lambda v: points * v, [factor + torch.zeros_like(points) for factor in factors])

    def extra_repr(self) -> str:
        """Return what ``str`` shows."""
        return f"order={self.order}, basis={self.basis}"


class PolynomialConv(FusedLaplacian, MessagePassing):
    r"""Polynomial filter :math:`X' = \sum_k c_k P_k(L) X \Theta + b`, with one :math:`c` or one for each channel.

    ==============  ================================================================================================
    ``monomial``    :math:`\hat A^k`, GPR-GNN; ``alpha`` lets it start as personalised PageRank
    ``chebyshev``   :math:`T_k(\tilde L)`
    ``chebii``      Chebyshev's, by their values at Chebyshev's nodes (ChebNetII)
    ``bernstein``   Bernstein's on the interval :math:`[0, \lambda_{max}]` (BernNet)
    ``jacobi``      :math:`P_k^{a,b}(\hat A)` (JacobiConv)
    ``legendre``    :math:`P_k^{0,0}(\hat A)`
    ``even``        :math:`\hat A^{2k}`, degree 2 ``order`` (EvenNet)
    ``optbasis``    orthonormal for each channel of the signal itself (OptBasisGNN)
    ``cayley``      :math:`c_0 + 2\,\mathrm{Re} \sum_k c_k ((hL - i)(hL + i)^{-1})^k`, h learnt (CayleyNet)
    ==============  ================================================================================================

    :math:`\tilde L = 2L/\lambda_{max} - I` and :math:`\hat A = -\tilde L`, without self-loops. Every fixed basis is
    turned into Chebyshev's by a small matrix and summed by Clenshaw's recurrence: as many products as the degree, and
    no term is kept for the gradient of its coefficient. ``optbasis`` keeps them, and takes a batch of graphs as one
    signal; its terms are scaled by the channel's norm, so that a multiple of a signal gives that multiple. A Cayley
    filter is its polynomial of ``degree``; ``series_error`` says how far that is from it.

    The official codes keep all terms, Bernstein's takes a quadratic number of products, and GPR-GNN's adjacency has
    self-loops.

    Args:
        in_channels, out_channels: features of a node, -1 to learn it from the first input, and of the result.
        order: of the last term, at least 0.
        basis: one of the above.
        normalization: ``"sym"``, ``"rw"`` or ``None`` for the combinatorial Laplacian.
        per_channel: a filter of its own for each output channel.
        a, b: exponents of ``"jacobi"``, above -1.
        alpha: of ``"jacobi"``, the bound of its factors :math:`\alpha\tanh\eta_l`, of which term k has k; or of the
            start of ``"monomial"``, :math:`\sum_k \alpha (1-\alpha)^k \hat A^k`.
        nonnegative: rectify the coefficients of ``"bernstein"`` and ``"chebii"``, as their authors do.
        zoom: where h starts.
        degree: of the polynomial that evaluates ``"cayley"``; ``None`` for one that follows the order and the zoom, so
            that each term is right to 1e-6, in float64 to 1e-11.
        linear: whether :math:`\Theta` is there; without it ``in_channels`` and ``out_channels`` must agree.
        bias: whether :math:`b` is there.
        kwargs: of ``MessagePassing``.

    Raises:
        ValueError: for an unknown basis, a negative order, exponents of -1 or below; in a call for negative or NaN
            weights, and for a directed graph where the basis needs a symmetric operator (``"optbasis"``).

    Shape:
        ``x`` ``[..., nodes, in_channels]``; ``edge_weight`` ``[edges]``; ``batch`` ``[nodes]``; ``lambda_max`` one
        number or ``[graphs]``. Returns ``[..., nodes, out_channels]``.

    Source: Chien et al. (2021), arXiv:2006.07988; He et al. (2021), arXiv:2106.10994; He, Wei & Wen (2022),
    arXiv:2202.03580; Wang & Zhang (2022), arXiv:2205.11172; Lei et al. (2022), arXiv:2205.13892; Guo & Wei (2023),
    arXiv:2302.12432; Levie et al. (2017), arXiv:1705.07664.

    Example:
        >>> conv = PolynomialConv(3, 2, 10, basis="jacobi")
        >>> conv(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 2])
        >>> conv.response(torch.tensor([0.0, 1.0, 2.0])).tolist()  # it starts as the identity
        [1.0, 1.0, 1.0]
    """

    lin: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        order: int,
        basis: str = "monomial",
        *,
        normalization: str | None = "sym",
        per_channel: bool = False,
        a: float = 1.0,
        b: float = 1.0,
        alpha: float | None = None,
        nonnegative: bool = True,
        zoom: float = 1.0,
        degree: int | None = None,
        linear: bool = True,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(**kwargs)
        if normalization not in ("sym", "rw", None):
            raise ValueError(f"`normalization` {normalization!r} is not known. Known: 'rw', 'sym', None.")
        if basis == "optbasis" and normalization == "rw":
            raise ValueError("`normalization='rw'` is not symmetric, and basis='optbasis' needs that; take 'sym'.")
        if not linear and in_channels != out_channels:
            raise ValueError(
                f"`linear=False` needs as many output as input channels, got {in_channels} and {out_channels}."
            )
        self.in_channels, self.out_channels, self.normalization = in_channels, out_channels, normalization
        self.order, self.basis = order, basis
        channels = out_channels if per_channel or basis == "optbasis" else 0
        self.filter = Coefficients(
            order, basis, channels, a=a, b=b, alpha=alpha, nonnegative=nonnegative, zoom=zoom, degree=degree
        )
        self.lin = Linear(in_channels, out_channels, bias=False, weight_initializer="glorot") if linear else None
        self.register_parameter("bias", Parameter(torch.empty(out_channels)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew; the filter starts as it did."""
        super().reset_parameters()
        reset(self.lin)
        reset(self.filter)
        zeros(self.bias)

    def forward(
        self, x: Any, edge_index: Any, edge_weight: OptTensor = None, batch: OptTensor = None, lambda_max: Any = None
    ) -> Tensor:
        """Return the filtered features."""
        check_features(x, self.lin, width=self.in_channels)
        self._check_batch(x, batch, lambda_max)
        plain = not self.fusible(edge_index, x)
        x = densify(x) if plain else features_of(x)
        checked = None if is_tracing() else self._checked_laplacian(x, edge_index, edge_weight, batch, lambda_max)
        apply: Callable[[Tensor], Tensor] | None = checked
        if plain or apply is None:
            kind = upcast(x).dtype
            index, norm = self._rescaled_edges(edge_index, edge_weight, x.size(-2), batch, lambda_max, kind)
            apply = lambda v: self.propagate(index, x=v, norm=norm)  # noqa: E731
        kind = result_dtype(x, self.bias)
        if self.lin is not None:
            x = apply_linear(self.lin, x)
        elif isinstance(x, SparseOperator):
            x = x.to_dense()
        return add_bias(self._apply_filter(apply, upcast(x)), self.bias, fresh=False).to(kind)

    def message(self, x_j: Tensor, norm: Tensor) -> Tensor:
        """Return each edge's source features times its entry of the rescaled Laplacian."""
        return norm.view(-1, 1) * x_j

    def _apply_filter(self, apply: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if self.basis != "optbasis":
            return chebyshev_filter(apply, self.filter.chebyshev(), x)
        terms, steps = optimal_terms(lambda v: -apply(v), x, self.order)
        scale = steps[0][3]
        parts = [factor * scale * term for factor, term in zip(self.filter.weight.to(x.dtype), terms, strict=True)]
        return torch.stack(parts).sum(0)

    def _checked_laplacian(
        self, x: Any, edge_index: Any, edge_weight: OptTensor, batch: OptTensor, lambda_max: Any
    ) -> SparseOperator:
        given = edges_of(edge_index, edge_weight, flow=self.flow).weight
        if given is not None and not inside_transform():
            if is_cacheable(given):
                cached(lambda: laplacian_weights(given), "frequencies", given)
            else:
                laplacian_weights(given)
        operator = self._operator(x, edge_index, edge_weight, batch, lambda_max)
        if self.basis == "optbasis" and operator.constant:
            symmetric_operator("edge_index", operator.symmetric)
        return operator

    def response(self, eigenvalues: Tensor, *, largest: float | None = None) -> Tensor:
        r"""Return the filter at eigenvalues of the Laplacian, without :math:`\Theta`.

        Args:
            eigenvalues: ``[points]``, in [0, ``largest``].
            largest: :math:`\lambda_{max}`, as the layer takes it: 2 when left out, with a normalisation.

        Returns:
            ``[points]``, or ``[points, out_channels]`` for filters per channel.

        Raises:
            ValueError: for ``"optbasis"``, whose polynomials come from the signal; see ``response_to``. Without a
                normalisation where ``largest`` is left out.
        """
        if self.basis == "optbasis":
            raise ValueError("`basis='optbasis'` has no response without a signal; use `response_to`.")
        return self.filter(2 * eigenvalues / rescaling_eigenvalue(self.normalization, largest) - 1)

    def response_to(
        self,
        eigenvalues: Tensor,
        x: Any,
        edge_index: Any,
        edge_weight: OptTensor = None,
        *,
        largest: float | None = None,
    ) -> Tensor:
        """Return the response that the signal ``x [nodes, in_channels]`` on a graph meets, for every basis.

        ``eigenvalues``, ``largest`` and the result are as for ``response``.
        """
        largest = rescaling_eigenvalue(self.normalization, largest)
        if self.basis != "optbasis":
            return self.response(eigenvalues, largest=largest)
        x = features_of(x)
        operator = self._checked_laplacian(
            x, edge_index, edge_weight, None, None if self.normalization and largest == 2.0 else largest
        )
        signal = apply_linear(self.lin, x) if self.lin is not None else x
        _, steps = optimal_terms(lambda v: -(operator @ v), signal, self.order)
        # The three-term recurrence that made the terms from the signal, now in the eigenvalue.
        variable = (1 - 2 * eigenvalues / largest).unsqueeze(-1)
        before, now = torch.zeros_like(variable), torch.ones_like(variable)
        found = self.filter.weight[0] * (steps[0][2] * steps[0][3])
        for factor, (alpha, beta, inverse, _) in zip(self.filter.weight[1:], steps[1:], strict=True):
            before, now = now, ((variable - alpha) * now - beta * before) * inverse
            found = found + factor * now
        return found.expand(len(eigenvalues), -1)

    def series_error(self, points: int = 1000) -> float:
        """Return how far a Cayley filter's polynomial is from it, at most, on [0, 2]; 0 for other bases."""
        if self.filter.zoom is None:
            return 0.0
        eigenvalues = torch.linspace(0, 2, points, dtype=torch.float64)
        self.filter.chebyshev()  # the zoom decides the degree
        weight, zoom = self.filter.weight.detach().double().cpu(), float(self.filter.zoom.detach())
        exact = torch.tensordot(cayley_values(eigenvalues, self.order, zoom), weight, dims=1)
        found = torch.tensordot(
            torch.cos(torch.arccos(eigenvalues - 1).unsqueeze(-1) * torch.arange(self.filter.degree + 1)),
            cayley_series(weight, zoom, degree=self.filter.degree),
            dims=1,
        )
        return float((exact - found).abs().max())

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, order={self.order}, basis={self.basis}, "
            f"normalization={self.normalization})"
        )

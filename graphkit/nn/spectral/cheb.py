"""Chebyshev spectral graph convolution."""

from collections.abc import Callable
from typing import Any

import torch
import torch_geometric.nn
from torch import Tensor
from torch_geometric.typing import OptTensor

from graphkit._checks import member, rescaling_eigenvalue
from graphkit.nn.inputs import check_features, densify
from graphkit.nn.maps import apply_linear, initialize_lazy, is_half, result_dtype, upcast
from graphkit.nn.spectral.fused_laplacian import FusedLaplacian
from graphkit.operators import SparseOperator, chebyshev_sum, chebyshev_terms
from graphkit.operators.feature_matrix import features_of, linear


class ChebConv(FusedLaplacian, torch_geometric.nn.ChebConv):
    r"""Chebyshev filter :math:`X' = \sum_{k < K} T_k(\tilde L) X \Theta_k + b` with :math:`\tilde L = 2L/\lambda - I`.

    PyG's layer, with a faster way. It differs, on both ways, where PyG 2.8.1 is wrong:

    - ``normalization="rw"`` applies :math:`I - D^{-1}A`, not its transpose;
    - without normalisation and ``lambda_max`` a graph's result does not depend on the other graphs of its batch;
    - an empty graph has an empty result, and ``torch.sparse`` matrices are taken;
    - a directed graph, whose "symmetric" Laplacian is not symmetric and whose filter is therefore no function of
      frequencies, is warned of. Degrees are those of incoming edges there.

    Where the layer narrows, the features are mapped first and Clenshaw's recurrence runs on the narrow side; a sparse
    ``x`` stays sparse up to that map.

    Args:
        in_channels, out_channels: features of a node, -1 to learn it from the first input, and of the result.
        K: number of terms, at least 1; the filter reaches :math:`K - 1` hops.
        normalization: ``"sym"``, ``"rw"`` or ``None`` for the combinatorial Laplacian.
        bias: whether :math:`b` is there.
        kwargs: of ``MessagePassing``.

    Raises:
        ValueError: for ``K`` below 1; in a call for a ``batch`` or ``lambda_max`` that does not fit or is none, and
            under ``"sym"`` for weights that give a node a negative degree, whose root is NaN in PyG.

    Shape:
        ``x`` ``[..., nodes, in_channels]``; ``edge_weight`` ``[edges]``; ``batch`` ``[nodes]``; ``lambda_max``
        one number or ``[graphs]``. Returns ``[..., nodes, out_channels]``.

    Source: Defferrard, Bresson & Vandergheynst (2016), arXiv:1606.09375, equation 4.

    Example:
        >>> conv = ChebConv(3, 2, K=3)
        >>> conv(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        K: int,
        normalization: str | None = "sym",
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        if K < 1:
            raise ValueError(f"`K` must be at least 1, got {K}.")
        if normalization is not None:
            member("normalization", normalization, ("sym", "rw"))
        super().__init__(in_channels, out_channels, K, normalization, bias, **kwargs)

    # propagate_type: (x: Tensor, norm: Tensor)

    def forward(
        self, x: Any, edge_index: Any, edge_weight: OptTensor = None, batch: OptTensor = None, lambda_max: Any = None
    ) -> Tensor:
        """Return the filtered features."""
        check_features(x, self.lins[0])
        self._check_batch(x, batch, lambda_max)
        if not self.fusible(edge_index, x):
            for lin in self.lins:  # of which PyG calls all but two without the hook that makes weights
                initialize_lazy(lin, x)
            index, weight = self.edges(edge_index, edge_weight, num_nodes=x.size(-2))
            return super().forward(densify(x), index, weight, batch, lambda_max)
        x = features_of(x)
        apply = self._operator(x, edge_index, edge_weight, batch, lambda_max)
        if isinstance(x, SparseOperator) or self.out_channels <= x.size(-1):
            return self._filter_narrow(apply, x)
        if is_half(x):
            terms = chebyshev_terms(apply, upcast(x), len(self.lins))
            return self._sum_single([lin(term.to(x.dtype)) for lin, term in zip(self.lins, terms, strict=True)], sum)
        first, *rest = self.lins
        terms = chebyshev_terms(apply, x, len(self.lins))
        out = apply_linear(first, terms[0], self.bias)
        for lin, term in zip(rest, terms[1:], strict=True):
            out = apply_linear(lin, term, plus=out)
        return out

    def __norm__(
        self,
        edge_index: Any,
        num_nodes: int | None,
        edge_weight: OptTensor,
        normalization: str | None,
        lambda_max: Any = None,
        dtype: Any = None,
        batch: OptTensor = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the rescaled Laplacian as the edges and weights that PyG's layer sends messages over."""
        nodes = len(edge_index) if num_nodes is None else num_nodes
        return self._rescaled_edges(edge_index, edge_weight, nodes, batch, lambda_max, dtype)

    def _filter_narrow(self, apply: Callable[[Tensor], Tensor], x: Any) -> Tensor:
        """Return the filtered features, mapped before they are multiplied."""
        lins: list[Any] = list(self.lins)
        if is_half(x):
            return self._sum_single([lin(x) for lin in lins], lambda signals: chebyshev_sum(apply, signals))
        for lin in lins:
            initialize_lazy(lin, x)
        weights: list[Tensor] = [lin.weight for lin in lins]
        if len(weights) > 2:
            weights[-3] = weights[-3] - weights[-1]
        biases: list[OptTensor] = [self.bias, *[None] * (len(weights) - 1)]
        signals = [linear(x, weight, bias) for weight, bias in zip(weights, biases, strict=True)]
        return chebyshev_sum(apply, signals, reduced=True)

    def _sum_single(self, signals: list[Tensor], combine: Callable[[list[Tensor]], Any]) -> Tensor:
        """Return half-precision signals combined, and the bias, in single precision; only the result is rounded."""
        out = combine([upcast(signal) for signal in signals])
        out = out if self.bias is None else out + self.bias
        return out.to(result_dtype(signals[0], self.bias))

    def response(self, eigenvalues: Tensor, *, largest: float | None = None) -> Tensor:
        r"""Return :math:`\sum_k T_k(2\lambda/\lambda_{max} - 1) \Theta_k`, ``[points, out_channels, in_channels]``.

        Under ``"sym"`` and ``"rw"`` an isolated node has the eigenvalue 1 here, as in PyG.

        Args:
            eigenvalues: of the Laplacian, ``[points]``, in [0, ``largest``].
            largest: :math:`\lambda_{max}`, as the layer takes it: 2 when left out, with a normalisation.

        Raises:
            ValueError: without a normalisation where ``largest`` is left out.
        """
        at = (2 * eigenvalues / rescaling_eigenvalue(self.normalization, largest) - 1).view(-1, 1, 1)
        weights: list[Any] = [lin.weight for lin in self.lins]
        return chebyshev_sum(lambda v: at * v, [weight.to(at.dtype) + torch.zeros_like(at) for weight in weights])

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, K={len(self.lins)}, "
            f"normalization={self.normalization})"
        )

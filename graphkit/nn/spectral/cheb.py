"""Chebyshev spectral graph convolution."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.inits import reset, zeros
from torch_geometric.typing import OptTensor
from torch_geometric.utils import is_sparse

from graphkit._checks import member
from graphkit.nn.abstract import AbstractGraphConv, bare, mapped, materialized, plain_features
from graphkit.operators import SparseOperator, chebyshev_sum, chebyshev_terms, rescaled_laplacian
from graphkit.operators.dense import linear
from graphkit.operators.features import features_of
from graphkit.operators.normalization import inverse_power
from graphkit.operators.pattern import rememberable
from graphkit.operators.prepared import edges_of


class ChebConv(AbstractGraphConv):
    r"""Chebyshev filter :math:`X' = \sum_{k < K} T_k(\tilde L) X \Theta_k + b` with :math:`\tilde L = 2L/\lambda - I`.

    The drop-in counterpart of PyG's layer: same arguments and parameters (``lins.k.weight``, ``bias``), and its
    numbers on undirected graphs. It differs where PyG 2.8.1 is wrong:

    - ``normalization="rw"`` applies :math:`I - D^{-1}A`, not its transpose;
    - without normalisation and ``lambda_max`` a graph's result does not depend on the other graphs of its batch;
    - an empty graph has an empty result, and ``torch.sparse`` matrices are taken;
    - a directed graph, whose "symmetric" Laplacian is not symmetric and whose filter is therefore no function of
      frequencies, is warned of. Degrees are those of incoming edges there.

    Where the layer narrows, the features are mapped first and Clenshaw's recurrence runs on the narrow side; a sparse
    ``x`` stays sparse up to that map.

    Args:
        in_channels: features of a node; -1 to learn it from the first input.
        out_channels: features of the result.
        K: number of terms, at least 1; the filter reaches :math:`K - 1` hops.
        normalization: ``"sym"``, ``"rw"`` or ``None`` for the combinatorial Laplacian.
        bias: whether :math:`b` is there.
        kwargs: of ``MessagePassing``.

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
        kwargs.setdefault("aggr", "add")
        super().__init__(**kwargs)
        if K < 1:
            raise ValueError(f"`K` must be at least 1, got {K}.")
        if normalization is not None:
            member("normalization", normalization, ("sym", "rw"))
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.normalization = normalization
        self.lins = torch.nn.ModuleList(
            Linear(in_channels, out_channels, bias=False, weight_initializer="glorot") for _ in range(K)
        )
        if bias:
            self.bias = Parameter(torch.empty(out_channels))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        super().reset_parameters()
        reset(self.lins)
        zeros(self.bias)

    def forward(
        self,
        x: Any,
        edge_index: Any,
        edge_weight: OptTensor = None,
        batch: OptTensor = None,
        lambda_max: Any = None,
    ) -> Tensor:
        """Return the filtered features."""
        plain = self._plain(edge_index)
        x = plain_features(x) if plain else features_of(x)
        if plain:
            apply: Callable[[Tensor], Tensor] = self._propagation(x, edge_index, edge_weight, batch, lambda_max)
        else:
            apply = self._operator(x, edge_index, edge_weight, batch, lambda_max)
        if isinstance(x, SparseOperator) or self.out_channels <= x.size(-1):
            if all(bare(lin) for lin in self.lins):
                return self._narrowed(apply, x)
            return chebyshev_sum(apply, [mapped(self.lins[0], x, self.bias), *(lin(x) for lin in self.lins[1:])])
        first, *rest = self.lins
        terms = chebyshev_terms(apply, x, len(self.lins))
        out = mapped(first, terms[0], self.bias)
        for lin, term in zip(rest, terms[1:], strict=True):
            out = out + lin(term) if plain else mapped(lin, term, plus=out)
        return out

    def _narrowed(self, apply: Callable[[Tensor], Tensor], x: Any) -> Tensor:
        """Return the filtered features, mapped before they are multiplied."""
        lins: list[Any] = list(self.lins)
        for lin in lins:
            materialized(lin, x)
        weights: list[Tensor] = [lin.weight for lin in lins]
        if len(weights) > 2:
            weights[-3] = weights[-3] - weights[-1]
        biases: list[OptTensor] = [self.bias, *[None] * (len(weights) - 1)]
        signals = [linear(x, weight, bias) for weight, bias in zip(weights, biases, strict=True)]
        return chebyshev_sum(apply, signals, reduced=True)

    def _operator(
        self, x: Any, edge_index: Any, edge_weight: OptTensor, batch: OptTensor, lambda_max: Any
    ) -> SparseOperator:
        operator = rescaled_laplacian(
            edge_index,
            edge_weight,
            num_nodes=x.size(-2),
            normalization=self.normalization,
            largest=lambda_max,
            batch=batch,
            flow=self.flow,
            dtype=x.dtype if x.dtype == torch.float64 else torch.float32,
        )
        if self.normalization != "rw" and rememberable(operator.values) and not operator.symmetric:
            warnings.warn(
                "`edge_index` is directed or its weights differ by direction: its Laplacian is not symmetric and a "
                "Chebyshev filter of it is not a function of frequencies. Make it undirected "
                "(torch_geometric.utils.to_undirected) unless you mean this.",
                stacklevel=3,
            )
        return operator

    def _propagation(
        self, x: Any, edge_index: Any, edge_weight: OptTensor, batch: OptTensor, lambda_max: Any
    ) -> Callable[[Tensor], Tensor]:
        """Return the product with the rescaled Laplacian by message passing, in operations that can be traced."""
        nodes = x.size(-2)
        if isinstance(edge_index, SparseOperator) or is_sparse(edge_index):
            edges = edges_of(edge_index, edge_weight, flow=self.flow)
            edge_index, edge_weight = edges.index, edges.weight
        target = edge_index[1 if self.flow == "source_to_target" else 0]
        weight = x.new_ones(edge_index.size(1)) if edge_weight is None else edge_weight.to(x.dtype)
        weight = torch.where(edge_index[0] == edge_index[1], 0, weight)
        degree = x.new_zeros(nodes).index_add(0, target, weight)
        if self.normalization == "sym":
            root = inverse_power(degree, 0.5)
            weight = weight * root[edge_index[0]] * root[edge_index[1]]
        elif self.normalization == "rw":
            weight = weight * inverse_power(degree, 1.0)[target]
        diagonal = degree if self.normalization is None else torch.ones_like(degree)
        if lambda_max is None and self.normalization is not None:
            largest = x.new_full((1,), 2.0)
        elif lambda_max is None:
            graph = target.new_zeros(nodes) if batch is None else batch
            radius = degree + x.new_zeros(nodes).index_add(0, target, weight.abs())
            largest = x.new_zeros(max(nodes, 1)).scatter_reduce(0, graph, radius, "amax")[graph]
        else:
            largest = torch.as_tensor(lambda_max, dtype=x.dtype, device=x.device).reshape(-1)
            largest = largest[batch] if batch is not None and largest.numel() > 1 else largest
        scale = 2 * inverse_power(largest, 1.0).expand(nodes)
        norm, diagonal = -weight * scale[target], (scale * diagonal - 1).unsqueeze(-1)
        return lambda v: self.propagate(edge_index, x=v, norm=norm) + diagonal * v

    def message(self, x_j: Tensor, norm: Tensor) -> Tensor:
        """Return each edge's source features times its entry of the rescaled Laplacian."""
        return norm.view(-1, 1) * x_j

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, K={len(self.lins)}, "
            f"normalization={self.normalization})"
        )

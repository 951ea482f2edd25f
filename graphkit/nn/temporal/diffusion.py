"""Diffusion convolution: random walks along the edges and against them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import ModuleList, Parameter
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.inits import reset, zeros
from torch_geometric.typing import OptTensor

from graphkit._checks import at_least, flag
from graphkit.nn.fused import Fused
from graphkit.nn.inputs import check_features, densify
from graphkit.nn.maps import apply_linear, initialize_lazy, is_half, matrix_dtype, result_dtype, upcast
from graphkit.operators import SparseOperator, walk_adjacency
from graphkit.operators.edges import edges_of
from graphkit.operators.feature_matrix import features_of


class DiffusionConv(Fused, MessagePassing):
    r"""Diffusion :math:`X' = X\Theta_0 + \sum_{k=1}^K (P^k X \Theta_k + Q^k X \Theta'_k) + b`.

    :math:`P` takes the mean over the edges that lead to a node, by their weights, :math:`Q` that over those that lead
    away from it; a node without any gets 0. Where the layer narrows, features are mapped first and the products are
    taken on the narrow side.

    The authors' code takes Chebyshev's recurrence in place of powers, and begins that of the second direction with a
    term of the first; the paper has powers, as this layer does. Its two maps of the node itself are one here.

    Args:
        in_channels, out_channels: features of a node, -1 to learn it from the first input, and of the result.
        K: steps of the walks, at least 1.
        both: whether edges are walked against their direction too; on an undirected graph that comes to the same.
        bias: whether :math:`b` is there.
        kwargs: of ``MessagePassing``.

    Raises:
        ValueError: for ``K`` below 1.

    Shape:
        ``x`` ``[..., nodes, in_channels]``; a graph in any of PyG's forms; ``edge_weight`` ``[edges]``. Returns
        ``[..., nodes, out_channels]``.

    Source: Li et al. (2018), arXiv:1707.01926, equation 2.

    Example:
        >>> conv = DiffusionConv(3, 2, K=2)
        >>> conv(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 2])
    """

    def __init__(
        self, in_channels: int, out_channels: int, K: int = 2, *, both: bool = True, bias: bool = True, **kwargs: Any
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(**kwargs)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.K, self.both = at_least("K", K, 1), flag("both", both)
        terms = 1 + K * (2 if both else 1)
        self.lins = ModuleList(
            Linear(in_channels, out_channels, bias=False, weight_initializer="glorot") for _ in range(terms)
        )
        self.register_parameter("bias", Parameter(torch.empty(out_channels)) if bias else None)
        self.reset_parameters()

    # propagate_type: (x: Tensor, norm: Tensor)

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        super().reset_parameters()
        for lin in self.lins:
            reset(lin)
        zeros(self.bias)

    def forward(self, x: Any, edge_index: Any, edge_weight: OptTensor = None) -> Tensor:
        """Return the diffused features."""
        check_features(x, self.lins[0], width=self.in_channels)
        for lin in self.lins:
            initialize_lazy(lin, x)
        if not self.fusible(edge_index, x):
            return self._plain(densify(x), edge_index, edge_weight)
        x = features_of(x)
        x = x.to_dense() if isinstance(x, SparseOperator) else x
        walks = self._walks(x, edge_index, edge_weight)
        if is_half(x):
            return self._sum([lambda v, walk=walk: walk @ v for walk in walks], x)
        first, *rest = self.lins
        out = apply_linear(first, x, self.bias)
        for way, walk in enumerate(walks):
            lins = rest[way * self.K : (way + 1) * self.K]
            if self.out_channels < x.size(-1):
                narrow = apply_linear(lins[-1], x)
                for lin in reversed(lins[:-1]):
                    narrow = apply_linear(lin, x, plus=walk @ narrow)
                out = out + walk @ narrow
                continue
            near = x
            for lin in lins:
                near = walk @ near
                out = apply_linear(lin, near, plus=out)
        return out

    def message(self, x_j: Tensor, norm: Tensor) -> Tensor:
        """Return each edge's source features times its share of the mean."""
        return norm.view(-1, 1) * x_j

    def _walks(self, x: Any, edge_index: Any, edge_weight: OptTensor) -> list[SparseOperator]:
        edges = edges_of(edge_index, edge_weight, flow=self.flow, num_nodes=x.size(-2))
        flows = ("source_to_target", "target_to_source")[: 2 if self.both else 1]
        return [
            walk_adjacency(edges.index, edges.weight, num_nodes=x.size(-2), flow=flow, dtype=matrix_dtype(x))
            for flow in flows
        ]

    def _plain(self, x: Tensor, edge_index: Any, edge_weight: OptTensor) -> Tensor:
        """Return the same by messages."""
        index, weight = self.edges(edge_index, edge_weight, num_nodes=x.size(-2))
        if isinstance(index, Tensor) and index.layout == torch.strided:
            weight = upcast(x).new_ones(index.size(1)) if weight is None else weight.to(upcast(x).dtype)
        ways = [index] if not self.both else [index, index.flip(0)]
        rows = 1 if self.flow == "source_to_target" else 0

        def walk(ends: Tensor) -> Any:
            into = ends[rows]
            total = torch.zeros(x.size(-2), dtype=weight.dtype, device=x.device).index_add(0, into, weight)[into]
            norm = torch.where(total != 0, weight / torch.where(total != 0, total, 1.0), 0.0)
            return lambda v: self.propagate(ends, x=v, norm=norm)

        return self._sum([walk(ends) for ends in ways], x)

    def _sum(self, walks: list[Any], x: Tensor) -> Tensor:
        """Return the terms one by one, in single precision at least, and their sum."""
        kind, first = result_dtype(x, self.bias), self.lins[0](x)
        parts, lins = [upcast(first)], iter(self.lins[1:])
        for walk in walks:
            near = upcast(x)
            for _ in range(self.K):
                near = walk(near)
                parts.append(upcast(next(lins)(near.to(x.dtype))))
        out = sum(parts[1:], parts[0])
        out = out if self.bias is None else out + self.bias
        return out.to(result_dtype(first, self.bias) if is_half(x) else kind)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, K={self.K}, both={self.both})"

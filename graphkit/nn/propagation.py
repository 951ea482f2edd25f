"""An encoder whose layers are decoupled from its hops: random nodes are dropped, then neighbourhoods averaged."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import Linear

from graphkit._checks import at_least, within
from graphkit.nn.precision import matrix_type
from graphkit.operators import SparseOperator, gcn_adjacency
from graphkit.operators.dropout import dropout
from graphkit.operators.feature_matrix import features_of, linear


class RandomPropagation(nn.Module):
    r"""A perceptron on features averaged over 0 to ``order`` hops, with whole nodes dropped in training.

    .. math::
        H = \frac{1}{K + 1} \sum_{k=0}^{K} \hat A^k \, \mathrm{diag}(b) X W_1, \qquad Z = W_2\,\sigma(H + b_1) + b_2

    where :math:`b_i` is 0 with probability ``node_dropout`` and :math:`1 / (1 - p)` otherwise, in training, and 1
    after. Two passes see two random halves of every neighbourhood: a consistency loss may ask them to agree.

    Args:
        in_channels: features of a node.
        hidden_channels: width in between.
        out_channels: width of the result.
        order: number of hops, at least 0.
        node_dropout: probability of dropping a node, in [0, 1).
        dropout: probability of zeroing an input value, and a hidden value.

    Source: Feng et al. (2020), arXiv:2005.11079, equations 2 to 4. The first linear map is taken before the averages,
    where features are sparse, which is the same sum; hence its input dropout acts before the averages too.

    Example:
        >>> encoder = RandomPropagation(3, 8, 2, order=2).eval()
        >>> encoder(torch.ones(2, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        order: int = 4,
        node_dropout: float = 0.5,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.order = at_least("order", order, 0)
        self.node_dropout = within("node_dropout", node_dropout, 0.0, 1.0)
        self.dropout = within("dropout", dropout, 0.0, 1.0)
        self.first = Linear(in_channels, hidden_channels)
        self.last = Linear(hidden_channels, out_channels)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.first.reset_parameters()
        self.last.reset_parameters()

    def forward(self, x: Any, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:
        """Return one row of ``out_channels`` per node.

        Args:
            x: features ``[nodes, in_channels]``, a tensor or a ``SparseOperator``.
            edge_index: the graph, in any form ``GCNConv`` takes.
            edge_weight: one weight per edge, ``[edges]``.
        """
        x = features_of(x)
        sparse = isinstance(x, SparseOperator)
        dropped = x.dropout(self.dropout, self.training) if sparse else dropout(x, self.dropout, self.training)
        h = linear(dropped, self.first.weight)
        if self.training and self.node_dropout > 0:
            kept = torch.rand(len(h), 1, device=h.device, dtype=h.dtype) >= self.node_dropout
            h = h * kept / (1 - self.node_dropout)
        adjacency = gcn_adjacency(
            edge_index,
            edge_weight,
            num_nodes=len(h),
            dtype=matrix_type(h),
        )
        total = h
        for _ in range(self.order):
            h = adjacency @ h
            total = total + h
        hidden = (total / (self.order + 1) + self.first.bias).relu()
        return self.last(dropout(hidden, self.dropout, self.training))

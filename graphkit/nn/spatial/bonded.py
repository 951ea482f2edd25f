"""Graph convolution with edge features, as OGB's molecule baseline has it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphkit.nn.fused import unscriptable
from graphkit.nn.inputs import fitting
from graphkit.operators import sum_adjacency
from graphkit.operators.messages import EdgeTable, edge_table_sum


class BondedGCNConv(nn.Module):
    r"""Graph convolution of rectified sums of nodes :math:`z = W x + b` and edges; :math:`d_i` are degrees plus one.

    .. math::
        x'_i = \sum_j \frac{\mathrm{ReLU}(z_j + e_{ij})}{\sqrt{d_i d_j}} + \frac{\mathrm{ReLU}(z_i + r)}{d_i}

    :math:`r` is the learnt edge of a node to itself.

    Args:
        in_channels: features of a node.
        out_channels: width of the result, and of the edges' features.

    Source: the GCN baseline of Hu et al. (2020), arXiv:2005.00687, for molecules.

    Example:
        >>> edges = EdgeTable(torch.ones(1, 2), torch.zeros(2, dtype=torch.long))
        >>> BondedGCNConv(3, 2)(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]]), edges).shape
        torch.Size([4, 2])
    """

    __prepare_scriptable__ = unscriptable

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)
        self.root_emb = nn.Embedding(1, out_channels)

    def forward(self, x: Tensor, edge_index: Any, edge_attr: EdgeTable | Tensor) -> Tensor:
        """Return the convolved features, ``[nodes, out_channels]``.

        Args:
            x: ``[nodes, in_channels]``.
            edge_index: the graph, in any of PyG's forms.
            edge_attr: features of the edges, ``[edges, out_channels]`` or a table of them.
        """
        fitting(x, self.linear)
        if isinstance(edge_attr, Tensor):
            edge_attr = EdgeTable(edge_attr, torch.arange(len(edge_attr), device=edge_attr.device))
        z = self.linear(x)
        pattern = sum_adjacency(edge_index, num_nodes=z.size(0)).pattern
        outgoing = pattern._transpose[0]._indptr.diff()
        scale = (outgoing + 1).to(z.dtype).rsqrt()
        gathered = edge_table_sum(pattern, z, edge_attr, scale) * scale.unsqueeze(1)
        return gathered + (z + self.root_emb.weight).relu() * scale.square().unsqueeze(1)

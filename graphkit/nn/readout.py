"""One vector per graph: node features of any encoder, summed and averaged over each graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import Linear

from graphkit._checks import at_least, within


class GraphEncoder(nn.Module):
    r"""An encoder of nodes, their mean and their largest feature in each graph, and a perceptron on both.

    .. math::
        z_g = W_2\,\sigma\Bigl(W_1 \bigl[\tfrac{1}{|g|} \sum_{i \in g} h_i \,\|\, \max_{i \in g} h_i\bigr]\Bigr)

    An empty graph is read as zeros.

    Args:
        nodes: any module ``(x, edge_index, batch=batch) -> [nodes, hidden_channels]``, or one without ``batch``.
        hidden_channels: width of what ``nodes`` gives.
        out_channels: width of the result.
        dropout: probability of zeroing a value inside the perceptron.

    Source: Xu et al. (2019), arXiv:1810.00826, section 4.2, for reading a graph off its nodes; mean and maximum instead
    of the sum, so that an embedding does not grow with the graph.

    Example:
        >>> from graphkit.nn import Encoder, GINConv
        >>> mlp = lambda i, o: GINConv(nn.Linear(i, o))
        >>> encoder = GraphEncoder(Encoder(2, 8, 8, conv=mlp), 8, 3)
        >>> encoder(torch.ones(4, 2), torch.tensor([[0, 2], [1, 3]]), torch.tensor([0, 0, 1, 1]), graphs=2).shape
        torch.Size([2, 3])
    """

    def __init__(self, nodes: nn.Module, hidden_channels: int, out_channels: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.nodes = nodes
        self.dropout = within("dropout", dropout, 0.0, 1.0)
        at_least("hidden_channels", hidden_channels, 1)
        self.head = nn.Sequential(
            Linear(2 * hidden_channels, hidden_channels),
            nn.ReLU(),
            nn.Dropout(dropout),
            Linear(hidden_channels, out_channels),
        )

    @property
    def first(self) -> nn.Module:
        """The module whose parameters ``l2_on="first"`` decays."""
        found = getattr(self.nodes, "first", self.nodes)
        return found if isinstance(found, nn.Module) else self.nodes

    def forward(self, x: Any, edge_index: Any, batch: Tensor, *, graphs: int) -> Tensor:
        """Return one row of ``out_channels`` per graph.

        Args:
            x: features ``[nodes, features]`` of all graphs.
            edge_index: edges of all graphs, in any form the encoder takes.
            batch: graph of each node ``[nodes]``.
            graphs: number of graphs.
        """
        h = self.nodes(x, edge_index, batch=batch) if hasattr(self.nodes, "takes") else self.nodes(x, edge_index)
        index = batch.unsqueeze(1).expand_as(h)
        empty = h.new_zeros(graphs, h.size(1))
        mean = empty.scatter_reduce(0, index, h, "mean", include_self=False)
        largest = empty.scatter_reduce(0, index, h, "amax", include_self=False)
        return self.head(torch.cat([mean, largest], dim=1))

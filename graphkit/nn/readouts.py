"""Read-outs: what the nodes of a graph become as one row."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import aggr, global_add_pool, global_max_pool, global_mean_pool

from graphkit._checks import at_least, member
from graphkit.nn.fused import refuse_script

SIMPLE = {"sum": global_add_pool, "mean": global_mean_pool, "max": global_max_pool}

READOUTS = (*SIMPLE, "all", "attention", "set")
"""Names of read-outs: of each feature its sum, mean or maximum, all three, a mean that attends, or set to set."""


def readout(name: str, h: Tensor, batch: Tensor, graphs: int) -> Tensor:
    """Return the "sum", "mean" or "max" of features ``h [nodes, features]`` of each graph, ``[graphs, features]``.

    ``batch [nodes]`` says the graph of each node. A graph without nodes is read as zeros.

    Example:
        >>> h, batch = torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 1])
        >>> [readout(name, h, batch, 3).flatten().tolist() for name in ("sum", "mean", "max")]
        [[4.0, 5.0, 0.0], [2.0, 5.0, 0.0], [3.0, 5.0, 0.0]]
    """
    return SIMPLE[member("readout", name, SIMPLE)](h, batch, graphs)


class Readout(nn.Module):
    """A read-out by its name, with the parameters that it may have.

    Args:
        name: "sum", "mean" or "max" of each feature; "all" three side by side; "attention", a mean whose weights are
            the softmax over a graph's nodes of a linear map; or "set", three steps of set to set.
        channels: features of a node.

    Shape:
        ``h [nodes, channels]``, ``batch [nodes]``, ascending. Returns ``[graphs, out_channels]``, of a graph without
        nodes zeros, or what "set" says of nothing.

    Source: Li et al. (2016), arXiv:1511.05493, equation 7, for attention (without its map of the values); Vinyals,
    Bengio & Kudlur (2016), arXiv:1511.06391, for set to set. PyG's aggregations.

    Example:
        >>> read = Readout("all", 2)
        >>> read(torch.ones(3, 2), torch.tensor([0, 0, 1]), 2).shape, read.out_channels
        (torch.Size([2, 6]), 6)
    """

    __prepare_scriptable__ = refuse_script

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        self.name, width = member("readout", name, READOUTS), at_least("channels", channels, 1)
        self.out_channels = {"all": 3, "set": 2}.get(name, 1) * width
        self.learnt: nn.Module | None = None
        if name == "attention":
            self.learnt = aggr.AttentionalAggregation(nn.Linear(width, 1))
        elif name == "set":
            self.learnt = aggr.Set2Set(width, processing_steps=3)

    def forward(self, h: Tensor, batch: Tensor, graphs: int) -> Tensor:
        """Return one row for each of so many ``graphs``."""
        if self.learnt is not None:
            return self.learnt(h, batch, dim_size=graphs)
        if self.name == "all":
            return torch.cat([readout(each, h, batch, graphs) for each in SIMPLE], 1)
        return readout(self.name, h, batch, graphs)

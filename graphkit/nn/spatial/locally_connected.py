"""The spatial construction by clustering: weights of their own in every neighbourhood of a level."""

import math
from typing import Any, Optional

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import Parameter

from graphkit._checks import at_least, features, same_graph_as_weights, to_numpy
from graphkit.nn.fused import refuse_script
from graphkit.operators import Level, SparseOperator
from graphkit.operators.pattern import Pattern

FINGERPRINT = 2**63 - 1
"""Fingerprints are kept in 63 bits: PyTorch knows no arithmetic of unsigned ones."""


class LocallyConnectedConv(nn.Module):
    r"""Locally connected layer :math:`x'_p = \sum_{q \in N(p)} \Theta_{pq} x_q + b` with weights of its own for each p.

    :math:`N(p)` is a node of a hierarchy's level and its neighbours there. Clustering, such a layer, pooling, and again
    is Bruna's spatial construction. Nothing is shared between nodes: the layer is tied to its graph, as its state
    dict is, and refuses another one. Entries of all nodes make one sparse matrix, so that no ``edges x features`` array
    is made.

    Args:
        in_channels, out_channels: features of a node and of the result.
        level: the graph, a level of a ``Hierarchy`` or of its balanced tree, whose fake nodes have no weights.
        bias: whether :math:`b`, one number per channel, is there.

    Raises:
        TypeError: for anything but a level, such as an ``edge_index``.

    Shape:
        ``x`` ``[..., nodes, in_channels]``. Returns ``[..., nodes, out_channels]``.

    Source: Bruna, Zaremba, Szlam & LeCun (2014), arXiv:1312.6203, section 2.3.

    Example:
        >>> from graphkit.operators import coarsen
        >>> level = coarsen(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), levels=1).levels[0]
        >>> conv = LocallyConnectedConv(4, 2, level)
        >>> conv(torch.ones(10, 3, 4)).shape, conv.weight.shape
        (torch.Size([10, 3, 2]), torch.Size([7, 2, 4]))
    """

    __prepare_scriptable__ = refuse_script

    graph: Tensor
    bias: Tensor | None

    def __init__(self, in_channels: int, out_channels: int, level: Level, *, bias: bool = True) -> None:
        super().__init__()
        self.in_channels = at_least("in_channels", in_channels, 1)
        self.out_channels = at_least("out_channels", out_channels, 1)
        self.num_nodes = _level(level).num_nodes
        source, target = to_numpy(level.edge_index)
        real = np.flatnonzero(to_numpy(level.sizes))
        rows, columns = np.concatenate([real, target]), np.concatenate([real, source])
        self._neighbours = np.bincount(rows, minlength=self.num_nodes)[rows]
        self._pattern = _blocks(rows, columns, out_channels, in_channels, self.num_nodes).to(level.edge_index.device)
        self.weight = Parameter(torch.empty(len(rows), out_channels, in_channels))
        self.bias = Parameter(torch.empty(out_channels)) if bias else None
        self.register_buffer("graph", torch.tensor(level.fingerprint & FINGERPRINT))
        self.register_load_state_dict_pre_hook(_same_graph)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew, uniformly, with the variance of Glorot & Bengio for each neighbourhood."""
        nn.init.uniform_(self.weight, -1, 1)
        width = torch.from_numpy(self._neighbours).to(self.weight) * self.in_channels + self.out_channels
        with torch.no_grad():
            self.weight.mul_((math.sqrt(6.0) / width.sqrt()).view(-1, 1, 1))
            if self.bias is not None:
                self.bias.zero_()

    def forward(self, x: Tensor, level: Optional[Level] = None) -> Tensor:
        """Return the convolved signal; where a ``level`` is given it must be the one the layer was built on.

        Raises:
            ValueError: for another graph or number of nodes or features.
            TypeError: for anything but a level in its place.
        """
        features("x", x, self.in_channels, self.weight)
        given = x.shape[-2] if x.dim() > 1 else 0
        self._require(given, level is None or _level(level).fingerprint & FINGERPRINT == int(self.graph))
        if self._pattern.device != x.device:
            self._pattern = self._pattern.to(x.device)
        values = self.weight.flatten().index_select(0, self._pattern._perm.long())
        signals = x.reshape(-1, self.num_nodes * self.in_channels).t().contiguous()
        out = SparseOperator(self._pattern, values).multiply_add(signals)
        out = out.t().reshape(*x.shape[:-1], self.out_channels)
        return out if self.bias is None else out + self.bias

    def _require(self, nodes: int, same: bool) -> None:
        same_graph_as_weights(type(self).__name__, self.weight.numel(), self.num_nodes, nodes, same)

    def extra_repr(self) -> str:
        """Return widths and the size of the graph."""
        return f"{self.in_channels}, {self.out_channels}, num_nodes={self.num_nodes}"


def _level(level: Any) -> Level:
    """Return what was given if it is a level, or say how one is made of a graph."""
    if not isinstance(level, Level):
        given = "a tensor" if isinstance(level, Tensor) else type(level).__name__
        raise TypeError(
            f"`level` must be a level of a hierarchy, got {given}; `coarsen(edge_index, levels=1).levels[0]` is that "
            "of a graph itself."
        )
    return level


def _same_graph(module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Refuse weights that belong to the neighbourhoods of another graph."""
    other, weight = state.get(f"{prefix}graph"), state.get(f"{prefix}weight")
    if other is not None and weight is not None:
        module._require(module.num_nodes, int(other) == int(module.graph) and weight.shape == module.weight.shape)


def _blocks(rows: np.ndarray, columns: np.ndarray, out_channels: int, in_channels: int, nodes: int) -> Pattern:
    """Return the pattern of a matrix with a block ``[out_channels, in_channels]`` at each of the given places."""
    shape = (len(rows), out_channels, in_channels)
    row = np.broadcast_to(rows[:, None, None] * out_channels + np.arange(out_channels)[:, None], shape)
    column = np.broadcast_to(columns[:, None, None] * in_channels + np.arange(in_channels), shape)
    return Pattern.from_coo(row.ravel(), column.ravel(), (nodes * out_channels, nodes * in_channels))

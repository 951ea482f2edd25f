"""A convolution with everything that makes it a layer of a deep network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn.resolver import activation_resolver

from graphkit._checks import at_least, member, within
from graphkit.nn.fused import Fused, refuse_script
from graphkit.operators.dropout import dropout
from graphkit.operators.messages import EdgeTable

NORMS = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class GraphBlock(nn.Module):
    r"""A convolution, a norm, an activation, dropout, and perhaps a residual and a feed-forward part.

    .. math::
        h' = \mathrm{dropout}(\sigma(\mathrm{norm}(\mathrm{conv}(h, e)))) + W h, \qquad
        h'' = \mathrm{norm}\bigl(h' + W_2\,\mathrm{dropout}(\mathrm{ReLU}(W_1 h'))\bigr)

    :math:`W` is the identity where widths agree. Without ``residual`` its term is missing, and without
    ``feed_forward`` :math:`h''` is :math:`h'`.

    Args:
        conv: a layer ``(h, edge_index)``, or ``(h, edge_index, edge_attr)`` where edges have features; of graphkit, of
            PyG, or your own.
        in_channels, out_channels: width before and after ``conv``.
        norm: "batch", "layer" or "none".
        activation: a name that PyG resolves; ``None`` for the identity.
        dropout: probability of zeroing a value.
        residual: whether the input is added.
        feed_forward: whether a perceptron on each node follows, twice as wide in between.

    Shape:
        ``h [nodes, in_channels]``. Returns ``[nodes, out_channels]``.

    Source: Luo, Shi & Wu (2025), arXiv:2502.09263, section 3, for the parts and their order.

    Example:
        >>> from graphkit.nn import GATConv
        >>> block = GraphBlock(GATConv(3, 4, heads=2), 3, 8, residual=True, feed_forward=True)
        >>> block(torch.ones(5, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([5, 8])
    """

    __prepare_scriptable__ = refuse_script

    def __init__(
        self,
        conv: nn.Module,
        in_channels: int,
        out_channels: int,
        *,
        norm: str = "batch",
        activation: str | None = "relu",
        dropout: float = 0.0,
        residual: bool = False,
        feed_forward: bool = False,
    ) -> None:
        super().__init__()
        width = at_least("out_channels", out_channels, 1)
        same = at_least("in_channels", in_channels, 1) == width
        self.dropout = within("dropout", dropout, 0.0, 1.0)
        made = NORMS[member("norm", norm, NORMS)]
        self.skip = None if not residual else nn.Identity() if same else nn.Linear(in_channels, width, bias=False)
        self.conv, self.norm = conv, made(width)
        self.activation = nn.Identity() if activation is None else activation_resolver(activation)
        self.feed_forward = (
            nn.ModuleList([nn.Linear(width, 2 * width), nn.Linear(2 * width, width), made(width)])
            if feed_forward
            else None
        )

    def forward(self, h: Tensor, edge_index: Any, *edges: Any) -> Tensor:
        """Return the new features of nodes; ``edges`` are the features of edges, where ``conv`` takes some."""
        if edges and isinstance(edges[0], EdgeTable) and not isinstance(self.conv, Fused):
            edges = (edges[0].to_dense(),)
        found = self.activation(self.norm(self.conv(h, edge_index, *edges)))
        found = dropout(found, self.dropout, self.training)
        if self.skip is not None:
            found = found + self.skip(h)
        if self.feed_forward is None:
            return found
        wider, narrower, norm = self.feed_forward
        inner = dropout(torch.relu(wider(found)), self.dropout, self.training)
        return norm(found + narrower(inner))

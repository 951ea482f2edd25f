"""Gated convolution over time, and the block of it with a convolution over the graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphkit._checks import at_least, dense_features, within
from graphkit.nn.fused import AbstractModel
from graphkit.nn.inputs import check_features
from graphkit.nn.temporal.recurrent import Conv, check_series, convolve
from graphkit.operators.dropout import dropout


class GatedTemporalConv(AbstractModel):
    r"""Convolution over time with a gate, :math:`(P + x) \odot \sigma(Q)`; :math:`P` and :math:`Q` are of its channels.

    Args:
        in_channels, out_channels: features of a node before and after; where they differ, the sum with :math:`x` is of
            its first channels, zeros behind them, or of a linear map of it where it narrows.
        kernel: moments that are seen; the result is ``kernel - 1`` moments shorter.

    Shape:
        ``x`` ``[..., time, nodes, in_channels]``. Returns ``[..., time - kernel + 1, nodes, out_channels]``.

    Source: Yu, Yin & Zhu (2018), arXiv:1709.04875, section 3.2.

    Example:
        >>> GatedTemporalConv(1, 4, 3)(torch.ones(2, 12, 5, 1)).shape
        torch.Size([2, 10, 5, 4])
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.kernel, self.in_channels = at_least("kernel", kernel, 1), at_least("in_channels", in_channels, 1)
        self.out_channels = at_least("out_channels", out_channels, 1)
        self.linear = nn.Linear(kernel * in_channels, 2 * out_channels)
        self.align = nn.Linear(in_channels, out_channels, bias=False) if in_channels > out_channels else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved features."""
        check_series(x, self.kernel)
        check_features(x, width=self.in_channels, weight=self.linear.weight)
        dense_features("x", x, self.linear.weight)
        left = x.size(-3) - self.kernel + 1
        windows = torch.cat([x.narrow(-3, place, left) for place in range(self.kernel)], -1)
        values, gate = self.linear(windows).chunk(2, -1)
        last = x[..., self.kernel - 1 :, :, :]
        if self.align is not None:
            last = self.align(last)
        elif last.size(-1) < self.out_channels:
            last = nn.functional.pad(last, (0, self.out_channels - last.size(-1)))
        return (values + last) * gate.sigmoid()


class STConvBlock(AbstractModel):
    """Convolution over time, over the graph and over time again, and a norm over the features of a node.

    The authors' norm is over nodes and features together, which ties it to the number of nodes; this one is not.

    Args:
        in_channels, hidden_channels, out_channels: features before, in between and after.
        conv: makes the convolution over the graph from two widths.
        kernel: of both convolutions over time; the result is ``2 * (kernel - 1)`` moments shorter.
        dropout: probability of zeroing a value of the result.

    Shape:
        ``x`` ``[..., time, nodes, in_channels]``, and a graph as the convolution takes it. Returns
        ``[..., time - 2 (kernel - 1), nodes, out_channels]``.

    Source: Yu, Yin & Zhu (2018), arXiv:1709.04875, section 3.4.

    Example:
        >>> from graphkit.nn import ChebConv
        >>> block = STConvBlock(1, 4, 8, lambda i, o: ChebConv(i, o, K=3))
        >>> block(torch.ones(2, 12, 3, 1), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([2, 8, 3, 8])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        conv: Conv,
        *,
        kernel: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.before = GatedTemporalConv(in_channels, hidden_channels, kernel)
        self.conv = conv(hidden_channels, hidden_channels)
        self.after = GatedTemporalConv(hidden_channels, out_channels, kernel)
        self.norm = nn.LayerNorm(out_channels)
        self.dropout = within("dropout", dropout, 0.0, 1.0)

    def forward(self, x: Tensor, *graph: Any) -> Tensor:
        """Return the convolved features."""
        h = self.before(x)
        h = torch.relu(convolve(self.conv, h, *graph) + h)
        return dropout(self.norm(self.after(h)), self.dropout, self.training)

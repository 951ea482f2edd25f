"""A layer beside a linear map of the node itself."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from graphkit.nn.fused import unscriptable
from graphkit.nn.inputs import fitting
from graphkit.operators.feature_matrix import features_of


class SeparatedConv(nn.Module):
    r"""Any layer, and a linear map of its own for the node itself: :math:`\mathrm{conv}(x, A) + W x + b`.

    A node is not averaged away among its neighbours, however many layers there are.

    Args:
        conv: the layer ``(x, edge_index)`` or ``(x, edge_index, edge_weight)``.
        in_channels: features of a node.
        out_channels: width of the layer's result.

    Source: the residual of Luo, Shi & Wu (2024), "Classic GNNs are Strong Baselines", arXiv:2406.08993, as
    ``medium_graph/model.py`` of its authors has it.

    Example:
        >>> import torch
        >>> from graphkit.nn import GCNConv
        >>> SeparatedConv(GCNConv(3, 2), 3, 2)(torch.ones(4, 3), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 2])
    """

    __prepare_scriptable__ = unscriptable

    def __init__(self, conv: nn.Module, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.own = nn.Linear(in_channels, out_channels)

    def forward(self, x: Any, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:
        """Return the layer's result with the node's own, ``[nodes, out_channels]``."""
        fitting(x, self.own)
        x = features_of(x)
        around = self.conv(x, edge_index) if edge_weight is None else self.conv(x, edge_index, edge_weight)
        return around + self.own(x)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        if callable(reset := getattr(self.conv, "reset_parameters", None)):
            reset()
        self.own.reset_parameters()

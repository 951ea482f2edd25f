"""What every self-supervised method has: an encoder, a loss that needs no labels, and the embeddings it leads to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from graphkit._checks import torch_module
from graphkit.contrastive.views import View


class AbstractMethod(nn.Module, ABC):
    """A self-supervised objective around an encoder.

    Args:
        encoder: called as ``encoder(x, edge_index)``, with ``edge_weight`` where it ``takes`` one, as ``Encoder`` does.
        after: applied to what the encoder returns; nothing when left out.

    Example:
        >>> from graphkit.contrastive import CCASSG, Augmentation
        >>> from graphkit.nn import Encoder, GCNConv
        >>> method = CCASSG(Encoder(8, 4, 3, conv=GCNConv), Augmentation(edge_drop=0.2))
        >>> isinstance(method, AbstractMethod), method.weighted
        (True, True)
        >>> method.embed(torch.eye(8), torch.stack([torch.arange(8), torch.arange(1, 9) % 8])).shape
        torch.Size([8, 3])
    """

    def __init__(self, encoder: nn.Module, after: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = torch_module("encoder", encoder)
        self.after = nn.Identity() if after is None else torch_module("after", after)

    @property
    def weighted(self) -> bool:
        """Whether the encoder uses edge weights."""
        return "edge_weight" in getattr(self.encoder, "takes", ())

    def encoded(self, view: View) -> Tensor:
        """Return the embeddings of a view, ``[nodes, channels]``."""
        return self.after(_called(self.encoder, view))

    def forward(self, x: Any, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Return the embeddings of the graph as it is, ``[nodes, channels]``."""
        return self.encoded(View(x, edge_index, edge_weight))

    @torch.no_grad()
    def embed(self, x: Any, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Return the embeddings of the graph as it is, in evaluation mode and without a gradient."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            return self(x, edge_index, edge_weight)
        finally:
            for module, training in modes:  # one may be frozen by itself
                module.training = training

    @abstractmethod
    def loss(self, view: View, generator: torch.Generator) -> Tensor:
        """Return the loss on views drawn from ``view``, a scalar.

        Raises:
            ValueError: for a view whose parts do not fit each other, or of fewer than two nodes.
            TypeError: for parts of another type, or no generator.
        """

    @abstractmethod
    def stepped(self, progress: float) -> None:
        """Do what is to be done after a step of the optimiser; ``progress`` goes from 0 to 1."""


def _called(encoder: nn.Module, view: View) -> Tensor:
    """Return what the encoder makes of a view."""
    if view.edge_weight is None:
        return encoder(view.x, view.edge_index)
    return encoder(view.x, view.edge_index, edge_weight=view.edge_weight)

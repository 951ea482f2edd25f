"""Graph contrastive representations: the same node in two views against all other nodes of both."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit._checks import at_least, random_generator
from graphkit.contrastive.method import AbstractMethod
from graphkit.contrastive.views import Augmentation, Diffusion, View, checked, view_drawer
from graphkit.metric import InfoNCELoss


class GRACE(AbstractMethod):
    r"""GRACE: InfoNCE on cosines at a temperature, with negatives from both views, behind a projector.

    Its denominator, the other view of all nodes and the own view of all others, is that of NT-Xent on the two views
    laid one after the other. It is summed block by block, so that nothing ``nodes x nodes`` is kept.

    Args:
        encoder: the encoder.
        channels: of its result.
        first, second: draw the two views.
        temperature: divides the cosines, above 0.
        projector_channels: width of the projector (linear, ELU, linear).
        after: applied to the encoder's result; a ``ReLU`` when left out.

    Source: Zhu et al. (2020), arXiv:2006.04131; Chen et al. (2020), arXiv:2002.05709, for NT-Xent.

    Example:
        >>> from graphkit.nn import Encoder, GCNConv
        >>> ring = View(torch.eye(8), torch.stack([torch.arange(8), torch.arange(1, 9) % 8]))
        >>> method = GRACE(Encoder(8, 4, 3, conv=GCNConv), 3, first=Augmentation(edge_drop=0.2), second=Augmentation())
        >>> bool(method.loss(ring, torch.Generator().manual_seed(0)).isfinite())
        True
    """

    def __init__(
        self,
        encoder: nn.Module,
        channels: int,
        *,
        first: Augmentation | Diffusion,
        second: Augmentation | Diffusion,
        temperature: float = 0.5,
        projector_channels: int = 128,
        after: nn.Module | None = None,
    ) -> None:
        super().__init__(encoder, nn.ReLU() if after is None else after)
        self.first, self.second = view_drawer("first", first), view_drawer("second", second)
        at_least("channels", channels, 1)
        at_least("projector_channels", projector_channels, 1)
        self.projector = nn.Sequential(
            nn.Linear(channels, projector_channels), nn.ELU(), nn.Linear(projector_channels, channels)
        )
        self.contrast = InfoNCELoss(temperature=temperature)

    def loss(self, view: View, generator: torch.Generator) -> Tensor:
        """Return the loss on two drawn views."""
        view = checked(view)
        random_generator("generator", generator)
        views = [augment(view, generator, weighted=self.weighted) for augment in (self.first, self.second)]
        first, second = (self.projector(self.encoded(each)) for each in views)
        nodes = torch.arange(len(first), device=first.device)
        return self.contrast(torch.cat([first, second]), torch.cat([nodes, nodes]))

    def stepped(self, progress: float) -> None:
        """Do nothing."""

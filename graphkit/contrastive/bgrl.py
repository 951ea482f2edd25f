"""Bootstrapped graph latents: one network predicts what a slow copy of it sees in another view."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from graphkit._checks import at_least, random_generator, torch_module, within
from graphkit.contrastive.method import AbstractMethod, _called
from graphkit.contrastive.views import Augmentation, Diffusion, View, checked, view_drawer
from graphkit.metric.distances import normalize_rows


class BGRL(AbstractMethod):
    r"""BGRL: no negative pairs; the target network follows the online one as a moving average.

    .. math::
        L = 2 - \operatorname{mean}_i \cos(q(h^1_i), \bar h^2_i) - \operatorname{mean}_i \cos(q(h^2_i), \bar h^1_i)

    with a predictor :math:`q` (linear, PReLU, linear) and :math:`\bar h` of the target network, which gets no gradient.
    Its rate goes from ``momentum`` to 1 along a cosine.

    Args:
        encoder: the encoder; of GCN layers with batch normalisation in the paper. The target is a copy of which all is
            drawn anew that has ``reset_parameters``.
        channels: of its result.
        first, second: draw the two views.
        momentum: of the moving average, in [0, 1).
        predictor_channels: width inside the predictor.
        after: applied to the encoder's result; batch normalisation and a PReLU when left out.

    Source: Thakoor et al. (2022), arXiv:2102.06514.

    Example:
        >>> from graphkit.nn import Encoder, GCNConv
        >>> ring = View(torch.eye(8), torch.stack([torch.arange(8), torch.arange(1, 9) % 8]))
        >>> method = BGRL(Encoder(8, 4, 3, conv=GCNConv), 3, first=Augmentation(edge_drop=0.2), second=Augmentation())
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
        momentum: float = 0.99,
        predictor_channels: int = 512,
        after: nn.Module | None = None,
    ) -> None:
        at_least("channels", channels, 1)
        at_least("predictor_channels", predictor_channels, 1)
        torch_module("encoder", encoder)
        if after is None:
            after = nn.Sequential(nn.BatchNorm1d(channels, momentum=0.01), nn.PReLU())
        super().__init__(encoder, after)
        self.first, self.second = view_drawer("first", first), view_drawer("second", second)
        self.momentum = within("momentum", momentum, 0.0, 1.0)
        self.target_encoder, self.target_after = copy.deepcopy(self.encoder), copy.deepcopy(self.after)
        for module in (self.target_encoder, self.target_after):
            _draw_anew(module)  # two networks that begin alike have nothing to predict
            module.requires_grad_(False)
        self.predictor = nn.Sequential(
            nn.Linear(channels, predictor_channels), nn.PReLU(), nn.Linear(predictor_channels, channels)
        )

    def loss(self, view: View, generator: torch.Generator) -> Tensor:
        """Return the loss on two drawn views."""
        view = checked(view)
        random_generator("generator", generator)
        views = [augment(view, generator, weighted=self.weighted) for augment in (self.first, self.second)]
        online = [self.predictor(self.encoded(each)) for each in views]
        with torch.no_grad():
            target = [self.target_after(_called(self.target_encoder, each)) for each in views]
        agreement = [
            (normalize_rows(q) * normalize_rows(t)).sum(-1).mean()
            for q, t in zip(online, reversed(target), strict=True)
        ]
        return 2 - agreement[0] - agreement[1]

    @torch.no_grad()
    def stepped(self, progress: float) -> None:
        """Move the target network towards the online one."""
        rate = 1 - (1 - self.momentum) * (1 + math.cos(math.pi * progress)) / 2
        for slow, quick in ((self.target_encoder, self.encoder), (self.target_after, self.after)):
            for old, new in zip(slow.parameters(), quick.parameters(), strict=True):
                old.mul_(rate).add_(new, alpha=1 - rate)


def _draw_anew(module: nn.Module) -> None:
    """Draw the weights of a module anew, or of its parts where it does not know how."""
    if callable(reset := getattr(module, "reset_parameters", None)):
        reset()
        return
    for part in module.children():
        _draw_anew(part)

"""Canonical correlation analysis of two views."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit._checks import not_negative, random_generator
from graphkit.contrastive.method import AbstractMethod
from graphkit.contrastive.views import Augmentation, Diffusion, View, checked, view_drawer
from graphkit.metric.label_free import standardize


class CCASSG(AbstractMethod):
    r"""CCA-SSG: the two views of a node agree, and the channels of a view are uncorrelated.

    .. math::
        L = -\operatorname{tr} C_{12} + \lambda\,(\lVert C_{11} - I\rVert_F^2 + \lVert C_{22} - I\rVert_F^2)

    with the correlations :math:`C_{ab} = Z_a^\top Z_b / n` of embeddings standardised channel by channel. No negative
    pairs, projector or second network; an epoch costs :math:`O(n d^2)`.

    Args:
        encoder: the encoder.
        augmentation: draws both views.
        decorrelation: :math:`\lambda`, at least 0.

    Source: Zhang et al. (2021), arXiv:2106.12484, in the form of the official code, which divides by ``n``
    and drops directions of edges one by one.

    Example:
        >>> from graphkit.nn import Encoder, GCNConv
        >>> ring = View(torch.eye(8), torch.stack([torch.arange(8), torch.arange(1, 9) % 8]))
        >>> method = CCASSG(Encoder(8, 4, 3, conv=GCNConv), Augmentation(edge_drop=0.2))
        >>> bool(method.loss(ring, torch.Generator().manual_seed(0)).isfinite())
        True
    """

    def __init__(
        self, encoder: nn.Module, augmentation: Augmentation | Diffusion, *, decorrelation: float = 1e-3
    ) -> None:
        super().__init__(encoder)
        self.augmentation = view_drawer("augmentation", augmentation)
        self.decorrelation = not_negative("decorrelation", decorrelation)

    def loss(self, view: View, generator: torch.Generator) -> Tensor:
        """Return the loss on two drawn views."""
        view = checked(view)
        random_generator("generator", generator)
        first, second = (
            standardize(self.encoded(self.augmentation(view, generator, weighted=self.weighted)), correction=1)
            for _ in range(2)
        )
        nodes = len(first)
        agreement = (first * second).sum() / nodes
        return self.decorrelation * (_decorrelation(first) + _decorrelation(second)) - agreement

    def stepped(self, progress: float) -> None:
        """Do nothing."""


def _decorrelation(z: Tensor) -> Tensor:
    correlation = z.T @ z / len(z)
    return (correlation - torch.eye(len(correlation), dtype=z.dtype, device=z.device)).square().sum()

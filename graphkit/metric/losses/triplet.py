"""The triplet loss."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.metric.losses.abstract import AbstractLoss, Relations, Terms, margin_of


class TripletLoss(AbstractLoss):
    r"""Wants every item nearer to its own class than to others, by a margin.

    .. math::
        L = \max(D_{ap} - D_{an} + m, 0)

    over all triplets of an anchor, an item of its class and an item of another.

    Args:
        margin: :math:`m`, at least 0, in units of the distance.
        distance: "euclidean", "squared", "cosine" or "dot".
        reduction: "mean" over all triplets, "active" over those whose term is above zero, or "sum".

    Raises:
        ValueError: for a margin below 0 or not finite, an unknown distance or reduction.

    Source: Schroff, Kalenichenko & Philbin (2015), arXiv:1503.03832.

    Example:
        >>> z = torch.tensor([[0.0], [1.0], [1.5]])
        >>> round(TripletLoss(0.2)(z, torch.tensor([0, 0, 1])).item(), 4)
        0.35
    """

    def __init__(self, margin: float = 0.2, *, distance: str = "euclidean", reduction: str = "mean") -> None:
        super().__init__(distance=distance, reduction=reduction)
        self.margin = margin_of("margin", margin)

    def terms(self, distances: Tensor, relations: Relations) -> list[Terms]:
        """Return the terms of all triplets."""
        return [triplet_terms(distances, relations, self.margin)]


def triplet_terms(distances: Tensor, relations: Relations, margin: float) -> Terms:
    """Return the terms of all triplets."""
    slopes, active = triplet_counts(distances.detach(), relations, margin)
    total = (slopes * distances).sum() + margin * active.to(distances.dtype)
    return Terms(total, (relations.same.sum(1) * relations.different.sum(1)).sum(), active)


def triplet_counts(distances: Tensor, relations: Relations, margin: float) -> tuple[Tensor, Tensor]:
    """Return how often each distance counts in active triplets, signed, ``[items, others]``, and their number.

    The loss is the sum of these integers times the distances, plus the margin for every active triplet; they are also
    its derivative. Each anchor's thresholds are sorted, and every negative searched among them.
    """
    thresholds = torch.where(relations.same, distances + margin, torch.inf).sort(1).values
    negatives = torch.where(relations.different, distances, torch.inf).sort(1).values
    nearer = torch.searchsorted(negatives, (distances + margin).contiguous())
    farther = relations.same.sum(1, keepdim=True) - torch.searchsorted(thresholds, distances.contiguous(), right=True)
    slopes = torch.where(relations.same, nearer, 0) - torch.where(relations.different, farther, 0)
    return slopes.to(distances.dtype), torch.where(relations.same, nearer, 0).sum()

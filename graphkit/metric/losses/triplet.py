"""The triplet loss: all triplets at once, chosen ones, and a soft margin."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit._checks import flag, not_negative
from graphkit._kernels.tuple_losses import batch_all_triplets, batch_all_triplets_soft
from graphkit.metric.compared import Compared
from graphkit.metric.losses.abstract import AbstractLoss, Distance, Miner, Terms
from graphkit.metric.losses.exponentials import softplus
from graphkit.metric.relations import Relations
from graphkit.metric.streaming import Sums, compiled, sums_of
from graphkit.metric.tuples import Pairs, Quadruplets, Triplets, as_triplets


class TripletLoss(AbstractLoss):
    r"""Wants every item nearer to its own class than to others, by a margin.

    .. math::
        L = \max(D_{ap} - D_{an} + m, 0)

    over all triplets of an anchor, an item of its class and an item of another, exactly, in :math:`O(n^2 \log n)`: an
    anchor's few thresholds :math:`D_{ap} + m` are sorted, and every negative is searched among them. The derivative by
    a distance is the number of active triplets it is in. With a soft margin,
    :math:`\log(1 + \exp(D_{ap} - D_{an} + m))`, there is no such shortcut, and the work is that of all triplets.

    Args:
        margin: :math:`m`, at least 0, in units of the distance.
        soft: whether to take the soft margin, which never ends to pull.
        distance: "euclidean", "squared", "cosine" or "dot", or a function of ``(z, reference)`` that returns all
            distances; embeddings are taken as they are, so a margin means something only where their length does.
        reduction: "mean" over all triplets, "active" over those whose term is above zero (what
            pytorch-metric-learning's ``AvgNonZeroReducer`` does by default), or "sum".
        differentiable: "once": value and gradient together, block by block, in little memory; or "twice": all
            distances at once, for second derivatives (MAML) and ``torch.func``.
        miner: picks the tuples to look at, in place of all; one of ours or of pytorch-metric-learning.

    Raises:
        ValueError: for a margin below 0 or not finite, an unknown distance or reduction.

    Source: Schroff, Kalenichenko & Philbin (2015), arXiv:1503.03832; Hermans, Beyer & Leibe (2017), arXiv:1703.07737,
    for "batch all", "batch hard" (:class:`BatchHardMiner`) and the soft margin.

    Example:
        >>> z = torch.tensor([[0.0], [1.0], [1.5]])
        >>> round(TripletLoss(0.2)(z, torch.tensor([0, 0, 1])).item(), 4)
        0.35
    """

    ordered = True

    def __init__(
        self,
        margin: float = 0.2,
        *,
        soft: bool = False,
        distance: Distance = "euclidean",
        reduction: str = "mean",
        differentiable: str = "once",
        miner: Miner | None = None,
    ) -> None:
        super().__init__(distance=distance, reduction=reduction, differentiable=differentiable, miner=miner)
        self.margin, self.soft = not_negative("margin", margin), flag("soft", soft)

    def terms(self, distances: Tensor, relations: Relations) -> list[Terms]:
        """Return the terms of all triplets."""
        return [(soft_terms if self.soft else triplet_terms)(distances, relations, self.margin)]

    def chosen(self, given: Compared, tuples: Pairs | Triplets | Quadruplets) -> list[Terms]:
        """Return the terms of given triplets."""
        anchor, positive, negative = as_triplets(tuples)
        excess = self.between(given, anchor, positive) - self.between(given, anchor, negative) + self.margin
        terms = softplus(excess) if self.soft else excess.relu()
        return [Terms(terms.sum(), torch.tensor(len(terms), device=terms.device), (terms > 0).sum())]

    def slopes(self, distances: Tensor, relations: Relations, out: Tensor) -> Sums:
        """Set ``out`` to the number of active triplets of every distance, negative for those that are to grow."""
        if not compiled(distances):
            return super().slopes(distances, relations, out)
        return sums_of(
            batch_all_triplets_soft if self.soft else batch_all_triplets, relations, (self.margin,), distances, out
        )


def triplet_terms(distances: Tensor, relations: Relations, margin: float | Tensor) -> Terms:
    """Return the terms of all triplets."""
    slopes, active = triplet_counts(distances.detach(), relations, margin)
    total = (slopes * distances).sum() + margin * active.to(distances.dtype)
    return Terms(total, (relations.same.sum(1) * relations.different.sum(1)).sum(), active)


def soft_terms(distances: Tensor, relations: Relations, margin: float) -> Terms:
    """Return the terms of all triplets with a soft margin, from an array of ``items x others x others``."""
    terms = softplus(distances.unsqueeze(2) - distances.unsqueeze(1) + margin)
    counted = relations.same.unsqueeze(2) & relations.different.unsqueeze(1)
    return Terms(terms.where(counted, 0).sum(), counted.sum(), counted.sum())


def triplet_counts(distances: Tensor, relations: Relations, margin: float | Tensor) -> tuple[Tensor, Tensor]:
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

"""The triplet loss: all triplets at once, chosen ones, and a soft margin."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit._checks import flag, not_negative
from graphkit._kernels.triplets import batch_all, batch_all_soft
from graphkit.metric.blockwise import Sums, has_kernels, run_loss_kernel
from graphkit.metric.losses.abstract import AbstractLoss, Distance, Miner, Terms
from graphkit.metric.losses.exponentials import softplus
from graphkit.metric.pair_inputs import PairInputs
from graphkit.metric.relations import PairMasks
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

    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the terms of all triplets."""
        return [(soft_terms if self.soft else triplet_terms)(distances, masks, self.margin)]

    def tuple_terms(self, inputs: PairInputs, tuples: Pairs | Triplets | Quadruplets) -> list[Terms]:
        """Return the terms of inputs triplets."""
        anchor, positive, negative = as_triplets(tuples)
        excess = (
            self.pair_distances(inputs, anchor, positive) - self.pair_distances(inputs, anchor, negative) + self.margin
        )
        terms = softplus(excess) if self.soft else excess.relu()
        return [Terms(terms.sum(), torch.tensor(len(terms), device=terms.device), (terms > 0).sum())]

    def block_gradients(self, distances: Tensor, masks: PairMasks, out: Tensor) -> Sums:
        """Set ``out`` to the number of active triplets of every distance, negative for those that are to grow."""
        if not has_kernels(distances):
            return super().block_gradients(distances, masks, out)
        return run_loss_kernel(batch_all_soft if self.soft else batch_all, masks, (self.margin,), distances, out)


def triplet_terms(distances: Tensor, masks: PairMasks, margin: float | Tensor) -> Terms:
    """Return the terms of all triplets."""
    gradients, active = triplet_counts(distances.detach(), masks, margin)
    total = (gradients * distances).sum() + margin * active.to(distances.dtype)
    return Terms(total, (masks.positives.sum(1) * masks.negatives.sum(1)).sum(), active)


def soft_terms(distances: Tensor, masks: PairMasks, margin: float) -> Terms:
    """Return the terms of all triplets with a soft margin, from an array of ``items x others x others``."""
    terms = softplus(distances.unsqueeze(2) - distances.unsqueeze(1) + margin)
    counted = masks.positives.unsqueeze(2) & masks.negatives.unsqueeze(1)
    return Terms(terms.where(counted, 0).sum(), counted.sum(), counted.sum())


def triplet_counts(distances: Tensor, masks: PairMasks, margin: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return how often each distance counts in active triplets, signed, ``[items, others]``, and their number.

    The loss is the sum of these integers times the distances, plus the margin for every active triplet; they are also
    its derivative. Each anchor's thresholds are sorted, and every negative searched among them.
    """
    thresholds = torch.where(masks.positives, distances + margin, torch.inf).sort(1).values
    negatives = torch.where(masks.negatives, distances, torch.inf).sort(1).values
    nearer = torch.searchsorted(negatives, (distances + margin).contiguous())
    farther = masks.positives.sum(1, keepdim=True) - torch.searchsorted(thresholds, distances.contiguous(), right=True)
    gradients = torch.where(masks.positives, nearer, 0) - torch.where(masks.negatives, farther, 0)
    return gradients.to(distances.dtype), torch.where(masks.positives, nearer, 0).sum()

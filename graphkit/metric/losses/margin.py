"""Losses with a margin: the contrastive loss of Siamese networks, and the triplet loss."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from graphkit._checks import flag, not_negative
from graphkit._kernels.tuple_losses import batch_all_triplets, batch_all_triplets_soft, contrastive_loss
from graphkit.metric.blockwise import Sums, has_kernels, run_loss_kernel
from graphkit.metric.losses.abstract import AbstractLoss, Checks, Terms
from graphkit.metric.losses.softmax import softplus
from graphkit.metric.pair_inputs import PairInputs, PairMasks
from graphkit.metric.tuples import Pairs, Quadruplets, Triplets, as_pairs, as_triplets


@dataclass(eq=False)
class ContrastiveLoss(AbstractLoss):
    r"""Pulls pairs of one class together and pushes others apart until their margin.

    .. math::
        L = \tfrac12 \bigl[\, y \max(D - m_+, 0)^2 + (1 - y) \max(m - D, 0)^2 \,\bigr]

    with :math:`y = 1` for two items of one class. As it stands, with :math:`m_+ = 0`, pairs of a class are pulled until
    they coincide, while others rest at the margin; distances below 0, which only "dot" has, are near enough, and so are
    cosine distances of a rounding error. Pairs of a class count also where there is no other class.

    Args:
        margin: :math:`m`, at least 0, in units of the distance.
        positive_margin: :math:`m_+`, at least 0.
        distance: "euclidean", "squared", "cosine" or "dot", or a function of ``(z, reference)`` that returns all
            distances; embeddings are taken as they are, so a margin means something only where their length does.
        reduction: "mean" over all pairs, "active" over those whose term is above zero, or "sum" over ordered pairs.
            pytorch-metric-learning adds the mean of its active positive pairs and that of its active negative ones.
        differentiable, miner: see :class:`AbstractLoss`.

    Raises:
        ValueError: for margins below 0 or not finite, an unknown distance or reduction.

    Source: Hadsell, Chopra & LeCun (2006), "Dimensionality reduction by learning an invariant mapping", equation 4 with
    y = 1 for similar pairs, the reverse of theirs.

    Example:
        >>> z = torch.tensor([[0.0], [0.6], [1.0]])
        >>> round(ContrastiveLoss(1.0)(z, torch.tensor([0, 0, 1])).item(), 4)
        0.12
    """

    squared: ClassVar[bool] = True
    checks: ClassVar[Checks] = {"margin": not_negative, "positive_margin": not_negative}

    margin: float = 1.0
    _: KW_ONLY
    positive_margin: float = 0.0

    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the terms of all pairs."""
        pulled, pushed = self._excess(distances, distances)
        count = masks.positives.sum() + masks.negatives.sum()
        return _half_squares(pulled.where(masks.positives, 0), pushed.where(masks.negatives, 0), count)

    def tuple_terms(self, inputs: PairInputs, tuples: Pairs | Triplets | Quadruplets) -> list[Terms]:
        """Return the terms of given pairs."""
        anchor, positive, other, negative = as_pairs(tuples)
        return [
            self._terms_of(self.pair_distances(inputs, anchor, positive), self.pair_distances(inputs, other, negative))
        ]

    def _terms_of(self, near: Tensor, far: Tensor) -> Terms:
        pulled, pushed = self._excess(near, far)
        return _half_squares(pulled, pushed, torch.tensor(len(pulled) + len(pushed), device=pulled.device))[0]

    def block_gradients(self, distances: Tensor, masks: PairMasks, out: Tensor) -> Sums:
        """Set ``out`` to the excess of every pair over its margin."""
        if not has_kernels(distances):
            return super().block_gradients(distances, masks, out)
        margins = self.margin, self.positive_margin, self._rounding(distances)
        return run_loss_kernel(contrastive_loss, masks, margins, distances, out)

    def _excess(self, near: Tensor, far: Tensor) -> tuple[Tensor, Tensor]:
        """Return by how much positive pairs lie too far apart, and negative ones too near."""
        pulled = near - self.positive_margin
        return pulled.where(pulled > self._rounding(near), 0), (self.margin - far).relu()

    def _rounding(self, distances: Tensor) -> float:
        """Return what rounding leaves of the distance of equal rows: by the cosine, some ulps of one."""
        return 16 * torch.finfo(distances.dtype).eps if self.distance == "cosine" else 0.0


def _half_squares(pulled: Tensor, pushed: Tensor, count: Tensor) -> list[Terms]:
    """Return half the sum of squares of both excesses."""
    total = (pulled.square().sum() + pushed.square().sum()) / 2
    return [Terms(total, count, (pulled > 0).sum() + (pushed > 0).sum())]


@dataclass(eq=False)
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
        differentiable, miner: see :class:`AbstractLoss`.

    Raises:
        ValueError: for a margin below 0 or not finite, an unknown distance or reduction.

    Source: Schroff, Kalenichenko & Philbin (2015), arXiv:1503.03832; Hermans, Beyer & Leibe (2017), arXiv:1703.07737,
    for "batch all", "batch hard" (:class:`BatchHardMiner`) and the soft margin.

    Example:
        >>> z = torch.tensor([[0.0], [1.0], [1.5]])
        >>> round(TripletLoss(0.2)(z, torch.tensor([0, 0, 1])).item(), 4)
        0.35
    """

    exact_ties: ClassVar[bool] = True
    checks: ClassVar[Checks] = {"margin": not_negative, "soft": flag}

    margin: float = 0.2
    _: KW_ONLY
    soft: bool = False

    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the terms of all triplets."""
        return [(soft_terms if self.soft else triplet_terms)(distances, masks, self.margin)]

    def tuple_terms(self, inputs: PairInputs, tuples: Pairs | Triplets | Quadruplets) -> list[Terms]:
        """Return the terms of given triplets."""
        anchor, positive, negative = as_triplets(tuples)
        return [
            self._terms_of(self.pair_distances(inputs, anchor, positive), self.pair_distances(inputs, anchor, negative))
        ]

    def _terms_of(self, near: Tensor, far: Tensor) -> Terms:
        excess = near - far + self.margin
        terms = softplus(excess) if self.soft else excess.relu()
        return Terms(terms.sum(), torch.tensor(len(terms), device=terms.device), (terms > 0).sum())

    def block_gradients(self, distances: Tensor, masks: PairMasks, out: Tensor) -> Sums:
        """Set ``out`` to the number of active triplets of every distance, negative for those that are to grow."""
        if not has_kernels(distances):
            return super().block_gradients(distances, masks, out)
        return run_loss_kernel(
            batch_all_triplets_soft if self.soft else batch_all_triplets, masks, (self.margin,), distances, out
        )


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
    # Sort each anchor's thresholds, and its distances to negatives; pairs of the other kind go last.
    thresholds = torch.where(masks.positives, distances + margin, torch.inf).sort(1).values
    negatives = torch.where(masks.negatives, distances, torch.inf).sort(1).values
    # A positive is in as many active triplets as negatives lie below its threshold ...
    nearer = torch.where(masks.positives, torch.searchsorted(negatives, (distances + margin).contiguous()), 0)
    # ... and a negative in as many as thresholds lie above it.
    reached = torch.searchsorted(thresholds, distances.contiguous(), right=True)
    farther = torch.where(masks.negatives, masks.positives.sum(1, keepdim=True) - reached, 0)
    return (nearer - farther).to(distances.dtype), nearer.sum()


def contrastive_of_distances(near: Tensor, far: Tensor, margin: float) -> Tensor:
    """Return the contrastive loss of distances that are known: of pairs that belong together, and of others.

    Args:
        near, far: ``[pairs]`` and ``[others]``.
        margin: of :class:`ContrastiveLoss`.

    Example:
        >>> contrastive_of_distances(torch.tensor([0.5]), torch.tensor([0.8, 2.0]), 1.0)
        tensor(0.0483)
    """
    loss = ContrastiveLoss(margin)
    return loss._reduce([loss._terms_of(near, far)])


def triplet_of_distances(near: Tensor, far: Tensor, margin: float, *, soft: bool = False) -> Tensor:
    """Return the triplet loss of distances that are known, of anchors to what belongs to them and to what does not.

    Args:
        near, far: ``[triplets]`` each.
        margin, soft: of :class:`TripletLoss`.

    Example:
        >>> triplet_of_distances(torch.tensor([1.0, 1.0]), torch.tensor([1.2, 3.0]), 0.5)
        tensor(0.1500)
    """
    loss = TripletLoss(margin, soft=soft)
    return loss._reduce([loss._terms_of(near, far)])

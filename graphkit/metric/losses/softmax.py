"""Losses that are a softmax over all others: InfoNCE (NT-Xent) and the supervised contrastive loss."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit._checks import positive
from graphkit.metric.blockwise import Sums
from graphkit.metric.losses.abstract import AbstractLoss, Distance, Miner, Terms
from graphkit.metric.losses.exponentials import softplus
from graphkit.metric.relations import ABSENT, PairMasks


class InfoNCELoss(AbstractLoss):
    r"""Picks an item of its own class out among all items of others.

    .. math::
        L_{ap} = -\log \frac{\exp(-D_{ap} / \tau)}{\exp(-D_{ap} / \tau) + \sum_n \exp(-D_{an} / \tau)}

    Two views of the same things laid one after the other, with labels that say which thing a row is, make it NT-Xent.

    Args:
        temperature: :math:`\tau`, above 0.
        distance: "cosine", "euclidean", "squared" or "dot", or a function of ``(z, reference)`` that returns all
            distances.
        reduction: "mean" over all pairs of one class that have a negative, "active" likewise, or "sum".
        differentiable: "once": value and gradient together, block by block, in little memory; or "twice": all
            distances at once, for second derivatives (MAML) and ``torch.func``.
        miner: picks the tuples to look at, in place of all; one of ours or of pytorch-metric-learning.

    Raises:
        ValueError: for a temperature not above 0, an unknown distance or reduction.

    Source: van den Oord, Li & Vinyals (2018), arXiv:1807.03748, equation 4; Chen et al. (2020), arXiv:2002.05709,
    equation 1, for NT-Xent.

    Example:
        >>> z = torch.eye(2)[[0, 1, 0, 1]]
        >>> round(InfoNCELoss(1.0)(z, torch.tensor([0, 1, 0, 1])).item(), 4)
        0.5514
    """

    def __init__(
        self,
        temperature: float = 0.5,
        *,
        distance: Distance = "cosine",
        reduction: str = "mean",
        differentiable: str = "once",
        miner: Miner | None = None,
    ) -> None:
        super().__init__(distance=distance, reduction=reduction, differentiable=differentiable, miner=miner)
        self.temperature = positive("temperature", temperature)

    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the terms of all pairs of one class."""
        logits = -distances / self.temperature
        others = logits.where(masks.negatives, -torch.inf)
        wanted = masks.positives & masks.negatives.any(1, keepdim=True)
        mass = others.where(masks.negatives.any(1, keepdim=True), 0).logsumexp(1, keepdim=True)
        terms = softplus((mass - logits).where(wanted, 0)).where(wanted, 0)
        return [Terms(terms.sum(), wanted.sum(), wanted.sum())]

    def block_gradients(self, distances: Tensor, masks: PairMasks, out: Tensor) -> Sums:
        """Set ``out`` to the gradients: the row's softmax over its negatives, and the share each positive lacks."""
        equal = masks.y.unsqueeze(1) == masks.labels  # everybody here has a label
        torch.mul(distances, -1 / self.temperature, out=out)
        out.masked_fill_(equal, -torch.inf)
        largest = out.amax(1, keepdim=True)
        scale = largest.where(largest > -torch.inf, 0)
        mass = out.sub_(scale).exp_().sum(1)
        rows, columns = _without_oneself(equal, masks).logical_and_((mass > 0).unsqueeze(1)).nonzero().unbind(1)
        excess = (mass.log() + scale.squeeze(1))[rows] + distances[rows, columns] / self.temperature
        missed = excess.sigmoid()
        share = torch.zeros_like(mass).index_add_(0, rows, missed) / mass.where(mass > 0, 1)
        out.mul_((share / -self.temperature).unsqueeze(1))
        out[rows, columns] = missed / self.temperature
        return Sums(float(softplus(excess).sum(dtype=torch.float64)), len(rows), len(rows))


class SupervisedContrastiveLoss(AbstractLoss):
    r"""A softmax over all other items, in which those of the same class share the mass.

    .. math::
        L_a = -\frac{1}{|P_a|} \sum_{p \in P_a} \log \frac{\exp(-D_{ap} / \tau)}{\sum_{k \neq a} \exp(-D_{ak} / \tau)}

    Args:
        temperature: :math:`\tau`, above 0.
        distance: "cosine", "euclidean", "squared" or "dot", or a function of ``(z, reference)`` that returns all
            distances.
        reduction: "mean" over all items with an item of their class and one of another, "active" likewise, or "sum".
        differentiable: "once": value and gradient together, block by block, in little memory; or "twice": all
            distances at once, for second derivatives (MAML) and ``torch.func``.
        miner: picks the tuples to look at, in place of all; one of ours or of pytorch-metric-learning.

    Raises:
        ValueError: for a temperature not above 0, an unknown distance or reduction.

    Source: Khosla et al. (2020), arXiv:2004.11362, equation 2 (the mean outside the logarithm).

    Example:
        >>> z = torch.eye(2)[[0, 0, 1]]
        >>> round(SupervisedContrastiveLoss(1.0)(z, torch.tensor([0, 0, 1])).item(), 4)
        0.3133
    """

    def __init__(
        self,
        temperature: float = 0.1,
        *,
        distance: Distance = "cosine",
        reduction: str = "mean",
        differentiable: str = "once",
        miner: Miner | None = None,
    ) -> None:
        super().__init__(distance=distance, reduction=reduction, differentiable=differentiable, miner=miner)
        self.temperature = positive("temperature", temperature)

    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the terms of all items."""
        logits = -distances / self.temperature
        valid = masks.positives.any(1) & masks.negatives.any(1)
        everyone = masks.positives | masks.negatives
        mass = logits.where(everyone, -torch.inf).where(valid.unsqueeze(1), 0).logsumexp(1)
        mean = logits.where(masks.positives, 0).sum(1) / masks.positives.sum(1).clamp(min=1)
        return [Terms((mass - mean).where(valid, 0).sum(), valid.sum(), valid.sum())]

    def block_gradients(self, distances: Tensor, masks: PairMasks, out: Tensor) -> Sums:
        """Set ``out`` to the gradients: the row's softmax, less an equal share for each item of its class."""
        equal = masks.y.unsqueeze(1) == masks.labels  # everybody here has a label
        alone = len(masks.labels) - equal.sum(1) == 0
        same = _without_oneself(equal, masks)
        positives = same.sum(1)
        valid = (positives > 0) & ~alone
        torch.mul(distances, -1 / self.temperature, out=out)
        share = valid.to(out.dtype) / positives.clamp(min=1)
        mean = out.where(same, 0).sum(1) * share
        if masks.diagonal != ABSENT:
            out[_diagonal(masks)] = -torch.inf
        largest = out.amax(1, keepdim=True)
        scale = largest.where(largest > -torch.inf, 0)
        mass = out.sub_(scale).exp_().sum(1)
        out.mul_((valid / mass.where(mass > 0, 1)).unsqueeze(1))
        out.sub_(same * share.unsqueeze(1)).mul_(-1 / self.temperature)
        terms = (mass.log() + scale.squeeze(1) - mean).where(valid, 0)
        return Sums(float(terms.sum(dtype=torch.float64)), int(valid.sum()), int(valid.sum()))


def _diagonal(masks: PairMasks) -> tuple[Tensor, Tensor]:
    """Return the places at which the rows of a block meet themselves."""
    rows = torch.arange(len(masks.y), device=masks.y.device)
    return rows, rows + masks.diagonal


def _without_oneself(equal: Tensor, masks: PairMasks) -> Tensor:
    """Return pairs of one class without those of an item and itself; the mask is overwritten."""
    if masks.diagonal != ABSENT:
        equal[_diagonal(masks)] = False
    return equal

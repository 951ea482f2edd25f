"""Losses of exponentials: InfoNCE (NT-Xent), supervised contrastive, multi-similarity and circle loss."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from graphkit._checks import member, not_negative, number, positive
from graphkit.metric.blockwise import Sums
from graphkit.metric.losses.abstract import AbstractLoss, Checks, Distance, Terms
from graphkit.metric.pair_inputs import ABSENT, PairMasks

of_similarity = partial(member, known=("cosine", "dot"))
"""Refuses distances that are not made of a similarity."""


@dataclass(eq=False)
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
        differentiable, miner: see :class:`AbstractLoss`.

    Raises:
        ValueError: for a temperature not above 0, an unknown distance or reduction.

    Source: van den Oord, Li & Vinyals (2018), arXiv:1807.03748, equation 4; Chen et al. (2020), arXiv:2002.05709,
    equation 1, for NT-Xent.

    Example:
        >>> z = torch.eye(2)[[0, 1, 0, 1]]
        >>> round(InfoNCELoss(1.0)(z, torch.tensor([0, 1, 0, 1])).item(), 4)
        0.5514
    """

    checks: ClassVar[Checks] = {"temperature": positive}

    temperature: float = 0.5
    _: KW_ONLY
    distance: Distance = "cosine"

    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the terms of all positive pairs whose anchor has a negative."""
        logits = -distances / self.temperature
        others = logits.where(masks.negatives, -torch.inf)
        has_negative = masks.negatives.any(1, keepdim=True)
        counted = masks.positives & has_negative
        mass = others.where(has_negative, 0).logsumexp(1, keepdim=True)
        terms = softplus((mass - logits).where(counted, 0)).where(counted, 0)
        return [Terms(terms.sum(), counted.sum(), counted.sum())]

    def block_gradients(self, distances: Tensor, masks: PairMasks, out: Tensor) -> Sums:
        """Set ``out`` to the gradients: the row's softmax over its negatives, and the share each positive lacks."""
        equal = _equal_labels(masks)
        # The softmax over the negatives of each row, not yet divided by its mass.
        torch.mul(distances, -1 / self.temperature, out=out)
        out.masked_fill_(equal, -torch.inf)
        mass, log_mass = _exponentials(out)
        # How much of the probability each positive pair lacks.
        counted = _without_diagonal(equal, masks).logical_and_((mass > 0).unsqueeze(1))
        rows, columns = counted.nonzero().unbind(1)
        excess = log_mass[rows] + distances[rows, columns] / self.temperature
        missed = excess.sigmoid()
        # The negatives of a row share what its positives lack.
        share = torch.zeros_like(mass).index_add_(0, rows, missed) / mass.where(mass > 0, 1)
        out.mul_((share / -self.temperature).unsqueeze(1))
        out[rows, columns] = missed / self.temperature
        return Sums(float(softplus(excess).sum(dtype=torch.float64)), len(rows), len(rows))


@dataclass(eq=False)
class SupervisedContrastiveLoss(AbstractLoss):
    r"""A softmax over all other items, in which those of the same class share the mass.

    .. math::
        L_a = -\frac{1}{|P_a|} \sum_{p \in P_a} \log \frac{\exp(-D_{ap} / \tau)}{\sum_{k \neq a} \exp(-D_{ak} / \tau)}

    Args:
        temperature: :math:`\tau`, above 0.
        distance: "cosine", "euclidean", "squared" or "dot", or a function of ``(z, reference)`` that returns all
            distances.
        reduction: "mean" over all items with an item of their class and one of another, "active" likewise, or "sum".
        differentiable, miner: see :class:`AbstractLoss`.

    Raises:
        ValueError: for a temperature not above 0, an unknown distance or reduction.

    Source: Khosla et al. (2020), arXiv:2004.11362, equation 2 (the mean outside the logarithm).

    Example:
        >>> z = torch.eye(2)[[0, 0, 1]]
        >>> round(SupervisedContrastiveLoss(1.0)(z, torch.tensor([0, 0, 1])).item(), 4)
        0.3133
    """

    checks: ClassVar[Checks] = {"temperature": positive}

    temperature: float = 0.1
    _: KW_ONLY
    distance: Distance = "cosine"

    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the terms of all items that have a positive and a negative."""
        logits = -distances / self.temperature
        valid = masks.positives.any(1) & masks.negatives.any(1)
        everyone = masks.positives | masks.negatives
        mass = logits.where(everyone, -torch.inf).where(valid.unsqueeze(1), 0).logsumexp(1)
        mean = logits.where(masks.positives, 0).sum(1) / masks.positives.sum(1).clamp(min=1)
        return [Terms((mass - mean).where(valid, 0).sum(), valid.sum(), valid.sum())]

    def block_gradients(self, distances: Tensor, masks: PairMasks, out: Tensor) -> Sums:
        """Set ``out`` to the gradients: the row's softmax, less an equal share for each item of its class."""
        equal = _equal_labels(masks)
        has_negative = equal.sum(1) < len(masks.labels)
        positives = _without_diagonal(equal, masks)
        count = positives.sum(1)
        valid = (count > 0) & has_negative
        # The mean logit of the positives of each row.
        torch.mul(distances, -1 / self.temperature, out=out)
        share = valid.to(out.dtype) / count.clamp(min=1)
        mean = out.where(positives, 0).sum(1) * share
        # The softmax over all others, less the share of each positive.
        if masks.diagonal != ABSENT:
            out[_diagonal(masks)] = -torch.inf
        mass, log_mass = _exponentials(out)
        out.mul_((valid / mass.where(mass > 0, 1)).unsqueeze(1))
        out.sub_(positives * share.unsqueeze(1)).mul_(-1 / self.temperature)
        terms = (log_mass - mean).where(valid, 0)
        return Sums(float(terms.sum(dtype=torch.float64)), int(valid.sum()), int(valid.sum()))


@dataclass(eq=False)
class MultiSimilarityLoss(AbstractLoss):
    r"""Weighs each pair by its similarity, and by that of the anchor's other pairs.

    .. math::
        L_a = \frac{1}{\alpha} \log\Bigl(1 + \sum_{p} e^{-\alpha (S_{ap} - \lambda)}\Bigr)
            + \frac{1}{\beta} \log\Bigl(1 + \sum_{n} e^{\beta (S_{an} - \lambda)}\Bigr)

    Args:
        alpha: :math:`\alpha`, above 0.
        beta: :math:`\beta`, above 0.
        base: :math:`\lambda`, the similarity around which pairs are told apart.
        distance: "cosine" or "dot", whose similarity is 1 less the distance or its negative.
        reduction: "mean" over all items with a pair, "active" likewise, or "sum". pytorch-metric-learning divides by
            the number of all items.
        differentiable, miner: see :class:`AbstractLoss`.

    Raises:
        ValueError: for numbers out of range, an unknown distance or reduction.

    Source: Wang et al. (2019), arXiv:1904.06627, equation 15; its mining is :class:`MultiSimilarityMiner`.

    Example:
        >>> z = torch.eye(2)[[0, 0, 1]]
        >>> round(MultiSimilarityLoss()(z, torch.tensor([0, 0, 1])).item(), 4)
        0.1044
    """

    checks: ClassVar[Checks] = {"distance": of_similarity, "alpha": positive, "beta": positive, "base": number}

    alpha: float = 2.0
    beta: float = 50.0
    _: KW_ONLY
    base: float = 0.5
    distance: str = "cosine"

    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the terms of all items."""
        above = similarity(distances, self.distance) - self.base
        pulled = _log1p_sum_exp(-self.alpha * above, masks.positives) / self.alpha
        pushed = _log1p_sum_exp(self.beta * above, masks.negatives) / self.beta
        valid = masks.positives.any(1) | masks.negatives.any(1)
        return [Terms((pulled + pushed).sum(), valid.sum(), valid.sum())]


@dataclass(eq=False)
class CircleLoss(AbstractLoss):
    r"""Pulls and pushes each pair by how far it is from its optimum, at a pace of its own.

    .. math::
        L_a = \log\Bigl(1 + \sum_n e^{\gamma [S_{an} + m]_+ (S_{an} - m)}
              \sum_p e^{-\gamma [1 + m - S_{ap}]_+ (S_{ap} - 1 + m)}\Bigr)

    The weights in brackets count as constants in the gradient, as in the paper.

    Args:
        margin: :math:`m`, at least 0.
        scale: :math:`\gamma`, above 0.
        distance: "cosine" or "dot", whose similarity is 1 less the distance or its negative.
        reduction: "mean" over all items with an item of their class and one of another, "active" likewise, or "sum".
        differentiable, miner: see :class:`AbstractLoss`.

    Raises:
        ValueError: for numbers out of range, an unknown distance or reduction.

    Source: Sun et al. (2020), arXiv:2002.10857, equations 4 to 6 and 8.

    Example:
        >>> z = torch.eye(2)[[0, 0, 1, 1]]
        >>> round(CircleLoss(0.25, scale=4.0)(z, torch.tensor([0, 0, 1, 1])).item(), 4)
        0.7944
    """

    squared: ClassVar[bool] = True
    checks: ClassVar[Checks] = {"distance": of_similarity, "margin": not_negative, "scale": positive}

    margin: float = 0.25
    _: KW_ONLY
    scale: float = 80.0
    distance: str = "cosine"

    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the terms of all items that have a positive and a negative."""
        similarities = similarity(distances, self.distance)
        constant = similarities.detach()
        pushed = self.scale * (constant + self.margin).relu() * (similarities - self.margin)
        pulled = -self.scale * (1 + self.margin - constant).relu() * (similarities - 1 + self.margin)
        valid = masks.positives.any(1) & masks.negatives.any(1)
        exponents = _logsumexp(pushed, masks.negatives, valid) + _logsumexp(pulled, masks.positives, valid)
        return [Terms(softplus(exponents).where(valid, 0).sum(), valid.sum(), valid.sum())]


def similarity(distances: Tensor, distance: str) -> Tensor:
    """Return the similarity of two items, the larger the nearer."""
    return 1 - distances if distance == "cosine" else -distances


def softplus(x: Tensor) -> Tensor:
    """Return ``log(1 + exp(x))``; PyTorch's own returns ``x`` from 20 on, which is off by 2e-9.

    Below -40 it is ``exp(x)`` to the last digit, and ``logaddexp`` has a second derivative that is NaN from -88 on.
    """
    low = x < -40
    rest = torch.logaddexp(torch.where(low, 0, x), torch.zeros_like(x))
    return torch.where(low, torch.where(low, x, 0).exp(), rest)


def _logsumexp(exponents: Tensor, mask: Tensor, valid: Tensor) -> Tensor:
    """Return the logarithm of the sum of exponentials over a mask of each row; 0 in rows that are not valid."""
    mask = mask & valid.unsqueeze(1)
    return exponents.where(mask, -torch.inf).where(valid.unsqueeze(1), 0).logsumexp(1).where(valid, 0)


def _log1p_sum_exp(exponents: Tensor, mask: Tensor) -> Tensor:
    """Return the logarithm of one more than the sum of exponentials over a mask of each row."""
    one = exponents.new_zeros(len(exponents), 1)
    return torch.cat([exponents.where(mask, -torch.inf), one], dim=1).logsumexp(1)


def _exponentials(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Overwrite rows of logits by their exponentials over that of the largest; return their sums and the true logs."""
    largest = logits.amax(1, keepdim=True)
    scale = largest.where(largest > -torch.inf, 0)
    mass = logits.sub_(scale).exp_().sum(1)
    return mass, mass.log() + scale.squeeze(1)


def _equal_labels(masks: PairMasks) -> Tensor:
    """Return pairs of one class, those of an item and itself included, where everybody has a label."""
    return masks.y.unsqueeze(1) == masks.labels


def _diagonal(masks: PairMasks) -> tuple[Tensor, Tensor]:
    """Return the places at which the rows of a block meet themselves."""
    rows = torch.arange(len(masks.y), device=masks.y.device)
    return rows, rows + masks.diagonal


def _without_diagonal(equal: Tensor, masks: PairMasks) -> Tensor:
    """Return pairs of one class without those of an item and itself; the mask is overwritten."""
    if masks.diagonal != ABSENT:
        equal[_diagonal(masks)] = False
    return equal

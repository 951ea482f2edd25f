"""Losses that weigh pairs by how like they are: multi-similarity and circle."""

from __future__ import annotations

from torch import Tensor

from graphkit._checks import member, not_negative, number, positive
from graphkit.metric.losses.abstract import AbstractLoss, Miner, Terms
from graphkit.metric.losses.exponentials import masked_log1p_sum_exp, masked_logsumexp, softplus
from graphkit.metric.relations import PairMasks

SIMILARITY_DISTANCES = ("cosine", "dot")


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
        differentiable: "once": value and gradient together, block by block, in little memory; or "twice": all
            distances at once, for second derivatives (MAML) and ``torch.func``.
        miner: picks the pairs to look at, in place of all; one of ours or of pytorch-metric-learning.

    Raises:
        ValueError: for numbers out of range, an unknown distance or reduction.

    Source: Wang et al. (2019), arXiv:1904.06627, equation 15; its mining is :class:`MultiSimilarityMiner`.

    Example:
        >>> import torch
        >>> z = torch.eye(2)[[0, 0, 1]]
        >>> round(MultiSimilarityLoss()(z, torch.tensor([0, 0, 1])).item(), 4)
        0.1044
    """

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 50.0,
        *,
        base: float = 0.5,
        distance: str = "cosine",
        reduction: str = "mean",
        differentiable: str = "once",
        miner: Miner | None = None,
    ) -> None:
        member("distance", distance, SIMILARITY_DISTANCES)
        super().__init__(distance=distance, reduction=reduction, differentiable=differentiable, miner=miner)
        self.alpha, self.beta, self.base = positive("alpha", alpha), positive("beta", beta), number("base", base)

    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the terms of all items."""
        apart = similarity(distances, str(self.distance)) - self.base
        pulled = masked_log1p_sum_exp(-self.alpha * apart, masks.positives) / self.alpha
        pushed = masked_log1p_sum_exp(self.beta * apart, masks.negatives) / self.beta
        valid = masks.positives.any(1) | masks.negatives.any(1)
        return [Terms((pulled + pushed).sum(), valid.sum(), valid.sum())]


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
        differentiable: "once": value and gradient together, block by block, in little memory; or "twice": all
            distances at once, for second derivatives (MAML) and ``torch.func``.
        miner: picks the pairs to look at, in place of all; one of ours or of pytorch-metric-learning.

    Raises:
        ValueError: for numbers out of range, an unknown distance or reduction.

    Source: Sun et al. (2020), arXiv:2002.10857, equations 4 to 6 and 8.

    Example:
        >>> import torch
        >>> z = torch.eye(2)[[0, 0, 1, 1]]
        >>> round(CircleLoss(0.25, scale=4.0)(z, torch.tensor([0, 0, 1, 1])).item(), 4)
        0.7944
    """

    squared = True

    def __init__(
        self,
        margin: float = 0.25,
        *,
        scale: float = 80.0,
        distance: str = "cosine",
        reduction: str = "mean",
        differentiable: str = "once",
        miner: Miner | None = None,
    ) -> None:
        member("distance", distance, SIMILARITY_DISTANCES)
        super().__init__(distance=distance, reduction=reduction, differentiable=differentiable, miner=miner)
        self.margin, self.scale = not_negative("margin", margin), positive("scale", scale)

    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the terms of all items."""
        alike = similarity(distances, str(self.distance))
        pace = alike.detach()
        pushed = self.scale * (pace + self.margin).relu() * (alike - self.margin)
        pulled = -self.scale * (1 + self.margin - pace).relu() * (alike - 1 + self.margin)
        valid = masks.positives.any(1) & masks.negatives.any(1)
        masses = [masked_logsumexp(each, mask & valid.unsqueeze(1), valid) for each, mask in
                  ((pushed, masks.negatives), (pulled, masks.positives))]  # fmt: skip
        return [Terms(softplus(masses[0] + masses[1]).where(valid, 0).sum(), valid.sum(), valid.sum())]


def similarity(distances: Tensor, distance: str) -> Tensor:
    """Return how like two items are, the larger the nearer."""
    return 1 - distances if distance == "cosine" else -distances

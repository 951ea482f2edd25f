"""The contrastive loss of Siamese networks."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit._checks import not_negative
from graphkit._kernels.pairs import contrastive
from graphkit.metric.blockwise import Sums, has_kernels, run_loss_kernel
from graphkit.metric.losses.abstract import AbstractLoss, Distance, Miner, Terms
from graphkit.metric.pair_inputs import PairInputs
from graphkit.metric.relations import PairMasks
from graphkit.metric.tuples import Pairs, Quadruplets, Triplets, as_pairs


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
        differentiable: "once": value and gradient together, block by block, in little memory; or "twice": all
            distances at once, for second derivatives (MAML) and ``torch.func``.
        miner: picks the tuples to look at, in place of all; one of ours or of pytorch-metric-learning.

    Raises:
        ValueError: for margins below 0 or not finite, an unknown distance or reduction.

    Source: Hadsell, Chopra & LeCun (2006), "Dimensionality reduction by learning an invariant mapping", equation 4 with
    y = 1 for similar pairs, the reverse of theirs.

    Example:
        >>> import torch
        >>> z = torch.tensor([[0.0], [0.6], [1.0]])
        >>> round(ContrastiveLoss(1.0)(z, torch.tensor([0, 0, 1])).item(), 4)
        0.12
    """

    squared = True

    def __init__(
        self,
        margin: float = 1.0,
        *,
        positive_margin: float = 0.0,
        distance: Distance = "euclidean",
        reduction: str = "mean",
        differentiable: str = "once",
        miner: Miner | None = None,
    ) -> None:
        super().__init__(distance=distance, reduction=reduction, differentiable=differentiable, miner=miner)
        self.margin, self.positive_margin = (
            not_negative("margin", margin),
            not_negative("positive_margin", positive_margin),
        )

    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the terms of all pairs."""
        pulled, pushed = self._excess(distances, distances)
        return [_terms(pulled.where(masks.positives, 0), pushed.where(masks.negatives, 0), masks)]

    def tuple_terms(self, inputs: PairInputs, tuples: Pairs | Triplets | Quadruplets) -> list[Terms]:
        """Return the terms of inputs pairs."""
        anchor, positive, other, negative = as_pairs(tuples)
        pulled, pushed = self._excess(
            self.pair_distances(inputs, anchor, positive), self.pair_distances(inputs, other, negative)
        )
        count = torch.tensor(len(pulled) + len(pushed), device=pulled.device)
        total = (pulled.square().sum() + pushed.square().sum()) / 2
        return [Terms(total, count, (pulled > 0).sum() + (pushed > 0).sum())]

    def block_gradients(self, distances: Tensor, masks: PairMasks, out: Tensor) -> Sums:
        """Set ``out`` to the excess of every pair over its margin."""
        if not has_kernels(distances):
            return super().block_gradients(distances, masks, out)
        margins = self.margin, self.positive_margin, self._rounding(distances)
        return run_loss_kernel(contrastive, masks, margins, distances, out)

    def _excess(self, same: Tensor, different: Tensor) -> tuple[Tensor, Tensor]:
        pulled = same - self.positive_margin
        return pulled.where(pulled > self._rounding(same), 0), (self.margin - different).relu()

    def _rounding(self, distances: Tensor) -> float:
        """Return what rounding leaves of the distance of equal rows: by the cosine, some ulps of one."""
        return 16 * torch.finfo(distances.dtype).eps if self.distance == "cosine" else 0.0


def _terms(pulled: Tensor, pushed: Tensor, masks: PairMasks) -> Terms:
    total = (pulled.square().sum() + pushed.square().sum()) / 2
    count = masks.positives.sum() + masks.negatives.sum()
    return Terms(total, count, (pulled > 0).sum() + (pushed > 0).sum())

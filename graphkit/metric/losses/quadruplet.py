"""The quadruplet loss: triplets, and pairs of a class against pairs of two others."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit._checks import flag, not_negative
from graphkit._kernels.triplets import batch_all
from graphkit.metric.blockwise import (
    GradientAccumulator,
    Sums,
    accumulate_blocks,
    block_operands,
    has_kernels,
    run_loss_kernel,
)
from graphkit.metric.losses.abstract import AbstractLoss, Distance, Miner, Terms
from graphkit.metric.losses.quadruplets import mean_distances, quadruplet_sums
from graphkit.metric.losses.triplet import triplet_terms
from graphkit.metric.pair_inputs import PairInputs
from graphkit.metric.relations import PairMasks
from graphkit.metric.tuples import Pairs, Quadruplets, Triplets


class QuadrupletLoss(AbstractLoss):
    r"""Triplets, and any pair of one class nearer than any pair of two other classes.

    .. math::
        L = \operatorname{mean} \max(D_{ap} - D_{an} + m_1, 0)
          + \operatorname{mean} \max(D_{ap} - D_{kl} + m_2, 0)

    over all triplets, and over all quadruplets of four items in which :math:`a, p` are of one class, :math:`k` of a
    second and :math:`l` of a third. Exact in :math:`O(n^2 \log n)`: the thresholds :math:`D_{ap} + m_2` of all pairs of
    a class are sorted, globally and class by class, and every pair of two classes is searched among them. The memory
    is that of the pairs of a class.

    Args:
        margin1: :math:`m_1`, at least 0.
        margin2: :math:`m_2`, at least 0; the paper takes the smaller one here.
        adaptive: take the margins times the mean distance of two classes minus that of one, or zero where that is
            negative, anew at each call. With ``reduction="active"`` and the margins 1 and 0.5 that is the paper's
            online mining: what violates the batch's own margin is learnt from.
        distance: "euclidean", "squared", "cosine" or "dot", or a function of ``(z, reference)`` that returns all
            distances; embeddings are taken as they are, so a margin means something only where their length does.
        reduction: "mean" over all triplets and over all quadruplets, "active" over those whose term is above zero, or
            "sum" over ordered pairs.
        differentiable: "once": value and gradient together, block by block, in little memory; or "twice": all
            distances at once, for second derivatives (MAML) and ``torch.func``.
        miner: picks quadruplets to look at (:class:`Quadruplets`), in place of all.

    Raises:
        ValueError: for margins below 0 or not finite, an unknown distance or reduction.

    Source: Chen et al. (2017), arXiv:1704.01719, equation 7, with distances in place of their squares (take "squared"
    for those) and means in place of sums.

    Example:
        >>> z = torch.tensor([[0.0], [1.0], [5.0], [5.5]])
        >>> round(QuadrupletLoss(0.2, 0.1)(z, torch.tensor([0, 0, 1, 2])).item(), 4)
        0.6
    """

    def __init__(
        self,
        margin1: float = 1.0,
        margin2: float = 0.5,
        *,
        adaptive: bool = False,
        distance: Distance = "euclidean",
        reduction: str = "mean",
        differentiable: str = "once",
        miner: Miner | None = None,
    ) -> None:
        super().__init__(distance=distance, reduction=reduction, differentiable=differentiable, miner=miner)
        self.adaptive = flag("adaptive", adaptive)
        self.margin1, self.margin2 = not_negative("margin1", margin1), not_negative("margin2", margin2)

    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the terms of all triplets, and of all quadruplets."""
        first: float | Tensor = self.margin1
        second: float | Tensor = self.margin2
        if self.adaptive:
            known = distances.detach()
            near, far = (
                known.where(mask, 0).sum() / mask.sum().clamp(min=1) for mask in (masks.positives, masks.negatives)
            )
            first, second = first * (far - near).clamp(min=0), second * (far - near).clamp(min=0)
        gradients, active, count = quadruplet_counts(distances.detach(), masks, second)
        total = (gradients * distances).sum() + second * active.to(distances.dtype)
        return [triplet_terms(distances, masks, first), Terms(total, count, active)]

    def tuple_terms(self, inputs: PairInputs, tuples: Pairs | Triplets | Quadruplets) -> list[Terms]:
        """Return the terms of inputs quadruplets."""
        if not isinstance(tuples, Quadruplets):
            raise ValueError("`pairs` must be Quadruplets(anchor, positive, negative, second) for this loss.")
        if self.adaptive:
            raise ValueError("`adaptive` margins are those of a whole batch; give margins for chosen quadruplets.")
        near = self.pair_distances(inputs, tuples.anchor, tuples.positive)
        others = PairInputs(inputs.right, None, inputs.labels, inputs.labels)
        parts = (
            near - self.pair_distances(inputs, tuples.anchor, tuples.negative) + self.margin1,
            near - self.pair_distances(others, tuples.negative, tuples.second) + self.margin2,
        )
        count = torch.tensor(len(near), device=near.device)
        return [Terms(part.relu().sum(), count, (part > 0).sum()) for part in parts]

    def blockwise_sums(
        self, inputs: PairInputs, *, with_gradient: bool
    ) -> list[tuple[Sums, GradientAccumulator | None]]:
        """Return sums and gradients of all triplets, and of all quadruplets."""
        if not has_kernels(inputs.z):
            parts = self.terms(self.all_distances(inputs), inputs.masks)
            return [(Sums(float(part.total), int(part.tuples), int(part.active)), None) for part in parts]
        operands, distance = block_operands(inputs.z, inputs.others, str(self.distance)), str(self.distance)
        first, second = self.margin1, self.margin2
        if self.adaptive:
            means = mean_distances(operands, inputs.masks, distance)
            first, second = (margin * max(0.0, means[1] - means[0]) for margin in (first, second))

        def triplets(distances: Tensor, masks: PairMasks, out: Tensor) -> Sums:
            return run_loss_kernel(batch_all, masks, (first,), distances, out)

        return [
            accumulate_blocks(operands, inputs.masks, distance, triplets, with_gradient=with_gradient),
            quadruplet_sums(operands, inputs.masks, distance, second, with_gradient=with_gradient),
        ]

    def _blockwise_loss(self, inputs: PairInputs) -> Tensor:
        """Return the loss; away from the CPU all distances are held at once."""
        if not has_kernels(inputs.z):
            return self._reduce(self.terms(self.all_distances(inputs), inputs.masks))
        return super()._blockwise_loss(inputs)


def quadruplet_counts(distances: Tensor, masks: PairMasks, margin: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return how often each distance counts in active quadruplets, signed, their number, and that of all.

    The thresholds of all pairs of a class are sorted, and every pair of two classes searched among all of them and
    among those of either class, which do not count for it. Places in the order stand for the numbers, so that
    those of one class are found in one sorted list of (class, place).
    """
    classes = masks.labels.sort().values
    rows, columns = (_place(classes, labels) for labels in (masks.y, masks.labels))
    shape, every = distances.shape, distances.numel()
    same, different = masks.positives.flatten(), masks.negatives.flatten()
    values = distances.flatten()
    thresholds, order = torch.where(same, values + margin, torch.inf).sort(stable=True)
    place = order.argsort()
    nothing = 0 * place.view(shape)  # what vmap stacks must be stacked on both sides of a search
    left, right = (rows.unsqueeze(1) + nothing).flatten(), (columns + nothing).flatten()
    below = torch.where(different, _place(thresholds, values, right=True), every)

    # For each pair of two classes: the pairs of other classes whose threshold lies above it.
    width = every + 1
    nobody = (classes.numel() + 1) * width
    own = torch.where(same, left * width + place, nobody).sort().values
    positives = same.sum()

    def above(side: Tensor) -> Tensor:
        return _place(own, (side + 1) * width) - _place(own, side * width + below)

    farther = torch.where(different, positives - below - above(left) - above(right), 0)

    # For each pair of a class: the pairs of two other classes that lie below its threshold.
    ends = torch.cat([torch.where(different, side * width + below, nobody) for side in (left, right)]).sort().values

    def under(limit: Tensor) -> Tensor:
        touching = _place(ends, left * width + limit, right=True) - _place(ends, left * width)
        return _place(below.sort().values, limit, right=True) - touching

    nearer = torch.where(same, under(place), 0)
    apart = different.sum() - (_place(ends, (left + 1) * width) - _place(ends, left * width))
    gradients = (nearer - farther).to(distances.dtype).view(shape)
    return gradients, nearer.sum(), torch.where(same, apart, 0).sum()


def _place(ascending: Tensor, values: Tensor, *, right: bool = False) -> Tensor:
    """Return where values belong in a sorted tensor; ``vmap`` may hand over what is not contiguous."""
    return torch.searchsorted(ascending.contiguous(), values.contiguous(), right=right)

"""The quadruplet loss: triplets, and pairs of a class against pairs of two others, without visiting all of them."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import flag, not_negative
from graphkit._kernels import tuple_losses as kernels
from graphkit._kernels.tuple_losses import batch_all_triplets
from graphkit.metric.blockwise import (
    BLOCK,
    GradientAccumulator,
    Operands,
    Sums,
    accumulate_blocks,
    block_distances,
    block_operands,
    has_kernels,
    row_blocks,
    run_loss_kernel,
    run_over_block,
)
from graphkit.metric.losses.abstract import AbstractLoss, Checks, Terms
from graphkit.metric.losses.margin import triplet_terms
from graphkit.metric.pair_inputs import ABSENT, PairInputs, PairMasks
from graphkit.metric.tuples import Pairs, Quadruplets, Triplets


@dataclass(eq=False)
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
        differentiable: see :class:`AbstractLoss`.
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

    checks: ClassVar[Checks] = {"margin1": not_negative, "margin2": not_negative, "adaptive": flag}

    margin1: float = 1.0
    margin2: float = 0.5
    _: KW_ONLY
    adaptive: bool = False

    def terms(self, distances: Tensor, masks: PairMasks) -> list[Terms]:
        """Return the terms of all triplets, and of all quadruplets."""
        known = distances.detach()
        first: float | Tensor = self.margin1
        second: float | Tensor = self.margin2
        if self.adaptive:
            near = known.where(masks.positives, 0).sum() / masks.positives.sum().clamp(min=1)
            far = known.where(masks.negatives, 0).sum() / masks.negatives.sum().clamp(min=1)
            first, second = first * (far - near).clamp(min=0), second * (far - near).clamp(min=0)
        gradients, active, count = quadruplet_counts(known, masks, second)
        total = (gradients * distances).sum() + second * active.to(distances.dtype)
        return [triplet_terms(distances, masks, first), Terms(total, count, active)]

    def tuple_terms(self, inputs: PairInputs, tuples: Pairs | Triplets | Quadruplets) -> list[Terms]:
        """Return the terms of given quadruplets."""
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

    def fits_blocks(self, inputs: PairInputs) -> bool:
        """Tell whether the distances can be taken block by block: away from the CPU they are held at once."""
        return super().fits_blocks(inputs) and has_kernels(inputs.z)

    def blockwise_sums(
        self, inputs: PairInputs, *, with_gradient: bool
    ) -> list[tuple[Sums, GradientAccumulator | None]]:
        """Return sums and gradients of all triplets, and of all quadruplets."""
        operands = block_operands(inputs.z, inputs.others, str(self.distance))
        first, second = self.margin1, self.margin2
        if self.adaptive:
            near, far = mean_distances(operands, inputs.masks)
            first, second = first * max(0.0, far - near), second * max(0.0, far - near)

        def triplet_gradients(distances: Tensor, masks: PairMasks, out: Tensor) -> Sums:
            return run_loss_kernel(batch_all_triplets, masks, (first,), distances, out)

        return [
            accumulate_blocks(operands, inputs.masks, triplet_gradients, with_gradient=with_gradient),
            quadruplet_sums(operands, inputs.masks, second, with_gradient=with_gradient),
        ]


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

    # Sort the thresholds of all pairs of a class, and find every pair of two classes among them.
    thresholds, order = torch.where(same, values + margin, torch.inf).sort(stable=True)
    place = order.argsort()
    nothing = 0 * place.view(shape)  # what vmap stacks must be stacked on both sides of a search
    left, right = (rows.unsqueeze(1) + nothing).flatten(), (columns + nothing).flatten()
    below = torch.where(different, _place(thresholds, values, right=True), every)

    # For each pair of two classes: the pairs of other classes whose threshold lies above it.
    width = every + 1
    beyond = (classes.numel() + 1) * width
    own = torch.where(same, left * width + place, beyond).sort().values

    def above(side: Tensor) -> Tensor:
        return _place(own, (side + 1) * width) - _place(own, side * width + below)

    farther = torch.where(different, same.sum() - below - above(left) - above(right), 0)

    # For each pair of a class: the pairs of two other classes that lie below its threshold.
    ends = torch.cat([torch.where(different, side * width + below, beyond) for side in (left, right)]).sort().values
    touching = _place(ends, left * width + place, right=True) - _place(ends, left * width)
    nearer = torch.where(same, _place(below.sort().values, place, right=True) - touching, 0)

    apart = different.sum() - (_place(ends, (left + 1) * width) - _place(ends, left * width))
    gradients = (nearer - farther).to(distances.dtype).view(shape)
    return gradients, nearer.sum(), torch.where(same, apart, 0).sum()


def _place(ascending: Tensor, values: Tensor, *, right: bool = False) -> Tensor:
    """Return where values belong in a sorted tensor; ``vmap`` may hand over what is not contiguous."""
    return torch.searchsorted(ascending.contiguous(), values.contiguous(), right=right)


@dataclass(frozen=True, eq=False)
class ClassCodes:
    """Classes as numbers from 0, and how many pairs of a class each row has.

    Where both sides are the same items a pair is looked at once, and counts four times: a quadruplet is two ordered
    pairs.

    Args:
        y, labels: numbers of the classes of both sides; -1 takes no part.
        starts: how many pairs of a class the rows before each row have, ``[items + 1]``.
        pairs: number of pairs of each class ``[classes]``.
        tuples: number of all quadruplets.
        weight: how often each counts.
    """

    y: np.ndarray
    labels: np.ndarray
    starts: np.ndarray
    pairs: np.ndarray
    tuples: int
    weight: int


def class_codes(masks: PairMasks) -> ClassCodes:
    """Return the classes of both sides as numbers."""
    y, labels = (part.detach().cpu().numpy() for part in (masks.y, masks.labels))
    itself = masks.diagonal != ABSENT
    known = np.unique(np.concatenate((y[y >= 0], labels[labels >= 0])))
    rows, columns = (np.where(part >= 0, np.searchsorted(known, part), -1) for part in (y, labels))
    items, others = (np.bincount(part[part >= 0], minlength=len(known)) for part in (rows, columns))

    # Pairs of a class in each row; of the same items only those behind it in the order of rows.
    per_row = np.where(rows >= 0, others[rows] if len(known) else 0, 0)
    if itself:
        order = np.argsort(rows, kind="stable")
        within = np.empty(len(rows), dtype=np.int64)
        within[order] = np.arange(len(rows)) - np.searchsorted(rows[order], rows[order])
        per_row = np.where(rows >= 0, per_row - within - 1, 0)

    # All quadruplets: each pair of a class with the pairs of two classes that touch neither.
    weight = 1 + itself
    pairs = (items * (others - itself)) // weight
    apart = (items.sum() * others.sum() - (items * others).sum()) // weight
    touching = (items * (others.sum() - others) + others * (items.sum() - items)) // weight
    tuples = int((pairs * (apart - touching)).sum())
    return ClassCodes(rows, columns, np.concatenate(([0], np.cumsum(per_row))), pairs, tuples, weight**2)


def quadruplet_sums(
    operands: Operands, masks: PairMasks, margin: float, *, with_gradient: bool
) -> tuple[Sums, GradientAccumulator | None]:
    """Return the sums of all quadruplets' terms and their gathered gradient, by three passes over the distances."""
    codes, count = class_codes(masks), int(masks.diagonal != ABSENT)
    gathered = GradientAccumulator(operands) if with_gradient else None
    if not codes.tuples:
        return Sums(0.0, 0, 0), gathered
    bounds = row_blocks(len(operands.left), len(operands.right), BLOCK)

    def labels_of(start: int, stop: int) -> tuple[np.ndarray, np.ndarray, int]:
        return codes.y[start:stop], codes.labels, masks.diagonal + start * count

    # First pass: the distances of all pairs of a class; their thresholds are sorted, globally and class by class.
    near, owners = np.empty(codes.starts[-1]), np.empty(codes.starts[-1], dtype=np.int64)
    for start, stop in bounds:
        distances = block_distances(operands, start, stop)
        arrays = *labels_of(start, stop), codes.starts[start:stop]
        run_over_block(kernels.quadruplet_positives, distances, *arrays, distances.numpy(), near, owners)
    thresholds = near + margin
    order, class_order = np.argsort(thresholds), np.lexsort((thresholds, owners))
    every, of_class = thresholds[order], thresholds[class_order]
    class_starts = np.concatenate(([0], np.cumsum(codes.pairs)))

    # Second pass: every pair of two classes is searched among them, which gives its gradient; where it lies is counted.
    below = np.zeros(len(every) + 1, dtype=np.int64)
    below_of_class = np.zeros(len(every) + len(codes.pairs), dtype=np.int64)
    total, active = 0.0, 0
    for start, stop in bounds:
        distances = block_distances(operands, start, stop)
        gradients, sums = torch.empty_like(distances), np.empty((stop - start, 3))
        kernels.quadruplet_negatives(
            0, stop - start, codes.starts, *labels_of(start, stop), every, of_class,
            class_starts, distances.numpy(), gradients.numpy(), below, below_of_class, sums,
        )  # fmt: skip
        total, active = total - sums[:, 0].sum(), active + int(sums[:, 2].sum())
        if gathered is not None:
            gathered.add(start, stop, distances, gradients)

    # Third pass: the gradients of the pairs of a class, of which each threshold has its count.
    counts = kernels.pairs_below_thresholds(
        order, class_order, owners[class_order], class_starts, below, below_of_class
    )
    total = float(total + (counts * thresholds).sum())
    if gathered is not None:
        for start, stop in bounds:
            distances = block_distances(operands, start, stop)
            gradients = torch.zeros_like(distances)
            arrays = *labels_of(start, stop), codes.starts[start:stop]
            run_over_block(kernels.quadruplet_counts, gradients, *arrays, counts, gradients.numpy())
            gathered.add(start, stop, distances, gradients)
        gathered.left.mul_(codes.weight)
        gathered.right.mul_(codes.weight)
    return Sums(total * codes.weight, codes.tuples * codes.weight, active * codes.weight), gathered


def mean_distances(operands: Operands, masks: PairMasks) -> tuple[float, float]:
    """Return the mean distance of two items of one class, and of two; 0 where there is no pair."""

    def positive_sums(distances: Tensor, masks: PairMasks, out: Tensor) -> Sums:
        return _masked_sums(distances, masks.positives)

    def negative_sums(distances: Tensor, masks: PairMasks, out: Tensor) -> Sums:
        return _masked_sums(distances, masks.negatives)

    near, _ = accumulate_blocks(operands, masks, positive_sums, with_gradient=False)
    far, _ = accumulate_blocks(operands, masks, negative_sums, with_gradient=False)
    return near.total / max(1, near.tuples), far.total / max(1, far.tuples)


def _masked_sums(distances: Tensor, mask: Tensor) -> Sums:
    """Return the sum of the distances of a mask, and their number."""
    return Sums(float(distances.where(mask, 0).sum(dtype=torch.float64)), int(mask.sum()), 0)

"""All quadruplets without visiting them: two passes over the distances around a sort of the thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphkit._kernels import quadruplets as kernels
from graphkit.metric.blockwise import (
    BLOCK,
    GradientAccumulator,
    Operands,
    Sums,
    accumulate_blocks,
    block_distances,
    row_blocks,
    run_over_block,
)
from graphkit.metric.relations import ABSENT, PairMasks


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
    per_row = np.where(rows >= 0, others[rows] if len(known) else 0, 0)
    if itself:  # those behind it in the order of rows
        order = np.argsort(rows, kind="stable")
        within = np.empty(len(rows), dtype=np.int64)
        within[order] = np.arange(len(rows)) - np.searchsorted(rows[order], rows[order])
        per_row = np.where(rows >= 0, per_row - within - 1, 0)
    weight = 1 + itself
    pairs = (items * (others - itself)) // weight
    apart = (items.sum() * others.sum() - (items * others).sum()) // weight
    touching = (items * (others.sum() - others) + others * (items.sum() - items)) // weight
    tuples = int((pairs * (apart - touching)).sum())
    return ClassCodes(rows, columns, np.concatenate(([0], np.cumsum(per_row))), pairs, tuples, weight**2)


def quadruplet_sums(
    operands: Operands, masks: PairMasks, distance: str, margin: float, *, with_gradient: bool
) -> tuple[Sums, GradientAccumulator | None]:
    """Return the sums of all quadruplets' terms, and what their gradients gather to."""
    codes, count = class_codes(masks), int(masks.diagonal != ABSENT)
    gathered = GradientAccumulator(operands, distance) if with_gradient else None
    if not codes.tuples:
        return Sums(0.0, 0, 0), gathered
    own = masks.diagonal
    near, owners = np.empty(codes.starts[-1]), np.empty(codes.starts[-1], dtype=np.int64)
    bounds = row_blocks(len(operands.left), len(operands.right), BLOCK)
    for start, stop in bounds:
        distances = block_distances(operands, start, stop, distance)
        arrays = codes.y[start:stop], codes.labels, own + start * count, codes.starts[start:stop]
        run_over_block(kernels.positives, distances, *arrays, distances.numpy(), near, owners)

    thresholds = near + margin
    order, class_order = np.argsort(thresholds), np.lexsort((thresholds, owners))
    every, of_class = thresholds[order], thresholds[class_order]
    class_starts = np.concatenate(([0], np.cumsum(codes.pairs)))
    below = np.zeros(len(every) + 1, dtype=np.int64)
    below_of_class = np.zeros(len(every) + len(codes.pairs), dtype=np.int64)
    total, active = 0.0, 0
    for start, stop in bounds:
        distances = block_distances(operands, start, stop, distance)
        gradients, sums = torch.empty_like(distances), np.empty((stop - start, 3))
        kernels.negatives(
            0, stop - start, codes.starts, codes.y[start:stop], codes.labels, own + start * count, every, of_class,
            class_starts, distances.numpy(), gradients.numpy(), below, below_of_class, sums,
        )  # fmt: skip
        total, active = total - sums[:, 0].sum(), active + int(sums[:, 2].sum())
        if gathered is not None:
            gathered.add(start, stop, distances, gradients)

    counts = kernels.counts_of_thresholds(order, class_order, owners[class_order], class_starts, below, below_of_class)
    total = float(total + (counts * thresholds).sum())
    if gathered is not None:
        for start, stop in bounds:
            distances = block_distances(operands, start, stop, distance)
            gradients = torch.zeros_like(distances)
            arrays = codes.y[start:stop], codes.labels, own + start * count, codes.starts[start:stop]
            run_over_block(kernels.nearer, gradients, *arrays, counts, gradients.numpy())
            gathered.add(start, stop, distances, gradients)
        gathered.times(codes.weight)
    return Sums(total * codes.weight, codes.tuples * codes.weight, active * codes.weight), gathered


def mean_distances(operands: Operands, masks: PairMasks, distance: str) -> tuple[float, float]:
    """Return the mean distance of two items of one class, and of two; 0 where there is no pair."""
    means = []
    for mask in ("positives", "negatives"):

        def summed(distances: Tensor, part: PairMasks, out: Tensor, mask: str = mask) -> Sums:
            chosen = getattr(part, mask)
            return Sums(float(distances.where(chosen, 0).sum(dtype=torch.float64)), int(chosen.sum()), 0)

        found, _ = accumulate_blocks(operands, masks, distance, summed, with_gradient=False)
        means.append(found.total / max(1, found.tuples))
    return means[0], means[1]

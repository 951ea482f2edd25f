"""All quadruplets without visiting them: two passes over the distances around a sort of the thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphkit._kernels import tuple_losses as kernels
from graphkit.metric.relations import NOBODY, Relations
from graphkit.metric.streaming import BLOCK, Gradient, Sides, Sums, block_distances, blocks, over_block, streamed


@dataclass(frozen=True, eq=False)
class Codes:
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


def codes_of(relations: Relations) -> Codes:
    """Return the classes of both sides as numbers."""
    y, labels = (part.detach().cpu().numpy() for part in (relations.y, relations.labels))
    itself = relations.own != NOBODY
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
    return Codes(rows, columns, np.concatenate(([0], np.cumsum(per_row))), pairs, tuples, weight**2)


def streamed_quadruplets(
    seen: Sides, relations: Relations, distance: str, margin: float, *, gradient: bool
) -> tuple[Sums, Gradient | None]:
    """Return the sums of all quadruplets' terms, and what their slopes gather to."""
    codes, count = codes_of(relations), int(relations.own != NOBODY)
    gathered = Gradient(seen, distance) if gradient else None
    if not codes.tuples:
        return Sums(0.0, 0, 0), gathered
    own = relations.own
    near, owners = np.empty(codes.starts[-1]), np.empty(codes.starts[-1], dtype=np.int64)
    bounds = blocks(len(seen.left), len(seen.right), BLOCK)
    for start, stop in bounds:
        distances = block_distances(seen, start, stop, distance)
        arrays = codes.y[start:stop], codes.labels, own + start * count, codes.starts[start:stop]
        over_block(kernels.quadruplet_positives, distances, *arrays, distances.numpy(), near, owners)

    thresholds = near + margin
    order, class_order = np.argsort(thresholds), np.lexsort((thresholds, owners))
    every, of_class = thresholds[order], thresholds[class_order]
    class_starts = np.concatenate(([0], np.cumsum(codes.pairs)))
    below = np.zeros(len(every) + 1, dtype=np.int64)
    below_of_class = np.zeros(len(every) + len(codes.pairs), dtype=np.int64)
    total, active = 0.0, 0
    for start, stop in bounds:
        distances = block_distances(seen, start, stop, distance)
        slopes, sums = torch.empty_like(distances), np.empty((stop - start, 3))
        kernels.quadruplet_negatives(
            0, stop - start, codes.starts, codes.y[start:stop], codes.labels, own + start * count, every, of_class,
            class_starts, distances.numpy(), slopes.numpy(), below, below_of_class, sums,
        )  # fmt: skip
        total, active = total - sums[:, 0].sum(), active + int(sums[:, 2].sum())
        if gathered is not None:
            gathered.add(start, stop, distances, slopes)

    counts = kernels.pairs_below_thresholds(
        order, class_order, owners[class_order], class_starts, below, below_of_class
    )
    total = float(total + (counts * thresholds).sum())
    if gathered is not None:
        for start, stop in bounds:
            distances = block_distances(seen, start, stop, distance)
            slopes = torch.zeros_like(distances)
            arrays = codes.y[start:stop], codes.labels, own + start * count, codes.starts[start:stop]
            over_block(kernels.quadruplet_counts, slopes, *arrays, counts, slopes.numpy())
            gathered.add(start, stop, distances, slopes)
        gathered.times(codes.weight)
    return Sums(total * codes.weight, codes.tuples * codes.weight, active * codes.weight), gathered


def mean_distances(seen: Sides, relations: Relations, distance: str) -> tuple[float, float]:
    """Return the mean distance of two items of one class, and of two; 0 where there is no pair."""
    means = []
    for mask in ("same", "different"):

        def summed(distances: Tensor, part: Relations, out: Tensor, mask: str = mask) -> Sums:
            chosen = getattr(part, mask)
            return Sums(float(distances.where(chosen, 0).sum(dtype=torch.float64)), int(chosen.sum()), 0)

        found, _ = streamed(seen, relations, distance, summed, gradient=False)
        means.append(found.total / max(1, found.tuples))
    return means[0], means[1]

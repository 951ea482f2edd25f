"""All quadruplets at once: the thresholds of all pairs of a class, sorted globally and class by class.

A quadruplet is a pair of a class and a pair of two other classes. A pair of two classes is searched among all
thresholds and among those of either class, which do not count for it; histograms of the places found tell in turn how
many pairs of two classes lie below each threshold. Classes are numbers from 0; -1 takes no part.
"""

from __future__ import annotations

import numpy as np

from graphkit._kernels.compiled import kernel
from graphkit._kernels.triplets import upper_bound


@kernel
def positives(start, stop, pointers, y, labels, own, starts, distances, out, owners):
    """Write the distances of each row's pairs of a class to ``out``, and their class to ``owners``.

    Args:
        starts: where each row's pairs begin in ``out`` ``[rows]``. Where both sides are the same items, only pairs
            above the diagonal are looked at.
    """
    for i in range(start, stop):
        entry = starts[i]
        if y[i] < 0:
            continue
        for j in range(max(0, own + i + 1), len(labels)):
            if labels[j] == y[i]:
                out[entry] = distances[i, j]
                owners[entry] = y[i]
                entry += 1


@kernel
def negatives(
    start, stop, pointers, y, labels, own, every, of_class, class_starts, distances, slopes, below, below_of_class, out
):
    """Set ``slopes`` to minus the number of active quadruplets of each pair of two classes, and count places.

    Args:
        every: all thresholds, ascending.
        of_class: the thresholds of one class after another, ascending in each, as 64-bit numbers.
        class_starts: where each class begins in ``of_class``, ``[classes + 1]``.
        below: ``[thresholds + 1]``; one is added at the place of every pair among all thresholds. One thread only.
        below_of_class: ``[thresholds + classes]``; likewise at its place among those of either class, each class having
            a place more than it has thresholds.
        out: ``[rows, 3]``: minus the sum of slopes times distances, the number of pairs, the number of quadruplets.
    """
    thresholds = len(every)
    for i in range(start, stop):
        row, lengths = slopes[i], distances[i]
        total, pairs, active = 0.0, 0, 0
        row[:] = 0
        first = y[i]
        if first >= 0:
            for j in range(max(0, own + i + 1), len(labels)):
                second = labels[j]
                if second < 0 or second == first:
                    continue
                pairs += 1
                length = float(lengths[j])
                place = upper_bound(every, 0, thresholds, length)
                below[place] += 1
                count = thresholds - place
                if count == 0:
                    continue
                for side in (first, second):
                    low, high = class_starts[side], class_starts[side + 1]
                    found = upper_bound(of_class, low, high, length)
                    below_of_class[found + side] += 1
                    count -= high - found
                row[j] = -count
                total += count * length
                active += count
        out[i, 0], out[i, 1], out[i, 2] = total, pairs, active


@kernel
def nearer(start, stop, pointers, y, labels, own, starts, counts, slopes):
    """Set ``slopes`` of every pair of a class to the number of pairs of two other classes below its threshold."""
    for i in range(start, stop):
        row, entry = slopes[i], starts[i]
        if y[i] < 0:
            continue
        for j in range(max(0, own + i + 1), len(labels)):
            if labels[j] == y[i]:
                row[j] = counts[entry]
                entry += 1


def counts_of_thresholds(
    order: np.ndarray,
    class_order: np.ndarray,
    classes: np.ndarray,
    class_starts: np.ndarray,
    below: np.ndarray,
    below_of_class: np.ndarray,
) -> np.ndarray:
    """Return for each pair of a class how many pairs of two other classes lie below its threshold, ``[pairs]``.

    Args:
        order: the pairs by threshold.
        class_order: the pairs by class, then by threshold.
        classes: the class of each, in that order.
        class_starts: where each class begins in it.
        below: how many pairs of two classes have each place among all thresholds.
        below_of_class: how many that touch a class have each place among its thresholds.
    """
    counts = np.empty(len(order), dtype=np.int64)
    counts[order] = np.cumsum(below)[:-1]
    touching = np.concatenate(([0], np.cumsum(below_of_class)))
    first = class_starts[classes] + classes
    counts[class_order] -= touching[np.arange(len(order)) + classes + 1] - touching[first]
    return counts

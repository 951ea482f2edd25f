"""Losses over all pairs, triplets and quadruplets of a batch: distances, terms, and the gradient by each distance.

Labels are numbers from 0; -1 takes no part. Kernels take a range of rows first, and ``indptr``, which they do not
read: it tells how much work a row is.
"""

from __future__ import annotations

import math

import numpy as np

from graphkit._kernels.compiler import exact_kernel, kernel

EUCLIDEAN, SQUARED, INNER = 0, 1, 2


TILE = 1024
"""Others at a time: their distances stay in the first cache while the features go by."""


@exact_kernel
def distances(start, stop, indptr, left, columns, kind, out):
    """Set ``out`` to distances, summed up feature by feature in a fixed order: equal rows have equal distances.

    Args:
        indptr: unused; tells how much work a row is.
        left: ``[rows, features]``.
        columns: the others ``[features, others]``.
        kind: ``EUCLIDEAN``, ``SQUARED`` or ``INNER`` (minus the inner product).
    """
    features, others = columns.shape
    for i in range(start, stop):
        for low in range(0, others, TILE):
            row = out[i, low : min(low + TILE, others)]
            row[:] = 0
            for f in range(features):
                value, column = left[i, f], columns[f, low : min(low + TILE, others)]
                if kind == INNER:
                    for j in range(len(row)):
                        row[j] -= value * column[j]
                else:
                    for j in range(len(row)):
                        row[j] += (value - column[j]) * (value - column[j])
            if kind == EUCLIDEAN:
                for j in range(len(row)):
                    row[j] = np.sqrt(row[j])


@kernel
def divide_by_distances(start, stop, indptr, distances, gradients):
    """Divide every slope by its distance; where that is zero the slope is zero too."""
    zero, one = gradients.dtype.type(0), gradients.dtype.type(1)
    for i in range(start, stop):
        row, lengths = gradients[i], distances[i]
        for j in range(len(row)):
            apart = lengths[j] > zero
            row[j] = row[j] / (lengths[j] if apart else one) if apart else zero


@kernel
def contrastive_loss(start, stop, indptr, y, labels, own, margin, positive_margin, rounding, distances, gradients, out):
    """Set ``gradients`` to the derivative of the contrastive loss by each distance, and ``out[i]`` to a row's sums.

    Args:
        y, labels: integer labels of rows and others; -1 takes no part.
        own: place of row 0 among the others; far below 0 if there is none.
        rounding: an excess of a pair of one class up to here is none.
        out: ``[rows, 3]``: the sum of the terms, how many there are, how many are above zero.
    """
    zero, least = gradients.dtype.type(0), gradients.dtype.type(rounding)
    nearest, farthest = gradients.dtype.type(margin), gradients.dtype.type(positive_margin)
    for i in range(start, stop):
        row, lengths = gradients[i], distances[i]
        total, tuples, active = 0.0, 0, 0
        for j in range(len(row)):
            row[j] = zero
            if y[i] < 0 or labels[j] < 0 or j == own + i:
                continue
            excess = lengths[j] - farthest if y[i] == labels[j] else lengths[j] - nearest
            tuples += 1
            if (excess > least) if y[i] == labels[j] else (excess < zero):
                row[j] = excess
                total += 0.5 * float(excess) * float(excess)
                active += 1
        out[i, 0], out[i, 1], out[i, 2] = total, tuples, active


@kernel
def upper_bound(values, low, high, key):
    """Return the first place from ``low`` to ``high`` whose value is above ``key``."""
    while low < high:
        middle = (low + high) >> 1
        if values[middle] <= key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def batch_all_triplets(start, stop, indptr, y, labels, own, margin, distances, gradients, out):
    """Set ``gradients`` to how often a distance counts in triplets of positive terms, and ``out[i]`` to a row's sums.

    A triplet of anchor i has the term ``d[p] + margin - d[n]`` where that is positive. With the thresholds
    ``d[p] + margin`` of the few positives sorted, a negative counts for all thresholds above it, and a threshold for
    all negatives below it: the derivative is an integer.

    Args:
        y, labels: integer labels of rows and others; -1 takes no part.
        own: place of row 0 among the others; far below 0 if there is none.
        out: ``[rows, 3]``: the sum of the terms, how many there are, how many are above zero.
    """
    others = distances.shape[1]
    thresholds, places = np.empty(others), np.empty(others, dtype=np.int64)
    below, above = np.empty(others + 1, dtype=np.int64), np.empty(others + 1)
    for i in range(start, stop):
        row, lengths = gradients[i], distances[i]
        row[:] = 0
        out[i, :] = 0
        if y[i] < 0:
            continue
        positives, negatives = 0, 0
        for j in range(others):
            if labels[j] == y[i] and j != own + i:
                thresholds[positives] = float(lengths[j]) + margin
                places[positives] = j
                positives += 1
            negatives += labels[j] >= 0 and labels[j] != y[i]
        if positives == 0 or negatives == 0:
            continue
        # Thresholds in order, and the sum of all above each.
        order = np.argsort(thresholds[:positives])
        ascending = thresholds[:positives][order]
        above[positives] = 0.0
        for k in range(positives - 1, -1, -1):
            above[k] = above[k + 1] + ascending[k]
        # Each negative is searched among the thresholds.
        below[: positives + 1] = 0
        total, active, largest = 0.0, 0, ascending[positives - 1]
        for j in range(others):
            length = float(lengths[j])
            if length < largest and labels[j] >= 0 and labels[j] != y[i]:
                k = upper_bound(ascending, 0, positives, length)
                below[k] += 1
                farther = positives - k
                row[j] = -farther
                active += farther
                total += above[k] - farther * length
        # Cumulated, the counts are the positives' gradients.
        nearer = 0
        for k in range(positives):
            nearer += below[k]
            row[places[order[k]]] = nearer
        out[i, 0], out[i, 1], out[i, 2] = total, positives * negatives, active


@kernel
def batch_all_triplets_soft(start, stop, indptr, y, labels, own, margin, distances, gradients, out):
    """Set what ``batch_all_triplets`` sets, of the term ``log(1 + exp(d[p] + margin - d[n]))``, triplet by triplet."""
    others = distances.shape[1]
    positive, negative = np.empty(others, dtype=np.int64), np.empty(others, dtype=np.int64)
    for i in range(start, stop):
        row, lengths = gradients[i], distances[i]
        row[:] = 0
        out[i, :] = 0
        if y[i] < 0:
            continue
        positives, negatives = 0, 0
        for j in range(others):
            if labels[j] == y[i] and j != own + i:
                positive[positives] = j
                positives += 1
            elif labels[j] >= 0 and labels[j] != y[i]:
                negative[negatives] = j
                negatives += 1
        pushed, total = np.zeros(negatives), 0.0
        for p in range(positives):
            threshold, pulled = float(lengths[positive[p]]) + margin, 0.0
            for n in range(negatives):
                excess = threshold - float(lengths[negative[n]])
                small = math.exp(-abs(excess))
                total += max(excess, 0.0) + math.log1p(small)
                slope = 1.0 / (1.0 + small) if excess >= 0 else small / (1.0 + small)
                pulled += slope
                pushed[n] += slope
            row[positive[p]] = pulled
        for n in range(negatives):
            row[negative[n]] = -pushed[n]
        out[i, 0], out[i, 1], out[i, 2] = total, positives * negatives, positives * negatives


@kernel
def quadruplet_positives(start, stop, indptr, y, labels, own, starts, distances, out, owners):
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
def quadruplet_negatives(
    start, stop, indptr, y, labels, own, every, of_class, class_starts, distances, gradients, below, below_of_class, out
):
    """Set ``gradients`` to minus the number of active quadruplets of each pair of two classes, and count places.

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
        row, lengths = gradients[i], distances[i]
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
def quadruplet_counts(start, stop, indptr, y, labels, own, starts, counts, gradients):
    """Set ``gradients`` of every pair of a class to the number of pairs of two other classes below its threshold."""
    for i in range(start, stop):
        row, entry = gradients[i], starts[i]
        if y[i] < 0:
            continue
        for j in range(max(0, own + i + 1), len(labels)):
            if labels[j] == y[i]:
                row[j] = counts[entry]
                entry += 1


def pairs_below_thresholds(
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

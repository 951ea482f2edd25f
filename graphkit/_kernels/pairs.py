"""Distances of a block of rows to all others, and the way back from a slope per distance to one per feature."""

from __future__ import annotations

import numpy as np

from graphkit._kernels.compiled import exact_kernel, kernel

EUCLIDEAN, SQUARED, INNER = 0, 1, 2


TILE = 1024
"""Others at a time: their distances stay in the first cache while the features go by."""


@exact_kernel
def distances(start, stop, pointers, left, columns, kind, out):
    """Set ``out`` to distances, summed up feature by feature in a fixed order: equal rows have equal distances.

    Args:
        pointers: unused; tells how much work a row is.
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
def over_distances(start, stop, pointers, distances, slopes):
    """Divide every slope by its distance; where that is zero the slope is zero too."""
    zero, one = slopes.dtype.type(0), slopes.dtype.type(1)
    for i in range(start, stop):
        row, lengths = slopes[i], distances[i]
        for j in range(len(row)):
            apart = lengths[j] > zero
            row[j] = row[j] / (lengths[j] if apart else one) if apart else zero


@kernel
def contrastive(start, stop, pointers, y, labels, own, margin, positive_margin, rounding, distances, slopes, out):
    """Set ``slopes`` to the derivative of the contrastive loss by each distance, and ``out[i]`` to a row's sums.

    Args:
        y, labels: integer labels of rows and others; -1 takes no part.
        own: place of row 0 among the others; far below 0 if there is none.
        rounding: an excess of a pair of one class up to here is none.
        out: ``[rows, 3]``: the sum of the terms, how many there are, how many are above zero.
    """
    zero, least = slopes.dtype.type(0), slopes.dtype.type(rounding)
    nearest, farthest = slopes.dtype.type(margin), slopes.dtype.type(positive_margin)
    for i in range(start, stop):
        row, lengths = slopes[i], distances[i]
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

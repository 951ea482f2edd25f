"""Distances of a block of rows to all others, and the way back from a slope per distance to one per feature."""

from __future__ import annotations

from graphkit._kernels.compiled import kernel


@kernel
def euclidean(start, stop, pointers, inner, left, right, left_squares, right_squares, own, near, root, out):
    """Set ``out`` to Euclidean distances, from inner products where those are accurate, from differences elsewhere.

    Args:
        pointers: unused; tells how much work a row is.
        inner: inner products ``[rows, others]``; may be ``out`` itself.
        left, right: ``[rows, features]`` and ``[others, features]``.
        left_squares, right_squares: their squared lengths.
        own: place of row 0 among the others, where the distance is 0; far below 0 if there is none.
        near: share of the squared lengths below which a squared distance is summed up feature by feature.
        root: whether to take the square root.
    """
    zero, two = out.dtype.type(0), out.dtype.type(2)
    for i in range(start, stop):
        row, products, a, length = out[i], inner[i], left[i], left_squares[i]
        doubtful = 0
        for j in range(len(row)):
            total = length + right_squares[j]
            square = total - two * products[j]
            doubtful += square <= near * total
            row[j] = square
        if doubtful:
            for j in range(len(row)):
                if row[j] <= near * (length + right_squares[j]):
                    b, square = right[j], zero
                    for f in range(len(a)):
                        square += (a[f] - b[f]) * (a[f] - b[f])
                    row[j] = square
        if own + i >= 0:
            row[own + i] = zero
        if root:
            for j in range(len(row)):
                row[j] = row[j] ** out.dtype.type(0.5)


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
def contrastive(start, stop, pointers, y, labels, own, margin, positive_margin, distances, slopes, out):
    """Set ``slopes`` to the derivative of the contrastive loss by each distance, and ``out[i]`` to a row's sums.

    Args:
        y, labels: integer labels of rows and others; -1 takes no part.
        own: place of row 0 among the others; far below 0 if there is none.
        out: ``[rows, 3]``: the sum of the terms, how many there are, how many are above zero.
    """
    zero = slopes.dtype.type(0)
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
            if (excess > zero) if y[i] == labels[j] else (excess < zero):
                row[j] = excess
                total += 0.5 * float(excess) * float(excess)
                active += 1
        out[i, 0], out[i, 1], out[i, 2] = total, tuples, active

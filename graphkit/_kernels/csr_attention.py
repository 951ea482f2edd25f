"""Softmax over the entries of each row, alone and fused with the weighted sum of the neighbours.

Scores are ``[entries, heads]``, features ``[nodes, heads, features]``. The fused kernels read each neighbour's
features once and keep no ``entries x features`` array.
"""

from __future__ import annotations

import numpy as np

from graphkit._kernels.compiler import DISTANCE, kernel, prefetch


@kernel
def softmax_rows(start, stop, indptr, indices, scores, out):
    """Set ``out[ij, h] = exp(scores[ij, h]) / sum_k exp(scores[ik, h])``, shifted by the row's maximum."""
    heads = scores.shape[1]
    for i in range(start, stop):
        first, last = indptr[i], indptr[i + 1]
        for h in range(heads):
            if first == last:
                continue
            top = scores[first, h]
            for entry in range(first + 1, last):
                top = max(top, scores[entry, h])
            total = scores.dtype.type(0)
            for entry in range(first, last):
                value = np.exp(scores[entry, h] - top)
                out[entry, h] = value
                total += value
            for entry in range(first, last):
                out[entry, h] /= total


@kernel
def softmax_rows_backward(start, stop, indptr, indices, alpha, grad, out):
    """Set ``out = alpha * (grad - sum over the row of alpha * grad)``."""
    heads = alpha.shape[1]
    for i in range(start, stop):
        for h in range(heads):
            total = alpha.dtype.type(0)
            for entry in range(indptr[i], indptr[i + 1]):
                total += alpha[entry, h] * grad[entry, h]
            for entry in range(indptr[i], indptr[i + 1]):
                out[entry, h] = alpha[entry, h] * (grad[entry, h] - total)


@kernel
def attend(start, stop, indptr, indices, score_row, score_column, score_entry, slope, keep, x, alpha, out):
    """Set ``alpha`` to the attention of every entry and ``out[i, h] = sum_j alpha[ij, h] keep[ij, h] x[j, h]``.

    The score of entry (i, j) is ``leaky_relu(score_row[i] + score_column[j] + score_entry[ij], slope)``.
    ``score_entry`` and ``keep`` (dropout's factors) may have no rows, for zeros and ones.
    """
    heads, features = x.shape[1], x.shape[2]
    with_entry, with_keep, end = score_entry.shape[0] > 0, keep.shape[0] > 0, len(indices) - 1
    top = np.empty(heads, x.dtype)
    total = np.empty(heads, x.dtype)
    for i in range(start, stop):
        first, last = indptr[i], indptr[i + 1]
        row = out[i]
        row[:, :] = 0
        top[:] = -np.inf
        total[:] = 0
        for entry in range(first, last):
            j = indices[entry]
            for h in range(heads):
                score = score_row[i, h] + score_column[j, h]
                if with_entry:
                    score += score_entry[entry, h]
                score = score if score > 0 else slope * score  # a selection: a branch is guessed wrong half the time
                alpha[entry, h] = score
                top[h] = score if score > top[h] else top[h]
        for entry in range(first, last):
            for h in range(heads):
                value = np.exp(alpha[entry, h] - top[h])
                alpha[entry, h] = value
                total[h] += value
        for entry in range(first, last):
            for h in range(heads):
                alpha[entry, h] /= total[h]
        for entry in range(first, last):  # as in a product with heads; kept apart from the loops above it is faster
            ahead = indices[min(entry + DISTANCE, end)]
            for h in range(heads):
                prefetch(x, ahead, h)
            source = x[indices[entry]]
            for h in range(heads):
                value = alpha[entry, h] * keep[entry, h] if with_keep else alpha[entry, h]
                for f in range(features):
                    row[h, f] += value * source[h, f]


@kernel
def attend_backward_rows(
    start, stop, indptr, indices, score_row, score_column, score_entry, slope, keep, x, alpha, grad, dscore, dscore_row
):
    """Set ``dscore`` ``[entries, heads]``, the gradient before the leaky ReLU, and its row sums ``dscore_row``."""
    heads, features = x.shape[1], x.shape[2]
    with_entry, with_keep, end = score_entry.shape[0] > 0, keep.shape[0] > 0, len(indices) - 1
    mean = np.empty(heads, x.dtype)
    for i in range(start, stop):
        mean[:] = 0
        dscore_row[i, :] = 0
        row = grad[i]
        for entry in range(indptr[i], indptr[i + 1]):
            ahead = indices[min(entry + DISTANCE, end)]
            for h in range(heads):
                prefetch(x, ahead, h)
            source = x[indices[entry]]
            for h in range(heads):
                total = x.dtype.type(0)
                for f in range(features):
                    total += row[h, f] * source[h, f]
                if with_keep:
                    total *= keep[entry, h]
                dscore[entry, h] = total
                mean[h] += alpha[entry, h] * total
        for entry in range(indptr[i], indptr[i + 1]):
            j = indices[entry]
            for h in range(heads):
                score = score_row[i, h] + score_column[j, h]
                if with_entry:
                    score += score_entry[entry, h]
                value = alpha[entry, h] * (dscore[entry, h] - mean[h])
                value = value if score > 0 else slope * value
                dscore[entry, h] = value
                dscore_row[i, h] += value


@kernel
def attend_backward_columns(start, stop, indptr, indices, position, keep, alpha, grad, dscore, dx, dscore_column):
    """Set ``dx`` and ``dscore_column`` from the transposed matrix; ``position`` maps its entries to the original's."""
    heads, features = dx.shape[1], dx.shape[2]
    with_keep, end = keep.shape[0] > 0, len(indices) - 1
    for j in range(start, stop):
        row = dx[j]
        row[:, :] = 0
        dscore_column[j, :] = 0
        for entry in range(indptr[j], indptr[j + 1]):
            later = min(entry + DISTANCE, end)
            ahead, original_ahead = indices[later], position[later]
            prefetch(alpha, original_ahead, 0)
            prefetch(dscore, original_ahead, 0)
            for h in range(heads):
                prefetch(grad, ahead, h)
            original = position[entry]
            target = grad[indices[entry]]
            for h in range(heads):
                value = alpha[original, h]
                if with_keep:
                    value *= keep[original, h]
                dscore_column[j, h] += dscore[original, h]
                for f in range(features):
                    row[h, f] += value * target[h, f]


@kernel
def gatv2_scores(start, stop, indptr, indices, left, right, entry_term, att, slope, out):
    """Set ``out[ij, h] = <att[h], leaky_relu(left[i, h] + right[j, h] + entry_term[ij, h], slope)>``."""
    heads, features = left.shape[1], left.shape[2]
    with_entry = entry_term.shape[0] > 0
    for i in range(start, stop):
        row = left[i]
        for entry in range(indptr[i], indptr[i + 1]):
            source = right[indices[entry]]
            for h in range(heads):
                total = out.dtype.type(0)
                for f in range(features):
                    z = row[h, f] + source[h, f]
                    if with_entry:
                        z += entry_term[entry, h, f]
                    total += att[h, f] * (z if z > 0 else slope * z)
                out[entry, h] = total


@kernel
def gatv2_scores_backward(
    start, stop, indptr, indices, position, left, right, entry_term, att, slope, grad, dleft, datt, dentry
):
    """Set the gradients of ``gatv2_scores`` that belong to rows; ``grad[position[k]]`` is that of entry ``k``.

    Given the transposed matrix and the two sides exchanged it gives those that belong to columns. ``datt`` holds each
    row's share, ``[rows, heads, features]``, so that threads need no lock; it and ``dentry`` may have no rows.
    """
    heads, features = left.shape[1], left.shape[2]
    with_entry, with_dentry, with_datt = entry_term.shape[0] > 0, dentry.shape[0] > 0, datt.shape[0] > 0
    one = left.dtype.type(1)  # an integer below would make the loop run in double precision
    for i in range(start, stop):
        row = left[i]
        dleft[i, :, :] = 0
        if with_datt:
            datt[i, :, :] = 0
        for k in range(indptr[i], indptr[i + 1]):
            source = right[indices[k]]
            entry = position[k]
            for h in range(heads):
                upstream = grad[entry, h]
                for f in range(features):
                    z = row[h, f] + source[h, f]
                    if with_entry:
                        z += entry_term[entry, h, f]
                    inner = upstream * att[h, f] * (one if z > 0 else slope)
                    dleft[i, h, f] += inner
                    if with_datt:
                        datt[i, h, f] += upstream * (z if z > 0 else slope * z)
                    if with_dentry:
                        dentry[entry, h, f] = inner

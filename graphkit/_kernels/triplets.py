"""All triplets of an anchor at once: sorted thresholds, every negative searched among them, a histogram cumulated."""

from __future__ import annotations

import math

import numpy as np

from graphkit._kernels.compiled import kernel


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
def batch_all(start, stop, pointers, y, labels, own, margin, distances, slopes, out):
    """Set ``slopes`` to how often a distance counts in triplets of positive terms, and ``out[i]`` to a row's sums.

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
        row, lengths = slopes[i], distances[i]
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
        order = np.argsort(thresholds[:positives])
        ascending = thresholds[:positives][order]
        above[positives] = 0.0
        for k in range(positives - 1, -1, -1):
            above[k] = above[k + 1] + ascending[k]
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
        nearer = 0
        for k in range(positives):
            nearer += below[k]
            row[places[order[k]]] = nearer
        out[i, 0], out[i, 1], out[i, 2] = total, positives * negatives, active


@kernel
def batch_all_soft(start, stop, pointers, y, labels, own, margin, distances, slopes, out):
    """Set what ``batch_all`` sets for the term ``log(1 + exp(d[p] + margin - d[n]))``, one triplet after the other."""
    others = distances.shape[1]
    positive, negative = np.empty(others, dtype=np.int64), np.empty(others, dtype=np.int64)
    for i in range(start, stop):
        row, lengths = slopes[i], distances[i]
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

"""Exact ranking of a gallery for one query after another: figures as expectations over random orders of ties.

Distances are summed feature by feature in a fixed order (``exact_kernel``): equal items have equal distances to the
last bit wherever they stand, which is what makes a tie a tie. A matrix product is several times as fast and off by some
last digits: where a block of its distances is at hand, those that decide something and lie closer together than it can
be off are summed again, and the others are in the right order as they are. Figures are the same to the last bit.
"""

from __future__ import annotations

import numpy as np

from graphkit._kernels.compiler import exact_kernel

INNER, SQUARED = 0, 1
"""What two items are compared by: minus their inner product, or their squared Euclidean distance."""

SCATTERED = 16
"""How many times as long a distance takes by itself as among all others."""

FIXED = 4
"""Columns of the figures before those of each cut-off: R, R-precision, average precision at R, reciprocal rank."""


@exact_kernel
def distances(query, gallery, kind, out):
    """Set ``out[j]`` to the distance of ``query`` to ``gallery[:, j]``; ``gallery`` is ``[features, items]``."""
    out[:] = 0
    for f in range(gallery.shape[0]):
        value, row = query[f], gallery[f]
        if kind == INNER:
            if value == 0:  # of a bag of words that is nearly all
                continue
            for j in range(len(out)):
                out[j] -= value * row[j]
        else:
            for j in range(len(out)):
                out[j] += (value - row[j]) * (value - row[j])


@exact_kernel
def _distance(query, gallery, item, kind):
    """Return one distance, summed in the order in which ``distances`` sums it."""
    total = 0.0
    for f in range(gallery.shape[0]):
        value, other = query[f], gallery[f, item]
        if kind == INNER:
            if value != 0:
                total -= value * other
        else:
            total += (value - other) * (value - other)
    return total


@exact_kernel
def _settle(which, near, place, query, gallery, kind, every):
    """Sum some distances anew: ``near[j]`` for each ``j`` of ``which`` is that to ``gallery[:, place[j]]``.

    A column is far apart in memory: where many are asked for, all are summed, row by row.
    """
    if len(which) * SCATTERED > len(every):
        distances(query, gallery, kind, every)
        for j in which:
            near[j] = every[place[j]]
    else:
        for j in which:
            near[j] = _distance(query, gallery, place[j], kind)


@exact_kernel
def _settle_nearest(depth, slack, near, place, query, gallery, kind, every):
    """Sum anew what the nearest ``depth`` items and their order hang on.

    Args:
        depth: at least 1, at most as many as there are items.
        slack: how far apart two distances are whose order is sure.
        near: distances, off by half of ``slack`` at most.
        place: columns of the gallery.
        every: as much room as there are columns.
    """
    far = np.partition(near, depth - 1)[depth - 1]
    kept = np.flatnonzero(near <= far + slack)
    order = kept[np.argsort(near[kept], kind="mergesort")]
    unsure = np.zeros(len(order), dtype=np.bool_)
    for j in range(1, len(order)):
        if near[order[j]] - near[order[j - 1]] <= slack:
            unsure[j - 1] = unsure[j] = True
    _settle(order[unsure], near, place, query, gallery, kind, every)


@exact_kernel
def expected_reciprocal(before, tied, relevant):
    """Return E[1 / rank] of the first relevant item among ``tied`` items, ``relevant`` of them, after ``before``."""
    none_yet, total = 1.0, 0.0
    for j in range(tied - relevant + 1):
        left = tied - j
        total += none_yet * relevant / left / (before + j + 1)
        none_yet *= (left - relevant) / left
    return total


@exact_kernel
def chance_of_none(tied, relevant, drawn):
    """Return the chance that ``drawn`` of ``tied`` items hold none of the ``relevant`` ones."""
    chance = 1.0
    for j in range(drawn):
        chance *= max(tied - relevant - j, 0) / (tied - j)
    return chance


@exact_kernel
def query_metrics(
    start, stop, indptr, excluded, queries, gallery, kind, own, products, slack, labels, answers, cuts, neighbours,
    classes, out,
):  # fmt: skip
    """Set each row of ``out`` to a query's figures; a query without a relevant item has R = 0 and NaN for the rest.

    Args:
        pointers: ``[queries + 1]``, into ``excluded``: the items that may not answer a query.
        queries: ``[queries, features]``.
        gallery: ``[features, items]``.
        kind: ``INNER`` or ``SQUARED``.
        own: place of each query in the gallery, -1 if it is not there, ``[queries]``.
        products: distances off by half of ``slack`` at most, ``[queries, items]``; without any, all are summed here.
        slack: ``[queries]``.
        labels: class of each query, ``[queries]``, from 0 to ``classes - 1``.
        answers: class of each item, ``[items]``.
        cuts: the k of hit@k and recall@k, ``[cuts]``.
        neighbours: how many neighbours vote.
        out: ``[queries, FIXED + 2 * cuts + 1]``: R, R-precision, AP@R, 1/rank, hits, recalls, right votes.
    """
    items = gallery.shape[1]
    every, near, wanted = np.empty(items), np.empty(items), np.empty(items, dtype=np.bool_)
    given, place = np.empty(items, dtype=np.int64), np.empty(items, dtype=np.int64)
    votes = np.empty(classes, dtype=np.int64)
    widest = neighbours
    for cut in cuts:
        widest = max(widest, cut)
    for i in range(start, stop):
        if len(products):
            every[:] = products[i]
        else:
            distances(queries[i], gallery, kind, every)
        if own[i] >= 0:
            every[own[i]] = np.nan
        for entry in range(indptr[i], indptr[i + 1]):
            every[excluded[entry]] = np.nan
        # The items that may answer, side by side.
        count, relevant = 0, 0
        for j in range(items):
            if every[j] == every[j]:
                near[count] = every[j]
                place[count] = j
                given[count] = answers[j]
                wanted[count] = answers[j] == labels[i]
                relevant += wanted[count]
                count += 1
        row = out[i]
        row[:] = np.nan
        row[0] = relevant
        if count == 0:
            continue
        # The nearest of them in order, as deep as any figure looks, ties at the end included.
        depth = min(max(relevant, widest), count)
        if len(products):
            _settle_nearest(depth, slack[i], near[:count], place, queries[i], gallery, kind, every)
        far = np.partition(near[:count], depth - 1)[depth - 1]
        kept = np.flatnonzero(near[:count] <= far)
        order = kept[np.argsort(near[kept], kind="mergesort")]
        row[FIXED + 2 * len(cuts)] = _right_votes(near, given, order, min(neighbours, count), labels[i], votes)
        if relevant == 0:
            continue
        row[1:] = np.where(np.isnan(row[1:]), 0.0, row[1:])
        _walk(near, wanted, order, relevant, cuts, row)
        if len(products):
            least = np.min(near[:count][wanted[:count]])
            around = np.flatnonzero(np.abs(near[:count] - least) <= slack[i])
            _settle(around, near[:count], place, queries[i], gallery, kind, every)
        row[3] = _reciprocal_rank(near, wanted, count)


@exact_kernel
def _walk(near, wanted, order, relevant, cuts, row):
    """Add up precision, hits and recalls over groups of equal distance."""
    first, found = 0, 0
    for c in range(len(cuts)):
        row[FIXED + c] = 1.0  # the chance of no hit, until the end
    while first < len(order):
        last, good = first, 0
        while last < len(order) and near[order[last]] == near[order[first]]:
            good += wanted[order[last]]
            last += 1
        tied = last - first
        if good > 0:
            for j in range(1, min(tied, relevant - first) + 1):
                others = (j - 1) * (good - 1) / (tied - 1) if tied > 1 else 0.0
                row[2] += good / tied * (found + 1 + others) / (first + j) / relevant
            row[1] += good * max(min(tied, relevant - first), 0) / tied / relevant
            for c in range(len(cuts)):
                drawn = max(min(tied, cuts[c] - first), 0)
                row[FIXED + c] *= chance_of_none(tied, good, drawn)
                row[FIXED + len(cuts) + c] += good * drawn / tied / relevant
        found += good
        first = last
    for c in range(len(cuts)):
        row[FIXED + c] = 1.0 - row[FIXED + c]


@exact_kernel
def _reciprocal_rank(near, wanted, count):
    """Return the expected reciprocal rank of the first relevant item."""
    least = np.inf
    for j in range(count):
        if wanted[j] and near[j] < least:
            least = near[j]
    before, tied, good = 0, 0, 0
    for j in range(count):
        before += near[j] < least
        if near[j] == least:
            tied += 1
            good += wanted[j]
    return expected_reciprocal(before, tied, good)


@exact_kernel
def _right_votes(near, given, order, neighbours, label, votes):
    """Return the chance that the class with most expected votes is ``label``; equal classes are drawn from.

    Items that tie for the last places share them: a class has ``tied`` times its sure votes plus its share, in whole
    numbers, so that equal counts are found equal.
    """
    far = near[order[neighbours - 1]]
    sure, tied = 0, 0
    for place in range(len(order)):
        sure += near[order[place]] < far
        tied += near[order[place]] == far
    votes[:] = 0
    for place in range(sure + tied):
        votes[given[order[place]]] += tied if place < sure else neighbours - sure
    most = votes.max()
    return 1.0 / np.sum(votes == most) if votes[label] == most else 0.0


@exact_kernel
def nearest(start, stop, indptr, excluded, queries, gallery, kind, own, products, slack, places, values):
    """Set ``places[i]`` to a query's nearest items and ``values[i]`` to their distances; equal ones by lower place.

    Where fewer items may answer than there are places, the rest is -1 and infinity. ``products`` and ``slack`` are as
    :func:`query_metrics` takes them.
    """
    items, wide = gallery.shape[1], places.shape[1]
    every, again, columns = np.empty(items), np.empty(items), np.arange(items)
    for i in range(start, stop):
        if len(products):
            every[:] = products[i]
        else:
            distances(queries[i], gallery, kind, every)
        if own[i] >= 0:
            every[own[i]] = np.inf
        for entry in range(indptr[i], indptr[i + 1]):
            every[excluded[entry]] = np.inf
        depth = min(wide, items)
        places[i, :] = -1
        values[i, :] = np.inf
        if depth == 0:
            continue
        if len(products):
            far = np.partition(every, depth - 1)[depth - 1]
            around = np.flatnonzero((every <= far + slack[i]) & (every < np.inf))
            _settle(around, every, columns, queries[i], gallery, kind, again)
        far = np.partition(every, depth - 1)[depth - 1]
        kept = np.flatnonzero(every <= far)
        order = kept[np.argsort(every[kept], kind="mergesort")][:depth]
        for rank in range(depth):
            if every[order[rank]] < np.inf:
                places[i, rank] = order[rank]
                values[i, rank] = every[order[rank]]

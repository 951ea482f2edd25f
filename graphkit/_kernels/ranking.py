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

SAMPLE = 256
"""Distances of a query that are looked at to find a threshold for its nearest items."""

SURE = 3.0
"""Standard deviations by which the threshold leaves room."""

SCRAMBLE = 40503
"""Brings the places of a sample out of step with whatever repeats in the items' order."""

CROWDED = 32
"""Distances in one part of the range from which sorting by parts is not worth it."""

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
def _reach(every, count, depth):
    """Return a distance that some more than ``depth`` of ``count`` items are likely not to exceed; NaN is no item."""
    drawn, there = np.empty(SAMPLE), 0
    step = len(every) // SAMPLE
    for t in range(SAMPLE):
        value = every[t * step + (t * SCRAMBLE) % step]
        if value == value:
            drawn[there] = value
            there += 1
    if there == 0:
        return np.inf
    share = depth / count
    last = int(there * share + SURE * np.sqrt(there * share * (1 - share))) + 1
    return np.partition(drawn[:there], last)[last] if last < there else np.inf


@exact_kernel
def _within(every, most, place):
    """Write the columns of items no farther than ``most`` to ``place``, and return how many there are."""
    found = 0
    for j in range(len(every)):
        place[found] = j
        found += every[j] <= most
    return found


@exact_kernel
def _in_order(every, columns, near):
    """Return columns in the order of their distances, equal ones as they are, and write these to ``near``.

    Distances fall into as many equal parts of their range as there are columns: within a part few are left to sort.
    """
    count = len(columns)
    low, high = np.inf, -np.inf
    for j in columns:
        low, high = min(low, every[j]), max(high, every[j])
    scale = (count - 1) / (high - low) if high > low else 0.0
    crowded = not (0.0 < scale < np.inf) or count < CROWDED
    starts = np.zeros(count + 1, dtype=np.int64)
    if not crowded:
        for j in columns:
            starts[int((every[j] - low) * scale) + 1] += 1
        crowded = starts.max() > CROWDED
    if crowded:
        values = every[columns]
        order = np.argsort(values, kind="mergesort")
        near[:count] = values[order]
        return columns[order]
    for part in range(count):
        starts[part + 1] += starts[part]
    order = np.empty(count, dtype=np.int64)
    for j in columns:
        part = int((every[j] - low) * scale)
        order[starts[part]], near[starts[part]] = j, every[j]
        starts[part] += 1
    for place in range(1, count):
        value, column, before = near[place], order[place], place - 1
        while before >= 0 and near[before] > value:
            near[before + 1], order[before + 1] = near[before], order[before]
            before -= 1
        near[before + 1], order[before + 1] = value, column
    return order


@exact_kernel
def _nearest_in_order(depth, count, slack, products, query, gallery, kind, every, room, place, near):
    """Write the nearest ``depth`` of ``count`` items in order to ``place`` and ``near``, ties at the end included.

    Args:
        depth: from 1 to ``count``.
        slack: how far apart two distances are whose order is sure.
        products: whether distances are off by half of it at most, and what their order hangs on is summed anew.
        every: distances, NaN of what may not answer, ``[items]``.
        room: as many numbers, to be written over.
        place, near: columns and distances, ``[items + 1]``.

    Returns:
        how many there are.
    """
    # Most items are left out by one comparison; where too many are, the threshold was too low.
    most = _reach(every, count, depth) if len(every) >= 4 * SAMPLE else np.inf
    found = _within(every, most, place)
    if found < depth:
        most = np.inf
        found = _within(every, most, place)
        depth = min(depth, found)  # a distance that overflowed to no number is none
        if found == 0:
            return 0
    order = _in_order(every, place[:found], near)
    far = near[depth - 1] + (slack if products else 0.0)
    if far > most:
        found = _within(every, far, place)
        order = _in_order(every, place[:found], near)
    total = np.searchsorted(near[: len(order)], far, side="right")
    order = order[:total]
    if products:
        unsure = np.zeros(total, dtype=np.bool_)
        for j in range(1, total):
            if near[j] - near[j - 1] <= slack:
                unsure[j - 1] = unsure[j] = True
        if unsure.any():
            _settle(np.flatnonzero(unsure), near, order, query, gallery, kind, room)
            columns = np.argsort(order, kind="mergesort")  # equal ones are to stand in the order of their columns
            sure = columns[np.argsort(near[columns], kind="mergesort")]
            order, near[:total] = order[sure], near[sure]
    place[:total] = order
    last = depth
    while last < total and near[last] == near[depth - 1]:
        last += 1
    return last


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
    items, summed = gallery.shape[1], len(products) == 0
    every, room = np.empty(items), np.empty(items)
    near, place = np.empty(items + 1), np.empty(items + 1, dtype=np.int64)
    votes, sizes = np.empty(classes, dtype=np.int64), np.zeros(classes, dtype=np.int64)
    for j in range(items):
        sizes[answers[j]] += 1
    widest = neighbours
    for cut in cuts:
        widest = max(widest, cut)
    for i in range(start, stop):
        if summed:
            distances(queries[i], gallery, kind, every)
        else:
            every[:] = products[i]
        count, relevant = items, sizes[labels[i]]
        for entry in range(indptr[i] - 1, indptr[i + 1]):  # oneself first
            j = own[i] if entry < indptr[i] else excluded[entry]
            if j >= 0 and every[j] == every[j]:
                every[j] = np.nan
                count -= 1
                relevant -= answers[j] == labels[i]
        row = out[i]
        row[:] = np.nan
        row[0] = relevant
        if count == 0:
            continue
        # The nearest in order, as deep as any figure looks.
        depth = min(max(relevant, widest), count)
        off = 0.0 if summed else slack[i]
        found = _nearest_in_order(
            depth, count, off, not summed, queries[i], gallery, kind, every, room, place, near
        )  # fmt: skip
        if found == 0:
            continue
        row[FIXED + 2 * len(cuts)] = _right_votes(
            near, place, answers, found, min(neighbours, found), labels[i], votes
        )  # fmt: skip
        if relevant == 0:
            continue
        row[1:] = np.where(np.isnan(row[1:]), 0.0, row[1:])
        if not _walk(near, place, answers, labels[i], found, relevant, cuts, row):
            row[3] = _reciprocal_rank(answers, labels[i], off, queries[i], gallery, kind, every, room)


@exact_kernel
def _walk(near, place, answers, label, found, relevant, cuts, row):
    """Add up precision, hits, recalls and the reciprocal rank over groups of equal distance.

    Returns:
        whether one of the ``found`` nearest is relevant.
    """
    first, seen = 0, 0
    for c in range(len(cuts)):
        row[FIXED + c] = 1.0  # the chance of no hit, until the end
    while first < found:
        last, good = first, 0
        while last < found and near[last] == near[first]:
            good += answers[place[last]] == label
            last += 1
        tied = last - first
        if good > 0:
            if seen == 0:
                row[3] = expected_reciprocal(first, tied, good)
            for j in range(1, min(tied, relevant - first) + 1):
                others = (j - 1) * (good - 1) / (tied - 1) if tied > 1 else 0.0
                row[2] += good / tied * (seen + 1 + others) / (first + j) / relevant
            row[1] += good * max(min(tied, relevant - first), 0) / tied / relevant
            for c in range(len(cuts)):
                drawn = max(min(tied, cuts[c] - first), 0)
                row[FIXED + c] *= chance_of_none(tied, good, drawn)
                row[FIXED + len(cuts) + c] += good * drawn / tied / relevant
        seen += good
        first = last
    for c in range(len(cuts)):
        row[FIXED + c] = 1.0 - row[FIXED + c]
    return seen > 0


@exact_kernel
def _reciprocal_rank(answers, label, slack, query, gallery, kind, every, room):
    """Return the expected reciprocal rank of the first relevant item, which lies beyond those in order."""
    least = np.inf
    for j in range(len(every)):
        if answers[j] == label and every[j] < least:
            least = every[j]
    if slack > 0:
        around = np.flatnonzero(np.abs(every - least) <= slack)
        _settle(around, every, np.arange(len(every)), query, gallery, kind, room)
        least = np.inf
        for j in range(len(every)):
            if answers[j] == label and every[j] < least:
                least = every[j]
    before, tied, good = 0, 0, 0
    for j in range(len(every)):
        before += every[j] < least
        if every[j] == least:
            tied += 1
            good += answers[j] == label
    return expected_reciprocal(before, tied, good)


@exact_kernel
def _right_votes(near, place, answers, found, neighbours, label, votes):
    """Return the chance that the class with most expected votes is ``label``; equal classes are drawn from.

    Items that tie for the last places share them: a class has ``tied`` times its sure votes plus its share, in whole
    numbers, so that equal counts are found equal.
    """
    far = near[neighbours - 1]
    sure, tied = 0, 0
    for j in range(found):
        sure += near[j] < far
        tied += near[j] == far
    votes[:] = 0
    for j in range(sure + tied):
        votes[answers[place[j]]] += tied if j < sure else neighbours - sure
    most = votes.max()
    return 1.0 / np.sum(votes == most) if votes[label] == most else 0.0


@exact_kernel
def nearest(start, stop, indptr, excluded, queries, gallery, kind, own, products, slack, places, values):
    """Set ``places[i]`` to a query's nearest items and ``values[i]`` to their distances; equal ones by lower place.

    Where fewer items may answer than there are places, the rest is -1 and infinity. ``products`` and ``slack`` are as
    :func:`query_metrics` takes them.
    """
    items, wide, summed = gallery.shape[1], places.shape[1], len(products) == 0
    every, room = np.empty(items), np.empty(items)
    near, place = np.empty(items + 1), np.empty(items + 1, dtype=np.int64)
    for i in range(start, stop):
        if summed:
            distances(queries[i], gallery, kind, every)
        else:
            every[:] = products[i]
        count = items
        for entry in range(indptr[i] - 1, indptr[i + 1]):  # oneself first
            j = own[i] if entry < indptr[i] else excluded[entry]
            if j >= 0 and every[j] == every[j]:
                every[j] = np.nan
                count -= 1
        places[i, :] = -1
        values[i, :] = np.inf
        depth = min(wide, count)
        if depth == 0:
            continue
        off = 0.0 if summed else slack[i]
        found = _nearest_in_order(depth, count, off, not summed, queries[i], gallery, kind, every, room, place, near)
        depth = min(depth, found)
        if not summed:  # their values too are those of a fixed order, not their order alone
            _settle(np.arange(depth), near, place, queries[i], gallery, kind, room)
        for rank in range(depth):
            places[i, rank] = place[rank]
            values[i, rank] = near[rank]

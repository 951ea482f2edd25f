"""Neighbours drawn at random, and the numbering of the nodes they lead to.

A graph is given by the incoming edges of each node: ``indptr`` ``[nodes + 1]`` and ``sources`` ``[edges]``. Every
place of a frontier has random numbers of its own, a function of ``key`` and the place: the same neighbours are drawn on
any number of threads.
"""

from __future__ import annotations

import numpy as np

from graphkit._kernels.compiler import exact_kernel
from graphkit._kernels.splitmix import splitmix64

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FEW = 32
"""Neighbours up to which a drawn one is looked for among those before; beyond, all neighbours are passed once."""


@exact_kernel
def uniform(state):
    """Return a number in [0, 1) from the 53 highest bits of ``state``, mixed."""
    return np.float64(splitmix64(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@exact_kernel
def hop_key(key, hop):
    """Return the key of a hop."""
    return splitmix64(key ^ (np.uint64(hop + 1) * np.uint64(0xD1B54A32D192ED03)))


@exact_kernel
def sample_counts(start, stop, frontier, indptr, weights, fanout, replace, counts):
    """Set ``counts[i]`` to the number of neighbours that the node at place ``i`` of ``frontier`` will have.

    Where there are ``weights``, neighbours of weight 0 are never drawn; a fan-out of -1 draws nothing and takes all.
    """
    for i in range(start, stop):
        first, last = indptr[frontier[i]], indptr[frontier[i] + 1]
        degree = last - first
        if len(weights) > 0 and fanout >= 0:
            for place in range(first, last):
                degree -= weights[place] <= 0
        counts[i] = degree if fanout < 0 or (not replace and degree < fanout) else fanout if degree > 0 else 0


@exact_kernel
def sample_neighbors(start, stop, places, frontier, indptr, weights, replace, key, offsets, edges):
    """Write the drawn edges of ``frontier[i]`` to ``edges[offsets[i] : offsets[i + 1]]``; ``weights`` may be empty.

    ``places[i]`` is its place in the frontier: part of one may be drawn here, and part of it elsewhere.

    Without replacement every set of neighbours of that size is equally likely; with weights, neighbours are drawn one
    after another, each in proportion to its weight among those that are left, of which there are enough.
    """
    for i in range(start, stop):
        first, degree = indptr[frontier[i]], indptr[frontier[i] + 1] - indptr[frontier[i]]
        out = edges[offsets[i] : offsets[i + 1]]
        many = len(out)
        state = splitmix64(key + np.uint64(places[i] + 1) * GOLDEN)
        if many == degree and not replace:
            for k in range(many):
                out[k] = first + k
        elif len(weights) > 0:
            _sample_weighted(first, degree, weights, replace, state, out)
        elif replace:
            for k in range(many):
                state += GOLDEN
                out[k] = first + min(np.int64(uniform(state) * degree), degree - 1)
        elif many <= FEW:
            for k in range(many):  # Floyd: the k-th comes from the first `upper + 1`, or is `upper` if it is there
                upper = degree - many + k
                state += GOLDEN
                chosen = min(np.int64(uniform(state) * (upper + 1)), upper)
                for before in range(k):
                    if out[before] == first + chosen:
                        chosen = upper
                        break
                out[k] = first + chosen
        else:
            k = 0
            for place in range(degree):  # each is taken with the share that is still wanted of those that are left
                state += GOLDEN
                if uniform(state) * (degree - place) < many - k:
                    out[k] = first + place
                    k += 1
                    if k == many:
                        break


@exact_kernel
def _sample_weighted(first, degree, weights, replace, state, out):
    many = len(out)
    if replace:
        total = np.empty(degree)
        running, last = 0.0, 0
        for place in range(degree):
            running += weights[first + place]
            total[place] = running
            last = place if weights[first + place] > 0 else last
        for k in range(many):
            state += GOLDEN
            out[k] = first + min(np.searchsorted(total, uniform(state) * running, side="right"), last)
        return
    # Efraimidis and Spirakis: the smallest of -log(u) / w, u uniform, are a draw without replacement.
    keys = np.empty(many)
    worst, taken = 0, 0
    for place in range(degree):
        state += GOLDEN
        weight = weights[first + place]
        if weight <= 0:
            continue
        key = -np.log(1.0 - uniform(state)) / weight
        if taken < many:
            keys[taken], out[taken] = key, first + place
            worst = taken if keys[taken] > keys[worst] else worst
            taken += 1
        elif key < keys[worst]:
            keys[worst], out[worst] = key, first + place
            for k in range(many):
                worst = k if keys[k] > keys[worst] else worst


@exact_kernel
def relabel(names, table, numbers, nodes, known, slots):
    """Give each of ``names`` its number; new ones get the next, and stand in ``nodes`` at their number.

    Args:
        names: what is numbered, each at least 0.
        table: names by their slot, -1 where free; its length is a power of two, at least twice all names.
        numbers: the number of the name in each slot.
        nodes: names by number, long enough for all.
        known: how many have a number already.
        slots: set to the number of each of ``names``.

    Returns:
        How many have a number now.
    """
    mask = np.uint64(len(table) - 1)
    for k in range(len(names)):
        name = names[k]
        slot = splitmix64(np.uint64(name) * GOLDEN) & mask
        while table[slot] != name and table[slot] != -1:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] == -1:
            table[slot], numbers[slot], nodes[known] = name, known, name
            known += 1
        slots[k] = numbers[slot]
    return known


@exact_kernel
def lookup(names, table, numbers, slots):
    """Set ``slots`` to the number of each of ``names``, -1 where it has none."""
    mask = np.uint64(len(table) - 1)
    for k in range(len(names)):
        slot = splitmix64(np.uint64(names[k]) * GOLDEN) & mask
        while table[slot] != names[k] and table[slot] != -1:
            slot = (slot + np.uint64(1)) & mask
        slots[k] = numbers[slot] if table[slot] != -1 else -1


@exact_kernel
def insert(names, table, numbers):
    """Put ``names``, numbered by their places, into an empty table; of equal ones the first counts."""
    mask = np.uint64(len(table) - 1)
    for k in range(len(names)):
        slot = splitmix64(np.uint64(names[k]) * GOLDEN) & mask
        while table[slot] != names[k] and table[slot] != -1:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] == -1:
            table[slot], numbers[slot] = names[k], k


@exact_kernel
def hash_words(words, key):
    """Set ``key[0]`` to a number that depends on all ``words`` and their order."""
    state = np.uint64(len(words))
    for k in range(len(words)):
        state = splitmix64((state ^ words[k]) + GOLDEN)
    key[0] = state

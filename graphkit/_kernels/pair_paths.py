"""Paths of two and three edges between pairs of nodes, and how alike nodes are to the neighbours of others.

A graph is given by the edges that leave each node, ``indptr`` ``[nodes + 1]`` and ``indices`` ``[edges]``, and by those
that lead to it, ``indptr_t`` and ``indices_t``. Pairs come in groups of one source: group ``g`` has the source
``sources[g]`` and the targets ``targets[bounds[g] : bounds[g + 1]]``.
"""

from __future__ import annotations

import numpy as np

from graphkit._kernels.compiler import exact_kernel, kernel
from graphkit._kernels.neighbor_sampling import GOLDEN, uniform
from graphkit._kernels.splitmix import splitmix64


@exact_kernel
def path_sums(start, stop, bounds, sources, targets, csr, csr_t, weights, two, three):
    """Set sums over the paths of two and of three edges from the sources of groups to their targets.

    ``two[p, k]`` is the sum of ``weights[w, k]`` over the nodes w in between, ``three[p, k]`` that of
    ``weights[w, k] weights[x, k]`` over both nodes in between.
    """
    (indptr, indices), (indptr_t, indices_t) = csr, csr_t
    nodes, kinds = weights.shape
    reached = np.zeros((nodes, kinds))
    there = np.zeros(nodes, np.bool_)
    touched = np.empty(nodes, np.int64)
    for g in range(start, stop):
        many = 0
        u = sources[g]
        for e in range(indptr[u], indptr[u + 1]):
            w = indices[e]
            for f in range(indptr[w], indptr[w + 1]):
                x = indices[f]
                if not there[x]:
                    there[x] = True
                    touched[many] = x
                    many += 1
                for k in range(kinds):
                    reached[x, k] += weights[w, k]
        for p in range(bounds[g], bounds[g + 1]):
            v = targets[p]
            for k in range(kinds):
                two[p, k] = reached[v, k]
                three[p, k] = 0.0
            for e in range(indptr_t[v], indptr_t[v + 1]):
                x = indices_t[e]
                if there[x]:
                    for k in range(kinds):
                        three[p, k] += reached[x, k] * weights[x, k]
        for place in range(many):
            there[touched[place]] = False
            reached[touched[place]] = 0.0


@exact_kernel
def group_pairs(first, second, degree, starts, targets, order):
    """Group pairs by the node of the larger ``degree``: where its pairs begin, their other nodes, and which they are.

    Of equal degrees the first node counts as the larger one. Pairs of a group stay in their order.
    """
    starts[:] = 0
    for p in range(len(first)):
        u, v = first[p], second[p]
        starts[(v if degree[u] < degree[v] else u) + 1] += 1
    for u in range(len(starts) - 1):
        starts[u + 1] += starts[u]
    cursor = starts.copy()
    for p in range(len(first)):
        u, v = first[p], second[p]
        if degree[u] < degree[v]:
            u, v = v, u
        slot = cursor[u]
        cursor[u] = slot + 1
        targets[slot] = v
        order[slot] = p


@exact_kernel
def common_sums(start, stop, bounds, sources, targets, order, csr, csr_t, weights, sums):
    """Set ``sums[order[p]]`` to the sum of ``weights`` over the nodes on paths of two edges from a source to p."""
    (indptr, indices), (indptr_t, indices_t) = csr, csr_t
    marks = np.zeros(len(weights))
    for g in range(start, stop):
        u = sources[g]
        for e in range(indptr[u], indptr[u + 1]):
            marks[indices[e]] = weights[indices[e]]
        for p in range(bounds[g], bounds[g + 1]):
            v = targets[p]
            total = 0.0
            for e in range(indptr_t[v], indptr_t[v + 1]):
                total += marks[indices_t[e]]
            sums[order[p]] = total
        for e in range(indptr[u], indptr[u + 1]):
            marks[indices[e]] = 0.0


@exact_kernel
def path_counts(start, stop, bounds, sources, targets, csr, csr_t, counts):
    """Set ``counts[p]`` to how many nodes lie on a path of two edges between the ends of a pair."""
    (indptr, indices), (indptr_t, indices_t) = csr, csr_t
    for g in range(start, stop):
        first, last = indptr[sources[g]], indptr[sources[g] + 1]
        for p in range(bounds[g], bounds[g + 1]):
            e, f, end = first, indptr_t[targets[p]], indptr_t[targets[p] + 1]
            total = 0
            while e < last and f < end:
                one, other = indices[e], indices_t[f]
                total += one == other
                e += one <= other
                f += other <= one
            counts[p] = total


@exact_kernel
def path_nodes(start, stop, bounds, sources, targets, csr, csr_t, offsets, found):
    """Write the nodes between the ends of pair p, ascending, to ``found[offsets[p] : offsets[p + 1]]``."""
    (indptr, indices), (indptr_t, indices_t) = csr, csr_t
    for g in range(start, stop):
        first, last = indptr[sources[g]], indptr[sources[g] + 1]
        for p in range(bounds[g], bounds[g + 1]):
            e, f, end = first, indptr_t[targets[p]], indptr_t[targets[p] + 1]
            place = offsets[p]
            while e < last and f < end:
                one, other = indices[e], indices_t[f]
                if one == other:
                    found[place] = one
                    place += 1
                e += one <= other
                f += other <= one


@exact_kernel
def non_edge_pairs(start, stop, key, first, second, csr, tries, fixed, pairs):
    """Set ``pairs[:, p]`` to a pair of a node of ``first`` and one of ``second`` that is no edge and no loop.

    What is drawn is a function of ``key`` and the place, on any number of threads; where ``fixed``, the node of
    ``first`` is the one at the place. After so many ``tries`` a pair is left as it is: -1 twice. Columns of a row of
    ``csr`` ascend.
    """
    indptr, indices = csr
    for p in range(start, stop):
        state = splitmix64(key + np.uint64(p + 1) * GOLDEN)
        pairs[0, p], pairs[1, p] = -1, -1
        for _ in range(tries):
            state += GOLDEN
            u = first[p if fixed else min(np.int64(uniform(state) * len(first)), len(first) - 1)]
            state += GOLDEN
            v = second[min(np.int64(uniform(state) * len(second)), len(second) - 1)]
            low, high = indptr[u], indptr[u + 1]
            while low < high:
                middle = (low + high) // 2
                if indices[middle] < v:
                    low = middle + 1
                else:
                    high = middle
            if u != v and (low == indptr[u + 1] or indices[low] != v):
                pairs[0, p], pairs[1, p] = u, v
                break


@kernel
def neighbor_maxima(start, stop, ends, others, indptr, indices, rows, most, out):
    """Set ``out[p]`` to the largest inner product of ``rows[ends[p]]`` with a neighbour's of ``others[p]``, 0 if none.

    Of more than ``most`` neighbours so many are looked at, evenly spaced.
    """
    features = rows.shape[1]
    for p in range(start, stop):
        first = indptr[others[p]]
        degree = indptr[others[p] + 1] - first
        looked = min(degree, most)
        own = rows[ends[p]]
        best = rows.dtype.type(0)
        for k in range(looked):
            near = rows[indices[first + k * degree // looked]]
            total = rows.dtype.type(0)
            for f in range(features):
                total += own[f] * near[f]
            if k == 0 or total > best:
                best = total
        out[p] = best

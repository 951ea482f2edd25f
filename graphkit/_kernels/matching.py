"""Pairing the nodes of a graph along heavy edges, and merging the nodes of a cluster."""

from __future__ import annotations

from graphkit._kernels.compiler import exact_kernel


@exact_kernel
def match(start, stop, order, indptr, indices, scores, rank, partner):
    """Give each of ``order[start:stop]`` that is free its free neighbour of the highest score, or else itself.

    Each choice depends on those before it, so the whole order is one range. Of equal scores the neighbour of lower
    ``rank`` is taken. ``partner`` is -1 at free nodes; scores are at least 0.
    """
    for place in range(start, stop):
        i = order[place]
        if partner[i] >= 0:
            continue
        best, highest = i, -1.0
        for entry in range(indptr[i], indptr[i + 1]):
            j = indices[entry]
            if partner[j] >= 0 or j == i:
                continue
            score = scores[entry]
            if score > highest or (score == highest and rank[j] < rank[best]):
                best, highest = j, score
        partner[i] = best
        partner[best] = i


@exact_kernel
def contract(start, stop, starts, members, cluster, indptr, indices, values, seen, out_indptr, out_indices, out):
    """Sum the rows of each cluster's members, and their columns by cluster, what stays inside a cluster left out.

    The members of cluster c are ``members[starts[c]:starts[c + 1]]``. Rows are written one behind the other from
    ``out_indptr[start]`` on, their columns in the order of first sight; ``seen`` is -1 everywhere.
    """
    place = out_indptr[start]
    for c in range(start, stop):
        first = place
        for member in range(starts[c], starts[c + 1]):
            i = members[member]
            for entry in range(indptr[i], indptr[i + 1]):
                d = cluster[indices[entry]]
                if d == c:
                    continue
                if seen[d] < first:
                    seen[d] = place
                    out_indices[place] = d
                    out[place] = values[entry]
                    place += 1
                else:
                    out[seen[d]] += values[entry]
        out_indptr[c + 1] = place

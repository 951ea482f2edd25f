"""Message passing in one pass: the largest neighbour value, and sums of ReLU messages with edge features."""

from __future__ import annotations

from graphkit._kernels.compiler import kernel


@kernel
def neighbor_max(start, stop, indptr, indices, x, out, ties):
    """Set ``out[i] = max_j x[j]`` and ``ties`` to how many entries reach it; rows without entries get 0 and 1."""
    features = x.shape[1]
    for i in range(start, stop):
        first, last = indptr[i], indptr[i + 1]
        for f in range(features):
            out[i, f] = x[indices[first], f] if first < last else x.dtype.type(0)
            ties[i, f] = 1
        for entry in range(first + 1, last):
            source = x[indices[entry]]
            for f in range(features):
                if source[f] > out[i, f] or source[f] != source[f]:
                    out[i, f] = source[f]
                    ties[i, f] = 1
                elif source[f] == out[i, f]:
                    ties[i, f] += 1


@kernel
def scatter_to_maxima(start, stop, indptr, indices, x, out, ties, grad, dx):
    """Set ``dx[j] = sum_i [x[j] = out[i]] grad[i] / ties[i]``; ``indptr`` and ``indices`` are the transpose's."""
    features = x.shape[1]
    for j in range(start, stop):
        dx[j, :] = 0
        for entry in range(indptr[j], indptr[j + 1]):
            i = indices[entry]
            for f in range(features):
                if x[j, f] == out[i, f]:
                    dx[j, f] += grad[i, f] / ties[i, f]


@kernel
def gather_from_maxima(start, stop, indptr, indices, x, out, ties, y, result):
    """Set ``result[i] = sum_j [x[j] = out[i]] y[j] / ties[i]``: the adjoint of ``scatter_to_maxima``."""
    features = x.shape[1]
    for i in range(start, stop):
        result[i, :] = 0
        for entry in range(indptr[i], indptr[i + 1]):
            j = indices[entry]
            for f in range(features):
                if x[j, f] == out[i, f]:
                    result[i, f] += y[j, f] / ties[i, f]


@kernel
def relu_message_sum(start, stop, indptr, indices, perm, x, edge, out):
    """Set ``out[i] = sum_j relu(x[j] + edge[perm[ij]])``; features are the last axis."""
    features, zero = x.shape[1], x.dtype.type(0)
    for i in range(start, stop):
        row = out[i]
        row[:] = 0
        for entry in range(indptr[i], indptr[i + 1]):
            source, term = x[indices[entry]], edge[perm[entry]]
            for f in range(features):
                row[f] += max(source[f] + term[f], zero)


@kernel
def relu_message_sum_backward_edges(start, stop, indptr, indices, perm, x, edge, grad, dedge):
    """Set ``dedge[perm[ij]] = grad[i] where x[j] + edge > 0``."""
    features, zero = x.shape[1], x.dtype.type(0)
    for i in range(start, stop):
        upstream = grad[i]
        for entry in range(indptr[i], indptr[i + 1]):
            source, term, out = x[indices[entry]], edge[perm[entry]], dedge[perm[entry]]
            for f in range(features):
                out[f] = upstream[f] if source[f] + term[f] > zero else zero


@kernel
def relu_message_sum_backward_sources(start, stop, indptr, indices, perm, dedge, dx):
    """Set ``dx[j] = sum_i dedge[perm[ij]]``; ``indptr`` and ``indices`` are the transpose's, ``perm`` too."""
    features = dx.shape[1]
    for j in range(start, stop):
        row = dx[j]
        row[:] = 0
        for entry in range(indptr[j], indptr[j + 1]):
            term = dedge[perm[entry]]
            for f in range(features):
                row[f] += term[f]


@kernel
def edge_table_sum(start, stop, indptr, indices, row_of_entry, x, table, scale, out):
    """Set ``out[i] = sum_j scale[j] relu(x[j] + table[row_of_entry[ij]])``; ``scale`` may be empty, for ones."""
    features, zero, one, scaled = x.shape[1], x.dtype.type(0), x.dtype.type(1), len(scale) > 0
    for i in range(start, stop):
        row = out[i]
        row[:] = 0
        for entry in range(indptr[i], indptr[i + 1]):
            j = indices[entry]
            source, term = x[j], table[row_of_entry[entry]]
            value = scale[j] if scaled else one
            for f in range(features):
                row[f] += value * max(source[f] + term[f], zero)


@kernel
def edge_table_sum_backward_sources(start, stop, indptr, indices, row_of_entry, x, table, scale, grad, dx):
    """Set ``dx[j] = scale[j] sum_i grad[i] where x[j] + table > 0``; the pattern is the transpose's."""
    features, zero, scaled = x.shape[1], x.dtype.type(0), len(scale) > 0
    for j in range(start, stop):
        row, source = dx[j], x[j]
        row[:] = 0
        for entry in range(indptr[j], indptr[j + 1]):
            upstream, term = grad[indices[entry]], table[row_of_entry[entry]]
            for f in range(features):
                row[f] += upstream[f] if source[f] + term[f] > zero else zero
        if scaled:
            value = scale[j]
            for f in range(features):
                row[f] *= value


@kernel
def edge_table_sum_backward_table(start, stop, indptr, indices, row_of_entry, x, table, scale, grad, dtable):
    """Add to ``dtable`` what rows ``start`` to ``stop - 1`` send back; ranges share it, so one thread takes all."""
    features, zero, one, scaled = x.shape[1], x.dtype.type(0), x.dtype.type(1), len(scale) > 0
    for i in range(start, stop):
        upstream = grad[i]
        for entry in range(indptr[i], indptr[i + 1]):
            j = indices[entry]
            source, term, out = x[j], table[row_of_entry[entry]], dtable[row_of_entry[entry]]
            value = scale[j] if scaled else one
            for f in range(features):
                out[f] += value * upstream[f] if source[f] + term[f] > zero else zero

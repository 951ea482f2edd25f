"""Sums of rectified messages whose edge features are rows of a small table."""

from __future__ import annotations

from graphkit._kernels.compiled import kernel


@kernel
def tabled_sum(start, stop, pointers, columns, row_of_entry, x, table, scale, out):
    """Set ``out[i] = sum_j scale[j] relu(x[j] + table[row_of_entry[ij]])``; ``scale`` may be empty, for ones."""
    features, zero, one, scaled = x.shape[1], x.dtype.type(0), x.dtype.type(1), len(scale) > 0
    for i in range(start, stop):
        row = out[i]
        row[:] = 0
        for entry in range(pointers[i], pointers[i + 1]):
            j = columns[entry]
            source, term = x[j], table[row_of_entry[entry]]
            value = scale[j] if scaled else one
            for f in range(features):
                row[f] += value * max(source[f] + term[f], zero)


@kernel
def tabled_sum_backward_sources(start, stop, pointers, columns, row_of_entry, x, table, scale, grad, dx):
    """Set ``dx[j] = scale[j] sum_i grad[i] where x[j] + table > 0``; the pattern is the transpose's."""
    features, zero, scaled = x.shape[1], x.dtype.type(0), len(scale) > 0
    for j in range(start, stop):
        row, source = dx[j], x[j]
        row[:] = 0
        for entry in range(pointers[j], pointers[j + 1]):
            upstream, term = grad[columns[entry]], table[row_of_entry[entry]]
            for f in range(features):
                row[f] += upstream[f] if source[f] + term[f] > zero else zero
        if scaled:
            value = scale[j]
            for f in range(features):
                row[f] *= value


@kernel
def tabled_sum_backward_table(start, stop, pointers, columns, row_of_entry, x, table, scale, grad, dtable):
    """Add to ``dtable`` what rows ``start`` to ``stop - 1`` send back; ranges share it, so one thread takes all."""
    features, zero, one, scaled = x.shape[1], x.dtype.type(0), x.dtype.type(1), len(scale) > 0
    for i in range(start, stop):
        upstream = grad[i]
        for entry in range(pointers[i], pointers[i + 1]):
            j = columns[entry]
            source, term, out = x[j], table[row_of_entry[entry]], dtable[row_of_entry[entry]]
            value = scale[j] if scaled else one
            for f in range(features):
                out[f] += value * upstream[f] if source[f] + term[f] > zero else zero

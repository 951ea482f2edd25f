"""Sparse matrix times dense matrix, and the dense product sampled at the stored entries.

A matrix in compressed sparse rows (CSR) is ``pointers`` ``[rows + 1]`` and ``columns`` ``[entries]``. With heads
(attention heads, or tasks stacked side by side) values and features carry a middle axis.
"""

from __future__ import annotations

from graphkit._kernels.compiled import kernel
from graphkit._kernels.prefetch import DISTANCE, prefetch

LINE = 16
"""Features to a cache line of 64 bytes, in single precision."""


@kernel
def multiply(start, stop, pointers, columns, values, x, scale, plus, plus_scale, out):
    """Set ``out[i] = scale * sum_j values[ij] x[j] + plus_scale * plus[i]``.

    ``x`` and ``out`` are ``[nodes, features]``. ``values`` may have no rows, for ones; ``plus`` none, for zeros, or a
    single row, for a bias.
    """
    features = x.shape[1]
    with_values, plus_rows, last = len(values) > 0, len(plus), len(columns) - 1
    for i in range(start, stop):
        row = out[i]
        if plus_rows > 0:
            term = plus[min(i, plus_rows - 1)]
            for f in range(features):
                row[f] = plus_scale * term[f]
        else:
            row[:] = 0
        for entry in range(pointers[i], pointers[i + 1]):
            ahead = columns[min(entry + DISTANCE, last)]
            for f in range(0, features, LINE):
                prefetch(x, ahead, f)
            source = x[columns[entry]]
            value = scale * values[entry] if with_values else scale
            for f in range(features):
                row[f] += value * source[f]


@kernel
def multiply_heads(start, stop, pointers, columns, values, x, out):
    """Set ``out[i, h] = sum_j values[ij, h] x[j, h]``; ``x`` and ``out`` are ``[nodes, heads, features]``."""
    heads, features, last = x.shape[1], x.shape[2], len(columns) - 1
    for i in range(start, stop):
        row = out[i]
        row[:, :] = 0
        for entry in range(pointers[i], pointers[i + 1]):
            ahead = columns[min(entry + DISTANCE, last)]
            for h in range(heads):
                prefetch(x, ahead, h)
            source = x[columns[entry]]
            for h in range(heads):
                value = values[entry, h]
                for f in range(features):
                    row[h, f] += value * source[h, f]


@kernel
def sample(start, stop, pointers, columns, left, right, out):
    """Set ``out[ij, h] = <left[i, h], right[j, h]>`` at the stored entries (i, j)."""
    heads, features, last = left.shape[1], left.shape[2], len(columns) - 1
    for i in range(start, stop):
        row = left[i]
        for entry in range(pointers[i], pointers[i + 1]):
            ahead = columns[min(entry + DISTANCE, last)]
            for h in range(heads):
                prefetch(right, ahead, h)
            source = right[columns[entry]]
            for h in range(heads):
                total = out.dtype.type(0)
                for f in range(features):
                    total += row[h, f] * source[h, f]
                out[entry, h] = total

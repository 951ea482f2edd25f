"""Sparse matrix times dense matrix, and the dense product sampled at the stored entries.

A matrix in compressed sparse rows (CSR) is ``pointers`` ``[rows + 1]`` and ``columns`` ``[entries]``. Values and
features carry a middle axis of heads (attention heads, or tasks stacked side by side); its length is often 1.
"""

from __future__ import annotations

from graphkit._kernels.compiled import kernel


@kernel
def sum_rows(start, stop, pointers, columns, x, out):
    """Set ``out[i] = sum_j x[j]`` over the entries (i, j); ``x`` and ``out`` are ``[nodes, features]``."""
    features = x.shape[1]
    for i in range(start, stop):
        row = out[i]
        row[:] = 0
        for entry in range(pointers[i], pointers[i + 1]):
            source = x[columns[entry]]
            for f in range(features):
                row[f] += source[f]


@kernel
def multiply(start, stop, pointers, columns, values, x, out):
    """Set ``out[i] = sum_j values[ij] x[j]``; ``x`` and ``out`` are ``[nodes, features]``."""
    features = x.shape[1]
    for i in range(start, stop):
        row = out[i]
        row[:] = 0
        for entry in range(pointers[i], pointers[i + 1]):
            source = x[columns[entry]]
            value = values[entry]
            for f in range(features):
                row[f] += value * source[f]


@kernel
def multiply_heads(start, stop, pointers, columns, values, x, out):
    """Set ``out[i, h] = sum_j values[ij, h] x[j, h]``; ``x`` and ``out`` are ``[nodes, heads, features]``."""
    heads, features = x.shape[1], x.shape[2]
    for i in range(start, stop):
        row = out[i]
        row[:, :] = 0
        for entry in range(pointers[i], pointers[i + 1]):
            source = x[columns[entry]]
            for h in range(heads):
                value = values[entry, h]
                for f in range(features):
                    row[h, f] += value * source[h, f]


@kernel
def sample(start, stop, pointers, columns, left, right, out):
    """Set ``out[ij, h] = <left[i, h], right[j, h]>`` at the stored entries (i, j)."""
    heads, features = left.shape[1], left.shape[2]
    for i in range(start, stop):
        row = left[i]
        for entry in range(pointers[i], pointers[i + 1]):
            source = right[columns[entry]]
            for h in range(heads):
                total = out.dtype.type(0)
                for f in range(features):
                    total += row[h, f] * source[h, f]
                out[entry, h] = total

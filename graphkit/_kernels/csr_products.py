"""Sparse times dense product (SpMM), and the dense product sampled at the stored entries (SDDMM).

A matrix in compressed sparse rows (CSR) is ``indptr`` ``[rows + 1]`` and ``indices`` ``[entries]``. With heads
(attention heads, or tasks stacked side by side) values and features carry a middle axis.
"""

from __future__ import annotations

from graphkit._kernels.compiler import DISTANCE, kernel, prefetch

LINE = 16
"""Features to a cache line of 64 bytes, in single precision."""


@kernel
def spmm(start, stop, indptr, indices, values, x, alpha, addend, beta, out):
    """Set ``out[i] = alpha * sum_j values[ij] x[j] + beta * addend[i]``.

    ``x`` and ``out`` are ``[nodes, features]``. ``values`` may have no rows, for ones; ``addend`` none, for zeros, or a
    single row, for a bias.
    """
    features = x.shape[1]
    with_values, addend_rows, last = len(values) > 0, len(addend), len(indices) - 1
    for i in range(start, stop):
        row = out[i]
        if addend_rows > 0:
            term = addend[min(i, addend_rows - 1)]
            for f in range(features):
                row[f] = beta * term[f]
        else:
            row[:] = 0
        for entry in range(indptr[i], indptr[i + 1]):
            ahead = indices[min(entry + DISTANCE, last)]
            for f in range(0, features, LINE):
                prefetch(x, ahead, f)
            source = x[indices[entry]]
            value = alpha * values[entry] if with_values else alpha
            for f in range(features):
                row[f] += value * source[f]


@kernel
def spmm_heads(start, stop, indptr, indices, values, x, out):
    """Set ``out[i, h] = sum_j values[ij, h] x[j, h]``; ``x`` and ``out`` are ``[nodes, heads, features]``."""
    heads, features, last = x.shape[1], x.shape[2], len(indices) - 1
    for i in range(start, stop):
        row = out[i]
        row[:, :] = 0
        for entry in range(indptr[i], indptr[i + 1]):
            ahead = indices[min(entry + DISTANCE, last)]
            for h in range(heads):
                prefetch(x, ahead, h)
            source = x[indices[entry]]
            for h in range(heads):
                value = values[entry, h]
                for f in range(features):
                    row[h, f] += value * source[h, f]


@kernel
def sddmm(start, stop, indptr, indices, left, right, out):
    """Set ``out[ij, h] = <left[i, h], right[j, h]>`` at the stored entries (i, j)."""
    heads, features, last = left.shape[1], left.shape[2], len(indices) - 1
    for i in range(start, stop):
        row = left[i]
        for entry in range(indptr[i], indptr[i + 1]):
            ahead = indices[min(entry + DISTANCE, last)]
            for h in range(heads):
                prefetch(right, ahead, h)
            source = right[indices[entry]]
            for h in range(heads):
                total = out.dtype.type(0)
                for f in range(features):
                    total += row[h, f] * source[h, f]
                out[entry, h] = total

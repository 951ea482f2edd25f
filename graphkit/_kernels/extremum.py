"""The largest neighbour value of each feature, and its gradient, shared evenly among ties."""

from __future__ import annotations

from graphkit._kernels.compiled import kernel


@kernel
def maximum(start, stop, pointers, columns, x, out, ties):
    """Set ``out[i] = max_j x[j]`` and ``ties`` to how many entries reach it; rows without entries get 0 and 1."""
    features = x.shape[1]
    for i in range(start, stop):
        first, last = pointers[i], pointers[i + 1]
        for f in range(features):
            out[i, f] = x[columns[first], f] if first < last else x.dtype.type(0)
            ties[i, f] = 1
        for entry in range(first + 1, last):
            source = x[columns[entry]]
            for f in range(features):
                if source[f] > out[i, f] or source[f] != source[f]:
                    out[i, f] = source[f]
                    ties[i, f] = 1
                elif source[f] == out[i, f]:
                    ties[i, f] += 1


@kernel
def scatter_to_maxima(start, stop, pointers, columns, x, out, ties, grad, dx):
    """Set ``dx[j] = sum_i [x[j] = out[i]] grad[i] / ties[i]``; ``pointers`` and ``columns`` are the transpose's."""
    features = x.shape[1]
    for j in range(start, stop):
        dx[j, :] = 0
        for entry in range(pointers[j], pointers[j + 1]):
            i = columns[entry]
            for f in range(features):
                if x[j, f] == out[i, f]:
                    dx[j, f] += grad[i, f] / ties[i, f]


@kernel
def gather_from_maxima(start, stop, pointers, columns, x, out, ties, y, result):
    """Set ``result[i] = sum_j [x[j] = out[i]] y[j] / ties[i]``: the adjoint of ``scatter_to_maxima``."""
    features = x.shape[1]
    for i in range(start, stop):
        result[i, :] = 0
        for entry in range(pointers[i], pointers[i + 1]):
            j = columns[entry]
            for f in range(features):
                if x[j, f] == out[i, f]:
                    result[i, f] += y[j, f] / ties[i, f]

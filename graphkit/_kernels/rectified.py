"""Sums of rectified edge messages, as graph isomorphism networks with edge features take them."""

from __future__ import annotations

from graphkit._kernels.compiled import kernel


@kernel
def rectified_sum(start, stop, pointers, columns, order, x, edge, out):
    """Set ``out[i] = sum_j relu(x[j] + edge[order[ij]])``; features are the last axis."""
    features, zero = x.shape[1], x.dtype.type(0)
    for i in range(start, stop):
        row = out[i]
        row[:] = 0
        for entry in range(pointers[i], pointers[i + 1]):
            source, term = x[columns[entry]], edge[order[entry]]
            for f in range(features):
                row[f] += max(source[f] + term[f], zero)


@kernel
def rectified_sum_backward_edges(start, stop, pointers, columns, order, x, edge, grad, dedge):
    """Set ``dedge[order[ij]] = grad[i] where x[j] + edge > 0``."""
    features, zero = x.shape[1], x.dtype.type(0)
    for i in range(start, stop):
        upstream = grad[i]
        for entry in range(pointers[i], pointers[i + 1]):
            source, term, out = x[columns[entry]], edge[order[entry]], dedge[order[entry]]
            for f in range(features):
                out[f] = upstream[f] if source[f] + term[f] > zero else zero


@kernel
def rectified_sum_backward_sources(start, stop, pointers, columns, order, dedge, dx):
    """Set ``dx[j] = sum_i dedge[order[ij]]``; ``pointers`` and ``columns`` are the transpose's, ``order`` too."""
    features = dx.shape[1]
    for j in range(start, stop):
        row = dx[j]
        row[:] = 0
        for entry in range(pointers[j], pointers[j + 1]):
            term = dedge[order[entry]]
            for f in range(features):
                row[f] += term[f]

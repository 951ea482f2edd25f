"""Compressed sparse rows (CSR) from coordinates (COO), their transpose, and a hash of arrays, in linear time."""

from __future__ import annotations

import numpy as np

from graphkit._kernels.compiler import kernel
from graphkit._kernels.splitmix import splitmix64


@kernel
def _counting_sort(keys, order_in, indptr, order_out):
    """Stably sort the items named by ``order_in`` by key; fill ``indptr`` ``[keys + 1]`` and ``order_out``."""
    indptr[:] = 0
    for item in range(len(keys)):
        indptr[keys[item] + 1] += 1
    for k in range(len(indptr) - 1):
        indptr[k + 1] += indptr[k]
    cursor = indptr.copy()
    for position in range(len(order_in)):
        item = order_in[position]
        slot = cursor[keys[item]]
        cursor[keys[item]] = slot + 1
        order_out[slot] = item


def coo_to_csr(
    rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int], index: type[np.signedinteger]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``indptr``, ``indices`` and ``perm``, the order that sorts the entries by row, then by column.

    Duplicates are kept, in the order given. Two counting sorts, the minor key first.

    Example:
        >>> indptr, indices, perm = coo_to_csr(np.array([1, 0, 1]), np.array([2, 1, 0]), (2, 3), np.int32)
        >>> indptr.tolist(), indices.tolist(), perm.tolist()
        ([0, 1, 3], [1, 0, 2], [1, 2, 0])
    """
    entries = len(rows)
    by_column, perm = np.empty(entries, index), np.empty(entries, index)
    _counting_sort(columns, np.arange(entries, dtype=index), np.empty(shape[1] + 1, index), by_column)
    indptr = np.empty(shape[0] + 1, index)
    _counting_sort(rows, by_column, indptr, perm)
    return indptr, columns[perm].astype(index, copy=False), perm


def group_order(keys: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the items of each group begin, and the order of items that groups them, as they stand.

    Example:
        >>> starts, order = group_order(np.array([1, 0, 1]), 3)
        >>> starts.tolist(), order.tolist()
        ([0, 1, 3, 3], [1, 0, 2])
    """
    index = np.int32 if len(keys) < 2**31 else np.int64
    starts, order = np.empty(groups + 1, index), np.empty(len(keys), index)
    _counting_sort(keys, np.arange(len(keys), dtype=index), starts, order)
    return starts, order


@kernel
def _transpose(indptr, indices, indptr_out, indices_out, perm_out):
    indptr_out[:] = 0
    for entry in range(len(indices)):
        indptr_out[indices[entry] + 1] += 1
    for k in range(len(indptr_out) - 1):
        indptr_out[k + 1] += indptr_out[k]
    cursor = indptr_out[:-1].copy()
    for i in range(len(indptr) - 1):
        for entry in range(indptr[i], indptr[i + 1]):
            slot = cursor[indices[entry]]
            cursor[indices[entry]] = slot + 1
            indices_out[slot] = i
            perm_out[slot] = entry


def transpose_csr(indptr: np.ndarray, indices: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the transpose of a CSR matrix and, for each of its entries, the position it had.

    Example:
        >>> indptr, indices, perm = transpose_csr(np.array([0, 1, 3]), np.array([1, 0, 2]), 3)
        >>> indptr.tolist(), indices.tolist(), perm.tolist()
        ([0, 1, 2, 3], [1, 0, 1], [1, 0, 2])
    """
    index = indptr.dtype
    transposed = np.empty(width + 1, index), np.empty(len(indices), index), np.empty(len(indices), index)
    _transpose(indptr, indices, *transposed)
    return transposed


@kernel
def _fingerprint(words):
    total = np.uint64(0)
    for k in range(words.shape[0]):  # no step waits for the one before, so that it vectorises
        total += splitmix64(np.uint64(words[k]) + np.uint64(k) * np.uint64(0x9E3779B97F4A7C15))
    return total


def fingerprint(words: np.ndarray) -> int:
    """Return a 64-bit hash of an array of 64-bit integers that depends on every value and its place.

    It guards the cache of graphs against in-place edits; it is no defence against an adversary.

    Example:
        >>> a = np.arange(6)
        >>> fingerprint(a) == fingerprint(a.copy()), fingerprint(a) == fingerprint(a[::-1].copy())
        (True, False)
    """
    return int(_fingerprint(words.reshape(-1)))

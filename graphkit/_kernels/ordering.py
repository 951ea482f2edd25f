"""Sorting edges into compressed rows, and telling two edge lists apart, in linear time."""

from __future__ import annotations

import numpy as np

from graphkit._kernels.compiled import kernel
from graphkit._kernels.randomness import mixed


@kernel
def _counting_order(keys, order_in, pointers, order_out):
    """Stably sort the items named by ``order_in`` by key; fill ``pointers`` ``[keys + 1]`` and ``order_out``."""
    pointers[:] = 0
    for item in range(len(keys)):
        pointers[keys[item] + 1] += 1
    for k in range(len(pointers) - 1):
        pointers[k + 1] += pointers[k]
    cursor = pointers.copy()
    for position in range(len(order_in)):
        item = order_in[position]
        slot = cursor[keys[item]]
        cursor[keys[item]] = slot + 1
        order_out[slot] = item


def compressed_rows(
    rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int], index: type[np.signedinteger]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``pointers``, ``columns`` and the order that sorts the entries by row, then by column.

    Duplicates are kept, in the order given. Two counting sorts, the minor key first.

    Example:
        >>> pointers, columns, order = compressed_rows(np.array([1, 0, 1]), np.array([2, 1, 0]), (2, 3), np.int32)
        >>> pointers.tolist(), columns.tolist(), order.tolist()
        ([0, 1, 3], [1, 0, 2], [1, 2, 0])
    """
    entries = len(rows)
    by_column, order = np.empty(entries, index), np.empty(entries, index)
    _counting_order(columns, np.arange(entries, dtype=index), np.empty(shape[1] + 1, index), by_column)
    pointers = np.empty(shape[0] + 1, index)
    _counting_order(rows, by_column, pointers, order)
    return pointers, columns[order].astype(index, copy=False), order


@kernel
def _transpose(pointers, columns, pointers_out, columns_out, order_out):
    pointers_out[:] = 0
    for entry in range(len(columns)):
        pointers_out[columns[entry] + 1] += 1
    for k in range(len(pointers_out) - 1):
        pointers_out[k + 1] += pointers_out[k]
    cursor = pointers_out[:-1].copy()
    for i in range(len(pointers) - 1):
        for entry in range(pointers[i], pointers[i + 1]):
            slot = cursor[columns[entry]]
            cursor[columns[entry]] = slot + 1
            columns_out[slot] = i
            order_out[slot] = entry


def transposed_rows(pointers: np.ndarray, columns: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the transpose of a CSR matrix and, for each of its entries, the position it had.

    Example:
        >>> pointers, columns, order = transposed_rows(np.array([0, 1, 3]), np.array([1, 0, 2]), 3)
        >>> pointers.tolist(), columns.tolist(), order.tolist()
        ([0, 1, 2, 3], [1, 0, 1], [1, 0, 2])
    """
    index = pointers.dtype
    transposed = np.empty(width + 1, index), np.empty(len(columns), index), np.empty(len(columns), index)
    _transpose(pointers, columns, *transposed)
    return transposed


@kernel
def _fingerprint(words):
    total = np.uint64(0)
    for k in range(words.shape[0]):  # no step waits for the one before, so that it vectorises
        total += mixed(np.uint64(words[k]) + np.uint64(k) * np.uint64(0x9E3779B97F4A7C15))
    return total


def fingerprint(words: np.ndarray) -> int:
    """Return a 64-bit hash of an array of 64-bit integers that depends on every value and its place.

    It guards a memory of prepared graphs against in-place edits; it is no defence against an adversary.

    Example:
        >>> a = np.arange(6)
        >>> fingerprint(a) == fingerprint(a.copy()), fingerprint(a) == fingerprint(a[::-1].copy())
        (True, False)
    """
    return int(_fingerprint(words.reshape(-1)))

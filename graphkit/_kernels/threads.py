"""Rows of a sparse matrix handed to threads in portions of equal work."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

SERIAL_WORK = 400_000
"""Multiply-adds below which waking a second thread (some 30 microseconds) costs more than it saves."""

PORTIONS_PER_THREAD = 8
"""Portions are drawn from a common heap, so that a slow thread takes fewer of them."""

_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def _executor(workers: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    if _pool is None or _pool_size < workers:  # a smaller one is left to its users; its threads go with the last
        _pool, _pool_size = ThreadPoolExecutor(workers, thread_name_prefix="graphkit"), workers
    return _pool


def _forget_pool() -> None:
    """Drop the parent's threads, which do not exist in a forked child."""
    global _pool, _pool_size
    _pool, _pool_size = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def over_rows(kernel: Callable[..., Any], indptr: np.ndarray, width: int, *arrays: Any) -> None:
    """Run ``kernel(start, stop, indptr, *arrays)`` over all rows, on as many threads as PyTorch uses.

    The kernel writes only to rows ``start`` to ``stop - 1``. ``width`` is the number of multiply-adds per stored entry.
    """
    rows, threads = len(indptr) - 1, torch.get_num_threads()
    if threads < 2 or (int(indptr[-1]) + rows) * width < SERIAL_WORK:
        kernel(0, rows, indptr, *arrays)
    else:
        _share(kernel, equal_work(indptr, threads * PORTIONS_PER_THREAD), threads, (indptr, *arrays))


def over_range(kernel: Callable[..., Any], length: int, *arrays: Any) -> None:
    """Run ``kernel(start, stop, *arrays)`` over the places 0 to ``length - 1``, which are equal work."""
    threads = torch.get_num_threads()
    if threads < 2 or length < SERIAL_WORK:
        kernel(0, length, *arrays)
    else:
        portions = threads * PORTIONS_PER_THREAD
        _share(kernel, [length * k // portions for k in range(portions + 1)], threads, arrays)


def _share(kernel: Callable[..., Any], bounds: list[int], threads: int, arrays: tuple[Any, ...]) -> None:
    heap = itertools.count()  # next() is atomic under the interpreter lock

    def work() -> None:
        while (portion := next(heap)) < len(bounds) - 1:
            kernel(bounds[portion], bounds[portion + 1], *arrays)

    helpers = [_executor(threads - 1).submit(work) for _ in range(threads - 1)]
    work()
    for helper in helpers:
        helper.result()


def equal_work(indptr: np.ndarray, portions: int) -> list[int]:
    """Return increasing row bounds that cut the matrix into about ``portions`` parts of equal entries plus rows.

    Example:
        >>> equal_work(np.array([0, 10, 10, 10, 20]), 2)
        [0, 2, 4]
    """
    rows = len(indptr) - 1
    cost = indptr + np.arange(rows + 1)
    cuts = np.searchsorted(cost, np.linspace(0, cost[-1], portions + 1)[1:-1])
    return np.unique(np.concatenate(([0], cuts, [rows]))).tolist()

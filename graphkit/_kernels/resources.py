"""What kernels run on: fresh memory for large results, and threads that take rows in portions of equal work."""

from __future__ import annotations

import itertools
import math
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

LARGE = 4 * 2**20
"""Bytes from which NumPy asks the system for huge pages."""

IDLE = 2**30
"""Bytes, at most, that stay when nobody looks at them, held ones counted: what is above a quarter is never kept."""

SERIAL_WORK = 400_000
"""Multiply-adds below which waking a second thread (some 30 microseconds) costs more than it saves."""

PORTIONS_PER_THREAD = 8
"""Portions are drawn from a common heap, so that a slow thread takes fewer of them."""

_NUMPY = {torch.float32: "float32", torch.float64: "float64"}
_blocks: list[np.ndarray] = []
_lock = threading.Lock()
_threads: ThreadPoolExecutor | None = None
_thread_count = 0


def empty_recycled(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return an uninitialised tensor on the CPU, float32 and float64 in huge pages where it is large.

    The system hands out new memory page by page, at the first touch. With pages of 4 kB that costs more than the
    arithmetic of a sparse product; NumPy asks for pages of 2 MB, PyTorch does not by default. To clear even those takes
    a tenth of a layer's pass, so that memory which nobody holds any more is given out again.
    """
    if dtype not in _NUMPY or math.prod(shape) * dtype.itemsize < LARGE:
        return torch.empty(shape, dtype=dtype)
    number, size = _NUMPY[dtype], math.prod(shape) * dtype.itemsize
    if size > IDLE // 4 or not _COUNTED:
        return torch.from_numpy(np.empty(shape, number))
    with _lock:
        return torch.from_numpy(_recycle(size).view(number).reshape(shape))


def _recycle(size: int) -> np.ndarray:
    """Return memory of so many bytes that nobody holds, from before where there is some."""
    idle = [place for place in range(len(_blocks)) if sys.getrefcount(_blocks[place]) == UNHELD]
    for place in idle:
        if _blocks[place].nbytes == size:
            return _blocks[place]
    room = IDLE - sum(memory.nbytes for memory in _blocks)
    for place in idle:  # the oldest first
        if room < size:
            room += _blocks[place].nbytes
            _blocks[place] = np.empty(0, np.uint8)
    _blocks[:] = [memory for memory in _blocks if memory.nbytes > 0]
    memory = np.empty(size, np.uint8)
    if room >= size:
        _blocks.append(memory)
    return memory


def forget() -> None:
    """Give back what nobody holds; what is held goes with its holder."""
    with _lock:
        _blocks.clear()


def _count_references() -> int:
    kept = [np.empty(0, np.uint8)]
    return sys.getrefcount(kept[0])


UNHELD = _count_references()
"""What Python counts for memory that nobody refers to but the list of what is kept. A tensor refers to its own."""
_COUNTED = getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether the count can be relied on: without the interpreter's lock it is approximate."""


def _executor(workers: int) -> ThreadPoolExecutor:
    global _threads, _thread_count
    if _threads is None or _thread_count < workers:  # a smaller one is left to its users; its threads go with the last
        _threads, _thread_count = ThreadPoolExecutor(workers, thread_name_prefix="graphkit"), workers
    return _threads


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


def _begin_anew_after_fork() -> None:
    """Drop the parent's memory, its lock, which another thread may have held, and its threads, which are not here."""
    global _blocks, _lock, _threads, _thread_count
    _blocks, _lock, _threads, _thread_count = [], threading.Lock(), None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew_after_fork)

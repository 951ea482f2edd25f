"""Fresh memory for large results."""

from __future__ import annotations

import math
import os
import sys
import threading

import numpy as np
import torch
from torch import Tensor

LARGE = 4 * 2**20
"""Bytes from which NumPy asks the system for huge pages."""

IDLE = 2**30
"""Bytes, at most, that stay when nobody looks at them, held ones counted: what is above a quarter is never kept."""

_NUMPY = {torch.float32: "float32", torch.float64: "float64"}
_pool: list[np.ndarray] = []
_lock = threading.Lock()


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
    idle = [place for place in range(len(_pool)) if sys.getrefcount(_pool[place]) == UNHELD]
    for place in idle:
        if _pool[place].nbytes == size:
            return _pool[place]
    room = IDLE - sum(memory.nbytes for memory in _pool)
    for place in idle:  # the oldest first
        if room < size:
            room += _pool[place].nbytes
            _pool[place] = np.empty(0, np.uint8)
    _pool[:] = [memory for memory in _pool if memory.nbytes > 0]
    memory = np.empty(size, np.uint8)
    if room >= size:
        _pool.append(memory)
    return memory


def forget() -> None:
    """Give back what nobody holds; what is held goes with its holder."""
    with _lock:
        _pool.clear()


def _count_references() -> int:
    kept = [np.empty(0, np.uint8)]
    return sys.getrefcount(kept[0])


UNHELD = _count_references()
"""What Python counts for memory that nobody refers to but the list of what is kept. A tensor refers to its own."""
_COUNTED = getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether the count can be relied on: without the interpreter's lock it is approximate."""


def _reset_after_fork() -> None:
    """Drop what the parent kept, in a forked child, and its lock, which another thread may have held."""
    global _pool, _lock
    _pool, _lock = [], threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)

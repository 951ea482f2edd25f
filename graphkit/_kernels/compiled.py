"""How kernels are compiled: without the interpreter lock, and remembered on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` compiled on first use, releasing the interpreter lock, with its machine code cached on disk.

    Numba's own ``parallel=True`` is not used: its OpenMP layer dies in forked loader workers and its other portable
    layer dies when two Python threads enter it. Ranges of rows on a thread pool (``threads``) know neither trouble.
    Additions may be reordered for vectorisation; infinities and NaN keep their meaning.
    """
    return _compiled(function, fastmath={"reassoc", "contract", "nsz"})


def exact_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` compiled as by ``kernel``, but with every addition in the order in which it is written.

    Equal numbers then give equal sums wherever they stand in an array, which a comparison for equality needs.
    """
    return _compiled(function)


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    options |= {"nogil": True, "boundscheck": False, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no place on this machine may be written: compile anew in each process
        return numba.njit(**options)(function)

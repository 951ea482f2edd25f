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
    options: dict[str, Any] = {
        "nogil": True,
        "boundscheck": False,
        "fastmath": {"reassoc", "contract", "nsz"},
        "error_model": "numpy",
    }
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no place on this machine may be written: compile anew in each process
        return numba.njit(**options)(function)

"""Fresh memory for large results."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LARGE = 4 * 2**20
"""Bytes from which NumPy asks the system for huge pages."""

_NUMPY = {torch.float32: "float32", torch.float64: "float64"}


def fresh(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return an uninitialised tensor on the CPU, in huge pages where it is large.

    The system hands out new memory page by page, at the first touch. With pages of 4 kB that costs more than the
    arithmetic of a sparse product; NumPy asks for pages of 2 MB, PyTorch does not by default.

    Args:
        shape: of the tensor.
        dtype: float32 or float64 for huge pages, anything else for PyTorch's own.
    """
    if dtype not in _NUMPY or math.prod(shape) * dtype.itemsize < LARGE:
        return torch.empty(shape, dtype=dtype)
    return torch.from_numpy(np.empty(shape, _NUMPY[dtype]))

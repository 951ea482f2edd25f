"""Types of numbers inside layers: what half precision is widened for, and what results are rounded to."""

import functools
from typing import Any

import torch
from torch import Tensor

HALF = (torch.bfloat16, torch.float16)
"""Types of eight or eleven bits, in which many-termed sums and recurrences are not taken."""


def matrix_type(x: Any) -> torch.dtype:
    """Return the type of a matrix that features are multiplied by: theirs, but single precision for half."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def in_half(x: Any) -> bool:
    """Tell whether linear maps of ``x`` are in half precision, its own or that of autocast."""
    return x.dtype in HALF or (x.device.type != "meta" and torch.is_autocast_enabled(x.device.type))


def widened(x: Tensor) -> Tensor:
    """Return half-precision numbers in single precision, others as they are."""
    return x.float() if x.dtype in HALF else x


def result_type(*parts: Any) -> torch.dtype:
    """Return the type of the sum of tensors, without those that are ``None``."""
    return functools.reduce(torch.promote_types, (part.dtype for part in parts if part is not None))

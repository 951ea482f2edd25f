"""What tells numbers from those that they are edited to, in place, through whichever view of their memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit._kernels.ordering import fingerprint
from graphkit._torch_internals import coo_parts, version_of


def stamp(value: Any) -> Hashable:
    """Return what tells numbers from those they are edited to: a version and, on the CPU, a fingerprint.

    Args:
        value: a tensor of any layout, a ``SparseOperator``, or tuples, lists and dataclasses of them; of anything else
            nothing is told.

    Example:
        >>> x = torch.ones(3)
        >>> before = stamp(x)
        >>> x.numpy()[0] = 2.0
        >>> stamp(x) == before
        False
    """
    if isinstance(value, Tensor):
        return _of_tensor(value)
    if hasattr(value, "_stamp"):
        return value._stamp()
    if isinstance(value, tuple | list):
        return tuple(stamp(part) for part in value)
    if dataclasses.is_dataclass(value):
        return tuple(stamp(getattr(value, field.name)) for field in dataclasses.fields(value))
    return None


def _of_tensor(tensor: Tensor) -> Hashable:
    version = None if tensor.is_inference() else version_of(tensor)
    if tensor.device.type != "cpu":
        return version
    if tensor.layout == torch.strided:
        parts: tuple[Tensor, ...] = (tensor,)
    elif tensor.layout == torch.sparse_coo:
        parts = coo_parts(tensor)
    elif tensor.layout == torch.sparse_csr:
        parts = (tensor.crow_indices(), tensor.col_indices(), tensor.values())
    else:
        parts = (tensor.ccol_indices(), tensor.row_indices(), tensor.values())
    return version, *(_print(part) for part in parts)


def _print(tensor: Tensor) -> int:
    plain = tensor.detach().as_subclass(Tensor)
    plain = plain.view(torch.int16) if plain.dtype == torch.bfloat16 else plain  # NumPy does not know the type
    numbers = np.ascontiguousarray(plain.numpy()).reshape(-1)
    words = np.int64 if numbers.nbytes % 8 == 0 else np.int32 if numbers.nbytes % 4 == 0 else np.uint8
    return fingerprint(numbers.view(words))

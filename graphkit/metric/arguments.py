"""What losses, conditions and evaluations ask of numbers and lists, beside the checks that all rooms share."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from graphkit._checks import integer_labels
from graphkit._torch_internals import is_wrapped


def place(argument: str, value: int, count: int) -> int:
    """Return ``value`` if it is one of the integers from 0 to ``count`` - 1, else raise ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not 0 <= value < count:
        raise ValueError(f"`{argument}` must lie in 0 to {count - 1}, got {value!r}.")
    return int(value)


def class_labels(argument: str, y: Tensor, items: int) -> Tensor:
    """Return ``y`` if it holds one class per item: an integer from 0 upwards, or -1 where it has no label.

    Numbers are not looked at inside a ``torch.func`` transform, which hides them.

    Raises:
        TypeError: for anything but a tensor of integers.
        ValueError: for another shape, and for labels below -1.
    """
    integer_labels(argument, y, items)
    if not is_wrapped(y) and y.numel() and int(y.min()) < -1:
        row = int((y < -1).nonzero()[0])
        raise ValueError(
            f"`{argument}` must hold classes from 0 upwards, or -1 for items without a label, got {int(y[row])} in row "
            f"{row}."
        )
    return y


def on_device(argument: str, value: Tensor, device: torch.device) -> Tensor:
    """Return ``value`` if it is on a device, else raise ``ValueError``."""
    if value.device != device:
        raise ValueError(f"`{argument}` must be on {device}, as what it belongs to, got {value.device}; move it there.")
    return value


def several(argument: str, values: Iterable[Any], example: str) -> list[Any]:
    """Return ``values`` as a list if they are some, else raise ``TypeError``: one string is none of several."""
    if isinstance(values, str) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0:
        raise TypeError(f"`{argument}` must be a list such as {example}, got {values!r}.")
    return list(values)

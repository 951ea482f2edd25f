"""Numbers: how large they may be."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any


def at_least(argument: str, value: int, least: int) -> int:
    """Return ``value`` as ``int`` if it is an integer, or NumPy's, of ``least`` or more, else raise ``ValueError``."""
    if type(value) is int and value >= least:  # at once: classes of numbers take a microsecond to be told
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"`{argument}` must be an integer of at least {least}, got {value!r}.")
    return int(value)


def integer_between(argument: str, value: int, least: int, most: int) -> int:
    """Return ``value`` as ``int`` if it is an integer from ``least`` to ``most``, else raise ``ValueError``."""
    if at_least(argument, value, least) > most:
        raise ValueError(f"`{argument}` must be at most {most:,}, got {value:,}.")
    return int(value)


def count(argument: str, value: Any) -> int:
    """Return ``value`` if it is an integer from 0 that fits into 64 bits."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not 0 <= int(value) < 2**63:
        raise ValueError(f"`{argument}` must be an integer of at least 0 and of 64 bits, got {str(value)[:60]!a}.")
    return int(value)


def seed(argument: str, value: Any) -> int:
    """Return ``value`` if it is an integer that PyTorch's generators take."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not -(2**63) <= int(value) < 2**64:
        raise ValueError(f"`{argument}` must be an integer of 64 bits, got {str(value)[:60]!a}.")
    return int(value)


def number(argument: str, value: float) -> float:
    """Return ``value`` as a float if it is a finite number, else raise ``TypeError`` or ``ValueError``."""
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, numbers.Real)):
        raise TypeError(f"`{argument}` must be a number, got {value!r}.")
    if not math.isfinite(value):
        raise ValueError(f"`{argument}` must be finite, got {value!r}.")
    return float(value)


def within(argument: str, value: float, low: float, high: float) -> float:
    """Return ``value`` if it lies in [``low``, ``high``), else raise ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not low <= value < high:
        raise ValueError(f"`{argument}` must lie in [{low}, {high}), got {value!r}.")
    return value


def positive(argument: str, value: float) -> float:
    """Return ``value`` as a float if it is a finite number above 0, else raise ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < math.inf:
        raise ValueError(f"`{argument}` must be a finite number above 0, got {value!r}.")
    return float(value)


def not_negative(argument: str, value: float) -> float:
    """Return ``value`` as a float if it is a finite number of 0 or more, else raise ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < math.inf:
        raise ValueError(f"`{argument}` must be a finite number of at least 0, got {value!r}.")
    return float(value)


def fraction(argument: str, value: float) -> float:
    """Return ``value`` as a float if it lies in [0, 1], else raise ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value <= 1:
        raise ValueError(f"`{argument}` must lie in [0, 1], got {value!r}.")
    return float(value)


def teleport_probability(teleport: float) -> None:
    """Refuse what is no chance of a restart."""
    if not 0 < number("teleport", teleport) < 1:
        raise ValueError(f"`teleport` must lie in (0, 1), got {teleport}.")


def rescaling_eigenvalue(normalization: str | None, largest: float | None) -> float:
    """Return the largest eigenvalue that a layer rescales by, or refuse to guess that of an unnormalised Laplacian."""
    if largest is None and normalization is None:
        raise ValueError(
            "`largest` must be given with normalization=None: the layer rescales by each graph's own, which without "
            "`lambda_max` in the call is `eigenvalue_bound(laplacian(edge_index))`."
        )
    return 2.0 if largest is None else positive("largest", largest)


def _short(value: Any) -> str:
    """Return a value in one line of at most 60 letters."""
    line = " ".join(repr(value).split())
    return line if len(line) <= 60 else f"{line[:57]}..."


def integer_list(argument: str, values: Iterable[int]) -> tuple[int, ...]:
    """Return whole numbers, of Python, NumPy or a tensor, as ``int``, else raise ``TypeError``."""
    listed = values.tolist() if hasattr(values, "tolist") else values
    listed = list(listed) if isinstance(listed, Iterable) and not isinstance(listed, str) else [listed, None]
    if any(isinstance(each, bool) or not isinstance(each, numbers.Integral) for each in listed):
        raise TypeError(f"`{argument}` must be a list of whole numbers, got {_short(values)}.")
    return tuple(int(each) for each in listed)

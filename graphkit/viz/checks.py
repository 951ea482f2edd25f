"""What pictures ask of their arguments: arrays of numbers of a shape, labels, and names that are there.

Each check returns what it was given in the form that is drawn. It raises ``TypeError`` for another kind of thing, and
``ValueError`` for another shape or order, a value out of range, or numbers that are not finite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def numbers(argument: str, values: Any, *axes: str) -> np.ndarray:
    """Return finite numbers as an array in float64, with an axis for each name in ``axes``."""
    array = _array(argument, values, "fiu", "numbers", axes).astype(float)
    if not np.isfinite(array).all():
        raise ValueError(f"`{argument}` must be finite, but some numbers are NaN or infinite.")
    return array


def with_gaps(argument: str, values: Any, *axes: str) -> np.ndarray:
    """Return numbers as an array in float64, NaN where there are none, with an axis for each name in ``axes``."""
    array = _array(argument, values, "fiu", "numbers", axes).astype(float)
    if np.isinf(array).any():
        raise ValueError(f"`{argument}` must be finite, or NaN where there is none.")
    return array


def rows_of_numbers(argument: str, values: Any, columns: str) -> np.ndarray:
    """Return finite numbers as an array of rows; of one axis, its only row."""
    if np.ndim(values) == 1:
        return numbers(argument, values, columns)[None]
    return numbers(argument, values, "rows", columns)


def ascending(argument: str, values: Any) -> np.ndarray:
    """Return finite numbers of which none is smaller than the one before and the last is larger than the first."""
    found = numbers(argument, values, "points")
    if len(found) < 2 or np.diff(found).min() < 0 or found[0] == found[-1]:
        raise ValueError(f"`{argument}` must hold at least two points, ascending, got {len(found)}.")
    return found


def integers(argument: str, values: Any, *axes: str, least: int = 0, below: int | None = None) -> np.ndarray:
    """Return integers from ``least`` upwards, smaller than ``below``, as an array with an axis for each name."""
    array = _array(argument, values, "iu", "integers", axes)
    if array.size and (array.min() < least or (below is not None and array.max() >= below)):
        most = "upwards" if below is None else f"to {below - 1}"
        raise ValueError(f"`{argument}` must hold integers from {least} {most}, got {array.min()} to {array.max()}.")
    return array


def labels(argument: str, y: Any) -> np.ndarray:
    """Return labels, -1 for items that have none."""
    return integers(argument, y, "items", least=-1)


def embeddings(argument: str, given: Any, items: int) -> dict[str, np.ndarray]:
    """Return embeddings by heading, one at least, each of so many items."""
    found = {}
    for heading, values in table(argument, given, "embedding").items():
        space = numbers(argument, values, "items", "features")
        if len(space) != items or not space.shape[1]:
            raise ValueError(f"`{argument}` must hold embeddings [{items}, features], got {list(space.shape)}.")
        found[str(heading)] = space
    return found


def table(argument: str, given: Any, what: str) -> Mapping[Any, Any]:
    """Return a mapping with one entry at least."""
    if not isinstance(given, Mapping):
        raise TypeError(f"`{argument}` must be a dictionary from name to {what}, got {type(given).__name__}.")
    if not given:
        raise ValueError(f"`{argument}` must hold at least one {what}.")
    return given


def as_list(argument: str, given: Any, what: str) -> list[Any]:
    """Return a list or tuple, or an array, as a list; one text is no list of texts."""
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0:
        raise TypeError(f"`{argument}` must be a list of {what}, got {type(given).__name__}.")
    return list(given)


def names(argument: str, given: Any, count: int) -> list[str] | None:
    """Return texts, one for each of ``count`` things at least, or ``None``."""
    if given is None:
        return None
    found = as_list(argument, given, "texts")
    if not all(isinstance(name, str) for name in found):
        raise TypeError(f"`{argument}` must hold texts.")
    if len(found) < count:
        raise ValueError(f"`{argument}` must hold one text for each of {count}, got {len(found)}.")
    return found


def _array(argument: str, values: Any, kinds: str, what: str, axes: tuple[str, ...]) -> np.ndarray:
    """Return an array of some kinds of numbers, with an axis for each name."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # lists of unequal lengths; tensors that are not on the CPU
        raise TypeError(f"`{argument}` must be an array of {what}, got what NumPy makes none of: {error}") from error
    if array.dtype.kind not in kinds and array.size:
        raise TypeError(f"`{argument}` must hold {what}, got {type(values).__name__} of {array.dtype}.")
    if array.ndim != len(axes):
        raise ValueError(f"`{argument}` must have shape [{', '.join(axes)}], got {list(array.shape)}.")
    return array

"""Arguments that are no tensors: names, numbers, and what kind of thing an argument is."""

from __future__ import annotations

import difflib
import importlib.util
import math
import numbers
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def suggestion(name: str, known: Iterable[str], listed: str = "") -> str:
    """Return a suggestion such as ``Did you mean 'cora'?``, or when nothing is near the known names or ``listed``.

    Example:
        >>> suggestion("corra", ["cora", "citeseer"])
        "Did you mean 'cora'?"
        >>> suggestion("zzz", ["cora", "citeseer"])
        'Known: citeseer, cora.'
    """
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    return listed or f"Known: {', '.join(known)}."


def member(argument: str, name: str, known: Iterable[str], listed: str = "") -> str:
    """Return ``name`` if it is one of ``known``, else raise with the nearest: ``ValueError``, of no text ``TypeError``.

    Where there are too many to be said, ``listed`` says where they are listed.
    """
    known = list(known)
    if not isinstance(name, str):
        raise TypeError(f"`{argument}` must be a name, got {name!r}. Known: {', '.join(sorted(known))}.")
    if name not in known:
        raise ValueError(f"`{argument}` {name!r} is not known. {suggestion(name, known, listed)}")
    return name


def extra(what: str, name: str, *modules: str) -> None:
    """Refuse what needs packages that are not installed.

    Args:
        what: as the user calls it, such as a command.
        name: the extra of graphkit that brings the packages.
        modules: their names for ``import``.

    Raises:
        ValueError: saying how to install them.
    """
    lacking = [module for module in modules if importlib.util.find_spec(module) is None]
    if lacking:
        raise ValueError(f"`{what}` needs {' and '.join(lacking)}: pip install 'graphkit[{name}]'.")


def text(argument: str, value: str) -> str:
    """Return ``value`` if it is a text, else raise ``TypeError``."""
    if not isinstance(value, str):
        raise TypeError(f"`{argument}` must be a text, got {type(value).__name__}.")
    return value


def printable(value: str, most: int | None = None) -> str:
    r"""Return a text as one line that a terminal or a picture shows letter by letter.

    What moves the cursor, colours, turns the direction of writing or is not seen stands as its escape code. A text of
    more than ``most`` letters is cut.

    Example:
        >>> print(printable("cora\x1b[31m\n"), printable("a long name", most=7))
        cora\x1b[31m\n a long…
    """
    if not value.isprintable():
        value = "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in value
        )
    return value if most is None or len(value) <= most else f"{value[: most - 1]}…"


def printable_name(argument: str, name: object) -> str:
    """Return ``name`` if it can be printed, drawn as a title and written to a record as it is.

    Raises:
        TypeError: for what is no text.
        ValueError: for no name, control characters, and the ``$`` and ``\\`` of mathematics that pictures would set.
    """
    if not isinstance(name, str):
        raise TypeError(f"`{argument}` must be a name, got {name!r}.")
    if not name.strip() or not name.isprintable() or set(name) & set("$\\"):
        raise ValueError(f"`{argument}` must be a name of printable characters, without $ and \\, got {name!a}.")
    return name


def instance(argument: str, value: Any, kinds: type | tuple[type, ...], wanted: str) -> Any:
    """Return ``value`` if it is of a class, else raise ``TypeError``, which says what is ``wanted``."""
    if not isinstance(value, kinds):
        given = f"the class {value.__name__} itself" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"`{argument}` must be {wanted}, got {given}.")
    return value


def list_of(argument: str, values: Any, kind: type) -> None:
    """Refuse anything but a list or tuple, not empty, of objects of one class."""
    several = isinstance(values, list | tuple)
    if not several or not values or not all(isinstance(each, kind) for each in values):
        given = ", ".join(sorted({type(each).__name__ for each in values})) if several else type(values).__name__
        raise TypeError(
            f"`{argument}` must hold one {kind.__name__} or more, in a list or tuple, got {given or 'none'}."
        )


def as_list(argument: str, values: Iterable[Any], example: str) -> list[Any]:
    """Return ``values`` as a list if they are several, else raise ``TypeError``: one string is not several."""
    if isinstance(values, str) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0:
        raise TypeError(f"`{argument}` must be a list such as {example}, got {values!r}.")
    return list(values)


def flag(argument: str, value: bool) -> bool:
    """Return ``value`` if it is true or false, else raise ``TypeError``: the text "no" would count as true."""
    if type(value).__name__ not in ("bool", "bool_"):  # Python's, and NumPy's
        raise TypeError(f"`{argument}` must be True or False, got {value!r}.")
    return bool(value)


def function(argument: str, value: object) -> None:
    """Refuse what cannot be called."""
    if not callable(value):
        raise TypeError(f"`{argument}` must be a function, got {type(value).__name__}.")


def path(argument: str, value: Any) -> Path:
    """Return ``value`` as a path if it is one or a text that is not empty."""
    instance(argument, value, (str, os.PathLike), "a path")
    if not os.fspath(value):
        raise ValueError(f"`{argument}` must be a path, got an empty text.")
    return Path(value)


def paths(argument: str, value: Any) -> list[Path]:
    """Return a path, or several of them, as a list that is not empty."""
    instance(argument, value, (str, os.PathLike, Sequence), "a path or a list of paths")
    listed = [path(argument, each) for each in ([value] if isinstance(value, str | os.PathLike) else value)]
    if not listed:
        raise ValueError(f"`{argument}` must name at least one file.")
    return listed


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


def index_below(argument: str, value: int, count: int) -> int:
    """Return ``value`` if it is one of the integers from 0 to ``count`` - 1, else raise ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not 0 <= value < count:
        raise ValueError(f"`{argument}` must lie in 0 to {count - 1}, got {value!r}.")
    return int(value)


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

"""Names: those that are known, and those that can be shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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

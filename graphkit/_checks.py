"""The one place where arguments are refused.

A user's mistake raises ``ValueError`` or ``TypeError`` here, once, at the public border; below it the code trusts.
Every message names the argument, what is required, what was given, and where it helps the way out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a suggestion such as ``Did you mean 'cora'?`` or the list of known names when nothing is near.

    Example:
        >>> nearest("corra", ["cora", "citeseer"])
        "Did you mean 'cora'?"
        >>> nearest("zzz", ["cora", "citeseer"])
        'Known: citeseer, cora.'
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    return f"Known: {', '.join(known)}."


def member(argument: str, name: str, known: Iterable[str]) -> str:
    """Return ``name`` if it is one of ``known``, else raise ``ValueError`` with the nearest names."""
    known = list(known)
    if name not in known:
        raise ValueError(f"`{argument}` {name!r} is not known. {nearest(name, known)}")
    return name

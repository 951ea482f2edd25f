"""The cache folder: what can be made again, up to a size, what was not used for longest going first.

``$GRAPHKIT_CACHE_LIMIT`` is the size, such as ``500MB`` or ``20GB``, by default ``10GB``; ``0`` keeps nothing, and
``none`` has no bound. A file's time of change is when it was last used.
"""

from __future__ import annotations

import math
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from graphkit.data.errors import DataError
from graphkit.data.files import STALE, data_home, put

LIMIT, USUAL = "GRAPHKIT_CACHE_LIMIT", "10GB"

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


class Entry(NamedTuple):
    """A file of the cache: where it lies, its bytes, and when it was last used, in seconds since 1970."""

    path: Path
    bytes: int
    used: float


def cache_folder() -> Path:
    """Return where the cache lies, below the data folder."""
    return data_home() / "cache"


def cache_limit() -> float:
    """Return how many bytes are kept, ``inf`` without a bound.

    Raises:
        DataError: if ``$GRAPHKIT_CACHE_LIMIT`` is no size.

    Example:
        >>> cache_limit()
        10000000000.0
    """
    text = os.environ.get(LIMIT, "").strip() or USUAL
    if text.lower() == "none":
        return math.inf
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B?)", text.upper())
    unit = found and (found[2] if found[2] in UNITS else f"{found[2]}B")
    if not found or unit not in UNITS:
        raise DataError(f"${LIMIT} must be a size such as 500MB or 20GB, 0 to keep nothing, or none, got {text!r}.")
    return float(found[1]) * UNITS[unit]


def entries() -> list[Entry]:
    """Return what is in the cache, what was used last first."""
    found = []
    for path in cache_folder().rglob("*"):
        with suppress(OSError):  # another process may have removed it
            about = path.stat()
            if path.is_file():
                found.append(Entry(path, about.st_size, about.st_mtime))
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def keep(content: bytes, path: Path) -> None:
    """Write a file that can be made again, and remove what exceeds the limit; another folder has none."""
    inside = path.is_relative_to(cache_folder())
    if inside and len(content) > cache_limit():
        return
    put(content, path)
    if inside:
        prune(cache_limit(), path)


def used(path: Path) -> None:
    """Note that a file was used now."""
    with suppress(OSError):  # a read-only disk keeps no times
        os.utime(path)


def prune(limit: float, last: Path | None = None) -> int:
    """Remove what was not used for longest until at most ``limit`` bytes are left, and return how many went.

    Args:
        limit: bytes that may stay.
        last: a file that stays.
    """
    total, gone = 0, 0
    for entry in entries():
        half = entry.path.name.startswith(".")
        if half and time.time() - entry.used < STALE:  # another process is writing it
            continue
        total += entry.bytes
        if (half or total > limit) and entry.path != last:
            with suppress(OSError):
                entry.path.unlink()
                gone += entry.bytes
                total -= entry.bytes
    return gone

"""The cache folder: what can be made again, up to a size, what was not used for longest going first.

``$GRAPHKIT_CACHE_LIMIT`` is the size, such as ``500MB`` or ``20GB``, by default ``10GB``; ``0`` keeps nothing, and
``none`` has no bound. A file's time of change is when it was last used.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from graphkit.data.catalog.files import data_home
from graphkit.data.disk.checked_files import STALE, DataError, write_cache

if TYPE_CHECKING:
    from torch import Tensor

LIMIT_VARIABLE, DEFAULT_LIMIT = "GRAPHKIT_CACHE_LIMIT", "10GB"
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


class Entry(NamedTuple):
    """A file of the cache: where it lies, its bytes, and when it was last used, in seconds since 1970."""

    path: Path
    bytes: int
    last_used: float


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
    text = os.environ.get(LIMIT_VARIABLE, "").strip() or DEFAULT_LIMIT
    if text.lower() == "none":
        return math.inf
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B?)", text.upper())
    unit = found and (found[2] if found[2] in UNITS else f"{found[2]}B")
    if not found or unit not in UNITS:
        raise DataError(
            f"${LIMIT_VARIABLE} must be a size such as 500MB or 20GB, 0 to keep nothing, or none, got {text!r}."
        )
    return float(found[1]) * UNITS[unit]


def cache_entries() -> list[Entry]:
    """Return what is in the cache, what was used last first."""
    found = []
    for path in cache_folder().rglob("*"):
        with suppress(OSError):  # another process may have removed it
            about = path.stat()
            if path.is_file():
                found.append(Entry(path, about.st_size, about.st_mtime))
    return sorted(found, key=lambda entry: entry.last_used, reverse=True)


def write_bounded(content: bytes, path: Path) -> None:
    """Write a file that can be made again, and remove what exceeds the limit; another folder has none."""
    inside = path.is_relative_to(cache_folder())
    if inside and len(content) > cache_limit():
        return
    write_cache(content, path)
    if inside:
        prune(cache_limit(), path)


def touch(path: Path) -> None:
    """Note that a file was used now."""
    with suppress(OSError):  # a read-only disk keeps no times
        os.utime(path)


def prune(limit: float, last: Path | None = None) -> int:
    """Remove what was not used for longest until ``limit`` bytes are left, and return how many went; ``last`` stays."""
    total, gone = 0, 0
    for entry in cache_entries():
        half = entry.path.name.startswith(".")
        if half and time.time() - entry.last_used < STALE:  # another process is writing it
            continue
        total += entry.bytes
        if (half or total > limit) and entry.path != last:
            with suppress(OSError):
                entry.path.unlink()
                gone += entry.bytes
                total -= entry.bytes
    return gone


def write_tensors(tensors: Mapping[str, Tensor], path: Path, seal: str) -> None:
    """Put tensors into the cache as safetensors, with a text that says what they are and were."""
    from safetensors.torch import save

    # One entry of text: several would stand in another order in each process.
    write_bounded(save(dict(tensors), {"seal": seal}), path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """Return the tensors and the text of a file of :func:`write_tensors`; nothing where it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            # Tensors of safetensors are views of the mapped file: a copy is ours to write to, and survives the file.
            tensors = {name: file.get_tensor(name).clone() for name in file.offset_keys()}
            return tensors, (file.metadata() or {}).get("seal", "")
    except (SafetensorError, OSError):
        return {}, ""

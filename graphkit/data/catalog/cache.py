"""The cache folder: what can be made again, up to a size, what was not used for longest going first.

``$GRAPHKIT_CACHE_LIMIT`` is the size, such as ``500MB`` or ``20GB``, by default ``10GB``; ``0`` keeps nothing, and
``none`` has no bound. A file's time of change is when it was last used.

The cache: what was read once, kept as safetensors and found again by what it was read from.

A cached file's name holds a digest of the card's checksums and of ``VERSION``, so a changed card or reader never meets
an old file. The file holds a checksum of itself: a damaged one is not an error, it is read again from the raw files.
How much is kept says ``graphkit.data.catalog.cache``.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from graphkit.data.catalog.cards import Card
from graphkit.data.catalog.files import data_home
from graphkit.data.disk.checked_files import STALE, DataError, write_cache
from graphkit.data.fingerprint import from_sparse_parts, sparse_parts, tensors_sha256
from graphkit.data.hetero import flatten, is_flattened, unflatten

if TYPE_CHECKING:
    from torch import Tensor
    from torch_geometric.data import Data, HeteroData

    from graphkit.data.graphset import GraphSet


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
    """Remove what was not used for longest until at most ``limit`` bytes are left, and return how many went.

    Args:
        limit: bytes that may stay.
        last: a file that stays.
    """
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


VERSION = 3
"""Raised whenever readers give other tensors from the same files or refuse them, or the cache has another form."""

INTEGER_TYPES = (torch.uint8, torch.int8, torch.int16, torch.int32)
"""The types in which integers are kept, the smallest first; every one becomes int64 again."""


def cached_path(card: Card, found: dict[str, str]) -> Path:
    """Return where ``card``'s data set is cached, given the checksums of files that the card does not know."""
    parts = [
        VERSION,
        card.name,
        card.content,
        sorted(card.files.items(), key=lambda item: item[0]),
        sorted(found.items()),
    ]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return cache_folder() / f"{card.name}-{key}.safetensors"


def write_graph(data: Data | HeteroData | GraphSet, path: Path) -> None:
    """Put ``data`` at ``path``; two writers write the same bytes."""
    tensors, wide = _narrow_integers(_graph_tensors(data))
    # One entry: several would stand in another order in each process.
    write_bounded(save(tensors, {"seal": f"{_seal(tensors, wide)} {wide}"}), path)


def read_graph(path: Path) -> Data | HeteroData | GraphSet | None:
    """Return what was stored at ``path``, or ``None`` if there is nothing whole."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            digest, _, wide = (file.metadata() or {}).get("seal", "").partition(" ")
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.offset_keys()}
    except (SafetensorError, OSError):
        return None
    if _seal(tensors, wide) != digest:
        return None
    touch(path)
    # Tensors of safetensors are views of the mapped file: a copy is ours to write to, and survives the file.
    names = set(wide.split())
    return _graph_from(
        {
            name: tensor.to(torch.int64, copy=True) if name in names else tensor.clone()
            for name, tensor in tensors.items()
        }
    )


def _seal(tensors: dict[str, Tensor], wide: str) -> str:
    """Return the checksum of all that a cached file says."""
    return hashlib.sha256(f"{tensors_sha256(tensors)} {wide}".encode()).hexdigest()


def _graph_tensors(data: Data | HeteroData | GraphSet) -> dict[str, Tensor]:
    """Return all that ``data`` holds: its fields, ``x`` by its non-zeros where they are few, and a set's counts."""
    from torch_geometric.data import HeteroData

    from graphkit.data.graphset import GraphSet

    if isinstance(data, HeteroData):
        return flatten(data)
    fields = data._data.to_dict() if isinstance(data, GraphSet) else data.to_dict()
    tensors = {name: tensor.contiguous() for name, tensor in fields.items() if isinstance(tensor, torch.Tensor)}
    if isinstance(data, GraphSet):
        tensors |= {f"set.{name}": mask for name, mask in data.masks.items()}
        tensors |= {"set.nodes": data.nodes, "set.edges": data.edges}
    if "num_nodes" in fields:
        tensors["num_nodes"] = torch.tensor(fields["num_nodes"])
    x = tensors.get("x")
    if x is not None and x.is_floating_point():
        parts = sparse_parts(x)
        if 2 * parts["value"].numel() < x.numel():
            del tensors["x"]
            tensors |= {f"x.{part}": tensor for part, tensor in parts.items()}
    return tensors


def _graph_from(tensors: dict[str, Tensor]) -> Data | HeteroData | GraphSet:
    """Return what ``_graph_tensors`` took apart."""
    if is_flattened(tensors):
        return unflatten(tensors)
    from torch_geometric.data import Data

    parts = {name.removeprefix("x."): tensors.pop(name) for name in list(tensors) if name.startswith("x.")}
    several = {name.removeprefix("set."): tensors.pop(name) for name in list(tensors) if name.startswith("set.")}
    if "num_nodes" in tensors:
        tensors["num_nodes"] = int(tensors["num_nodes"])  # type: ignore[assignment]
    data = Data(x=from_sparse_parts(parts) if parts else tensors.pop("x", None), **tensors)
    if not several:
        return data
    from graphkit.data.graphset import GraphSet

    return GraphSet(data, nodes=several.pop("nodes"), edges=several.pop("edges"), masks=several)


def _narrow_integers(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Return the tensors, those of int64 in the smallest type that holds them, and the names of these."""
    wide = sorted(name for name, tensor in tensors.items() if tensor.dtype == torch.int64)
    small = {}
    for name in wide:
        least, most = (int(end) for end in tensors[name].aminmax()) if tensors[name].numel() else (0, 0)
        fits = (kind for kind in INTEGER_TYPES if torch.iinfo(kind).min <= least and most <= torch.iinfo(kind).max)
        small[name] = tensors[name].to(next(fits, torch.int64))
    return tensors | small, " ".join(wide)

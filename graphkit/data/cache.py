"""The cache: what was read once, kept as safetensors and found again by what it was read from.

A cached file's name holds a digest of the card's checksums and of ``VERSION``, so a changed card or reader never meets
an old file. The file holds a checksum of itself: a damaged one is not an error, it is read again from the raw files.
How much is kept says ``graphkit.data.kept``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from graphkit._torch_internals import joined_graphs
from graphkit.data.cards import Card
from graphkit.data.content import dense, sparse_parts, tensors_sha256
from graphkit.data.kept import cache_folder, keep, used
from graphkit.data.typed import flat, is_flat, typed

if TYPE_CHECKING:
    from torch import Tensor
    from torch_geometric.data import Data, HeteroData

    from graphkit.data.graphset import GraphSet

VERSION = 3
"""Raised whenever readers give other tensors from the same files or refuse them, or the cache has another form."""

SMALL = (torch.uint8, torch.int8, torch.int16, torch.int32)
"""The types in which integers are kept, the smallest first; every one becomes int64 again."""


def path_of(card: Card, found: dict[str, str]) -> Path:
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


def store(data: Data | HeteroData | GraphSet, path: Path) -> None:
    """Put ``data`` at ``path``; two writers write the same bytes."""
    tensors, wide = _narrow(_tensors(data))
    # One entry: several would stand in another order in each process.
    keep(save(tensors, {"seal": f"{_seal(tensors, wide)} {wide}"}), path)


def restored(path: Path) -> Data | HeteroData | GraphSet | None:
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
    used(path)
    # Tensors of safetensors are views of the mapped file: a copy is ours to write to, and survives the file.
    names = set(wide.split())
    return _data(
        {
            name: tensor.to(torch.int64, copy=True) if name in names else tensor.clone()
            for name, tensor in tensors.items()
        }
    )


def _seal(tensors: dict[str, Tensor], wide: str) -> str:
    """Return the checksum of all that a cached file says."""
    return hashlib.sha256(f"{tensors_sha256(tensors)} {wide}".encode()).hexdigest()


def _tensors(data: Data | HeteroData | GraphSet) -> dict[str, Tensor]:
    """Return all that ``data`` holds: its fields, ``x`` by its non-zeros where they are few, and a set's counts."""
    from torch_geometric.data import HeteroData

    from graphkit.data.graphset import GraphSet

    if isinstance(data, HeteroData):
        return flat(data)
    fields = joined_graphs(data).to_dict() if isinstance(data, GraphSet) else data.to_dict()
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


def _data(tensors: dict[str, Tensor]) -> Data | HeteroData | GraphSet:
    """Return what ``_tensors`` took apart."""
    if is_flat(tensors):
        return typed(tensors)
    from torch_geometric.data import Data

    parts = {name.removeprefix("x."): tensors.pop(name) for name in list(tensors) if name.startswith("x.")}
    several = {name.removeprefix("set."): tensors.pop(name) for name in list(tensors) if name.startswith("set.")}
    if "num_nodes" in tensors:
        tensors["num_nodes"] = int(tensors["num_nodes"])  # type: ignore[assignment]
    data = Data(x=dense(parts) if parts else tensors.pop("x", None), **tensors)
    if not several:
        return data
    from graphkit.data.graphset import GraphSet

    return GraphSet(data, nodes=several.pop("nodes"), edges=several.pop("edges"), masks=several)


def _narrow(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Return the tensors, those of int64 in the smallest type that holds them, and the names of these."""
    wide = sorted(name for name, tensor in tensors.items() if tensor.dtype == torch.int64)
    small = {}
    for name in wide:
        least, most = (int(end) for end in tensors[name].aminmax()) if tensors[name].numel() else (0, 0)
        fits = (kind for kind in SMALL if torch.iinfo(kind).min <= least and most <= torch.iinfo(kind).max)
        small[name] = tensors[name].to(next(fits, torch.int64))
    return tensors | small, " ".join(wide)

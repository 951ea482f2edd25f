"""The cache: what was read once, kept as safetensors and found again by what it was read from.

A cached file's name holds a digest of the card's checksums and of ``VERSION``, so a changed card or reader never meets
an old file. The file holds a checksum of itself: a damaged one is not an error, it is read again from the raw files.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from graphkit.data.cards import Card
from graphkit.data.content import dense, sparse_parts, tensors_sha256
from graphkit.data.files import data_home

if TYPE_CHECKING:
    from torch import Tensor
    from torch_geometric.data import Data

VERSION = 1
"""Raised whenever the readers give other tensors from the same files."""


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
    return data_home() / "cache" / f"{card.name}-{key}.safetensors"


def store(data: Data, path: Path) -> None:
    """Write ``data`` beside ``path`` and rename it into place; on a disk that refuses, nothing is written.

    Two writers write the same bytes, and whichever renames last wins.
    """
    tensors = {name: tensor.contiguous() for name, tensor in data.to_dict().items() if name != "x"}
    parts = sparse_parts(data.x)
    if 2 * parts["value"].numel() < data.x.numel():
        tensors |= {f"x.{part}": tensor for part, tensor in parts.items()}
    else:
        tensors["x"] = data.x
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("xb") as file:
                file.write(save(tensors, {"sha256": tensors_sha256(tensors)}))
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError:
        return  # a full or read-only disk costs time at the next load, never the data set


def restored(path: Path) -> Data | None:
    """Return what was stored at ``path``, or ``None`` if there is nothing whole."""
    from torch_geometric.data import Data

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            digest = (file.metadata() or {}).get("sha256")
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.offset_keys()}
    except (SafetensorError, OSError):
        return None
    if tensors_sha256(tensors) != digest:
        return None
    parts = {name.removeprefix("x."): tensors.pop(name) for name in list(tensors) if name.startswith("x.")}
    x = dense(parts) if parts else tensors.pop("x")
    # Tensors of safetensors are views of the mapped file: a copy is ours to write to, and survives the file.
    return Data(x=x.clone() if not parts else x, **{name: torch.clone(tensor) for name, tensor in tensors.items()})

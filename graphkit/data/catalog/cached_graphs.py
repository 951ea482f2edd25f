"""Cached graphs: what was read once, kept as safetensors and found again by what it was read from.

A cached file's name holds a digest of the card's checksums and of ``VERSION``, so a changed card or reader never meets
an old file. The file holds a checksum of itself: a damaged one is not an error, it is read again from the raw files.
Graphs with types of nodes and of edges are taken apart into plain tensors by name, and put together again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from graphkit._torch_internals import fields_of_graph, joined_graphs
from graphkit.data.catalog import cache
from graphkit.data.catalog.cards import Card
from graphkit.data.fingerprint import from_sparse_parts, sparse_parts, tensors_sha256
from graphkit.data.graphset import GraphSet

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
    return cache.cache_folder() / f"{card.name}-{key}.safetensors"


def write_graph(data: Data | HeteroData | GraphSet, path: Path) -> None:
    """Put ``data`` at ``path``; two writers write the same bytes."""
    tensors, wide = _narrow_integers(_graph_tensors(data))
    cache.write_tensors(tensors, path, f"{_seal(tensors, wide)} {wide}")


def read_graph(path: Path) -> Data | HeteroData | GraphSet | None:
    """Return what was stored at ``path``, or ``None`` if there is nothing whole."""
    tensors, seal = cache.read_tensors(path)
    digest, _, wide = seal.partition(" ")
    if not tensors or _seal(tensors, wide) != digest:
        return None
    cache.touch(path)
    return _graph_from(tensors | {name: tensors[name].long() for name in wide.split()})


def _seal(tensors: dict[str, Tensor], wide: str) -> str:
    """Return the checksum of all that a cached file says."""
    return hashlib.sha256(f"{tensors_sha256(tensors)} {wide}".encode()).hexdigest()


def _graph_tensors(data: Data | HeteroData | GraphSet) -> dict[str, Tensor]:
    """Return all that ``data`` holds: its fields, ``x`` by its non-zeros where they are few, and a set's counts."""
    if isinstance(data, HeteroData):
        return flatten(data)
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


def _graph_from(tensors: dict[str, Tensor]) -> Data | HeteroData | GraphSet:
    """Return what ``_graph_tensors`` took apart."""
    if is_flattened(tensors):
        return unflatten(tensors)
    parts = {name.removeprefix("x."): tensors.pop(name) for name in list(tensors) if name.startswith("x.")}
    several = {name.removeprefix("set."): tensors.pop(name) for name in list(tensors) if name.startswith("set.")}
    if "num_nodes" in tensors:
        tensors["num_nodes"] = int(tensors["num_nodes"])  # type: ignore[assignment]
    data = Data(x=from_sparse_parts(parts) if parts else tensors.pop("x", None), **tensors)
    if not several:
        return data
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


BETWEEN = "___"
"""Stands between the types of an edge, as in OGB's folders and PyG's keys."""


def flatten(data: HeteroData) -> dict[str, Tensor]:
    """Return all tensors of a graph with types, and the numbers of its nodes, each under one name.

    Example:
        >>> data = HeteroData()
        >>> data["drug"].num_nodes = 3
        >>> data["drug", "acts", "drug"].edge_index = torch.tensor([[0], [2]])
        >>> sorted(flatten(data))
        ['edge:drug___acts___drug:edge_index', 'node:drug:num_nodes']
        >>> unflatten(flatten(data))["drug"].num_nodes
        3
    """
    stores = {f"node:{name}": data[name] for name in data.node_types}
    stores |= {f"edge:{BETWEEN.join(kind)}": data[kind] for kind in data.edge_types}
    found = {f"{at}:{field}": value for at, store in stores.items() for field, value in store.items()}
    found |= {f"graph::{field}": value for field, value in fields_of_graph(data).items()}
    return {
        name: torch.as_tensor(value).contiguous()
        for name, value in found.items()
        if isinstance(value, Tensor) or name.endswith(":num_nodes")
    }


def is_flattened(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether these are the tensors of a graph with types."""
    return any(name.startswith("node:") for name in tensors)


def unflatten(tensors: Mapping[str, Tensor]) -> HeteroData:
    """Return the graph that :func:`flatten` took apart."""
    data = HeteroData()
    for name in sorted(tensors):
        kind, types, field = name.split(":")
        value = int(tensors[name]) if field == "num_nodes" else tensors[name]
        if kind == "graph":
            setattr(data, field, value)
        else:
            setattr(data[types] if kind == "node" else data[tuple(types.split(BETWEEN))], field, value)
    return data

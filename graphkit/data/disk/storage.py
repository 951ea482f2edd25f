"""A graph on the disk that is looked at where it lies: a folder of plain arrays and a manifest.

| file | holds |
|---|---|
| ``x.npy`` | features ``[nodes, features]`` |
| ``edge_index.npy`` | ``[2, edges]``, sorted by target, then by source |
| ``pointers.npy`` | where the edges into each node begin, ``[nodes + 1]`` |
| ``y.npy`` | labels ``[nodes]`` |
| ``train_mask.npy``, ``val_mask.npy``, ``test_mask.npy`` | the split ``[nodes]`` |
| ``original_id.npy`` | what nodes were called before they were numbered, ``[nodes]`` |

All but the structure may be missing. Nothing is pickled.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import Data

from graphkit import _checks
from graphkit._kernels.csr_layout import coo_to_csr
from graphkit.data.disk.arrays import memory_map, write_array
from graphkit.data.disk.checked_files import (
    DataError,
    check_length,
    check_sha256,
    file_facts,
    files_sha256,
    open_manifest,
    sealed_json,
    working_folder,
)
from graphkit.data.splits.split import MASKS
from graphkit.data.validation import class_count, validate

MANIFEST, FORMAT = "manifest.json", 1
NODE_FIELDS = ("x", "y", *MASKS, "original_id")
STRUCTURE = ("edge_index", "pointers")


@dataclass(frozen=True, repr=False)
class StoredGraph:
    """What the manifest of a stored graph says.

    Args:
        folder: where it lies.
        name: what it is called in records.
        nodes: number of nodes.
        edges: number of edges, both directions counted.
        features: features of a node; 0 without any.
        classes: number of classes; 0 without labels.
        undirected: whether every edge is there in both directions.
        how: how it was made.
        files: name -> bytes and sha256.
        fingerprint: sha256 over the checksums of all files.
    """

    folder: Path
    name: str
    nodes: int
    edges: int
    features: int
    classes: int
    undirected: bool
    how: dict[str, Any]
    files: dict[str, dict[str, Any]]
    fingerprint: str

    def __repr__(self) -> str:
        return f"StoredGraph({self.name!r})"

    def verify(self) -> None:
        """Read every file and compare its checksum.

        Raises:
            DataError: if one is not what was written.
        """
        for name, expected in self.files.items():
            check_sha256(self.folder / name, expected["sha256"], "make the graph anew")


def read_manifest(folder: Path | str) -> StoredGraph:
    """Return what the manifest in ``folder`` says, having looked that every file is there and as long as it says.

    The manifest holds a checksum of itself, and one of each file.

    Raises:
        DataError: for a folder without a manifest, or a file that is missing or has another length.
    """
    folder = _checks.path("folder", folder)
    absent = (
        f"{str(folder)!r} holds no {MANIFEST}: no stored graph, or one that was never finished; "
        "`graphkit data import` makes one."
    )
    with open_manifest(folder / MANIFEST, FORMAT, absent=absent, again="make it anew") as found:
        fields = {name: found[name] for name in StoredGraph.__dataclass_fields__ if name != "folder"}
        _checks.printable_name("name", fields["name"])
        store = StoredGraph(folder=folder, **fields)
        sizes = {name: int(each["bytes"]) for name, each in store.files.items()}
    for name, size in sizes.items():
        check_length(folder / name, size, "make the graph anew")
    return store


def open_stored(folder: Path | str, *, verify: bool = True) -> Data:
    """Return the graph stored in ``folder``: PyG's ``Data``, whose features and edges stay on the disk.

    ``x`` and ``edge_index`` are read page by page when they are looked at; ``edge_index`` is PyG's ``EdgeIndex``,
    sorted by target, which knows where the edges into each node begin: ``NeighborLoader`` draws from it without a
    copy. Labels and masks are in memory. ``data.store`` is what the manifest says.

    What is on the disk is read-only: an assignment into ``x`` or ``edge_index`` ends the process. ``x.clone()`` may be
    written to.

    Args:
        folder: as :func:`store` or ``graphkit data import`` wrote it.
        verify: read every file first and compare its checksum, about a second for a gigabyte; without it only lengths
            are compared, and a graph whose files have changed since is taken for the one that was written.

    Raises:
        DataError: for a folder that holds no whole graph.

    Example:
        >>> from graphkit.data import load
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as home:
        ...     made = store(load("karate"), Path(home) / "karate")
        ...     data = open_stored(made.folder)
        ...     data.num_nodes, data.num_edges, data.edge_index.sort_order
        (34, 156, 'col')
    """
    about = read_manifest(folder)
    if _checks.flag("verify", verify):
        about.verify()
    try:
        data = Data(num_nodes=about.nodes)
        edges = EdgeIndex(
            memory_map(about.folder / "edge_index.npy"),
            sparse_size=(about.nodes, about.nodes),
            sort_order="col",
            is_undirected=about.undirected,
        )
        edges._indptr = memory_map(about.folder / "pointers.npy")
        data.edge_index = edges
        for name in NODE_FIELDS:
            if f"{name}.npy" in about.files:
                path = about.folder / f"{name}.npy"
                data[name] = memory_map(path) if name == "x" else torch.from_numpy(np.load(path, allow_pickle=False))
        _check_shapes(data, about)
    except (ValueError, OSError) as error:
        raise DataError(f"{str(folder)!r} cannot be read: {error}") from error
    data.store = about
    return data


def _check_shapes(data: Data, about: StoredGraph) -> None:
    """Refuse arrays of other shapes than the manifest tells: what is drawn from them would lie outside."""
    told = {"edge_index": (2, about.edges), "pointers": (about.nodes + 1,)}
    found = {"edge_index": data.edge_index, "pointers": data.edge_index._indptr}
    for name in NODE_FIELDS:
        if data.get(name) is not None:
            found[name], told[name] = data[name], (about.nodes, *data[name].shape[1:])
    for name, shape in told.items():
        given = found[name]
        integers = name not in STRUCTURE or not (given.is_floating_point() or given.is_complex())
        if tuple(given.shape) != shape or not integers:
            raise ValueError(f"{name}.npy holds {given.dtype} {list(given.shape)} in place of {list(shape)}")


def store(data: Data, folder: Path | str, *, name: str | None = None) -> StoredGraph:
    """Write a graph that is in memory to ``folder``, and return what its manifest says.

    Args:
        data: a graph with ``edge_index``, and perhaps ``x``, ``y`` and the masks of one split.
        folder: must not exist; it is written beside its place and renamed.
        name: what it is called in records; by default that of its card.

    Raises:
        TypeError: if ``data`` is no ``Data``, or labels are not integers.
        ValueError: if the folder exists, the graph is not sound (:func:`graphkit.data.validate`), has edge weights or
            several splits, or its classes leave numbers out.
        DataError: if it cannot be written.
    """
    folder, nodes = require_new(folder), _require_storable(data)
    card, known = data.get("card"), data.get("card") or data.get("store")
    called = name if name is not None else card.name if card else str(data.get("name") or folder.name)
    _checks.printable_name("name", called)
    source, target = _checks.to_numpy(data.edge_index)
    index = index_type(nodes, len(source))
    known_classes = known.classes if known else 0
    with staged_folder(folder) as staged:
        pointers, sources, _ = coo_to_csr(target, source, (nodes, nodes), index)
        write_array(staged / "pointers.npy", pointers)
        targets = np.repeat(np.arange(nodes, dtype=index), np.diff(pointers))
        write_array(staged / "edge_index.npy", np.stack([sources, targets]))
        for field in NODE_FIELDS:
            if data.get(field) is not None:
                write_array(staged / f"{field}.npy", _checks.to_numpy(data[field].to_dense()))
        return finish_graph(staged, folder, name=called, how={"from": "memory"}, known_classes=known_classes)


def _require_storable(data: Data) -> int:
    """Return the number of nodes of a graph, or refuse one that cannot be stored as it is."""
    if not isinstance(data, Data):
        raise TypeError(f"`data` must be a torch_geometric.data.Data, got {type(data).__name__}.")
    validate(data)
    nodes: int = data.num_nodes
    if data.get("edge_weight") is not None:
        raise ValueError("`edge_weight`: a stored graph has no edge weights (`data.edge_weight = None`).")
    for field in ("y", "original_id"):
        if data.get(field) is not None:
            _checks.integer_labels(field, data[field], nodes)
    for field in MASKS:
        if data.get(field) is not None and data[field].dim() != 1:
            raise ValueError(f"`{field}` must have shape [{nodes}], one split, got {list(data[field].shape)}.")
    if data.get("y") is not None:
        class_count(data)
    return nodes


def finish_graph(staged: Path, folder: Path, *, name: str, how: dict[str, Any], known_classes: int = 0) -> StoredGraph:
    """Write the manifest of the arrays in ``staged``, rename that to ``folder``, and return what the manifest says."""
    paths = [staged / f"{field}.npy" for field in (*STRUCTURE, *NODE_FIELDS)]
    files = {path.name: file_facts(path) for path in sorted(paths) if path.is_file()}
    pointers = np.load(staged / "pointers.npy", mmap_mode="r")
    x, y = (memory_map(staged / f"{of}.npy") if f"{of}.npy" in files else None for of in ("x", "y"))
    about = {
        "format": FORMAT,
        "name": name,
        "nodes": len(pointers) - 1,
        "edges": int(pointers[-1]),
        "features": 0 if x is None else x.shape[1],
        "classes": 0 if y is None else _checks.class_count("y", y, known_classes),
        "undirected": _is_undirected(staged),
        "how": how,
        "files": files,
        "fingerprint": files_sha256(files),
    }
    manifest = staged / MANIFEST
    with manifest.open("w", encoding="utf-8") as file:
        file.write(sealed_json(about))
        file.flush()
        os.fsync(file.fileno())
    for path in staged.iterdir():  # of an import, its runs and its job
        if path.name not in files and path.name != MANIFEST:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    staged.rename(folder)
    return read_manifest(folder)


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside ``folder``, to be renamed to it; nothing stays of one that was not.

    What a killed process left of the same folder is swept.

    Raises:
        DataError: if it cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(folder.parent, f".{folder.name}-") as staged:
            yield staged
    except OSError as error:
        raise write_error(folder, error) from error


def require_new(folder: Path | str, argument: str = "folder") -> Path:
    """Return the path of a folder that is to be made, or refuse one that is there."""
    folder = _checks.path(argument, folder).absolute()
    if folder.exists():
        raise ValueError(f"`{argument}`: {str(folder)!r} exists already; remove it or name another folder.")
    return folder


def write_error(folder: Path, error: OSError) -> DataError:
    """Return the error for a graph that could not be written."""
    return DataError(f"{str(folder)!r} cannot be written: {error.strerror or error}.")


def index_type(nodes: int, edges: int) -> type[np.signedinteger]:
    """Return the smaller of two types of integers that number all nodes and edges."""
    return np.int32 if max(nodes, edges) < 2**31 else np.int64


def _is_undirected(staged: Path, block: int = 1 << 22) -> bool:
    """Return whether the edges are their own reverses: sums of a hash of the pairs over both ways agree."""
    edges = np.load(staged / "edge_index.npy", mmap_mode="r")
    difference = np.zeros(1, dtype=np.uint64)  # an array wraps around without a word
    for start in range(0, edges.shape[1], block):
        source, target = edges[:, start : start + block].astype(np.uint64)
        difference += (_hash_pairs(source, target) - _hash_pairs(target, source)).sum(dtype=np.uint64)
    return bool(difference[0] == 0)


def _hash_pairs(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return a 64-bit hash of each pair of numbers, in this order (the steps of SplitMix64)."""
    z = (one << np.uint64(32)) + two + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))

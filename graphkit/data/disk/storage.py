"""A graph on the disk that is looked at where it lies: a folder of plain arrays and a manifest.

| file | holds |
|---|---|
| ``x.npy`` | features ``[nodes, features]`` |
| ``edge_index.npy`` | ``[2, edges]``, sorted by target, then by source; of a set of graphs one graph after another |
| ``pointers.npy`` | where the edges into each node begin, ``[nodes + 1]``; not of a set |
| ``edge_weight.npy``, ``edge_attr.npy`` | weights ``[edges]`` and features ``[edges, columns]`` of the edges |
| ``signals.npy``, ``times.npy``, ``pos.npy`` | of a series: ``[time, nodes, features]``, seconds and places |
| ``edge_step.npy`` | of a series whose graph changes: the moment of each edge, ``[edges]`` |
| ``y.npy`` | labels of nodes or of graphs, ``[items]`` or ``[items, columns]`` |
| ``train_mask.npy``, ``val_mask.npy``, ``test_mask.npy`` | the split ``[items]`` |
| ``original_id.npy`` | what nodes were called before they were numbered, ``[nodes]``, where that were numbers |
| ``node_names.npy``, ``node_name_ends.npy`` | the same, where it was text |
| ``graph_nodes.npy``, ``graph_edges.npy`` | of a set: how many each graph has, ``[graphs]`` |

All but the structure may be missing. Nothing is pickled.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import Data

from graphkit import _checks
from graphkit._kernels.csr_layout import coo_to_csr
from graphkit._torch_internals import joined_graphs
from graphkit.data.catalog.cards import stored_card
from graphkit.data.disk.arrays import memory_map, write_array
from graphkit.data.disk.checked_files import DataError, file_facts, files_sha256, sealed_json, working_folder
from graphkit.data.disk.columns import Column
from graphkit.data.disk.manifest import FORMAT, MANIFEST, StoredGraph, read_manifest
from graphkit.data.disk.node_names import ENDS, LETTERS, NodeNames
from graphkit.data.graphset import GraphSet
from graphkit.data.splits.split import MASKS
from graphkit.data.temporal_graph import TemporalGraph
from graphkit.data.validation import class_count, validate

NODE_FIELDS = ("x", "y", *MASKS, "original_id")
EDGE_FIELDS = ("edge_weight", "edge_attr")
SERIES_FIELDS = ("signals", "times", "pos", "edge_step")
STRUCTURE = ("edge_index", "pointers")
COUNTS = ("graph_nodes", "graph_edges")
TOLD = ("target", "feature_columns", "columns", "edge_columns", "molecules")
"""What a manifest says beyond what its arrays tell."""


def open_stored(folder: Path | str, *, verify: bool = True) -> Data | GraphSet:
    """Return the graph stored in ``folder``: PyG's ``Data``, whose features and edges stay on the disk; or the set.

    ``x`` and ``edge_index`` are read page by page when they are looked at; ``edge_index`` is PyG's ``EdgeIndex``,
    sorted by target, which knows where the edges into each node begin: ``NeighborLoader`` draws from it without a
    copy. Labels, masks, weights and features of edges are in memory. ``data.store`` is what the manifest says. What was
    called something has its names: ``class_names``, ``node_names``, ``feature_columns``, ``edge_columns`` and
    ``target_names``.

    What is on the disk is read-only: an assignment into ``x`` or ``edge_index`` ends the process. ``x.clone()`` may be
    written to. A set of graphs is a ``GraphSet`` in memory.

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
        kinds: dict[str, Any] = {"graph": _open_set, "series": _open_series}
        data = kinds.get(about.kind, _open_graph)(about)
    except (ValueError, OSError) as error:
        raise DataError(f"{str(folder)!r} cannot be read: {error}") from error
    for name, value in _names_in(about).items():
        setattr(data, name, value)
    data.store = about
    return data


def _open_graph(about: StoredGraph) -> Data:
    data = Data(num_nodes=about.nodes)
    edges = EdgeIndex(
        memory_map(about.folder / "edge_index.npy"),
        sparse_size=(about.nodes, about.nodes),
        sort_order="col",
        is_undirected=about.undirected,
    )
    edges._indptr = memory_map(about.folder / "pointers.npy")
    data.edge_index = edges
    for name in (*NODE_FIELDS, *EDGE_FIELDS):
        if f"{name}.npy" in about.files:
            data[name] = memory_map(about.folder / "x.npy") if name == "x" else _array(about, name)
    _check_shapes(data, about)
    return data


def _open_series(about: StoredGraph) -> TemporalGraph:
    """Return signals over time, which stay on the disk; edges are in memory."""
    fields = {name: _array(about, name) for name in SERIES_FIELDS[1:] if f"{name}.npy" in about.files}
    if "edge_weight.npy" in about.files:
        fields["edge_weight"] = _array(about, "edge_weight")
    data = TemporalGraph(memory_map(about.folder / "signals.npy"), _array(about, "edge_index").long(), **fields)
    found, told = (data.steps, data.num_nodes, data.num_edges), (about.signals, about.nodes, about.edges)
    if found != told:
        raise ValueError(f"signals.npy and edge_index.npy hold {found} in place of {told}")
    data.card = stored_card(about)
    return data


def _open_set(about: StoredGraph) -> GraphSet:
    fields = {
        name: _array(about, name) for name in ("edge_index", "x", "y", *EDGE_FIELDS) if f"{name}.npy" in about.files
    }
    nodes, edges = (_array(about, name) for name in COUNTS)
    if (len(nodes), int(nodes.sum()), int(edges.sum())) != (about.graphs, about.nodes, about.edges):
        raise ValueError(f"{COUNTS[0]}.npy and {COUNTS[1]}.npy do not add up to what the manifest says")
    masks = {name: _array(about, name) for name in MASKS if f"{name}.npy" in about.files}
    fields["edge_index"] = fields["edge_index"].long()
    return GraphSet(Data(**fields), nodes=nodes, edges=edges, masks=masks, card=stored_card(about))


def _array(about: StoredGraph, name: str) -> torch.Tensor:
    return torch.from_numpy(np.load(about.folder / f"{name}.npy", allow_pickle=False))


def _names_in(about: StoredGraph) -> dict[str, Any]:
    """Return how classes, nodes, features and targets are called, as far as that is known."""
    target = about.target
    found = {
        "class_names": list(target.get("class_names", [])),
        "target_names": list(target.get("columns", [])) if target.get("kind") in ("binary", "numbers") else [],
        "feature_columns": list(about.feature_columns),
        "edge_columns": [name for each in about.edge_columns for name in Column.from_dict(each).features],
        "graph_names" if about.kind == "graph" else "node_names": NodeNames.read(about.folder),
    }
    return {name: value for name, value in found.items() if value is not None and len(value)}


def _check_shapes(data: Data, about: StoredGraph) -> None:
    """Refuse arrays of other shapes than the manifest tells: what is drawn from them would lie outside."""
    told = {"edge_index": (2, about.edges), "pointers": (about.nodes + 1,)}
    found = {"edge_index": data.edge_index, "pointers": data.edge_index._indptr}
    for fields, many in ((NODE_FIELDS, about.nodes), (EDGE_FIELDS, about.edges)):
        for name in fields:
            if data.get(name) is not None:
                found[name], told[name] = data[name], (many, *data[name].shape[1:])
    for name, shape in told.items():
        given = found[name]
        integers = name not in STRUCTURE or not (given.is_floating_point() or given.is_complex())
        if tuple(given.shape) != shape or not integers:
            raise ValueError(f"{name}.npy holds {given.dtype} {list(given.shape)} in place of {list(shape)}")


def store(data: Data | GraphSet, folder: Path | str, *, name: str | None = None) -> StoredGraph:
    """Write a graph, or a set of graphs, that is in memory to ``folder``, and return what its manifest says.

    Args:
        data: a graph with ``edge_index``, and perhaps ``x``, ``y``, ``edge_weight``, ``edge_attr``, the masks of one
            split, and names (``class_names``, ``node_names``, ``target_names``, ``feature_columns``); a set; or signals
            over time, with all that a ``TemporalGraph`` has.
        folder: must not exist; it is written beside its place and renamed.
        name: what it is called in records; by default that of its card.

    Raises:
        TypeError: if ``data`` is neither, or labels are not integers.
        ValueError: if the folder exists, the graph is not sound (:func:`graphkit.data.validate`) or has several splits,
            or its classes leave numbers out.
        DataError: if it cannot be written.
    """
    folder = require_new(folder)
    return store_set(data, folder, name=name) if isinstance(data, GraphSet) else store_graph(data, folder, name=name)


def store_graph(
    data: Data, folder: Path, *, name: str | None = None, how: Mapping[str, Any] | None = None
) -> StoredGraph:
    """Write one graph, perhaps with signals over time, to a new folder, and return what its manifest says.

    Args:
        data: as for :func:`store`.
        folder: where.
        name: what it is called in records; by default that of its card.
        how: it was made.
    """
    nodes = _require_storable(data)
    card, known = data.get("card"), data.get("card") or data.get("store")
    called = name if name is not None else card.name if card else str(data.get("name") or folder.name)
    _checks.printable_name("name", called)
    source, target = _checks.to_numpy(data.edge_index)
    index = index_type(nodes, len(source))
    known_classes = known.classes if known else 0
    with staged_folder(folder) as staged:
        pointers, sources, order = coo_to_csr(target, source, (nodes, nodes), index)
        write_array(staged / "pointers.npy", pointers)
        targets = np.repeat(np.arange(nodes, dtype=index), np.diff(pointers))
        write_array(staged / "edge_index.npy", np.stack([sources, targets]))
        for field in NODE_FIELDS:
            if data.get(field) is not None:
                write_array(staged / f"{field}.npy", _checks.to_numpy(data[field].to_dense()))
        for field in (*EDGE_FIELDS, *SERIES_FIELDS[3:]):
            if data.get(field) is not None:
                write_array(staged / f"{field}.npy", _checks.to_numpy(data[field])[order])
        for field in SERIES_FIELDS[:3] if isinstance(data, TemporalGraph) else ():
            if data.get(field) is not None:
                write_array(staged / f"{field}.npy", _checks.to_numpy(data[field]))
        if isinstance(names := data.get("node_names"), list | NodeNames) and data.get("original_id") is None:
            (names if isinstance(names, NodeNames) else NodeNames.of(map(str, names))).write(staged)
        told = _told_by(data)
        made = dict(how or {"from": "memory"})
        return finish_graph(staged, folder, name=called, how=made, known_classes=known_classes, told=told)


def store_set(
    graphs: GraphSet,
    folder: Path,
    *,
    name: str | None = None,
    how: Mapping[str, Any] | None = None,
    told: Mapping[str, Any] | None = None,
) -> StoredGraph:
    """Write a set of graphs to a new folder, and return what its manifest says.

    Args:
        graphs: the set; a part of one is written as a set of its own.
        folder: where.
        name: what it is called in records; by default that of its card.
        how: it was made.
        told: what the manifest says beyond what the set does, of ``TOLD``.
    """
    if graphs._indices is not None:
        graphs = GraphSet.of(list(graphs))
    card, data = graphs.card, joined_graphs(graphs)
    called = _checks.printable_name("name", name or (card.name if card else folder.name))
    if others := [key for key in data.to_dict() if key not in ("x", "y", "edge_index", *EDGE_FIELDS)]:
        raise ValueError(f"`{others[0]}`: a stored set keeps `x`, `y`, `edge_index`, `edge_weight` and `edge_attr`.")
    with staged_folder(folder) as staged:
        for field, values in data.to_dict().items():
            write_array(staged / f"{field}.npy", _checks.to_numpy(values.to_dense()))
        for field, counts in zip(COUNTS, (graphs.nodes, graphs.edges), strict=True):
            write_array(staged / f"{field}.npy", _checks.to_numpy(counts))
        masks = graphs.split.masks if graphs.split is not None else graphs.masks
        for field, mask in masks.items():
            write_array(staged / f"{field}.npy", _checks.to_numpy(mask))
        if (names := getattr(graphs, "graph_names", None)) is not None:
            (names if isinstance(names, NodeNames) else NodeNames.of(map(str, names))).write(staged)
        said = _told_by(graphs) | ({"molecules": card.molecules} if card else {}) | dict(told or {})
        return finish_graph(
            staged,
            folder,
            name=called,
            how=dict(how or {"from": "memory"}),
            known_classes=card.classes if card else 0,
            told=said,
        )


def _told_by(data: Data | GraphSet) -> dict[str, Any]:
    """Return what the manifest is to say of names, of what was stored before or was named in memory."""
    about = getattr(data, "store", None)
    told = {name: getattr(about, name) for name in TOLD} if isinstance(about, StoredGraph) else {}
    classes, targets = (list(getattr(data, name, None) or []) for name in ("class_names", "target_names"))
    if not told.get("target") and (classes or targets):
        y = data.items.y if isinstance(data, GraphSet) else data.y
        kind = "classes" if classes else "binary" if bool(((y == 0) | (y == 1) | y.isnan()).all()) else "numbers"
        told["target"] = {"kind": kind, "columns": targets, "class_names": classes}
    if not told.get("feature_columns") and getattr(data, "feature_columns", None):
        told["feature_columns"] = list(data.feature_columns)
    return told


def _require_storable(data: Data) -> int:
    """Return the number of nodes of a graph, or refuse one that cannot be stored as it is."""
    if not isinstance(data, Data):
        raise TypeError(f"`data` must be a torch_geometric.data.Data or a GraphSet, got {type(data).__name__}.")
    validate(data)
    nodes: int = data.num_nodes
    if data.get("original_id") is not None:
        _checks.integer_labels("original_id", data.original_id, nodes)
    y = data.get("y")
    if y is not None and not y.is_floating_point():
        _checks.integer_labels("y", y, nodes)
        class_count(data)
    for field in MASKS:
        if data.get(field) is not None and data[field].dim() != 1:
            raise ValueError(f"`{field}` must have shape [{nodes}], one split, got {list(data[field].shape)}.")
    return nodes


def finish_graph(
    staged: Path,
    folder: Path,
    *,
    name: str,
    how: dict[str, Any],
    known_classes: int = 0,
    told: Mapping[str, Any] | None = None,
) -> StoredGraph:
    """Write the manifest of the arrays in ``staged``, rename that to ``folder``, and return what the manifest says.

    Args:
        staged: where the arrays lie.
        folder: where they are to lie.
        name: of the graph.
        how: it was made.
        known_classes: how many there are, of which some may have no item; 0 if only the labels tell.
        told: what the manifest says beyond what the arrays tell, of ``TOLD``.
    """
    called = (*STRUCTURE, *NODE_FIELDS, *EDGE_FIELDS, *SERIES_FIELDS, *COUNTS)
    paths = [staged / name for name in (*(f"{field}.npy" for field in called), LETTERS, ENDS)]
    files = {path.name: file_facts(path) for path in sorted(paths) if path.is_file()}
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in paths if path.is_file()}
    told, x, y = dict(told or {}), arrays.get("x"), arrays.get("y")
    target = told.get("target") or {}
    classes = 2 if target.get("kind") == "binary" else 0
    if y is not None and not np.issubdtype(y.dtype, np.floating):
        known = max(known_classes, len(target.get("class_names", [])))
        classes = _checks.class_count("y", memory_map(staged / "y.npy"), known)
    several, series = "graph_nodes" in arrays, arrays.get("signals")
    about = {
        "format": FORMAT,
        "name": name,
        "nodes": int(arrays["graph_nodes"].sum()) if several else len(arrays["pointers"]) - 1,
        "edges": arrays["edge_index"].shape[1],
        "features": 0 if x is None else x.shape[1],
        "classes": classes,
        "undirected": _is_undirected(staged),
        "how": how,
        "files": files,
        "fingerprint": files_sha256(files),
        **({"kind": "graph", "graphs": len(arrays["graph_nodes"])} if several else {}),
        **({} if series is None else {"kind": "series", "signals": len(series), "features": series.shape[2]}),
        **{field: value for field, value in told.items() if value},
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
    if (counts := staged / f"{COUNTS[0]}.npy").is_file():  # ids of a set start at 0 in each graph
        nodes, of_graph = np.load(counts), np.load(staged / f"{COUNTS[1]}.npy")
        edges = edges + np.repeat(np.cumsum(nodes) - nodes, of_graph)
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

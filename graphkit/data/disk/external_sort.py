"""Edges sorted on the disk: pieces that fit into memory first, then all together, one range of targets at a time.

An edge is one number, its target in the high 32 bits and its source in the low ones; memory holds one piece, or one
range, and a few numbers for each node.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from graphkit.data.disk.arrays import ArrayWriter, write_array
from graphkit.data.disk.storage import index_type

MAX_NODE = 2**31 - 1
"""The largest id of a node."""

MERGE_CHUNK = 1 << 24
"""Edges that are merged at a time."""

NOTHING = np.empty(0, np.uint64)
LOW = np.uint64(0xFFFFFFFF)
HIGH = np.uint64(32)


def write_run(
    path: Path, source: np.ndarray, target: np.ndarray, *, both_ways: bool, values: np.ndarray | None = None
) -> None:
    """Write some edges, sorted by target and source, to a file of their own: whole or not there.

    Args:
        path: of the file; ``values`` go to :func:`values_path` of it.
        source: where each edge begins, ``[edges]``.
        target: where it ends, ``[edges]``.
        both_ways: write each edge in the other direction too.
        values: what an edge carries, ``[edges, columns]``; edges that are the same stay in their order.
    """
    source, target = source.astype(np.uint64), target.astype(np.uint64)
    keys = (target << HIGH) | source
    if both_ways:  # side by side, so that of an edge that is listed twice the first one comes first both ways
        keys = np.stack([keys, (source << HIGH) | target], axis=1).ravel()
    if values is None:
        keys.sort()
    else:
        order = keys.argsort(kind="stable")
        keys = keys[order]
        write_array(values_path(path), values[order // 2 if both_ways else order])
    write_array(path, keys)


def values_path(run: Path) -> Path:
    """Return where the values of a run lie."""
    return run.with_name(f"{run.stem}.values.npy")


def merge_runs(
    runs: Sequence[Path], folder: Path, nodes: int, *, unique: bool, at_once: int = MERGE_CHUNK, values: bool = False
) -> None:
    """Write ``edge_index.npy`` and ``pointers.npy`` of all edges in ``runs``, sorted by target and source.

    All ids are below ``nodes``; ``unique`` leaves out edges that are there already; ``at_once`` edges are in memory,
    where no node has more. With ``values`` what edges carry goes to ``edge_values.npy``.
    """
    # Step 1: count the edges into each node, which tells where ranges of targets of about the same size end.
    maps = [np.load(path, mmap_mode="r") for path in runs]
    carried = [np.load(values_path(path), mmap_mode="r") for path in runs] if values else []
    degree = np.zeros(nodes, dtype=np.int64)
    for keys in maps:
        for start in range(0, len(keys), at_once):
            targets = (keys[start : start + at_once] >> HIGH).astype(np.int64)
            first = int(targets[0])
            counts = np.bincount(targets - first)
            degree[first : first + len(counts)] += counts
    # Step 2: take a range of each run, sort them together, write the sources; then all targets, and where each begins.
    index = index_type(nodes, int(degree.sum()))
    columns = carried[0].shape[1] if carried else 0
    with (
        ArrayWriter(folder / "edge_index.npy", index) as file,
        ArrayWriter(folder / "edge_values.npy", np.float32, (columns,)) if values else nullcontext() as beside,
    ):
        begin = 0
        for end in _range_ends(degree, at_once):
            places = [_places_between(each, begin, end) for each in maps]
            keys = np.concatenate([each[place] for each, place in zip(maps, places, strict=True)] or [NOTHING])
            if values:
                order = keys.argsort(kind="stable")
                rows = np.concatenate([each[place] for each, place in zip(carried, places, strict=True)])[order]
                keys = keys[order]
            else:
                keys.sort()
                rows = keys
            if unique:
                first_of = np.concatenate([np.ones(min(len(keys), 1), bool), keys[1:] != keys[:-1]])
                keys = keys[first_of]
                degree[begin:end] = np.bincount((keys >> HIGH).astype(np.int64) - begin, minlength=end - begin)
                rows = rows[first_of]
            file.append((keys & LOW).astype(index))
            if beside is not None:
                beside.append(rows)
            begin = end
        edges, begin = file.written, 0
        for end in _range_ends(degree, at_once):
            file.append(np.repeat(np.arange(begin, end, dtype=index), degree[begin:end]))
            begin = end
        file.set_shape(2, edges)
    pointers = np.zeros(nodes + 1, dtype=index)
    np.cumsum(degree, out=pointers[1:])
    write_array(folder / "pointers.npy", pointers)


def _range_ends(degree: np.ndarray, at_once: int) -> list[int]:
    """Return where ranges of nodes end that have about so many edges each."""
    total = np.cumsum(degree)
    last = int(total[-1]) if len(total) else 0
    cuts = np.searchsorted(total, np.arange(at_once, last, at_once)) + 1
    return np.unique(np.append(cuts, len(degree))).tolist()


def _places_between(keys: np.ndarray, begin: int, end: int) -> slice:
    """Return where the edges of one run into the nodes from ``begin`` to before ``end`` lie."""
    low, high = np.searchsorted(keys, np.array([begin, end], dtype=np.uint64) << HIGH)
    return slice(int(low), int(high))

"""Edges sorted on the disk: pieces that fit into memory first, then all together, one range of targets at a time.

An edge is one number, its target in the high 32 bits and its source in the low ones; memory holds one piece, or one
range, and a few numbers for each node.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from graphkit.data.disk.arrays import ArrayWriter, write_array
from graphkit.data.disk.storage import index_type

MAX_NODE = 2**31 - 1
"""The largest id of a node."""

MERGE_CHUNK = 1 << 24
"""Edges that are merged at a time."""

LOW = np.uint64(0xFFFFFFFF)
HIGH = np.uint64(32)


def write_run(path: Path, source: np.ndarray, target: np.ndarray, *, both_ways: bool) -> None:
    """Write some edges, sorted by target and source, to a file of their own: whole or not there."""
    source, target = source.astype(np.uint64), target.astype(np.uint64)
    keys = (target << HIGH) | source
    if both_ways:
        keys = np.concatenate([keys, (source << HIGH) | target])
    keys.sort()
    write_array(path, keys)


def merge_runs(runs: Sequence[Path], folder: Path, nodes: int, *, unique: bool, at_once: int = MERGE_CHUNK) -> None:
    """Write ``edge_index.npy`` and ``pointers.npy`` of all edges in ``runs``, sorted by target and source.

    All ids are below ``nodes``; ``unique`` leaves out edges that are there already; ``at_once`` edges are in memory,
    where no node has more.
    """
    # Step 1: count the edges into each node, which tells where ranges of targets of about the same size end.
    maps = [np.load(path, mmap_mode="r") for path in runs]
    degree = np.zeros(nodes, dtype=np.int64)
    for keys in maps:
        for start in range(0, len(keys), at_once):
            targets = (keys[start : start + at_once] >> HIGH).astype(np.int64)
            first = int(targets[0])
            counts = np.bincount(targets - first)
            degree[first : first + len(counts)] += counts
    # Step 2: take a range of each run, sort them together, write the sources; then all targets, and where each begins.
    index = index_type(nodes, int(degree.sum()))
    with ArrayWriter(folder / "edge_index.npy", index) as file:
        begin = 0
        for end in _range_ends(degree, at_once):
            keys = np.concatenate([_keys_between(each, begin, end) for each in maps] or [np.empty(0, np.uint64)])
            keys.sort()
            if unique:
                keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
                degree[begin:end] = np.bincount((keys >> HIGH).astype(np.int64) - begin, minlength=end - begin)
            file.append((keys & LOW).astype(index))
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


def _keys_between(keys: np.ndarray, begin: int, end: int) -> np.ndarray:
    """Return the edges of one run into the nodes from ``begin`` to before ``end``."""
    low, high = np.searchsorted(keys, np.array([begin, end], dtype=np.uint64) << HIGH)
    return keys[low:high]

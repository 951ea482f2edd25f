"""Importing: from lists of edges in files of any size to a stored graph, in bounded memory, going on where it stopped.

Edges are read in pieces; each is sorted and kept in a file of its own, and at the end all are merged. All this happens
in a hidden folder beside the target. What is finished in it stays when the import is stopped, killed or out of room:
the same call goes on from there, and gives the same bytes. The target appears when all is done, by one renaming. Until
then the edges lie on the disk three times: 16 bytes each as they were read, 8 sorted (16 where both directions are
stored), and 8 in the graph for each direction (16 where ids or edges do not fit into 32 bits).
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import Timeout

from graphkit import _checks
from graphkit.data.disk import external_sort, tables
from graphkit.data.disk.arrays import ArrayWriter, memory_map, write_array
from graphkit.data.disk.checked_files import LOCK, DataError, file_lock, read_sealed_json, sealed_json, sha256
from graphkit.data.disk.external_sort import MAX_NODE, write_run
from graphkit.data.disk.storage import MANIFEST, STRUCTURE, StoredGraph, finish_graph, require_new, write_error

CHUNK = 1 << 22
"""Edges read at a time."""

JOB = "job.json"

CHECKSUM_SUFFIX = ".sha256"
"""Ending of the file beside a finished one that has its checksum: what was damaged meanwhile is made anew."""

ORIGINS = {
    "x": "one for each row of `features`",
    "y": "one for each row of `labels`",
    "nodes": "as many as `nodes` says",
}
"""Who says how many nodes there are."""


def import_graph(
    edges: Sequence[Path | str] | Path | str,
    to: Path | str,
    *,
    features: Path | str | None = None,
    labels: Path | str | None = None,
    split: Path | str | None = None,
    nodes: int | None = None,
    undirected: bool = False,
    relabel: bool = False,
    name: str | None = None,
    piece: int = CHUNK,
) -> StoredGraph:
    """Write the graph of some edge lists to the folder ``to``, and return what its manifest says.

    Nodes are numbered from 0; how many there are is told by ``nodes``, by the rows of ``features`` or ``labels``, or
    else by the largest id, and then every id up to it must occur: a gap is more often a mistake than a node without
    edges. ``relabel`` numbers the ids that occur, from the smallest up, whatever they are; the graph has them as
    ``original_id``, and rows of features and labels are in this order.

    Args:
        edges: files of two columns, source and target: ``.csv``, ``.tsv``, ``.txt`` (``.gz`` too), ``.parquet`` or
            ``.npy``, which may be ``[2, edges]`` too.
        to: must not exist.
        features: a file of one row of numbers for each node.
        labels: a file of one integer for each node, -1 where there is none.
        split: a ``.npz`` file of node ids under "train", "val" and "test", or a folder of such tables.
        nodes: number of nodes.
        undirected: store both directions of each edge, once; otherwise edges are kept as they are.
        relabel: see above.
        name: what the graph is called in records; by default the name of the folder.
        piece: edges read at a time; memory is about 100 bytes for each.

    Raises:
        ValueError: if ``to`` exists.
        DataError: for a file that is missing, cut short, or holds what it must not; for numbers that do not fit each
            other; where the disk is full, or another process imports to the same place.
    """
    folder = require_new(to, "to")
    _checks.instance("edges", edges, (str, Path, Sequence), "a path or a list of paths")
    listed = [_checks.path("edges", each) for each in ([edges] if isinstance(edges, str | Path) else edges)]
    if not listed:
        raise ValueError("`edges` must name at least one file.")
    optional = {"features": features, "labels": labels, "split": split}
    named = {of: None if path is None else _checks.path(of, path) for of, path in optional.items()}
    given = {"x": named["features"], "y": named["labels"], "split": named["split"]}
    undirected, relabel = _checks.flag("undirected", undirected), _checks.flag("relabel", relabel)
    name = _checks.printable_name("name", folder.name if name is None else name)
    _checks.at_least("piece", piece, 1)
    if nodes is not None:
        _checks.at_least("nodes", nodes, 1)
        if nodes > MAX_NODE:
            raise ValueError(f"`nodes` must be at most {MAX_NODE:,}, got {nodes:,}.")
    options = {"nodes": nodes, "undirected": undirected, "relabel": relabel, "piece": piece}
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        job = {"edges": [file_stamp(each) for each in listed], **options}
        job |= {of: None if path is None else file_stamp(path) for of, path in given.items()}
        with lock_job(partial, job):
            work = _Import(partial, listed, undirected, relabel, piece)
            work.import_features(given["x"])
            work.import_labels(given["y"])
            many = work.import_edges(nodes)
            if given["split"] is not None:
                work.import_split(given["split"], many)
            how = {"imported": [each.name for each in listed], **options}
            return finish_graph(partial, folder, name=name, how=how)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; the same import goes on from what is in {str(partial)!r}.") from None
    except OSError as error:
        left = f" What is done stays in {str(partial)!r}: the same call goes on from there." if partial.exists() else ""
        raise DataError(f"{write_error(folder, error)}{left}") from error


@dataclass(frozen=True)
class _Import:
    """The steps of an import; one that left its file in ``folder``, and its checksum, is done."""

    folder: Path
    lists: list[Path]
    undirected: bool
    relabel: bool
    piece: int

    def import_features(self, path: Path | None) -> None:
        """Copy the features to ``x.npy``."""
        done = self.folder / "x.npy"
        if path is None or is_done(done):
            return
        rows = next((max(1, tables.CHUNK_VALUES // first.shape[1]) for first in tables.read_chunks(path, 1)), 1)
        blocks = tables.read_chunks(path, rows)
        first = next(blocks, None)
        if first is None:
            raise DataError(f"{path} has no row.")
        with ArrayWriter(done, np.float32, (first.shape[1],)) as file:
            for block in itertools.chain([first], blocks):
                if block.shape[1] != first.shape[1]:
                    raise DataError(f"{path}: rows must have {first.shape[1]} numbers each, got {block.shape[1]}.")
                wrong = ~(np.abs(block) <= np.finfo(np.float32).max).all(axis=1)  # as which they are kept
                if wrong.any():
                    row = file.written + int(wrong.argmax()) + 1
                    raise DataError(
                        f"{path}: row {row:,} must hold finite numbers of float32, got {block[wrong.argmax()]}."
                    )
                file.append(block)
        mark_done(done)

    def import_labels(self, path: Path | None) -> None:
        """Copy the labels to ``y.npy``."""
        done = self.folder / "y.npy"
        if path is None or is_done(done):
            return
        with ArrayWriter(done, np.int64) as file:
            for block in tables.read_chunks(path, tables.CHUNK_VALUES):
                if block.shape[1] != 1:
                    raise DataError(f"{path} must have one column, the label of each node, got {block.shape[1]}.")
                y = tables.to_integers(path, block, file.written)[:, 0]
                if len(y) and y.min() < -1:
                    row = file.written + int(y.argmin()) + 1
                    raise DataError(f"{path}: row {row:,} must hold a class from 0, or -1 for none, got {y.min()}.")
                file.append(y)
        try:
            _checks.class_count("labels", memory_map(done))
        except ValueError as error:
            raise DataError(f"{path}: {error}") from None
        mark_done(done)

    def import_edges(self, nodes: int | None) -> int:
        """Write the structure, and return the number of nodes."""
        # Step 1: who says how many nodes there are, and whether all say the same.
        paths = {of: self.folder / f"{of}.npy" for of in ("x", "y")}
        rows = {of: len(np.load(path, mmap_mode="r")) for of, path in paths.items() if path.exists()}
        rows |= {} if nodes is None else {"nodes": nodes}
        if len(set(rows.values())) > 1:
            words = {"x": "features", "y": "labels", "nodes": "`nodes`"}
            told = ", ".join(f"{words[of]} {many:,}" for of, many in rows.items())
            raise DataError(f"the numbers of nodes differ: {told}.")
        # Step 2: copy the lists in pieces, and number the nodes.
        raw = self._copy_edges()
        ids = self._collect_ids(raw) if self.relabel else None
        said_by, asked = next(iter(rows.items()), ("", None))
        if ids is not None and asked not in (None, len(ids)):
            raise DataError(
                f"{len(ids):,} different ids occur in the edges, but there are {asked:,} nodes, {ORIGINS[said_by]}."
            )
        many = self._count_nodes(raw, asked, ORIGINS.get(said_by, "")) if ids is None else len(ids)
        # Step 3: sort each piece, then all together.
        sorted_runs = []
        for path in raw:
            run = path.with_name(f"run-{path.name}")
            sorted_runs.append(run)
            if not is_done(run):
                source, target = np.load(path)
                if ids is not None:
                    source, target = np.searchsorted(ids, source), np.searchsorted(ids, target)
                write_run(run, source, target, both_ways=self.undirected)
                mark_done(run)
        structure = [self.folder / f"{of}.npy" for of in STRUCTURE]
        if not all(map(is_done, structure)):
            external_sort.merge_runs(sorted_runs, self.folder, many, unique=self.undirected)
            for path in structure:
                mark_done(path)
        return many

    def import_split(self, path: Path, nodes: int) -> None:
        """Write the masks."""
        taken = np.zeros(nodes, dtype=bool)
        for mask, index in tables.read_split(path).items():
            ids = tables.to_integers(path, index, 0)[:, 0]
            if len(ids) and not 0 <= ids.min() <= ids.max() < nodes:
                wrong = ids.min() if ids.min() < 0 else ids.max()
                raise DataError(f"{path}: a split names nodes from 0 to {nodes - 1:,}, got {wrong:,}.")
            chosen = np.zeros(nodes, dtype=bool)
            chosen[ids] = True
            if (chosen & taken).any():
                raise DataError(f"{path}: node {int((chosen & taken).argmax()):,} is in two parts of the split.")
            taken |= chosen
            write_array(self.folder / f"{mask}.npy", chosen)

    def _copy_edges(self) -> list[Path]:
        """Return the edges as they were read, ``[2, edges]`` in each file."""
        found = []
        for number, path in enumerate(self.lists):
            home = self.folder / f"edges-{number:04d}"
            home.mkdir(exist_ok=True)
            end, done = home / "pieces", 0
            while is_done(piece := home / f"{done:06d}.npy"):
                found.append(piece)
                done += 1
            if is_done(end) and int(end.read_text()) == done:
                continue
            for block in self._edge_chunks(path, done):
                found.append(home / f"{done:06d}.npy")
                write_array(found[-1], block)
                mark_done(found[-1])
                done += 1
            end.write_text(str(done))
            mark_done(end)
        return found

    def _edge_chunks(self, path: Path, skip: int) -> Iterator[np.ndarray]:
        """Yield the edges of one list as ``[2, edges]``, checked one by one."""
        first = skip * self.piece
        for block in tables.read_edge_chunks(path, self.piece, skip):
            if block.shape[1] != 2:
                raise DataError(f"{path} must have two columns, source and target, got {block.shape[1]}.")
            pairs = tables.to_integers(path, block, first)
            wrong = (pairs < 0) | (pairs > MAX_NODE)
            if not self.relabel and wrong.any():
                row, column = np.argwhere(wrong)[0]
                rule = "from 0 upwards" if pairs[row, column] < 0 else f"to {MAX_NODE:,}"
                raise DataError(
                    f"{path}: row {first + row + 1:,} must hold node ids {rule}, got {pairs[row, column]:,}; "
                    "`relabel` numbers nodes anew."
                )
            yield pairs.T
            first += len(block)

    def _collect_ids(self, raw: list[Path]) -> np.ndarray:
        """Return all ids that occur, ascending, kept as ``original_id.npy``."""
        done = self.folder / "original_id.npy"
        if not is_done(done):
            ids = np.empty(0, dtype=np.int64)
            for path in raw:
                ids = np.union1d(ids, np.load(path))
            if len(ids) > MAX_NODE:
                raise DataError(f"{len(ids):,} nodes are more than the {MAX_NODE:,} that are numbered here.")
            write_array(done, ids)
            mark_done(done)
        return np.load(done)

    def _count_nodes(self, raw: list[Path], nodes: int | None, origin: str) -> int:
        """Return the number of nodes, or refuse ids beyond it and gaps."""
        largest = max((int(np.load(path, mmap_mode="r").max()) for path in raw), default=-1)
        if nodes is not None:
            if largest >= nodes:
                raise DataError(
                    f"the edges name node {largest:,}, but there are {nodes:,} nodes (0 to {nodes - 1:,}), {origin}."
                )
            return nodes
        if largest < 0:
            raise DataError("the lists hold no edge: give `nodes`, the number of nodes.")
        seen = np.zeros(largest + 1, dtype=bool)
        for path in raw:
            seen[np.load(path).ravel()] = True
        if not seen.all():
            gaps = int((~seen).sum())
            raise DataError(
                f"{gaps:,} ids below the largest ({largest:,}) do not occur, the first is {int(seen.argmin()):,}: give "
                f"`nodes` ({largest + 1:,}) if they are nodes without edges, or `relabel` to number nodes anew."
            )
        return largest + 1


def file_stamp(path: Path) -> list[Any]:
    """Return by what a file is known again."""
    if not path.exists():
        raise DataError(f"{path} is missing.")
    about = path.stat()
    return [str(path.absolute()), about.st_size, about.st_mtime_ns]


@contextmanager
def lock_job(partial: Path, job: dict[str, Any]) -> Iterator[None]:
    """Hold the folder of an unfinished import alone, having looked that it is of the same job."""
    partial.mkdir(exist_ok=True)
    try:
        held = file_lock(partial / LOCK).acquire()
    except Timeout:
        raise DataError(f"another process is importing to {str(partial)!r}.") from None
    with held:
        told = partial / JOB
        if not told.exists() or (partial / MANIFEST).exists():
            # Killed before it began, or at the very end, when its traces were being removed.
            for path in partial.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != LOCK:
                    path.unlink()
        if told.exists() and _read_job(told) != job:
            raise DataError(
                f"an unfinished import of other files, or with other options, lies in {str(partial)!r}; remove it, or "
                "import as it was begun."
            )
        beside = partial / f"{JOB}.part"
        beside.write_text(sealed_json(job), encoding="utf-8")
        os.replace(beside, told)
        try:
            yield
        except DataError:
            shutil.rmtree(partial)  # a mistake in the input: what was made of it is of no use
            raise


def _read_job(told: Path) -> Any:
    """Return what an unfinished import was asked for."""
    try:
        return read_sealed_json(told)
    except ValueError as error:
        raise DataError(f"{told} cannot be read ({error}); remove {str(told.parent)!r} and import anew.") from None


def mark_done(done: Path) -> None:
    """Write the checksum of a finished file beside it."""
    beside = done.with_name(f"{done.name}{CHECKSUM_SUFFIX}")
    beside.write_text(sha256(done), encoding="ascii")


def is_done(done: Path) -> bool:
    """Return whether a file is finished, and what it was then."""
    beside = done.with_name(f"{done.name}{CHECKSUM_SUFFIX}")
    return done.is_file() and beside.is_file() and beside.read_bytes() == sha256(done).encode()

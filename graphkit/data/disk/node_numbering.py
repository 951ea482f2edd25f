"""Nodes numbered: by a table of them, by the numbers that their ids are, or anew with their ids kept as names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.data.disk.arrays import write_array
from graphkit.data.disk.checked_files import DataError
from graphkit.data.disk.columns import ids_in
from graphkit.data.disk.external_sort import MAX_NODE
from graphkit.data.disk.import_job import is_done, mark_done
from graphkit.data.disk.import_plan import ImportPlan
from graphkit.data.disk.node_names import NodeNames


@dataclass(frozen=True, eq=False)
class Numbering:
    """Which node each id is.

    Args:
        nodes: number of nodes.
        names: their ids, where they are not their numbers.
        keys: the ids that occur in the edges, ascending; ``None`` where ids are the numbers of their nodes.
        numbers: the node of each of them.
        notes: what was found that was not asked for.
    """

    nodes: int
    names: NodeNames | None = None
    keys: np.ndarray | None = None
    numbers: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def nodes_of(self, ids: np.ndarray) -> np.ndarray:
        """Return the nodes of ids."""
        if self.keys is None or self.numbers is None:
            return ids
        return self.numbers[np.searchsorted(self.keys, ids)]


@dataclass(frozen=True, eq=False)
class EdgeIds:
    """The ids in the edges, and who says how many nodes there are.

    Args:
        raw: the edges as they were read, ``[2, edges]`` in each file; ids that are text are numbered as they come.
        folder: where what is found of them is kept; the texts lie in its folder "ids".
        asked: number of nodes, where something says it.
        origin: what says it.
    """

    raw: Sequence[Path]
    folder: Path
    asked: int | None
    origin: str

    def texts(self) -> NodeNames | None:
        """Return the ids that are text, by the numbers that stand for them."""
        return NodeNames.read(self.folder / "ids")

    def has_gaps(self) -> bool:
        """Return whether ids are negative, too large, or leave out numbers below the largest."""
        bounds = [(int(each.min()), int(each.max())) for each in (np.load(path, mmap_mode="r") for path in self.raw)]
        if not bounds:
            return False
        least, most = min(low for low, _ in bounds), max(high for _, high in bounds)
        ends = 2 * sum(np.load(path, mmap_mode="r").shape[1] for path in self.raw)
        if least < 0 or most >= min(ends, MAX_NODE):
            return True
        seen = np.zeros(most + 1, dtype=bool)
        for path in self.raw:
            seen[np.load(path).ravel()] = True
        return not seen.all()

    def different(self) -> np.ndarray:
        """Return all ids that occur, ascending."""
        done = self.folder / "edge_ids.npy"
        if not is_done(done):
            ids = np.empty(0, dtype=np.int64)
            for path in self.raw:
                ids = np.union1d(ids, np.load(path))
            if len(ids) > MAX_NODE:
                raise DataError(f"{len(ids):,} nodes are more than the {MAX_NODE:,} that are numbered here.")
            write_array(done, ids)
            mark_done(done)
        return np.load(done)

    def count(self) -> int:
        """Return the number of nodes where ids are numbers of nodes, or refuse ids beyond it."""
        largest = max((int(np.load(path, mmap_mode="r").max()) for path in self.raw), default=-1)
        if self.asked is None:
            if largest < 0:
                raise DataError("the lists hold no edge: give `nodes`, the number of nodes.")
            return largest + 1
        if largest >= self.asked:
            raise DataError(
                f"the edges name node {largest:,}, but there are {self.asked:,} nodes (0 to {self.asked - 1:,}), "
                f"{self.origin}."
            )
        return self.asked


def number_nodes(plan: ImportPlan, ids: EdgeIds, *, relabel: bool, unknown_ids: str) -> Numbering:
    """Return which node each id is.

    Args:
        plan: with the table of nodes, where there is one.
        ids: of the edges.
        relabel: number ids that are numbers anew, even where none is left out.
        unknown_ids: "add" nodes for ids that the table of nodes lacks, or "refuse" them.

    Raises:
        DataError: for another number of nodes than something says, and ids that are refused.
    """
    if plan.nodes is not None:
        return _number_by_table(plan, ids, unknown_ids)
    asked, origin = ids.asked, ids.origin
    if plan.text_ids:
        names = ids.texts()
        many = 0 if names is None else len(names)
        if asked not in (None, many) or not many:
            raise DataError(
                f"{many:,} different ids occur in the edges, but there are {asked or 'no'} nodes"
                f"{f', {origin}' if origin else ''}: rows of text ids need a table of nodes (`nodes`)."
            )
        return Numbering(many, names)
    if not relabel and (asked is not None or not ids.has_gaps()):
        return Numbering(ids.count())
    found = ids.different()
    if asked not in (None, len(found)):
        raise DataError(f"{len(found):,} different ids occur in the edges, but there are {asked:,} nodes, {origin}.")
    notes = () if relabel else ("ids leave numbers out: nodes are numbered anew, and `node_names` has the ids",)
    return Numbering(len(found), NodeNames(found), found, np.arange(len(found)), notes)


def _number_by_table(plan: ImportPlan, ids: EdgeIds, unknown_ids: str) -> Numbering:
    """Return the same where the rows of a table are the nodes; ids that it lacks follow."""
    import pandas

    assert plan.nodes is not None
    if not ids.raw:
        raise DataError("the lists hold no edge.")
    words, notes = ids_in(plan.nodes[plan.id]), list[str]()
    if plan.text_ids:
        called = ids.texts() or NodeNames.of([])
        own, keys = pandas.Index(words, dtype="object"), np.arange(len(called))
        numbers = own.get_indexer(pandas.Index(list(called), dtype="object"))
        unknown: Any = [called[int(place)] for place in np.flatnonzero(numbers < 0)]
    else:
        own, keys = pandas.Index(words.astype("int64")), ids.different()
        numbers = own.get_indexer(keys)
        unknown = keys[numbers < 0]
    if len(unknown):
        shown = ", ".join(repr(each if isinstance(each, str) else int(each)) for each in unknown[:3])
        shown += ", ..." if len(unknown) > 3 else ""
        some = f"{len(unknown):,} ids of the edges are not in the table of nodes ({shown})"
        if unknown_ids == "refuse":
            raise DataError(f"{some}.")
        notes.append(f"{some}: they are nodes without features and labels")
        numbers[numbers < 0] = len(own) + np.arange(len(unknown))
    nodes = len(own) + len(unknown)
    if ids.asked not in (None, nodes):
        beside = f" and {len(unknown):,} ids of edges that it lacks" if len(unknown) else ""
        raise DataError(
            f"the table of nodes has {len(own):,} rows{beside}, but there are {ids.asked:,} nodes, {ids.origin}."
        )
    if without := len(own) - int((np.unique(numbers) < len(own)).sum()):
        notes.append(f"{without:,} of {len(own):,} nodes of the table have no edge")
    if plan.text_ids:
        names: NodeNames | None = NodeNames.of([*own, *unknown])
    else:
        numbered = np.concatenate([own.to_numpy(), unknown])
        names = None if np.array_equal(numbered, np.arange(nodes)) else NodeNames(numbered)
    return Numbering(nodes, names, keys, numbers, tuple(notes))

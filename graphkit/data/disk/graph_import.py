"""Importing: from tables of edges and nodes to a stored graph, edges of any number in bounded memory.

Edges are read in pieces; each is sorted and kept in a file of its own, and at the end all are merged. All this happens
in a hidden folder beside the target. What is finished in it stays when the import is stopped, killed or out of room:
the same call goes on from there, and gives the same bytes. The target appears when all is done, by one renaming. Until
then the edges lie on the disk three times: 16 bytes each as they were read, 8 sorted (16 where both directions are
stored), and 8 in the graph for each direction (16 where ids or edges do not fit into 32 bits); what edges carry takes 4
bytes a number each time. Memory holds one piece, the table of nodes, and the ids that occur.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from graphkit import _checks
from graphkit.data.disk import external_sort, tables
from graphkit.data.disk.arrays import ArrayWriter, write_array
from graphkit.data.disk.checked_files import DataError
from graphkit.data.disk.columns import Target, fit_target, ids_in, words_in
from graphkit.data.disk.external_sort import MAX_NODE, values_path, write_run
from graphkit.data.disk.graph_files import read_sparse
from graphkit.data.disk.import_job import file_stamp, is_done, lock_job, mark_done
from graphkit.data.disk.import_plan import PARTS, ImportPlan, plan_import, structure_choice, table_choice
from graphkit.data.disk.manifest import StoredGraph
from graphkit.data.disk.node_names import ENDS, NodeNames
from graphkit.data.disk.node_numbering import EdgeIds, number_nodes
from graphkit.data.disk.storage import STRUCTURE, finish_graph, require_new, write_error
from graphkit.data.disk.structure_features import degree_features, structure_features

if TYPE_CHECKING:
    import pandas

CHUNK = 1 << 22
"""Edges read at a time."""

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
    nodes: Path | str | int | None = None,
    features: Path | str | None = None,
    labels: Path | str | None = None,
    split: Path | str | None = None,
    undirected: bool | None = None,
    relabel: bool = False,
    columns: Mapping[str, str] | None = None,
    target: Sequence[str] | str = (),
    target_kind: Literal["classes", "numbers"] | None = None,
    ids: Literal["number", "text"] | None = None,
    header: bool | None = None,
    unknown_ids: Literal["add", "refuse"] = "add",
    structure: Sequence[str] | None = None,
    name: str | None = None,
    piece: int = CHUNK,
) -> StoredGraph:
    """Write the graph of some tables to the folder ``to``, and return what its manifest says.

    Nodes are numbered from 0. With a table of nodes, or of ids and labels, they are numbered by its rows; ids of edges
    that it lacks follow, without features and labels. Else whole numbers are taken for the numbers of the nodes where
    none below the largest is missing, or where ``nodes``, or the rows of ``features`` or ``labels``, say how many there
    are. All other ids are numbered anew, numbers from the smallest up (as ``relabel`` does always) and texts in the
    order in which they come, and kept as ``node_names``.

    Which columns are ids, ends of edges, weights, targets and features is told by their values and names
    (:func:`.import_plan.plan_import` shows it without writing anything), and can be said by ``columns``. A column of
    numbers becomes a feature less its mean and over its deviation, one of few words a feature for each. Missing numbers
    are the mean, missing words all 0.

    Args:
        edges: files with a row for each edge: text of any delimiter (``.csv``, ``.tsv``, ``.txt``, ``.edgelist``,
            ``.edges``; ``.gz`` too), ``.parquet`` or ``.npy``, which may be ``[2, edges]`` too; or one file of a graph:
            ``.graphml``, ``.gexf``, node-link ``.json``, or a SciPy matrix ``.npz``.
        to: must not exist.
        nodes: a table with a row for each node and a column of ids; or the number of nodes.
        features: a file of one row of numbers for each node, in the order of the nodes; a SciPy matrix ``.npz`` too.
        labels: a file of what is predicted: one column in the order of the nodes, or ids and labels.
        split: a ``.npz`` file of node ids under "train", "val" and "test", or a folder of such tables.
        undirected: store both directions of each edge, once; otherwise edges are kept as they are. By default what a
            file of a graph says, and else ``False``. Of an edge that is listed twice the first one's values count.
        relabel: number the ids that occur, from the smallest up, whatever they are; rows of features and labels are in
            this order.
        columns: column -> "from", "to", "weight", "id", "target", "split", "number" (standardised), "raw" (as it
            stands), "category" or "ignore".
        target: the column of the nodes that is predicted, or several.
        target_kind: of the target, where it is not to be told by its values.
        ids: whether ids are numbers or text, where it is not to be told by the first of them.
        header: whether the first row of a text are names, where it is not to be told by its words.
        unknown_ids: add nodes for ids of edges that the table of nodes lacks, or refuse them.
        structure: features made of the edges, of "degree", "one-hot", "random-walk" and "laplacian"; by default
            "degree" where there are no others, and none where there are.
        name: what the graph is called in records; by default the name of the folder.
        piece: edges read at a time; memory is about 100 bytes for each.

    Raises:
        ValueError: if ``to`` exists, or an argument is none of its values.
        DataError: for a file that is missing, cut short, or holds what it must not; for a column that is not there;
            for numbers that do not fit each other; where the disk is full, or another process imports to the same
            place.
    """
    folder = require_new(to, "to")
    listed = _checks.paths("edges", edges)
    table, count = (None, nodes) if isinstance(nodes, int | float) else (nodes, None)
    optional = {"nodes": table, "features": features, "labels": labels, "split": split}
    given = {of: None if path is None else _checks.path(of, path) for of, path in optional.items()}
    relabel = _checks.flag("relabel", relabel)
    undirected = undirected if undirected is None else _checks.flag("undirected", undirected)
    name = _checks.printable_name("name", folder.name if name is None else name)
    _checks.at_least("piece", piece, 1)
    if count is not None:
        _checks.at_least("nodes", count, 1)
        if count > MAX_NODE:
            raise ValueError(f"`nodes` must be at most {MAX_NODE:,}, got {count:,}.")
    _checks.member("unknown_ids", unknown_ids, ("add", "refuse"))
    structure = structure_choice(structure)
    choice = table_choice(columns, target, target_kind, ids, header)
    options = {"nodes": count, "undirected": undirected, "relabel": relabel, "piece": piece}
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        job = {"edges": [file_stamp(each) for each in listed], **options, **choice}
        job |= {"unknown_ids": unknown_ids, "structure": structure}
        job |= {of: None if path is None else file_stamp(path) for of, path in given.items()}
        with lock_job(partial, job):
            plan = plan_import(listed, nodes=given["nodes"], labels=given["labels"], **choice)
            both = bool(plan.directed is False if undirected is None else undirected)
            work = _Import(partial, plan, both, relabel, piece, unknown_ids)
            work.import_features(given["features"])
            work.import_labels(given["labels"], target_kind)
            work.import_edges(count)
            work.import_columns(structure)
            if given["split"] is not None:
                work.import_split(given["split"])
            how: dict[str, Any] = {
                "imported": [each.name for each in (*listed, *filter(None, given.values()))],
                **options,
            }
            how |= {"directed": plan.directed if undirected is None else not undirected}
            how |= {"undirected": both, "notes": work.notes, "findings": [list(each) for each in plan.findings]}
            return finish_graph(partial, folder, name=name, how=how, told=work.told)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; the same import goes on from what is in {str(partial)!r}.") from None
    except OSError as error:
        left = f" What is done stays in {str(partial)!r}: the same call goes on from there." if partial.exists() else ""
        raise DataError(f"{write_error(folder, error)}{left}") from error


@dataclass
class _Import:
    """The steps of an import; one that left its file in ``folder``, and its checksum, is done."""

    folder: Path
    plan: ImportPlan
    undirected: bool
    relabel: bool
    piece: int
    unknown_ids: str
    notes: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    nodes: int = 0
    names: NodeNames | None = None

    def import_features(self, path: Path | None) -> None:
        """Copy the features to ``x.npy``."""
        done = self.folder / "x.npy"
        if path is None:
            return
        table = None if path.suffix == ".npz" else tables.open_table(path)
        if table is not None and table.header:
            self.told["feature_columns"] = list(table.columns)
        if is_done(done):
            return
        blocks = _feature_blocks(path, table)
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

    def import_labels(self, path: Path | None, kind: str | None) -> None:
        """Write labels that are in the order of the nodes to ``y.npy``."""
        if path is None or self.plan.nodes is not None:
            return
        frame = tables.open_table(path).read()
        if not len(frame):
            raise DataError(f"{path} has no row.")
        try:
            self._write_labels(*fit_target(frame, kind), positional=True)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None

    def _write_labels(self, target: Target, y: np.ndarray, *, positional: bool = False) -> None:
        counted = target.class_names == tuple(map(str, range(len(target.class_names))))
        names = () if positional and counted else target.class_names  # numbers that stay what they were
        self.told["target"] = {**target.as_dict(), "class_names": list(names)}
        write_array(self.folder / "y.npy", y)

    def import_edges(self, count: int | None) -> None:
        """Write the structure, what edges carry and what nodes are called, having numbered the nodes."""
        # Step 1: who says how many nodes there are, and whether all say the same.
        paths = {of: self.folder / f"{of}.npy" for of in ("x", "y")}
        rows = {of: len(np.load(path, mmap_mode="r")) for of, path in paths.items() if path.exists()}
        count = self.plan.count if count is None else count
        rows |= {} if count is None else {"nodes": count}
        if len(set(rows.values())) > 1:
            words = {"x": "features", "y": "labels", "nodes": "`nodes`"}
            told = ", ".join(f"{words[of]} {many:,}" for of, many in rows.items())
            raise DataError(f"the numbers of nodes differ: {told}.")
        said_by, asked = next(iter(rows.items()), ("", None))
        # Step 2: copy the lists in pieces, and number the nodes.
        raw = self._copy_edges(positional=asked is not None and not self.relabel)
        ids = EdgeIds(raw, self.folder, asked, ORIGINS.get(said_by, ""))
        numbering = number_nodes(self.plan, ids, relabel=self.relabel, unknown_ids=self.unknown_ids)
        self.nodes, self.names = numbering.nodes, numbering.names
        self.notes += numbering.notes
        # Step 3: sort each piece, then all together.
        carries = bool(self.plan.edge_values)
        sorted_runs = []
        for path in raw:
            run = path.with_name(f"run-{path.name}")
            sorted_runs.append(run)
            if not is_done(run):
                source, target = (numbering.nodes_of(each) for each in np.load(path))
                values = np.load(values_path(path)) if carries else None
                write_run(run, source, target, both_ways=self.undirected, values=values)
                mark_done(run)
        structure = [self.folder / f"{of}.npy" for of in STRUCTURE]
        if not all(map(is_done, structure)):
            external_sort.merge_runs(sorted_runs, self.folder, self.nodes, unique=self.undirected, values=carries)
            self._divide_values()
            for path in structure:
                mark_done(path)
        self.told["edge_columns"] = [each.as_dict() for each in self.plan.edge_columns]
        if self.names is not None:
            self.names.write(self.folder)

    def _divide_values(self) -> None:
        """Write the first of the numbers that edges carry as weights, the others as features, as it is said."""
        together = self.folder / "edge_values.npy"
        if not together.exists():
            return
        values, first = np.load(together, mmap_mode="r"), int(self.plan.weight is not None)
        weight, others = [("edge_weight", slice(0, 1), tuple[int, ...]())], values.shape[1] - first
        features = [("edge_attr", slice(first, None), (others,))]
        for name, columns, row in [*weight[:first], *features[: min(others, 1)]]:
            with ArrayWriter(self.folder / f"{name}.npy", np.float32, row) as file:
                for start in range(0, len(values), CHUNK):
                    block = values[start : start + CHUNK, columns]
                    file.append(block if row else block[:, 0])
        together.unlink()

    def import_columns(self, structure: Sequence[str] | None) -> None:
        """Write what the table of nodes tells of each node, and features made of the edges where they are wanted."""
        plan, parts = self.plan, []
        if plan.nodes is not None:
            added = self.nodes - len(plan.nodes)
            if plan.target is not None:
                target, y = plan.target
                missing = -1 if target.kind == "classes" else np.nan
                self._write_labels(target, _with_rows(y, added, missing))
            if plan.split:
                words = words_in(plan.nodes[plan.split]).str.lower()
                for word in set(PARTS.values()):
                    inside = words.map(PARTS).eq(word).fillna(False).to_numpy(dtype=bool)
                    write_array(self.folder / f"{word}.npy", _with_rows(inside, added, False))
            parts = [_encode_column(column, plan.nodes[column.name], added) for column in plan.node_columns]
            self.told["columns"] = [column.as_dict() for column in plan.node_columns]
        names = [name for column in plan.node_columns for name in column.features]
        path = self.folder / "x.npy"
        if structure is None and not parts and not path.exists():
            structure = ["degree"]
            self.notes.append("no column of features: the degrees of the nodes take their place (--structure)")
        if structure:
            x, called = self._structure_features(structure)
            parts, names = [*parts, x], [*names, *called]
        if parts:
            self._append_features(path, parts, names)

    def _structure_features(self, kinds: Sequence[str]) -> tuple[np.ndarray, list[str]]:
        """Return features of the nodes that are made of the edges; degrees without the edges in memory."""
        edges, pointers = (np.load(self.folder / f"{of}.npy", mmap_mode="r") for of in STRUCTURE)
        parts, names = list[np.ndarray](), list[str]()
        for kind in kinds:
            if kind == "degree":
                outgoing = np.zeros(self.nodes, dtype=np.int64)
                for start in range(0, edges.shape[1], CHUNK):
                    outgoing += np.bincount(edges[0, start : start + CHUNK], minlength=self.nodes)
                x, called = degree_features(outgoing, np.diff(pointers))
            else:
                from scipy.sparse import csr_array

                entries = np.ones(edges.shape[1], dtype=np.float32)
                adjacency = csr_array((entries, tuple(np.asarray(edges))), shape=(self.nodes, self.nodes))
                try:
                    x, called = structure_features(adjacency, [kind])
                except ValueError as error:
                    raise DataError(str(error)) from None
            parts, names = [*parts, x], [*names, *called]
        return np.concatenate(parts, axis=1), names

    def _append_features(self, path: Path, parts: Sequence[np.ndarray], names: Sequence[str]) -> None:
        """Write further features beside those that are there."""
        first = np.load(path, mmap_mode="r") if path.exists() else np.empty((self.nodes, 0), dtype=np.float32)
        width = first.shape[1]
        known = self.told.get("feature_columns") or [f"feature {place}" for place in range(width)]
        together = self.folder / "x-together.npy"
        rows = max(1, tables.CHUNK_VALUES // (width + len(names)))
        with ArrayWriter(together, np.float32, (width + len(names),)) as file:
            for start in range(0, self.nodes, rows):
                blocks = [each[start : start + rows] for each in (first, *parts)]
                file.append(np.concatenate(blocks, axis=1, dtype=np.float32))
        os.replace(together, path)
        self.told["feature_columns"] = [*known, *names]

    def import_split(self, path: Path) -> None:
        """Write the masks; a split names nodes as the tables do."""
        taken = np.zeros(self.nodes, dtype=bool)
        for mask, frame in tables.read_split(path).items():
            ids = self._places_of(path, frame)
            chosen = np.zeros(self.nodes, dtype=bool)
            chosen[ids] = True
            if (chosen & taken).any():
                node = int((chosen & taken).argmax())
                called = f"{node:,}" if self.names is None else repr(self.names[node])
                raise DataError(f"{path}: node {called} is in two parts of the split.")
            taken |= chosen
            write_array(self.folder / f"{mask}.npy", chosen)

    def _places_of(self, path: Path, frame: pandas.DataFrame) -> np.ndarray:
        """Return the numbers of the nodes that the first column of a table names."""
        import pandas

        words = ids_in(frame.iloc[:, 0]) if len(frame.columns) else pandas.Series(dtype="string")
        if self.names is None:
            numbers = pandas.to_numeric(words, errors="coerce").to_numpy(dtype=np.float64)
            ids = tables.to_integers(path, numbers[:, None], 0)[:, 0]
            if len(ids) and not 0 <= ids.min() <= ids.max() < self.nodes:
                wrong = ids.min() if ids.min() < 0 else ids.max()
                raise DataError(f"{path}: a split names nodes from 0 to {self.nodes - 1:,}, got {wrong:,}.")
            return ids
        places = pandas.Index(list(self.names), dtype="object").get_indexer(words.astype("object"))
        if (places < 0).any():
            raise DataError(f"{path}: no node is called {words.iloc[int((places < 0).argmax())]!r}.")
        return places

    def _copy_edges(self, *, positional: bool) -> list[Path]:
        """Return the edges as they were read, ``[2, edges]`` in each file, and beside each what they carry.

        Ids that are text are numbered as they come; what is half copied of them is copied anew, for that needs all ids
        before.
        """
        known: dict[str, int] = {}
        if self.plan.text_ids and not is_done(self.folder / "ids" / ENDS):
            for left in self.folder.glob("edges-*"):
                shutil.rmtree(left)
        found = []
        for number, table in enumerate(self.plan.edges):
            home = self.folder / f"edges-{number:04d}"
            home.mkdir(exist_ok=True)
            end, done = home / "pieces", 0
            while is_done(piece := home / f"{done:06d}.npy"):
                found.append(piece)
                done += 1
            if is_done(end) and int(end.read_text()) == done:
                continue
            for ends, values in self._edge_chunks(table, done, known, positional):
                found.append(home / f"{done:06d}.npy")
                if values is not None:
                    write_array(values_path(found[-1]), values)
                write_array(found[-1], ends)
                mark_done(found[-1])
                done += 1
            end.write_text(str(done))
            mark_done(end)
        if self.plan.text_ids and known:
            (self.folder / "ids").mkdir(exist_ok=True)
            NodeNames.of(known).write(self.folder / "ids")
            mark_done(self.folder / "ids" / ENDS)
        return found

    def _edge_chunks(
        self, table: tables.Table, skip: int, known: dict[str, int], positional: bool
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield the edges of one list as ``[2, edges]``, checked one by one, and what they carry."""
        first, ends = skip * self.piece, list(self.plan.ends)
        wanted = [*ends, *(column.name for column in self.plan.edge_values)]
        plain = not self.plan.text_ids
        # Where all columns are numbers they are read as such, which is much faster than as text.
        numbers = plain and all(column.kind != "category" for column in self.plan.edge_values)
        for frame in table.frames(self.piece, skip=skip, numbers=numbers, columns=list(dict.fromkeys(wanted))):
            if plain:
                pairs = self._numbers(table, frame[ends], first, numbers)
                wrong = (pairs < 0) | (pairs > MAX_NODE)
                if positional and wrong.any():
                    row, column = np.argwhere(wrong)[0]
                    rule = "from 0 upwards" if pairs[row, column] < 0 else f"to {MAX_NODE:,}"
                    raise DataError(
                        f"{table.path}: row {first + row + 1:,} must hold node ids {rule}, got "
                        f"{pairs[row, column]:,}; `relabel` numbers nodes anew."
                    )
            else:
                pairs = np.stack([_codes(table, frame[end], known, first) for end in ends], axis=1)
            values = [column.encode(frame[column.name]) for column in self.plan.edge_values]
            yield pairs.T, np.concatenate(values, axis=1) if values else None
            first += len(frame)

    def _numbers(self, table: tables.Table, frame: pandas.DataFrame, first: int, numbers: bool) -> np.ndarray:
        """Return ids that are numbers, ``[edges, 2]``."""
        import pandas

        if not numbers:
            with suppress(ValueError, TypeError, OverflowError):  # what is no number is told below
                frame = pandas.DataFrame({name: _plain_numbers(frame[name]) for name in frame})
        try:
            return tables.to_integers(table.path, tables.numbers_of(table.path, frame, first), first)
        except DataError as error:
            if "must hold numbers" in str(error):
                raise DataError(f"{error} Most ids are numbers; `ids='text'` (--ids text) reads all as text.") from None
            raise


def _feature_blocks(path: Path, table: tables.Table | None) -> Iterator[np.ndarray]:
    """Yield rows of features in blocks that fit into memory, of a table or of a sparse matrix."""
    if table is None:
        matrix = read_sparse(path).tocsr()
        rows = max(1, tables.CHUNK_VALUES // max(matrix.shape[1], 1))
        yield from (matrix[start : start + rows].toarray() for start in range(0, matrix.shape[0], rows))
        return
    rows = max(1, tables.CHUNK_VALUES // max(len(table.columns), 1))
    for number, frame in enumerate(table.frames(rows, numbers=True)):
        yield tables.numbers_of(path, frame, number * rows)


def _plain_numbers(values: pandas.Series) -> np.ndarray:
    """Return ids that are written out as numbers of NumPy, NaN where there is nothing."""
    import pandas

    numbers = pandas.to_numeric(ids_in(values))
    whole = pandas.api.types.is_integer_dtype(numbers) and not numbers.isna().any()
    return numbers.to_numpy(dtype="int64" if whole else "float64", na_value=None if whole else np.nan)


def _codes(table: tables.Table, values: pandas.Series, known: dict[str, int], first: int) -> np.ndarray:
    """Return a number for each id that is text, the next one for one that is new."""
    import pandas

    words = ids_in(values).fillna("")
    if (words == "").any():
        row = first + int((words == "").to_numpy().argmax()) + 1
        raise DataError(f"{table.path}: row {row:,} has no id in column {values.name!r}.")
    places, different = pandas.factorize(words)
    codes = np.array([known.setdefault(str(word), len(known)) for word in different], dtype=np.int64)
    return codes[places]


def _encode_column(column: Any, values: pandas.Series, added: int) -> np.ndarray:
    """Return the features of a column, and those of nodes that have no row."""
    import pandas

    missing = column.encode(pandas.Series([""], dtype="string"))
    return np.concatenate([column.encode(values), np.repeat(missing, added, axis=0)])


def _with_rows(values: np.ndarray, added: int, value: float) -> np.ndarray:
    """Return an array with so many rows more, all of a value."""
    return np.concatenate([values, np.full((added, *values.shape[1:]), value, dtype=values.dtype)])

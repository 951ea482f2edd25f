"""What an import makes of its tables: which columns are ids, ends, weights, features and targets, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from graphkit import _checks
from graphkit.data.disk.checked_files import DataError
from graphkit.data.disk.columns import KINDS, Column, ColumnSummary, Target, fit_target, ids_in, words_in
from graphkit.data.disk.graph_files import GRAPH_FORMS, is_graph_file, read_graph_file
from graphkit.data.disk.tables import FORMS, SPLIT_NAMES, Table, form_of, open_table

if TYPE_CHECKING:
    import pandas

ENDS = (
    *(("source", "target"), ("src", "dst"), ("from", "to"), ("head", "tail"), ("u", "v"), ("i", "j")),
    *(("node1", "node2"), ("node_1", "node_2"), ("id1", "id2"), ("id_1", "id_2"), ("start", "end")),
)
"""What the two columns of an edge list are called, in small letters."""

WEIGHTS = ("weight", "weights", "w")
TARGETS = ("label", "labels", "class", "y", "target")
ROLES = ("from", "to", "weight", "id", "target", "split", "graph", "smiles")
"""What a column may be beside features."""

STRUCTURES = ("degree", "one-hot", "random-walk", "laplacian")
"""Features that are made of the edges alone."""

PARTS = {word: mask for mask, words in SPLIT_NAMES.items() for word in words}
LEAST_KNOWN = 0.5
"""Share of the looked-at ends of edges that a column of ids must hold."""

PIECE = 1 << 20
"""Rows of an edge list that are looked at together."""


class Finding(NamedTuple):
    """What a column is taken for, and why."""

    table: str
    column: str
    kind: str
    why: str


@dataclass(frozen=True, eq=False)
class ImportPlan:
    """What an import is going to do; ``rows`` says it in words.

    Args:
        edges: the lists of edges.
        ends: the columns of source and target.
        text_ids: whether ids are text.
        weight: the column of weights, or nothing.
        edge_columns: what becomes features of edges.
        nodes: the table of nodes, or nothing.
        id: its column of ids.
        node_columns: what becomes features of nodes.
        target: what is predicted, and ``y`` of each row of ``nodes``; nothing where no column of it is.
        split: its column of a split, or nothing.
        count: number of nodes, where a file says it.
        directed: whether an edge has one direction, where a file says it.
        findings: a line for each column.
    """

    edges: tuple[Table, ...]
    ends: tuple[str, str]
    text_ids: bool
    weight: Column | None
    edge_columns: tuple[Column, ...]
    nodes: pandas.DataFrame | None = None
    id: str = ""
    node_columns: tuple[Column, ...] = ()
    target: tuple[Target, np.ndarray] | None = None
    split: str = ""
    count: int | None = None
    directed: bool | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def edge_values(self) -> tuple[Column, ...]:
        """All that edges carry, the weight first."""
        return (*([self.weight] if self.weight else []), *self.edge_columns)


@dataclass
class Overrule:
    """What columns are by word of the caller; each has to be used.

    Args:
        kinds: column -> one of ``ROLES`` or ``KINDS``.
        used: the columns that were found.
    """

    kinds: Mapping[str, str]
    used: set[str] = field(default_factory=set)

    def of(self, role: str, columns: Sequence[str]) -> list[str]:
        """Return the columns of a table that were said to be this."""
        found = [name for name in columns if self.kinds.get(name) == role]
        self.used.update(found)
        return found

    def kind(self, column: str) -> str | None:
        """Return what a column is as a feature, where that was said."""
        kind = self.kinds.get(column)
        if kind in KINDS:
            self.used.add(column)
            return kind
        return None

    def require_used(self, tables: Sequence[str]) -> None:
        """Refuse columns that no table has.

        Raises:
            DataError: naming the first, and the columns that there are.
        """
        for name, kind in self.kinds.items():
            if name not in self.used:
                listed = "; ".join(tables) or "none"
                raise DataError(f"no table has a column {name!r} that could be {kind!r}; there are {listed}.")


def table_choice(columns: Any, target: Any, target_kind: Any, ids: Any, header: Any) -> dict[str, Any]:
    """Return what was said of tables, looked at, as plain values by name.

    Raises:
        TypeError: for what is of another type.
        ValueError: for kinds that there are not.
    """
    columns = {} if columns is None else columns
    _checks.instance("columns", columns, Mapping, "a mapping from columns to what they are")
    for name, kind in columns.items():
        _checks.instance("columns", name, str, "a mapping from names of columns")
        _checks.member("columns", kind, (*ROLES, *KINDS))
    _checks.instance("target", target, (str, list, tuple), "a column or a list of columns")
    targets = [target] if isinstance(target, str) else list(target)
    for name in targets:
        _checks.instance("target", name, str, "a column or a list of columns")
    if target_kind is not None:
        _checks.member("target_kind", target_kind, ("classes", "numbers"))
    if ids is not None:
        _checks.member("ids", ids, ("number", "text"))
    header = header if header is None else _checks.flag("header", header)
    return {"columns": dict(columns), "target": targets, "target_kind": target_kind, "ids": ids, "header": header}


def structure_choice(structure: Any) -> list[str] | None:
    """Return features of the structure, looked at."""
    if structure is None:
        return None
    _checks.instance("structure", structure, (list, tuple), "a list such as ['degree']")
    return [_checks.member("structure", kind, STRUCTURES) for kind in structure]


def plan_import(
    edges: Sequence[Path | str] | Path | str,
    *,
    nodes: Path | str | None = None,
    labels: Path | str | None = None,
    columns: Mapping[str, str] | None = None,
    target: Sequence[str] | str = (),
    target_kind: str | None = None,
    ids: str | None = None,
    header: bool | None = None,
) -> ImportPlan:
    """Return what is going to be made of some tables, having read the table of nodes and the beginnings of the others.

    Columns of edges beyond the two ends are read to their end: their kinds, means and words are those of all rows.

    Args:
        edges: lists of edges, or one file of a whole graph.
        nodes: a table with a row for each node.
        labels: a table of ids and what is predicted.
        columns: column -> what it is, of ``ROLES`` or ``KINDS``, where it is not what it seems.
        target: columns of the nodes that are predicted.
        target_kind: "classes" or "numbers", where it is not what it seems.
        ids: "number" or "text", where they are not what they seem.
        header: whether the first row of a text are names.

    Raises:
        DataError: for a table that cannot be read, a column that is not there, and a table of nodes whose ids are not
            those of the edges.
    """
    choice = table_choice(columns, target, target_kind, ids, header)
    target = choice["target"]
    said = Overrule({**choice["columns"], **dict.fromkeys(target, "target")})
    paths = _checks.paths("edges", edges)
    nodes = None if nodes is None else _checks.path("nodes", nodes)
    labels = None if labels is None else _checks.path("labels", labels)
    listed, node_table, directed, count = _open_edges(paths, header)
    if node_table is not None and nodes is not None:
        raise DataError(f"{paths[0]} has its own nodes; leave out {nodes.name}, or give the edges as a table.")
    described = [f"{listed[0].path.name}: {', '.join(listed[0].columns)}"] if listed else []
    ends = _ends(listed, said)
    text_ids = _are_text(listed, ends, ids)
    findings = [Finding("edges", name, role, "") for name, role in zip(ends, ("from", "to"), strict=True) if listed]
    weight, edge_columns, told = _edge_columns(listed, ends, said)
    findings += told
    if nodes is not None:
        node_table = open_table(nodes, header=header)
    named: list[str] = []
    if labels is not None and len((label_table := open_table(labels, header=header)).columns) > 1:
        node_table, named = _join_labels(node_table, label_table, listed, ends, said, target)
    frame, node_id, found, split = None, "", None, ""
    node_columns: tuple[Column, ...] = ()
    if node_table is not None:
        described.append(f"{node_table.path.name}: {', '.join(node_table.columns)}")
        frame = node_table.read()
        if not len(frame):
            raise DataError(f"{node_table.path} has no row.")
        node_id = _id_column(node_table, frame, listed, ends, said)
        text_ids = text_ids or (ids != "number" and not _whole(ids_in(frame[node_id])))
        targets = said.of("target", frame.columns) or named or _seeming_targets(frame, node_id, said)
        missing = [name for name in target if name not in frame.columns]
        if missing:
            raise DataError(f"{node_table.path} has no column {missing[0]!r}; it has {', '.join(frame.columns)}.")
        if targets:
            found = fit_target(frame[targets], target_kind)
        split = split_column(frame, said, (node_id, *targets))
        findings += _describe_nodes(node_id, targets, found, split)
        node_columns, told = feature_columns("nodes", frame, (node_id, *targets, split), said)
        findings += told
    elif target:
        raise DataError(f"`target` {target[0]!r} is a column of a table of nodes: give `nodes`.")
    said.require_used(described)
    return ImportPlan(
        tuple(listed),
        ends,
        text_ids,
        weight,
        edge_columns,
        frame,
        node_id,
        node_columns,
        found,
        split,
        count,
        directed,
        tuple(findings),
    )


def feature_columns(
    table: str, frame: pandas.DataFrame, others: Sequence[str], said: Overrule
) -> tuple[tuple[Column, ...], list[Finding]]:
    """Return the columns of a table in memory that become features, and what is said of all of them.

    Args:
        table: what it is called in the findings.
        frame: all of it.
        others: columns that are something else.
        said: by the caller.
    """
    summaries = []
    for name in frame.columns:
        if name not in others:
            summaries.append(summary := ColumnSummary(name))
            summary.add(frame[name])
    return _fit_columns(table, summaries, said)


def _fit_columns(
    table: str, summaries: Sequence[ColumnSummary], said: Overrule
) -> tuple[tuple[Column, ...], list[Finding]]:
    found, findings = [], []
    for summary in summaries:
        kind, why = summary.kind()
        asked = said.kind(summary.name)
        kind, why = (asked, "as asked for") if asked else (kind, why)
        findings.append(Finding(table, summary.name, kind, why))
        if kind != "ignore":
            found.append(summary.column(kind))  # type: ignore[arg-type]
    return tuple(found), findings


def _open_edges(
    paths: Sequence[Path], header: bool | None
) -> tuple[list[Table], Table | None, bool | None, int | None]:
    """Return the lists of edges, the nodes that came with them, whether edges are directed, and how many nodes."""
    if not any(is_graph_file(path) for path in paths):
        for path in paths:
            if not form_of(path):
                raise DataError(
                    f"{path}: a table ends in {', '.join((*FORMS, *GRAPH_FORMS))}, or in .gz where it is text."
                )
        tables = [open_table(path, header=header, edges=True) for path in paths]
        # A part of a list may have no row, but then nothing tells its columns.
        filled = [each for each in tables if each.columns] or tables[:0]
        for each in filled[1:]:
            if each.columns != filled[0].columns:
                raise DataError(
                    f"{each.path} has columns {', '.join(each.columns)}, but {filled[0].path} has "
                    f"{', '.join(filled[0].columns)}: lists of one graph have the same."
                )
        return filled, None, None, None
    if len(paths) > 1:
        raise DataError(f"{paths[0]} holds a whole graph; several of them are a set: `--graphs`, or one at a time.")
    found = read_graph_file(paths[0])
    table = Table.of(paths[0], found.edges)
    own = None if found.nodes is None else Table.of(paths[0], found.nodes)
    return [table], own, found.directed, found.count


def _ends(tables: Sequence[Table], said: Overrule) -> tuple[str, str]:
    """Return the columns of source and target: those that were named, those that are called so, or the first two."""
    return end_columns(tables[0].columns, said, tables[0].path) if tables else ("0", "1")


def end_columns(columns: Sequence[str], said: Overrule, path: Path) -> tuple[str, str]:
    """Return the columns of source and target of a table of edges.

    Raises:
        DataError: for a table of fewer than two columns.
    """
    source, target = said.of("from", columns), said.of("to", columns)
    if len(columns) < 2:
        raise DataError(f"{path} must have two columns, source and target, got {len(columns)}.")
    lowered = {name.lower(): name for name in reversed(columns)}
    usual = next((pair for pair in ENDS if all(each in lowered for each in pair)), None)
    first, second = (lowered[each] for each in usual) if usual else columns[:2]
    if source and not target:
        second = next(name for name in (second, first, *columns) if name != source[0])
    if target and not source:
        first = next(name for name in (first, second, *columns) if name != target[0])
    return (source or [first])[0], (target or [second])[0]


def _are_text(tables: Sequence[Table], ends: tuple[str, str], ids: str | None) -> bool:
    """Return whether ids are text: most of those that were looked at are no whole numbers, or begin with a 0."""
    if ids is not None:
        return ids == "text"
    for table in tables:
        words = ids_in(table.sample[list(ends)].stack()) if len(table.sample) else None
        if words is not None and len(words):
            zeros = bool(words.str.match(r"[+-]?0\d").any())
            numbers = words.dropna().str.match(r"[+-]?\d+(\.0*)?([eE][+]?\d+)?$|[+-]?(inf|\d*\.\d+)$")
            return zeros or 2 * int(numbers.sum()) < len(numbers)
    return False


def _whole(words: pandas.Series) -> bool:
    return bool(words.dropna().str.fullmatch(r"[+-]?(0|[1-9]\d{0,17})").all())


def _edge_columns(
    tables: Sequence[Table], ends: tuple[str, str], said: Overrule
) -> tuple[Column | None, tuple[Column, ...], list[Finding]]:
    """Return the weight and the features of edges, from all rows of all lists."""
    others = [name for name in (tables[0].columns if tables else ()) if name not in ends]
    if not others:
        return None, (), []
    asked = said.of("weight", others)
    summaries = {name: ColumnSummary(name) for name in others}
    for table in tables:
        # Numbers are read as such where none of those looked at begins with a 0, as codes do.
        looked = words_in(table.sample[others].stack()).dropna()
        numbers = not bool(looked.str.match(r"[+-]?0\d").any())
        for frame in table.frames(PIECE, numbers=numbers, columns=others):
            for name, summary in summaries.items():
                summary.add(frame[name])
    weight, findings = None, []
    for name in asked or [each for each in others if each.lower() in WEIGHTS or (each, len(others)) == ("2", 1)]:
        summary = summaries[name]
        kind, _ = summary.kind()
        numeric = summary.is_number and summary.there > 0 and summary.low >= 0
        if asked and not numeric:
            raise DataError(f"column {name!r} must hold numbers of 0 or above to be a weight.")
        if said.kind(name) or not numeric or (kind == "ignore" and not asked):
            continue
        weight = summary.column("raw")
        missing = f", {summary.missing:,} missing: their mean" if summary.missing else ""
        findings.append(Finding("edges", name, "weight", f"{summary.low:.4g} to {summary.high:.4g}{missing}"))
        del summaries[name]
        break
    found, told = _fit_columns("edges", list(summaries.values()), said)
    return weight, found, [*findings, *told]


def _id_column(
    table: Table, frame: pandas.DataFrame, lists: Sequence[Table], ends: tuple[str, str], said: Overrule
) -> str:
    """Return the column of ids: the one that was named, or the one with most of the ends of the edges in it.

    Raises:
        DataError: for a column with an id that is missing or stands twice, and where no column holds the edges' ids.
    """
    named = said.of("id", frame.columns)
    shares = dict.fromkeys(named, 1.0)
    if not named:
        looked = {word for each in lists for word in ids_in(each.sample[list(ends)].stack()).dropna()}
        shares = {}
        for name in frame.columns:
            words = ids_in(frame[name])
            if words.notna().all() and not words.duplicated().any():
                shares[name] = len(looked & set(words)) / len(looked) if looked else float(name.lower() == "id")
    best = max(shares, key=lambda name: (shares[name], name.lower() in ("id", "node", "name")), default=None)
    if best is None:
        raise DataError(
            f"{table.path}: no column has another value in each row, so none holds the ids of the nodes; name it by "
            "`columns={'COLUMN': 'id'}` (--id COLUMN)."
        )
    if shares[best] < LEAST_KNOWN and lists:
        raise DataError(
            f"{table.path}: of its columns {best!r} holds most ids of the edges, but only {100 * shares[best]:.0f} % "
            "of those looked at; name the column of ids by `columns={'COLUMN': 'id'}` (--id COLUMN)."
        )
    words = ids_in(frame[best])
    if not words.notna().all():
        raise DataError(f"{table.path}: row {int(words.isna().to_numpy().argmax()) + 1:,} has no id in {best!r}.")
    if words.duplicated().any():
        twice = words[words.duplicated()].iloc[0]
        raise DataError(f"{table.path}: the id {twice!r} stands twice in {best!r}; a node has one row.")
    return str(best)


def _join_labels(
    nodes: Table | None,
    labels: Table,
    lists: Sequence[Table],
    ends: tuple[str, str],
    said: Overrule,
    target: Sequence[str],
) -> tuple[Table, list[str]]:
    """Return the table of nodes with the labels of another one that has ids too, and the columns of these."""
    frame = labels.read()
    if not len(frame):
        raise DataError(f"{labels.path} has no row.")
    inside = Overrule({name: kind for name, kind in said.kinds.items() if kind == "id" and name in frame.columns})
    name = _id_column(labels, frame, lists, ends, inside)
    said.used |= inside.used
    others = [each for each in frame.columns if each != name]
    named = [each for each in target if each in others] or [
        next((each for each in others if each.lower() in TARGETS), others[-1])
    ]
    if nodes is None:
        return Table.of(labels.path, frame), named
    whole = nodes.read()
    own = _id_column(nodes, whole, lists, ends, said)
    beside = frame.set_index(ids_in(frame[name]))[named]
    clash = {each: f"{each} (labels)" for each in named if each in whole.columns}
    beside = beside.rename(columns=clash).reindex(ids_in(whole[own]).to_numpy()).fillna("")
    joined = whole.assign(**{each: beside[each].to_numpy() for each in beside.columns})
    return Table.of(nodes.path, joined), list(beside.columns)


def _seeming_targets(frame: pandas.DataFrame, node_id: str, said: Overrule) -> list[str]:
    """Return the column that is called as what is predicted is, unless something else was said of it."""
    names = {name.lower(): name for name in frame.columns if name != node_id and name not in said.kinds}
    return [names[word] for word in TARGETS if word in names][:1]


def split_column(frame: pandas.DataFrame, said: Overrule, others: Sequence[str]) -> str:
    """Return the column that says which part of a split a row is in."""
    asked = said.of("split", frame.columns)
    for name in asked or [each for each in frame.columns if each.lower() == "split" and each not in said.kinds]:
        words = set(words_in(frame[name]).dropna().str.lower())
        if (
            name not in others
            and words
            and words <= PARTS.keys()
            and {PARTS[word] for word in words} == set(SPLIT_NAMES)
        ):
            return str(name)
        if asked:
            raise DataError(f"column {name!r} must hold train, val and test to be a split.")
    return ""


def _describe_nodes(
    node_id: str, targets: Sequence[str], found: tuple[Target, np.ndarray] | None, split: str
) -> Iterator[Finding]:
    yield Finding("nodes", node_id, "id", "")
    for place, name in enumerate(targets):
        assert found is not None
        target, y = found
        column = y if y.ndim == 1 else y[:, place]
        missing = int((column < 0).sum() if target.kind == "classes" else np.isnan(column).sum())
        of = f"{len(target.class_names):,} classes" if target.kind == "classes" else target.kind
        yield Finding("nodes", name, "target", of + (f", {missing:,} missing" if missing else ""))
    if split:
        yield Finding("nodes", split, "split", "")

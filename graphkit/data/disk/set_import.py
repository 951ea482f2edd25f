"""Importing sets of graphs: tables, a folder in TU's format, files of single graphs, or SMILES, to a stored set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch_geometric.data import Data

from graphkit import _checks
from graphkit.data.disk.checked_files import DataError
from graphkit.data.disk.columns import Column, Target, fit_target, ids_in, words_in
from graphkit.data.disk.graph_files import read_graph_file
from graphkit.data.disk.import_plan import (
    PARTS,
    TARGETS,
    Finding,
    Overrule,
    end_columns,
    feature_columns,
    split_column,
    structure_choice,
    table_choice,
)
from graphkit.data.disk.manifest import StoredGraph
from graphkit.data.disk.molecules import read_molecules
from graphkit.data.disk.node_names import NodeNames
from graphkit.data.disk.storage import require_new, store_set
from graphkit.data.disk.structure_features import structure_features
from graphkit.data.disk.tables import open_table
from graphkit.data.graphset import GraphSet

if TYPE_CHECKING:
    import pandas

GRAPH, NODE, SOURCE, END = "graph", "node", "source", "target"
"""Columns by which the rows of the three tables know each other."""

GRAPH_NAMES = ("graph", "graph_id", "graphid", "graph_indicator", "gid")
"""What the column of graphs is called in tables of nodes and edges, in small letters."""


@dataclass(frozen=True, eq=False)
class SetTables:
    """Graphs as three tables.

    Args:
        graphs: a row for each graph, its id in the column "graph".
        nodes: a row for each node: "graph", "node" (an id within the graph) and what nodes carry.
        edges: a row for each edge: "graph", "source" and "target" (ids of nodes), and what edges carry.
        directed: whether an edge has one direction; ``None`` where nothing says it.
    """

    graphs: pandas.DataFrame
    nodes: pandas.DataFrame
    edges: pandas.DataFrame
    directed: bool | None = None


@dataclass(frozen=True, eq=False)
class ReadSet:
    """A set of graphs as it was read, and what its manifest is to say.

    Args:
        graphs: the set.
        told: of its target and its columns.
        findings: what each column was taken for.
        notes: what was found that was not asked for.
        files: names of the files it was read from.
        directed: whether an edge has one direction, where the files say it.
    """

    graphs: GraphSet
    told: dict[str, Any]
    findings: Sequence[Finding]
    notes: list[str]
    files: list[str] = field(default_factory=list)
    directed: bool | None = None


def import_graph_set(
    source: Sequence[Path | str] | Path | str,
    to: Path | str,
    *,
    graphs: Path | str | None = None,
    nodes: Path | str | None = None,
    smiles: str | None = None,
    undirected: bool | None = None,
    columns: Mapping[str, str] | None = None,
    target: Sequence[str] | str = (),
    target_kind: Literal["classes", "numbers"] | None = None,
    header: bool | None = None,
    structure: Sequence[str] | None = None,
    name: str | None = None,
) -> StoredGraph:
    """Write a set of graphs to the folder ``to``, and return what its manifest says.

    What columns are is told and overruled as by :func:`.import_graph`. Graphs without a node are left out, and said.

    Args:
        source: a table of edges, to go with ``nodes`` or ``graphs``; a folder in TU's format (``NAME_A.txt`` and so
            on); several files of a graph each (``.json``, ``.graphml``, ``.gexf``); or a table with a column of SMILES.
        to: must not exist.
        graphs: a table with a row for each graph and a column of its id; of files that is the file's name without its
            ending.
        nodes: a table with a row for each node, and columns of its id and of its graph's.
        smiles: the column of molecules, which become OGB's atoms and bonds. This needs rdkit.
        undirected: store both directions of each edge, once. By default what files of graphs say, and else ``False``.
        columns: column -> "graph", "id", "from", "to", "target", "split", "number", "raw", "category" or "ignore".
        target: the columns of the graphs that are predicted; of files, of what the graph says of itself.
        target_kind: of the target, where it is not to be told by its values.
        header: whether the first row of a text are names, where it is not to be told by its words.
        structure: features of nodes made of the edges; by default "degree" where there are no others.
        name: what the set is called in records; by default the name of the folder.

    Raises:
        ValueError: if ``to`` exists, or an argument is none of its values.
        DataError: for files that cannot be read, columns that are not there, ids that do not fit, and a full disk.
    """
    folder = require_new(to, "to")
    name = _checks.printable_name("name", folder.name if name is None else name)
    made = read_graph_set(
        source,
        graphs=graphs,
        nodes=nodes,
        smiles=smiles,
        undirected=undirected,
        columns=columns,
        target=target,
        target_kind=target_kind,
        header=header,
        structure=structure,
    )
    how = {"imported": made.files, "notes": made.notes, "findings": [list(each) for each in made.findings]}
    how |= {"directed": made.directed if undirected is None else not undirected}
    return store_set(made.graphs, folder, name=name, how=how, told=made.told)


def read_graph_set(
    source: Sequence[Path | str] | Path | str,
    *,
    graphs: Path | str | None = None,
    nodes: Path | str | None = None,
    smiles: str | None = None,
    undirected: bool | None = None,
    columns: Mapping[str, str] | None = None,
    target: Sequence[str] | str = (),
    target_kind: Literal["classes", "numbers"] | None = None,
    header: bool | None = None,
    structure: Sequence[str] | None = None,
) -> ReadSet:
    """Return what :func:`import_graph_set` is about to write, with the same arguments."""
    listed = _checks.paths("source", source)
    choice = table_choice(columns, target, target_kind, None, header)
    targets = choice["target"]
    said = Overrule({**choice["columns"], **dict.fromkeys(targets, "target")})
    structure = structure_choice(structure)
    undirected = undirected if undirected is None else _checks.flag("undirected", undirected)
    _checks.instance("smiles", smiles, (str, type(None)), "the name of a column")
    given = {"graphs": graphs, "nodes": nodes}
    beside = {of: None if path is None else _checks.path(of, path) for of, path in given.items()}
    directed: bool | None = False
    if smiles is not None:
        made = _molecule_set(listed, smiles, said, targets, target_kind, header)
    else:
        tables = _read_tables(listed, beside["graphs"], beside["nodes"], said, header)
        directed = tables.directed
        both = bool(tables.directed is False if undirected is None else undirected)
        made = _tables_set(tables, said, targets, target_kind, both, structure)
    files = [path.name for path in (*listed, *beside.values()) if path is not None]
    said.require_used(files)
    return replace(made, files=files, directed=directed)


def _read_tables(
    listed: Sequence[Path], graphs: Path | None, nodes: Path | None, said: Overrule, header: bool | None
) -> SetTables:
    """Return the three tables of whatever files there are."""
    first = listed[0]
    if first.is_dir():
        if graphs is not None or nodes is not None or len(listed) > 1:
            raise DataError(f"{first} is a folder in TU's format, which has its own tables; leave out the others.")
        return _tu_tables(first)
    own = None if graphs is None else open_table(graphs, header=header).read()
    if all(path.suffix in (".json", ".graphml", ".gexf") for path in listed):
        if nodes is not None:
            raise DataError(f"{first} has its own nodes; leave out {nodes.name}.")
        return _file_tables(listed, own, graphs, said)
    frames = [open_table(path, header=header).read() for path in listed]
    import pandas

    edges = pandas.concat(frames, ignore_index=True)
    node_table = None if nodes is None else open_table(nodes, header=header).read()
    return _own_tables(own, node_table, edges, said, first)


def _tu_tables(folder: Path) -> SetTables:
    """Return the tables of a folder in the format of TUDataset."""
    import pandas

    found = sorted(folder.glob("*_graph_indicator.txt")) or sorted(folder.glob("raw/*_graph_indicator.txt"))
    if len(found) != 1:
        raise DataError(
            f"{folder} holds no set of graphs in TU's format, of which one file is NAME_graph_indicator.txt."
        )
    prefix = found[0].name.removesuffix("graph_indicator.txt")

    def table(what: str, named: str, rows: int | None = None) -> pandas.DataFrame:
        path = found[0].with_name(f"{prefix}{what}.txt")
        if not path.is_file():
            return pandas.DataFrame(index=range(rows or 0))
        frame = open_table(path, header=False).read()
        if rows is not None and len(frame) != rows:
            raise DataError(f"{path} must have a row for each of {rows:,}, got {len(frame):,}.")
        several = len(frame.columns) > 1
        return frame.set_axis([f"{place} {named}" if several else named for place in range(len(frame.columns))], axis=1)

    graph = table("graph_indicator", GRAPH)
    ends = table("A", "end")
    if len(ends.columns) != 2:
        raise DataError(f"{found[0].with_name(f'{prefix}A.txt')} must have two columns, source and target.")
    count, many = len(graph), len(ends)
    nodes = [graph, table("node_labels", "node label", count), table("node_attributes", "attribute", count)]
    edges = [ends, table("edge_labels", "edge label", many), table("edge_attributes", "attribute", many)]
    graphs = pandas.DataFrame({GRAPH: sorted(set(ids_in(graph[GRAPH]).dropna()), key=int)})
    labels = table("graph_labels", "class")
    labels = labels if len(labels.columns) else table("graph_attributes", "target")
    if len(labels.columns) and len(labels) != len(graphs):
        raise DataError(f"{folder} has labels of {len(labels):,} graphs, but there are {len(graphs):,}.")
    node_table = pandas.concat(nodes, axis=1)
    node_table.insert(1, NODE, [str(place + 1) for place in range(count)])
    edge_table = pandas.concat(edges, axis=1).rename(columns={"0 end": SOURCE, "1 end": END})
    where = dict(zip(node_table[NODE], ids_in(graph[GRAPH]), strict=True))
    edge_table.insert(0, GRAPH, ids_in(edge_table[SOURCE]).map(where))
    return SetTables(pandas.concat([graphs, labels], axis=1), node_table, edge_table)


def _file_tables(
    files: Sequence[Path], graphs: pandas.DataFrame | None, path: Path | None, said: Overrule
) -> SetTables:
    """Return the tables of files of a graph each."""
    import pandas

    names = [file.stem for file in files]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"two files are called {twice!r}: their graphs could not be told apart.")
    found = [read_graph_file(file) for file in files]
    nodes, edges = [], []
    for file, name, each in zip(files, names, found, strict=True):
        if each.nodes is None:
            raise DataError(f"{file} tells of edges only; a graph of a set needs its nodes.")
        nodes.append(each.nodes.rename(columns={"id": NODE}).assign(**{GRAPH: name}))
        edges.append(each.edges.assign(**{GRAPH: name}))
    about = pandas.DataFrame([{GRAPH: name, **each.about} for name, each in zip(names, found, strict=True)])
    if graphs is not None:
        column = _key_column(graphs, set(names), said.of("id", graphs.columns), str(path))
        keyed = graphs.assign(**{column: ids_in(graphs[column]).str.removesuffix(files[0].suffix)})
        about = about[[GRAPH]].merge(keyed, left_on=GRAPH, right_on=column, how="left", suffixes=("", " "))
        about = about.drop(columns=[column] if column != GRAPH else [])
    directed = any(each.directed for each in found)
    return SetTables(about, pandas.concat(nodes, ignore_index=True), pandas.concat(edges, ignore_index=True), directed)


def _own_tables(
    graphs: pandas.DataFrame | None, nodes: pandas.DataFrame | None, edges: pandas.DataFrame, said: Overrule, path: Path
) -> SetTables:
    """Return the tables of a person's own ones, having found by which columns they know each other."""
    import pandas

    edge_graph = _graph_column(edges, said)
    source, end = end_columns([name for name in edges.columns if name != edge_graph], said, path)
    node_graph: str | None = GRAPH
    if nodes is None:
        if edge_graph is None:
            raise DataError(
                f"{path} has no column of graphs, and there are no nodes: name it in `columns` (--column X=graph)."
            )
        ends = pandas.concat([edges[[edge_graph, end_]].set_axis([GRAPH, NODE], axis=1) for end_ in (source, end)])
        nodes, node_id = ends.drop_duplicates(ignore_index=True), NODE
    else:
        node_graph = _graph_column(nodes, said)
        if node_graph is None:
            raise DataError("the table of nodes has no column of graphs: name it by `columns` (--column X=graph).")
        node_id = _node_column(nodes, node_graph, edges, source, end, edge_graph, said)
    nodes = nodes.rename(columns={node_graph: GRAPH, node_id: NODE})
    edges = edges.rename(columns={source: SOURCE, end: END})
    if edge_graph is None:
        where = dict(zip(ids_in(nodes[NODE]), ids_in(nodes[GRAPH]), strict=True))
        if len(where) < len(nodes):
            raise DataError("ids of nodes are those of several graphs, so edges need a column of graphs as well.")
        edges = edges.assign(**{GRAPH: ids_in(edges[SOURCE]).map(where)})
        other = ids_in(edges[END]).map(where)
        wrong = (edges[GRAPH] != other) & edges[GRAPH].notna() & other.notna()
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise DataError(f"{path}: row {row + 1:,} is an edge from one graph to another.")
    else:
        edges = edges.rename(columns={edge_graph: GRAPH})
    if graphs is None:
        graphs = pandas.DataFrame({GRAPH: ids_in(nodes[GRAPH]).drop_duplicates()})
    else:
        column = _key_column(graphs, set(ids_in(nodes[GRAPH])), said.of("id", graphs.columns), "the table of graphs")
        graphs = graphs.rename(columns={column: GRAPH})
    return SetTables(graphs, nodes, edges)


def _graph_column(frame: pandas.DataFrame, said: Overrule) -> str | None:
    """Return the column that says which graph a row is of."""
    named = said.of("graph", frame.columns)
    lowered = {str(column).lower(): str(column) for column in frame.columns}
    return named[0] if named else next((lowered[name] for name in GRAPH_NAMES if name in lowered), None)


def _key_column(frame: pandas.DataFrame, ids: set[str], named: Sequence[str], path: str) -> str:
    """Return the column of a table that holds ids, each once: the one that was named, or the one with most of them.

    Raises:
        DataError: where none holds half of them, or one stands twice.
    """
    shares = {}
    for column in named or frame.columns:
        words = ids_in(frame[column])
        stems = set(words) | set(words.str.replace(r"\.(json|graphml|gexf)$", "", regex=True))
        if named or not words.duplicated().any():
            shares[column] = len(ids & stems) / max(len(ids), 1)
    best = max(shares, key=lambda column: shares[column], default=None)
    if best is None or shares[best] < 0.5:
        raise DataError(f"{path}: no column holds the ids of the graphs, each once; name it (--id COLUMN).")
    if (words := ids_in(frame[best])).duplicated().any():
        raise DataError(f"{path}: the id {words[words.duplicated()].iloc[0]!r} stands twice in {best!r}.")
    return str(best)


def _node_column(
    nodes: pandas.DataFrame,
    graph: str,
    edges: pandas.DataFrame,
    source: str,
    end: str,
    edge_graph: str | None,
    said: Overrule,
) -> str:
    """Return the column of the ids of nodes: the one with most of the ends of the edges in it, each once in a graph."""
    named = said.of("id", nodes.columns)
    ends = set(ids_in(edges[source])) | set(ids_in(edges[end]))
    shares = {}
    for column in named or [name for name in nodes.columns if name != graph]:
        keyed = nodes[[graph, column]] if edge_graph is not None else nodes[[column]]
        if not keyed.duplicated().any():
            shares[column] = len(ends & set(ids_in(nodes[column]))) / max(len(ends), 1)
    best = max(shares, key=lambda column: shares[column], default=None)
    if best is None or shares[best] < 0.5:
        raise DataError("no column of the table of nodes holds the ids of the edges, each once; name it (--id COLUMN).")
    return str(best)


def _tables_set(
    tables: SetTables,
    said: Overrule,
    targets: Sequence[str],
    target_kind: str | None,
    undirected: bool,
    structure: Sequence[str] | None,
) -> ReadSet:
    """Return the set of three tables."""
    import pandas

    notes: list[str] = []
    # Step 1: number the graphs by their table, and the nodes within all of them by graph, then by row.
    graph_ids = pandas.Index(ids_in(tables.graphs[GRAPH]), dtype="object")
    of_node = graph_ids.get_indexer(ids_in(tables.nodes[GRAPH]).astype("object"))
    if (of_node < 0).any():
        lost = ids_in(tables.nodes[GRAPH]).iloc[int((of_node < 0).argmax())]
        many = int((of_node < 0).sum())
        raise DataError(f"{many:,} nodes are of graphs that the table of graphs lacks, such as {lost!r}.")
    order = np.argsort(of_node, kind="stable")
    nodes, of_node = tables.nodes.iloc[order].reset_index(drop=True), of_node[order]
    keys = pandas.MultiIndex.from_arrays([ids_in(nodes[GRAPH]).astype("object"), ids_in(nodes[NODE]).astype("object")])
    if keys.has_duplicates:
        graph, node = keys[keys.duplicated()][0]
        raise DataError(f"the node {node!r} stands twice in the graph {graph!r}.")
    # Step 2: number the ends of the edges.
    edge_graph = ids_in(tables.edges[GRAPH]).astype("object")
    ends = []
    for end in (SOURCE, END):
        ids = ids_in(tables.edges[end])
        place = keys.get_indexer(pandas.MultiIndex.from_arrays([edge_graph, ids.astype("object")]))
        if (place < 0).any():
            row = int((place < 0).argmax())
            raise DataError(f"row {row + 1:,} of the edges: no node of its graph is called {ids.iloc[row]!r}.")
        ends.append(place)
    # Step 3: what the three tables carry.
    target, y, split, findings = _graph_fields(tables.graphs, (GRAPH,), said, targets, target_kind)
    node_columns, told = feature_columns("nodes", nodes, (GRAPH, NODE), said)
    findings += told
    edge_columns, told = feature_columns("edges", tables.edges, (GRAPH, SOURCE, END), said)
    findings += told
    edge_index = np.stack(ends) if len(tables.edges) else np.empty((2, 0), dtype=np.int64)
    attributes = _encode(edge_columns, tables.edges)
    if undirected:
        edge_index, attributes = _both_ways(edge_index, attributes, len(nodes))
    place = np.argsort(of_node[edge_index[0]], kind="stable")
    edge_index = edge_index[:, place]
    attributes = None if attributes is None else attributes[place]
    x, names = _encode(node_columns, nodes), [name for column in node_columns for name in column.features]
    kinds = list(structure or []) if structure is not None or x is not None else ["degree"]
    if kinds:
        from scipy.sparse import csr_array

        entries = np.ones(edge_index.shape[1], dtype=np.float32)
        adjacency = csr_array((entries, tuple(edge_index)), shape=(len(nodes), len(nodes)))
        try:
            made, called = structure_features(adjacency, kinds)
        except ValueError as error:
            raise DataError(str(error)) from None
        x = made if x is None else np.concatenate([x, made], axis=1)
        names += called
        if structure is None:
            notes.append("no column of features: the degrees of the nodes take their place (--structure)")
    # Step 4: leave out graphs without a node, and put all together.
    counts = np.bincount(of_node, minlength=len(graph_ids))
    there = counts > 0
    if not there.all():
        notes.append(f"{int((~there).sum()):,} graphs have no node and are left out")
    edges = np.bincount(of_node[edge_index[0]], minlength=len(graph_ids))
    starts = np.concatenate([[0], counts.cumsum()])[:-1]
    data = Data(edge_index=torch.from_numpy(edge_index - starts[of_node[edge_index[0]]]))
    if x is not None:
        data.x = torch.from_numpy(x)
    if attributes is not None:
        data.edge_attr = torch.from_numpy(attributes)
    made_set = _finish_set(data, counts[there], edges[there], y, split, graph_ids[there], there)
    told_by = {
        "target": {} if target is None else target.as_dict(),
        "feature_columns": names,
        "columns": [column.as_dict() for column in node_columns],
        "edge_columns": [column.as_dict() for column in edge_columns],
    }
    return ReadSet(made_set, told_by, findings, notes)


def _molecule_set(
    listed: Sequence[Path],
    smiles: str,
    said: Overrule,
    targets: Sequence[str],
    target_kind: str | None,
    header: bool | None,
) -> ReadSet:
    """Return the set of the molecules in a table."""
    import pandas

    frame = pandas.concat([open_table(path, header=header).read() for path in listed], ignore_index=True)
    if smiles not in frame.columns:
        raise DataError(f"{listed[0]} has no column {smiles!r} (`smiles`); it has {', '.join(frame.columns)}.")
    data, nodes, edges, there = read_molecules(ids_in(frame[smiles]).fillna(""))
    if not there.any():
        raise DataError(f"{listed[0]}: no row of the column {smiles!r} is a molecule.")
    notes = []
    if not there.all():
        lost = np.flatnonzero(~there)
        rows = ", ".join(f"{row + 1:,}" for row in lost[:5]) + (", ..." if len(lost) > 5 else "")
        notes.append(f"{len(lost):,} rows hold no molecule and are left out (row {rows})")
    id_column = said.of("id", frame.columns)
    target, y, split, findings = _graph_fields(frame, (smiles, *id_column), said, targets, target_kind)
    findings.insert(0, Finding("graphs", smiles, "smiles", f"{int(there.sum()):,} molecules"))
    names = ids_in(frame[id_column[0] if id_column else smiles]).fillna("")
    made = _finish_set(data, nodes, edges, y, split, names[there], there)
    told = {"target": {} if target is None else target.as_dict(), "molecules": True}
    return ReadSet(made, told, findings, notes)


def _graph_fields(
    frame: pandas.DataFrame, others: Sequence[str], said: Overrule, targets: Sequence[str], kind: str | None
) -> tuple[Target | None, np.ndarray | None, dict[str, np.ndarray] | None, list[Finding]]:
    """Return what is predicted of the graphs, the masks of a split, and what is said of the columns."""
    for name in targets:
        if name not in frame.columns:
            raise DataError(
                f"the table of graphs has no column {name!r} (`target`); it has {', '.join(frame.columns)}."
            )
    named = said.of("target", frame.columns)
    lowered = {name.lower(): name for name in frame.columns if name not in (*others, *said.kinds)}
    named = named or [lowered[word] for word in TARGETS if word in lowered][:1]
    findings, target, y = [], None, None
    if named:
        target, y = fit_target(frame[named], kind)
        of = f"{len(target.class_names):,} classes" if target.kind == "classes" else target.kind
        findings = [Finding("graphs", name, "target", of) for name in named]
    split = split_column(frame, said, (*others, *named))
    masks = None
    if split:
        findings.append(Finding("graphs", split, "split", ""))
        words = words_in(frame[split]).str.lower().map(PARTS)
        masks = {mask: words.eq(mask).fillna(False).to_numpy(dtype=bool) for mask in dict.fromkeys(PARTS.values())}
    for name in frame.columns:
        if name not in (*others, *named, split):
            said.kind(name)
            findings.append(Finding("graphs", name, "ignore", "neither target nor split of a graph"))
    return target, y, masks, findings


def _finish_set(
    data: Data,
    nodes: np.ndarray,
    edges: np.ndarray,
    y: np.ndarray | None,
    masks: Mapping[str, np.ndarray] | None,
    names: Sequence[str],
    there: np.ndarray,
) -> GraphSet:
    """Return the set of the graphs that are there."""
    if y is not None:
        data.y = torch.from_numpy(y[there])
    counts = [torch.from_numpy(each.astype(np.int64)) for each in (nodes, edges)]
    kept = {mask: torch.from_numpy(values[there]) for mask, values in (masks or {}).items()}
    made = GraphSet(data, nodes=counts[0], edges=counts[1], masks=kept)
    made.graph_names = NodeNames.of(map(str, names))
    return made


def _encode(columns: Sequence[Column], frame: pandas.DataFrame) -> np.ndarray | None:
    parts = [column.encode(frame[column.name]) for column in columns]
    return np.concatenate(parts, axis=1) if parts else None


def _both_ways(
    edge_index: np.ndarray, attributes: np.ndarray | None, nodes: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return both directions of each edge, once; of an edge that is listed twice the first one's values."""
    source, target = edge_index
    both = np.stack([source * nodes + target, target * nodes + source], axis=1).ravel()
    _, first = np.unique(both, return_index=True)
    first.sort()
    pairs = both[first]
    kept = None if attributes is None else attributes[first // 2]
    return np.stack([pairs // nodes, pairs % nodes]), kept

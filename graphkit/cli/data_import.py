"""``graphkit data import``: own tables in, and what can be done with them next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphkit.cli.options import class_sizes, settings_of
from graphkit.cli.output import debuggable, echo, plural, preload, say, table

if TYPE_CHECKING:
    from graphkit.data import StoredGraph

FILE = click.Path(path_type=Path)
LARGE = 5_000_000
"""Edges from which nodes are trained in batches."""

LEAST = 3
"""Labelled items that a split needs, one for each part."""


class _FileOrCount(click.ParamType):
    """A file, or a whole number."""

    name = "FILE|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | int:
        """Return a number where it is one and no file is called so."""
        text = str(value)
        return int(text) if text.isdecimal() and not Path(text).exists() else Path(text)


@click.command("import")
@click.argument("edges", nargs=-1, type=FILE)
@click.option("--to", type=FILE, metavar="FOLDER", help="Where the graph is written; a new one.")
@click.option("--nodes", type=_FileOrCount(), help="A table with a row for each node; or how many nodes there are.")
@click.option("--graphs", type=FILE, metavar="TABLE", help="A set of graphs: a table with a row for each.")
@click.option("--smiles", metavar="COLUMN", help="A set of molecules: the column of EDGES with them (needs rdkit).")
@click.option(
    "--series",
    type=FILE,
    metavar="TABLE",
    help="Signals over time: a row for each moment, a column for each node of EDGES and perhaps one of times; or a row "
    "for each node at each moment.",
)
@click.option("--edges", "listed", type=FILE, multiple=True, hidden=True)
@click.option("--features", type=FILE, metavar="FILE", help="A row of numbers for each node; SciPy's .npz too.")
@click.option("--labels", type=FILE, metavar="FILE", help="A label for each node in their order; or ids and labels.")
@click.option("--split", type=FILE, metavar="FILE", help="A .npz of node ids under train, val and test, or a folder.")
@click.option("--id", "id_", metavar="COLUMN", help="Column of the ids.  [default: the one with the edges' ids]")
@click.option("--target", multiple=True, metavar="COLUMN", help="What is predicted; several are learnt together.")
@click.option("--target-kind", type=click.Choice(["classes", "numbers"]), help="What it is.  [default: by its values]")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=KIND",
    help="Overrule: from, to, weight, id, target, split, number, raw, category or ignore.",
)
@click.option("--ids", type=click.Choice(["number", "text"]), help="What ids are.  [default: by the first rows]")
@click.option("--header/--no-header", default=None, help="Whether the first row are names.  [default: by its words]")
@click.option(
    "--unknown-ids",
    type=click.Choice(["add", "refuse"]),
    default="add",
    show_default=True,
    help="Ids of edges that the table of nodes lacks.",
)
@click.option(
    "--structure",
    multiple=True,
    type=click.Choice(["degree", "one-hot", "random-walk", "laplacian", "none"]),
    help="Features made of the edges.  [default: degree where there are no others]",
)
@click.option("--undirected/--directed", default=None, help="Store both directions of each edge, once.")
@click.option("--relabel", is_flag=True, help="Number the ids that occur from 0 up.")
@click.option("--name", help="What it is called in records.  [default: the folder's name]")
@click.option("--dry-run", is_flag=True, help="Only show what each column is taken for.")
@debuggable
def import_(
    edges: tuple[Path, ...],
    to: Path | None,
    nodes: Path | int | None,
    graphs: Path | None,
    smiles: str | None,
    series: Path | None,
    listed: tuple[Path, ...],
    features: Path | None,
    labels: Path | None,
    split: Path | None,
    id_: str | None,
    target: tuple[str, ...],
    target_kind: str | None,
    columns: tuple[str, ...],
    ids: str | None,
    header: bool | None,
    unknown_ids: str,
    structure: tuple[str, ...],
    undirected: bool | None,
    relabel: bool,
    name: str | None,
    dry_run: bool,
) -> None:
    """Write the graph of EDGES, or a set of graphs, to a folder that every command takes in place of a name.

    EDGES are tables (.csv, .tsv, .txt, .edgelist, .edges, .parquet, .npy), which may be larger than memory, or one file
    of a graph (.graphml, .gexf, node-link .json, SciPy's .npz). What each column is taken for is shown; --column
    overrules it. An import that was stopped goes on when it is called again.

    A set of graphs are EDGES with --graphs or a column that is graph; a folder in TU's format; several files of a
    graph each; or a table with --smiles.
    """
    edges = (*edges, *listed)
    if to is None and not dry_run:
        raise click.UsageError("Missing option '--to'.")
    if not edges:
        raise click.UsageError("Missing argument 'EDGES...'.")
    kinds = {column: str(kind) for column, kind in settings_of(columns, option="--column").items()}
    kinds |= {id_: "id"} if id_ else {}
    if series is not None:
        given: dict[str, Any] = {
            "graphs": graphs,
            "smiles": smiles,
            "features": features,
            "labels": labels,
            "split": split,
        }
        given |= {"target": target, "target-kind": target_kind, "ids": ids, "structure": structure}
        given |= {"relabel": relabel, "dry-run": dry_run, "header": header is not None}
        _import_series(series, edges, to, nodes, kinds, given, undirected=bool(undirected), name=name)
        return
    choice: dict[str, Any] = {"columns": kinds, "target": target, "target_kind": target_kind, "header": header}
    structures = None if not structure else [each for each in structure if each != "none"]
    common: dict[str, Any] = {"undirected": undirected, "structure": structures, "name": name}
    several = [path for path in edges if path.suffix in (".json", ".graphml", ".gexf")]
    if graphs or smiles or "graph" in kinds.values() or edges[0].is_dir() or len(several) > 1:
        _refuse_for_sets(features=features, labels=labels, split=split, ids=ids, relabel=relabel)
        if isinstance(nodes, int):
            raise click.UsageError("`--nodes` of a set of graphs is a table.")
        choice |= {"graphs": graphs, "nodes": nodes, "smiles": smiles}
        _import_set(edges, to, choice, common, dry_run)
        return
    preload("graphkit.data.disk.graph_import")
    from graphkit.data import import_graph, plan_import

    choice["ids"] = ids
    if dry_run:
        plan = plan_import(edges, nodes=None if isinstance(nodes, int) else nodes, labels=labels, **choice)
        _show_findings(plan.findings)
        return
    assert to is not None
    made = import_graph(
        edges,
        to,
        nodes=nodes,
        features=features,
        labels=labels,
        split=split,
        relabel=relabel,
        unknown_ids=unknown_ids,  # type: ignore[arg-type]
        **common,
        **choice,
    )
    _show_findings(made.how["findings"])
    import_message(made)


def _import_set(
    edges: tuple[Path, ...], to: Path | None, choice: dict[str, Any], common: dict[str, Any], dry_run: bool
) -> None:
    """Write a set of graphs, or show what its columns are taken for."""
    preload("graphkit.data.disk.set_import")
    from graphkit.data import import_graph_set
    from graphkit.data.disk.set_import import read_graph_set

    if dry_run:
        del common["name"]
        _show_findings(read_graph_set(edges, **choice, **common).findings)
        return
    assert to is not None
    made = import_graph_set(edges, to, **choice, **common)
    _show_findings(made.how["findings"])
    import_message(made)


def _import_series(
    series: Path,
    edges: tuple[Path, ...],
    to: Path | None,
    nodes: Path | int | None,
    kinds: dict[str, str],
    given: dict[str, Any],
    **options: Any,
) -> None:
    """Write signals over time."""
    for option, value in given.items():
        if value:
            raise click.UsageError(f"`--{option}` is not of signals over time; it goes without `--series`.")
    if len(edges) != 1 or isinstance(nodes, int):
        raise click.UsageError("`--series` goes with one table of EDGES, and `--nodes` is a table of places.")
    preload("graphkit.data.disk.series_import")
    from graphkit.data import import_series

    assert to is not None
    made = import_series(series, edges[0], to, nodes=nodes, columns=kinds, **options)
    size = sum(each["bytes"] for each in made.files.values())
    shown = plural(made.features, "feature")
    echo(
        f"{made.name}: {made.signals:,} moments on {made.nodes:,} nodes, {made.edges:,} edges, {shown}, "
        f"{size / 1e6:,.1f} MB"
    )
    if gaps := made.how.get("gaps"):
        say(f"Note: {plural(gaps, 'moment')} of the calendar had no row; nothing was measured then.")
    say(f"Forecast it: graphkit forecast {shlex.quote(str(made.folder))}")


def _refuse_for_sets(**given: Any) -> None:
    """Refuse options that a set of graphs does not have."""
    for name, value in given.items():
        if value:
            raise click.UsageError(f"`--{name}` is of one graph, not of a set of graphs.")


def _show_findings(findings: Any) -> None:
    """Print what each column was taken for."""
    if len(findings):
        table(["table", "column", "taken for", "why"], findings)


def import_message(made: StoredGraph) -> None:
    """Print what a folder holds, and the command that goes on with it."""
    size = sum(each["bytes"] for each in made.files.values())
    many = f"{made.graphs:,} graphs, " if made.kind == "graph" else ""
    columns = len(made.target.get("columns", []))
    words = {"numbers": f"{plural(columns, 'number')} to predict", "binary": f"{plural(columns, 'task')} of 0 and 1"}
    labels = words.get(made.target.get("kind", ""), f"{made.classes} classes")
    echo(
        f"{made.name}: {many}{made.nodes:,} nodes, {made.edges:,} edges, {made.features:,} features, {labels}, "
        f"{size / 1e6:,.1f} MB"
    )
    for note in made.how.get("notes", []):
        say(f"Note: {note}.")
    if not made.undirected and made.how.get("directed", True) is None:
        say("Note: edges are kept in the direction in which they are listed; --undirected adds the other one.")
    folder = shlex.quote(str(made.folder))
    items = "graphs" if made.kind == "graph" else "nodes"
    labelled = sum(class_sizes(made.folder).values())
    if labelled >= LEAST:
        large = made.kind == "node" and made.edges > LARGE and "edge_weight.npy" not in made.files
        model = " --model gin" if items == "graphs" else " --model sage --sampled" if large else ""
        say(f"Train on it: graphkit train {folder}{model}")
        return
    lacks = f"only {labelled} of its {items} have a label" if labelled else f"its {items} have no labels (--target)"
    look = "spectrum" if items == "nodes" and made.undirected else "data card"
    links = f" Its links need none: graphkit train {folder} --task links." if items == "nodes" else ""
    say(f"To be trained on, it needs more: {lacks}.{links} Look at it: graphkit {look} {folder}")

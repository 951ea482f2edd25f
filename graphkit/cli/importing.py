"""``graphkit data import`` and ``synthesize``: a graph that stays on the disk, from edge lists or drawn."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from graphkit.cli.asked import class_sizes
from graphkit.cli.output import debuggable, echo, say
from graphkit.cli.preload import preload

if TYPE_CHECKING:
    from graphkit.data import StoredGraph

FILE = click.Path(path_type=Path)


@click.command("import")
@click.argument("edges", nargs=-1, required=True, type=FILE)
@click.option("--to", type=FILE, required=True, metavar="FOLDER", help="Where the graph is written; a new one.")
@click.option("--features", type=FILE, metavar="FILE", help="A row of numbers for each node.")
@click.option("--labels", type=FILE, metavar="FILE", help="An integer for each node, -1 where there is none.")
@click.option("--split", type=FILE, metavar="FILE", help="A .npz of node ids under train, val and test, or a folder.")
@click.option("--nodes", type=click.IntRange(1), help="How many there are, those without edges too.")
@click.option("--undirected", is_flag=True, help="Store both directions of each edge, once.")
@click.option("--relabel", is_flag=True, help="Number the ids that occur from 0 up.")
@click.option("--name", help="What it is called in records.  [default: the folder's name]")
@debuggable
def import_(
    edges: tuple[Path, ...],
    to: Path,
    features: Path | None,
    labels: Path | None,
    split: Path | None,
    nodes: int | None,
    undirected: bool,
    relabel: bool,
    name: str | None,
) -> None:
    """Write the graph of lists of EDGES (CSV, Parquet, NumPy) to a folder that `graphkit train` takes.

    Lists may be larger than memory. An import that was stopped goes on when it is called again.
    """
    preload("graphkit.data.disk.graph_import")
    from graphkit.data import import_graph

    made = import_graph(
        edges,
        to,
        features=features,
        labels=labels,
        split=split,
        nodes=nodes,
        undirected=undirected,
        relabel=relabel,
        name=name,
    )
    _told(made)


@click.command("synthesize")
@click.argument("folder", type=FILE)
@click.option("--nodes", type=click.IntRange(1), default=100_000, show_default=True, help="How many.")
@click.option("--degree", type=click.FloatRange(0), default=14.0, show_default=True, help="Mean number of neighbours.")
@click.option("--features", type=click.IntRange(1), default=128, show_default=True, help="Features of a node.")
@click.option("--classes", type=click.IntRange(2), default=40, show_default=True, help="Classes of the labels.")
@click.option("--exponent", type=float, default=2.7, show_default=True, help="Of the degrees' power law, above 2.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same graph again.")
@click.option("--ogb", is_flag=True, help="Write OGB's raw text files in place of a graph to train on.")
@debuggable
def synthesize_(
    folder: Path, nodes: int, degree: float, features: int, classes: int, exponent: float, seed: int, ogb: bool
) -> None:
    """Draw a synthetic graph into FOLDER: power-law degrees, labels that follow features and neighbours."""
    preload("graphkit.data.disk.synthetic")
    from graphkit.data import Synthetic, synthesize, synthesize_ogb

    how = Synthetic(nodes, round(nodes * degree / 2), features, classes, exponent=exponent, seed=seed)
    if ogb:
        synthesize_ogb(folder, how)
        say(f"Synthetic, {how.nodes:,} nodes, {how.edges:,} undirected edges in OGB's raw files: {folder}")
    else:
        _told(synthesize(folder, how, name=f"synthetic-{nodes}"))


def _split_for(sizes: Mapping[int, int]) -> str | None:
    """Return the option for a split that classes of these sizes allow, or nothing if none does."""
    from graphkit.data.splits import split_from_name

    left = sum(sizes.values()) - len(sizes)
    for text in ("random-per-class:20", "stratified", f"random-planetoid:1,{left // 4},{left - left // 4}"):
        with contextlib.suppress(ValueError):
            split_from_name(text).require(sizes)
            return f" --split {text}"
    return None


def _told(made: StoredGraph) -> None:
    size = sum(each["bytes"] for each in made.files.values())
    echo(
        f"{made.name}: {made.nodes:,} nodes, {made.edges:,} edges, {made.features:,} features, {made.classes} classes, "
        f"{size / 1e6:,.1f} MB"
    )
    if made.features and made.classes:
        split = "" if "train_mask.npy" in made.files else _split_for(class_sizes(made.folder))
        if split is None:
            say("To be trained on, it needs a split: its classes are too small to draw one; give `--split` a file.")
        else:
            say(f"Train on it: graphkit train {shlex.quote(str(made.folder))} --model sage --sampled{split}")
    else:
        missing = [f"--{what}" for what, count in (("features", made.features), ("labels", made.classes)) if not count]
        say(f"To be trained on, it needs features and labels: give {' and '.join(missing)} too.")

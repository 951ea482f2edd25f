"""``graphkit data``: what data sets there are, whether their files are right, own graphs in, and graphs in parts."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from graphkit.cli.options import SPLIT, DatasetArgument, class_sizes, rename_arguments, require_split
from graphkit.cli.output import debuggable, echo, preload, say, table

if TYPE_CHECKING:
    from graphkit.data import StoredGraph


@click.group()
@debuggable
def data() -> None:
    """List, describe, fetch and verify data sets."""


@data.command("list")
@debuggable
def list_() -> None:
    """List all data sets with their sizes."""
    from graphkit.data import card, names

    cards = [card(name) for name in names()]
    table(
        ["name", " nodes", " edges", " features", " classes", "checked by", "what"],
        [
            (
                c.name,
                *(f"{many:,}" if many else "?" for many in (c.nodes, c.edges)),
                f"{c.features:,}",
                str(c.classes),
                "counts only"
                if c.unchecked
                else {"files": "sha256", "content": "sha256"}.get(c.checked_by, c.checked_by),
                c.title,
            )
            for c in cards
        ],
    )


@data.command("card")
@click.argument("name")
@debuggable
def card_(name: str) -> None:
    """Show the card of a data set: source, licence, counts, checksums, splits, known faults."""
    from graphkit.data import card

    echo(card(name).text(min(100, shutil.get_terminal_size((100, 24)).columns)))


@data.command("fetch")
@click.argument("names", nargs=-1, required=True)
@debuggable
def fetch_(names: tuple[str, ...]) -> None:
    """Bring the files of data sets to this machine, and check them."""
    from graphkit.data import card

    for name in names:
        card(name)
    preload("graphkit.data.catalog.loading")
    from graphkit.data import fetch

    for name in names:
        echo(f"{name}: {fetch(name)}")
        if card(name).unchecked:
            say(f"{name}: {card(name).unchecked}")


@data.command("verify")
@click.argument("names", nargs=-1, required=True, metavar="NAME|FOLDER...")
@debuggable
def verify_(names: tuple[str, ...]) -> None:
    """Check every file of data sets against their cards, and read them anew.

    Of a FOLDER of `graphkit data import` or `graphkit data partition` every file is compared with what was written.
    """
    from graphkit.data import card

    sources = [DatasetArgument.parse_name(name) for name in names]
    known = [card(source) for source in sources if isinstance(source, str)]
    preload("graphkit.data.catalog.loading")
    from graphkit.data import verify

    unchecked = {each.name: each.unchecked for each in known}
    files = {path: digest for each in known for path, digest in each.files.items()}
    for name, source in zip(names, sources, strict=True):
        found = verify(source)
        echo(found.text())
        for path, digest in found.others.items():
            if files[path] is not None:
                say(f"{name}: {path} is not the card's file (sha256 {digest[:16]}); what it holds was checked instead")
        if unchecked.get(name):
            say(f"{name}: {unchecked[name]}")


@data.command("cache")
@click.option("--clear", is_flag=True, help="Remove all of it; it is made again when it is needed.")
@debuggable
def cache_(clear: bool) -> None:
    """Show what was read or solved once and is kept, or remove it.

    $GRAPHKIT_CACHE_LIMIT bounds it, such as 500MB or 20GB, by default 10GB; 0 keeps nothing, none has no bound. What
    was not used for longest goes first.
    """
    from graphkit.data.catalog import cache

    limit, found = cache.cache_limit(), cache.cache_entries()
    if clear:
        echo(f"{cache.prune(0) / 1e6:,.1f} MB removed from {cache.cache_folder()}")
        return
    if found:
        days = [time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.last_used)) for entry in found]
        names = [str(entry.path.relative_to(cache.cache_folder())) for entry in found]
        table(
            ["last used", " MB", "file"],
            [(day, f"{entry.bytes / 1e6:,.1f}", name) for day, entry, name in zip(days, found, names, strict=True)],
        )
    bound = "no bound" if limit == float("inf") else f"at most {limit / 1e6:,.1f} MB"
    echo(f"{sum(entry.bytes for entry in found) / 1e6:,.1f} MB, {bound}: {cache.cache_folder()}")


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
    _import_message(made)


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
        _import_message(synthesize(folder, how, name=f"synthetic-{nodes}"))


def _split_for(sizes: Mapping[int, int]) -> str | None:
    """Return the option for a split that classes of these sizes allow, or nothing if none does."""
    from graphkit.data.splits import split_from_name

    left = sum(sizes.values()) - len(sizes)
    for text in ("random-per-class:20", "stratified", f"random-planetoid:1,{left // 4},{left - left // 4}"):
        with contextlib.suppress(ValueError):
            split_from_name(text).require(sizes)
            return f" --split {text}"
    return None


def _import_message(made: StoredGraph) -> None:
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


@click.command("partition")
@click.argument("name")
@click.option("--parts", type=click.IntRange(1), required=True, help="How many; each process of a job holds one.")
@click.option(
    "--to", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="Where they are written; a new one."
)
@click.option(
    "--by",
    type=click.Choice(["metis", "random", "contiguous"]),
    help="How nodes are divided.  [default: metis where pymetis is installed, else random]",
)
@click.option("--undirected", is_flag=True, help="As for train: every edge in both directions, once.")
@click.option("--split", help=f"The parts carry it. {SPLIT}")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of METIS, or of chance.")
@debuggable
def partition_(name: str, parts: int, to: Path, by: str | None, undirected: bool, split: str | None, seed: int) -> None:
    """Cut a graph, by name or stored in a folder, for `torchrun ... train NAME --sampled --partitions FOLDER`."""
    from graphkit.data import card

    asked = DatasetArgument(name)
    if isinstance(asked.source, str) and card(name).kind in ("graph", "signal", "family"):
        raise click.UsageError(f"{name!r} is not one graph whose nodes are labelled; parts are of its nodes.")
    require_split(asked.source, split)
    preload("graphkit.data.catalog.loading", "graphkit.data.distributed.partitions")
    import graphkit.data
    from graphkit.data.distributed.partitions import partition

    data = graphkit.data.load(asked.source, split=split)
    data = graphkit.data.to_undirected(data) if undirected else data
    with rename_arguments({"folder": "to"}):
        written = partition(data, to, parts=parts, by=by, seed=seed)
    for part in range(parts):
        own, edges = (len(written.array(f"part-{part}/{of}", mapped=True)) for of in ("nodes", "sources"))
        echo(f"part {part}: {own:,} nodes, {edges:,} edges into them")
    say(f"{name} in {parts} parts: {to} [{written.fingerprint}]")


data.add_command(partition_)
data.add_command(import_)
data.add_command(synthesize_)

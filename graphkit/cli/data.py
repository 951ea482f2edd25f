"""``graphkit data``: what data sets there are, whether their files are right, own graphs in, and graphs in parts."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import click

from graphkit.cli.data_import import import_, import_message
from graphkit.cli.options import SPLIT, DatasetArgument, rename_arguments
from graphkit.cli.output import debuggable, describe, echo, preload, say, table


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
@click.argument("name", metavar="NAME|FOLDER")
@debuggable
def card_(name: str) -> None:
    """Show the card of a data set: source, licence, counts, checksums, splits, known faults.

    Of a FOLDER of `graphkit data import` it says what each column became.
    """
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
    from graphkit.data.catalog.cards import dataset_source

    sources = [dataset_source(name) for name in names]
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
        import_message(synthesize(folder, how, name=f"synthetic-{nodes}"))


@data.command("splits")
@debuggable
def splits_() -> None:
    """List the splits that --split takes, and what stands after the colon."""
    import dataclasses

    from graphkit.data.splits import PROTOCOLS
    from graphkit.data.splits.link_protocols import LINK_PROTOCOLS

    def form(name: str, protocol: type) -> str:
        fields = [field for field in dataclasses.fields(protocol) if field.default is not None]
        usual = [each.name.upper() if each.default is dataclasses.MISSING else each.default for each in fields]
        return f"{name}:{','.join(map(str, usual))}" if usual else name

    rows = []
    for of, known in (("labels", PROTOCOLS), ("links", LINK_PROTOCOLS)):
        for name, protocol in known.items():
            values = ", ".join(field.name for field in dataclasses.fields(protocol))
            rows.append((of, form(name, protocol), values, describe(protocol, {}, {})))
    table(["--task", "as --split", "values after the colon", "what it is"], rows)


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
    asked = DatasetArgument(name, family=True)
    if asked.card.kind != "node":
        raise click.UsageError(f"{name!r} is not one graph whose nodes are labelled; parts are of its nodes.")
    asked.require_split(split)
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

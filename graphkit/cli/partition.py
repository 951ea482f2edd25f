"""``graphkit data partition``: a graph cut into parts on the disk, one for each process of a job."""

from __future__ import annotations

from pathlib import Path

import click

from graphkit.cli.asked import Asked, require_split
from graphkit.cli.options import SPLIT, rename_arguments
from graphkit.cli.output import debuggable, echo, say
from graphkit.cli.preload import preload


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

    asked = Asked(name)
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

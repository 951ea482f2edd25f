"""``graphkit data``: what data sets there are, what is known of them, and whether the files are right."""

from __future__ import annotations

import shutil
import time

import click

from graphkit.cli.asked import Asked
from graphkit.cli.importing import import_, synthesize_
from graphkit.cli.output import debuggable, echo, say, table
from graphkit.cli.partition import partition_
from graphkit.cli.preload import preload


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

    sources = [Asked.named(name) for name in names]
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


data.add_command(partition_)
data.add_command(import_)
data.add_command(synthesize_)

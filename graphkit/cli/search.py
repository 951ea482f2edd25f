"""``graphkit search``: what is nearest to an item, in what ``graphkit embed`` saved and in what was added to it."""

from __future__ import annotations

from pathlib import Path

import click

from graphkit.cli.output import debuggable, preload, say, table
from graphkit.cli.trained import load_data


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--query", metavar="ID", help="The item that asks: its number, or its name in DATA of --of.")
@click.option("--of", metavar="DATA", help="Data in which the item that asks stands.  [default: the gallery]")
@click.option("--add", metavar="DATA", help="First add the items of DATA, a name or a folder, to the gallery.")
@click.option("--count", type=click.IntRange(1), default=10, show_default=True, help="How many answers.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "exact", "faiss", "ivf"]),
    default="auto",
    show_default=True,
    help="ivf may miss items, and says how many; faiss and ivf need FAISS.",
)
@debuggable
def search(run: Path, query: str | None, of: str | None, add: str | None, count: int, engine: str) -> int:
    """Print the items nearest to one, in the embeddings that `graphkit embed` left in RUN.

    Items that training never saw may ask (--of), or be added to those that answer (--add).
    """
    if query is None and add is None:
        raise click.UsageError("`--query` names the item that asks; `--add` adds items to the gallery.")
    if of is None and query is not None and not query.isdecimal():
        raise click.UsageError(f"`--query` must be the number of an item, got {query!r}.")
    preload("torch", "graphkit.training.embedding.saved")
    from graphkit.training.embedding.saved import SavedEmbeddings, latest, measure_recall
    from graphkit.training.embedding.saved import search as searched

    queries, row = None, 0 if query is None or not query.isdecimal() else int(query)
    if of is None and add is None:
        saved = SavedEmbeddings.read(latest(run))
    else:
        from graphkit.training.trained.data_facts import item_ids
        from graphkit.training.trained.runs import EncoderRun, load_run

        opened = load_run(run)
        if not isinstance(opened, EncoderRun):
            raise click.UsageError(f"{str(run)!r} is no run of `graphkit embed`.")
        seed = min(opened.models)
        if add is not None:
            added, _ = load_data(opened, add)
            saved = opened.add(added, add, seed=seed)
            say(f"{len(saved.z):,} items in the gallery of {run}, {add!r} among them.")
        else:
            saved = opened.gallery(seed=seed)
        if of is not None:
            given, _ = load_data(opened, of)
            queries = opened.models[seed].embed(given)
            names = list(map(str, item_ids(given, len(queries))))
            if query is not None and query in names:
                row = names.index(query)
            elif query is not None and not query.isdecimal():
                raise click.UsageError(f"`--query` must be an item of {of!r}, got {query!r}.")
    if query is None:
        return 0
    found = searched(saved, row, count, queries=queries, engine=engine)
    about = saved.about
    label = int(saved.y[row]) if queries is None else -1
    known = f"class {label}" if label >= 0 else "class unknown"
    say(f"{of or about.get('dataset', run)}, {about.get('loss', '?')}: {about.get('level', 'item')} {query}, {known}")
    rows = [
        (
            str(rank),
            str(each.item),
            str(each.label) if each.label >= 0 else "",
            "same" if each.label == label >= 0 else "",
            f"{each.distance:.4f}",
            *([saved.place(each.item)] if saved.place(each.item) else []),
        )
        for rank, each in enumerate(found, start=1)
    ]
    if engine == "ivf":
        share, asked = measure_recall(saved, min(count, len(saved.z)), engine)
        say(f"recall@{count}: {100 * share:.1f} % of the exact answers to {asked:,} items of the gallery")
    table([" rank", " item", " class", "as the query", " distance", *(["graph"] if saved.place(0) else [])], rows)
    return 0

"""``graphkit embed``: embeddings, figures, pictures, a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from graphkit._checks import member
from graphkit.cli.options import (
    SEED,
    SPLIT,
    DatasetArgument,
    StudyOptions,
    report,
    require_random_split,
    step_edges,
    step_graphs,
    study_options,
)
from graphkit.cli.output import begin, debuggable, describe, echo, fields, plural, preload, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from graphkit.training.embedding import EmbeddingOutcome, EmbeddingRecord

SHOWN = {
    "map@r (all)": "MAP@R all",
    "map@r (test)": "MAP@R test",
    "map@r (within)": "MAP@R within",
    "map@r (across)": "MAP@R across",
    "r-precision (all)": "R-prec all",
    "r-precision (test)": "R-prec test",
    "hit@1 (all)": "hit@1 all",
    "hit@1 (test)": "hit@1 test",
    "overlap (test)": "overlap",
    "knn (test)": "kNN",
    "probe (test)": "probe",
    "tuned probe (test)": "tuned probe",
    "ami (all)": "AMI",
}
"""Figures of the table: all items ask, or the test items do, of several graphs also their own one or the others alone;
the vote and the probes learn from training labels, and validation labels select the tuned one."""


@click.command()
@click.argument("dataset", default="digits")
@click.option(
    "--loss", metavar="NAME", help="What the encoder is trained for; --list-losses names them.  [default: prototype]"
)
@click.option("--list-losses", is_flag=True, help="Name the losses and what each is.")
@click.option(
    "--model", metavar="NAME", help="Encoder: any recipe of `graphkit train`, or grand.  [default: the loss's]"
)
@click.option("--level", type=click.Choice(["node", "graph"]), help="What is embedded.  [default: the data set's]")
@click.option("--dim", type=int, help="Width of the embedding.  [default: the recipe's]")
@click.option("--split", help=SPLIT)
@click.option("--split-seed", type=SEED, help="Draws a random split.  [default: 0]")
@click.option(
    "--split-per-seed", is_flag=True, help="Each seed draws its split, or takes the file or fold of its number."
)
@click.option("--undirected", is_flag=True, help="Every edge in both directions, once; records name it.")
@click.option(
    "--select",
    type=click.Choice(["map", "hit@1", "both", "last"]),
    help="Validation figure that selects the epoch: MAP@R, nearest item right, or their mean; last: the last epoch.  "
    "[default: the recipe's]",
)
@click.option(
    "--join",
    type=click.Choice(["none", "map", "hit@1", "both"]),
    help="Validation figure that selects how much rows of a view and ridge regression count beside what is trained.  "
    "[default: both; of losses without labels none]",
)
@click.option("--epochs", type=int, help="At most so many.  [default: the recipe's]")
@click.option("--lr", type=float, help="Learning rate.  [default: the recipe's]")
@click.option(
    "--beside", multiple=True, metavar="NAME", help="Also examine the logits of this classifier, or another loss."
)
@click.option(
    "--held-out", metavar="GRAPH", help="Of a family: no label of this graph is trained on; it alone is tested on."
)
@click.option("--inductive", is_flag=True, help="Training sees neither the test items nor their edges.")
@click.option("--disjoint", type=click.IntRange(0), default=0, help="Train without so many classes; examine only them.")
@click.option("--without-neighbours", is_flag=True, help="Nodes joined by an edge do not answer each other.")
@click.option("--probes/--no-probes", default=True, help="Fit the linear probe and k-means.", show_default=True)
@click.option(
    "--pictures/--no-pictures", default=True, help="Draw three pictures into the folder of the run.", show_default=True
)
@study_options(runs="DATASET-LOSS", seeds="1")
@debuggable
def embed(
    dataset: str,
    loss: str | None,
    list_losses: bool,
    model: str | None,
    level: str | None,
    dim: int | None,
    split: str | None,
    split_seed: int | None,
    split_per_seed: bool,
    undirected: bool,
    select: str | None,
    join: str | None,
    epochs: int | None,
    lr: float | None,
    beside: tuple[str, ...],
    held_out: str | None,
    inductive: bool,
    disjoint: int,
    without_neighbours: bool,
    probes: bool,
    pictures: bool,
    options: StudyOptions,
) -> int:
    """Embed the nodes or graphs of DATASET, a name or a folder, with a metric loss, and print how retrieval fares.

    The graphs of a family, such as citation-domains, are embedded together: nodes of all are compared with each other.

    Weights are those of the epoch of the best validation figure. Beside what is trained stand rows of a view, such as
    averaged features, and ridge regression (of graphs counts of colours, and a forest), by the shares that validation
    items select. Raw features, the best view, what is solved for and the encoder as it was drawn stand beside every
    figure. The folder holds embeddings (safetensors), weights, the record and the pictures of the first seed; `graphkit
    search` answers from it.
    """
    preload("graphkit.training.embedding.embedding_recipes")
    if list_losses:
        return _list_losses()
    from graphkit.data import card
    from graphkit.data.catalog.cards import short_name
    from graphkit.training.embedding.embedding_recipes import EMBEDDINGS, embedding_recipe
    from graphkit.training.engine.run_folder import RunFolder
    from graphkit.training.zoo.recipes import RECIPES, recipe

    asked = DatasetArgument(dataset, family=True)
    asked.require_labels()
    known = asked.card
    kind = card(known.members[0]).kind if known.members else known.kind
    if held_out is not None:
        if not known.members:
            raise click.UsageError(f"`--held-out` names a graph of a family; {dataset!r} is none.")
        member("held_out", held_out, [short_name(each, dataset) for each in known.members])
    if kind not in ("node", "graph"):
        raise click.UsageError(f"{dataset!r} has labels of {kind}s; what is embedded are nodes or graphs.")
    if level is not None and level != kind:
        raise click.UsageError(f"`--level` {level}: {dataset!r} has labels of {kind}s.")
    if split_seed is not None and split_per_seed:
        raise click.UsageError("`--split-seed` draws one split; `--split-per-seed` draws one for each seed.")
    if kind == "graph" and undirected:
        raise click.UsageError("`--undirected` is of one graph's edges; those of a set stay as they are.")
    if kind == "graph" and inductive:
        raise click.UsageError("`--inductive` is of nodes that see each other; graphs of a set do not.")
    overrides = options.overrides(epochs=epochs, lr=lr, dim=dim, select=select, join=join)
    loss = loss or str(overrides.pop("loss", "prototype"))
    chosen = embedding_recipe(loss, overrides, model=model or overrides.pop("model", None), level=kind)
    listed = "`graphkit train` names the classifiers, `--loss` the losses."
    for name in beside:
        member("beside", name, [*RECIPES, *EMBEDDINGS], listed)
    others = [embedding_recipe(name) if name in EMBEDDINGS else recipe(name) for name in beside]
    run = options.run_dir or RunFolder("-".join([asked.name, loss, *([held_out] if held_out else [])]))
    options.require_places(run)
    asked.require_split(split)

    preload("torch_geometric.data", "lightning_fabric", "sklearn.cluster", "graphkit.nn", "graphkit.training.embedding")
    import graphkit.data
    from graphkit.cli.embed import all_pictures, scatter
    from graphkit.training.embedding import embed as embedded
    from graphkit.training.engine.distributed import World

    many, splits = options.several(1), None
    begin(f"loading {asked.name}")
    if split_per_seed:
        data, splits = graphkit.data.load_splits(asked.source, split=split, seeds=many)
    else:
        data = graphkit.data.load(asked.source, split=split, seed=split_seed or 0)
        require_random_split(data, split_seed)
    if undirected and isinstance(data, Mapping):
        data = {name: graphkit.data.to_undirected(each) for name, each in data.items()}
    elif undirected:
        data = graphkit.data.to_undirected(data)
    options.use_threads(step_edges(data, step_graphs(chosen)))
    with options.reporter(epochs=chosen.epochs) as reporter:
        outcome = embedded(
            data,
            chosen,
            seeds=many,
            splits=splits,
            beside=others,
            held_out=held_out,
            inductive=inductive,
            disjoint=disjoint,
            without_neighbours=without_neighbours,
            probes=probes,
            device=options.device,
            precision=options.precision,
            run_dir=run,
            resume=options.resume,
            reporter=reporter,
            command=options.command,
        )
    if World.from_env().rank:
        return 0  # of several processes the first one writes and prints
    begin("writing what was found")
    from graphkit.training.trained.data_facts import DataNames

    class_names = DataNames.of(data).classes or None
    return report(
        outcome,
        options,
        record=outcome.record,
        show=lambda: _show(outcome.record),
        draw=lambda: scatter(outcome, class_names),
        pictures=(outcome.run_dir, lambda: all_pictures(outcome, class_names))
        if pictures and outcome.run_dir
        else None,
        left=f"Embeddings, weights{', record and pictures' if pictures else ' and record'}: {outcome.run_dir}",
    )


def _list_losses() -> int:
    """Print the name of each loss, whether it takes labels, and the first line of what it is."""
    from graphkit.training.embedding.embedding_recipes import EMBEDDINGS

    rows = [
        (name, "with" if made.objective.labelled else "without", describe(made.objective, {}, {}))
        for name, made in EMBEDDINGS.items()
    ]
    table(["name", "labels", "what it is"], rows)
    return 0


def _show(record: EmbeddingRecord) -> None:
    """Print what was measured, then a row for the embedding and for everything beside it."""
    kept = record.record
    data, protocol, seeds, machine = kept.dataset, kept.protocol, kept.seeds, kept.environment
    made = f" ({protocol.edges})" if protocol.edges != "as given" else ""
    edges = f"{data.edges:,} edges{made}"
    sizes = f"{protocol.train:,} to train on, {protocol.validation:,} to select by, {protocol.test:,} to test on"
    fields(
        [
            ("data set", f"{data.name}, {plural(data.nodes, 'node')}, {edges}, {data.classes} classes"),
            ("split", "; ".join(filter(None, (f"{protocol.split}: {sizes}", protocol.rule, protocol.setting)))),
            ("selection", f"{kept.selection}: {_per_cent(kept.validation)} %"),
            ("training", _telemetry(record.telemetry)),
            ("similarity", _joint_rows(record)),
            ("seeds", str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"),
            ("seconds", f"{kept.seconds:.1f} ({machine['device']}, {plural(machine['threads'], 'thread')})"),
            ("protocol", f"{protocol.fingerprint}: cosine; figures in per cent"),
        ]
    )
    echo()
    shown = {key: heading for key, heading in SHOWN.items() if all(key in each for each in record.figures.values())}
    rows = [[what, *(_per_cent(figures[key]) for key in shown)] for what, figures in record.figures.items()]
    table(["", *(f" {heading}" for heading in shown.values())], rows)
    first = "map@r (within "
    inside = [key for key in next(iter(record.figures.values())) if key.startswith(first)]
    if len(inside) > 1:
        echo()
        rows = [[what, *(_per_cent(figures[key]) for key in inside)] for what, figures in record.figures.items()]
        table(["MAP@R within", *(f" {key.removeprefix(first)[:-1]}" for key in inside)], rows)


WATCHED = {
    "active": ("tuples active", True),
    "collapsed": ("pairs collapsed", True),
    "overlapping": ("classes overlapping", True),
    "positives": ("distance within classes", False),
    "negatives": ("between", False),
    "effective_rank": ("effective rank", False),
}
"""What is said of training, and whether in per cent."""


def _telemetry(watched: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how the training items lay after the first epoch and after the selected one."""
    first, selected = watched["first"], watched["selected"]
    said = []
    for name, (what, share) in WATCHED.items():
        if name in first and name in selected:
            values = [100 * each[name].mean if share else each[name].mean for each in (first, selected)]
            unit, digits = (" %", 1) if share else ("", 2)
            said.append(f"{what} {values[0]:.{digits}f} -> {values[1]:.{digits}f}{unit}")
    return f"{', '.join(said)} (first -> selected epoch)" if said else "no pair to watch"


def _joint_rows(record: EmbeddingRecord) -> str:
    """Return what makes up the similarity, each part with its share over the seeds."""
    shares: dict[str, list[float]] = {}
    for each in record.views:
        rest = {name: share for name, share in each.items() if name not in ("view", "share")}
        parts = {"trained": 1 - each["share"] - sum(rest.values()), **rest, each["view"]: each["share"]}
        for name, share in parts.items():
            shares.setdefault(name, []).append(100 * share)
    said = [
        f"{name} {min(found):.0f}{f' to {max(found):.0f}' if max(found) > min(found) else ''} %"
        for name, found in shares.items()
        if max(found) > 0
    ]
    return ", ".join(said)


def _per_cent(metric: Any) -> str:
    """Return mean and deviation in per cent."""
    spread = "" if metric.std is None else f" ± {100 * metric.std:.1f}"
    return f"{100 * metric.mean:.1f}{spread}"


ASKING, ANSWERS, MOST = 8, 10, 20
"""Rows and columns of the gallery, and its rows at the most, where there are many classes."""


def all_pictures(outcome: EmbeddingOutcome, names: Sequence[str] | None = None) -> dict[str, Figure]:
    """Return file name -> picture, of the first seed: scatter before and after, distances of pairs, nearest items.

    Of one class alone there are no pairs of two, and no picture of their distances.
    """
    import numpy as np
    import torch

    from graphkit.metric.nearest import nearest_items
    from graphkit.viz import neighbour_gallery, pair_distances

    record = outcome.record.record
    y, words = outcome.y, _words(outcome)
    queries = _one_of_each(outcome)
    nearest = nearest_items(
        outcome.embeddings[0], ANSWERS, queries=torch.from_numpy(queries), gallery=y >= 0, exclude=outcome.exclude
    ).items.numpy()
    every, shown = (len(np.unique(labels[labels >= 0])) for labels in (y.numpy(), y.numpy()[queries]))
    asks = words["note"] if shown == every else f"{words['note']}\n{shown} of {every} classes have a row"
    images = _images(record.dataset.name, outcome.raw.numpy())
    drawn = {
        "scatter.png": scatter(outcome, names),
        "neighbours.png": neighbour_gallery(
            queries, nearest, y.numpy(), images=images, names=names, title=words["title"], note=asks
        ),
    }
    if len(y[y >= 0].unique()) > 1:
        drawn["distances.png"] = pair_distances(_spaces(outcome), y.numpy(), **words)
    return drawn


def scatter(outcome: EmbeddingOutcome, names: Sequence[str] | None = None) -> Figure:
    """Return the items of the first seed in two dimensions, before and after training."""
    from graphkit.viz import embedding_scatter

    return embedding_scatter(_spaces(outcome), outcome.y.numpy(), names=names, **_words(outcome))


def _spaces(outcome: EmbeddingOutcome) -> dict[str, Any]:
    """Return the rows before and after training."""
    z = outcome.embeddings[0]
    return {"before: raw features": outcome.raw.numpy(), f"after: {z.shape[1]} dimensions": z.numpy()}


def _words(outcome: EmbeddingOutcome) -> dict[str, Any]:
    """Return title and note of the pictures."""
    record, figures = outcome.record.record, outcome.seeds[0].figures
    loss, protocol = record.config["loss"], record.protocol
    after, before = (100 * figures[what]["map@r (test)"] for what in (loss, "raw features"))
    note = (
        f"MAP@R of test items {after:.1f} % (raw features {before:.1f} %), seed {outcome.seeds[0].seed}\n"
        f"split {protocol.split}; {protocol.setting}; protocol {protocol.fingerprint}"
    )
    width = outcome.embeddings[0].shape[1]
    return {"title": f"{record.dataset.name} in {width} dimensions, {loss} loss", "note": note}


def _one_of_each(outcome: EmbeddingOutcome) -> Any:
    """Return the middle test item of each class, or several of each where there are few classes.

    Of very many classes so many evenly spaced ones stand for all.
    """
    import numpy as np

    y = outcome.y.numpy()
    test = outcome.test.numpy()
    by_class = [np.flatnonzero((y == label) & test) for label in np.unique(y[y >= 0])]
    by_class = [members for members in by_class if len(members)]
    each = max(1, ASKING // len(by_class))
    chosen = np.linspace(0, len(by_class) - 1, min(MOST, len(by_class))).astype(int)
    return np.concatenate([by_class[number][len(by_class[number]) // 2 :][:each] for number in chosen])


def _images(name: str, raw: Any) -> Any:
    """Return the items as pictures, where they are some."""
    return raw.reshape(-1, 8, 8) if name == "digits" else None

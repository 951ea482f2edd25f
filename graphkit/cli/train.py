"""``graphkit train``: one recipe on one data set, over several seeds, to one table and one record."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphkit.cli.links import LINK_SPLIT
from graphkit.cli.options import (
    FOLDER,
    SEED,
    SPLITS,
    DatasetArgument,
    StudyOptions,
    report,
    require_random_split,
    step_edges,
    step_graphs,
    study_options,
)
from graphkit.cli.output import begin, debuggable, describe, echo, fields, plural, preload, say, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from graphkit.training import Outcome, Record


RIVALS = {
    "structure-free": lambda card, protocol: protocol,
    "wl-forest": lambda card, protocol: True,
    "fingerprint-forest": lambda card, protocol: card.molecules and find_spec("rdkit") is not None,
    "descriptor-gp": lambda card, protocol: card.molecules and card.metric == "rmse" and find_spec("rdkit") is not None,
}
"""What stands beside a model of whole graphs unless asked otherwise, and of which sets: no structure, no gradient."""

LINK_RIVALS = ("resource-allocation", "pagerank", "averaged-cosine")
"""What stands beside a model of links unless asked otherwise: rules for which nothing is learnt."""

UNASKED_NODES = 50_000
"""Nodes up to which PageRank stands beside a model of links where nobody asked for it: of more it takes minutes."""

METRIC = click.option(
    "--metric",
    type=click.Choice(
        ["accuracy", "roc_auc", "ap", "f1", "rmse", "mae", "r2", *(f"hits@{k}" for k in (1, 3, 10, 20, 50, 100)), "mrr"]
    ),
    help="Selected by and reported.  [default: the card's, or accuracy, roc_auc or rmse, as the labels are; hits@100 "
    "of links]",
)
TASK = click.option(
    "--task",
    type=click.Choice(["labels", "links"]),
    help="What is predicted of DATASET.  [default: links of a set of links, else labels]",
)


@click.command()
@click.argument("dataset", default="digits")
@click.option("--model", metavar="NAME", help="Recipe; --list-models names them.  [default: gcn, or auto in a folder]")
@click.option("--list-models", is_flag=True, help="Name the recipes and what each is.")
@TASK
@click.option(
    "--hard",
    type=click.IntRange(2),
    metavar="N",
    help="With --task links: rank each among N pairs that rules rank high.  [default: all among drawn pairs]",
)
@click.option("--split", help=f"{SPLITS} Of links: {LINK_SPLIT}.  [default: the card's]")
@click.option("--split-seed", type=SEED, help="Draws a random split.  [default: 0]")
@click.option(
    "--split-per-seed", is_flag=True, help="Each seed draws its split, or takes the file or fold of its number."
)
@click.option("--undirected", is_flag=True, help="Every edge in both directions, once; records name it.")
@click.option("--protocol", type=click.Choice(["nested-10-fold"]), help="Of a set of graphs: choose anew in each fold.")
@click.option(
    "--beside",
    metavar="NAME",
    multiple=True,
    help="Measured in the same way, repeatable; or none.  [default: of up to 10,000 graphs what takes no gradient]",
)
@METRIC
@click.option("--epochs", type=int, help="At most so many.  [default: the recipe's]")
@click.option("--lr", type=float, help="Learning rate.  [default: the recipe's]")
@click.option("--sampled", is_flag=True, help="Nodes or links in batches, neighbours drawn around each.")
@click.option("--fan-out", metavar="N,N", help="As --sampled, and how many neighbours in each hop.  [default: 10 each]")
@click.option("--batch-size", type=click.IntRange(0), help="Items of a step; 0 all.  [default: the recipe's, or 512]")
@click.option("--workers", type=click.IntRange(0), default=0, help="Processes that draw ahead.  [default: none]")
@click.option(
    "--partitions",
    type=FOLDER,
    metavar="FOLDER",
    help="With --sampled: each process of the job holds one part of the graph, of `graphkit data partition`.",
)
@click.option("--keep-around", is_flag=True, help="With --partitions: keep the features of nodes around the part too.")
@study_options(runs="DATASET-MODEL", seeds="5")
@debuggable
def train(
    dataset: str,
    model: str | None,
    list_models: bool,
    task: str | None,
    hard: int | None,
    split: str | None,
    split_seed: int | None,
    split_per_seed: bool,
    undirected: bool,
    protocol: str | None,
    beside: tuple[str, ...],
    metric: str | None,
    epochs: int | None,
    lr: float | None,
    sampled: bool,
    fan_out: str | None,
    batch_size: int | None,
    workers: int,
    partitions: Path | None,
    keep_around: bool,
    options: StudyOptions,
) -> int:
    """Train on DATASET, a name or the folder of a stored graph, and print the test figure with its protocol.

    The weights tested are those of the best epoch on validation nodes. A recipe's fields are overridden by --config,
    then --set, then --epochs and --lr. Ctrl-C leaves a checkpoint for --resume.
    """
    preload("graphkit.training.zoo.recipes")
    if list_models:
        return _list_models()
    from graphkit.training.engine.run_folder import RunFolder
    from graphkit.training.zoo.closed_form import UNASKED
    from graphkit.training.zoo.portfolio import AUTO, Portfolio, portfolio
    from graphkit.training.zoo.recipes import LINK_RECIPES, recipe

    asked = DatasetArgument(dataset, links=True, task=task, family=task == "links")
    items = asked.items
    if items != "links":
        asked.require_labels()
    overrides = options.overrides(epochs=epochs, lr=lr, fan_out=fan_out, batch=batch_size)
    usual = "gcn" if isinstance(asked.source, str) else AUTO
    written = str(overrides.pop("model", "pair-logistic" if items == "links" else usual))
    name = model or written
    auto = name == AUTO
    if items != "links" and name in LINK_RECIPES:
        raise click.UsageError(f"{name!r} is a model of links: it goes with `--task links`.")
    if hard is not None and items != "links":
        raise click.UsageError("`--hard` is of links: it goes with `--task links`.")
    if items == "links" and (auto or partitions is not None):
        raise click.UsageError("`--task links` trains one model on a whole graph: it goes without these.")
    if sampled:
        hops = overrides.get("layers", 2 if auto else getattr(recipe(name, items=items).model, "layers", 2))
        overrides = {"fan_out": ",".join(["10"] * int(hops)), "batch": 512} | overrides
    elif items == "nodes" and not overrides.get("fan_out") and (workers or batch_size):
        raise click.UsageError("`--batch-size` and `--workers` go with `--sampled`: else all nodes are in one step.")
    elif items == "links" and not overrides.get("fan_out") and workers:
        raise click.UsageError("`--workers` goes with `--sampled`: else no neighbours are drawn.")
    if auto and (protocol or split_per_seed or partitions is not None):
        raise click.UsageError(
            "`--model auto` chooses by the validation items of one split of a whole graph: name a model with "
            "`--protocol`, `--split-per-seed` or `--partitions`."
        )
    chosen = portfolio(overrides, items=items) if auto else recipe(name, overrides, items=items)
    if partitions is not None and (not sampled or workers or split or split_per_seed or undirected):
        raise click.UsageError(
            "`--partitions` goes with `--sampled`, and without `--workers`, splits and `--undirected`: the parts carry "
            "theirs."
        )
    if items not in ("nodes", "links") and workers:
        raise click.UsageError(f"`--workers` draw neighbours of nodes; {items} have none to be drawn.")
    if beside and (auto or partitions is not None):
        raise click.UsageError("`--beside` stands beside one model of a whole graph or set: it goes without these.")
    if protocol is not None:
        if items != "graphs" or split or split_per_seed or split_seed is not None:
            raise click.UsageError("`--protocol` is of a set of graphs, and draws its splits itself.")
        if options.seeds is not None or options.picture is not None:
            raise click.UsageError(
                "`--protocol` takes one seed, `--seed`, from which all its trainings are drawn, and draws no picture."
            )
    if protocol and metric:
        raise click.UsageError("`--protocol` measures accuracy; `--metric` goes without it.")
    if split_seed is not None and (split_per_seed or partitions is not None):
        raise click.UsageError("`--split-seed` draws one split; there is none to draw with what else is asked for.")
    if "none" in beside and len(beside) > 1:
        raise click.UsageError("`--beside none` stands alone.")
    rivals = [each for each, of in RIVALS.items() if of(asked.card, bool(protocol))] if items == "graphs" else []
    rivals = [*LINK_RIVALS] if items == "links" else [] if auto else rivals
    named = () if "none" in beside else beside or [each for each in rivals if each != name]
    others = [recipe(other, items=items) for other in named]
    if keep_around and partitions is None:
        raise click.UsageError("`--keep-around` goes with `--partitions`.")
    run = options.run_dir or RunFolder("-".join(filter(None, (asked.name, name, protocol))))
    options.require_places(run)
    if items == "links":
        from graphkit.cli.links import load_link_data, require_link_split

        require_link_split(split)
    else:
        asked.require_split(split)

    preload(
        "torch_geometric.data",
        "lightning_fabric",
        "graphkit.data.catalog.loading",
        "graphkit.nn",
        "graphkit.training.classification.run_training",
    )
    import graphkit.data
    import graphkit.training
    from graphkit.training.classification.tasks import selection_metric
    from graphkit.training.engine.distributed import World

    many = options.several(5)
    splits: Any = None
    data: Any
    begin(f"loading {asked.name}")
    if partitions is not None:
        data = graphkit.data.Partitions(partitions, keep_halo=keep_around)
        data.require_name(asked.card.name)
    elif items == "links":
        drawn = many if split_per_seed else [split_seed or 0]
        data, splits = load_link_data(asked, split, drawn, hard, each=split_per_seed, undirected=undirected)
    elif split_per_seed:
        data, splits = graphkit.data.load_splits(asked.source, split=split, seeds=many)
    else:
        data = graphkit.data.load(asked.source, split=split, seed=split_seed or 0)
        require_random_split(data, split_seed)
    if undirected and items != "links":
        data = graphkit.data.to_undirected(data)
    if items == "links" and not beside:
        others = [other for other in others if other.name != "averaged-cosine" or data.get("x") is not None]
        others = [other for other in others if other.name != "pagerank" or data.num_nodes <= UNASKED_NODES]
    if items == "graphs" and others and not beside and len(data) > UNASKED:
        others = []
        say(f"Of {len(data):,} graphs a forest takes minutes: `--beside {named[-1]}` measures it.")
    options.use_threads(step_edges(data, step_graphs(chosen)))
    first = World.from_env().rank == 0
    common: dict[str, Any] = {
        "device": options.device,
        "precision": options.precision,
        "run_dir": run,
        "resume": options.resume,
        "command": options.command,
    }
    if protocol is not None:
        assert not isinstance(chosen, Portfolio)  # refused above
        given = {field: value for field, value in chosen.as_dict().items() if field in overrides}
        with options.reporter(each=False) as reporter:
            outcome = graphkit.training.nested_cross_validation(
                data, chosen, given=given, beside=others, seed=options.seed, reporter=reporter, **common
            )
    else:
        per_cent = items == "links" or selection_metric(data, metric).unit == "fraction"
        with options.reporter(epochs=chosen.epochs, per_cent=per_cent) as reporter:
            outcome = graphkit.training.train(
                data,
                chosen,
                seeds=many,
                splits=splits,
                beside=others,
                metric=metric,
                workers=workers,
                reporter=reporter,
                **common,
            )
    if not first:
        return 0  # of several processes the first one writes and prints
    for warning in outcome.warnings:
        say(f"Warning: {warning}")
    return report(
        outcome,
        options,
        record=outcome.record,
        show=lambda: show_record(outcome.record),
        draw=lambda: draw_curves(outcome, outcome.record.config["model"]),
        left=f"Record, models and state: {outcome.run_dir}",
    )


def _list_models() -> int:
    """Print the name of each recipe and the first line of what it is made of."""
    from graphkit.training.zoo.portfolio import AUTO
    from graphkit.training.zoo.recipes import GRAPH_RECIPES, LINK_RECIPES, RECIPES, SIGNAL_RECIPES

    rows = [
        (name, str(made.model.items), describe(made.model, made.model.options(), type(made.model)().options()))
        for recipes in (RECIPES, SIGNAL_RECIPES, GRAPH_RECIPES, LINK_RECIPES)
        for name, made in recipes.items()
    ]
    rows.append((AUTO, "all", "Tries a few of different kinds and trains the best on validation items."))
    table(["name", "of", "what it is"], rows)
    return 0


def show_record(record: Record, *, beside: bool = True) -> None:
    """Print the result table: the figure, and everything it depends on; before it what was tried, if one was chosen.

    Args:
        record: of the study.
        beside: whether what stands beside the figure is printed here.
    """
    if record.tried:
        _show_tried(record)
    data, protocol, seeds = record.dataset, record.protocol, record.seeds
    signals = "moments" if protocol.items == "moments" else "signals"
    many = f"{data.signals:,} {signals} on " if data.signals else f"{data.graphs:,} graphs, " if data.graphs else ""
    made = f" ({protocol.edges})" if protocol.edges != "as given" else ""
    of_data = f"{data.name}, {many}{data.nodes:,} nodes, {data.edges:,} edges{made}, {_labels(record)}"
    sizes = f"{protocol.train:,} to train on, {protocol.validation:,} to select by, {protocol.test:,} to test on"
    mean, interval = per_cent_of(record.metric)
    figure = figure_name(record)
    machine = record.environment
    fields(
        [
            ("model", record.config["model"]),
            *([("parameters", f"{record.parameters:,}")] if record.parameters else []),
            ("data set", of_data),
            ("split", "; ".join(filter(None, (f"{protocol.split}: {sizes}", protocol.rule, protocol.setting)))),
            *([("sampled", _sampling(record.config, protocol.items))] if record.config.get("fan_out") else []),
            ("selection", record.selection),
            ("seeds", str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"),
            (f"validation {figure}", per_cent_of(record.validation)[0]),
            (f"test {figure}", mean),
            ("95 % interval", f"{interval} (of the mean, Student's t)" if record.metric.ci95 else interval),
            *((f"{other} beside it", per_cent_of(of)[0]) for other, of in record.beside.items() if beside),
            ("seconds", f"{record.seconds:.1f} ({machine['device']}, {plural(machine['threads'], 'thread')})"),
            ("protocol", protocol.fingerprint),
        ]
    )


def _show_tried(record: Record) -> None:
    """Print what each recipe of a portfolio came to."""
    scale, places = (100, 2) if record.metric.unit == "fraction" else (1, 3)
    notes = list(dict.fromkeys(text for tried in record.tried for text in tried.get("warnings", ())))
    rows = [
        (
            tried["model"],
            f"{scale * tried['validation']:.{places}f}",
            f"{tried['validation_loss']:.4f}",
            f"{tried['seconds']:.1f}",
            "chosen" if tried["model"] == record.config["model"] else "",
            " ".join(f"[{notes.index(text) + 1}]" for text in tried.get("warnings", ())),
        )
        for tried in record.tried
    ]
    table(["tried", f" validation {figure_name(record)}", " loss", " seconds", "", ""], rows)
    for number, text in enumerate(notes, 1):
        echo(f"[{number}] {text}")
    echo()


def _labels(record: Record) -> str:
    """Say what items are labelled with, such as ``7 classes`` or ``2 real numbers``."""
    from graphkit.training.classification.metrics import KIND_NAMES

    if not record.target:
        return f"{record.dataset.classes} classes"
    if record.target["kind"] == "links":
        return "whose links are predicted"
    if record.target["kind"] == "forecasts":
        return plural(record.dataset.features, "feature")
    many, kind = record.target["outputs"], KIND_NAMES[record.target["kind"]]
    return plural(many, kind.removesuffix("s"))


def _sampling(config: Any, items: str) -> str:
    """Say in words how the batches of a graph's nodes or links were made."""
    batch = f"{config['batch']:,} {items} a step" if config["batch"] else f"all training {items} in one step"
    return f"fan-out {config['fan_out']}, {batch}; measured with all neighbours"


def figure_name(record: Record) -> str:
    """Return what was measured, as people write it."""
    from graphkit.training.classification.metrics import METRICS

    known = METRICS.get(record.metric.name)
    return known.title if known else record.metric.name


def per_cent_of(metric: Any) -> tuple[str, str]:
    """Return mean and deviation, and the interval, in per cent where they are fractions."""
    scale, sign, places = (100, " %", 2) if metric.unit == "fraction" else (1, "", 3)
    mean = f"{scale * metric.mean:.{places}f}"
    spread = f"{mean}{sign}" if metric.std is None else f"{mean} ± {scale * metric.std:.{places}f}{sign}"
    if metric.ci95 is None:
        return spread, "needs five seeds"
    low, high = (scale * end for end in metric.ci95)
    return spread, f"{low:.{places}f} to {high:.{places}f}{sign}"


def draw_curves(outcome: Outcome, name: str) -> Figure:
    """Return loss and validation figure over the epochs of all seeds."""
    from graphkit.viz import learning_curves

    record, runs = outcome.record, [result.history for result in outcome.seeds]
    return learning_curves(
        [[epoch.train_loss for epoch in run] for run in runs],
        [[epoch.validation_loss for epoch in run] for run in runs],
        [[epoch.figure for epoch in run] for run in runs],
        best_epochs=[result.selected for result in outcome.seeds],
        metric_name=figure_name(record),
        fraction=record.metric.unit == "fraction",
        title=f"{name} on {record.dataset.name}: test {figure_name(record)} {per_cent_of(record.metric)[0]}",
        note=f"split {record.protocol.split}  ·  protocol {record.protocol.fingerprint}",
    )

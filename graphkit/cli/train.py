"""``graphkit train``: one recipe on one data set, over several seeds, to one table and one record."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphkit.cli.asked import Asked, require_one_graph, require_split
from graphkit.cli.options import FILE, FOLDER, SEED, SMALL_EDGES, SPLIT, require_drawn, require_places, use_threads
from graphkit.cli.output import (
    Bar,
    Lines,
    Trainings,
    debuggable,
    described,
    drawing,
    fields,
    keep_record,
    plural,
    say,
    table,
    told,
)
from graphkit.cli.preload import preload
from graphkit.cli.settings import overrides_of
from graphkit.cli.stages import begin

if TYPE_CHECKING:
    from graphkit.training import Outcome, Record


@click.command()
@click.argument("dataset", default="digits")
@click.option("--model", metavar="NAME", help="Recipe; --list-models names them.  [default: gcn]")
@click.option("--list-models", is_flag=True, help="Name the recipes and what each is.")
@click.option("--split", help=SPLIT)
@click.option("--split-seed", type=SEED, help="Draws a random split.  [default: 0]")
@click.option(
    "--split-per-seed", is_flag=True, help="Each seed draws its split, or takes the file or fold of its number."
)
@click.option("--undirected", is_flag=True, help="Every edge in both directions, once; records name it.")
@click.option("--protocol", type=click.Choice(["nested-10-fold"]), help="Of a set of graphs: choose anew in each fold.")
@click.option(
    "--beside", metavar="NAME", help="With --protocol: measured in the same way; or none.  [default: structure-free]"
)
@click.option("--seeds", type=click.IntRange(1), help="How many seeds to train.  [default: 5]")
@click.option("--seed", type=SEED, default=0, show_default=True, help="The first of them.")
@click.option("--epochs", type=int, help="At most so many.  [default: the recipe's]")
@click.option("--lr", type=float, help="Learning rate.  [default: the recipe's]")
@click.option("--sampled", is_flag=True, help="Nodes in batches, neighbours drawn around each.")
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
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Override any field of the recipe.")
@click.option("--config", type=FILE, metavar="FILE", help="TOML file of fields of the recipe.")
@click.option("--json", "json_path", type=FILE, metavar="PATH", help="Write the result record here.")
@click.option("--picture", type=FILE, metavar="PATH", help="Draw the learning curves here (png, pdf or svg).")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
@click.option("--precision", default="32-true", show_default=True, help="32-true, 64-true, bf16-mixed or 16-mixed.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: 1 on small graphs, else PyTorch's]")
@click.option(
    "--checkpoint",
    type=FOLDER,
    metavar="FOLDER",
    help="Folder for the run's state and weights.  [default: runs/DATASET-MODEL]",
)
@click.option("--resume", is_flag=True, help="Go on from that folder, to the same numbers.")
@debuggable
def train(
    dataset: str,
    model: str | None,
    list_models: bool,
    split: str | None,
    split_seed: int | None,
    split_per_seed: bool,
    undirected: bool,
    protocol: str | None,
    beside: str | None,
    seeds: int | None,
    seed: int,
    epochs: int | None,
    lr: float | None,
    sampled: bool,
    fan_out: str | None,
    batch_size: int | None,
    workers: int,
    partitions: Path | None,
    keep_around: bool,
    settings: tuple[str, ...],
    config: Path | None,
    json_path: Path | None,
    picture: Path | None,
    device: str,
    precision: str,
    threads: int | None,
    checkpoint: Path | None,
    resume: bool,
) -> int:
    """Train on DATASET, a name or the folder of a stored graph, and print the test accuracy with its protocol.

    The weights tested are those of the best epoch on validation nodes. A recipe's fields are overridden by --config,
    then --set, then --epochs and --lr. Ctrl-C leaves a checkpoint for --resume.
    """
    preload("graphkit.training.named")
    if list_models:
        return _list_models()
    from graphkit.training.named import recipe

    asked = Asked(dataset)
    if isinstance(asked.source, str):
        require_one_graph(asked.source)
    items = asked.items
    overrides = overrides_of(config, settings, {"epochs": epochs, "lr": lr, "fan_out": fan_out, "batch": batch_size})
    written = str(overrides.pop("model", "gcn"))
    name = model or written
    if sampled:
        hops = overrides.get("layers", getattr(recipe(name, items=items).model, "layers", 2))
        overrides = {"fan_out": ",".join(["10"] * int(hops)), "batch": 512} | overrides
    elif items == "nodes" and not overrides.get("fan_out") and (workers or batch_size):
        raise click.UsageError("`--batch-size` and `--workers` go with `--sampled`: else all nodes are in one step.")
    chosen = recipe(name, overrides, items=items)
    if partitions is not None and (not sampled or workers or split or split_per_seed or undirected):
        raise click.UsageError(
            "`--partitions` goes with `--sampled`, and without `--workers`, splits and `--undirected`: the parts carry "
            "theirs."
        )
    if items != "nodes" and workers:
        raise click.UsageError(f"`--workers` draw neighbours of nodes; {items} have none to be drawn.")
    if beside and not protocol:
        raise click.UsageError("`--beside` goes with `--protocol`.")
    if protocol is not None:
        if items != "graphs" or split or split_per_seed or split_seed is not None:
            raise click.UsageError("`--protocol` is of a set of graphs, and draws its splits itself.")
        if seeds is not None or picture is not None:
            raise click.UsageError(
                "`--protocol` takes one seed, `--seed`, from which all its trainings are drawn, and draws no picture."
            )
    if split_seed is not None and (split_per_seed or partitions is not None):
        raise click.UsageError("`--split-seed` draws one split; there is none to draw with what else is asked for.")
    other = "structure-free" if beside is None else beside
    others = [recipe(other, items=items)] if protocol and items == "graphs" and other not in ("none", name) else []
    if keep_around and partitions is None:
        raise click.UsageError("`--keep-around` goes with `--partitions`.")
    checkpoint = checkpoint or Path("runs") / "-".join(filter(None, (asked.name, name, protocol)))
    require_places(json=json_path, picture=picture)
    require_split(asked.source, split)

    preload(
        "torch_geometric.data",
        "lightning_fabric",
        "graphkit.data.catalog.loading",
        "graphkit.nn",
        "graphkit.training.study",
    )
    import graphkit.data
    import graphkit.training
    from graphkit.training.processes import stated

    many = range(seed, seed + (seeds or 5))
    splits = None
    data: Any
    begin(f"loading {asked.name}")
    if partitions is not None:
        data = graphkit.data.Partitions(partitions, keep_halo=keep_around)
        data.require_name(asked.known_as())
    elif split_per_seed:
        data, splits = graphkit.data.load_splits(asked.source, split=split, seeds=many)
    else:
        data = graphkit.data.load(asked.source, split=split, seed=split_seed or 0)
        require_drawn(data, split_seed)
    if undirected:
        data = graphkit.data.to_undirected(data)
    edges = data.edges if partitions is not None else data.num_edges if items != "graphs" else SMALL_EDGES
    use_threads(threads, edges)
    first = stated().rank == 0
    if protocol is not None:
        outcome = graphkit.training.nested_cross_validation(
            data,
            chosen,
            given={field: value for field, value in chosen.as_dict().items() if field in overrides},
            beside=others,
            seed=seed,
            device=device,
            precision=precision,
            checkpoint=checkpoint,
            resume=resume,
            listener=Trainings() if first else None,
            command=shlex.join(["graphkit", *sys.argv[1:]]),
        )
        return _report(outcome, name, json_path, None, f"Checkpoint: {checkpoint}") if first else 0
    bar = first and sys.stderr.isatty()
    with Bar(many, chosen.epochs, asked.per_cent) if bar else Lines(many, asked.per_cent) as progress:
        outcome = graphkit.training.train(
            data,
            chosen,
            seeds=many,
            splits=splits,
            device=device,
            precision=precision,
            checkpoint=checkpoint,
            resume=resume,
            workers=workers,
            reporter=progress if first else None,
            command=shlex.join(["graphkit", *sys.argv[1:]]),
        )
    # Of several processes the first one writes and prints.
    return _report(outcome, name, json_path, picture, f"Checkpoint and weights: {checkpoint}") if first else 0


def _report(outcome: Outcome, name: str, json_path: Path | None, picture: Path | None, left: str) -> int:
    """Write the files that are asked for, print the table and what is left where, and return the exit code."""
    # Files first: whoever reads our output may close it early (`| head`).
    lost = [*outcome.faults, *keep_record(outcome.record, [json_path])]
    try:
        if picture is not None:
            with drawing(picture, lost):
                _draw(outcome, name, picture)
    finally:
        _show(name, outcome.record)
    say(left)
    if outcome.put_aside:
        say(f"Another run lay there, unfinished or with other settings; it was put aside: {outcome.put_aside}")
    return told(lost)


def _list_models() -> int:
    """Print the name of each recipe and the first line of what it is made of."""
    from graphkit.training.named import GRAPH_RECIPES, RECIPES, SIGNAL_RECIPES

    rows = [
        (name, made.model.items, described(made.model, made.model.options(), type(made.model)().options()))
        for recipes in (RECIPES, SIGNAL_RECIPES, GRAPH_RECIPES)
        for name, made in recipes.items()
    ]
    table(["name", "of", "what it is"], rows)
    return 0


def _show(name: str, record: Record) -> None:
    """Print the result table: the figure, and everything it depends on."""
    data, protocol, seeds = record.dataset, record.protocol, record.seeds
    many = f"{data.signals:,} signals on " if data.signals else f"{data.graphs:,} graphs, " if data.graphs else ""
    made = f" ({protocol.edges})" if protocol.edges != "as given" else ""
    of_data = f"{data.name}, {many}{data.nodes:,} nodes, {data.edges:,} edges{made}, {data.classes} classes"
    sizes = f"{protocol.train:,} to train on, {protocol.validation:,} to select by, {protocol.test:,} to test on"
    mean, interval = _per_cent(record.metric)
    figure = _figure_name(record)
    machine = record.environment
    fields(
        [
            ("model", name),
            ("data set", of_data),
            ("split", "; ".join(filter(None, (f"{protocol.split}: {sizes}", protocol.rule, protocol.setting)))),
            *([("sampled", _sampling(record.config))] if record.config.get("fan_out") else []),
            ("selection", record.selection),
            ("seeds", str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"),
            (f"validation {figure}", _per_cent(record.validation)[0]),
            (f"test {figure}", mean),
            ("95 % interval", f"{interval} (of the mean, Student's t)" if record.metric.ci95 else interval),
            *((f"{other} beside it", _per_cent(figures)[0]) for other, figures in record.beside.items()),
            ("seconds", f"{record.seconds:.1f} ({machine['device']}, {plural(machine['threads'], 'thread')})"),
            ("protocol", protocol.fingerprint),
        ]
    )


def _sampling(config: Any) -> str:
    """Say in words how the batches of a graph's nodes were made."""
    batch = f"{config['batch']:,} nodes a step" if config["batch"] else "all training nodes in one step"
    return f"fan-out {config['fan_out']}, {batch}; measured with all neighbours"


def _figure_name(record: Record) -> str:
    """Return what was measured, as people write it."""
    return {"rocauc": "ROC-AUC", "ap": "average precision", "rmse": "RMSE"}.get(record.metric.name, record.metric.name)


def _per_cent(metric: Any) -> tuple[str, str]:
    """Return mean and deviation, and the interval, in per cent where they are fractions."""
    scale, sign, places = (100, " %", 2) if metric.unit == "fraction" else (1, "", 3)
    mean = f"{scale * metric.mean:.{places}f}"
    spread = f"{mean}{sign}" if metric.std is None else f"{mean} ± {scale * metric.std:.{places}f}{sign}"
    if metric.ci95 is None:
        return spread, "needs three seeds"
    low, high = (scale * end for end in metric.ci95)
    return spread, f"{low:.{places}f} to {high:.{places}f}{sign}"


def _draw(outcome: Outcome, name: str, picture: Path) -> None:
    """Draw loss and validation accuracy over the epochs of all seeds."""
    from graphkit.viz import learning_curves, save

    record, runs = outcome.record, [result.history for result in outcome.seeds]
    made = learning_curves(
        [[epoch.train_loss for epoch in run] for run in runs],
        [[epoch.validation_loss for epoch in run] for run in runs],
        [[epoch.figure for epoch in run] for run in runs],
        selected=[result.selected for result in outcome.seeds],
        figure_name=_figure_name(record),
        fraction=record.metric.unit == "fraction",
        title=f"{name} on {record.dataset.name}: test {_figure_name(record)} {_per_cent(record.metric)[0]}",
        note=f"split {record.protocol.split}  ·  protocol {record.protocol.fingerprint}",
    )
    save(made, picture)

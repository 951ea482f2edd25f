"""``graphkit tune``: a search over a recipe's fields by validation items, and one look at test items at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from graphkit.cli.links import LINK_SPLIT, load_link_data, require_link_split
from graphkit.cli.options import (
    SEED,
    SPLITS,
    DatasetArgument,
    StudyOptions,
    rename_arguments,
    report,
    require_random_split,
    step_edges,
    step_graphs,
    study_options,
)
from graphkit.cli.output import begin, debuggable, echo, fields, preload
from graphkit.cli.train import METRIC, TASK, draw_curves, figure_name, per_cent_of, show_record

if TYPE_CHECKING:
    from graphkit.training import Record


@click.command()
@click.argument("dataset")
@click.option("--model", metavar="NAME", help="Recipe; `graphkit train --list-models` names them.  [default: gcn]")
@click.option("--trials", type=click.IntRange(1), default=50, show_default=True, help="How many settings are tried.")
@click.option(
    "--space",
    multiple=True,
    metavar="FIELD=VALUES",
    help="LOW..HIGH, LOW..HIGH:log or A,B,C, or a TOML file of such fields.  [default: the usual fields of the model]",
)
@TASK
@click.option("--split", help=f"{SPLITS} Of links: {LINK_SPLIT}.  [default: the card's]")
@click.option("--split-seed", type=SEED, help="Draws a random split.  [default: 0]")
@click.option("--undirected", is_flag=True, help="Every edge in both directions, once; records name it.")
@METRIC
@click.option("--epochs", type=int, help="Of a trial, at most so many.  [default: the recipe's]")
@study_options(runs="DATASET-MODEL-tune", seeds="5")
@debuggable
def tune(
    dataset: str,
    model: str | None,
    trials: int,
    space: tuple[str, ...],
    task: str | None,
    split: str | None,
    split_seed: int | None,
    undirected: bool,
    metric: str | None,
    epochs: int | None,
    options: StudyOptions,
) -> int:
    """Search the fields of a model on DATASET, a name or the folder of a stored graph, and test the best setting once.

    Validation items judge the trials; test items are seen by the best one alone, after the search, once for each of
    --seeds. Fields of --config and --set are not searched. `config.toml` in the folder of the run holds the setting,
    for `graphkit train --config`; Ctrl-C leaves what --resume goes on from.
    """
    from graphkit._checks import extra
    from graphkit.training.engine.run_folder import RunFolder
    from graphkit.training.zoo.portfolio import AUTO
    from graphkit.training.zoo.recipes import recipe
    from graphkit.training.zoo.space import read_space, space_of

    extra("graphkit tune", "tune", "optuna")
    asked = DatasetArgument(dataset, links=True, series=True, task=task, family=task == "links")
    of_links, of_moments = asked.items == "links", asked.items == "moments"
    if of_moments and (split_seed is not None or undirected):
        raise click.UsageError("`--split-seed` and `--undirected` are not of signals over time.")
    if not of_links and not of_moments:
        asked.require_labels()
    overrides = options.overrides(epochs=epochs)
    usual = {"links": "gcn-link", "moments": "lag-network"}.get(asked.items, "gcn")
    name = str(overrides.pop("model", usual))
    name = model or name
    if name == AUTO:
        raise click.UsageError("`--model auto` is a choice of its own; name the model whose fields are searched.")
    begun = recipe(name, overrides, items=asked.items)
    with rename_arguments({"space": "--space"}):
        values = read_space(space)
        space_of(begun, values, fixed=overrides)
    run = options.run_dir or RunFolder(f"{asked.name}-{name}-tune")
    options.require_places(run)
    if of_links:
        require_link_split(split)
    elif not of_moments:
        asked.require_split(split)

    preload(
        "optuna", "torch_geometric.data", "graphkit.data.catalog.loading", "graphkit.training.classification.tuning"
    )
    import graphkit.data
    import graphkit.training
    from graphkit.training.classification.tasks import selection_metric

    begin(f"loading {asked.name}")
    data: Any
    if of_moments:
        data = graphkit.data.load_series(asked.source, split=split)
    elif of_links:
        data, _ = load_link_data(asked, split, [split_seed or 0], None, each=False, undirected=undirected)
    else:
        data = graphkit.data.load(asked.source, split=split, seed=split_seed or 0)
        require_random_split(data, split_seed)
        data = graphkit.data.to_undirected(data) if undirected else data
    options.use_threads(step_edges(data, step_graphs(begun)))
    per_cent = of_links or (not of_moments and selection_metric(data, metric).unit == "fraction")
    with options.reporter(epochs=begun.epochs, per_cent=per_cent) as reporter:
        outcome = graphkit.training.tune(
            data,
            begun,
            trials=trials,
            space=values,
            fixed=tuple(overrides),
            seed=options.seed,
            seeds=options.several(5),
            metric=metric,
            device=options.device,
            precision=options.precision,
            run_dir=run,
            resume=options.resume,
            reporter=reporter,
            command=options.command,
        )
    return report(
        outcome,
        options,
        record=outcome.record,
        show=lambda: _show(outcome.record),
        draw=lambda: draw_curves(outcome, f"{name}, tuned,"),
        left=f"Record, weights, `config.toml` and the journal of all trials: {outcome.run_dir}",
    )


def _show(record: Record) -> None:
    """Print what the search came to, and the result of its best setting."""
    search = record.tuning
    best = search["best"]
    found = ", ".join(f"{field} {_short(value)}" for field, value in best["fields"].items())
    states = ", ".join(f"{search[state]} {state}" for state in ("complete", "pruned", "failed") if search[state])
    figure = figure_name(record)
    fields(
        [
            ("searched", ", ".join(f"{field} {values}" for field, values in search["space"].items())),
            ("trials", f"{search['trials']} ({states}) in {search['seconds']:.1f} s"),
            ("best", f"trial {best['trial']}: {found or 'the recipe as it was'}"),
            (f"its validation {figure}", _figure(record, best)),
            ("that of the recipe", _figure(record, search["started_from"])),
        ]
    )
    echo()
    show_record(record)


def _figure(record: Record, trial: Any) -> str:
    """Return the validation figure of a trial."""
    from graphkit.training import metric

    if "validation" not in trial:
        return "none: its training failed"
    return per_cent_of(metric(record.metric.name, [trial["validation"]], unit=record.metric.unit))[0]


def _short(value: Any) -> str:
    """Return a value with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)

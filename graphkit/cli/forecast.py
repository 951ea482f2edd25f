"""``graphkit forecast``: what comes next on a graph, beside rules and linear models, to tables and a record."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from graphkit.cli.forecast_family import forecast_family
from graphkit.cli.options import DatasetArgument, StudyOptions, report, study_options
from graphkit.cli.output import begin, debuggable, describe, echo, preload, say, table
from graphkit.cli.train import draw_curves, show_record

if TYPE_CHECKING:
    from graphkit.data import TemporalGraph
    from graphkit.training import Record
    from graphkit.training.zoo.recipes import Recipe

RIVALS = ("last-value", "window-mean", "last-day", "last-week", "last-year", "lag-ridge", "graph-ridge")
"""What stands beside a model unless asked otherwise, as far as the series is long enough: rules, and linear models."""

USUAL = "lag-network"
"""The model where none is named."""

SHOWN = {"rmse": "RMSE", "mae": "MAE", "mape": "MAPE, %", "correlation": "correlation"}
"""Figures of the tables."""

TIME_SPLIT = "time:TRAIN,VAL, shares of all moments such as time:0.7,0.1"
"""The splits of time, in words."""

HORIZONS = click.option(
    "--horizons", metavar="N,N", help="Moments ahead that figures are given for, such as 3,6,12.  [default: the card's]"
)
LENGTH = click.option("--length", type=click.IntRange(1), help="Moments that are looked at.  [default: the card's]")
SEASON = click.option(
    "--season", type=float, metavar="N", help="Moments of a season, where there is no calendar.  [default: the card's]"
)
UNWEIGHTED = click.option("--unweighted", is_flag=True, help="Leave out the weights of edges.")


@click.command()
@click.argument("dataset", default="los-loop")
@click.option("--model", metavar="NAME", help=f"Recipe; --list-models names them.  [default: {USUAL}]")
@click.option("--list-models", is_flag=True, help="Name the recipes and what each is.")
@HORIZONS
@LENGTH
@click.option("--split", help=f"{TIME_SPLIT}.  [default: the card's]")
@SEASON
@UNWEIGHTED
@click.option(
    "--beside",
    metavar="NAME",
    multiple=True,
    help="Measured in the same way, repeatable; or none.  [default: rules and ridge regression]",
)
@click.option("--metric", type=click.Choice(["rmse", "mae"]), help="Selected by and reported.  [default: the card's]")
@click.option("--epochs", type=int, help="At most so many.  [default: the recipe's]")
@click.option("--lr", type=float, help="Learning rate.  [default: the recipe's]")
@click.option("--batch-size", type=click.IntRange(0), help="Moments of a step; 0 all.  [default: the recipe's]")
@click.option("--across-graphs", is_flag=True, help="DATASET is a family: forecast each graph, with the others known.")
@click.option(
    "--learner", "learners", multiple=True, metavar="NAME", help="With --across-graphs, repeatable.  [default: all]"
)
@click.option(
    "--target", "targets", multiple=True, metavar="GRAPH", help="With --across-graphs, repeatable.  [default: each]"
)
@click.option(
    "--calendar",
    type=click.Choice(["honest", "published"]),
    help="With --across-graphs: of other graphs what was there by the day of the forecast is known, or all of them.  "
    "[default: honest]",
)
@click.option(
    "--pictures/--no-pictures", default=True, help="Draw pictures into the folder of the run.", show_default=True
)
@study_options(runs="DATASET-MODEL", seeds="5")
@debuggable
def forecast(
    dataset: str,
    model: str | None,
    list_models: bool,
    horizons: str | None,
    length: int | None,
    split: str | None,
    season: float | None,
    unweighted: bool,
    beside: tuple[str, ...],
    metric: str | None,
    epochs: int | None,
    lr: float | None,
    batch_size: int | None,
    across_graphs: bool,
    learners: tuple[str, ...],
    targets: tuple[str, ...],
    calendar: str | None,
    pictures: bool,
    options: StudyOptions,
) -> int:
    """Forecast the signals of DATASET over time, and print how far off each horizon is.

    A forecast is made after a moment from those up to it. Time is cut into parts, each later than the one before: to
    learn from, to choose the epoch by, and to measure. Beside the model stand rules, for which nothing is learnt, and
    ridge regression. `graphkit predict RUN` says what comes next.

    With --across-graphs a family of graphs, such as covid-europe, is forecast day by day, each graph with the others
    known: by rules, ridge regression, and networks that are pooled, tuned, started by MAML and its kin, or given a last
    map that is solved for on what a graph showed last (r2d2).
    """
    preload("graphkit.training.zoo.recipes")
    if list_models:
        return _list_models()
    from graphkit.training.engine.run_folder import RunFolder
    from graphkit.training.zoo.recipes import recipe

    ahead = horizon_list(horizons)
    if across_graphs:
        given = {"beside": beside, "metric": metric, "split": split, "unweighted": unweighted, "season": season}
        given |= {"epochs": epochs}
        for option, value in given.items():
            if value:
                raise click.UsageError(f"`--{option}` is of one graph; it goes without `--across-graphs`.")
        fields = options.overrides(length=length, lr=lr, batch=batch_size)
        return forecast_family(dataset, model, fields, ahead, learners, targets, calendar or "honest", options)
    if learners or targets or calendar:
        raise click.UsageError("`--learner`, `--target` and `--calendar` go with `--across-graphs`.")
    asked = DatasetArgument(dataset, series=True)
    asked.require_series()
    overrides = options.overrides(epochs=epochs, lr=lr, batch=batch_size)
    name = model or str(overrides.pop("model", USUAL))
    overrides.pop("model", None)
    chosen = recipe(name, overrides, items="moments")
    if "none" in beside and len(beside) > 1:
        raise click.UsageError("`--beside none` stands alone.")
    named = () if "none" in beside else beside or [each for each in RIVALS if each != name]
    others = [recipe(each, items="moments") for each in named]
    run = options.run_dir or RunFolder(f"{asked.name}-{name}")
    options.require_places(run)

    preload(
        "torch_geometric.data",
        "lightning_fabric",
        "graphkit.data.catalog.loading",
        "graphkit.nn",
        "graphkit.training.classification.run_training",
    )
    import graphkit.data
    import graphkit.training
    from graphkit.training.engine.distributed import World

    begin(f"loading {asked.name}")
    data = graphkit.data.load_series(
        asked.source, split=split, length=length, horizons=ahead, season=season, edge_weights=not unweighted
    )
    if not beside:
        others = [each for each in others if fits(each, data)]
    options.use_threads(step_edges_of(data, chosen))
    with options.reporter(epochs=chosen.epochs, per_cent=False) as reporter:
        outcome = graphkit.training.train(
            data,
            chosen,
            seeds=options.several(5),
            beside=others,
            metric=metric,
            device=options.device,
            precision=options.precision,
            run_dir=run,
            resume=options.resume,
            reporter=reporter,
            command=options.command,
        )
    if World.from_env().rank:
        return 0  # of several processes the first one writes and prints
    for warning in outcome.warnings:
        say(f"Warning: {warning}")
    drawn = None
    if pictures and outcome.run_dir is not None:
        from graphkit.cli.forecast_pictures import forecast_pictures

        drawn = outcome.run_dir, lambda: forecast_pictures(outcome, data)
    return report(
        outcome,
        options,
        record=outcome.record,
        show=lambda: show_forecasts(outcome.record),
        draw=lambda: draw_curves(outcome, name),
        pictures=drawn,
        left=f"Record, models{', pictures' if drawn else ''} and state: {outcome.run_dir}",
    )


def horizon_list(text: str | None) -> tuple[int, ...] | None:
    """Return the numbers of an option, or nothing.

    Raises:
        click.UsageError: for what are no numbers that rise.
    """
    if text is None:
        return None
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise click.UsageError(
            f"`--horizons` takes numbers of moments with commas between, such as 3,6,12, got {text!r}."
        )
    found = tuple(map(int, text.split(",")))
    if sorted(set(found)) != list(found):
        raise click.UsageError(f"`--horizons` must rise, got {text!r}.")
    return found


def fits(recipe: Recipe, data: TemporalGraph) -> bool:
    """Return whether a series is long enough for a recipe, and it says something of its own."""
    split: Any = data.forecast_split
    model: Any = recipe.model
    try:
        needed = model.lookback(split.length, data.step_seconds, split.season)
        if not len(split.origins("train", length=needed)) or not len(split.origins("val", length=needed)):
            return False
        split.origins("test", length=needed)
    except ValueError:
        return False
    return needed > 1 or getattr(model, "rule", "") != "last-period"


def step_edges_of(data: TemporalGraph, recipe: Recipe) -> int:
    """Return the edges that a step computes with: those of each of its moments."""
    return int(data.num_edges * max(1, recipe.batch))


def _list_models() -> int:
    """Print the name of each recipe and the first line of what it is made of."""
    from graphkit.training.zoo.recipes import FORECAST_RECIPES

    rows = [
        (name, describe(made.model, made.model.options(), type(made.model)().options()))
        for name, made in FORECAST_RECIPES.items()
    ]
    table(["name", "what it is"], rows)
    return 0


def show_forecasts(record: Record) -> None:
    """Print the result, and a table for each figure: all models, each horizon."""
    show_record(record, beside=False)
    show_horizons(record.figures)


def show_horizons(figures: Any) -> None:
    """Print a table for each figure, of models by name and figures as ``rmse to 3``."""
    for name, title in SHOWN.items():
        columns = [each for each in next(iter(figures.values())) if each.startswith(f"{name} ")]
        if name != "rmse":
            columns = [each for each in columns if " to " in each]
        if not columns:
            continue
        echo()
        scale = 100 if name == "mape" else 1
        rows = [
            [model, *(_text(of[each], scale) if each in of else "" for each in columns)]
            for model, of in figures.items()
        ]
        table([title, *(f" {each.removeprefix(f'{name} ')}" for each in columns)], rows)
    farthest = max(int(name.rpartition(" ")[2]) for of in figures.values() for name in of if " to " in name)
    say(f"to {farthest}: all moments up to {farthest} ahead together; at {farthest}: that one alone.")


def _text(metric: Any, scale: float) -> str:
    """Return mean and deviation with four digits."""
    mean = scale * metric.mean
    digits = 3 if abs(mean) < 10 else 2 if abs(mean) < 100 else 1
    return f"{mean:.{digits}f}" + (
        "" if metric.std is None or not metric.std else f" ± {scale * metric.std:.{digits}f}"
    )

"""``graphkit forecast --across-graphs``: a family of graphs, day by day, each with the others known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from graphkit.cli.options import DatasetArgument, StudyOptions, report
from graphkit.cli.output import begin, echo, fields, plural, preload, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from graphkit.training import Record

USUAL = "shared-lag-network"
"""The network where none is named."""


def forecast_family(
    dataset: str,
    model: str | None,
    overrides: dict[str, Any],
    horizons: tuple[int, ...] | None,
    learners: tuple[str, ...],
    targets: tuple[str, ...],
    calendar: str,
    options: StudyOptions,
) -> int:
    """Forecast the graphs of a family, print the errors of each learner on each, and return the exit code.

    Args:
        dataset: as it was typed.
        model: a network that belongs to no graph.
        overrides: fields of its recipe.
        horizons: numbers of moments; ``None`` for those of the cards.
        learners: by name; all where none is named.
        targets: graphs by name; each where none is named.
        calendar: what is known of others.
        options: of every study.
    """
    from graphkit._checks import member
    from graphkit.data import card
    from graphkit.data.catalog.cards import short_name
    from graphkit.training.engine.run_folder import RunFolder

    asked = DatasetArgument(dataset, series=True, family=True)
    members = asked.card.members
    if not members or card(members[0]).kind != "series":
        raise click.UsageError(
            f"`--across-graphs` is of a family of series, such as covid-europe; {dataset!r} is none."
        )
    for name in targets:
        member("target", name, [short_name(each, dataset) for each in members])
    name = model or str(overrides.pop("model", USUAL))
    overrides.pop("model", None)
    if options.device not in ("auto", "cpu") or options.precision != "32-true":
        raise click.UsageError("`--across-graphs` trains small networks on the CPU, in 32-true.")
    run = options.run_dir or RunFolder(f"{asked.name}-across-{calendar}")
    options.require_places(run)
    preload("torch_geometric.data", "graphkit.nn", "graphkit.training.forecasting.across_graphs")
    import graphkit.data
    from graphkit.training.forecasting.across_graphs import forecast_across
    from graphkit.training.forecasting.across_learners import LEARNERS, STEPPING
    from graphkit.training.forecasting.across_recipes import across_recipe

    idle = sorted({"inner_lr", "inner_steps"} & overrides.keys())
    if idle and not set(learners or LEARNERS) & set(STEPPING):
        raise click.UsageError(
            f"`{idle[0]}` is of learners that take steps on what a graph showed last ({', '.join(STEPPING)}), and none "
            "is asked for."
        )
    usual = card(members[0]).forecast
    chosen = across_recipe(name, {"length": usual["length"]} | overrides)
    begin(f"loading {asked.name}")
    graphs = dict(graphkit.data.load(asked.source))
    options.use_threads(0)
    with options.reporter(per_cent=False) as reporter:
        outcome = forecast_across(
            graphs,
            chosen,
            horizons=horizons or tuple(usual["horizons"]),
            learners=learners or LEARNERS,
            targets=targets or None,
            calendar=calendar,  # type: ignore[arg-type]  # one of both
            seeds=options.several(5),
            run_dir=run,
            resume=options.resume,
            reporter=reporter,
            command=options.command,
        )
    return report(
        outcome,
        options,
        record=outcome.record,
        show=lambda: show_family(outcome.record),
        draw=lambda: _picture(outcome.record),
        left=f"Record and state: {outcome.run_dir}",
    )


def show_family(record: Record) -> None:
    """Print what was measured, and a table for each graph: learners, and errors to each horizon."""
    protocol, seeds, data = record.protocol, record.seeds, record.dataset
    fields(
        [
            ("network", f"{record.config['model']}, length {record.config['length']}"),
            (
                "data set",
                f"{data.name}, {data.signals:,} moments on {data.nodes:,} nodes",
            ),
            ("protocol", f"{protocol.split}; {protocol.rule}; {protocol.test:,} forecasts [{protocol.fingerprint}]"),
            ("seeds", str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}, of networks"),
            ("seconds", f"{record.seconds:.1f} ({plural(record.environment['threads'], 'thread')})"),
        ]
    )
    for target in _targets(record):
        echo()
        columns = sorted(name for name in next(iter(record.figures.values())) if name.endswith(f", {target}"))
        columns.sort(key=lambda name: (name.split()[0], int(name.split()[2].rstrip(","))))
        names = [name.removesuffix(f", {target}") for name in columns]
        rows = [[learner, *(_text(of[name]) for name in columns)] for learner, of in record.figures.items()]
        table([target, *(f" {name.replace('mae', 'MAE').replace('rmse', 'RMSE')}" for name in names)], rows)


def _targets(record: Record) -> list[str]:
    """Return the graphs that were forecast."""
    return list(dict.fromkeys(name.rpartition(", ")[2] for name in next(iter(record.figures.values()))))


def _text(metric: Any) -> str:
    """Return mean and deviation."""
    return f"{metric.mean:.2f}" + (f" ± {metric.std:.2f}" if metric.std else "")


def _picture(record: Record) -> Figure:
    """Return the errors of the learners, shares of that of the mean of what is seen, a line for each graph."""
    from graphkit.viz import run_figures

    farthest = max(
        (name.partition(",")[0] for name in next(iter(record.figures.values())) if name.startswith("mae")),
        key=lambda name: int(name.split()[-1]),
    )
    base = {target: _error(record, "window-mean", farthest, target) for target in _targets(record)}
    values = {
        learner: [_error(record, learner, farthest, target) / base[target] for target in base]
        for learner in record.figures
    }
    return run_figures(
        values,
        metric_name=f"{farthest.replace('mae', 'MAE')}, 1 is the mean of what is seen",
        fraction=False,
        title=f"Forecasts across {record.dataset.name}",
        note=f"a point for each of {', '.join(base)}  ·  {record.protocol.split}  ·  {record.protocol.fingerprint}",
    )


def _error(record: Record, learner: str, name: str, target: str) -> float:
    """Return the mean error of a learner on a graph; where the mean was not asked for, 1."""
    of = record.figures.get(learner)
    return 1.0 if of is None else of[f"{name}, {target}"].mean

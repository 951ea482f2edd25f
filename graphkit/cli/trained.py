"""``graphkit predict``, ``evaluate`` and ``compare``: what is done with runs that are finished."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphkit.cli.links import evaluate_links, load_link_data
from graphkit.cli.options import FILE, DatasetArgument, require_places, step_edges, step_graphs, use_fitting_threads
from graphkit.cli.output import begin, debuggable, drawing, echo, fields, preload, report_errors, say, table
from graphkit.cli.recorded import typed_options

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from graphkit.data import Split
    from graphkit.training.trained.abstract_run import AbstractRun
    from graphkit.training.trained.encoder_run import EncoderRun
    from graphkit.training.trained.predictions import AbstractPredictions
    from graphkit.training.trained.reports import ClassReport
    from graphkit.training.trained.runs import Run, RunReport

RUN = click.Path(path_type=Path)
ROOM = 12
"""Classes of which a confusion matrix is printed; of more the picture shows it."""

DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
ONE_SEED = click.option("--seed", type=click.IntRange(0), help="Ask the model of this seed alone.")


@click.command()
@click.argument("run", type=RUN)
@click.argument("data", required=False)
@click.option(
    "--to", type=FILE, metavar="PATH", help="Write the table here, .csv or .parquet.  [default: CSV, printed]"
)
@click.option("--top", type=click.IntRange(1), help="Of a run on links: new links of each node.  [default: 10]")
@ONE_SEED
@DEVICE
@debuggable
def predict(run: Path, data: str | None, to: Path | None, top: int | None, seed: int | None, device: str) -> int:
    """Predict every item of DATA, a name or a folder, with what RUN trained; by default what it was trained on.

    The table has the items, their likeliest class and a column of probabilities for each, the mean over the seeds. DATA
    needs no labels. It may be the graph as it has grown, another graph, or other graphs or molecules of the same kind.

    Of a run on links the table has the likeliest new links of each node, of one of forecasts what comes after the last
    moment.
    """
    require_places(to=to)
    preload("torch_geometric.data", "lightning_fabric", "graphkit.nn", "graphkit.training.trained.runs")
    from graphkit.training.trained.predictions import table_format
    from graphkit.training.trained.runs import FewShotRun, LinkRun, load_run

    if to is not None:
        table_format(to, "to")
    opened = load_run(run)
    if isinstance(opened, FewShotRun):
        raise click.UsageError("a run of `graphkit fewshot` is adapted to labels first: `graphkit fewshot predict`.")
    if top is not None and not isinstance(opened, LinkRun):
        raise click.UsageError("`--top` is of a run on links.")
    given, _ = load_data(opened, data, split=False)
    if isinstance(opened, LinkRun):
        return _write(opened.predict(given, seed=seed, device=device, top=top or 10), to)
    return _write(opened.predict(given, seed=seed, device=device), to)


@click.command("predict")
@click.argument("run", type=RUN)
@click.argument("data", required=False)
@click.option(
    "--support",
    type=FILE,
    required=True,
    metavar="TABLE",
    help="A table (.csv or .parquet) of items and their classes, in its first two columns.",
)
@click.option("--to", type=FILE, metavar="PATH", help="Write the table here, .csv or .parquet.  [default: print CSV]")
@click.option("--learner", metavar="NAME", help="Of those that RUN measured.  [default: the record's headline]")
@click.option("--problem", type=click.IntRange(1), default=1, show_default=True, help="Class split that it learnt on.")
@DEVICE
@debuggable
def fewshot_predict(
    run: Path, data: str | None, support: Path, to: Path | None, learner: str | None, problem: int, device: str
) -> int:
    """Adapt a learner of RUN to the items that a table names, and predict all others of DATA.

    DATA is a name or a folder, by default what the learner was trained on. Classes are called as in the table, and need
    not be those of any training.
    """
    require_places(to=to)
    preload("torch_geometric.data", "lightning_fabric", "graphkit.nn", "graphkit.training.trained.runs")
    import graphkit.data
    from graphkit.training.trained.data_facts import read_support
    from graphkit.training.trained.predictions import table_format
    from graphkit.training.trained.runs import FewShotRun, load_run

    if to is not None:
        table_format(to, "to")
    opened = load_run(run)
    if not isinstance(opened, FewShotRun):
        raise click.UsageError(f"{str(run)!r} is no run of `graphkit fewshot`.")
    chosen = opened.learner(learner, problem)
    if data is None and chosen.dataset not in graphkit.data.names():
        raise click.UsageError(f"`data` must be named: the record calls them {chosen.dataset!r}, which is no data set.")
    asked = DatasetArgument(data or chosen.dataset)
    begin(f"loading {asked.name}")
    given = graphkit.data.load(asked.source)
    labelled = read_support(support, given)
    say(f"{chosen.name}, trained with {chosen.problem} of {chosen.dataset} held out; {len(labelled)} labelled items")
    return _write(chosen.predict(given, labelled, device=device), to)


def _write(found: AbstractPredictions, to: Path | None) -> int:
    """Write a table of predictions, or print it, and return the exit code."""
    from graphkit.training.trained.predictions import Predictions, write_table

    if to is None:
        echo(found.frame().to_csv(index=False).rstrip("\n"))
        return 0
    write_table(found.frame(), to)
    if isinstance(found, Predictions) and found.kind == "classes":
        counts = found.classes.bincount(minlength=len(found.names)).tolist()
        table(["predicted", " items"], [(name, f"{many:,}") for name, many in zip(found.names, counts, strict=True)])
    say(f"{len(found.frame()):,} predictions: {to}")
    return 0


@click.command()
@click.argument("run", type=RUN)
@click.argument("data", required=False)
@click.option(
    "--part",
    type=click.Choice(["train", "val", "test", "all"]),
    help="Whose items.  [default: test of what was trained on, all of other data]",
)
@click.option("--calibrate", is_flag=True, help="Fit a temperature to validation items first, and keep it in RUN.")
@click.option("--json", "json_path", type=FILE, metavar="PATH", help="Write all figures here.")
@click.option("--picture", type=FILE, metavar="PATH", help="Draw the confusion matrix and the calibration here.")
@ONE_SEED
@DEVICE
@debuggable
def evaluate(
    run: Path,
    data: str | None,
    part: str | None,
    calibrate: bool,
    json_path: Path | None,
    picture: Path | None,
    seed: int | None,
    device: str,
) -> int:
    """Measure what RUN trained on labelled items: figures of each class, the confusion matrix, the calibration.

    Of a run of `graphkit embed` it measures retrieval, as that does.

    Without DATA the test items of what it was trained on are looked at, and the figure is that of the record. Figures
    are means over the seeds; the confusion matrix counts the items of all.
    """
    require_places(json=json_path, picture=picture)
    preload("torch_geometric.data", "lightning_fabric", "graphkit.nn", "graphkit.training.trained.runs")
    from graphkit.training.trained.encoder_run import EncoderRun
    from graphkit.training.trained.reports import ClassReport
    from graphkit.training.trained.runs import ForecastRun, LinkRun, Run, load_run

    opened = load_run(run)
    if isinstance(opened, LinkRun):
        if calibrate or picture is not None or part in ("train", "all"):
            raise click.UsageError(
                "a run on links is measured by their ranks, of `--part test` or val: `--calibrate`, `--picture` and "
                "other parts are of classes."
            )
        if data is not None:
            raise click.UsageError("a run on links is measured on those that its split holds out: give no DATA.")
        return evaluate_links(opened, *load_data(opened, None), part or "test", json_path, seed, device)
    if isinstance(opened, ForecastRun):
        if calibrate or picture is not None or part == "all":
            raise click.UsageError(
                "a run of forecasts is measured by their errors, of `--part test`, val or train: `--calibrate`, "
                "`--picture` and all are of classes."
            )
        from graphkit.cli.forecast_pages import evaluate_forecasts

        return evaluate_forecasts(opened, load_data(opened, data)[0], part or "test", json_path, seed, device)
    if isinstance(opened, EncoderRun):
        if calibrate or picture is not None or part in ("train", "val"):
            raise click.UsageError(
                "a run of `graphkit embed` is measured by retrieval, of `--part test` or all: `--calibrate`, "
                "`--picture` and other parts are of classes."
            )
        return _evaluate_embeddings(opened, data, part, json_path, seed, device)
    if not isinstance(opened, Run):
        raise click.UsageError(
            "a run of `graphkit fewshot` is measured on the tasks of its record; `graphkit fewshot predict` adapts it "
            "to labels of yours."
        )
    given, splits = load_data(opened, data)
    if calibrate:
        own, own_splits = (given, splits) if data is None else load_data(opened, None)
        opened = opened.calibrate(own, splits=own_splits, device=device)
        shown = ", ".join(f"{model.temperature:.3f}" for model in opened.models.values())
        say(f"Temperature, of each seed: {shown}; the models in {run} keep it.")
    if splits is not None and seed is not None:
        splits = [splits[list(opened.models).index(seed)]] if seed in opened.models else None
    found = opened.evaluate(given, part=part, seed=seed, splits=splits, device=device)
    lost: list[str] = []
    if json_path is not None:
        json_path.write_text(json.dumps(_plain(found, opened), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        say(f"Figures: {json_path}")
    if picture is not None:
        if not isinstance(found.reports[0], ClassReport):
            raise click.UsageError("`--picture` draws a confusion matrix, which only classes have.")
        with drawing(picture, lost):
            from graphkit import viz

            viz.save(_picture(found, opened), picture)
    _show(found, opened)
    return report_errors(lost)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=RUN, metavar="RUN...")
@click.option("--json", "json_path", type=FILE, metavar="PATH", help="Write the comparison here.")
@click.option("--picture", type=FILE, metavar="PATH", help="Draw figures and intervals here.")
@debuggable
def compare(runs: tuple[Path, ...], json_path: Path | None, picture: Path | None) -> int:
    """Compare runs, or records of them, with the first one.

    Where two were measured under one protocol with the same seeds, they are compared seed by seed, and the interval is
    that of the mean difference.
    """
    require_places(json=json_path, picture=picture)
    from graphkit.training.trained.comparison import compare_records
    from graphkit.training.trained.record_fields import read_fields

    compared = compare_records({str(path): read_fields(path) for path in runs})
    lost: list[str] = []
    if json_path is not None:
        json_path.write_text(json.dumps([each.as_dict() for each in compared], indent=2) + "\n", encoding="utf-8")
        say(f"Comparison: {json_path}")
    if picture is not None:
        preload("graphkit.viz")
        from graphkit import viz

        with drawing(picture, lost):
            viz.save(_comparison_picture(compared), picture)
    table(
        ["run", "model", "data", " figure", " validation", " seconds", " to the first", "compared"],
        [each.row() for each in compared],
    )
    return report_errors(lost)


def load_data(run: AbstractRun[Any], source: str | None, *, split: bool = True) -> tuple[Any, Sequence[Split] | None]:
    """Return the data that are named, or those that a run was trained on with the split of each seed if they differ.

    Args:
        run: finished.
        source: what was named.
        split: whether a series is asked for with its parts of time.
    """
    import graphkit.data

    splits = None
    if run.model.items == "moments":
        from graphkit.cli.forecast_pages import load_forecast_data

        return load_forecast_data(run, source, split=split), None
    if source is not None:
        asked = DatasetArgument(source, links=run.model.items == "links", family=run.model.items == "links")
        begin(f"loading {asked.name}")
        data = graphkit.data.load(asked.source)
    else:
        data, splits = load_as_trained(run)
    use_fitting_threads(step_edges(data, step_graphs(run.model.recipe)))  # as in training
    return data, splits


def load_as_trained(run: AbstractRun[Any]) -> tuple[Any, Sequence[Split] | None]:
    """Return the data of a run as its recorded command loaded them.

    Raises:
        ValueError: for a run of a Python function, and where the data are others by now.
    """
    import graphkit.data
    from graphkit.cli.embed import embed
    from graphkit.cli.train import train
    from graphkit.cli.tune import tune
    from graphkit.training.classification.nested import fold_splits

    record = run.about
    try:
        command = embed if run.model.study != "train" else tune if getattr(record, "tuning", None) else train
        typed = typed_options({"command": record.command}, command)
    except ValueError as error:
        raise ValueError(f"`data` must be named: {error}") from None
    splits: Any = None
    asked = DatasetArgument(typed.get("dataset", "digits"), family=True, links=True)
    split = typed.get("split")
    begin(f"loading {asked.name}")
    if run.model.items == "links":
        each = bool(typed.get("split_per_seed"))
        seeds = record.seeds if each else [typed.get("split_seed") or 0]
        both = bool(typed.get("undirected"))
        data, splits = load_link_data(asked, split, seeds, typed.get("hard"), each=each, undirected=both)
    elif typed.get("split_per_seed"):
        data, splits = graphkit.data.load_splits(asked.source, split=split, seeds=record.seeds)
    else:
        data = graphkit.data.load(asked.source, split=split, seed=typed.get("split_seed") or 0)
    if typed.get("protocol"):
        splits = fold_splits(data, len(record.metric.values), record.seeds[0], runs=record.config["runs"])
    if asked.card.members:
        data = graphkit.data.disjoint_union(data, held_out=typed.get("held_out"))
    if typed.get("undirected") and run.model.items != "links":
        data = graphkit.data.to_undirected(data)
    if not run.is_own(data):
        raise ValueError(
            f"`data`: {asked.name!r} is no longer what the run was trained on (its checksum differs); name other data."
        )
    return data, splits


def _evaluate_embeddings(
    run: EncoderRun, source: str | None, part: str | None, json_path: Path | None, seed: int | None, device: str
) -> int:
    """Measure what the encoders of a run make of labelled items, write and print it, and return the exit code."""
    given, splits = load_data(run, source)
    options: dict[str, Any] = {}
    if source is None:
        from graphkit.cli.embed import embed

        typed = typed_options({"command": run.about.command}, embed)
        options = {name: typed[name] for name in ("disjoint", "without_neighbours") if typed.get(name)}
        options["probes"] = run.about.config["probes"]
    if splits is not None and seed is not None:
        splits = [splits[list(run.models).index(seed)]] if seed in run.models else None
    begin("measuring retrieval")
    found = run.evaluate(given, part=part, seed=seed, splits=splits, device=device, **options)
    if json_path is not None:
        plain = {"run": str(run.folder), **vars(found), "values": {name: list(of) for name, of in found.values.items()}}
        json_path.write_text(json.dumps(plain, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        say(f"Figures: {json_path}")
    each = f" for each of {len(found.seeds)} seeds" if len(found.seeds) > 1 else ""
    fields(
        [
            ("loss", run.model.recipe.name),
            ("trained on", run.about.dataset.name),
            ("items", f"{found.part}, {found.items:,}{each}"),
            *((name, _spread(values, "fraction")) for name, values in found.values.items()),
        ]
    )
    return 0


def _show(found: RunReport, run: Run) -> None:
    """Print the figures of all classes together, of each class, and the confusion matrix."""
    from graphkit.training.trained.reports import ClassReport

    reports = found.reports
    first = reports[0]
    config = run.record.config
    together = []
    if found.together is not None:
        together.append((f"{found.name}, seeds averaged", _spread([found.together], found.unit)))
    fields(
        [
            ("model", str(config.get("model", run.model.recipe.name))),
            ("trained on", run.record.dataset.name),
            (
                "items",
                f"{found.part}, {first.items:,}" + (f" for each of {len(reports)} seeds" if len(reports) > 1 else ""),
            ),
            (found.name, _spread(found.figures, found.unit)),
            *together,
            *((name, _spread(values, _unit(name))) for name, values in found.scalars.items() if name != found.name),
        ]
    )
    echo()
    if not isinstance(first, ClassReport):
        columns = [" " + name for name in first.figures]
        rows = [
            [name, *(f"{values[place]:.4f}" for values in first.figures.values())]
            for place, name in enumerate(first.columns)
        ]
        table(["column", *columns], rows)
        return
    whole = found.by_class()
    rows = [
        [name, *(_per_cent(values[place]) for values in whole.values()), f"{first.confusion[place].sum():,}"]
        for place, name in enumerate(first.classes)
    ]
    table(["class", *(f" {name}" for name in whole), " items"], rows)
    if len(first.classes) <= ROOM:
        echo()
        rows = [[name, *(f"{many:,}" for many in found.confusion[place])] for place, name in enumerate(first.classes)]
        table(["true \\ predicted", *(f" {name}" for name in first.classes)], rows)


def _plain(found: RunReport, run: Run) -> dict[str, Any]:
    """Return all figures as plain values, for a file."""
    from graphkit.training.trained.reports import ClassReport

    plain: dict[str, Any] = {
        "run": str(run.folder),
        "part": found.part,
        "seeds": [model.seed for model in run.models.values()][: len(found.reports)],
        "figures": {found.name: list(found.figures), **{name: list(each) for name, each in found.scalars.items()}},
    }
    if found.together is not None:
        plain["together"] = found.together
    first = found.reports[0]
    if isinstance(first, ClassReport):
        plain["classes"] = {
            name: {
                said: None if values[place] != values[place] else float(values[place])
                for said, values in found.by_class().items()
            }
            for place, name in enumerate(first.classes)
        }
        plain["confusion"] = found.confusion.tolist()
    else:
        plain["columns"] = {
            name: {
                said: None if values[place] != values[place] else float(values[place])
                for said, values in first.figures.items()
            }
            for place, name in enumerate(first.columns)
        }
    return plain


def _picture(found: RunReport, run: Run) -> Figure:
    """Return the confusion matrix of all seeds, and how sure the models are beside how often they are right."""
    from graphkit.training.trained.reports import ClassReport, merged_bins
    from graphkit.viz import class_evaluation

    reports: list[ClassReport] = [report for report in found.reports if isinstance(report, ClassReport)]
    data = run.record.dataset.name
    return class_evaluation(
        found.confusion,
        merged_bins([report.bins for report in reports]),
        reports[0].classes,
        title=f"{run.model.recipe.name} on {data}: {found.name} {_spread(found.figures, found.unit)}",
        note=f"{found.part} items, {len(reports)} seed{'s' if len(reports) > 1 else ''}  ·  calibration error "
        f"{_spread(found.scalars['calibration error'], 'fraction')}",
    )


def _comparison_picture(compared: Sequence[Any]) -> Figure:
    """Return the figures of all runs with their intervals."""
    from graphkit.viz import run_figures

    return run_figures(
        {each.label: list(each.values) for each in compared},
        metric_name=compared[0].metric,
        fraction=compared[0].unit == "fraction",
        title=f"{len(compared)} runs",
        note="; ".join(dict.fromkeys(each.dataset for each in compared)),
    )


def _unit(name: str) -> str:
    """Return the unit of a figure of a report."""
    return "number" if name in ("log loss", "rmse", "mae", "r2", "calibration error") else "fraction"


def _spread(values: Sequence[float], unit: str) -> str:
    """Return mean and deviation, in per cent where they are fractions."""
    import statistics

    scale, sign, places = (100, " %", 2) if unit == "fraction" else (1, "", 4)
    mean = f"{scale * statistics.fmean(values):.{places}f}"
    return f"{mean}{sign}" if len(values) == 1 else f"{mean} ± {scale * statistics.stdev(values):.{places}f}{sign}"


def _per_cent(value: float) -> str:
    """Return a figure in per cent, nothing where there is none."""
    return "" if value != value else f"{100 * value:.1f}"

"""What is done with finished runs of forecasts: their series is loaded, and they are measured."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphkit.cli.forecast import SHOWN, horizon_list
from graphkit.cli.options import DatasetArgument, use_fitting_threads
from graphkit.cli.output import begin, echo, fields, say, table
from graphkit.cli.recorded import typed_options

if TYPE_CHECKING:
    from graphkit.data import TemporalGraph
    from graphkit.training.trained.abstract_run import AbstractRun
    from graphkit.training.trained.forecast_run import ForecastRun


def load_forecast_data(run: AbstractRun[Any], source: str | None) -> TemporalGraph:
    """Return a series with the split of a run: the one that is named, or what the run was trained on.

    Raises:
        ValueError: for a run of a Python function that names no series, and where that is another one by now.
    """
    import graphkit.data
    from graphkit.cli.forecast import forecast
    from graphkit.cli.tune import tune

    command = tune if run.about.tuning else forecast
    try:
        typed = typed_options({"command": run.about.command}, command)
    except ValueError as error:
        if source is None:
            raise ValueError(f"`data` must be named: {error}") from None
        typed = {}
    asked = DatasetArgument(source or typed.get("dataset", "los-loop"), series=True)
    asked.require_series()
    begin(f"loading {asked.name}")
    data = graphkit.data.load_series(
        asked.source,
        split=typed.get("split"),
        length=typed.get("length"),
        horizons=horizon_list(typed.get("horizons")),
        season=typed.get("season"),
        edge_weights=not typed.get("unweighted"),
    )
    if source is None and not run.is_own(data):
        raise ValueError(
            f"`data`: {asked.name!r} is no longer what the run was trained on (its checksum differs); name other data."
        )
    use_fitting_threads(int(data.num_edges))
    return data


def evaluate_forecasts(
    run: ForecastRun, data: TemporalGraph, part: str, json_path: Path | None, seed: int | None, device: str
) -> int:
    """Measure what the models of a run forecast, write and print it, and return the exit code.

    Args:
        run: of forecasts.
        data: a series with a split.
        part: "train", "val" or "test".
        json_path: where the figures are written too.
        seed: whose model alone is asked.
        device: where.
    """
    begin("forecasting")
    found = run.evaluate(data, part=part, seed=seed, device=device)
    if json_path is not None:
        plain = {"run": str(run.folder), **vars(found)}
        json_path.write_text(json.dumps(plain, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        say(f"Figures: {json_path}")
    many = len(found.figures[found.name])
    fields(
        [
            ("model", run.model.recipe.name),
            ("trained on", run.record.dataset.name),
            ("moments", f"{found.part}, {found.moments:,}" + (f" for each of {many} seeds" if many > 1 else "")),
            (SHOWN.get(found.name, found.name), _spread(found.figures[found.name])),
            *([("of the seeds' mean", f"{found.together[found.name]:.4f}")] if found.together else []),
        ]
    )
    echo()
    names = [name for name in found.figures if name != found.name]
    ways = dict.fromkeys(name.partition(" ")[2] for name in names)
    kinds = [kind for kind in SHOWN if any(name.startswith(f"{kind} ") for name in names)]
    rows = [
        [way, *(_spread(found.figures[f"{kind} {way}"]) if f"{kind} {way}" in found.figures else "" for kind in kinds)]
        for way in ways
    ]
    table(["moments ahead", *(f" {SHOWN[kind].removesuffix(', %')}" for kind in kinds)], rows)
    return 0


def _spread(values: tuple[float, ...]) -> str:
    """Return mean and deviation."""
    mean = f"{statistics.fmean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean

"""What is done with finished runs of forecasts: their series is loaded, and they are measured."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphkit.cli.forecast import SHOWN, horizon_list
from graphkit.cli.options import DatasetArgument, use_fitting_threads
from graphkit.cli.output import begin, echo, fields, say, table
from graphkit.cli.page_parts import principal_places, record_rows
from graphkit.cli.recorded import typed_options

if TYPE_CHECKING:
    from graphkit.data import TemporalGraph
    from graphkit.training.trained.abstract_run import AbstractRun
    from graphkit.training.trained.classifier import TrainedModel
    from graphkit.training.trained.forecast_run import ForecastRun


def load_forecast_data(run: AbstractRun[Any], source: str | None, *, split: bool = True) -> TemporalGraph:
    """Return a series, the one that is named, or what the run was trained on, with the split of the run if asked.

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
    if source is not None and not split:  # it may be too short to be cut
        data = graphkit.data.load(asked.source)
        data.edge_weight = None if typed.get("unweighted") else data.get("edge_weight")
        return data
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


MOST_NODES, MOST_MOMENTS = 400, 600
"""Nodes and moments of a page, at most; of more evenly spaced ones, and the last."""


def page_of_forecasts(run: ForecastRun, model: TrainedModel, data: TemporalGraph, *, device: str = "auto") -> str:
    """Return a page of what a model of a run forecast of the moments to measure.

    Args:
        run: of forecasts.
        model: one of its models.
        data: a series with a split.
        device: where.
    """
    import torch

    from graphkit.cli.forecast_pictures import forecast_moments, of_moments
    from graphkit.training.trained.data_facts import item_ids
    from graphkit.training.trained.forecast_run import model_forecasts
    from graphkit.viz.forecast_page import ForecastPage, forecast_page

    split: Any = data.forecast_split
    many, record = int(data.num_nodes), run.record
    origins = split.origins("test", length=model.objective.target.length)  # type: ignore[attr-defined]
    said = model_forecasts(model, data, origins, device=device)[..., 0]
    signals = data.signals[..., 0].to(said.dtype)
    came = signals.unfold(0, said.size(1), 1).movedim(-1, 1)[origins.start + 1 : origins.stop + 1]
    errors = (said - came).square().nanmean((0, 1)).sqrt()
    nodes = torch.linspace(0, many - 1, min(many, MOST_NODES)).round().long().unique()
    horizons = [ahead for ahead in split.horizons if ahead <= said.size(1)]
    moments = forecast_moments(origins, horizons)[-MOST_MOMENTS:]
    forecasts = {name: each[:, nodes].numpy() for name, each in of_moments(said, origins, moments, horizons).items()}
    pos, axes = data.get("pos"), ("place, x", "place, y")
    if pos is None:
        pos, axes = principal_places(signals[: split.time.train].nan_to_num(0.0).T[nodes].double())
    else:
        pos = pos[nodes]
    ids = item_ids(data, many)
    left = f"every {many / len(nodes):.3g}th of {many:,} nodes is shown" if len(nodes) < many else ""
    page = ForecastPage(
        title=f"{model.recipe.name} on {record.dataset.name}",
        headline=f"test {record.metric.name} {record.metric}; seed {model.seed} is shown, on moments that are measured",
        ids=[ids[node] for node in nodes.tolist()],
        points=pos.numpy(),
        axes=axes,
        errors=errors[nodes].numpy(),
        times=moments.tolist() if data.dates is None else data.dates[moments.numpy()].tolist(),
        truth=signals[moments][:, nodes].numpy(),
        forecasts=forecasts,
        record=record_rows(record),
        left_out=left,
    )
    return forecast_page(page)


def _spread(values: tuple[float, ...]) -> str:
    """Return mean and deviation."""
    mean = f"{statistics.fmean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean

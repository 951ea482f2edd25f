"""Pictures of a run of forecasts: beside what came, by the hour, and on the map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from graphkit.data import TemporalGraph
    from graphkit.training import Outcome

DAY, DRAWN = 86_400, 300
"""Seconds of a day; moments of a picture."""


def forecast_pictures(outcome: Outcome, data: TemporalGraph) -> dict[str, Figure]:
    """Return file name -> picture, of the model of the first seed on the moments to measure.

    Args:
        outcome: of ``train`` on a series.
        data: with its split.
    """
    from graphkit.training.trained.data_facts import item_ids
    from graphkit.training.trained.forecast_run import model_forecasts
    from graphkit.viz import error_lines, error_map, forecast_lines

    split: Any = data.forecast_split
    model, record = outcome.models[0], outcome.record
    origins = split.origins("test", length=model.objective.target.length)  # type: ignore[attr-defined]
    said = model_forecasts(model, data, origins)[..., 0]
    came = data.signals[..., 0].to(said.dtype).unfold(0, split.horizon, 1).movedim(-1, 1)
    apart = said - came[origins.start + 1 : origins.stop + 1]
    title = f"{model.recipe.name} on {record.dataset.name}"
    note = f"seed {model.seed}, test moments  ·  protocol {record.protocol.fingerprint}"
    ids = [str(each) for each in item_ids(data, int(data.num_nodes))]
    shown = sorted({split.horizons[0], split.horizons[-1]})
    of_node = apart.square().nanmean((0, 1)).sqrt()
    found = {"forecasts.png": _lines(forecast_lines, data, said, origins, shown, of_node, ids, title, note)}
    places, names = _calendar(data, torch.arange(origins.start, origins.stop))
    errors = {f"{ahead} ahead": _by_place(apart[:, ahead - 1], places[ahead]) for ahead in split.horizons}
    where = sorted({place for each in errors.values() for place in each})
    found["errors.png"] = error_lines(
        where,
        {name: np.array([each.get(place, np.nan) for place in where]) for name, each in errors.items()},
        title=f"{title}: error over the calendar",
        note=note,
        xlabel=names,
        ylabel="RMSE",
    )
    if data.get("pos") is not None:
        found["map.png"] = error_map(
            data.pos.numpy(),
            of_node.numpy(),
            data.edge_index.numpy() if data.num_edges < 20_000 else None,
            title=f"{title}: error on the map",
            note=note,
            label=f"RMSE, 1 to {split.horizon} ahead",
        )
    return found


def _lines(
    draw: Any,
    data: TemporalGraph,
    said: Tensor,
    origins: range,
    shown: list[int],
    of_node: Tensor,
    ids: list[str],
    title: str,
    note: str,
) -> Figure:
    """Return what came at the nodes of the least, the middle and the largest error, and what was forecast."""
    order = of_node.nan_to_num(0.0).argsort().tolist()
    nodes = list(dict.fromkeys([order[len(order) // 4], order[len(order) // 2], order[-1 - len(order) // 10]]))
    moments = forecast_moments(origins, shown)[-DRAWN:]
    forecasts = {name: each[:, nodes].numpy() for name, each in of_moments(said, origins, moments, shown).items()}
    times = moments.numpy() if data.dates is None else data.dates[moments.numpy()]
    names = [f"node {ids[node]}, RMSE {of_node[node]:.3g}" for node in nodes]
    came = data.signals[moments][:, nodes, 0].numpy()
    return draw(times, came, forecasts, names, title=f"{title}: what came, and what was forecast", note=note)


def forecast_moments(origins: range, horizons: Sequence[int]) -> Tensor:
    """Return the moments of which there is a forecast, of some horizons."""
    return torch.arange(origins.start + horizons[0], origins.stop + horizons[-1])


def of_moments(said: Tensor, origins: range, moments: Tensor, horizons: Sequence[int]) -> dict[str, Tensor]:
    """Return what was forecast of some moments, by the horizon, ``[moments, nodes]``; NaN where nothing was.

    Args:
        said: forecasts ``[origins, horizon, nodes]``.
        origins: after which they were made.
        moments: of which.
        horizons: how many moments ahead.
    """
    found = {}
    for ahead in horizons:
        place = moments - ahead - origins.start
        there = (place >= 0) & (place < len(said))
        each = said.new_full((len(moments), said.size(2)), torch.nan)
        each[there] = said[place[there], ahead - 1]
        found[f"{ahead} ahead"] = each
    return found


def _calendar(data: TemporalGraph, origins: Tensor) -> tuple[dict[int, Tensor], str]:
    """Return for each horizon the place of what is forecast in the calendar, and what places are."""
    split: Any = data.forecast_split
    times, step = data.get("times"), data.step_seconds
    if times is None or step is None or step > DAY:
        return {ahead: origins + ahead for ahead in split.horizons}, "moment"
    at = {ahead: times[origins] + ahead * step for ahead in split.horizons}
    if step == DAY:
        return {ahead: (each // DAY + 3) % 7 for ahead, each in at.items()}, "day of the week, 0 is Monday"
    return {ahead: each % DAY // 3600 for ahead, each in at.items()}, "hour of the day"


def _by_place(apart: Tensor, places: Tensor) -> dict[int, float]:
    """Return the root of the mean square error of each place."""
    squares = apart.square()
    return {place: float(squares[places == place].nanmean().sqrt()) for place in places.unique().tolist()}

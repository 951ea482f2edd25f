"""Finished runs of forecasts: what comes next, and how far off it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit._checks import instance, member
from graphkit.data.temporal_graph import TemporalGraph
from graphkit.data.windows import PARTS
from graphkit.training.engine.distributed import fabric_on, in_precision, own_device
from graphkit.training.engine.records import Metric, dataset_facts, metric
from graphkit.training.engine.trainer import require_finite
from graphkit.training.forecasting.forecast_task import MomentTask, forecast_split_of
from graphkit.training.trained.classifier import TrainedModel
from graphkit.training.trained.data_facts import item_ids, structure_sha256
from graphkit.training.trained.model_run import AbstractModelRun
from graphkit.training.trained.predictions import ForecastPredictions

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.data import GraphSet


@dataclass(frozen=True, eq=False)
class ForecastReport:
    """What each seed's model came to on moments of a part.

    Args:
        name: of the figure that the run records.
        figures: all figures by name, that of the record first, one for each seed.
        together: those of the mean of what all seeds say; nothing of one seed alone.
        moments: after how many was forecast.
        part: of the split.
    """

    name: str
    figures: Mapping[str, tuple[float, ...]]
    together: Mapping[str, float]
    moments: int
    part: str

    def metric(self, name: str) -> Metric:
        """Return a figure over the seeds."""
        return metric(name, self.figures[name], unit="number")


@dataclass(frozen=True, eq=False)
class ForecastRun(AbstractModelRun):
    """A finished run of ``graphkit forecast``, or of ``train`` on a series with a ``run_dir``."""

    def is_own(self, data: Data | GraphSet) -> bool:
        """Return whether ``data`` are what the run was trained on, by their checksum."""
        return isinstance(data, TemporalGraph) and dataset_facts(data).sha256 == self.record.dataset.sha256

    def forecasts(self, data: Any, origins: range, *, seed: int | None = None, device: str = "auto") -> Tensor:
        """Return what comes after some moments, ``[moments, horizon, nodes, features]``; nothing later is looked at.

        Args:
            data: a series.
            origins: consecutive moments.
            seed: whose model is asked; by default all are, and the mean is returned.
            device: "auto", "cpu", "cuda" or "cuda:1".

        Raises:
            ValueError: for a seed that was not trained, data that do not fit, and moments before which there are too
                few.
        """
        chosen = self.models_of(seed)
        return torch.stack([model_forecasts(each, data, origins, device=device) for each in chosen]).mean(0)

    def predict(self, data: Any, *, seed: int | None = None, device: str = "auto") -> ForecastPredictions:  # type: ignore[override]  # of moments
        """Return what comes after the last moment of a series, as a table.

        Args:
            data: a series: what was trained on, or as it has gone on.
            seed, device: as for :meth:`forecasts`.

        Raises:
            ValueError: as :meth:`forecasts` does.
        """
        graph = instance("data", data, TemporalGraph, "a TemporalGraph")
        last = graph.steps - 1
        values = self.forecasts(graph, range(last, last + 1), seed=seed, device=device)[0]
        step, times = graph.step_seconds, graph.get("times")
        moments: Sequence[Any] = [graph.steps + place for place in range(len(values))]
        if times is not None and step is not None:
            ahead = times[-1] + step * torch.arange(1, len(values) + 1)
            moments = ahead.numpy().astype("datetime64[s]").tolist()
        return ForecastPredictions(moments, item_ids(graph, int(graph.num_nodes)), values)

    def evaluate(
        self, data: Any, *, part: str = "test", seed: int | None = None, device: str = "auto"
    ) -> ForecastReport:
        """Return every figure of moments of a part, for each seed's model.

        Args:
            data: a series with ``forecast_split``.
            part: "train", "val" or "test".
            seed: whose model is asked; by default each.
            device: "auto", "cpu", "cuda" or "cuda:1".

        Raises:
            ValueError: for a series without a split, and what :meth:`forecasts` refuses.
        """
        member("part", part, PARTS)
        split = forecast_split_of(instance("data", data, TemporalGraph, "a TemporalGraph"))
        chosen = self.models_of(seed)
        origins = split.origins(part, length=max(_goal(each).length for each in chosen))
        found: dict[str, list[float]] = {}
        said = []
        for model in chosen:
            horizon = _goal(model).horizon
            if horizon < split.horizon:
                raise ValueError(f"`horizons`: the model forecasts {horizon} moments, and {split.horizon} are asked.")
            outputs = model_forecasts(model, data, origins, device=device)[:, : split.horizon]
            said.append(outputs)
            for name, figure in _figures(model, data, outputs, origins).items():
                found.setdefault(name, []).append(figure)
        together = _figures(chosen[0], data, torch.stack(said).mean(0), origins) if len(chosen) > 1 else {}
        figures = {name: tuple(values) for name, values in found.items() if len(values) == len(chosen)}
        return ForecastReport(self.record.metric.name, figures, together, len(origins), part)


def _goal(model: TrainedModel) -> Any:
    """Return what a model forecasts."""
    return model.objective.target


def _figures(model: TrainedModel, data: TemporalGraph, outputs: Tensor, origins: range) -> dict[str, float]:
    """Return every figure, that of the record first."""
    from graphkit.training.forecasting.horizon_figures import horizon_figures

    split = forecast_split_of(data)
    y = data.signals.unfold(0, split.horizon, 1).permute(0, 3, 1, 2)[origins.start + 1 : origins.stop + 1]
    y = y.to(outputs.dtype)
    return {
        model.objective.name: float(model.objective.metric(outputs, y)),
        **horizon_figures(outputs, y, split.horizons),
    }


def model_forecasts(model: TrainedModel, data: Any, origins: range, *, device: str = "auto") -> Tensor:
    """Return what a trained model says comes after some moments, ``[moments, horizon, nodes, features]``, on the CPU.

    Args:
        model: of moments.
        data: a series.
        origins: consecutive moments.
        device: "auto", "cpu", "cuda" or "cuda:1".

    Raises:
        ValueError: for other features, another graph where parameters belong to one, and moments before which there are
            too few.
    """
    graph = instance("data", data, TemporalGraph, "a TemporalGraph")
    name, channels = model.recipe.name, graph.signals.size(-1)
    if channels != model.channels:
        raise ValueError(f"the model {name!r} forecasts {model.channels:,} features, but `data` has {channels:,}.")
    if model.graph_sha256 and structure_sha256(graph) != model.graph_sha256:
        raise ValueError(
            f"the model {name!r} has parameters that belong to the graph of {model.dataset!r} and mean nothing on "
            "another; train one whose parameters belong to no graph, such as 'stgcn' or 'graph-gru'."
        )
    fabric = fabric_on(own_device(device), model.precision)
    dtype = torch.float64 if model.precision == "64-true" else torch.float32
    task = model.task(graph, fabric.device, dtype)
    assert isinstance(task, MomentTask)
    length = task.shape.length
    if graph.steps < length:
        raise ValueError(f"the model looks at {length:,} moments, and `data` has {graph.steps:,}.")
    if origins.step != 1 or not len(origins) or origins.start < length - 1 or origins.stop > graph.steps:
        raise ValueError(
            f"`origins` must be consecutive moments from {length - 1:,} to {graph.steps - 1:,}, as the model looks at "
            f"{length:,}, got {origins!r}."
        )
    module = model.draw(task.graph).to(fabric.device)
    fabric.setup_module(module)
    module.load_state_dict(model.module_weights)
    asked = in_precision(module, fabric).eval()
    with torch.no_grad():
        found = task.logits(asked, torch.arange(origins.start, origins.stop, device=fabric.device)).cpu()
    require_finite("the model's forecasts", [found])
    return found

"""What a training on moments sees: windows of the signals, what comes after them, and the graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.utils import coalesce, is_undirected

from graphkit import _checks
from graphkit.data.temporal_graph import TemporalGraph, clock_of, hands_seen, season_of
from graphkit.data.windows import ForecastSplit
from graphkit.nn.temporal import AbstractForecaster
from graphkit.training.classification.metrics import metric_for
from graphkit.training.classification.targets import ForecastTarget, SupervisedObjective
from graphkit.training.classification.tasks import AbstractTask, LabelledItems
from graphkit.training.engine.records import DatasetFacts, Protocol, split_name
from graphkit.training.forecasting.horizon_figures import horizon_figures
from graphkit.training.zoo.forecast_architectures import SeriesShape

if TYPE_CHECKING:
    from graphkit.training.zoo.recipes import Recipe

ENTRIES = 2**21
"""Numbers of windows that a model is asked about at a time where nothing is learnt."""

NONE = LabelledItems(torch.empty(0, dtype=torch.long), torch.empty(0, 1, 1, 1))
"""The items of a task that has none."""


@dataclass(frozen=True)
class MomentTask(AbstractTask):
    """Moments of a series, each an item, and what comes after it its label.

    Windows and labels are views of the signals: only those of a batch take memory of their own.

    Args:
        signals: ``[time, nodes, features]``, NaN where nothing was measured.
        clock: where moments stand in day, week and year, ``[time, columns]``; None where the calendar is not known.
        graph: a :class:`.SeriesShape`, and what a model takes after the clock.
        train: the moments the loss is taken over.
        validation: the moments the selection looks at.
        objective: what is minimised and what is measured.
        horizons: how many moments ahead figures are given for.
        learnt: moments to learn from, of which nothing later is looked at to fit what is not a weight.
        times: seconds of all moments, where the calendar is known.
    """

    signals: Tensor
    clock: Tensor | None
    graph: tuple[Any, ...]
    train: LabelledItems
    validation: LabelledItems
    objective: SupervisedObjective
    horizons: tuple[int, ...] = (1,)
    learnt: int = 0
    times: Tensor | None = None

    @property
    def channels(self) -> int:
        """Features of a node."""
        return self.signals.size(-1)

    @property
    def shape(self) -> SeriesShape:
        """What a model is made for."""
        return self.graph[0]

    @property
    def learnt_signals(self) -> Tensor:
        """The signals of the moments to learn from."""
        return self.signals[: self.learnt]

    @property
    def known_hands(self) -> Tensor | None:
        """Which columns of the clock have run through a whole period; of one without a calendar those that move."""
        if self.clock is None:
            return None
        if self.times is not None:
            return hands_seen(self.times[: self.learnt]).to(self.signals.device)
        seen, season = self.clock[: self.learnt], getattr(self.objective.target, "season", 0.0)
        return (seen != seen[0]).any(0) & (season <= self.learnt)

    def logits(self, model: Callable[..., Tensor], index: Tensor) -> Tensor:
        """Return forecasts after some moments, ``[moments, horizon, nodes, features]``."""
        if torch.is_grad_enabled():
            return self._ask(model, index)
        ends = (index.diff() != 1).nonzero().flatten().tolist()
        sizes = [stop - start for start, stop in zip([-1, *ends], [*ends, len(index) - 1], strict=True)]
        found = []
        for part in index.split(sizes):
            if isinstance(model, AbstractForecaster):  # means around nodes are taken once for all windows
                span = slice(int(part[0]) - self.shape.length + 1, int(part[-1]) + 1)
                clock = None if self.clock is None else self.clock[span]
                found.append(model.forecast(self.signals[span], clock, *self.graph[1:]))
                continue
            block = max(1, ENTRIES // max(1, self.shape.length * self.signals[0].numel()))
            found += [self._ask(model, each) for each in part.split(block)]
        return torch.cat(found)

    def batches(self, size: int) -> Iterator[LabelledItems]:
        """Yield the moments to learn from in a drawn order."""
        rows = self.train
        if not size:
            yield rows
            return
        order = torch.randperm(len(rows.index)).to(rows.index.device)
        for part in order.split(size):
            yield LabelledItems(rows.index[part], rows.y[part])

    def figures(self, outputs: Tensor, y: Tensor) -> dict[str, float]:
        """Return every figure of each horizon."""
        return horizon_figures(outputs, y, self.horizons)

    def refit_task(self) -> MomentTask:
        """Return the task with all moments before those to measure to learn from, as far as their forecasts go."""
        end = int(self.validation.index[-1]) + 1
        train = self.items(range(int(self.train.index[0]), end))
        return dataclasses.replace(self, train=train, learnt=end + self.shape.horizon)

    def items(self, origins: range) -> LabelledItems:
        """Return some moments with what comes after them, a view."""
        y = self.signals.unfold(0, self.shape.horizon, 1).permute(0, 3, 1, 2)[origins.start + 1 : origins.stop + 1]
        return LabelledItems(torch.arange(origins.start, origins.stop, device=self.signals.device), y)

    def _ask(self, model: Callable[..., Tensor], index: Tensor) -> Tensor:
        """Return what a model says of the windows that end with some moments."""
        windows = self.signals.unfold(0, self.shape.length, 1).permute(0, 3, 1, 2)
        clock = None if self.clock is None else self.clock[index]
        return model(windows[index - self.shape.length + 1], clock, *self.graph[1:])


def clock_columns(graph: TemporalGraph, season: float) -> Tensor | None:
    """Return where moments stand in day, week and year, or in a season, ``[time, columns]``; None if nobody knows."""
    times = graph.get("times")
    if times is not None:
        return clock_of(times)
    return season_of(graph.steps, season) if season else None


def unlabelled_moments(
    data: Any,
    recipe: Recipe,
    device: torch.device,
    dtype: torch.dtype,
    *,
    length: int,
    horizon: int,
    learnt: int,
    objective: SupervisedObjective | None = None,
) -> MomentTask:
    """Return a series as a task without items.

    Args:
        data: signals on a graph over time.
        recipe: of moments.
        device: where everything goes.
        dtype: of signals and edge weights.
        length: moments that a model looks at, where it does not say itself.
        horizon: moments that are forecast.
        learnt: moments to learn from; a graph that changes is the mean of what it was then.
        objective: what is minimised and measured, where it is known.

    Raises:
        ValueError: for a recipe of other items, data that are no series, and edge weights that are negative.
    """
    if recipe.model.items != "moments":
        raise ValueError(
            f"`recipe` {recipe.name!r} is for {recipe.model.items}, but the items of the data are moments; take one of "
            "`recipe(name, items='moments')`."
        )
    graph, model = _checks.instance("data", data, TemporalGraph, "a TemporalGraph"), recipe.model
    known = None if objective is None else objective.target
    told = graph.get("forecast_split")
    season = known.season if isinstance(known, ForecastTarget) else told.season if told is not None else 0.0
    length = model.lookback(length, graph.step_seconds, season)  # type: ignore[attr-defined]
    edges, weight = mean_graph(graph, learnt)
    if weight is not None and model.edge_weights == "used":
        _checks.degree_weights(weight)
    clock = clock_columns(graph, season)
    clock = None if clock is None else clock.to(device, dtype)
    both = not is_undirected(edges, weight, num_nodes=graph.num_nodes)
    shape = SeriesShape(length, horizon, int(graph.num_nodes), both, 0 if clock is None else clock.size(1))
    prepared = model.graph(edges.to(device), None if weight is None else weight.to(device, dtype), graph.num_nodes)
    if isinstance(known, ForecastTarget):  # a model looks at what it was made to look at
        shape = shape._replace(both=known.both, clock=known.clock)
        clock = clock if known.clock else None
    signals = graph.signals.to(device, dtype)
    if objective is None:
        x = signals[:learnt].reshape(-1, signals.size(-1)).double()
        scale = (x - x.nanmean(0)).square().nanmean(0).sqrt().nan_to_num(1.0)
        target = ForecastTarget(*shape, learnt, season, tuple(torch.where(scale > 0, scale, 1.0).tolist()))
        objective = SupervisedObjective(target, metric_for("forecasts", target.outputs))
    return MomentTask(signals, clock, (shape, *prepared), NONE, NONE, objective, (horizon,), learnt, graph.get("times"))


def prepare_forecasts(
    data: Any, recipe: Recipe, device: torch.device, dtype: torch.dtype, metric: str | None = None
) -> tuple[MomentTask, LabelledItems]:
    """Return the task and, apart from it, the moments to test on.

    Args:
        data: signals on a graph over time, with ``forecast_split``.
        recipe, device, dtype: as for :func:`unlabelled_moments`.
        metric: the figure to select and report by, of all moments ahead together; by default the card's, or RMSE.

    Raises:
        ValueError: as :func:`unlabelled_moments` does, without a split, and for a part in which nothing was measured.
    """
    split = forecast_split_of(_checks.instance("data", data, TemporalGraph, "a TemporalGraph"))
    learnt = split.time.train
    task = unlabelled_moments(data, recipe, device, dtype, length=split.length, horizon=split.horizon, learnt=learnt)
    parts = {part: task.items(split.origins(part, length=task.shape.length)) for part in ("train", "val", "test")}
    published = getattr(data.get("card"), "metric", None)
    measured = metric_for("forecasts", task.outputs, named=metric, published=published)
    for part, rows in parts.items():
        if not len(rows.index):
            raise ValueError(f"`{part}` of the split leaves no moment for a model that looks at {task.shape.length:,}.")
        if part != "train":
            measured.columns(rows.y, part)
    objective = SupervisedObjective(task.objective.target, measured)
    made = dataclasses.replace(
        task, train=parts["train"], validation=parts["val"], objective=objective, horizons=split.horizons
    )
    return made, parts["test"]


def forecast_split_of(data: Any) -> ForecastSplit:
    """Return the split that a series carries.

    Raises:
        ValueError: where there is none.
    """
    split = data.get("forecast_split")
    if not isinstance(split, ForecastSplit):
        raise ValueError(
            "`forecast_split` is missing: a series is learnt with a split of time, such as "
            "`ForecastSplit(TimeSplit.of(graph.steps), length=12, horizons=(3, 12)).apply(graph)`."
        )
    return split


def forecast_protocol(data: TemporalGraph, facts: DatasetFacts, selection: str, metric: str) -> Protocol:
    """Return the protocol of forecasts."""
    split = forecast_split_of(data)
    record, sizes = split.record(), [len(split.origins(part)) for part in ("train", "val", "test")]
    where = "inside their part" if split.inside else "before them, in whichever part"
    return Protocol(
        dataset=facts.name,
        dataset_sha256=facts.sha256,
        split=split_name([record]),
        split_sha256=record["fingerprint"],
        train=sizes[0],
        validation=sizes[1],
        test=sizes[2],
        setting="chronological",
        selection=selection,
        metric=metric,
        items="moments",
        rule=f"1 to {split.horizon} ahead, from {split.length} {where}",
    )


def mean_graph(graph: TemporalGraph, learnt: int) -> tuple[Tensor, Tensor | None]:
    """Return edges and weights of a series: those of a graph that changes are means over the moments to learn from.

    Args:
        graph: a series.
        learnt: how many moments these are.

    Raises:
        ValueError: for a graph that has no edge until then.

    Example:
        >>> edges, step = torch.tensor([[0, 0, 1], [1, 1, 0]]), torch.tensor([0, 1, 3])
        >>> series = TemporalGraph(torch.zeros(4, 2), edges, torch.tensor([1.0, 3.0, 9.0]), edge_step=step)
        >>> mean_graph(series, 2)
        (tensor([[0],
                [1]]), tensor([2.]))
    """
    weight, steps = graph.get("edge_weight"), graph.get("edge_step")
    if steps is None:
        return graph.edge_index, weight
    kept = steps < learnt
    if not bool(kept.any()):
        raise ValueError(f"`edge_step` names no moment among the first {learnt:,}, of which a graph could be learnt.")
    many = len(steps[kept].unique())
    weight = torch.ones(graph.num_edges) if weight is None else weight
    edges, total = coalesce(graph.edge_index[:, kept], weight[kept], num_nodes=graph.num_nodes, reduce="sum")
    return edges, total / many

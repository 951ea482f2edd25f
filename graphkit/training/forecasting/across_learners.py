"""Learners across graphs: rules, ridge regression, and networks that are pooled, tuned, or started to be tuned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call

from graphkit.data.temporal_graph import TemporalGraph
from graphkit.operators import SparseOperator, walk_adjacency
from graphkit.training.forecasting.forecast_task import mean_graph
from graphkit.training.zoo.forecast_architectures import SeriesShape

if TYPE_CHECKING:
    from graphkit.training.forecasting.across_recipes import AcrossRecipe

RULES = ("last-value", "window-mean", "ridge-alone", "ridge-pooled", "graph-ridge-pooled")
"""Learners without a seed."""

NETWORKS = ("alone", "pooled", "fine-tuned", "reptile", "anil", "r2d2", "fomaml", "maml")
"""Networks: of the graph alone, of all, the same with steps on the graph's last windows, and starts for such steps, or
for a head that is solved for there."""

STEPPING = ("fine-tuned", "reptile", "anil", "fomaml", "maml")
"""Networks that take steps on the last windows of a graph."""

LEARNERS = (*RULES, *NETWORKS)
"""All of them, in the order of the table."""

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of what a learner says is mixed with the mean of what is seen; half of it before any has been judged."""

JUDGED = 14
"""Forecasts before one by which that is chosen."""

PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""Weights of the penalty of ridge regression, in shares of the mean square of the columns; beside them stands none of
it: the mean of what is seen."""


@dataclass(frozen=True)
class KnownSeries:
    """A series of which some moments are known.

    Args:
        name: of the graph.
        signals: ``[time, nodes, features]``.
        times: seconds of the moments.
        graph: it comes from.
        offset: moments of ``graph`` before the first of these.
    """

    name: str
    signals: Tensor
    times: Tensor
    graph: TemporalGraph
    offset: int

    @classmethod
    def of(cls, name: str, graph: TemporalGraph) -> KnownSeries:
        """Return a series, of a graph that changes with time the moments for which it is known.

        Raises:
            ValueError: for one without a calendar.
        """
        times, steps = graph.get("times"), graph.get("edge_step")
        if times is None:
            raise ValueError(f"`graphs` {name!r} has no calendar, by which what is known of others could be told.")
        begin, end = (0, graph.steps) if steps is None else (int(steps.min()), int(steps.max()) + 1)
        return cls(name, graph.signals[begin:end].float(), times[begin:end], graph, begin)

    def origins(self, first: int, horizon: int, length: int) -> range:
        """Return the moments after which is forecast.

        Raises:
            ValueError: where there is none.
        """
        found = range(max(first, length) - 1, len(self.signals) - horizon)
        if not len(found):
            raise ValueError(
                f"{self.name!r} has {len(self.signals):,} moments, after none of which {horizon:,} come when "
                f"{max(first, length):,} must be known."
            )
        return found

    def count_until(self, date: int, *, honest: bool) -> int:
        """Return how many moments are known at a date."""
        return int((self.times <= date).sum()) if honest else len(self.signals)

    def edges(self, known: int) -> tuple[Tensor, Tensor | None]:
        """Return the graph as it was on the mean, as far as that is known; weights have the mean 1."""
        edges, weight = mean_graph(self.graph, self.offset + max(known, 1))
        return edges, None if weight is None else weight / weight.mean().clamp(min=1e-12)


@dataclass(frozen=True)
class KnownWindows:
    """What a learner sees of one graph: windows whose next moments are known too, in deviations of what is known.

    Args:
        windows: ``[windows, length, nodes, features]``.
        targets: ``[windows, horizon, nodes, features]``.
        graph: edges and weights.
        scale: a deviation.
    """

    windows: Tensor
    targets: Tensor
    graph: tuple[Any, ...]
    scale: float


class AbstractAcrossForecaster(ABC):
    """Forecasts one graph, moment by moment.

    Attributes:
        mixes: whether what it says may be mixed with the mean of what is seen.

    Args:
        recipe: how.
        target: the graph.
        others: those beside it.
        horizon: moments that are forecast.
        honest: whether of the others only what was there by then is known.
    """

    mixes = True

    def __init__(
        self, recipe: AcrossRecipe, target: KnownSeries, others: Sequence[KnownSeries], horizon: int, *, honest: bool
    ) -> None:
        self.recipe, self.target, self.others, self.horizon, self.honest = recipe, target, others, horizon, honest
        self._before: dict[int, tuple[Tensor, Tensor]] = {}

    def forecast(self, origin: int) -> Tensor:
        """Return what comes after a moment, ``[horizon, nodes, features]``; moments are asked for in their order."""
        said = self.say(origin)
        if not self.mixes or not self.recipe.mix:
            return said
        mean = self.window_at(origin).nanmean(0, keepdim=True).nan_to_num(0.0).expand_as(said)
        weight = self._weight(origin)
        self._before[origin] = mean, said
        self._before.pop(origin - JUDGED, None)
        return mean + weight * (said - mean)

    @abstractmethod
    def say(self, origin: int) -> Tensor:
        """Return what the learner alone says comes after a moment, ``[horizon, nodes, features]``."""

    def _weight(self, origin: int) -> float:
        """Return how much of what it says is taken, by what has come of what it said before."""
        errors = torch.zeros(len(WEIGHTS), dtype=torch.float64)
        for before, (mean, said) in self._before.items():
            came = self.target.signals[before + 1 : min(origin, before + self.horizon) + 1]
            known = len(came)
            for place, weight in enumerate(WEIGHTS):
                mixed = mean[:known] + weight * (said[:known] - mean[:known])
                errors[place] += float((mixed - came).abs().nansum())
        return WEIGHTS[int(errors.argmin())] if bool(errors.any()) else 0.5

    def window_at(self, origin: int) -> Tensor:
        """Return the window that ends with a moment, ``[length, nodes, features]``."""
        return self.target.signals[origin - self.recipe.length + 1 : origin + 1]

    def learnt(self, origin: int, *, alone: bool = False) -> list[KnownWindows]:
        """Return what is known at a moment, the target's own last; graphs with too few moments are left out."""
        date = int(self.target.times[origin])
        counts = [] if alone else [(each, each.count_until(date, honest=self.honest)) for each in self.others]
        counts.append((self.target, origin + 1))
        return [self.known_windows(series, known) for series, known in counts if self.enough(known)]

    def enough(self, known: int) -> bool:
        """Return whether so many moments hold a window and what comes after it."""
        return known >= self.recipe.length + self.horizon

    def known_windows(self, series: KnownSeries, known: int) -> KnownWindows:
        """Return the windows of a series whose next moments are known."""
        length, many = self.recipe.length, max(known - self.recipe.length - self.horizon + 1, 0)
        scale = deviation(series.signals[:known])
        signals = series.signals[:known].nan_to_num(0.0) / scale
        if not many:
            empty = signals.new_empty(0, length, *signals.shape[1:])
            return KnownWindows(
                empty, signals.new_empty(0, self.horizon, *signals.shape[1:]), series.edges(known), scale
            )
        windows = signals.unfold(0, length, 1).permute(0, 3, 1, 2)[:many]
        targets = signals[length:].unfold(0, self.horizon, 1).permute(0, 3, 1, 2)[:many]
        return KnownWindows(windows, targets, series.edges(known), scale)


def deviation(signals: Tensor) -> float:
    """Return the deviation of what is known, 1 where that is 0."""
    there = signals[~signals.isnan()].double()
    found = float(there.std()) if there.numel() > 1 else 0.0
    return found if found > 0 else 1.0


class RuleForecaster(AbstractAcrossForecaster):
    """The last value, or the mean of what is seen."""

    mean, mixes = False, False

    def say(self, origin: int) -> Tensor:
        """Return it for each moment ahead."""
        seen = self.window_at(origin).nan_to_num(0.0)
        one = seen.mean(0, keepdim=True) if self.mean else seen[-1:]
        return one.expand(self.horizon, -1, -1)


class MeanForecaster(RuleForecaster):
    """The mean of what is seen."""

    mean = True


class RidgeForecaster(AbstractAcrossForecaster):
    """Ridge regression on deviations of lags from the mean of what is seen, which is what it falls back to.

    The penalty is that of the least error on the last windows of the target that are known, by weights that have not
    seen them.
    """

    pooled, hops = False, False

    def say(self, origin: int) -> Tensor:
        """Solve for the weights, and return what they say."""
        parts = self.learnt(origin, alone=not self.pooled)
        own = self.known_windows(self.target, origin + 1)
        window = self.window_at(origin).nan_to_num(0.0)[None] / own.scale
        columns, mean = self._columns(window, own.graph)
        if not parts:
            return (mean.expand(-1, self.horizon, -1, -1) * own.scale)[0].float()
        last = min(len(own.windows), self.recipe.every)
        early = [*parts[:-1], self._early(own, last + self.horizon)] if self.enough(origin + 1) else []
        penalty = self._penalty(own, last, early) if early else 1.0
        said = mean.expand(-1, self.horizon, -1, -1)
        if penalty is not None:
            said = said + self._apply(columns, self._solve(parts, penalty))
        return (said * own.scale)[0].clamp(min=0.0).float()

    def _early(self, own: KnownWindows, last: int) -> KnownWindows:
        """Return what was known before the last windows."""
        many = max(len(own.windows) - last, 0)
        return KnownWindows(own.windows[:many], own.targets[:many], own.graph, own.scale)

    def _columns(self, windows: Tensor, graph: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
        """Return deviations of lags, ``[windows, nodes, columns]`` in float64, and the means they are from."""
        x = windows.double()
        mean = x.mean(1, keepdim=True)
        apart = (x - mean).permute(0, 2, 1, 3).flatten(2)
        found = [apart]
        for walk in _walks(graph, x.size(2)) if self.hops else ():
            found.append(walk @ apart)
        return torch.cat(found, -1), mean

    def _sums(self, each: KnownWindows) -> tuple[Tensor, Tensor]:
        """Return sums of products of columns, and of columns and targets."""
        columns, mean = self._columns(each.windows, each.graph)
        y = (each.targets.double() - mean).permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
        z = columns.flatten(0, 1)
        return z.T @ z, z.T @ y

    def _solve(self, parts: Sequence[KnownWindows], penalty: float) -> Tensor:
        """Return the weights of a penalty, ``[columns, horizon * features]``."""
        sums = [self._sums(each) for each in parts]
        gram, products = sum(each[0] for each in sums), sum(each[1] for each in sums)
        assert isinstance(gram, Tensor)
        assert isinstance(products, Tensor)
        size = gram.diagonal().mean().clamp(min=1e-12)
        return torch.linalg.solve(gram + penalty * size * torch.eye(len(gram), dtype=gram.dtype), products)

    def _apply(self, columns: Tensor, weight: Tensor) -> Tensor:
        """Return what weights say, ``[windows, horizon, nodes, features]``."""
        return (columns @ weight).unflatten(-1, (self.horizon, -1)).movedim(2, 1)

    def _penalty(self, own: KnownWindows, last: int, early: Sequence[KnownWindows]) -> float | None:
        """Return the penalty of the least error on the last windows; None for the mean alone."""
        windows, targets = own.windows[-last:], own.targets[-last:].double()
        columns, mean = self._columns(windows, own.graph)
        errors = [float((mean - targets).abs().mean())]
        for penalty in PENALTIES:
            said = mean + self._apply(columns, self._solve(early, penalty))
            errors.append(float((said - targets).abs().mean()))
        best = min(range(len(errors)), key=errors.__getitem__)
        return None if best == 0 else PENALTIES[best - 1]


class PooledRidgeForecaster(RidgeForecaster):
    """The same, of all graphs together."""

    pooled = True


class GraphRidgeForecaster(PooledRidgeForecaster):
    """The same, with lags of what is around a node too."""

    hops = True


def _walks(graph: tuple[Any, ...], nodes: int) -> list[SparseOperator]:
    """Return means over the nodes that lead to one, and over those that one leads to."""
    edges, weight = graph
    flows = ("source_to_target", "target_to_source")
    return [walk_adjacency(edges, weight, num_nodes=nodes, flow=flow, dtype=torch.float64) for flow in flows]


class NetworkForecaster(AbstractAcrossForecaster):
    """A network that is trained on and on, and perhaps takes steps on the last windows of the target.

    Attributes:
        others_too: whether it learns from other graphs.
        adapts: whether it takes steps before it forecasts.
    """

    others_too, adapts = True, False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        recipe, nodes = self.recipe, self.target.signals.size(1)
        shape = SeriesShape(recipe.length, self.horizon, nodes, True, 0)
        self.net = recipe.module(self.target.signals.size(-1), self.horizon, (shape,))
        self.optimizer = torch.optim.Adam(recipe.parameter_groups(self.net), lr=recipe.lr)
        self._last: int | None = None

    def say(self, origin: int) -> Tensor:
        """Train on where it is time, adapt, and return what the network says."""
        if self._last is None or origin - self._last >= self.recipe.every:
            steps = self.recipe.steps if self._last is None else self.recipe.more_steps
            self._last = origin
            tasks = [each for each in self.learnt(origin, alone=not self.others_too) if len(each.windows)]
            self.net.train()
            for _ in range(steps if tasks else 0):
                self.optimizer.zero_grad()
                self.backward(tasks)
                self.optimizer.step()
        self.net.eval()
        own = self.known_windows(self.target, origin + 1)
        parameters = {name: value.detach() for name, value in self.net.named_parameters()}
        if self.adapts and len(own.windows):
            parameters = {name: value.requires_grad_() for name, value in parameters.items()}
            parameters = self.adapt(parameters, own, slice(-self.recipe.support, None), create_graph=False)
        window = self.window_at(origin).nan_to_num(0.0)[None] / own.scale
        with torch.no_grad():
            said = self.call(parameters, window, own)
        return (said * own.scale)[0].clamp(min=0.0)

    def backward(self, tasks: Sequence[KnownWindows]) -> None:
        """Add the gradients of a step: of the error on some windows of each graph."""
        loss: Any = 0.0
        for task in tasks:
            chosen = torch.randint(len(task.windows), (min(self.recipe.batch, len(task.windows)),))
            said = self.net(task.windows[chosen], None, *self.graph_of(task))
            loss = loss + (said - task.targets[chosen]).abs().mean()
        (loss / len(tasks)).backward()

    def graph_of(self, task: KnownWindows) -> tuple[Any, ...]:
        """Return a graph as the network takes it."""
        edges, weight = task.graph
        return self.recipe.model.graph(edges, weight, task.windows.size(2))

    def call(self, parameters: Mapping[str, Tensor], windows: Tensor, task: KnownWindows) -> Tensor:
        """Return what the network says with other parameters."""
        found: Tensor = functional_call(self.net, dict(parameters), (windows, None, *self.graph_of(task)))
        return found

    def adapt(
        self, parameters: dict[str, Tensor], task: KnownWindows, which: slice, *, create_graph: bool
    ) -> dict[str, Tensor]:
        """Return the parameters after some steps on windows of a graph."""
        windows, targets = task.windows[which], task.targets[which]
        moved = [name for name in parameters if self.moves(name)]
        for _ in range(self.recipe.inner_steps):
            loss = (self.call(parameters, windows, task) - targets).abs().mean()
            slopes = torch.autograd.grad(loss, [parameters[name] for name in moved], create_graph=create_graph)
            parameters = dict(parameters)
            for name, slope in zip(moved, slopes, strict=True):
                parameters[name] = parameters[name] - self.recipe.inner_lr * slope
        return parameters

    def moves(self, name: str) -> bool:
        """Return whether a parameter is moved by steps on a graph."""
        return True


class AloneForecaster(NetworkForecaster):
    """A network of the target alone."""

    others_too = False


class TunedForecaster(NetworkForecaster):
    """A network of all graphs that takes steps on the last windows of the target."""

    adapts = True


class MAMLForecaster(NetworkForecaster):
    """A start from which steps on the last windows of a graph do well on the next ones.

    Source: Finn, Abbeel & Levine (2017), arXiv:1703.03400; Panagopoulos, Nikolentzos & Vazirgiannis (2021),
    arXiv:2009.08388, for graphs as tasks.
    """

    adapts = True
    second_order = True

    def backward(self, tasks: Sequence[KnownWindows]) -> None:
        """Add the gradients of the error after the steps, at a drawn moment of each graph."""
        recipe, loss = self.recipe, torch.zeros(())
        start: dict[str, Tensor] = dict(self.net.named_parameters())
        for task in tasks:
            at = int(torch.randint(len(task.windows), ()))
            # What comes after the windows of the steps is known at the moment of the first one that judges.
            before = max(at - self.horizon, 0)
            support, query = slice(max(before - recipe.support, 0), before), slice(at, at + recipe.query)
            parameters = start
            if before:
                parameters = self.adapt(start, task, support, create_graph=self.second_order)
            said = self.call(parameters, task.windows[query], task)
            loss = loss + (said - task.targets[query]).abs().mean() / len(tasks)
        loss.backward()


class FirstOrderForecaster(MAMLForecaster):
    """The same by slopes of the first order alone."""

    second_order = False


class ANILForecaster(MAMLForecaster):
    """A start of which steps move the last maps alone.

    Source: Raghu et al. (2020), arXiv:1909.09157.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        names = [name for name, _ in self.net.named_parameters()]
        heads = {"head", "out", "linear"} & {name.partition(".")[0] for name in names}
        self._heads = heads or {names[-1].partition(".")[0]}

    def moves(self, name: str) -> bool:
        """Return whether a parameter is of the last maps."""
        return name.partition(".")[0] in self._heads


class RidgeHeadForecaster(ANILForecaster):
    r"""A start whose last maps are solved for on the last windows, by ridge regression, in place of steps.

    .. math::
        \min_{\Delta} \lVert Z \Delta - R \rVert^2 + \lambda s \lVert \Delta \rVert^2

    with what the last maps see, :math:`Z`, a column of ones among it, what the start's own maps leave, :math:`R`, and
    the mean square :math:`s` of the columns. What prototypes are to classes this is to numbers: the head that is best
    on the support, in closed form. :math:`\lambda` is learnt with the start.

    Source: Bertinetto, Henriques, Torr & Vedaldi (2019), arXiv:1805.08136 (R2-D2), whose penalty pulls to 0; here it
    pulls to the start's own maps, so that few windows leave what all graphs have in common.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.log_penalty = torch.nn.Parameter(torch.zeros(()))
        self.optimizer.add_param_group({"params": [self.log_penalty]})

    def adapt(
        self, parameters: dict[str, Tensor], task: KnownWindows, which: slice, *, create_graph: bool
    ) -> dict[str, Tensor]:
        """Return the parameters with the last maps that do best on windows of a graph."""
        windows, targets, heads = task.windows[which], task.targets[which], sorted(self._heads)
        seen: dict[str, Tensor] = {}
        hooks = [
            getattr(self.net, head).register_forward_pre_hook(lambda _, given, head=head: seen.update({head: given[0]}))
            for head in heads
        ]
        bias = f"{heads[0]}.bias"
        with torch.set_grad_enabled(create_graph):
            try:
                said = self.call(parameters, windows, task)
            finally:
                for hook in hooks:
                    hook.remove()
            # A forecast is the maps' result in a unit that a window may decide: by how much one more in it moves it.
            unit = self.call(parameters | {bias: parameters[bias] + 1}, windows, task) - said
            left = ((targets - said) / unit).permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
            columns = torch.cat([*(seen[head] for head in heads), torch.ones_like(seen[heads[0]][..., :1])], -1)
            columns = columns.flatten(0, 1)
            gram = columns.T @ columns
            ridge = self.log_penalty.exp() * gram.diagonal().mean().clamp(min=1e-12) * torch.eye(len(gram))
            change = torch.linalg.solve(gram + ridge.to(gram), columns.T @ left)
            found, place = dict(parameters), 0
            for head in heads:
                width = seen[head].size(-1)
                found[f"{head}.weight"] = parameters[f"{head}.weight"] + change[place : place + width].T
                place += width
            found[bias] = parameters[bias] + change[-1]
        return found


class ReptileForecaster(NetworkForecaster):
    """A start that is pulled to where steps on each graph lead.

    Source: Nichol, Achiam & Schulman (2018), arXiv:1803.02999.
    """

    adapts = True

    def backward(self, tasks: Sequence[KnownWindows]) -> None:
        """Add the way from where steps lead to the start, as a gradient."""
        recipe = self.recipe
        for task in tasks:
            at = int(torch.randint(len(task.windows), ()))
            start = {name: value.detach().requires_grad_() for name, value in self.net.named_parameters()}
            found = self.adapt(start, task, slice(max(at - recipe.support + 1, 0), at + 1), create_graph=False)
            for name, value in self.net.named_parameters():
                way = (value.detach() - found[name].detach()) / len(tasks)
                value.grad = way if value.grad is None else value.grad + way


KINDS: dict[str, Any] = {
    "last-value": RuleForecaster,
    "window-mean": MeanForecaster,
    "ridge-alone": RidgeForecaster,
    "ridge-pooled": PooledRidgeForecaster,
    "graph-ridge-pooled": GraphRidgeForecaster,
    "alone": AloneForecaster,
    "pooled": NetworkForecaster,
    "fine-tuned": TunedForecaster,
    "reptile": ReptileForecaster,
    "anil": ANILForecaster,
    "r2d2": RidgeHeadForecaster,
    "fomaml": FirstOrderForecaster,
    "maml": MAMLForecaster,
}


def forecaster_of(
    learner: str,
    recipe: AcrossRecipe,
    target: KnownSeries,
    others: Sequence[KnownSeries],
    horizon: int,
    *,
    honest: bool,
) -> AbstractAcrossForecaster:
    """Return a freshly drawn learner.

    Args:
        learner: of ``LEARNERS``.
        recipe: how it learns.
        target: the graph that is forecast.
        others: those beside it.
        horizon: moments that are forecast.
        honest: whether of the others only what was there by then is known.
    """
    made: AbstractAcrossForecaster = KINDS[learner](recipe, target, others, horizon, honest=honest)
    return made

"""Architectures of moments: what forecasts the signals of a graph over time, by a rule, by least squares or by layers.

What a model is made for stands first in its graph, as a :class:`SeriesShape`; what it is called with comes after.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field
from pydantic.dataclasses import dataclass

from graphkit.training.zoo.architecture import (
    STRICT,
    AbstractArchitecture,
    Count,
    EdgeWeights,
    Items,
    Positive,
    Switch,
    Whole,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphkit.nn.temporal.recurrent import Conv


class SeriesShape(NamedTuple):
    """What a forecaster is made for.

    Args:
        length: moments that it looks at.
        horizon: moments that it forecasts.
        nodes: of the graph.
        both: whether edges lead one way, so that those that lead away from a node say something of their own.
        clock: columns of the clock; 0 where the calendar is not known.
    """

    length: int
    horizon: int
    nodes: int
    both: bool
    clock: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractForecastModel(AbstractArchitecture):
    """What forecasts moments.

    Args:
        length: moments that it looks at; 0 for as many as the split says.
    """

    items: ClassVar[Items] = "moments"
    edge_weights: ClassVar[EdgeWeights] = "used"

    length: Count = 0

    def lookback(self, length: int, step_seconds: int | None, season: float = 0.0) -> int:
        """Return how many moments it looks at.

        Args:
            length: of the split.
            step_seconds: from one moment to the next, where the calendar is known.
            season: moments of a season, where it is not; 0 for none.

        Raises:
            ValueError: where it needs a calendar.
        """
        return self.length or length

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return the edges and their weights."""
        return edge_index, edge_weight


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ForecastRule(AbstractForecastModel):
    """A rule for which nothing is learnt: the last value, the mean of the last ones, or the same time of a period ago.

    Args:
        rule: as above.
        period: of the last.
        steps: moments of it, in place of ``period``; 0 for those.
    """

    edge_weights: ClassVar[EdgeWeights] = "ignored"
    solved: ClassVar[bool] = True

    rule: Literal["last-value", "window-mean", "last-period"] = "last-value"
    period: Literal["day", "week", "year"] = "day"
    steps: Count = 0

    def unused_fields(self) -> dict[str, str]:
        """Return what only layers have, and only periods."""
        found = dict.fromkeys(("hidden", "dropout"), "it has no layers")
        found |= dict.fromkeys(("epochs", "patience", "select", "refit"), "there is one solution")
        if self.rule != "last-period":
            return found | dict.fromkeys(("period", "steps"), f"{self.rule} has no period")
        return (
            found
            | {"length": "it looks at a period"}
            | ({"period": "`steps` says how long it is"} if self.steps else {})
        )

    def lookback(self, length: int, step_seconds: int | None, season: float = 0.0) -> int:
        """Return how many moments it looks at."""
        if self.rule != "last-period":
            return super().lookback(length, step_seconds, season)
        if self.steps:
            return self.steps
        if step_seconds is None and season and self.period == "year":
            return round(season)
        from graphkit.data.temporal_graph import DAY, WEEK, YEAR

        seconds = {"day": DAY, "week": WEEK, "year": YEAR}[self.period]
        if step_seconds is None or 2 * step_seconds > seconds:
            why = "has no calendar" if step_seconds is None else "has too few moments in one"
            raise ValueError(f"`period` {self.period!r}: the series {why}; give `steps`, how many moments there are.")
        return round(seconds / step_seconds)

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the rule."""
        from graphkit.nn import temporal

        kinds: dict[str, Any] = {
            "last-value": temporal.LastValue,
            "window-mean": temporal.WindowMean,
            "last-period": temporal.LastPeriod,
        }
        shape: SeriesShape = graph[0]
        made: nn.Module = kinds[self.rule](shape.length, shape.horizon, in_channels)
        return made

    def begin(self, module: Any, task: Any) -> None:
        """Take the mean of the moments to learn from, for what was not measured."""
        module.fit_scale(task.learnt_signals)

    def solver(self, module: Any, task: Any) -> Any:
        """Return what has nothing to do."""
        return _Solved()

    def solutions(self, module: Any) -> int:
        """Return one."""
        return 1


class _Solved:
    """The solver of what has nothing to solve for."""

    def solve(self, number: int) -> None:
        """Do nothing."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ForecastRidge(AbstractForecastModel):
    """Ridge regression on lags of a node, of means around it up to so many ``hops``, and the calendar, for each moment.

    The k-th epoch has the k-th of nine penalties, with weights of each node's own; the further nine have weights that
    all nodes share, which are all where ``shared``.

    Source: Hoerl & Kennard (1970), Technometrics 12(1).
    """

    solved: ClassVar[bool] = True

    hops: Annotated[Whole, Field(ge=0, le=4)] = 0
    shared: Switch = False
    calendar: Switch = True

    @property
    def tied(self) -> bool:
        """Whether nodes have weights of their own."""
        return not self.shared

    def unused_fields(self) -> dict[str, str]:
        """Return what only layers have."""
        return dict.fromkeys(("hidden", "dropout"), "it has no layers")

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return what takes means around nodes."""
        import torch

        from graphkit.operators import walk_adjacency

        flows = ("source_to_target", "target_to_source") if self.hops else ()
        return tuple(
            walk_adjacency(edge_index, edge_weight, num_nodes=num_nodes, flow=flow, dtype=torch.float64)
            for flow in flows
        )

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the model, its weights 0."""
        from graphkit.nn.temporal import LagRidge

        shape: SeriesShape = graph[0]
        nodes, ways = 0 if self.shared else shape.nodes, (1 + shape.both) if self.hops else 0
        clock = shape.clock if self.calendar else 0
        return LagRidge(shape.length, shape.horizon, in_channels, nodes=nodes, hops=self.hops, ways=ways, clock=clock)

    def begin(self, module: Any, task: Any) -> None:
        """Take which periods the moments to learn from run through."""
        if module.clock and task.known_hands is not None:
            module.known.copy_(task.known_hands)

    def solver(self, module: Any, task: Any) -> Any:
        """Return ridge regression on the moments to learn from."""
        return _RidgeSolver(module, task)

    def solutions(self, module: Any) -> int:
        """Return one for each penalty, and for each way to share."""
        return int(module.solutions)


class _RidgeSolver:
    """Solves for the weights of lags, from sums that are made once."""

    def __init__(self, module: Any, task: Any) -> None:
        self._module, self._task, self._sums = module, task, None

    def solve(self, number: int) -> None:
        """Take the weights of a penalty."""
        if self._sums is None:
            task = self._task
            clock = None if task.clock is None else task.clock[: task.learnt]
            self._sums = self._module.sums(task.learnt_signals, clock, *task.graph[1:])
        self._module.solve(number, self._sums)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractForecastNet(AbstractForecastModel):
    """A network that forecasts.

    Args:
        calendar: whether it sees where a moment stands in day, week and year, as far as the moments to learn from run
            through a whole one.
        scaling: what deviations, which it sees, are of: all nodes, each one, or what is seen of each one.
        base: what it adds to, the last value or the mean of what is seen.
    """

    calendar: Switch = True
    scaling: Literal["series", "nodes", "window"] = "series"
    base: Literal["last", "mean"] = "last"

    @property
    def tied(self) -> bool:
        """Whether nodes have means of their own."""
        return self.scaling == "nodes"

    def begin(self, module: Any, task: Any) -> None:
        """Take mean and deviation of the moments to learn from, and which periods they run through."""
        module.fit_scale(task.learnt_signals, task.known_hands)

    @abstractmethod
    def network(self, in_channels: int, shape: SeriesShape, **scaling: Any) -> nn.Module:
        """Return the network; ``scaling`` and ``clock`` are handed on."""

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the network."""
        shape: SeriesShape = graph[0]
        clock = shape.clock if self.calendar else 0
        scaling = {"scaling": self.scaling, "scaled_nodes": shape.nodes, "base": self.base}
        return self.network(in_channels, shape, clock=clock, **scaling)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractConvNet(AbstractForecastNet):
    """A network with convolutions over the graph.

    Args:
        conv: which: GCN, Chebyshev polynomials, or the same by their values at Chebyshev's nodes, for which a directed
            graph is made undirected; GraphSAGE, attention or GIN, which take no weights; or diffusion in both
            directions.
        order: terms of Chebyshev's polynomials, or steps of a diffusion.
    """

    conv: Literal["gcn", "sage", "gat", "gin", "cheb", "chebii", "diffusion"] = "cheb"
    order: Positive = 3

    def unused_fields(self) -> dict[str, str]:
        """Return what only polynomials have."""
        found = super().unused_fields()
        return found if self.conv in ("cheb", "chebii", "diffusion") else found | {"order": f"{self.conv} has no order"}

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return the edges; their weights where the convolution takes them."""
        from graphkit.operators.edges import with_both_ways

        if self.conv in ("sage", "gat", "gin"):
            return (edge_index,)
        if self.conv == "diffusion":
            return edge_index, edge_weight
        return with_both_ways(edge_index, edge_weight, num_nodes)

    def maker(self) -> Conv:
        """Return the maker of a convolution."""
        from torch.nn import Linear, ReLU, Sequential

        from graphkit import nn

        order = self.order
        makers: dict[str, Conv] = {
            "gcn": lambda i, o: nn.GCNConv(i, o),
            "sage": lambda i, o: nn.SAGEConv(i, o),
            "gat": lambda i, o: nn.GATConv(i, o),
            "gin": lambda i, o: nn.GINConv(Sequential(Linear(i, o), ReLU(), Linear(o, o))),
            "cheb": lambda i, o: nn.ChebConv(i, o, K=order),
            "chebii": lambda i, o: nn.PolynomialConv(i, o, order, "chebii"),
            "diffusion": lambda i, o: nn.DiffusionConv(i, o, K=order),
        }
        return makers[self.conv]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RecurrentForecast(AbstractConvNet):
    """A gated recurrent unit whose maps are graph convolutions, and a linear map of its last state.

    Source: Seo et al. (2018), arXiv:1612.07659; Li et al. (2018), arXiv:1707.01926; Zhao et al. (2020),
    arXiv:1811.05320.
    """

    def network(self, in_channels: int, shape: SeriesShape, **scaling: Any) -> nn.Module:
        """Return the network."""
        from graphkit.nn.temporal import RecurrentForecaster

        return RecurrentForecaster(
            shape.length,
            shape.horizon,
            in_channels,
            hidden=self.hidden,
            conv=self.maker(),
            dropout=self.dropout,
            **scaling,
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ConvolutionalForecast(AbstractConvNet):
    """Gated convolutions over time of ``kernel`` moments with convolutions over the graph between, in ``blocks``.

    Source: Yu, Yin & Zhu (2018), arXiv:1709.04875.
    """

    blocks: Positive = 2
    kernel: Positive = 3

    def network(self, in_channels: int, shape: SeriesShape, **scaling: Any) -> nn.Module:
        """Return the network."""
        from graphkit.nn.temporal import ConvolutionalForecaster

        return ConvolutionalForecaster(
            shape.length,
            shape.horizon,
            in_channels,
            hidden=self.hidden,
            conv=self.maker(),
            blocks=self.blocks,
            kernel=self.kernel,
            dropout=self.dropout,
            **scaling,
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LagForecast(AbstractForecastNet):
    """A linear model of lags of a node and of means around it, and a perceptron on the same that is added to it.

    Args:
        hops: steps of the means around a node.
        embedding: channels of what is learnt of each node; 0 for a network that belongs to no graph.
        adaptive: channels of embeddings that learn who matters to whom; 0 for none.

    Source: Shao et al. (2022), arXiv:2208.05233; Wu et al. (2019), arXiv:1906.00121.
    """

    hops: Annotated[Whole, Field(ge=0, le=4)] = 2
    embedding: Count = 16
    adaptive: Count = 10

    @property
    def tied(self) -> bool:
        """Whether it learns something of each node."""
        return bool(self.embedding or self.adaptive) or super().tied

    def network(self, in_channels: int, shape: SeriesShape, **scaling: Any) -> nn.Module:
        """Return the network."""
        from graphkit.nn.temporal import LagNetwork

        return LagNetwork(
            shape.length,
            shape.horizon,
            in_channels,
            hidden=self.hidden,
            hops=self.hops,
            both=shape.both,
            nodes=shape.nodes if self.embedding or self.adaptive else 0,
            embedding=self.embedding,
            adaptive=self.adaptive,
            dropout=self.dropout,
            **scaling,
        )

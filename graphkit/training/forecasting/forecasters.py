"""Forecasts of signals on a graph that no step of an optimiser makes: rivals of networks, and linear models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch_geometric.utils import is_undirected

from graphkit import _checks
from graphkit.data.temporal_graph import TemporalGraph
from graphkit.data.windows import TimeSplit, Windows
from graphkit.operators import SparseOperator

PENALTIES = tuple(10.0**power for power in range(-4, 5))
"""Weights of the penalty of standardised columns, a share of the number of moments, of which validation takes one."""

ENTRIES = 2**24
"""Numbers of a table of lags that is made at a time."""


class AbstractForecaster(nn.Module):
    """What says, of some moments, what comes after them.

    Args:
        horizons: how many moments ahead, at least 1.
        length: moments that it looks at.
    """

    def __init__(self, horizons: Sequence[int], length: int) -> None:
        super().__init__()
        given = _checks.as_list("horizons", horizons, "[1, 2, 3]")
        self.horizons = tuple(_checks.at_least("horizons", each, 1) for each in given)
        if not self.horizons:
            raise ValueError("`horizons` must name at least one number of moments.")
        self.length = _checks.at_least("length", length, 1)

    @abstractmethod
    def forward(self, seen: Tensor) -> Tensor:
        """Return forecasts ``[moments, horizons, nodes, features]`` of ``seen [moments, length, nodes, features]``."""

    def forecast(self, graph: TemporalGraph, origins: range) -> Tensor:
        """Return forecasts after each of some moments, ``[moments, horizons, nodes, features]``; nothing later is seen.

        Raises:
            ValueError: for moments before which there are too few.
        """
        return self(Windows(graph.signals, self.length).inputs(origins))


class LastValue(AbstractForecaster):
    """The last number that was measured.

    Example:
        >>> LastValue([1, 2])(torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)).flatten().tolist()
        [5.0, 5.0]
    """

    def __init__(self, horizons: Sequence[int], length: int = 1) -> None:
        super().__init__(horizons, length)

    def forward(self, seen: Tensor) -> Tensor:
        """Return what was measured last within the moments, NaN where nothing was."""
        there = ~seen.isnan()
        place = (there * torch.arange(1, seen.size(1) + 1, device=seen.device)[:, None, None]).argmax(1, keepdim=True)
        return seen.gather(1, place).expand(-1, len(self.horizons), -1, -1)


class WindowMean(AbstractForecaster):
    """The mean of the last ``length`` moments, of what was measured.

    Example:
        >>> WindowMean([1], 2)(torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)).item()
        4.0
    """

    def forward(self, seen: Tensor) -> Tensor:
        """Return the mean."""
        return seen.nanmean(1, keepdim=True).expand(-1, len(self.horizons), -1, -1)


class LastPeriod(AbstractForecaster):
    """What was there at the same time of the last period, such as a day or a week, that is over.

    Args:
        horizons: as for :class:`AbstractForecaster`.
        period: moments of a period.

    Example:
        >>> LastPeriod([1, 3], 2)(torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)).flatten().tolist()
        [3.0, 3.0]
    """

    def __init__(self, horizons: Sequence[int], period: int) -> None:
        super().__init__(horizons, _checks.at_least("period", period, 1))

    def forward(self, seen: Tensor) -> Tensor:
        """Return what was there."""
        return torch.stack([seen[:, (horizon - 1) % self.length] for horizon in self.horizons], 1)


class LagRidge(AbstractForecaster):
    r"""Ridge regression on lags of a node and of what is around it, for each horizon.

    .. math::
        \hat y_{t+h} = b_h + \sum_{l < L} \sum_{k \le K} w_{hlk} \, (P^k x)_{t-l},

    with :math:`P` the mean over the nodes that lead to one, by the weights of edges, and of a directed graph also the
    mean over those that one leads to. Columns are standardised over the moments that are learnt from; the penalty is
    the one of the least error on the moments to choose by, which are learnt from too in the end. What was not measured
    is the node's mean as an input, and is not learnt as a target.

    Args:
        horizons: as for :class:`AbstractForecaster`.
        length: :math:`L`.
        hops: :math:`K`, 0 for the node alone.
        shared: whether all nodes have the same weights, else each has its own.

    Source: Hoerl & Kennard (1970), Technometrics 12(1).

    Example:
        >>> signals = torch.arange(40.0).repeat(2, 1).T
        >>> graph = TemporalGraph(signals, torch.tensor([[0, 1], [1, 0]]))
        >>> model = LagRidge([2], 3, hops=1).fit(graph, TimeSplit(28, 4, 8))
        >>> model.forecast(graph, range(35, 37)).flatten().round().tolist()
        [37.0, 37.0, 38.0, 38.0]
    """

    means: Tensor
    offset: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, horizons: Sequence[int], length: int, *, hops: int = 0, shared: bool = False) -> None:
        super().__init__(horizons, length)
        self.hops, self.shared = _checks.at_least("hops", hops, 0), _checks.flag("shared", shared)
        self.penalty = 0.0
        self._around: list[SparseOperator] = []
        for name in ("means", "offset", "weight", "bias"):
            self.register_buffer(name, torch.empty(0))

    def fit(self, graph: TemporalGraph, split: TimeSplit) -> LagRidge:
        """Learn the weights from the first part of time, and choose the penalty by the second.

        Raises:
            ValueError: for a graph that changes with time, and parts that are too short.
        """
        if self.hops and graph.get("edge_step") is not None:
            raise ValueError("`graph` changes with time, of which no mean around a node is taken; give `hops=0`.")
        farthest, (_, end), (_, last) = max(self.horizons), split.bounds("train"), split.bounds("val")
        learnt, chosen = range(self.length - 1, end - farthest), range(end - 1, last - farthest)
        if not len(learnt) or not len(chosen) or chosen.start < self.length - 1:
            raise ValueError(
                f"`length` {self.length} and `horizons` up to {farthest} leave no moment to learn from, or to choose "
                f"by, of {split.train:,} and {split.val:,}."
            )
        self.means = graph.signals[:end].nanmean(0).nan_to_num(0.0)
        self._around = _means_around(graph) if self.hops else []
        sums, errors = self._sums(graph, learnt), []
        for penalty in PENALTIES:
            self._solve(sums, penalty)
            errors.append(self._error(graph, chosen))
        self.penalty = PENALTIES[int(torch.stack(errors).argmin())]
        self._solve(self._sums(graph, range(self.length - 1, last - farthest)), self.penalty)
        return self

    def forward(self, seen: Tensor) -> Tensor:
        """Return forecasts."""
        moments, length = seen.shape[:2]
        spread = self._spread(seen.flatten(0, 1)).unflatten(0, (moments, length))
        return self._linear(spread, seen.size(-1)).to(seen.dtype)

    def forecast(self, graph: TemporalGraph, origins: range) -> Tensor:
        """Return forecasts after some moments, ``[moments, horizons, nodes, features]``; nothing later is seen."""
        parts = [self._linear(z, graph.signals.size(-1)) for z in self._windows(graph, origins)]
        return torch.cat(parts).to(graph.signals.dtype)

    def _windows(self, graph: TemporalGraph, origins: range) -> Iterator[Tensor]:
        """Yield lags of all columns, ``[moments, length, nodes, columns]``, some moments at a time."""
        Windows(graph.signals, self.length).inputs(origins)  # refuses moments that are not there
        spread = self._spread(graph.signals[origins.start - self.length + 1 : origins.stop])
        windows, many = Windows(spread, self.length), len(origins)
        block = max(1, ENTRIES // (self.length * spread[0].numel()))
        for first in range(0, many, block):
            begin = first + self.length - 1
            yield windows.inputs(range(begin, min(begin + block, many + self.length - 1)))

    def _spread(self, signals: Tensor) -> Tensor:
        """Return signals and their means around each node, ``[time, nodes, columns]`` in float64."""
        filled = torch.where(signals.isnan(), self.means.to(signals), signals).double()
        columns = [filled]
        for mean in self._around:
            near = filled
            for _ in range(self.hops):
                flat = near.transpose(0, 1).flatten(1)
                near = (mean @ flat).unflatten(1, (len(signals), -1)).transpose(0, 1)
                columns.append(near)
        return torch.cat(columns, -1)

    def _rows(self, windows: Tensor) -> Tensor:
        """Return lags beside each other, ``[nodes, moments, lags]``; ``[1, all, lags]`` where weights are shared."""
        rows = windows.permute(2, 0, 1, 3).flatten(2)
        return rows.flatten(0, 1)[None] if self.shared else rows

    def _linear(self, windows: Tensor, features: int) -> Tensor:
        """Return what the weights make of lags, ``[moments, horizons, nodes, features]``."""
        moments, _, nodes = windows.shape[:3]
        found = torch.baddbmm(self.bias, self._rows(windows) - self.offset, self.weight)
        return found.view(nodes, moments, len(self.horizons), features).permute(1, 2, 0, 3)

    def _targets(self, graph: TemporalGraph, origins: range) -> Tensor:
        """Return what comes, ``[moments, nodes, horizons * features]`` in float64."""
        windows = Windows(graph.signals, 1)
        return torch.cat([windows.targets(origins, each) for each in self.horizons], -1).double()

    def _sums(self, graph: TemporalGraph, origins: range) -> tuple[Tensor, ...]:
        """Return how many rows there are, and sums of lags, of targets, and of their products."""
        sums: list[Tensor] = []
        first = origins.start
        for windows in self._windows(graph, origins):
            t = self._targets(graph, range(first, first + len(windows))).transpose(0, 1)
            first += len(windows)
            z, t = self._rows(windows), t.flatten(0, 1)[None] if self.shared else t
            there = ~t.isnan().any(-1, keepdim=True)
            z, t = z * there, torch.where(there, t, 0.0)
            parts = [there.double().sum(1, keepdim=True), z.sum(1, keepdim=True), t.sum(1, keepdim=True)]
            parts += [z.transpose(1, 2) @ z, z.transpose(1, 2) @ t]
            sums = [one + other for one, other in zip(sums, parts, strict=True)] if sums else parts
        return tuple(sums)

    def _solve(self, sums: tuple[Tensor, ...], penalty: float) -> None:
        """Take the weights of a penalty."""
        many, z, t, zz, zt = sums
        many = many.clamp(min=1)
        self.offset, self.bias = z / many, t / many
        gram, products = zz - many * self.offset.mT @ self.offset, zt - many * self.offset.mT @ self.bias
        scale = (gram.diagonal(dim1=1, dim2=2).clamp(min=0) / many[..., 0]).sqrt()
        varies = scale > torch.finfo(torch.float32).eps * (zz.diagonal(dim1=1, dim2=2) / many[..., 0]).sqrt()
        inverse = torch.where(varies, 1 / torch.where(varies, scale, 1.0), 0.0)[..., None]  # a constant tells nothing
        gram = inverse * gram * inverse.mT
        gram.diagonal(dim1=1, dim2=2).add_(penalty * many[..., 0])
        self.weight = inverse * torch.linalg.solve(gram, inverse * products)

    def _error(self, graph: TemporalGraph, origins: range) -> Tensor:
        """Return the mean square error of all horizons."""
        wanted = self._targets(graph, origins).unflatten(-1, (len(self.horizons), -1)).transpose(1, 2)
        return (self.forecast(graph, origins).double() - wanted).square().nanmean()


def _means_around(graph: TemporalGraph) -> list[SparseOperator]:
    """Return what takes the mean over nodes that lead to each one, and of a directed graph over those it leads to."""
    edges, weight = graph.edge_index.cpu(), graph.get("edge_weight")
    weight = torch.ones(edges.size(1), dtype=torch.float64) if weight is None else weight.double().cpu()
    ways = [edges] if is_undirected(edges, weight, num_nodes=graph.num_nodes) else [edges, edges.flip(0)]
    found = []
    for source, target in ways:
        total = torch.zeros(graph.num_nodes, dtype=torch.float64).index_add(0, target, weight)[target]
        share = torch.where(total > 0, weight / torch.where(total > 0, total, 1.0), 0.0)
        found.append(SparseOperator.from_edge_index(torch.stack([source, target]), share, num_nodes=graph.num_nodes))
    return found

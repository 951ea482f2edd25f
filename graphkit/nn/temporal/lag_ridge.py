"""Ridge regression on lags of a node and of what is around it: as good as a linear model gets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit import _checks
from graphkit.nn.temporal.abstract_forecaster import AbstractForecaster
from graphkit.operators import SparseOperator

PENALTIES = tuple(10.0**power for power in range(-4, 5))
"""Weights of the penalty of standardised columns, a share of the number of moments."""


class LagRidge(AbstractForecaster):
    r"""Ridge regression on lags of a node and of what is around it, for each moment ahead.

    .. math::
        \hat y_{t+h} = b_h + \sum_{l < L} \sum_{k \le K} w_{hlk} \, (P^k x)_{t-l} + \sum_c v_{hc} \, s_c(t),

    with :math:`s` where a moment stands in day, week and year, and :math:`P` the mean over the nodes that lead to one,
    and of a directed graph also the mean over those that one leads to: what is called with gives both. Columns are
    standardised over the moments that are learnt from; the k-th solution has the k-th of ``PENALTIES``. What was not
    measured is the node's mean as an input, and is not learnt as a target.

    Args:
        length: :math:`L`.
        horizon: moments that are forecast.
        features: of a node.
        nodes: how many there are, where each may have weights of its own: the first solutions are those, and as many
            more have weights that all share; 0 for those alone, which belong to no graph.
        hops: :math:`K`, 0 for the node alone.
        ways: how many means around a node it is called with.
        clock: columns of the clock, 0 for none.

    Source: Hoerl & Kennard (1970), Technometrics 12(1).

    Example:
        >>> model, signals = LagRidge(3, 2, 1), torch.arange(40.0).view(40, 1, 1)
        >>> model.solve(1, model.sums(signals[:30]))
        >>> model(signals[None, 35:38]).flatten().round().tolist()
        [38.0, 39.0]
    """

    means: Tensor
    known: Tensor
    offset: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        length: int,
        horizon: int,
        features: int,
        *,
        nodes: int = 0,
        hops: int = 0,
        ways: int = 0,
        clock: int = 0,
    ) -> None:
        super().__init__(length, horizon)
        self.features, self.nodes = _checks.at_least("features", features, 1), _checks.at_least("nodes", nodes, 0)
        self.hops, self.ways = _checks.at_least("hops", hops, 0), _checks.at_least("ways", ways, 0)
        self.clock = _checks.at_least("clock", clock, 0)
        columns, groups = length * features * (1 + hops * ways) + clock, max(1, nodes)
        double: dict[str, Any] = {"dtype": torch.float64}
        self.register_buffer("means", torch.zeros(groups, features, **double))
        self.register_buffer("known", torch.ones(clock, **double))
        self.register_buffer("offset", torch.zeros(groups, 1, columns, **double))
        self.register_buffer("weight", torch.zeros(groups, columns, horizon * features, **double))
        self.register_buffer("bias", torch.zeros(groups, 1, horizon * features, **double))

    @property
    def solutions(self) -> int:
        """How many penalties there are, twice where weights may be shared or not."""
        return len(PENALTIES) * (2 if self.nodes else 1)

    def forward(self, seen: Tensor, clock: Tensor | None = None, *graph: Any) -> Tensor:
        """Return forecasts."""
        moments, length = seen.shape[:2]
        spread = self._spread(seen.flatten(0, 1), graph).unflatten(0, (moments, length))
        return self._linear(spread, clock).to(seen.dtype)

    def forecast(self, signals: Tensor, clock: Tensor | None = None, *graph: Any) -> Tensor:
        """Return forecasts after each moment that has enough before it; means around nodes are taken once."""
        parts = [
            self._linear(windows, self._clock_of(clock, begin, len(windows))).to(signals.dtype)
            for begin, windows in self._windows(self._spread(signals, graph))
        ]
        return torch.cat(parts)

    def sums(self, signals: Tensor, clock: Tensor | None = None, *graph: Any) -> tuple[Tensor, ...]:
        """Return of signals to learn from how many rows there are, and sums of lags, of targets and of their products.

        Args:
            signals: ``[time, nodes, features]``.
            clock: ``[time, columns]``.
            graph: means around nodes.

        Raises:
            ValueError: for fewer moments than are looked at and forecast.
        """
        if len(signals) < self.length + self.horizon:
            raise ValueError(
                f"`signals` has {len(signals):,} moments, of which none is followed by {self.horizon:,} and has "
                f"{self.length - 1:,} before it."
            )
        self.means = self._means(signals)
        targets = signals[self.length :].unfold(0, self.horizon, 1).permute(0, 3, 1, 2)
        found: list[Tensor] = []
        for begin, windows in self._windows(self._spread(signals, graph)):
            y = targets[begin : begin + len(windows)]
            z = self._rows(windows[: len(y)], self._clock_of(clock, begin, len(y)))
            y = y.double().permute(2, 0, 1, 3).flatten(2)
            y = y if self.nodes else y.flatten(0, 1)[None]
            there = ~y.isnan().any(-1, keepdim=True)
            z, y = z * there, torch.where(there, y, 0.0)
            parts = [there.double().sum(1, keepdim=True), z.sum(1, keepdim=True), y.sum(1, keepdim=True)]
            parts += [z.transpose(1, 2) @ z, z.transpose(1, 2) @ y]
            found = [one + other for one, other in zip(found, parts, strict=True)] if found else parts
        return tuple(found)

    def solve(self, number: int, sums: tuple[Tensor, ...]) -> None:
        """Take the weights of a solution.

        Args:
            number: from 1.
            sums: as :meth:`sums` returned them.
        """
        place = _checks.integer_between("number", number, 1, self.solutions) - 1
        penalty = PENALTIES[place % len(PENALTIES)]
        if place >= len(PENALTIES):
            sums = tuple(each.sum(0, keepdim=True) for each in sums)
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
        if place >= len(PENALTIES):  # each node is given the weights that all share
            for name in ("offset", "weight", "bias"):
                setattr(self, name, getattr(self, name).expand(self.nodes, -1, -1).contiguous())

    def _means(self, signals: Tensor) -> Tensor:
        """Return what stands in for what was not measured, ``[nodes or 1, features]``."""
        over: Any = 0 if self.nodes else (0, 1)
        return signals.double().nanmean(over).nan_to_num(0.0).view(-1, self.features)

    def _spread(self, signals: Tensor, ways: tuple[SparseOperator, ...]) -> Tensor:
        """Return signals and their means around each node, ``[time, nodes, columns]`` in float64."""
        if len(ways) < self.ways:
            raise ValueError(f"`graph` must hold {self.ways} means around nodes, got {len(ways)}.")
        if self.nodes and signals.size(1) != self.nodes:
            raise ValueError(f"the model has weights for {self.nodes:,} nodes, and `signals` has {signals.size(1):,}.")
        filled = torch.where(signals.isnan(), self.means.to(signals), signals).double()
        columns = [filled]
        for mean in ways[: self.ways]:
            near = filled
            for _ in range(self.hops):
                flat = near.transpose(0, 1).flatten(1)
                near = (mean @ flat).unflatten(1, (len(signals), -1)).transpose(0, 1)
                columns.append(near)
        return torch.cat(columns, -1)

    def _clock_of(self, clock: Tensor | None, begin: int, many: int) -> Tensor | None:
        """Return the clock of the last moments of some windows."""
        return None if clock is None else clock[begin + self.length - 1 :][:many]

    def _rows(self, windows: Tensor, clock: Tensor | None) -> Tensor:
        """Return what is seen, ``[nodes, moments, columns]``; ``[1, all, columns]`` where weights are shared."""
        rows = windows.permute(2, 0, 1, 3).flatten(2)
        if self.clock:
            hours = rows.new_zeros(rows.size(1), self.clock) if clock is None else clock.double() * self.known
            rows = torch.cat([rows, hours.expand(len(rows), -1, -1)], -1)
        return rows if self.nodes else rows.flatten(0, 1)[None]

    def _linear(self, windows: Tensor, clock: Tensor | None) -> Tensor:
        """Return what the weights make of lags, ``[moments, horizon, nodes, features]``."""
        moments, _, nodes = windows.shape[:3]
        found = torch.baddbmm(self.bias, self._rows(windows, clock) - self.offset, self.weight)
        return found.view(nodes, moments, self.horizon, self.features).permute(1, 2, 0, 3)

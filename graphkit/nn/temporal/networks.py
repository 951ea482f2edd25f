"""Networks that forecast: graph-convolutional recurrence, gated convolution over time, and lags with a perceptron."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from graphkit._checks import at_least, member, within
from graphkit.nn.temporal.abstract_forecaster import AbstractForecaster
from graphkit.nn.temporal.adaptive import AdaptiveAdjacency
from graphkit.nn.temporal.convolution import GatedTemporalConv, STConvBlock
from graphkit.nn.temporal.recurrent import Conv, GraphGRU
from graphkit.operators import walk_adjacency
from graphkit.operators.dropout import dropout

SCALINGS = ("series", "nodes", "window")
"""What a network's deviations are of."""

BASES = ("last", "mean")
"""What a network adds to."""

FLAT = 0.01
"""Share of the deviation of all that a window has at least."""


class AbstractForecastNetwork(AbstractForecaster):
    """A network of deviations from the mean, which adds the last value, or the mean of what is seen, to what it says.

    Mean and deviation of each feature, over the moments that are learnt from, are buffers of it, and so is which
    columns of the clock have run through a whole period there: others are not looked at.

    Args:
        length, horizon: as of every forecaster.
        features: of a node.
        clock: columns of the clock, 0 for none.
        scaling: deviations from the mean of all nodes, "series", of each one, "nodes", or of what is seen of each one,
            "window", which knows nothing of levels.
        scaled_nodes: how many nodes there are, where each has a mean of its own.
        base: what it adds to, "last" or "mean".
    """

    entries: ClassVar[int] = 2**21  # each of them becomes as many as there are channels

    mean: Tensor
    scale: Tensor
    known: Tensor

    def __init__(
        self,
        length: int,
        horizon: int,
        features: int,
        *,
        clock: int = 0,
        scaling: str = "series",
        scaled_nodes: int = 0,
        base: str = "last",
    ) -> None:
        super().__init__(length, horizon)
        self.features, self.clock = at_least("features", features, 1), at_least("clock", clock, 0)
        self.scaling, self.base = member("scaling", scaling, SCALINGS), member("base", base, BASES)
        rows = at_least("scaled_nodes", scaled_nodes, 1) if scaling == "nodes" else 1
        self.register_buffer("mean", torch.zeros(rows, features))
        self.register_buffer("scale", torch.ones(rows, features))
        self.register_buffer("known", torch.ones(clock))

    def fit_scale(self, signals: Tensor, known: Tensor | None = None) -> None:
        """Take mean and deviation of what is learnt from.

        Args:
            signals: ``[time, nodes, features]``.
            known: which columns of the clock are looked at, ``[columns]``; by default all.
        """
        over: Any = 0 if self.scaling == "nodes" else (0, 1)
        x = signals.double()
        mean = x.nanmean(over, keepdim=True).nan_to_num(0.0)
        scale = (x - mean).square().nanmean(over, keepdim=True).sqrt().nan_to_num(1.0)
        self.mean.copy_(mean[0])
        self.scale.copy_(torch.where(scale > 1e-6 * mean.abs(), scale, 1.0)[0])
        if known is not None and self.clock:
            self.known.copy_(known)

    def forward(self, seen: Tensor, clock: Tensor | None = None, *graph: Any) -> Tensor:
        """Return forecasts, in the unit of the signals."""
        if not isinstance(seen, Tensor) or seen.dim() != 4 or seen.size(1) != self.length:
            shape = list(seen.shape) if isinstance(seen, Tensor) else type(seen).__name__
            raise ValueError(f"`seen` must have shape [moments, {self.length}, nodes, features], got {shape}.")
        mean, scale = self.mean, self.scale
        if self.scaling == "window":
            mean = seen.nanmean(1, keepdim=True).nan_to_num(0.0)
            spread = (seen - mean).square().nanmean(1, keepdim=True).nan_to_num(0.0)
            scale = (spread + (FLAT * self.scale).square()).sqrt()
        z = ((seen - mean) / scale).nan_to_num(0.0)
        hours = z.new_zeros(len(z), self.clock)
        if clock is not None and self.clock:
            hours = clock.to(z.dtype) * self.known
        base = z[:, -1:] if self.base == "last" else z.mean(1, keepdim=True)
        found = self.deviations(z, hours, *graph) + base
        return found * scale + mean

    @abstractmethod
    def deviations(self, z: Tensor, clock: Tensor, *graph: Any) -> Tensor:
        """Return by how much, in deviations, what comes differs from what it is added to.

        Args:
            z: what is seen, in deviations from the mean, ``[moments, length, nodes, features]``.
            clock: ``[moments, columns]``.
            graph: as the network takes it.

        Returns:
            ``[moments, horizon, nodes, features]``.
        """

    def _as_forecasts(self, out: Tensor) -> Tensor:
        """Return ``[moments, nodes, horizon * features]`` as forecasts."""
        return out.unflatten(-1, (self.horizon, self.features)).movedim(-2, 1)

    def _with_clock(self, x: Tensor, clock: Tensor) -> Tensor:
        """Return features ``[moments, ..., nodes, features]`` with the clock beside those of each node."""
        if not self.clock:
            return x
        hours = clock.view(len(clock), *[1] * (x.dim() - 2), -1)
        return torch.cat([x, hours.expand(*x.shape[:-1], -1)], -1)


class RecurrentForecaster(AbstractForecastNetwork):
    """A graph-convolutional GRU, and a linear map of its last state.

    Args:
        length, horizon, features, scaling: as of every network that forecasts, ``clock`` among the last.
        hidden: of the state.
        conv: makes a convolution from two widths.
        dropout: probability of zeroing a value of the last state.

    Source: Zhao et al. (2020), arXiv:1811.05320, for the map of the last state; that of Li et al. (2018),
    arXiv:1707.01926, is a decoder that takes what it said, one moment after another.

    Example:
        >>> from graphkit.nn import ChebConv
        >>> net = RecurrentForecaster(12, 3, 1, hidden=8, conv=lambda i, o: ChebConv(i, o, K=2))
        >>> net(torch.ones(2, 12, 4, 1), None, torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([2, 3, 4, 1])
    """

    def __init__(
        self,
        length: int,
        horizon: int,
        features: int,
        *,
        hidden: int,
        conv: Conv,
        dropout: float = 0.0,
        **scaling: Any,
    ) -> None:
        super().__init__(length, horizon, features, **scaling)
        self.unit = GraphGRU(features + self.clock, hidden, conv)
        self.head = nn.Linear(hidden, horizon * features)
        self.dropout = within("dropout", dropout, 0.0, 1.0)

    def deviations(self, z: Tensor, clock: Tensor, *graph: Any) -> Tensor:
        """Return what the last state says."""
        state = self.unit.last_state(self._with_clock(z, clock), *graph)
        return self._as_forecasts(self.head(dropout(state, self.dropout, self.training)))


class ConvolutionalForecaster(AbstractForecastNetwork):
    """Blocks of gated convolutions over time and a convolution over the graph, and a gated one over all that is left.

    Args:
        length, horizon, features, scaling: as of every network that forecasts, ``clock`` among the last.
        hidden: between the layers.
        conv: makes a convolution from two widths.
        blocks: how many.
        kernel: moments of a convolution over time.
        dropout: probability of zeroing a value after a block.

    Raises:
        ValueError: where blocks are longer than what is looked at.

    Source: Yu, Yin & Zhu (2018), arXiv:1709.04875; their network forecasts one moment, this one all at once.

    Example:
        >>> from graphkit.nn import ChebConv
        >>> net = ConvolutionalForecaster(12, 3, 1, hidden=8, conv=lambda i, o: ChebConv(i, o, K=2))
        >>> net(torch.ones(2, 12, 4, 1), None, torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([2, 3, 4, 1])
    """

    def __init__(
        self,
        length: int,
        horizon: int,
        features: int,
        *,
        hidden: int,
        conv: Conv,
        blocks: int = 2,
        kernel: int = 3,
        dropout: float = 0.0,
        **scaling: Any,
    ) -> None:
        super().__init__(length, horizon, features, **scaling)
        left = length - 2 * at_least("blocks", blocks, 1) * (at_least("kernel", kernel, 1) - 1)
        if left < 1:
            raise ValueError(
                f"`length` {length} is too short for {blocks} `blocks` of `kernel` {kernel}, which take "
                f"{length - left}; look at more moments, or take fewer blocks."
            )
        widths = [features + self.clock, *[hidden] * blocks]
        self.blocks = nn.ModuleList(
            STConvBlock(i, hidden, o, conv, kernel=kernel, dropout=dropout) for i, o in itertools.pairwise(widths)
        )
        self.last = GatedTemporalConv(hidden, hidden, left)
        self.head = nn.Linear(hidden, horizon * features)

    def deviations(self, z: Tensor, clock: Tensor, *graph: Any) -> Tensor:
        """Return what is left of time says."""
        h = self._with_clock(z, clock)
        for block in self.blocks:
            h = block(h, *graph)
        return self._as_forecasts(self.head(self.last(h)[:, 0]))


class LagNetwork(AbstractForecastNetwork):
    r"""A linear model of lags of a node and of what is around it, and a perceptron on the same that it is added to.

    The perceptron sees an embedding of the node and the clock too, and between its two layers means of all nodes, by
    weights that are learnt, and of neighbours. Both parts are 0 at the start.

    Args:
        length, horizon, features, scaling: as of every network that forecasts, ``clock`` among the last.
        hidden: of the perceptron.
        hops: steps of the means around a node whose lags are seen.
        both: whether means against the direction of edges are seen too.
        nodes: how many there are, where each has an embedding; 0 where the network belongs to no graph.
        embedding: its channels.
        adaptive: channels of the embeddings that learn who matters to whom, 0 for none; only with ``nodes``.
        dropout: probability of zeroing a value of the perceptron.

    Source: Shao et al. (2022), arXiv:2208.05233, for the perceptron on lags, node and hour; Wu et al. (2019),
    arXiv:1906.00121, for the adaptive adjacency. The linear part and the lags of neighbours are those of
    :class:`.LagRidge`.

    Example:
        >>> net = LagNetwork(12, 3, 1, hidden=8, nodes=4)
        >>> net(torch.ones(2, 12, 4, 1), None, torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([2, 3, 4, 1])
    """

    def __init__(
        self,
        length: int,
        horizon: int,
        features: int,
        *,
        hidden: int,
        hops: int = 2,
        both: bool = False,
        nodes: int = 0,
        embedding: int = 16,
        adaptive: int = 10,
        dropout: float = 0.0,
        **scaling: Any,
    ) -> None:
        super().__init__(length, horizon, features, **scaling)
        self.hops, self.both, self.nodes = at_least("hops", hops, 0), both, at_least("nodes", nodes, 0)
        lags = length * features * (1 + hops * (1 + both))
        out = horizon * features
        self.linear = nn.Linear(lags, out)
        self.embedding = nn.Parameter(torch.empty(nodes, embedding)) if nodes and embedding else None
        wide = lags + self.clock + (embedding if nodes else 0)
        self.into, self.around, self.out = nn.Linear(wide, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, out)
        self.everyone = AdaptiveAdjacency(nodes, adaptive) if nodes and adaptive else None
        self.of_everyone = nn.Linear(hidden, hidden) if self.everyone is not None else None
        self.dropout = within("dropout", dropout, 0.0, 1.0)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        super().reset_parameters()
        if self.embedding is not None:
            nn.init.normal_(self.embedding, std=0.1)
        for last in (self.out, self.linear):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def deviations(self, z: Tensor, clock: Tensor, *graph: Any) -> Tensor:
        """Return what both parts say together."""
        if self.nodes and z.size(2) != self.nodes:
            raise ValueError(f"the network has embeddings of {self.nodes:,} nodes, and `seen` has {z.size(2):,}.")
        own = z.movedim(1, -1).flatten(2)  # [moments, nodes, features * length]
        flows = ("source_to_target", "target_to_source")[: 1 + self.both]
        edge_index, edge_weight = (*graph, None)[:2]
        walks = [
            walk_adjacency(edge_index, edge_weight, num_nodes=z.size(2), flow=flow, dtype=z.dtype) for flow in flows
        ]
        lags = [own]
        for walk in walks:
            near = own
            for _ in range(self.hops):
                near = walk @ near
                lags.append(near)
        seen = torch.cat(lags, -1)
        known = [seen] if self.embedding is None else [seen, self.embedding.expand(len(z), -1, -1)]
        h = torch.relu(self.into(self._with_clock(torch.cat(known, -1), clock)))
        h = dropout(h, self.dropout, self.training)
        if self.everyone is not None and self.of_everyone is not None:
            h = h + torch.relu(self.of_everyone(self.everyone(h)))
        h = h + torch.relu(self.around(walks[0] @ h))
        return self._as_forecasts(self.linear(seen) + self.out(dropout(h, self.dropout, self.training)))

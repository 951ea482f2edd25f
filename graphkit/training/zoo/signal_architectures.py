"""Architectures of signals on one graph: convolutions with pooling between them, and the perceptron beside them."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from graphkit.training.zoo.architecture import (
    STRICT,
    AbstractArchitecture,
    Activation,
    EdgeWeights,
    Items,
    Positive,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphkit.nn.signal_models import LevelConv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractPooled(AbstractArchitecture):
    """Stages of a convolution and a pooling up the balanced tree of the graph, then a linear head.

    The first stage has ``hidden`` channels, each further one twice as many.

    Args:
        layers: number of stages.
        activation: after each, a name PyG resolves.
        clustering: how nodes are paired.
        pool: what siblings become.
        pool_levels: halvings between stages.
        readout: "flat" reads all places of the last stage, "mean" their mean.
    """

    edge_weights: ClassVar[EdgeWeights] = "used"
    items: ClassVar[Items] = "signals"
    made_outside: ClassVar[str] = "a tree of coarser graphs"

    layers: Positive = 2
    activation: Activation = "relu"
    clustering: Literal["graclus", "heavy-edge", "metis"] = "graclus"
    pool: Literal["max", "mean"] = "max"
    pool_levels: Positive = 2
    readout: Literal["flat", "mean"] = "flat"

    @property
    def tied(self) -> bool:
        """Whether the head has a weight for each place of the graph's tree."""
        return self.readout == "flat"

    @abstractmethod
    def conv(self) -> LevelConv:
        """Return the maker of a stage's convolution."""

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return the balanced tree."""
        from graphkit.operators import coarsen

        return (
            coarsen(
                edge_index, edge_weight, num_nodes, levels=self.layers * self.pool_levels, method=self.clustering
            ).tree,
        )

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the stages and the head."""
        from graphkit.nn import SignalNet

        return SignalNet(
            in_channels,
            [self.hidden * 2**stage for stage in range(self.layers)],
            out_channels,
            graph[0],
            conv=self.conv(),
            pool=self.pool,
            pool_levels=self.pool_levels,
            readout=self.readout,
            dropout=self.dropout,
            activation=self.activation,
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PooledCheb(AbstractPooled):
    """Chebyshev polynomials of the Laplacian, with pooling; ``order`` counts the terms.

    Source: Defferrard, Bresson & Vandergheynst (2016), arXiv:1606.09375.
    """

    order: Positive = 5

    def conv(self) -> LevelConv:
        """Return the maker of a stage's convolution."""
        from graphkit.nn import ChebConv

        return lambda i, o, level: ChebConv(i, o, K=self.order)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PooledGCN(AbstractPooled):
    """Graph convolution, with pooling.

    Source: Kipf & Welling (2017), arXiv:1609.02907.
    """

    def conv(self) -> LevelConv:
        """Return the maker of a stage's convolution."""
        from graphkit.nn import GCNConv

        return lambda i, o, level: GCNConv(i, o)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PooledSpectral(AbstractPooled):
    """Responses in the whole eigenbasis of each level, with pooling; "free" ones, or splines of ``terms`` knots.

    With full mixing the maps of all terms are drawn one by one: a flat start has but one filter for all channels.

    Source: Bruna, Zaremba, Szlam & LeCun (2014), arXiv:1312.6203, section 5.
    """

    response: Literal["free", "bspline", "bernstein", "chebyshev", "mlp", "set"] = "bspline"
    mixing: Literal["full", "depthwise"] = "full"
    terms: Positive = 6

    @property
    def tied(self) -> bool:
        """Whether the head has weights for places, or the responses for pairs of the graph's."""
        return self.readout == "flat" or self.response == "free"

    def conv(self) -> LevelConv:
        """Return the maker of a stage's convolution."""
        from graphkit.nn import SpectralConv

        def conv(i: int, o: int, level: Any) -> nn.Module:
            tied, start = level.basis if self.response == "free" else None, "drawn" if self.mixing == "full" else "flat"
            return SpectralConv(
                i,
                o,
                self.response,
                terms=self.terms,
                mixing=self.mixing,
                residual=False,
                start=start,
                basis=tied,
            )

        return conv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PooledLocal(AbstractPooled):
    """Weights of their own in every neighbourhood of every level: clustering's spatial construction.

    Source: Bruna, Zaremba, Szlam & LeCun (2014), arXiv:1312.6203, section 2.
    """

    @property
    def tied(self) -> bool:
        """Return true: every neighbourhood has weights of its own."""
        return True

    def conv(self) -> LevelConv:
        """Return the maker of a stage's convolution."""
        from graphkit.nn import LocallyConnectedConv

        return LocallyConnectedConv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SignalMLP(AbstractArchitecture):
    """A perceptron of one hidden layer on all values of a signal: what is reached without the graph."""

    edge_weights: ClassVar[EdgeWeights] = "ignored"
    items: ClassVar[Items] = "signals"

    activation: Activation = "relu"

    @property
    def tied(self) -> bool:
        """Return true: every node of the graph has weights of its own."""
        return True

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return the number of nodes."""
        return (num_nodes,)

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the perceptron."""
        from graphkit.nn.signal_models import SignalPerceptron

        return SignalPerceptron(
            in_channels,
            self.hidden,
            out_channels,
            num_nodes=graph[0],
            dropout=self.dropout,
            activation=self.activation,
        )

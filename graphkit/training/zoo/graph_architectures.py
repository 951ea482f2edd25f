"""Architectures of whole graphs: convolutions with a readout, and what the nodes' features alone are worth."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from graphkit.training.zoo.architecture import (
    STRICT,
    AbstractArchitecture,
    Count,
    EdgeWeights,
    Items,
    Positive,
    Share,
    Switch,
)
from graphkit.training.zoo.closed_form import (
    AbstractGraphFeatureModel,
    CountForest,
    DescriptorProcess,
    FingerprintForest,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphkit.nn.node_models import Conv


BESIDE: dict[str, AbstractGraphFeatureModel] = {
    "wl-forest": CountForest(),
    "fingerprint-forest": FingerprintForest(),
    "descriptor-gp": DescriptorProcess(),
}
"""What may stand beside a network, by the names of recipes."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractGraphStack(AbstractArchitecture):
    """Convolutions with batch norm, a virtual node where wanted, and a readout.

    Args:
        layers: number of convolutions.
        residual: add a layer's input to its result.
        feed_forward: a perceptron on each node after each convolution.
        walks: steps of the random walks whose return tells nodes apart; 0 for none.
        heat: times at which the heat that a node has kept of its own tells it apart; 0 for none.
        readout: what a graph's nodes become: of each feature its sum, mean or maximum, all three, a mean that attends,
            or set to set.
        head_layers: linear maps from there to the result.
        virtual_node: a node beside each graph that all its nodes talk to.
        jumping: read out the sum of all layers.
        ensemble: a recipe that is solved for, fitted before the first step; what both say is averaged.
        share: how much of the average is its.
    """

    edge_weights: ClassVar[EdgeWeights] = "ignored"
    edge_features: ClassVar[bool] = True
    items: ClassVar[Items] = "graphs"

    layers: Positive = 5
    residual: Switch = False
    feed_forward: Switch = False
    walks: Count = 0
    heat: Count = 0
    readout: Literal["sum", "mean", "max", "all", "attention", "set"] = "mean"
    head_layers: Positive = 1
    virtual_node: Switch = False
    jumping: Switch = False
    ensemble: Literal["none", "wl-forest", "fingerprint-forest", "descriptor-gp"] = "none"
    share: Share = 0.5

    @property
    def molecules(self) -> bool:
        """Whether what stands beside it is for molecules alone."""
        return self.ensemble != "none" and BESIDE[self.ensemble].molecules

    @property
    def untraced(self) -> str:
        """That it counts, where it does."""
        if self.ensemble != "none":
            return BESIDE[self.ensemble].untraced
        return "it follows walks or heat on the graph" if self.walks or self.heat else ""

    def unused_fields(self) -> dict[str, str]:
        """Return what only an ensemble has."""
        return {"share": "there is no `ensemble`"} if self.ensemble == "none" else {}

    def begin(self, module: Any, task: Any) -> None:
        """Fit what stands beside it."""
        if self.ensemble != "none":
            BESIDE[self.ensemble].fit_best(module.other, task)

    @abstractmethod
    def conv(self, bonded: bool) -> Conv:
        """Return the maker of a layer, of one that takes features of edges where they have some."""

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return nothing: graphs come in batches."""
        return ()

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the model; ``graph`` says whether nodes are OGB's atoms, and how many features other edges have."""
        from graphkit.nn.graph_ensemble import GraphEnsemble
        from graphkit.nn.graph_models import GraphClassifier

        molecules, edge_features = graph[0], graph[1] if len(graph) > 1 else 0
        network = GraphClassifier(
            None if molecules else in_channels,
            self.hidden,
            out_channels,
            conv=self.conv(molecules or edge_features > 0),
            edge_channels=edge_features,
            layers=self.layers,
            dropout=self.dropout,
            readout=self.readout,
            virtual_node=self.virtual_node,
            residual=self.residual,
            jumping=self.jumping,
            feed_forward=self.feed_forward,
            walks=self.walks,
            heat=self.heat,
            head_layers=self.head_layers,
        )
        if self.ensemble == "none":
            return network
        other: Any = BESIDE[self.ensemble].module(in_channels, out_channels, graph)
        return GraphEnsemble(network, other, share=self.share)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GraphGIN(AbstractGraphStack):
    """Sums of neighbours (and of bonds, or other features of edges) through a perceptron, read out over each graph.

    Source: Xu et al. (2019), arXiv:1810.00826; with bonds Hu et al. (2020), arXiv:1905.12265.
    """

    expansion: Positive = 2

    def conv(self, bonded: bool) -> Conv:
        """Return the maker of a layer."""
        from torch.nn import BatchNorm1d, Linear, ReLU, Sequential

        from graphkit.nn import GINConv, GINEConv

        def build(i: int, o: int) -> nn.Module:
            between = self.expansion * o
            layer = GINEConv if bonded else GINConv
            return layer(
                Sequential(Linear(i, between), BatchNorm1d(between), ReLU(), Linear(between, o)), train_eps=True
            )

        return build


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GraphGCN(AbstractGraphStack):
    """Graph convolution (with bonds, or other features of edges), read out over each graph.

    Source: Kipf & Welling (2017), arXiv:1609.02907; with bonds Hu et al. (2020), arXiv:2005.00687.
    """

    def conv(self, bonded: bool) -> Conv:
        """Return the maker of a layer."""
        from graphkit.nn import BondedGCNConv, GCNConv

        return BondedGCNConv if bonded else GCNConv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GraphGatedGCN(AbstractGraphStack):
    """Gated graph convolution: each feature of a neighbour passes a gate of both ends (and the bond), read out.

    PyG's layer; the gates are not divided by their sum, and edges have no state of their own.

    Source: Bresson & Laurent (2018), arXiv:1711.07553.
    """

    def conv(self, bonded: bool) -> Conv:
        """Return the maker of a layer."""
        from torch_geometric.nn import ResGatedGraphConv

        return lambda i, o: ResGatedGraphConv(i, o, edge_dim=o if bonded else None)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StructureFreeArchitecture(AbstractArchitecture):
    """A perceptron on the sum of the nodes' features: what is reached without an edge.

    Features that are degrees, as those of IMDB-BINARY, tell of edges all the same. ``deep_sets`` puts a perceptron
    before the sum, as is done for social graphs.

    Source: Errica et al. (2020), arXiv:1912.09893.
    """

    edge_weights: ClassVar[EdgeWeights] = "ignored"
    items: ClassVar[Items] = "graphs"

    deep_sets: Switch = False

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return nothing: graphs come in batches."""
        return ()

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the model; ``graph`` says whether the nodes are OGB's atoms."""
        from graphkit.nn.graph_models import StructureFree as Model

        channels = None if graph[0] else in_channels
        return Model(channels, self.hidden, out_channels, deep_sets=self.deep_sets, dropout=self.dropout)

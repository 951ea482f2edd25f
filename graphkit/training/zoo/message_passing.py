"""Architectures of message passing: GCN, GraphSAGE, GAT, GIN, deep residual and random propagation networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from graphkit.training.zoo.architecture import (
    STRICT,
    AbstractArchitecture,
    AbstractEdgeStack,
    Count,
    EdgeWeights,
    Norm,
    Positive,
    Rate,
    Switch,
    Version,
    edge_channels,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphkit.nn.node_models import Conv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GCN(AbstractEdgeStack):
    """Graph convolution.

    Source: Kipf & Welling (2017), arXiv:1609.02907.
    """

    edge_weights: ClassVar[EdgeWeights] = "used"
    sampled: ClassVar[bool] = True

    def convs(self, graph: tuple[Any, ...]) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one."""
        from graphkit.nn import GCNConv

        return GCNConv, GCNConv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SAGE(AbstractEdgeStack):
    """Separate weights for a node and for the aggregate of its neighbours.

    Source: Hamilton, Ying & Leskovec (2017), arXiv:1706.02216.
    """

    edge_weights: ClassVar[EdgeWeights] = "refused"
    sampled: ClassVar[bool] = True

    aggregate: Literal["mean", "max", "sum"] = "mean"

    def convs(self, graph: tuple[Any, ...]) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one."""
        from graphkit.nn import SAGEConv

        def conv(i: int, o: int) -> nn.Module:
            return SAGEConv(i, o, aggr=self.aggregate)

        return conv, conv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GAT(AbstractEdgeStack):
    """Attention over neighbours: several heads side by side, averaged in the last layer.

    Source: Veličković et al. (2018), arXiv:1710.10903; v2: Brody, Alon & Yahav (2022), arXiv:2105.14491.
    """

    edge_weights: ClassVar[EdgeWeights] = "refused"
    edge_features: ClassVar[bool] = True
    sampled: ClassVar[bool] = True

    version: Version = 1
    heads: Positive = 8
    last_heads: Positive = 1
    attention_dropout: Rate = 0.6

    def unused_fields(self) -> dict[str, str]:
        """Return what one layer has not: several heads side by side, and what is between layers."""
        return super().unused_fields() | ({"heads": "one layer has `last_heads`"} if self.single else {})

    def convs(self, graph: tuple[Any, ...]) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one.

        Raises:
            ValueError: if the hidden width is not a multiple of ``heads``.
        """
        from graphkit.nn import GATConv, GATv2Conv

        layer, features = GATConv if self.version == 1 else GATv2Conv, edge_channels(graph)

        def side_by_side(i: int, o: int) -> nn.Module:
            if o % self.heads:
                raise ValueError(f"`hidden` must be a multiple of `heads` ({self.heads}), got {o}.")
            return layer(i, o // self.heads, heads=self.heads, dropout=self.attention_dropout, edge_dim=features)

        def mean_neighbours(i: int, o: int) -> nn.Module:
            return layer(i, o, heads=self.last_heads, concat=False, dropout=self.attention_dropout, edge_dim=features)

        return side_by_side, mean_neighbours


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GIN(AbstractEdgeStack):
    """Sums of neighbours, and of the features of edges, through a perceptron of two layers.

    Source: Xu et al. (2019), arXiv:1810.00826; with features of edges Hu et al. (2020), arXiv:1905.12265.
    """

    edge_weights: ClassVar[EdgeWeights] = "refused"
    edge_features: ClassVar[bool] = True
    sampled: ClassVar[bool] = True

    learn_eps: Switch = False

    def convs(self, graph: tuple[Any, ...]) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one."""
        from torch.nn import Linear, ReLU, Sequential

        from graphkit.nn import GINConv, GINEConv

        features = edge_channels(graph)

        def conv(i: int, o: int) -> nn.Module:
            network = Sequential(Linear(i, o), ReLU(), Linear(o, o))
            if features is None:
                return GINConv(network, train_eps=self.learn_eps)
            return GINEConv(network, train_eps=self.learn_eps, edge_dim=features)

        return conv, conv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MLP(AbstractEdgeStack):
    """Linear maps that never see the graph: what the features alone are worth."""

    edge_weights: ClassVar[EdgeWeights] = "ignored"
    sampled: ClassVar[bool] = True

    def convs(self, graph: tuple[Any, ...]) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one."""
        from torch_geometric.nn import Linear

        return Linear, Linear


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractDeepStack(AbstractEdgeStack):
    """Many layers of one kind, each beside a linear map of the node itself, and a linear head.

    Args:
        separated: whether that map is there.
        input_dropout: probability of zeroing a feature; ``dropout`` acts after the layers.
        layers: number of convolutions.
        norm: normalisation after each.

    Source: Luo, Shi & Wu (2024), "Classic GNNs are Strong Baselines", arXiv:2406.08993.
    """

    separated: Switch = True
    input_dropout: Rate = 0.0
    layers: Positive = 12
    norm: Norm = "batch"

    @property
    def single(self) -> bool:
        """Whether its first layer is all there is: never, for there is a head."""
        return False

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return ``layers`` convolutions, and the head."""
        from torch_geometric.nn import Linear

        from graphkit.nn import Encoder, SeparatedConv

        conv, _ = self.convs(graph)

        def separate(i: int, o: int) -> nn.Module:
            return SeparatedConv(conv(i, o), i, o)

        jumping = None if self.jumping_knowledge == "none" else self.jumping_knowledge
        return Encoder(
            in_channels,
            self.hidden,
            out_channels,
            conv=separate if self.separated else conv,
            last=None if jumping else Linear,  # with `jumping_knowledge` the encoder has a head of its own
            layers=self.layers if jumping else self.layers + 1,
            dropout=self.dropout,
            input_dropout=self.input_dropout,
            norm=None if self.norm == "none" else self.norm,
            residual=self.residual,
            jumping_knowledge=jumping,
            activation=self.activation,
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DeepGCN(AbstractDeepStack, GCN):
    """Many graph convolutions, each beside a linear map of the node itself, and a linear head.

    Source: Luo, Shi & Wu (2024), arXiv:2406.08993.
    """


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DeepSAGE(AbstractDeepStack, SAGE):
    """Many layers of GraphSAGE, each beside a linear map of the node itself, and a linear head.

    Source: Luo, Shi & Wu (2024), arXiv:2406.08993.
    """


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DeepGAT(AbstractDeepStack, GAT):
    """Many layers of attention, each beside a linear map of the node itself, and a linear head.

    Source: Luo, Shi & Wu (2024), arXiv:2406.08993.
    """

    heads: Positive = 1
    attention_dropout: Rate = 0.0

    def unused_fields(self) -> dict[str, str]:
        """Return what only a last layer of attention has."""
        return super().unused_fields() | {"last_heads": "the last layer is a linear head"}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Grand(AbstractArchitecture):
    """A perceptron of two layers on features averaged over hops, whole nodes dropped in training.

    Source: Feng et al. (2020), arXiv:2005.11079.
    """

    edge_weights: ClassVar[EdgeWeights] = "used"

    order: Count = 4
    node_dropout: Rate = 0.5

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return the edges and their weights."""
        return edge_index, edge_weight

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the perceptron."""
        from graphkit.nn.node_models import RandomPropagation

        return RandomPropagation(
            in_channels,
            self.hidden,
            out_channels,
            order=self.order,
            node_dropout=self.node_dropout,
            dropout=self.dropout,
        )

"""Deep stacks of graph convolutions that keep the node itself apart from its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic.dataclasses import dataclass

from graphkit.training.zoo.abstract import (
    STRICT,
    AbstractArchitecture,
    Activation,
    EdgeWeights,
    Norm,
    Positive,
    Rate,
    Switch,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DeepGCN(AbstractArchitecture):
    """Many graph convolutions, each beside a linear map of the node itself, and a linear head.

    Args:
        separated: whether that map is there.
        input_dropout: probability of zeroing a feature; ``dropout`` acts after the layers.
        layers: number of convolutions.
        activation: after each, a name PyG resolves.
        norm: normalisation after each.
        residual: add a layer's input to its result.

    Source: Luo, Shi & Wu (2024), "Classic GNNs are Strong Baselines", arXiv:2406.08993.
    """

    edge_weights: ClassVar[EdgeWeights] = "used"

    separated: Switch = True
    input_dropout: Rate = 0.0
    layers: Positive = 12
    activation: Activation = "relu"
    norm: Norm = "batch"
    residual: Switch = False

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return the edges and their weights."""
        return edge_index, edge_weight

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return ``layers`` convolutions, and the head."""
        from torch_geometric.nn import Linear

        from graphkit.nn import Encoder, GCNConv, SeparatedConv

        def separated(i: int, o: int) -> nn.Module:
            return SeparatedConv(GCNConv(i, o), i, o)

        return Encoder(
            in_channels,
            self.hidden,
            out_channels,
            conv=separated if self.separated else GCNConv,
            last=Linear,
            layers=self.layers + 1,
            dropout=self.dropout,
            input_dropout=self.input_dropout,
            norm=None if self.norm == "none" else self.norm,
            residual=self.residual,
            activation=self.activation,
        )

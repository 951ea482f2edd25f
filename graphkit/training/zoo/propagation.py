"""Architectures whose number of hops is not their number of layers, trained with whole nodes dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic.dataclasses import dataclass

from graphkit.training.zoo.abstract import STRICT, AbstractArchitecture, Count, EdgeWeights, Rate

if TYPE_CHECKING:
    from torch import Tensor, nn


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

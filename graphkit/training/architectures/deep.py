"""Deep stacks of graph convolutions that keep the node itself apart from its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic.dataclasses import dataclass

from graphkit.training.architectures.abstract import STRICT, AbstractArchitecture, EdgeWeights, Rate, Switch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphkit.training.recipes import Recipe


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DeepGCN(AbstractArchitecture):
    """Many graph convolutions, each beside a linear map of the node itself, and a linear head.

    Args:
        separated: whether that map is there.
        input_dropout: probability of zeroing a feature; the recipe's ``dropout`` acts after the layers.

    Source: Luo, Shi & Wu (2024), "Classic GNNs are Strong Baselines", arXiv:2406.08993.
    """

    edge_weights: ClassVar[EdgeWeights] = "used"

    separated: Switch = True
    input_dropout: Rate = 0.0

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return the edges and their weights."""
        return edge_index, edge_weight

    def module(self, recipe: Recipe, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return ``layers`` convolutions of the recipe's widths, and the head."""
        from torch_geometric.nn import Linear

        from graphkit.nn import Encoder, GCNConv, SeparatedConv

        def separated(i: int, o: int) -> nn.Module:
            return SeparatedConv(GCNConv(i, o), i, o)

        return Encoder(
            in_channels,
            recipe.hidden,
            out_channels,
            conv=separated if self.separated else GCNConv,
            last=Linear,
            layers=recipe.layers + 1,
            dropout=recipe.dropout,
            input_dropout=self.input_dropout,
            norm=None if recipe.norm == "none" else recipe.norm,
            residual=recipe.residual,
            activation=recipe.activation,
        )

    def groups(self, module: nn.Module) -> list[dict[str, Any]]:
        """Return no group: everything goes by the recipe."""
        return []

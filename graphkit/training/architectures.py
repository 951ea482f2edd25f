"""Which layers a model is made of, as frozen data: the options that only this kind of layer has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

if TYPE_CHECKING:
    from torch import nn

    from graphkit.nn.models import Conv

Positive: TypeAlias = Annotated[int, Field(ge=1)]
Rate: TypeAlias = Annotated[float, Field(ge=0, lt=1)]

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GCN:
    """Graph convolution.

    Source: Kipf & Welling (2017), arXiv:1609.02907.
    """

    def convs(self) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one."""
        from graphkit.nn import GCNConv

        return GCNConv, GCNConv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SAGE:
    """Separate weights for a node and for the aggregate of its neighbours.

    Source: Hamilton, Ying & Leskovec (2017), arXiv:1706.02216.
    """

    aggregate: Literal["mean", "max", "sum"] = "mean"

    def convs(self) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one."""
        from graphkit.nn import SAGEConv

        def conv(i: int, o: int) -> nn.Module:
            return SAGEConv(i, o, aggr=self.aggregate)

        return conv, conv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GAT:
    """Attention over neighbours: several heads side by side, averaged in the last layer.

    Source: Veličković et al. (2018), arXiv:1710.10903; v2: Brody, Alon & Yahav (2022), arXiv:2105.14491.
    """

    version: Literal[1, 2] = 1
    heads: Positive = 8
    last_heads: Positive = 1
    attention_dropout: Rate = 0.6

    def convs(self) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one.

        Raises:
            ValueError: if the hidden width is not a multiple of ``heads``.
        """
        from graphkit.nn import GATConv, GATv2Conv

        layer = GATConv if self.version == 1 else GATv2Conv

        def side_by_side(i: int, o: int) -> nn.Module:
            if o % self.heads:
                raise ValueError(f"`hidden` must be a multiple of `heads` ({self.heads}), got {o}.")
            return layer(i, o // self.heads, heads=self.heads, dropout=self.attention_dropout)

        def averaged(i: int, o: int) -> nn.Module:
            return layer(i, o, heads=self.last_heads, concat=False, dropout=self.attention_dropout)

        return side_by_side, averaged


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GIN:
    """Sums of neighbours through a perceptron of two layers.

    Source: Xu et al. (2019), arXiv:1810.00826.
    """

    learn_eps: bool = False

    def convs(self) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one."""
        from torch.nn import Linear, ReLU, Sequential

        from graphkit.nn import GINConv

        def conv(i: int, o: int) -> nn.Module:
            return GINConv(Sequential(Linear(i, o), ReLU(), Linear(o, o)), train_eps=self.learn_eps)

        return conv, conv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Cheb:
    """Chebyshev polynomials of the Laplacian; ``order`` counts the terms, as PyG's ``K`` does.

    Source: Defferrard, Bresson & Vandergheynst (2016), arXiv:1606.09375.
    """

    order: Positive = 3

    def convs(self) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one."""
        from graphkit.nn import ChebConv

        def conv(i: int, o: int) -> nn.Module:
            return ChebConv(i, o, K=self.order)

        return conv, conv


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MLP:
    """Linear maps that never see the graph: what the features alone are worth."""

    def convs(self) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one."""
        from torch_geometric.nn import Linear

        return Linear, Linear


Model: TypeAlias = GCN | SAGE | GAT | GIN | Cheb | MLP

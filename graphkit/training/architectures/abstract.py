"""What an architecture decides: what its model takes of a graph, how it is made, what has learning rates of its own."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphkit.nn.models import Conv
    from graphkit.training.recipes import Recipe


def _number(value: Any) -> Any:
    """Return what may be a number, or text of one; true and false, which Python counts among them, are none."""
    if isinstance(value, bool | bytes):
        raise ValueError("must be a number")
    return value


def _switch(value: Any) -> Any:
    """Return true or false, perhaps as text, or refuse what else might be meant so."""
    if isinstance(value, bool) or value in ("true", "false"):
        return value
    raise ValueError("must be true or false")


Whole: TypeAlias = Annotated[int, BeforeValidator(_number)]
Real: TypeAlias = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_number)]
Version: TypeAlias = Annotated[Literal[1, 2], BeforeValidator(_number)]
Switch: TypeAlias = Annotated[bool, BeforeValidator(_switch)]

LARGEST = 2**31 - 1
"""What a width, a number of steps or of items can be."""

Positive: TypeAlias = Annotated[Whole, Field(ge=1, le=LARGEST)]
Count: TypeAlias = Annotated[Whole, Field(ge=0, le=LARGEST)]
Rate: TypeAlias = Annotated[Real, Field(ge=0, lt=1)]
Share: TypeAlias = Annotated[Real, Field(ge=0, le=1)]
NonNegative: TypeAlias = Annotated[Real, Field(ge=0)]
LearningRate: TypeAlias = Annotated[Real, Field(gt=0)]

EdgeWeights: TypeAlias = Literal["used", "refused", "ignored"]
"""What a model does with edge weights; one that refuses them tells the user, one that ignores them sees no edge."""

Items: TypeAlias = Literal["nodes", "signals", "graphs"]
"""What a model classifies: the nodes of a graph, signals on one, or whole graphs."""

STRICT = ConfigDict(extra="forbid")


class AbstractArchitecture(ABC):
    """A kind of model, with the options that only this kind has as its fields."""

    edge_weights: ClassVar[EdgeWeights]
    items: ClassVar[Items] = "nodes"

    def options(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)  # type: ignore[call-overload]  # every kind is a dataclass

    @abstractmethod
    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return what the model takes after ``x``: the edges as they are, or what is prepared from them once."""

    @abstractmethod
    def module(self, recipe: Recipe, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return a freshly drawn model of this kind for ``graph``, as :meth:`graph` returned it.

        It has a property ``first``, the module whose parameters ``l2_on="first"`` decays.
        """

    @abstractmethod
    def groups(self, module: nn.Module) -> list[dict[str, Any]]:
        """Return the optimiser's groups with rates of their own; all other parameters go by the recipe."""


class AbstractStack(AbstractArchitecture):
    """Convolutions of one kind, stacked by ``Encoder``."""

    @abstractmethod
    def convs(self) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one."""

    def module(self, recipe: Recipe, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the encoder that the recipe describes."""
        return stacked(recipe, in_channels, out_channels, *self.convs())

    def groups(self, module: nn.Module) -> list[dict[str, Any]]:
        """Return no group: everything goes by the recipe."""
        return []


class AbstractEdgeStack(AbstractStack):
    """A stack of layers that take ``edge_index``, and ``edge_weight`` where they can use it."""

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return the edges; their weights only where the layers use them."""
        return (edge_index, edge_weight) if self.edge_weights == "used" else (edge_index,)


def stacked(recipe: Recipe, in_channels: int, out_channels: int, conv: Conv, last: Conv) -> nn.Module:
    """Return the encoder that a recipe describes, of these hidden layers and this last one."""
    from graphkit.nn.models import Encoder

    return Encoder(
        in_channels,
        recipe.hidden,
        out_channels,
        conv=conv,
        last=last,
        layers=recipe.layers,
        dropout=recipe.dropout,
        norm=None if recipe.norm == "none" else recipe.norm,
        residual=recipe.residual,
        jumping_knowledge=None if recipe.jumping_knowledge == "none" else recipe.jumping_knowledge,
        activation=recipe.activation,
    )

"""What an architecture decides: what its model takes of a graph, how it is made, what has learning rates of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from graphkit.training.engine.options import AbstractOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphkit.nn.node_models import Conv


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
Hops: TypeAlias = Annotated[Whole, Field(ge=1, le=4)]
Rate: TypeAlias = Annotated[Real, Field(ge=0, lt=1)]
Share: TypeAlias = Annotated[Real, Field(ge=0, le=1)]
NonNegative: TypeAlias = Annotated[Real, Field(ge=0)]
LearningRate: TypeAlias = Annotated[Real, Field(gt=0)]

EdgeWeights: TypeAlias = Literal["used", "refused", "ignored"]
"""What a model does with edge weights; one that refuses them tells the user, one that ignores them sees no edge."""

Items: TypeAlias = Literal["nodes", "signals", "graphs", "links", "moments"]
"""What a model predicts: nodes of a graph, signals on one, whole graphs, pairs of nodes, what comes after moments."""

Activation: TypeAlias = Literal["relu", "elu", "leaky_relu", "gelu", "tanh", "prelu"]
Norm: TypeAlias = Literal["none", "batch", "layer", "graph", "pair"]

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractArchitecture(AbstractOptions, ABC):
    """A kind of model; its fields are all that decides how one is made.

    Args:
        hidden: width between the layers (all heads together).
        dropout: probability of zeroing an input value of a layer.
    """

    edge_weights: ClassVar[EdgeWeights]
    items: ClassVar[Items] = "nodes"
    edge_features: ClassVar[bool] = False
    """Whether its layers look at the features of edges, ``edge_attr``, where there are some."""
    sampled: ClassVar[bool] = False
    """Whether it learns from neighbourhoods that are drawn, and needs no graph whole."""
    solved: ClassVar[bool] = False
    """Whether its weights are solved for in closed form, an epoch being a solution and no step being taken."""
    made_outside: ClassVar[str] = ""
    """What its model takes that is made of each graph outside of the model, and cannot be exported with it."""

    hidden: Positive = 16
    dropout: Rate = 0.5

    @property
    def single(self) -> bool:
        """Whether its first layer is all there is."""
        return False

    @property
    def tied(self) -> bool:
        """Whether its parameters belong to the graph that it was made for, and mean nothing on another."""
        return False

    @property
    def molecules(self) -> bool:
        """Whether it is for molecules alone: its nodes and edges must be OGB's atoms and bonds."""
        return False

    @property
    def untraced(self) -> str:
        """What its model does that no file of operations on tensors holds, in words; mostly nothing."""
        return ""

    @abstractmethod
    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return what the model takes after ``x``: the edges as they are, or what is prepared from them once."""

    @abstractmethod
    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return a freshly drawn model of this kind for ``graph``, as :meth:`graph` returned it.

        It has a property ``first``, the module whose parameters ``l2_on="first"`` decays.
        """

    def begin(self, module: Any, task: Any) -> None:
        """Fit what a module has beside what steps of training move; mostly nothing.

        Args:
            module: as :meth:`module` drew it, where it is trained.
            task: what training sees of labelled items.
        """

    def solver(self, module: Any, task: Any) -> Any:
        """Return what has a method ``solve(number)``, by which a module takes the weights of a solution.

        Args:
            module: as :meth:`module` drew it.
            task: what training sees of labelled items.
        """
        raise NotImplementedError(f"{type(self).__name__} takes steps")

    def solutions(self, module: Any) -> int:
        """Return how many solutions there are, each one an epoch."""
        raise NotImplementedError(f"{type(self).__name__} takes steps")

    def groups(self, module: nn.Module) -> list[dict[str, Any]]:
        """Return the optimiser's groups with rates of their own, here none; other parameters go by the recipe."""
        return []


def edge_channels(graph: tuple[Any, ...]) -> int | None:
    """Return how many features an edge of a prepared graph has: its third part, ``[edges, features]``, or nothing."""
    return graph[2].size(1) if len(graph) > 2 else None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractStack(AbstractArchitecture):
    """Convolutions of one kind, stacked by ``Encoder``.

    Args:
        layers: number of convolutions.
        activation: between the layers, a name PyG resolves.
        norm: normalisation after each hidden layer.
        residual: add a layer's input to its result.
        jumping_knowledge: how all layers together make the representation.
    """

    layers: Positive = 2
    activation: Activation = "relu"
    norm: Norm = "none"
    residual: Switch = False
    jumping_knowledge: Literal["none", "cat", "max", "lstm"] = "none"

    @property
    def single(self) -> bool:
        """Whether its first layer is all there is."""
        return self.layers == 1 and self.jumping_knowledge == "none"

    @abstractmethod
    def convs(self, graph: tuple[Any, ...]) -> tuple[Conv, Conv]:
        """Return the makers of the hidden layers and of the last one, for ``graph``."""

    def unused_fields(self) -> dict[str, str]:
        """Return what is between layers, where there is but one."""
        if not self.single:
            return {}
        return dict.fromkeys(("hidden", "activation", "norm", "residual"), "one layer has nothing between layers")

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the encoder of these layers."""
        from graphkit.nn.node_models import Encoder

        conv, last = self.convs(graph)
        return Encoder(
            in_channels,
            self.hidden,
            out_channels,
            conv=conv,
            last=last,
            layers=self.layers,
            dropout=self.dropout,
            norm=None if self.norm == "none" else self.norm,
            residual=self.residual,
            jumping_knowledge=None if self.jumping_knowledge == "none" else self.jumping_knowledge,
            activation=self.activation,
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractEdgeStack(AbstractStack):
    """A stack of layers that take ``edge_index``, and ``edge_weight`` where they can use it."""

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return the edges; their weights only where the layers use them."""
        return (edge_index, edge_weight) if self.edge_weights == "used" else (edge_index,)

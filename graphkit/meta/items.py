"""Items to classify: nodes of a graph, rows of a table, whole graphs; a model maps each to one row of outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor, strided

from graphkit._checks import edge_index_in_range, instance, integer_labels, integer_list, one_value_per_edge, tensor
from graphkit.data.graphset import GraphSet
from graphkit.operators import SparseOperator

ModelCall: TypeAlias = Callable[..., Tensor]
"""A model with its parameters put in."""


class AbstractItems(ABC):
    """Labelled items of one source."""

    y: Tensor

    @property
    @abstractmethod
    def channels(self) -> int:
        """Features of what a model is given."""

    @abstractmethod
    def outputs(self, call: ModelCall, index: Tensor) -> Tensor:
        """Return the model's outputs for some items, ``[items, channels]``."""


@dataclass(frozen=True, eq=False)
class Labels(AbstractItems):
    """Labels alone, from which tasks are drawn before their items are there; see ``TaskSet.with_items``.

    Args:
        y: labels ``[items]``; -1 for none.

    Raises:
        TypeError: for labels that are not integers.

    Example:
        >>> import torch
        >>> Labels(torch.tensor([0, 1, 1])).channels
        0
    """

    y: Tensor

    def __post_init__(self) -> None:
        integer_labels("y", self.y, tensor("y", self.y).numel())

    @property
    def channels(self) -> int:
        """None."""
        return 0

    def outputs(self, call: ModelCall, index: Tensor) -> Tensor:
        """Refuse: there is nothing for a model to see.

        Raises:
            TypeError: always.
        """
        raise TypeError("these tasks are of labels alone; give them items first, by `tasks.with_items(items)`.")


@dataclass(frozen=True, eq=False)
class Rows(AbstractItems):
    """Rows of a table, which do not see each other: features, propagated features, frozen embeddings.

    Args:
        x: ``[items, features]``.
        y: labels ``[items]``; -1 for none.

    Raises:
        TypeError: for features that are no tensor, and labels that are not integers.
        ValueError: for features that are no rows, and another number of labels than of rows.

    Example:
        >>> import torch
        >>> Rows(torch.eye(3), torch.tensor([0, 1, 1])).outputs(torch.nn.Identity(), torch.tensor([2]))
        tensor([[0., 0., 1.]])
    """

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        _require_features(self.x, Tensor)
        integer_labels("y", self.y, len(self.x))

    @property
    def channels(self) -> int:
        """Features of a row."""
        return self.x.size(-1)

    def outputs(self, call: ModelCall, index: Tensor) -> Tensor:
        """Return the outputs of the rows."""
        return call(self.x[index])


@dataclass(frozen=True, eq=False)
class Nodes(AbstractItems):
    """Nodes of one graph, which a model sees whole.

    Args:
        x: features ``[nodes, features]``, a tensor or a ``SparseOperator``.
        edge_index: ``[2, edges]``, or any form the model takes.
        y: labels ``[nodes]``; -1 for none.
        edge_weight: ``[edges]``, for a model that takes it.

    Raises:
        TypeError: for features, edges or weights that are none, and labels that are not integers.
        ValueError: for another number of labels than of nodes, ids of nodes that are not there, and another number of
            weights than of edges.

    Example:
        >>> import torch
        >>> from graphkit.nn import GCNConv
        >>> nodes = Nodes(torch.eye(3), torch.tensor([[0, 1], [1, 0]]), torch.tensor([0, 1, 1]))
        >>> nodes.outputs(GCNConv(3, 2), torch.tensor([0, 2])).shape
        torch.Size([2, 2])
    """

    x: Any
    edge_index: Any
    y: Tensor
    edge_weight: Tensor | None = None

    def __post_init__(self) -> None:
        _require_features(self.x, (Tensor, SparseOperator))
        integer_labels("y", self.y, self.x.size(0))
        instance("edge_index", self.edge_index, (Tensor, SparseOperator), "a tensor [2, edges] or a sparse matrix")
        if type(self.edge_index) is not Tensor or self.edge_index.layout != strided:
            return
        edge_index_in_range(self.edge_index, int(self.x.size(0)))
        if self.edge_weight is not None:
            one_value_per_edge("edge_weight", tensor("edge_weight", self.edge_weight), self.edge_index.size(1))

    @property
    def channels(self) -> int:
        """Features of a node."""
        return int(self.x.size(-1))

    def outputs(self, call: ModelCall, index: Tensor) -> Tensor:
        """Return the outputs of some nodes."""
        if self.edge_weight is None:
            return call(self.x, self.edge_index)[index]
        return call(self.x, self.edge_index, self.edge_weight)[index]


@dataclass(frozen=True, eq=False)
class Graphs(AbstractItems):
    """Graphs of a set, each an item; the model is called as ``model(x, edge_index, batch)``.

    Args:
        graphs: the set.

    Raises:
        TypeError: for anything else, and for labels that are not integers.
        ValueError: for another number of labels than of graphs.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from torch_geometric.nn import global_add_pool
        >>> pair = Data(x=torch.ones(5, 1), edge_index=torch.tensor([[0, 0], [1, 1]]), y=torch.tensor([0, 1]))
        >>> made = GraphSet(pair, nodes=torch.tensor([2, 3]), edges=torch.tensor([1, 1]))
        >>> Graphs(made).outputs(lambda x, edge_index, batch: global_add_pool(x, batch), torch.tensor([1]))
        tensor([[3.]])
    """

    graphs: GraphSet

    def __post_init__(self) -> None:
        instance("graphs", self.graphs, GraphSet, "a GraphSet")
        integer_labels("y", self.y, len(self.graphs))

    @property
    def y(self) -> Tensor:  # type: ignore[override]  # a field elsewhere
        """Labels of the graphs."""
        return self.graphs.items.y.flatten()

    @property
    def channels(self) -> int:
        """Features of a node."""
        return int(self.graphs.num_node_features)

    def outputs(self, call: ModelCall, index: Tensor) -> Tensor:
        """Return the outputs of some graphs."""
        batch = self.graphs.batch(index)
        return call(batch.x, batch.edge_index, batch.batch)


def _require_features(x: Any, kinds: type | tuple[type, ...]) -> None:
    """Refuse features that are none, or no rows."""
    if not isinstance(x, kinds):
        tensor("x", x)
    if len(x.shape) < 2:
        raise ValueError(f"`x` must have shape [items, features], got {list(x.shape)}.")


def labelled_sources(argument: str, sources: Any) -> list[tuple[Rows, tuple[int, ...]]]:
    """Return rows and the labels that are known in them, or refuse anything else.

    Raises:
        TypeError: for what is no list of such pairs.
        ValueError: for no pair at all.
    """
    wanted = f"`{argument}` must be a list of pairs of rows and labels, as [(rows, (0, 1))]"
    if not isinstance(sources, Sequence):
        raise TypeError(f"{wanted}, got {type(sources).__name__}.")
    if not sources:
        raise ValueError(f"{wanted}, got none.")
    for pair in sources:
        if not isinstance(pair, Sequence) or len(pair) != 2 or not isinstance(pair[0], Rows):
            raise TypeError(f"{wanted}, got a {type(pair).__name__} in it.")
    return [(rows, integer_list(argument, labels)) for rows, labels in sources]

"""What is classified: nodes of a graph, rows of a table, whole graphs. A model maps them to outputs, one row each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graphkit._checks import integer_labels
from graphkit.data.graphset import GraphSet

Call = Callable[..., Tensor]
"""A model with its parameters put in."""


class AbstractItems(ABC):
    """Labelled items of one source."""

    y: Tensor

    @property
    @abstractmethod
    def channels(self) -> int:
        """Features of what a model is given."""

    @abstractmethod
    def outputs(self, call: Call, index: Tensor) -> Tensor:
        """Return the model's outputs for some items, ``[items, channels]``."""


@dataclass(frozen=True, eq=False)
class Rows(AbstractItems):
    """Rows of a table, which do not see each other: features, propagated features, frozen embeddings.

    Args:
        x: ``[items, features]``.
        y: labels ``[items]``; -1 for none.

    Raises:
        TypeError: for labels that are not integers.
        ValueError: for another number of labels than of rows.

    Example:
        >>> import torch
        >>> Rows(torch.eye(3), torch.tensor([0, 1, 1])).outputs(torch.nn.Identity(), torch.tensor([2]))
        tensor([[0., 0., 1.]])
    """

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        integer_labels("y", self.y, len(self.x))

    @property
    def channels(self) -> int:
        """Features of a row."""
        return self.x.size(-1)

    def outputs(self, call: Call, index: Tensor) -> Tensor:
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
        TypeError: for labels that are not integers.
        ValueError: for another number of labels than of nodes.

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
        integer_labels("y", self.y, self.x.size(0))

    @property
    def channels(self) -> int:
        """Features of a node."""
        return int(self.x.size(-1))

    def outputs(self, call: Call, index: Tensor) -> Tensor:
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
        TypeError: for labels that are not integers.
        ValueError: for several labels of a graph.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from torch_geometric.nn import global_add_pool
        >>> pair = Data(x=torch.ones(5, 1), edge_index=torch.tensor([[0, 2], [1, 3]]), y=torch.tensor([0, 1]))
        >>> made = GraphSet(pair, nodes=torch.tensor([2, 3]), edges=torch.tensor([1, 1]))
        >>> Graphs(made).outputs(lambda x, edge_index, batch: global_add_pool(x, batch), torch.tensor([1]))
        tensor([[3.]])
    """

    graphs: GraphSet

    def __post_init__(self) -> None:
        integer_labels("y", self.graphs.items.y, self.graphs.nodes.numel())

    @property
    def y(self) -> Tensor:  # type: ignore[override]  # a field elsewhere
        """Labels of the graphs."""
        return self.graphs.items.y.flatten()

    @property
    def channels(self) -> int:
        """Features of a node."""
        return int(self.graphs.num_node_features)

    def outputs(self, call: Call, index: Tensor) -> Tensor:
        """Return the outputs of some graphs."""
        batch = self.graphs.batch(index)
        return call(batch.x, batch.edge_index, batch.batch)

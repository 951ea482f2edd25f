"""Rows of nodes in views of their graph beside an embedding, and ridge regression on all views."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import subgraph

from graphkit.nn.class_probabilities import ClassProbabilities
from graphkit.nn.view_models import RidgeMixture, ViewRegression
from graphkit.nn.view_rows import ViewRows
from graphkit.training.embedding.joined_rows import AbstractRows, Shares, SolvedRows, join_rows

WIDTH = 256
"""Numbers of a row at most."""

SOLUTIONS = (1, 2)
"""Solutions of ridge regression that are looked at: the mixture of all views, and their joint fit."""


@dataclass(frozen=True, kw_only=True)
class JoinedNodeRows:
    """Which rows an embedding of nodes is joined with, and all that is needed to make them of another graph.

    Args:
        view: what is seen, one of :attr:`graphkit.nn.view_rows.ViewRows.views`.
        shares: of the similarity.
        state: of the fitted ``ViewRows``, or of a ``RidgeMixture`` where that has a share.
    """

    view: str
    shares: Shares
    state: Mapping[str, Tensor] = field(repr=False)

    def join(self, z: Tensor, data: Data) -> Tensor:
        """Return embeddings of all nodes of a graph beside their rows."""
        features, width = self.state["directions"].shape
        parts, graph = [(z, self.shares.encoder)], _graph_of(data)
        if self.shares.solved:
            solved = RidgeMixture(features, self.state["bias"].numel(), width=width)
            solved.load_state_dict(dict(self.state))
            parts.append((_probabilities(solved, data), self.shares.solved))
        if self.shares.view:
            module = ViewRows(features, width=width)
            module.load_state_dict({name: self.state[name] for name in module.state_dict()})
            parts.append((module.rows(self.view, *graph), self.shares.view))
        return join_rows(*parts)


class NodeRows(AbstractRows):
    """Rows of the nodes of one graph in its views, and ridge regression on them.

    Args:
        data: the graph.
        seen: the nodes that training sees, a mask ``[nodes]``, or ``None`` for all.

    Example:
        >>> pairs = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
        >>> rows = NodeRows(Data(x=torch.eye(4), edge_index=pairs)).of("averaged-1")
        >>> (2 * rows[0] ** 2).round().tolist()
        [1.0, 1.0, 0.0, 0.0]
    """

    solver: ClassVar[str] = "ridge"
    title: ClassVar[str] = "ridge on views"

    def __init__(self, data: Data, seen: Tensor | None = None) -> None:
        super().__init__()
        self._data = data
        self._visible = data if seen is None else _part_of(data, seen.cpu())
        # Where each node stands in what is visible.
        self._places = torch.arange(data.num_nodes) if seen is None else seen.cpu().long().cumsum(0) - 1

    @functools.cached_property
    def fitted(self) -> ViewRows:
        """What makes rows, of this graph and of others."""
        return ViewRows(self._data.num_features, width=WIDTH).fit(*_graph_of(self._visible))

    @property
    def views(self) -> tuple[str, ...]:
        """The names of the views."""
        return self.fitted.views

    def rows(self, view: str, *, seen: bool) -> Tensor:
        """Return the rows in a view of all nodes, or of those that training sees."""
        return self.fitted.rows(view, *_graph_of(self._visible if seen else self._data))

    def every_view(self) -> Iterator[Tensor]:
        """Yield the rows in every view of the nodes that training sees."""
        return self.fitted.every_view(*_graph_of(self._visible))

    def places(self, index: Tensor) -> Tensor:
        """Return where nodes stand among those that training sees."""
        return self._places[index]

    def state(self) -> dict[str, Tensor]:
        """Return what :class:`JoinedNodeRows` needs."""
        return dict(self.fitted.state_dict())

    def solutions(self, index: Tensor, y: Tensor, labelled: Tensor, classes: int) -> Iterator[SolvedRows]:
        """Yield what ridge regression says: the mixture of all views, and their joint fit."""

        def loss(outputs: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
            return F.cross_entropy(outputs, y[rows])

        module = RidgeMixture(self._data.num_features, classes, width=WIDTH)
        module.load_state_dict(self.fitted.state_dict(), strict=False)
        graph, targets = _graph_of(self._visible), F.one_hot(y, classes).float()
        regression = ViewRegression(module, *graph, index=self._places[index], targets=targets, loss=loss, fit=False)
        for number in SOLUTIONS:
            regression.solve(number)
            state = {name: value.detach().clone() for name, value in module.state_dict().items()}
            seen = _probabilities(module, self._visible)[self._places[labelled]]
            yield SolvedRows(_probabilities(module, self._data), seen, state)


def _probabilities(module: RidgeMixture, data: Data) -> Tensor:
    """Return what a solution says of all nodes of a graph, as an embedding."""
    with torch.no_grad():
        found: Tensor = ClassProbabilities(module)(*_graph_of(data))
        return found


def _part_of(data: Data, seen: Tensor) -> Data:
    """Return the graph of some nodes."""
    x, edge_index, weight = _graph_of(data)
    edge_index, weight = subgraph(seen, edge_index, weight, relabel_nodes=True, num_nodes=data.num_nodes)
    return Data(x=x.to_dense()[seen], edge_index=edge_index, edge_weight=weight)


def _graph_of(data: Data) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return features, edges and their weights, on the CPU."""
    weight = data.get("edge_weight")
    return data.x.cpu(), data.edge_index.cpu(), None if weight is None else weight.cpu()

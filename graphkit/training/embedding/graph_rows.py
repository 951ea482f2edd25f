"""Rows of whole graphs in views beside an embedding, and a forest on counts of colours."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from graphkit.data import GraphSet
from graphkit.nn.class_probabilities import ClassProbabilities
from graphkit.nn.estimators import Forest
from graphkit.nn.graph_features import ColourCounts, GraphFeatureModel
from graphkit.nn.graph_models import GraphBatch
from graphkit.nn.graph_view_rows import GraphViewRows
from graphkit.training.embedding.joined_rows import AbstractRows, Shares, SolvedRows, join_rows

SOLUTIONS = (2, 4)
"""Forests that are looked at: on one round of refinement, and on three."""

AT_ONCE = 1024
"""Graphs that are looked at together."""

FOREST = "solved."
"""Before the names of what a file holds of a forest."""


@dataclass(frozen=True, kw_only=True)
class JoinedGraphRows:
    """Which rows an embedding of graphs is joined with, and all that is needed to make them of others.

    Args:
        view: what is seen, one of :attr:`graphkit.nn.graph_view_rows.GraphViewRows.views`.
        shares: of the similarity.
        state: of the fitted ``GraphViewRows``, and of a ``GraphFeatureModel`` where that has a share.
    """

    view: str
    shares: Shares
    state: Mapping[str, Tensor] = field(repr=False)

    def join(self, z: Tensor, graphs: GraphSet) -> Tensor:
        """Return embeddings of all graphs beside their rows."""
        parts, every = [(z, self.shares.encoder)], torch.arange(len(graphs))
        if self.shares.solved:
            own = {name.removeprefix(FOREST): each for name, each in self.state.items() if name.startswith(FOREST)}
            forest = _forest(own["estimator.value"].size(1))
            forest.load_state_dict(own)
            parts.append((_map(ClassProbabilities(forest), graphs, every), self.shares.solved))
        if self.shares.view:
            own = {name: each for name, each in self.state.items() if not name.startswith(FOREST)}
            module = GraphViewRows(graphs.num_node_features)
            module.load_state_dict(own)
            parts.append((_map(functools.partial(module.rows, self.view), graphs, every), self.shares.view))
        return join_rows(*parts)


class GraphRows(AbstractRows):
    """Rows of the graphs of a set in several views, and a forest.

    Args:
        graphs: all of them, with node features.
        train: those that views are fitted to, a mask ``[graphs]``.

    Example:
        >>> from torch_geometric.data import Data
        >>> ring = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> both = Data(x=torch.ones(6, 1), edge_index=torch.cat([ring, ring], dim=1))
        >>> graphs = GraphSet(both, nodes=torch.tensor([3, 3]), edges=torch.tensor([3, 3]))
        >>> rows = GraphRows(graphs, torch.tensor([True, True])).of("counts-1")
        >>> torch.allclose(rows[0], rows[1])
        True
    """

    solver: ClassVar[str] = "forest"
    title: ClassVar[str] = "wl-forest"

    def __init__(self, graphs: GraphSet, train: Tensor) -> None:
        super().__init__()
        self._graphs, self._train = graphs, train.cpu().nonzero().squeeze(1)

    @functools.cached_property
    def fitted(self) -> GraphViewRows:
        """What makes rows, of these graphs and of others."""
        module = GraphViewRows(self._graphs.num_node_features)
        return module.fit(_batch(self._graphs, part) for part in self._train.split(AT_ONCE))

    @property
    def views(self) -> tuple[str, ...]:
        """The names of the views."""
        return self.fitted.views

    def rows(self, view: str, *, seen: bool) -> Tensor:
        """Return the rows in a view of all graphs: none changes what another is."""
        return _map(functools.partial(self.fitted.rows, view), self._graphs, torch.arange(len(self._graphs)))

    def every_view(self) -> Iterator[Tensor]:
        """Yield the rows in every view."""
        for view in self.views:
            yield self.rows(view, seen=True)

    def places(self, index: Tensor) -> Tensor:
        """Return the graphs as they are."""
        return index

    def state(self) -> dict[str, Tensor]:
        """Return what :class:`JoinedGraphRows` needs."""
        return dict(self.fitted.state_dict())

    def solutions(self, index: Tensor, y: Tensor, labelled: Tensor, classes: int) -> Iterator[SolvedRows]:
        """Yield what forests say, on one round of refinement and on three."""
        for number in SOLUTIONS:
            forest = _forest(classes)
            forest.solve(number, functools.partial(_map, forest.rows, self._graphs, index), y, "classes")
            said = _map(ClassProbabilities(forest), self._graphs, torch.arange(len(self._graphs)))
            own = {FOREST + name: value.clone() for name, value in forest.state_dict().items()}
            yield SolvedRows(said, said[labelled], self.state() | own)


def _forest(classes: int) -> GraphFeatureModel:
    """Return a forest on counts of colours, which has no trees yet."""
    return GraphFeatureModel(ColourCounts(), Forest(classes))


@torch.no_grad()
def _map(function: Callable[[GraphBatch], Tensor], graphs: GraphSet, index: Tensor) -> Tensor:
    """Return the rows that a function of graphs side by side has for some, in portions."""
    return torch.cat([function(_batch(graphs, part)) for part in index.split(AT_ONCE)])


def _batch(graphs: GraphSet, index: Tensor) -> GraphBatch:
    """Return some graphs side by side, on the CPU."""
    found = graphs.batch(index).cpu()
    return GraphBatch(found.x, found.edge_index, None, found.batch, len(index))

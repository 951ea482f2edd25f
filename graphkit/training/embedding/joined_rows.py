"""Rows that take no training beside an embedding: of a view of the graph, of ridge regression, and their shares."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import subgraph

from graphkit.metric.distances import normalize_rows
from graphkit.metric.retrieval import evaluate_retrieval
from graphkit.nn.class_probabilities import ClassProbabilities
from graphkit.nn.view_models import RidgeMixture, ViewRegression
from graphkit.nn.view_rows import ViewRows
from graphkit.training.classification.tasks import LabelledItems
from graphkit.training.engine.distributed import rng_seed

VIEW_SHARES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
"""How much of the similarity may be that of rows of a view: from none of it to all."""

RIDGE_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of what is left may be that of ridge regression."""

WIDTH = 256
"""Numbers of a row at most."""

SOLUTIONS = (1, 2)
"""Solutions of ridge regression that are looked at: the mixture of all views, and their joint fit."""

ASKING, ANSWERING = 1_000, 5_000
"""Labelled items by which views and shares are chosen; of more, so many evenly spaced ones."""


class Shares(NamedTuple):
    """How much of the similarity is that of rows of a view, and of ridge regression; the rest is what is trained."""

    view: float = 0.0
    ridge: float = 0.0

    @property
    def encoder(self) -> float:
        """How much is that of what is trained."""
        return 1 - self.view - self.ridge


NOTHING_JOINED = Shares()


def join_rows(*parts: tuple[Tensor, float]) -> Tensor:
    r"""Return rows of several kinds side by side; cosines are :math:`\sum_i s_i \cos(z_i, z_i')`.

    Args:
        parts: rows ``[items, width]`` with their share :math:`s_i`; shares sum to 1. Rows that are all there is stay
            as they are.

    Example:
        >>> z, rows = torch.tensor([[3.0], [-1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> (10 * join_rows((z, 0.5), (rows, 0.5)) ** 2).round().tolist()
        [[5.0, 5.0, 0.0], [5.0, 5.0, 0.0]]
    """
    kept = [(rows, share) for rows, share in parts if share > 1e-9]
    if len(kept) == 1:
        return kept[0][0]
    return torch.cat([share**0.5 * normalize_rows(rows).to(kept[0][0]) for rows, share in kept], 1)


def selection_figure(z: Tensor, y: Tensor, queries: Tensor, select: str) -> float:
    """Return the figure that selects: how well all others answer some items; 0 where none has a relevant one.

    Args:
        z: embeddings of labelled items.
        y: their labels.
        queries: those that ask, an index.
        select: "map", "hit@1" or "both", the mean of the two.
    """
    found = evaluate_retrieval(z, y, queries=queries, cuts=[1], metrics=["ranking"])
    first = found.hit[1] if found.hit else 0.0
    return {"map": found.map_at_r or 0.0, "hit@1": first, "both": ((found.map_at_r or 0.0) + first) / 2}[select]


@dataclass(frozen=True, kw_only=True)
class JoinedRows:
    """Which rows an embedding is joined with, and all that is needed to make them of another graph.

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
        if self.shares.ridge:
            solved = RidgeMixture(features, self.state["bias"].numel(), width=width)
            solved.load_state_dict(dict(self.state))
            parts.append((_probabilities(solved, data), self.shares.ridge))
        if self.shares.view:
            module = ViewRows(features, width=width)
            module.load_state_dict({name: self.state[name] for name in module.state_dict()})
            parts.append((module.rows(self.view, *graph), self.shares.view))
        return join_rows(*parts)


class RidgeRows(NamedTuple):
    """What ridge regression on views of a graph says of its nodes.

    Args:
        all: of all nodes ``[nodes, classes]``, as :class:`graphkit.nn.class_probabilities.ClassProbabilities`.
        labelled: likewise of the labelled nodes, in the graph that training sees.
        state: of the ``RidgeMixture``.
    """

    all: Tensor
    labelled: Tensor
    state: Mapping[str, Tensor]


class NodeRows:
    """Rows of the nodes of one graph in its views, fitted to what training may see of it.

    Args:
        data: the graph.
        seen: the nodes that training sees, a mask ``[nodes]``, or ``None`` for all.

    Example:
        >>> pairs = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
        >>> rows = NodeRows(Data(x=torch.eye(4), edge_index=pairs)).of("averaged-1")
        >>> (2 * rows[0] ** 2).round().tolist()
        [1.0, 1.0, 0.0, 0.0]
    """

    def __init__(self, data: Data, seen: Tensor | None = None) -> None:
        self._data = data
        self._visible = data if seen is None else _part_of(data, seen.cpu())
        # Where each node stands in what is visible.
        self._places = torch.arange(data.num_nodes) if seen is None else seen.cpu().long().cumsum(0) - 1
        self._known: dict[bytes, list[float]] = {}
        self._whole: dict[str, Tensor] = {}
        self._seen: dict[str, Tensor] = {}
        self._solved: dict[bytes, RidgeRows] = {}

    @functools.cached_property
    def fitted(self) -> ViewRows:
        """What makes rows, of this graph and of others."""
        return ViewRows(self._data.num_features, width=WIDTH).fit(*_graph_of(self._visible))

    def of(self, view: str) -> Tensor:
        """Return the rows of all nodes in a view, ``[nodes, width]``."""
        if view not in self._whole:
            self._whole[view] = self.fitted.rows(view, *_graph_of(self._data))
        return self._whole[view]

    def best_view(self, labelled: LabelledItems, asking: int, select: str) -> str:
        """Return the view in which labelled items answer those that ask best.

        Args:
            labelled: items that ask, then others, which only answer.
            asking: how many ask.
            select: as :func:`selection_figure` takes it.
        """
        index, y = labelled.index.cpu(), labelled.y.cpu()
        key = b"".join((index.numpy().tobytes(), y.numpy().tobytes(), f"{asking} {select}".encode()))
        if key not in self._known:  # the same for all seeds of one split
            chosen, queries = _sample(len(y), asking)
            place = self._places[index[chosen]]
            self._known[key] = [
                selection_figure(rows[place], y[chosen], queries, select)
                for rows in self.fitted.every_view(*_graph_of(self._visible))
            ]
        figures = self._known[key]
        return self.fitted.views[figures.index(max(figures))]

    def ridge(self, labelled: LabelledItems, asking: int, classes: int, select: str) -> RidgeRows:
        """Return what ridge regression says that is solved for on those that only answer; those that ask choose it.

        Args:
            labelled, asking, select: as :meth:`best_view` takes them.
            classes: of the labels.
        """
        index, y = labelled.index.cpu(), labelled.y.cpu()
        key = b"".join((index.numpy().tobytes(), y.numpy().tobytes(), f"{asking} {select}".encode()))
        if key not in self._solved:  # the same for all seeds of one split
            self._solved[key] = self._ridge(index, y, asking, classes, select)
        return self._solved[key]

    @torch.no_grad()
    def _ridge(self, index: Tensor, y: Tensor, asking: int, classes: int, select: str) -> RidgeRows:
        """Return the best solution."""
        sample, queries = _sample(len(y), asking)
        known = y[asking:]

        def loss(outputs: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
            return F.cross_entropy(outputs, known[rows])

        with rng_seed(0):  # weights are drawn, before they are solved for
            module = RidgeMixture(self._data.num_features, classes, width=WIDTH)
        module.load_state_dict(self.fitted.state_dict(), strict=False)
        place = self._places[index]
        targets = F.one_hot(known, classes).float()
        regression = ViewRegression(
            module, *_graph_of(self._visible), index=place[asking:], targets=targets, loss=loss, fit=False
        )
        best: tuple[float, RidgeRows] | None = None
        for number in SOLUTIONS:
            regression.solve(number)
            rows = _probabilities(module, self._visible)[place]
            figure = selection_figure(rows[sample], y[sample], queries, select)
            if best is None or figure > best[0]:
                state = {name: value.detach().clone() for name, value in module.state_dict().items()}
                best = figure, RidgeRows(_probabilities(module, self._data), rows, state)
        assert best is not None
        return best[1]

    def figure(
        self,
        view: str,
        z: Tensor,
        labelled: LabelledItems,
        asking: int,
        select: str,
        ridge: RidgeRows | None = None,
    ) -> Callable[[Shares], float]:
        """Return what tells the figure of embeddings that are joined with shares.

        Args:
            view: rows of which.
            z: embeddings of ``labelled``.
            labelled, asking, select: as :meth:`best_view` takes them.
            ridge: of the same items; without it, it has no share.
        """
        sample, queries = _sample(len(labelled.y), asking)
        if view not in self._seen:
            self._seen[view] = self.fitted.rows(view, *_graph_of(self._visible))
        rows = self._seen[view][self._places[labelled.index.cpu()[sample]]]
        solved = z[:, :0] if ridge is None else ridge.labelled
        z, y, solved = z.float().cpu()[sample], labelled.y.cpu()[sample], solved.cpu()[sample]

        def of(shares: Shares) -> float:
            joined = join_rows((z, shares.encoder), (solved, shares.ridge), (rows, shares.view))
            return selection_figure(joined, y, queries, select)

        return functools.cache(of)


def best_shares(figure: Callable[[Shares], float], *, ridge: bool = True) -> Shares:
    """Return the shares of the highest figure that is found by choosing in turns; of equal ones the smaller.

    No share alone, and nothing joined, has a higher one.

    Args:
        figure: of shares.
        ridge: whether ridge regression may have one.

    Example:
        >>> best_shares(lambda shares: min(shares.view, 0.5) - abs(shares.ridge - 0.25))
        Shares(view=0.5, ridge=0.25)
    """
    view, left = 0.0, 0.0
    while True:
        before = view, left
        if ridge:
            left = max(RIDGE_SHARES, key=lambda share: (figure(_shares(view, share)), -share))
        view = max(VIEW_SHARES, key=lambda share: (figure(_shares(share, left)), -share))
        if (view, left) == before:
            return _shares(view, left)


def _shares(view: float, left: float) -> Shares:
    """Return shares, where ridge regression has a part of what is left."""
    return Shares(view, (1 - view) * left)


def _probabilities(module: RidgeMixture, data: Data) -> Tensor:
    """Return what a solution says of all nodes of a graph, as an embedding."""
    with torch.no_grad():
        found: Tensor = ClassProbabilities(module)(*_graph_of(data))
        return found


def _sample(items: int, asking: int) -> tuple[Tensor, Tensor]:
    """Return the labelled items that are looked at, and which of these ask."""
    chosen = torch.cat([_even_places(asking, ASKING), asking + _even_places(items - asking, ANSWERING)])
    return chosen, torch.arange(min(asking, ASKING))


def _part_of(data: Data, seen: Tensor) -> Data:
    """Return the graph of some nodes."""
    x, edge_index, weight = _graph_of(data)
    edge_index, weight = subgraph(seen, edge_index, weight, relabel_nodes=True, num_nodes=data.num_nodes)
    return Data(x=x.to_dense()[seen], edge_index=edge_index, edge_weight=weight)


def _graph_of(data: Data) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return features, edges and their weights, on the CPU."""
    weight = data.get("edge_weight")
    return data.x.cpu(), data.edge_index.cpu(), None if weight is None else weight.cpu()


def _even_places(items: int, most: int) -> Tensor:
    """Return evenly spaced numbers of items, at most so many."""
    return torch.arange(items) if items <= most else torch.linspace(0, items - 1, most).long()

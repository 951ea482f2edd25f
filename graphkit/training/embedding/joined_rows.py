"""Rows that nobody trained beside an embedding: which view of the graph they are of, and how much they count."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import subgraph

from graphkit.metric.distances import normalize_rows
from graphkit.metric.retrieval import evaluate_retrieval
from graphkit.nn.view_rows import ViewRows

if TYPE_CHECKING:
    from graphkit.training.classification.tasks import LabelledItems

SHARES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
"""How much of the similarity may be that of the rows: from none of it to all."""

WIDTH = 128
"""Numbers of a row at most."""

ASKING, ANSWERING = 2_000, 10_000
"""Labelled items by which a view is chosen; of more, so many evenly spaced ones."""


def join_rows(z: Tensor, rows: Tensor, share: float) -> Tensor:
    r"""Return embeddings beside rows of a view; cosines are :math:`(1 - s) \cos(z, z') + s \cos(r, r')`.

    Args:
        z: embeddings ``[items, dim]``.
        rows: of the same items, of length 1 or 0, ``[items, width]``.
        share: :math:`s` of the rows, from 0, the embeddings as they are, to 1, the rows alone.

    Example:
        >>> z, rows = torch.tensor([[3.0], [-1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> (10 * join_rows(z, rows, 0.5) ** 2).round().tolist()
        [[5.0, 5.0, 0.0], [5.0, 5.0, 0.0]]
    """
    if share in (0.0, 1.0):
        return rows if share else z
    return torch.cat(((1 - share) ** 0.5 * normalize_rows(z), share**0.5 * rows.to(z)), 1)


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
        share: of the similarity, from 0 to 1.
        state: of the fitted ``ViewRows``.
    """

    view: str
    share: float
    state: Mapping[str, Tensor] = field(repr=False)

    def join(self, z: Tensor, data: Data) -> Tensor:
        """Return embeddings of all nodes of a graph beside their rows."""
        features, width = self.state["directions"].shape
        module = ViewRows(features, width=width)
        module.load_state_dict(dict(self.state))
        return join_rows(z, module.rows(self.view, *_graph_of(data)), self.share)


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

    def figures(self, view: str, z: Tensor, labelled: LabelledItems, asking: int, select: str) -> dict[float, float]:
        """Return share -> the figure of embeddings that are joined so with rows of a view.

        Args:
            view: of which.
            z: embeddings of ``labelled``.
            labelled, asking, select: as :meth:`best_view` takes them.
        """
        sample, queries = _sample(len(labelled.y), asking)
        rows = self.fitted.rows(view, *_graph_of(self._visible))[self._places[labelled.index.cpu()[sample]]]
        z, y = z.float().cpu()[sample], labelled.y.cpu()[sample]
        return {share: selection_figure(join_rows(z, rows, share), y, queries, select) for share in SHARES}


def best_share(figures: Mapping[float, float]) -> float:
    """Return the share of the highest figure, of equal ones the smallest.

    Example:
        >>> best_share({0.0: 0.2, 0.5: 0.3, 1.0: 0.3})
        0.5
    """
    return max(figures, key=lambda share: (figures[share], -share))


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

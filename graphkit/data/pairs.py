"""Views of pairs: what a graph says of two of its nodes, without labels and without training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit import _checks
from graphkit.data.validation import validate
from graphkit.data.views import VIEWS, graph_views, leading_features, weighted_features
from graphkit.operators import gcn_adjacency
from graphkit.operators.pair_scores import PairScores, checked_pairs, row_products, similarity_ranks
from graphkit.operators.views import ROUNDING, unit_view

WIDTH = 128
"""Directions along which features are seen."""

WIDEST, LARGEST = 4096, 2**28
"""Features, at most, that rows to search among keep as they are, and numbers of all rows together."""

NARROW = 256
"""Directions along which they have more."""

BLOCK = 2**25
"""Numbers of rows that are made at a time."""

REFERENCE = 1024
"""Nodes, at most, among which it is counted how many are more alike."""

NEAREST = ("raw-centred", "averaged-2-centred", "pagerank-centred", "canonical-2")
"""Views in which it is asked who is nearest."""

SEES_FEATURES = ("cosine", "averaged-cosine")
"""Scores for which nodes need features."""

SCORES: dict[str, Callable[[Data], Callable[[Tensor], Tensor]]] = {
    "common-neighbors": lambda data: _scores(data).common_neighbors,
    "adamic-adar": lambda data: _scores(data).adamic_adar,
    "resource-allocation": lambda data: _scores(data).resource_allocation,
    "katz": lambda data: _scores(data).katz,
    "pagerank": lambda data: _scores(data).pagerank,
    "cosine": lambda data: functools.partial(feature_cosine, data, hops=0),
    "averaged-cosine": lambda data: functools.partial(feature_cosine, data, hops=2),
}
"""What scores pairs of a graph, by name."""


def pair_score(data: Data, pairs: Tensor, name: str) -> Tensor:
    r"""Return how likely pairs are to be edges by a rule that is not trained, ``[pairs]``; the higher, the more likely.

    ``common-neighbors``, ``adamic-adar``, ``resource-allocation``, ``katz`` and ``pagerank`` are those of
    :class:`graphkit.operators.pair_scores.PairScores`, of edges in both directions. ``cosine`` is that of features, of
    which rare ones weigh more and from which the mean was taken, and ``averaged-cosine`` that of the same averaged
    twice over neighbours, :math:`\hat A^2 X`.

    Args:
        data: a graph with ``edge_index``, those that may be seen.
        pairs: ``[2, pairs]``.
        name: of the rule.

    Raises:
        ValueError: for another name, features that are missing, and pairs of nodes that are not there.

    Source: Liben-Nowell & Kleinberg (2007), "The link-prediction problem for social networks".

    Example:
        >>> path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> pair_score(path, torch.tensor([[0, 0], [2, 1]]), "resource-allocation").tolist()
        [0.5, 0.0]
    """
    _checks.member("name", name, SCORES)
    _require(data, pairs)
    if name in SEES_FEATURES and data.get("x") is None:
        raise ValueError(f"{name!r} compares features, and `data` has no `x`; take one such as 'resource-allocation'.")
    return SCORES[name](data)(pairs)


def pair_views(data: Data, pairs: Tensor, *, width: int = WIDTH, walks: bool = False) -> Tensor:
    """Return what a graph says of pairs of nodes, ``[pairs, columns]``; the columns are called :func:`pair_view_names`.

    How alike both are in each of the :func:`graphkit.data.graph_views`; how many others are more alike, and how alike
    each is to the neighbour of the other that is most like it; how alike each is to what the neighbours of the other
    are in the mean; numbers of paths of two and three edges, each node in between counted as 1 or less, the more
    neighbours it has; and numbers of neighbours, all of edges in both directions. Of an undirected graph both orders of
    a pair say the same; of a directed one there are columns more, of who leads where. Nothing is as large as nodes by
    nodes, and the cost is that of the edges within two steps of the first nodes.

    Args:
        data: a graph with ``edge_index``, those that may be seen; ``x`` need not be there.
        pairs: ``[2, pairs]``.
        width: directions along which features are seen.
        walks: whether personalised PageRank is among the columns. It says more of graphs that are told by their edges
            alone, and costs ten products with a column for each first node.

    Raises:
        ValueError: as :func:`graphkit.data.graph_views` does, and for pairs of nodes that are not there.

    Example:
        >>> path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> pair_views(path, torch.tensor([[0], [2]])).shape[1] == len(pair_view_names())
        True
    """
    return PairViewer(data, width=width, walks=walks)(pairs)


class PairViewer:
    """Gives :func:`pair_views` of a graph again and again; what they have in common is made once.

    Args:
        data, width, walks: as for :func:`pair_views`.

    Example:
        >>> path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> PairViewer(path)(torch.tensor([[0], [2]])).shape[1] == len(pair_view_names())
        True
    """

    def __init__(self, data: Data, *, width: int = WIDTH, walks: bool = False) -> None:
        _require(data, torch.empty(2, 0, dtype=torch.long))
        self.walks = _checks.flag("walks", walks)
        self.views, self.scores, self.nodes = graph_views(data, width=width), _scores(data), int(data.num_nodes)
        self.ahead = PairScores(data.edge_index, self.nodes)

    def __call__(self, pairs: Tensor) -> Tensor:
        """Return views of pairs, ``[pairs, columns]``."""
        checked_pairs(pairs, self.nodes)
        return torch.stack([column for _, column in self.columns(pairs)], 1)

    def columns(self, pairs: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield the columns by name."""
        views, scores, ahead, nodes = self.views, self.scores, self.ahead, self.nodes

        def both(name: str, first: Tensor, second: Tensor) -> Iterator[tuple[str, Tensor]]:
            """Yield two columns: of ordered pairs as they are, else the smaller number and the larger one."""
            yield f"{name}, first", torch.minimum(first, second) if ahead.undirected else first
            yield f"{name}, second", torch.maximum(first, second) if ahead.undirected else second

        for place, name in enumerate(VIEWS):
            yield name, row_products(views.rows[:, place], pairs)
        some = torch.linspace(0, nodes - 1, min(nodes, REFERENCE)).long()
        for name in NEAREST:
            ranks = similarity_ranks(views[name], pairs, some)
            yield from both(f"rank {name}", *(torch.log(rank + 1 / (1 + len(some))) for rank in ranks))
            yield from both(f"nearest {name}", *scores.neighbor_similarity(pairs, views[name]))
        own = views["raw-centred"]
        for name in ("neighbours-1-centred", "averaged-2-centred"):
            across = row_products(own, pairs, views[name]), row_products(views[name], pairs, own)
            yield from both(f"own and {name}", *across)
        degree = scores.degree.float()
        weights = {
            "1": torch.ones(nodes),
            "1 / log d": 1 / degree.clamp(min=2).log(),
            "1 / d": 1 / degree.clamp(min=1),
            "1 / sqrt d": degree.clamp(min=1).rsqrt(),
        }
        two, three = scores.paths(pairs, torch.stack(list(weights.values()), 1))
        for kind, name in enumerate(weights):
            yield f"paths of two, {name}", two[:, kind].log1p()
            yield f"paths of three, {name}", three[:, kind].log1p()
        if self.walks:
            come = scores.pagerank(pairs)
            yield "pagerank", come
            yield "log pagerank", torch.log(come + 1e-6)
        ends = pairs.cpu().long()
        yield from both("degree", *degree[ends].log1p())
        if ahead.undirected:
            return
        # What only a directed graph has: who leads where, and whether the other way is there.
        out, into = (torch.bincount(each, minlength=nodes).float().log1p() for each in ahead.edge_index)
        yield "out, first", out[ends[0]]
        yield "in, second", into[ends[1]]
        there = ahead.edge_index[0] * max(nodes, 1) + ahead.edge_index[1]
        yield "edge back", torch.isin(ends[1] * max(nodes, 1) + ends[0], there).float()
        yield "paths ahead", ahead.common_neighbors(pairs).log1p()
        yield "paths back", ahead.common_neighbors(pairs.flip(0)).log1p()


def pair_view_names(*, directed: bool = False, walks: bool = False) -> list[str]:
    """Return what the columns of :func:`pair_views` are called, of a graph that is directed or not."""
    edges = torch.tensor([[0], [1]]) if directed else torch.tensor([[0, 1], [1, 0]])
    pair = Data(edge_index=edges, num_nodes=2)
    return [name for name, _ in PairViewer(pair, width=2, walks=walks).columns(torch.tensor([[0], [1]]))]


def _require(data: Data, pairs: Tensor) -> None:
    """Refuse what is no graph, and pairs of nodes that it does not have."""
    _checks.instance("data", data, Data, "a torch_geometric.data.Data")
    validate(data)
    checked_pairs(pairs, int(data.num_nodes))


def _scores(data: Data) -> PairScores:
    """Return the scores of a graph whose edges are taken in both directions."""
    return PairScores(torch.cat([data.edge_index, data.edge_index.flip(0)], 1), int(data.num_nodes))


def feature_cosine(data: Data, pairs: Tensor, hops: int) -> Tensor:
    """Return the cosine of features averaged so many times, from which the mean was taken, ``[pairs]``.

    Some features are averaged at a time, so that no table is as large as nodes by features.
    """
    nodes, ends = int(data.num_nodes), checked_pairs(pairs, int(data.num_nodes)).cpu()
    if not data.x.size(1):
        return torch.zeros(ends.size(1))
    weighted = weighted_features(data.x).tocsc()
    smooth = gcn_adjacency(data.edge_index.cpu(), num_nodes=nodes)
    products, squares = torch.zeros(ends.size(1), dtype=torch.float64), torch.zeros(nodes, dtype=torch.float64)
    whole, means, block = squares.clone(), 0.0, max(1, BLOCK // max(nodes, 1))
    for first in range(0, weighted.shape[1], block):
        rows = torch.from_numpy(weighted[:, first : first + block].toarray())
        for _ in range(hops):
            rows = smooth @ rows
        mean = rows.mean(0)
        whole += rows.square().sum(1)
        means += float(mean.square().sum())
        rows = rows - mean
        squares += rows.square().sum(1)
        products += row_products(rows, ends)
    # What rounding leaves of a row that is the mean has no direction.
    length = squares.sqrt()
    length[length <= ROUNDING * torch.finfo(torch.float32).eps * (whole.sqrt() + means**0.5)] = torch.inf
    return (products / length[ends[0]] / length[ends[1]]).float()


def averaged_rows(data: Data, hops: int) -> Tensor:
    """Return rows of length 1 of features averaged so many times, from which the mean was taken, to search among."""
    nodes, features = int(data.num_nodes), data.x.size(1)
    exact = features <= min(WIDEST, max(WIDTH, LARGEST // max(nodes, 1)))
    rows, _ = leading_features(data.x, features if exact else min(NARROW, max(WIDTH, LARGEST // max(nodes, 1))))
    smooth = gcn_adjacency(data.edge_index, num_nodes=nodes)
    for _ in range(hops):
        rows = smooth @ rows
    return unit_view(rows, rows.mean(0))

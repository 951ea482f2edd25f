"""Random labelled graphs, one by one and as a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from torch_geometric.data import Data

from graphkit import _checks
from graphkit.data.random_graphs.design import EDGES, FEATURES, LARGEST, LEAST, draw_design
from graphkit.data.random_graphs.edges import draw_edges
from graphkit.data.random_graphs.features import draw_features
from graphkit.data.random_graphs.groups import draw_groups

STRUCTURE, JOINS, ROWS = range(3)
"""What a generator is for."""


def random_graph(
    seed: int,
    *,
    nodes: tuple[int, int] = (200, 1500),
    edges: Sequence[str] = tuple(EDGES),
    features: Sequence[str] = tuple(FEATURES),
) -> Data:
    """Return a random graph with classes, a function of its seed alone.

    It has ``edge_index [2, edges]``, every edge in both directions, without loops or duplicates; ``y [nodes]``, 2 to 10
    classes of 20 nodes or more; ``x [nodes, features]``, float32, unless features are nothing; and ``design``, what
    was drawn of it. There may be nodes without edges.

    =============== ==================================================================================================
    edges
    =============== ==================================================================================================
    ``blocks``      a degree-corrected block model of the classes, homophilous, by chance or heterophilous
    ``hierarchy``   the same with up to 300 communities inside or across classes, and classes of classes
    ``cliques``     small teams, all members of which are joined, or teams of two sides where classes prefer others
    ``geometric``   near nodes of a space of 2 or 3 dimensions, in which classes are mixtures of clusters
    ``hubs``        a few nodes that take most edges, each with classes that it prefers, on a sparse block model
    =============== ==================================================================================================

    =============== ==================================================================================================
    features
    =============== ==================================================================================================
    ``words``       bags of 50 to 3,000 words: counts, 0 and 1, or frequencies
    ``gaussian``    clusters with a common offset and unequal, correlated spreads
    ``attributes``  a few categories, one-hot; some depend on the class, some on the community, some on nothing
    ``degrees``     the degree, one-hot or as a number
    ``nothing``     no ``x``
    =============== ==================================================================================================

    Args:
        seed: 0 or more. Edges and classes of a seed are the same whatever features are asked for. Another version of
            NumPy may draw another graph.
        nodes: how many there are at least and at most, from 40 on.
        edges: kinds to draw from.
        features: kinds to draw from.

    Raises:
        ValueError: for a number out of its range, or a kind that is not known.
        TypeError: for what are no kinds or no pair of numbers.

    Source: Karrer and Newman (2011), arXiv:1008.3926, for degree-corrected blocks; Hollmann et al. (2023),
    arXiv:2207.01848, for learning from data sets that are drawn at random. The mixture is ours.

    Example:
        >>> data = random_graph(0, features=["words"])
        >>> data.is_undirected(), data.has_self_loops(), int(data.y.bincount().min()) >= 20
        (True, False, True)
    """
    _checks.at_least("seed", seed, 0)
    structure, joins, rows = (np.random.default_rng([seed, purpose]) for purpose in (STRUCTURE, JOINS, ROWS))
    edge_kinds, feature_kinds = _kinds("edges", edges, EDGES), _kinds("features", features, FEATURES)
    design = draw_design(structure, rows, _node_range(nodes), edge_kinds, feature_kinds)
    groups = draw_groups(structure, design)
    edge_index = draw_edges(joins, design, groups)
    x = draw_features(rows, design, groups, edge_index)
    y = _shuffle_some(structure, groups.y, design.label_noise)
    data = Data(edge_index=torch.from_numpy(edge_index), y=torch.from_numpy(y), num_nodes=design.nodes, design=design)
    if x is not None:
        data.x = torch.from_numpy(x)
    return data


@dataclass(frozen=True)
class RandomGraphs(Sequence[Data]):
    """A sequence of random graphs, each drawn when it is asked for.

    Args:
        seeds: of the graphs, such as ``range(10_000)``.
        nodes: how many a graph has at least and at most.
        edges: kinds of edges to draw from.
        features: kinds of features to draw from.

    Raises:
        ValueError, TypeError: as :func:`random_graph`.

    Example:
        >>> train, test = RandomGraphs(range(1000)), RandomGraphs(range(1000, 1100))
        >>> len(train), len(test[:10]), bool((test[0].y == random_graph(1000).y).all())
        (1000, 10, True)
    """

    seeds: Sequence[int]
    nodes: tuple[int, int] = (200, 1500)
    edges: Sequence[str] = tuple(EDGES)
    features: Sequence[str] = tuple(FEATURES)

    def __post_init__(self) -> None:
        _checks.instance("seeds", self.seeds, (range, list, tuple), "a range, a list or a tuple of seeds")
        if isinstance(self.seeds, range):
            _checks.at_least("seeds", min(self.seeds[0], self.seeds[-1]) if self.seeds else 0, 0)
        else:
            object.__setattr__(self, "seeds", tuple(_checks.at_least("seeds", seed, 0) for seed in self.seeds))
        object.__setattr__(self, "nodes", _node_range(self.nodes))
        for name, known in (("edges", EDGES), ("features", FEATURES)):
            object.__setattr__(self, name, tuple(_kinds(name, getattr(self, name), known)))

    def __len__(self) -> int:
        return len(self.seeds)

    @overload
    def __getitem__(self, place: int) -> Data: ...

    @overload
    def __getitem__(self, place: slice) -> RandomGraphs: ...

    def __getitem__(self, place: int | slice) -> Data | RandomGraphs:
        """Return the graph at a place, or the sequence of those of a slice."""
        if isinstance(place, slice):
            return RandomGraphs(self.seeds[place], self.nodes, self.edges, self.features)
        return random_graph(self.seeds[place], nodes=self.nodes, edges=self.edges, features=self.features)


def _node_range(nodes: tuple[int, int]) -> tuple[int, int]:
    _checks.instance("nodes", nodes, (tuple, list), "a pair such as (200, 1500)")
    if len(nodes) != 2:
        raise ValueError(f"`nodes` must be a pair such as (200, 1500), got {len(nodes)} values.")
    least = _checks.integer_between("nodes", nodes[0], 2 * LEAST, LARGEST)
    return least, _checks.integer_between("nodes", nodes[1], least, LARGEST)


def _kinds(argument: str, given: Sequence[str], known: Mapping[str, float]) -> dict[str, float]:
    """Return how often each kind that may be drawn is drawn."""
    listed = _checks.as_list(argument, given, str(list(known)[:2]))
    if not listed:
        raise ValueError(f"`{argument}` must name at least one of {', '.join(known)}.")
    names = {_checks.member(argument, each, known) for each in listed}
    return {name: often for name, often in known.items() if name in names}


def _shuffle_some(random: np.random.Generator, y: np.ndarray, share: float) -> np.ndarray:
    """Return labels of which a share is shuffled, which leaves as many of each class."""
    some = np.flatnonzero(random.random(len(y)) < share)
    y = y.copy()
    y[some] = y[random.permutation(some)]
    return y

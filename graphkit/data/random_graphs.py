r"""Random labelled graphs of many kinds, as prior-fitted networks are trained on: a seed says all of one.

A graph is drawn in four steps. Its design comes first: how many classes, what joins nodes, what features are and what
they depend on. Then come classes and the communities inside or across them, then edges, then features. Edges of block
models are a mixture of layers: with :math:`w_b` the summed degree weights of block :math:`b`, a layer that joins nodes
inside of groups :math:`g` puts on a pair of blocks the mass

.. math::
    m_{bc} = \frac{w_b w_c [g_b = g_c]}{\sum_{d : g_d = g_b} w_d},

and both ends of an edge are drawn inside their blocks in proportion to the degree weights. Where a share :math:`h` of
edges is of the layer of classes and the rest joins any nodes, :math:`h` is the homophily adjusted by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch_geometric.data import Data

from graphkit import _checks

EDGES = {"blocks": 0.35, "hierarchy": 0.25, "geometric": 0.25, "hubs": 0.15}
"""What joins nodes, and how often."""

FEATURES = {"words": 0.4, "gaussian": 0.28, "attributes": 0.18, "degrees": 0.07, "nothing": 0.07}
"""What features are, and how often."""

CAUSES = {"class": 0.5, "community": 0.2, "neighbours": 0.15, "position": 0.15}
"""What features depend on, and how often; a position is there in geometric graphs alone."""

STRUCTURE, JOINS, ROWS = range(3)
"""What a generator is for."""

LEAST = 20
"""Nodes of a class at least."""

MOST_CLASSES = 10
"""Classes at most."""

LARGEST = 1_000_000
"""Nodes at most."""


@dataclass(frozen=True)
class GraphDesign:
    """What a random graph is drawn from; a graph has it as ``design``.

    Args:
        nodes: number of nodes.
        classes: number of classes.
        edges: what joins nodes, one of ``EDGES``.
        degree: mean number of neighbours that is aimed at, 2 to 40; edges that are drawn twice count once.
        homophily: -1 to 1: the share of edges inside of classes, or where it is negative the share that goes where
            classes prefer others; the rest is by chance. Of geometric graphs, the sign alone counts.
        features: what features are, one of ``FEATURES``.
        cause: what they depend on, one of ``CAUSES``, or nothing.
        informativeness: 0 to 1, how much they depend on it.
        label_noise: share of the nodes whose labels are shuffled at the end.
    """

    nodes: int
    classes: int
    edges: str
    degree: float
    homophily: float
    features: str
    cause: str
    informativeness: float
    label_noise: float


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
    ``hierarchy``   the same with communities inside or across the classes, and classes of classes
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
        seed: 0 or more. The edges of a seed are the same whatever features are asked for.
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
    design = _draw_design(structure, rows, _node_range(nodes), edge_kinds, feature_kinds)
    groups = _draw_groups(structure, design)
    edge_index = _draw_edges(joins, design, groups)
    x = _draw_features(rows, design, groups, edge_index)
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


@dataclass(frozen=True)
class _Groups:
    """Classes, and the communities inside or across them, ``[nodes]`` each; and a place in space for each node."""

    y: np.ndarray
    community: np.ndarray
    block: np.ndarray
    block_class: np.ndarray
    block_community: np.ndarray
    position: np.ndarray
    centre: np.ndarray


def _node_range(nodes: tuple[int, int]) -> tuple[int, int]:
    _checks.instance("nodes", nodes, (tuple, list), "a pair such as (200, 1500)")
    if len(nodes) != 2:
        raise ValueError(f"`nodes` must be a pair such as (200, 1500), got {len(nodes)} values.")
    least = _checks.integer_between("nodes", nodes[0], 2 * LEAST, LARGEST)
    return least, _checks.integer_between("nodes", nodes[1], least, LARGEST)


def _kinds(argument: str, given: Sequence[str], known: dict[str, float]) -> dict[str, float]:
    """Return how often each kind that may be drawn is drawn."""
    listed = _checks.as_list(argument, given, str(list(known)[:2]))
    if not listed:
        raise ValueError(f"`{argument}` must name at least one of {', '.join(known)}.")
    return {_checks.member(argument, each, known): known[each] for each in listed}


def _pick(random: np.random.Generator, kinds: dict[str, float]) -> str:
    often = np.array(list(kinds.values()))
    return list(kinds)[int(random.choice(len(often), p=often / often.sum()))]


def _log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _draw_design(
    structure: np.random.Generator,
    rows: np.random.Generator,
    nodes: tuple[int, int],
    edges: dict[str, float],
    features: dict[str, float],
) -> GraphDesign:
    """Return what is drawn before anything else; what is of features comes from their own generator."""
    size = int(structure.integers(nodes[0], nodes[1], endpoint=True))
    joint = _pick(structure, edges)
    form = _pick(rows, features)
    cause = _pick(rows, {name: often for name, often in CAUSES.items() if name != "position" or joint == "geometric"})
    informativeness = float(rows.uniform(0.05, 1)) if rows.random() < 0.88 else 0.0
    if form in ("degrees", "nothing") or not informativeness:
        cause, informativeness = "nothing", 0.0
    return GraphDesign(
        nodes=size,
        classes=int(structure.integers(2, min(MOST_CLASSES, size // LEAST), endpoint=True)),
        edges=joint,
        degree=_log_uniform(structure, 2, 40),
        homophily=float(structure.uniform(-1, 0) if structure.random() < 0.3 else structure.uniform(0, 1)),
        features=form,
        cause=cause,
        informativeness=informativeness,
        label_noise=float(structure.uniform(0, 0.25)) if structure.random() < 0.3 else 0.0,
    )


def _draw_groups(random: np.random.Generator, design: GraphDesign) -> _Groups:
    """Return classes of unequal sizes, their communities, and where those lie in space."""
    share = random.dirichlet(np.full(design.classes, _log_uniform(random, 0.5, 20)))
    sizes = LEAST + random.multinomial(design.nodes - LEAST * design.classes, share)
    y = random.permutation(np.repeat(np.arange(design.classes), sizes))
    community = np.zeros(design.nodes, dtype=np.int64)
    if random.random() < 0.3:  # across classes
        many = int(random.integers(2, 12, endpoint=True))
        community = random.choice(many, design.nodes, p=random.dirichlet(np.full(many, 3.0)))
    else:
        start, most = 0, int(random.integers(1, 6))
        for label in range(design.classes):
            many = int(random.integers(1, most, endpoint=True))
            community[y == label] = start + random.choice(many, sizes[label], p=random.dirichlet(np.full(many, 3.0)))
            start += many
    pairs, block = np.unique(y * (community.max() + 1) + community, return_inverse=True)
    block_class, block_community = np.divmod(pairs, community.max() + 1)
    # In space a class has a centre, and its communities lie around it or anywhere.
    dimension = int(random.integers(2, 3, endpoint=True))
    apart = random.uniform(0, 1.5)
    centre = random.normal(size=(design.classes, dimension))[block_class]
    centre = centre + apart * random.normal(size=(len(pairs), dimension))
    width = _log_uniform(random, 0.1, 0.8) * random.lognormal(0, 0.3, len(pairs))
    position = centre[block] + width[block, None] * random.normal(size=(design.nodes, dimension))
    return _Groups(y, community, block, block_class, block_community, position, centre)


def _shuffle_some(random: np.random.Generator, y: np.ndarray, share: float) -> np.ndarray:
    """Return labels of which a share is shuffled, which leaves as many of each class."""
    some = np.flatnonzero(random.random(len(y)) < share)
    y = y.copy()
    y[some] = y[random.permutation(some)]
    return y


def _draw_edges(random: np.random.Generator, design: GraphDesign, groups: _Groups) -> np.ndarray:
    """Return edges in both directions, each once, in order."""
    many = max(1, round(design.nodes * design.degree / 2))
    weight = _degree_weights(random, design, groups)
    if design.edges == "geometric":
        one, other = _near_pairs(random, design, groups, weight)
    else:
        stars = int(many * random.uniform(0.3, 0.8)) if design.edges == "hubs" else 0
        mass = _block_mass(random, design, groups, weight)
        one, other = _block_pairs(random, mass, groups.block, weight, many - stars)
        if stars:
            hub, leaf = _star_pairs(random, design, groups, stars)
            one, other = np.concatenate((one, hub)), np.concatenate((other, leaf))
    if random.random() < 0.4:
        one, other = _close_triangles(random, design.nodes, one, other, random.uniform(0.1, 0.6))
    keys = _edge_keys(design.nodes, one, other)
    return np.stack(np.divmod(keys, design.nodes))


def _edge_keys(nodes: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return a number for each edge of both directions, sorted, without loops."""
    there = one != other
    one, other = one[there], other[there]
    return np.unique(np.concatenate((one * nodes + other, other * nodes + one)))


def _degree_weights(random: np.random.Generator, design: GraphDesign, groups: _Groups) -> np.ndarray:
    """Return how often each node is an end, in proportion: a power law or all alike, more in some classes or not."""
    weight = np.ones(design.nodes)
    if random.random() < 0.75:
        exponent = random.uniform(2.1, 4)
        weight = np.minimum((1 - random.random(design.nodes)) ** (-1 / (exponent - 1)), design.nodes / 8)
    if random.random() < 0.35:
        weight = weight * random.lognormal(0, random.uniform(0.2, 1), design.classes)[groups.y]
    return weight


def _block_mass(random: np.random.Generator, design: GraphDesign, groups: _Groups, weight: np.ndarray) -> np.ndarray:
    """Return the share of edges between each pair of blocks, ``[blocks, blocks]``, symmetric, with a sum of 1."""
    of_block = np.bincount(groups.block, weight)
    of_block = of_block / of_block.sum()
    chance = np.outer(of_block, of_block)

    def inside(group: np.ndarray) -> np.ndarray:
        together = np.bincount(group, of_block)[group]
        return chance * (group[:, None] == group) / together[:, None]

    strength = abs(design.homophily)
    own = inside(groups.block_class)
    if design.homophily < 0:
        preference = np.exp(random.uniform(0.5, 3) * random.normal(size=(design.classes, design.classes)))
        preference = preference + preference.T
        np.fill_diagonal(preference, 0)
        own = chance * preference[groups.block_class[:, None], groups.block_class]
        own = own / own.sum()
    if design.edges != "hierarchy":
        return strength * own + (1 - strength) * chance
    # Communities, classes, classes of classes, anything: the first two together are as strong as classes alone.
    above = random.integers(max(1, design.classes // 2), size=design.classes)[groups.block_class]
    small, wide = random.uniform(), random.uniform()
    strong = small * inside(groups.block_community) + (1 - small) * own
    return strength * strong + (1 - strength) * (wide * inside(above) + (1 - wide) * chance)


def _block_pairs(
    random: np.random.Generator, mass: np.ndarray, block: np.ndarray, weight: np.ndarray, many: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of edges: blocks by the mass of their pair, nodes in them by their weight."""
    order = np.argsort(block, kind="stable")
    upto = np.cumsum(weight[order])
    last = np.cumsum(np.bincount(block))
    first = np.concatenate(([0], last[:-1]))
    low, high = np.concatenate(([0.0], upto))[first], upto[last - 1]
    pair = np.repeat(np.arange(mass.size), random.multinomial(many, (mass / mass.sum()).ravel()))

    def ends(at: np.ndarray) -> np.ndarray:
        place = np.searchsorted(upto, low[at] + random.random(many) * (high - low)[at], side="right")
        return order[np.clip(place, first[at], last[at] - 1)]

    return ends(pair // len(mass)), ends(pair % len(mass))


def _star_pairs(
    random: np.random.Generator, design: GraphDesign, groups: _Groups, many: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return hubs and their leaves: each hub prefers its own class, or a few others, or none."""
    hubs = random.choice(design.nodes, max(2, int(design.nodes * random.uniform(0.003, 0.03))), replace=False)
    sizes = np.bincount(groups.y)
    wanted = np.eye(design.classes)[groups.y[hubs]]
    if design.homophily < 0:
        wanted = random.dirichlet(np.full(design.classes, 0.3), len(hubs)) * (1 - wanted) + 1e-9 * (1 - wanted)
        wanted = wanted / wanted.sum(1, keepdims=True)
    strength = abs(design.homophily)
    share = strength * wanted + (1 - strength) * sizes / design.nodes
    share = random.dirichlet(np.full(len(hubs), 2.0))[:, None] * share
    pair = np.repeat(np.arange(share.size), random.multinomial(many, (share / share.sum()).ravel()))
    label = pair % design.classes
    order = np.argsort(groups.y, kind="stable")
    start = np.cumsum(sizes) - sizes
    leaf = order[start[label] + (random.random(many) * sizes[label]).astype(np.int64)]
    return hubs[pair // design.classes], leaf


def _near_pairs(
    random: np.random.Generator, design: GraphDesign, groups: _Groups, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each node with some that are near; where homophily is negative, near where another class is."""
    place = groups.position
    if design.homophily < 0:
        towards = random.permutation(len(groups.centre))
        place = place + (groups.centre[towards] - groups.centre)[groups.block]
    near = design.degree / 1.5 * weight / weight.mean()
    most = min(design.nodes - 1, 2 * int(design.degree) + 2)
    near = np.minimum(np.floor(near + random.random(design.nodes)), most).astype(np.int64)
    _, found = cKDTree(groups.position).query(place, most + 1)
    kept = np.arange(most + 1) <= near[:, None]
    one, other = np.broadcast_to(np.arange(design.nodes)[:, None], kept.shape)[kept], found[kept]
    if random.random() < 0.5:
        moved = random.random(len(one)) < random.uniform(0, 0.4)
        other = np.where(moved, random.integers(design.nodes, size=len(one)), other)
    if random.random() < 0.3:
        there = random.random(len(one)) < random.uniform(0.4, 1)
        one, other = one[there], other[there]
    return one, other


def _neighbour_lists(nodes: int, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where the neighbours of a node begin, how many there are, and all of them."""
    source, target = np.divmod(keys, nodes)
    degree = np.bincount(source, minlength=nodes)
    return np.cumsum(degree) - degree, degree, target


def _close_triangles(
    random: np.random.Generator, nodes: int, one: np.ndarray, other: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return edges of which a share gave way to such that join a node to a neighbour of a neighbour."""
    stay = random.random(len(one)) >= share
    keys = _edge_keys(nodes, one[stay], other[stay])
    if not len(keys):
        return one, other
    start, degree, target = _neighbour_lists(nodes, keys)
    begin, middle = np.divmod(keys[random.integers(len(keys), size=int((~stay).sum()))], nodes)
    end = target[start[middle] + (random.random(len(middle)) * degree[middle]).astype(np.int64)]
    return np.concatenate((one[stay], begin)), np.concatenate((other[stay], end))


class _Cause:
    """What features of a node depend on: a cluster, or a cluster anew at each look."""

    def __init__(
        self, random: np.random.Generator, name: str, design: GraphDesign, groups: _Groups, edge_index: np.ndarray
    ) -> None:
        self.random, self.neighbours = random, name == "neighbours"
        self.cluster = groups.y
        if name == "class":
            several = int(random.integers(1, 4, endpoint=True)) if random.random() < 0.6 else 1
            self.cluster = groups.y * several + random.integers(several, size=design.nodes)
        elif name == "community":
            self.cluster = groups.community
        elif name == "position":
            cells = groups.position[random.choice(design.nodes, int(random.integers(4, 30)), replace=False)]
            self.cluster = cKDTree(cells).query(groups.position)[1]
        elif name == "nothing":
            self.cluster = random.integers(int(random.integers(1, 12)), size=design.nodes)
        elif name == "neighbours":
            self.start, self.degree, self.target = _neighbour_lists(
                design.nodes, edge_index[0] * design.nodes + edge_index[1]
            )
        self.clusters = int(self.cluster.max()) + 1

    def look(self, nodes: np.ndarray) -> np.ndarray:
        """Return a cluster for each of some nodes: its own, or that of some neighbour."""
        if not self.neighbours:
            return self.cluster[nodes]
        if not len(self.target):
            return self.random.integers(self.clusters, size=len(nodes))
        degree = self.degree[nodes]
        place = self.start[nodes] + (self.random.random(len(nodes)) * degree).astype(np.int64)
        found = self.cluster[self.target[np.minimum(place, len(self.target) - 1)]]
        return np.where(degree > 0, found, self.random.integers(self.clusters, size=len(nodes)))


def _draw_features(
    random: np.random.Generator, design: GraphDesign, groups: _Groups, edge_index: np.ndarray
) -> np.ndarray | None:
    """Return features, ``[nodes, features]``, or nothing."""
    if design.features == "nothing":
        return None
    if design.features == "degrees":
        return _degree_features(random, np.bincount(edge_index[0], minlength=design.nodes))
    cause = _Cause(random, design.cause, design, groups, edge_index)
    other = _Cause(random, "nothing", design, groups, edge_index)
    if design.features == "words":
        return _words(random, design, cause, other)
    if design.features == "gaussian":
        return _gaussian(random, design, cause, other)
    community = _Cause(random, "community" if design.informativeness else "nothing", design, groups, edge_index)
    return _attributes(random, design, (cause, community, other))


def _degree_features(random: np.random.Generator, degree: np.ndarray) -> np.ndarray:
    """Return degrees, one-hot up to some number, or as numbers."""
    if random.random() < 0.6:
        most = int(random.integers(8, 64))
        return np.eye(most + 1, dtype=np.float32)[np.minimum(degree, most)]
    columns = [degree, np.log1p(degree), degree > 0]
    return np.stack(columns[: int(random.integers(1, 3, endpoint=True))], 1).astype(np.float32)


def _words(random: np.random.Generator, design: GraphDesign, cause: _Cause, other: _Cause) -> np.ndarray:
    """Return bags of words: each word is of the topic of the node's cluster, of another topic, or common."""
    words = int(_log_uniform(random, 50, 3000))
    common = np.arange(1, words + 1) ** -random.uniform(0, 1.2)
    common = random.permutation(common / common.sum())
    topics = cause.clusters + other.clusters
    share = random.gamma(_log_uniform(random, 0.05, 0.5), size=(topics, words)) * common + 1e-9 * common
    upto = np.cumsum(np.concatenate((common[None], share / share.sum(1, keepdims=True))), 1)
    upto = (upto / upto[:, -1:] + np.arange(topics + 1)[:, None]).ravel()
    mean = _log_uniform(random, 4, min(80, words))
    length = np.maximum(random.poisson(mean * random.lognormal(0, random.uniform(0, 0.8), design.nodes)), 0)
    node = np.repeat(np.arange(design.nodes), np.minimum(length, 8 * int(mean) + 8))
    kind = random.random(len(node))
    told = kind < design.informativeness
    topic = np.where(told, 1 + cause.look(node), 0)
    # Of the rest, some is of topics that have nothing to do with the graph.
    idle = ~told & (random.random(len(node)) < random.uniform(0, 0.8))
    topic = np.where(idle, 1 + cause.clusters + other.look(node), topic)
    word = np.searchsorted(upto, topic + random.random(len(node)), side="right") - topic * words
    x = np.zeros((design.nodes, words), dtype=np.float32)
    place = node * words + np.clip(word, 0, words - 1)
    form = random.random()
    if form < 0.5:
        x.ravel()[place] = 1
        return x
    np.add.at(x.reshape(-1), place, np.float32(1))
    if form > 0.75:
        x /= np.maximum(x.sum(1, keepdims=True), 1)
    return x


def _gaussian(random: np.random.Generator, design: GraphDesign, cause: _Cause, other: _Cause) -> np.ndarray:
    """Return clusters of unequal spread around a common offset, with correlated noise."""
    width = int(_log_uniform(random, 4, 256))
    nodes = np.arange(design.nodes)

    def centres(clusters: int, length: float) -> np.ndarray:
        way = random.standard_normal((clusters, width), dtype=np.float32)
        return way * np.float32(length) / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6)

    x = random.standard_normal((design.nodes, width), dtype=np.float32)
    factors = int(random.integers(0, 9))
    if factors:
        loads = random.standard_normal((factors, width), dtype=np.float32) * np.float32(random.uniform(0, 1))
        x += random.standard_normal((design.nodes, factors), dtype=np.float32) @ loads
    spread = random.lognormal(0, random.uniform(0, 0.6), cause.clusters).astype(np.float32)
    own = design.informativeness and not cause.neighbours
    x *= spread[cause.cluster if own else other.cluster % cause.clusters, None]
    means = centres(cause.clusters, 7 * design.informativeness)
    looks = int(random.integers(1, 4, endpoint=True)) if cause.neighbours else 1
    x += sum(means[cause.look(nodes)] for _ in range(looks)) / np.float32(looks)
    if random.random() < 0.5:
        x += centres(other.clusters, random.uniform(0, 6))[other.cluster]
    x *= random.lognormal(0, random.uniform(0, 1), width).astype(np.float32)
    x += random.standard_normal(width, dtype=np.float32) * np.float32(random.uniform(0, 8))
    form = random.random()
    if form < 0.25:
        np.maximum(x, 0, out=x)
    elif form < 0.4:
        np.tanh(x, out=x)
    return x


def _attributes(random: np.random.Generator, design: GraphDesign, causes: Sequence[_Cause]) -> np.ndarray:
    """Return several categories one-hot, each of a class, a community or nothing, some of them missing."""
    nodes = np.arange(design.nodes)
    parts = []
    for number in range(int(random.integers(2, 14))):
        cause = causes[0] if number == 0 else causes[int(random.integers(3))]
        levels = int(_log_uniform(random, 2, 40))
        share = random.dirichlet(np.full(levels, _log_uniform(random, 0.3, 5)), 1)
        own = random.dirichlet(np.full(levels, _log_uniform(random, 0.05, 1)), cause.clusters)
        share = design.informativeness * own + (1 - design.informativeness) * share
        upto = np.cumsum(share, 1)
        cluster = cause.look(nodes)
        level = (random.random((design.nodes, 1)) * upto[cluster, -1:] > upto[cluster]).sum(1)
        part = np.eye(levels, dtype=np.float32)[np.minimum(level, levels - 1)]
        if random.random() < 0.3:
            part[random.random(design.nodes) < random.uniform(0, 0.5)] = 0
        parts.append(part)
    return np.concatenate(parts, 1)

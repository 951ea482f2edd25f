r"""Edges of a random graph: block models, cliques, near nodes of a space, and hubs.

Edges of block models are a mixture of layers: with :math:`w_b` the summed degree weights of block :math:`b`, a layer
that joins nodes inside of groups :math:`g` puts on a pair of blocks the mass

.. math::
    m_{bc} = \frac{w_b w_c [g_b = g_c]}{\sum_{d : g_d = g_b} w_d},

and both ends of an edge are drawn inside their blocks in proportion to the degree weights. Where a share :math:`h` of
edges is of the layer of classes and the rest joins any nodes, :math:`h` is the homophily adjusted by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from graphkit.data.random_graphs.design import GraphDesign, log_uniform
from graphkit.data.random_graphs.groups import NodeGroups

Ends = tuple[np.ndarray, np.ndarray]


def draw_edges(random: np.random.Generator, design: GraphDesign, groups: NodeGroups) -> np.ndarray:
    """Return edges in both directions, ``[2, edges]``, each once, in order, without loops."""
    many = max(1, round(design.nodes * design.degree / 2))
    weight = _degree_weights(random, design, groups)
    if design.edges == "geometric":
        one, other = _near_pairs(random, design, groups, weight)
    elif design.edges == "cliques":
        one, other = _clique_pairs(random, design, groups, _BlockNodes(groups.block, weight), many)
    else:
        stars = int(many * random.uniform(0.3, 0.8)) if design.edges == "hubs" else 0
        mass = _block_mass(random, design, groups, weight)
        one, other = _block_pairs(random, mass, _BlockNodes(groups.block, weight), many - stars)
        if stars:
            hub, leaf = _star_pairs(random, design, groups, stars)
            one, other = np.concatenate((one, hub)), np.concatenate((other, leaf))
    if random.random() < 0.4:
        one, other = _close_triangles(random, design.nodes, one, other, random.uniform(0.1, 0.7))
    keys = _edge_keys(design.nodes, one, other)
    if random.random() < 0.7:
        keys = _join_isolated(random, groups.y, _join_isolated(random, groups.block, keys))
    return np.stack(np.divmod(keys, design.nodes))


@dataclass(frozen=True)
class NeighbourLists:
    """The neighbours of each node, one after another.

    Args:
        start: where those of a node begin, ``[nodes]``.
        degree: how many it has, ``[nodes]``.
        target: all of them.
    """

    start: np.ndarray
    degree: np.ndarray
    target: np.ndarray

    @classmethod
    def from_edges(cls, source: np.ndarray, target: np.ndarray, nodes: int) -> NeighbourLists:
        """Return the lists of edges that are in the order of their source."""
        degree = np.bincount(source, minlength=nodes)
        return cls(np.cumsum(degree) - degree, degree, target)

    def draw(self, random: np.random.Generator, nodes: np.ndarray) -> np.ndarray:
        """Return a neighbour of each of some nodes; one without any is its own."""
        chance = random.random(len(nodes))
        if not len(self.target):
            return nodes
        place = self.start[nodes] + (chance * self.degree[nodes]).astype(np.int64)
        return np.where(self.degree[nodes] > 0, self.target[np.minimum(place, len(self.target) - 1)], nodes)


class _BlockNodes:
    """Nodes in the order of their blocks, to be drawn by weight from blocks that follow each other."""

    def __init__(self, block: np.ndarray, weight: np.ndarray) -> None:
        self.order = np.argsort(block, kind="stable")
        self.upto = np.cumsum(weight[self.order])
        self.end = np.cumsum(np.bincount(block))
        self.begin = np.concatenate(([0], self.end[:-1]))
        self.weight = np.bincount(block, weight) / self.upto[-1]

    def draw(self, random: np.random.Generator, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Return a node of the blocks from one to another, for each of several pairs of blocks."""
        begin, end = self.begin[first], self.end[last]
        low = np.where(begin > 0, self.upto[begin - 1], 0.0)
        place = np.searchsorted(self.upto, low + random.random(len(first)) * (self.upto[end - 1] - low), side="right")
        return self.order[np.clip(place, begin, end - 1)]


def _edge_keys(nodes: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return a number for each edge of both directions, sorted, without loops."""
    there = one != other
    one, other = one[there], other[there]
    keys = np.sort(np.minimum(one, other) * nodes + np.maximum(one, other))
    keys = keys[np.diff(keys, prepend=-1) > 0]  # faster than `np.unique`, which hashes
    low, high = np.divmod(keys, nodes)
    return np.sort(np.concatenate((keys, high * nodes + low)))


def _degree_weights(random: np.random.Generator, design: GraphDesign, groups: NodeGroups) -> np.ndarray:
    """Return how often each node is an end, in proportion: a power law or all alike, more in some classes or not."""
    weight = np.ones(design.nodes)
    if random.random() < 0.8:
        exponent = random.uniform(2.1, 3.8)
        weight = np.minimum((1 - random.random(design.nodes)) ** (-1 / (exponent - 1)), design.nodes / 5)
    if random.random() < 0.35:
        weight = weight * random.lognormal(0, random.uniform(0.2, 1), design.classes)[groups.y]
    return weight


def _class_preference(random: np.random.Generator, classes: int) -> np.ndarray:
    """Return how much classes prefer each other, ``[classes, classes]``, symmetric, not at all within themselves."""
    drawn = np.exp(random.uniform(0.5, 3) * random.normal(size=(classes, classes)))
    return (drawn + drawn.T) * (1 - np.eye(classes))


def _block_mass(random: np.random.Generator, design: GraphDesign, groups: NodeGroups, weight: np.ndarray) -> np.ndarray:
    """Return the share of edges between each pair of blocks, ``[blocks, blocks]``, symmetric."""
    of_block = np.bincount(groups.block, weight)
    of_block = of_block / of_block.sum()
    chance = np.outer(of_block, of_block)

    def inside(group: np.ndarray) -> np.ndarray:
        together = np.bincount(group, of_block)[group]
        return chance * (group[:, None] == group) / together[:, None]

    label, strength = groups.block_class, abs(design.homophily)
    own = inside(label)
    if design.homophily < 0:
        own = _balance(chance * _class_preference(random, design.classes)[label[:, None], label], of_block)
    if design.edges != "hierarchy":
        return strength * own + (1 - strength) * chance
    # Communities that prefer some communities, and all of it inside of classes, of classes of classes, or anywhere.
    liking = np.exp(random.uniform(0, 2) * random.normal(size=chance.shape))
    own = _balance(own * (liking + liking.T), of_block)
    above = random.integers(max(1, design.classes // 2), size=design.classes)[label]
    small = 0.0 if groups.nested and design.homophily < 0 else random.uniform(0.3, 1)
    wide = random.uniform() if design.homophily > 0 else 0.0
    strong = small * inside(groups.block_community) + (1 - small) * own
    return strength * strong + (1 - strength) * (wide * inside(above) + (1 - wide) * chance)


def _balance(mass: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return shares of which each block has about as many as it should, scaled from both sides (Sinkhorn 1967)."""
    for _ in range(8):
        scale = np.sqrt(wanted / np.maximum(mass.sum(1), 1e-12))
        mass = mass * scale * scale[:, None]
    return mass / mass.sum()


def _block_pairs(random: np.random.Generator, mass: np.ndarray, nodes: _BlockNodes, many: int) -> Ends:
    """Return both ends of edges: blocks by the mass of their pair, nodes in them by their weight."""
    pair = np.repeat(np.arange(mass.size), random.multinomial(many, (mass / mass.sum()).ravel()))
    one, other = np.divmod(pair, len(mass))
    return nodes.draw(random, one, one), nodes.draw(random, other, other)


def _clique_pairs(
    random: np.random.Generator, design: GraphDesign, groups: NodeGroups, nodes: _BlockNodes, many: int
) -> Ends:
    """Return all pairs of the members of teams, most of which are of one community or class.

    Where homophily is negative a team has two sides, of classes that prefer each other, and only pairs across them.

    Source: an affiliation network, as in Lattanzi and Sivakumar (2009), without its growth.
    """
    mean = log_uniform(random, 0.5, min(10, max(1, design.degree / 2)))
    many = many if design.homophily >= 0 else 2 * many
    size = 2 + np.minimum(random.exponential(mean, many), 40).astype(np.int64)
    size = size[: int(np.searchsorted(np.cumsum(size * (size - 1) // 2), many)) + 1]
    block = random.choice(len(nodes.weight), len(size), p=nodes.weight)
    team = np.repeat(np.arange(len(size)), size)
    home = block[team]
    # Where a member comes from: the team's block, its class (or one that this prefers), or anywhere.
    label = groups.block_class[home]
    side = np.zeros(len(team), dtype=bool)
    if design.homophily < 0:
        upto = np.cumsum(_class_preference(random, design.classes), 1)
        side = random.random(len(team)) < 0.5
        label = np.where(side, (random.random((len(team), 1)) * upto[label, -1:] > upto[label]).sum(1), label)
    first = np.searchsorted(groups.block_class, label)
    last = np.searchsorted(groups.block_class, label, side="right") - 1
    # Of two members both are at home as often as edges should be inside.
    kind, strength = random.random(len(team)), abs(design.homophily) ** 0.5
    close = kind < strength * (random.uniform() if design.homophily > 0 else 0)
    first, last = np.where(close, home, first), np.where(close, home, last)
    away = kind >= strength
    first, last = np.where(away, 0, first), np.where(away, len(nodes.weight) - 1, last)
    member = nodes.draw(random, first, last)
    # Each member with all that stand before it in its team.
    start = np.repeat(np.cumsum(size) - size, size)
    before = np.arange(len(team)) - start
    step = np.arange(int(before.sum())) - np.repeat(np.cumsum(before) - before, before)
    one, other = np.repeat(np.arange(len(team)), before), np.repeat(start, before) + step
    if design.homophily < 0:
        across = side[one] != side[other]
        one, other = one[across], other[across]
    return member[one], member[other]


def _star_pairs(random: np.random.Generator, design: GraphDesign, groups: NodeGroups, many: int) -> Ends:
    """Return hubs and their leaves: each hub prefers its own class, or a few others, or none."""
    hubs = random.choice(design.nodes, max(2, int(design.nodes * random.uniform(0.003, 0.03))), replace=False)
    sizes = np.bincount(groups.y)
    wanted = np.eye(design.classes)[groups.y[hubs]]
    if design.homophily < 0:
        wanted = (random.dirichlet(np.full(design.classes, 0.3), len(hubs)) + 1e-9) * (1 - wanted)
        wanted = wanted / wanted.sum(1, keepdims=True)
    strength = abs(design.homophily)
    share = strength * wanted + (1 - strength) * sizes / design.nodes
    share = random.dirichlet(np.full(len(hubs), 2.0))[:, None] * share
    pair = np.repeat(np.arange(share.size), random.multinomial(many, (share / share.sum()).ravel()))
    hub, label = np.divmod(pair, design.classes)
    order = np.argsort(groups.y, kind="stable")
    start = np.cumsum(sizes) - sizes
    return hubs[hub], order[start[label] + (random.random(many) * sizes[label]).astype(np.int64)]


def _near_pairs(random: np.random.Generator, design: GraphDesign, groups: NodeGroups, weight: np.ndarray) -> Ends:
    """Return each node with some that are near; where homophily is negative, near where another class is."""
    place = groups.position
    if design.homophily < 0:
        towards = random.permutation(len(groups.centre))
        place = place + (groups.centre[towards] - groups.centre)[groups.block]
    near = design.degree / 1.5 * weight / weight.mean()
    most = min(design.nodes - 1, 2 * int(design.degree) + 2)
    near = np.minimum(np.floor(near + random.random(design.nodes)), most).astype(np.int64)
    _, found = cKDTree(groups.position).query(place, most + 1)
    chosen = np.arange(most + 1) <= near[:, None]
    one, other = np.broadcast_to(np.arange(design.nodes)[:, None], chosen.shape)[chosen], found[chosen]
    if random.random() < 0.5:
        moved = random.random(len(one)) < random.uniform(0, 0.4)
        other = np.where(moved, random.integers(design.nodes, size=len(one)), other)
    if random.random() < 0.3:
        there = random.random(len(one)) < random.uniform(0.4, 1)
        one, other = one[there], other[there]
    return one, other


def _close_triangles(random: np.random.Generator, nodes: int, one: np.ndarray, other: np.ndarray, share: float) -> Ends:
    """Return edges of which a share gave way to such that join a node to a neighbour of a neighbour."""
    stay = random.random(len(one)) >= share
    keys = _edge_keys(nodes, one[stay], other[stay])
    if not len(keys):
        return one, other
    lists = NeighbourLists.from_edges(*np.divmod(keys, nodes), nodes)
    begin, middle = np.divmod(keys[random.integers(len(keys), size=int((~stay).sum()))], nodes)
    return np.concatenate((one[stay], begin)), np.concatenate((other[stay], lists.draw(random, middle)))


def _join_isolated(random: np.random.Generator, group: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return edges with one more for each node that has none: to a neighbour of some node of its group, if any has."""
    nodes = len(group)
    lists = NeighbourLists.from_edges(*np.divmod(keys, nodes), nodes)
    alone = np.flatnonzero(lists.degree == 0)
    members = _BlockNodes(group, np.where(lists.degree > 0, 1.0, 1e-9))
    like = members.draw(random, group[alone], group[alone])
    one, other = np.divmod(keys, nodes)
    there = lists.degree[like] > 0
    return _edge_keys(
        nodes,
        np.concatenate((one, alone[there])),
        np.concatenate((other, lists.draw(random, like)[there])),
    )

"""Features of a random graph: words, clusters of numbers, categories or degrees, and what they depend on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from graphkit.data.random_graphs.design import GraphDesign, log_uniform
from graphkit.data.random_graphs.edges import NeighbourLists
from graphkit.data.random_graphs.groups import NodeGroups


def draw_features(
    random: np.random.Generator, design: GraphDesign, groups: NodeGroups, edge_index: np.ndarray
) -> np.ndarray | None:
    """Return features, float32, ``[nodes, features]``, or nothing."""
    if design.features == "nothing":
        return None
    lists = NeighbourLists.from_edges(edge_index[0], edge_index[1], design.nodes)
    if design.features == "degrees":
        return _degree_features(random, lists.degree)
    cause = _Cause(random, design.cause, design, groups, lists)
    other = _Cause(random, design.second_cause, design, groups, lists)
    if design.features == "words":
        return _words(random, design, cause, other, lists)
    if design.features == "gaussian":
        return _gaussian(random, design, cause, other, lists)
    community = _Cause(random, "community" if design.informativeness else "nothing", design, groups, lists)
    nothing = _Cause(random, "nothing", design, groups, lists)
    return _attributes(random, design, (cause, other, community, nothing), lists)


class _Cause:
    """What features of a node depend on: its cluster, or at each look the class of some neighbour."""

    def __init__(
        self,
        random: np.random.Generator,
        name: str,
        design: GraphDesign,
        groups: NodeGroups,
        lists: NeighbourLists,
    ) -> None:
        self.random, self.lists = random, lists if name == "neighbours" else None
        self.cluster = groups.y
        if name == "class":  # of several clusters, or one
            several = int(random.integers(1, 4, endpoint=True)) if random.random() < 0.6 else 1
            self.cluster = groups.y * several + random.integers(several, size=design.nodes)
        elif name == "community":
            self.cluster = groups.community
        elif name == "position":
            cells = groups.position[random.choice(design.nodes, int(random.integers(4, 30)), replace=False)]
            self.cluster = cKDTree(cells).query(groups.position)[1]
        elif name == "nothing":
            self.cluster = random.integers(int(random.integers(1, 12)), size=design.nodes)
        self.clusters = int(self.cluster.max()) + 1

    def look(self, nodes: np.ndarray) -> np.ndarray:
        """Return a cluster for each of some nodes."""
        if self.lists is None:
            return self.cluster[nodes]
        found = self.cluster[self.lists.draw(self.random, nodes)]
        anything = self.random.integers(self.clusters, size=len(nodes))
        return np.where(self.lists.degree[nodes] > 0, found, anything)


def _degree_features(random: np.random.Generator, degree: np.ndarray) -> np.ndarray:
    """Return degrees, one-hot up to some number, or as numbers."""
    if random.random() < 0.6:
        most = int(random.integers(8, 64))
        return np.eye(most + 1, dtype=np.float32)[np.minimum(degree, most)]
    columns = [degree, np.log1p(degree), degree > 0]
    return np.stack(columns[: int(random.integers(1, 3, endpoint=True))], 1).astype(np.float32)


def _words(
    random: np.random.Generator, design: GraphDesign, cause: _Cause, other: _Cause, lists: NeighbourLists
) -> np.ndarray:
    """Return bags of words: each word is of the topic of the node's cluster, of another topic, common or a copy."""
    words = int(log_uniform(random, 50, 3000))
    common = np.arange(1, words + 1) ** -random.uniform(0, 1.2)
    common = random.permutation(common / common.sum())
    topics = cause.clusters + other.clusters
    share = random.gamma(log_uniform(random, 0.05, 0.5), size=(topics, words)) * common + 1e-9 * common
    upto = np.cumsum(np.concatenate((common[None], share / share.sum(1, keepdims=True))), 1)
    upto = (upto / upto[:, -1:] + np.arange(topics + 1)[:, None]).ravel()
    mean = log_uniform(random, 4, min(80, words))
    length = random.poisson(mean * random.lognormal(0, random.uniform(0, 0.8), design.nodes))
    length = np.minimum(length, 8 * int(mean) + 8)
    node = np.repeat(np.arange(design.nodes), length)
    kind = random.random(len(node))
    told = kind < design.informativeness
    idle = ~told & (random.random(len(node)) < random.uniform(0, 0.8))
    topic = np.where(told, 1 + cause.look(node), 0)
    topic = np.where(idle, 1 + cause.clusters + other.look(node), topic)
    word = np.searchsorted(upto, topic + random.random(len(node)), side="right") - topic * words
    word = np.clip(word, 0, words - 1)
    if design.copies:  # a word of some neighbour in place of one's own, and perhaps one that this one has copied
        start = np.cumsum(length) - length
        for _ in range(int(random.integers(1, 2, endpoint=True))):
            whose = lists.draw(random, node)
            which = start[whose] + (random.random(len(node)) * length[whose]).astype(np.int64)
            copied = (random.random(len(node)) < design.copies) & (length[whose] > 0)
            word = np.where(copied, word[np.minimum(which, len(node) - 1)], word)
    x = np.zeros((design.nodes, words), dtype=np.float32)
    flat, place, form = x.reshape(-1), node * words + word, random.random()
    if form < 0.5:
        flat[place] = 1
        return x
    np.add.at(flat, place, np.float32(1))
    if form > 0.75:
        x /= np.maximum(x.sum(1, keepdims=True), 1)
    return x


def _gaussian(
    random: np.random.Generator, design: GraphDesign, cause: _Cause, other: _Cause, lists: NeighbourLists
) -> np.ndarray:
    """Return clusters of unequal spread around a common offset, with correlated noise, or a function of them."""
    width = int(log_uniform(random, 4, 256))
    nodes = np.arange(design.nodes)

    def centres(clusters: int, length: float) -> np.ndarray:
        way = random.standard_normal((clusters, width), dtype=np.float32)
        return way * np.float32(length) / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6)

    def shift(by: _Cause, length: float) -> np.ndarray:
        means, looks = centres(by.clusters, length), 1 if by.lists is None else int(random.integers(1, 5))
        return np.stack([means[by.look(nodes)] for _ in range(looks)]).mean(0)

    x = random.standard_normal((design.nodes, width), dtype=np.float32)
    factors = int(random.integers(0, 9))
    if factors:
        loads = random.standard_normal((factors, width), dtype=np.float32) * np.float32(random.uniform(0, 1))
        x += random.standard_normal((design.nodes, factors), dtype=np.float32) @ loads
    spread = random.lognormal(0, random.uniform(0, 0.6), cause.clusters).astype(np.float32)
    x *= spread[cause.look(nodes), None]
    x += shift(cause, 7 * design.informativeness)
    if random.random() < 0.5:
        x += shift(other, random.uniform(0, 6))
    if design.copies:
        for _ in range(int(random.integers(1, 3, endpoint=True))):
            x += np.float32(design.copies) * (x[lists.draw(random, nodes)] - x)
    x *= random.lognormal(0, random.uniform(0, 1), width).astype(np.float32)
    x += random.standard_normal(width, dtype=np.float32) * np.float32(random.uniform(0, 8))
    form = random.random()
    if form < 0.25:
        np.maximum(x, 0, out=x)
    elif form < 0.4:
        np.tanh(x, out=x)
    return x


def _attributes(
    random: np.random.Generator, design: GraphDesign, causes: Sequence[_Cause], lists: NeighbourLists
) -> np.ndarray:
    """Return several categories one-hot, the first of the cause and each other of any, some of them missing."""
    nodes = np.arange(design.nodes)
    parts = []
    for number in range(int(random.integers(2, 14))):
        cause = causes[0] if number == 0 else causes[int(random.integers(len(causes)))]
        levels = int(log_uniform(random, 2, 40))
        share = random.dirichlet(np.full(levels, log_uniform(random, 0.3, 5)), 1)
        own = random.dirichlet(np.full(levels, log_uniform(random, 0.05, 1)), cause.clusters)
        upto = np.cumsum(design.informativeness * own + (1 - design.informativeness) * share, 1)
        cluster = cause.look(nodes)
        level = (random.random((design.nodes, 1)) * upto[cluster, -1:] > upto[cluster]).sum(1)
        level = np.minimum(level, levels - 1)
        copied = random.random(design.nodes) < design.copies
        level = np.where(copied, level[lists.draw(random, nodes)], level)
        part = np.eye(levels, dtype=np.float32)[level]
        if random.random() < 0.3:
            part[random.random(design.nodes) < random.uniform(0, 0.5)] = 0
        parts.append(part)
    return np.concatenate(parts, 1)

"""Graphs made to be told apart by structure alone: motifs hung on a cycle or on communities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from graphkit._checks import member

if TYPE_CHECKING:
    from torch_geometric.data import Data

BASES = ("cycle", "community")
MOTIFS: dict[str, tuple[Sequence[tuple[int, int]], Sequence[int]]] = {
    "house": ([(0, 1), (1, 2), (2, 3), (3, 0), (2, 4), (3, 4)], [0, 0, 1, 1, 2]),
    "star": ([(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)], [3, 4, 4, 4, 4, 4]),
    "fan": ([(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4)], [5, 6, 6, 6, 6]),
    "diamond": ([(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)], [7, 8, 7, 8]),
}
"""Edges of a motif, and the role of each of its nodes; its last node is joined to the base."""
ROLES = ("house floor", "house wall", "house roof", "star centre", "star leaf", "fan hub", "fan rim", "chord", "tip")
COPIES, BASE = 40, 240
"""Copies of each motif, and nodes of the base."""
DEGREES = 10
"""Features: whether the degree is 0, 1, ..., 8, or more."""


def role_graph(base: str, seed: int) -> Data:
    """Return a graph whose labels are the roles of its nodes in motifs, and whose features are its degrees.

    40 houses, stars, fans and diamonds are joined by one edge each to random nodes of the base, a cycle of 240 nodes or
    six communities of 40; then 5 % as many edges are added at random, so that no role follows from a few degrees
    without exception. Nodes of the base are the last class. Nothing names a node or a graph: what is learnt on one
    can be used on another.

    Args:
        base: ``"cycle"``, or ``"community"``: edges with probability 0.1 inside and 0.002 between the six.
        seed: draws the base, the places of the motifs and the added edges.

    Raises:
        ValueError: for another base.

    Source: none; motifs, sizes, noise and features are ours.

    Example:
        >>> data = role_graph("cycle", 0)
        >>> data.num_nodes, data.num_features, int(data.y.max())
        (1040, 10, 9)
    """
    from torch_geometric.data import Data
    from torch_geometric.utils import to_undirected

    drawn = np.random.default_rng([BASES.index(member("base", base, BASES)), seed])
    nodes = np.arange(BASE)
    if base == "cycle":
        pairs = [np.stack([nodes, np.roll(nodes, -1)])]
    else:
        inside = nodes[:, None] // 40 == nodes // 40
        pairs = [np.stack(np.nonzero(np.triu(drawn.random((BASE, BASE)) < np.where(inside, 0.1, 0.002), 1)))]
    roles = [np.full(BASE, len(ROLES))]
    size = BASE
    for edges, roles_of in MOTIFS.values():
        for _ in range(COPIES):
            pairs.append(np.array(edges).T + size)
            size += len(roles_of)
            pairs.append(np.array([[size - 1], [drawn.integers(BASE)]]))
            roles.append(np.array(roles_of))
    ends = np.concatenate(pairs, 1)
    more = drawn.integers(size, size=(2, ends.shape[1] // 20))
    ends = np.concatenate([ends, more[:, more[0] != more[1]]], 1)
    edge_index = to_undirected(torch.from_numpy(ends), num_nodes=size)
    degree = torch.bincount(edge_index[0], minlength=size).clamp(max=DEGREES - 1)
    x = torch.nn.functional.one_hot(degree, DEGREES).float()
    return Data(x=x, edge_index=edge_index, y=torch.from_numpy(np.concatenate(roles)))

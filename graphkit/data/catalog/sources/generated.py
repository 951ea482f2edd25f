"""Data sets that are made on this machine, from what a dependency ships or from a seed: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

from graphkit._checks import member
from graphkit.data.catalog.sources.ogb import OGBNodeSource
from graphkit.data.catalog.sources.source import Source
from graphkit.data.disk.storage import open_stored
from graphkit.data.disk.synthetic import Synthetic, synthesize, synthesize_ogb


@dataclass(frozen=True)
class EmbeddedSource(Source):
    """A data set that comes with a dependency: no file, no download."""

    build: Callable[[], Data]

    def read(self, root: Path) -> Data:
        """Return the graph; ``root`` is not used."""
        return self.build()

    def download(self, root: Path) -> None:
        """Do nothing: there is nothing to download."""


def karate_graph() -> Data:
    """Return Zachary's karate club as PyG has it: the first member of each community is its training node."""
    from torch_geometric.datasets import KarateClub

    data = KarateClub()[0]
    data.val_mask = torch.zeros_like(data.train_mask)
    data.test_mask = ~data.train_mask
    return data


NEIGHBOURS = 10


def digits_graph() -> Data:
    """Return scikit-learn's 1,797 handwritten digits, each joined to its 10 nearest neighbours, in both directions.

    Pixels are integers from 0 to 16, so squared distances are exact integers and the graph is the same on every
    machine; equal distances go to the lower index. ``x [1797, 64]`` is divided by 16.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = digits.data.astype(np.int64).astype(np.float64)
    length = (pixels**2).sum(axis=1)
    distance = length[:, None] + length[None, :] - 2 * pixels @ pixels.T
    np.fill_diagonal(distance, np.inf)
    near = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]

    nodes = len(pixels)
    joined = np.zeros((nodes, nodes), dtype=bool)
    joined[np.arange(nodes)[:, None], near] = True
    row, column = np.nonzero(joined | joined.T)
    return Data(
        x=torch.from_numpy((pixels / 16).astype(np.float32)),
        edge_index=torch.from_numpy(np.stack([row, column])),
        y=torch.from_numpy(digits.target.astype(np.int64)),
    )


SIDE = 8


def digits_grid() -> Data:
    """Return scikit-learn's 1,797 handwritten digits as signals on the grid of their 8 x 8 pixels.

    ``signals [1797, 64, 1]`` are the pixels, row by row, divided by 16; ``edge_index [2, 224]`` joins each pixel to
    those above, below, left and right of it; ``pos [64, 2]`` is the column of each pixel and its row from the bottom,
    for pictures; ``y [1797]`` are the labels of the signals.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixel = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    right, down = (pixel[:, :-1], pixel[:, 1:]), (pixel[:-1], pixel[1:])
    one, other = (np.concatenate([ends[side].ravel() for ends in (right, down)]) for side in (0, 1))
    row, column = np.concatenate([one, other]), np.concatenate([other, one])
    order = np.lexsort((column, row))
    place = np.stack([pixel.ravel() % SIDE, SIDE - 1 - pixel.ravel() // SIDE], axis=1)
    return Data(
        edge_index=torch.from_numpy(np.stack([row, column])[:, order]),
        pos=torch.from_numpy(place.astype(np.float32)),
        signals=torch.from_numpy((digits.data / 16).astype(np.float32)).unsqueeze(-1),
        y=torch.from_numpy(digits.target.astype(np.int64)),
    )


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


@dataclass(frozen=True)
class SyntheticSource(Source):
    """A synthetic graph in OGB's raw files, read as OGB's are."""

    name: str  # after "ogbn_", the folder of its files
    how: Synthetic

    def read(self, root: Path) -> Data:
        """Return the graph."""
        return OGBNodeSource(self.name, split="random", add_inverse_edge=True).read(root)

    def download(self, root: Path) -> None:
        """Draw it."""
        synthesize_ogb(root / f"ogb/ogbn_{self.name}", self.how)


@dataclass(frozen=True)
class StoredSource(Source):
    """A synthetic graph that is too large for text and for a copy in memory; it is looked at where it lies."""

    name: str  # of the folder of its files
    how: Synthetic

    def read(self, root: Path, *, verify: bool = False) -> Data:
        """Return the graph, its files' lengths compared with those written, and their checksums if asked for."""
        return open_stored(root / "synthetic" / self.name, verify=verify)

    def download(self, root: Path) -> None:
        """Draw it."""
        synthesize(root / "synthetic" / self.name, self.how, name=self.name)

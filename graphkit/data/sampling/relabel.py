"""Relabelling of sampled nodes: a hash table gives each the next number when it is first met."""

from __future__ import annotations

import numpy as np

from graphkit._kernels import neighbor_sampling


class Relabeler:
    """Numbers for the nodes of a batch, given ones first; with trees, a node has a number in each tree.

    Args:
        seeds: the given nodes ``[seeds]``; one given twice stands there twice, and is found at its first place.
        trees: number of nodes of the graph if each seed begins a tree of its own, else 0.
    """

    def __init__(self, seeds: np.ndarray, trees: int) -> None:
        self._nodes, self._trees = len(seeds), trees
        names = seeds.astype(np.int64)
        if trees:
            names = names + np.arange(len(seeds)) * trees
        self._names = names
        self._table = np.empty(0, dtype=np.int64)
        self._reserve(0)

    def __len__(self) -> int:
        return self._nodes

    def nodes(self, begin: int) -> np.ndarray:
        """Return the nodes from number ``begin`` on."""
        names = self._names[begin : self._nodes]
        return names % self._trees if self._trees else names.copy()

    def trees(self) -> np.ndarray:
        """Return the tree of each node."""
        return self._names[: self._nodes] // self._trees

    def add(self, nodes: np.ndarray, parents: np.ndarray) -> np.ndarray:
        """Return the number of each of ``nodes``, new where it is new; ``parents`` are in the trees they belong to."""
        self._reserve(len(nodes))
        names = nodes.astype(np.int64)
        if self._trees:
            names = names + self._names[parents] // self._trees * self._trees
        slots = np.empty(len(names), dtype=np.int64)
        self._nodes = neighbor_sampling.relabel(names, self._table, self._numbers, self._names, self._nodes, slots)
        return slots

    def induced_edges(self, indptr: np.ndarray, indices: np.ndarray) -> list[np.ndarray]:
        """Return source, target and place of every edge between the nodes."""
        nodes = self.nodes(0)
        degree = indptr[nodes + 1] - indptr[nodes]
        target = np.repeat(np.arange(len(nodes)), degree)
        edge = np.arange(len(target)) + np.repeat(indptr[nodes] - np.cumsum(degree) + degree, degree)
        source = np.empty(len(edge), dtype=np.int64)
        neighbor_sampling.lookup(indices[edge].astype(np.int64), self._table, self._numbers, source)
        kept = source >= 0
        return [source[kept], target[kept], edge[kept]]

    def _reserve(self, more: int) -> None:
        """Make room for ``more`` nodes: the table is never more than half full."""
        needed = self._nodes + more
        names = np.empty(needed, dtype=np.int64)
        names[: self._nodes] = self._names[: self._nodes]
        self._names = names
        if len(self._table) >= 2 * needed and len(self._table):
            return
        size = 1 << max(4, (2 * needed - 1).bit_length())
        self._table = np.full(size, -1, dtype=np.int64)
        self._numbers = np.empty(size, dtype=np.int64)
        neighbor_sampling.insert(self._names[: self._nodes], self._table, self._numbers)

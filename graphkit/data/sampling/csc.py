"""Incoming edges in compressed sparse columns (CSC), and the sampling of some: here, or wherever they are held."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from graphkit._checks import valid_indptr
from graphkit._kernels import neighbor_sampling
from graphkit._kernels.resources import over_range, over_rows


class SampledEdges(NamedTuple):
    """The edges drawn for each place of a frontier, one place after another."""

    indices: np.ndarray  # the node each edge comes from, [drawn]
    edges: np.ndarray  # the name of each edge, [drawn]
    indptr: np.ndarray  # where each place begins, [places + 1]


class AbstractCSC(ABC):
    """Incoming edges that can be drawn from. Every place of a frontier has random numbers of its own."""

    @property
    @abstractmethod
    def nodes(self) -> int:
        """Number of nodes of the graph."""

    @abstractmethod
    def sample(self, frontier: np.ndarray, *, fanout: int, replace: bool, key: np.uint64) -> SampledEdges:
        """Return ``fanout`` edges, all if -1, into each node of ``frontier [places]``, none twice but with ``replace``.

        What is drawn is a function of ``key``, the place and the edges of the node.
        """


class CSC(AbstractCSC):
    """Incoming edges held in this process.

    Args:
        indptr: ``[nodes + 1]``.
        indices: ``[edges]``.
        weights: ``[edges]``, in proportion to which is drawn, or empty.

    Raises:
        ValueError: for indptr that do not fit the edges, or weights of another length.
    """

    def __init__(self, indptr: np.ndarray, indices: np.ndarray, weights: np.ndarray) -> None:
        valid_indptr("indptr", indptr, max(len(indptr) - 1, 0), len(indices))
        if len(weights) not in (0, len(indices)):
            raise ValueError(f"`weights` must have one number per edge ({len(indices):,}), got {len(weights):,}.")
        self.indptr, self.indices, self.weights = indptr, indices, weights

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.indptr) - 1

    def sample(self, frontier: np.ndarray, *, fanout: int, replace: bool, key: np.uint64) -> SampledEdges:
        """Return edges into each node of ``frontier``, named by where they stand here."""
        return self.sample_at(np.arange(len(frontier)), frontier, fanout=fanout, replace=replace, key=key)

    def sample_at(
        self, places: np.ndarray, frontier: np.ndarray, *, fanout: int, replace: bool, key: np.uint64
    ) -> SampledEdges:
        """Return edges into some nodes of a frontier, ``places`` saying where in it they stand."""
        indptr = np.zeros(len(frontier) + 1, dtype=np.int64)
        given = frontier, self.indptr, self.weights, fanout, replace
        over_range(neighbor_sampling.sample_counts, len(frontier), *given, indptr[1:])
        np.cumsum(indptr, out=indptr)
        edges = np.empty(indptr[-1], dtype=np.int64)
        every = replace and fanout >= 0
        over_rows(_sample_rows, indptr, 8, places, frontier, self.indptr, self.weights, every, key, edges)
        return SampledEdges(self.indices[edges], edges, indptr)


def _sample_rows(start: int, stop: int, indptr: np.ndarray, *arrays: Any) -> None:
    *given, edges = arrays
    neighbor_sampling.sample_neighbors(start, stop, *given, indptr, edges)

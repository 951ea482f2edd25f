"""The incoming edges of each node, and the draws of some of them: here, or wherever a node's edges are held."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from graphkit._checks import valid_indptr
from graphkit._kernels import neighbor_sampling
from graphkit._kernels.threads import over_range, over_rows


class Draw(NamedTuple):
    """The edges drawn for each place of a frontier, one place after another.

    Args:
        sources: the node each edge comes from, ``[drawn]``.
        edges: the name of each edge, ``[drawn]``.
        ends: where each place begins, ``[places + 1]``.
    """

    sources: np.ndarray
    edges: np.ndarray
    ends: np.ndarray


class AbstractIncoming(ABC):
    """Incoming edges that can be drawn from. Every place of a frontier has random numbers of its own."""

    @property
    @abstractmethod
    def nodes(self) -> int:
        """Number of nodes of the graph."""

    @abstractmethod
    def drawn(self, frontier: np.ndarray, *, fanout: int, replace: bool, key: np.uint64) -> Draw:
        """Return edges into each node of ``frontier``.

        Args:
            frontier: nodes ``[places]``.
            fanout: edges a place, -1 for all.
            replace: whether an edge may be drawn twice.
            key: what is drawn is a function of it, the place and the edges of the node.
        """


class Incoming(AbstractIncoming):
    """Incoming edges held in this process.

    Args:
        pointers: ``[nodes + 1]``.
        sources: ``[edges]``.
        weights: ``[edges]``, in proportion to which is drawn, or empty.

    Raises:
        ValueError: for pointers that do not fit the edges, or weights of another length.
    """

    def __init__(self, pointers: np.ndarray, sources: np.ndarray, weights: np.ndarray) -> None:
        valid_indptr("pointers", pointers, max(len(pointers) - 1, 0), len(sources))
        if len(weights) not in (0, len(sources)):
            raise ValueError(f"`weights` must have one number per edge ({len(sources):,}), got {len(weights):,}.")
        self.pointers, self.sources, self.weights = pointers, sources, weights

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.pointers) - 1

    def drawn(self, frontier: np.ndarray, *, fanout: int, replace: bool, key: np.uint64) -> Draw:
        """Return edges into each node of ``frontier``, named by where they stand here."""
        return self.drawn_at(np.arange(len(frontier)), frontier, fanout=fanout, replace=replace, key=key)

    def drawn_at(self, places: np.ndarray, frontier: np.ndarray, *, fanout: int, replace: bool, key: np.uint64) -> Draw:
        """Return edges into some nodes of a frontier, ``places`` saying where in it they stand."""
        ends = np.zeros(len(frontier) + 1, dtype=np.int64)
        given = frontier, self.pointers, self.weights, fanout, replace
        over_range(neighbor_sampling.sample_counts, len(frontier), *given, ends[1:])
        np.cumsum(ends, out=ends)
        edges = np.empty(ends[-1], dtype=np.int64)
        every = replace and fanout >= 0
        over_rows(_drawn_rows, ends, 8, places, frontier, self.pointers, self.weights, every, key, edges)
        return Draw(self.sources[edges], edges, ends)


def _drawn_rows(start: int, stop: int, ends: np.ndarray, *arrays: Any) -> None:
    *given, edges = arrays
    neighbor_sampling.sample_neighbors(start, stop, *given, ends, edges)

"""Connected components, and what is known of each before any solver runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components

from graphkit.operators.pattern import Pattern
from graphkit.operators.sparse import SparseOperator
from graphkit.operators.spectrum.symmetric import Symmetric


@dataclass(frozen=True)
class Component:
    """A connected component.

    Args:
        nodes: its nodes in the graph, ``[own nodes]``, ascending.
        matrix: its rows and columns.
        null: its unit null vector, written down and not computed; ``None`` where there is none.
        low: a lower bound of its eigenvalues.
        high: an upper bound of its eigenvalues.
    """

    nodes: np.ndarray
    matrix: Any
    null: np.ndarray | None
    low: float
    high: float

    @cached_property
    def double(self) -> SparseOperator:
        """The matrix in float64, for products with many vectors."""
        pointers, columns = torch.from_numpy(self.matrix.indptr), torch.from_numpy(self.matrix.indices)
        order = torch.arange(self.matrix.nnz, dtype=torch.int32)
        pattern = Pattern.trusted(pointers, columns, order, self.matrix.shape)
        return SparseOperator._made(pattern, torch.from_numpy(self.matrix.data))

    @cached_property
    def single(self) -> SparseOperator:
        """The matrix in float32."""
        return self.double.to(torch.float32)

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.nodes)


def split(whole: Symmetric, *, jointly: bool = False) -> list[Component]:
    """Return the connected components in the order of their first nodes.

    A Laplacian has the eigenvalue 0 exactly once on each of them. No solver has to find it, and none can overlook it:
    where the known vector is a null vector indeed, up to rounding, it is taken as it is.

    Args:
        whole: the matrix of the graph.
        jointly: the graph is taken as one component, whose null vectors a solver has to find.
    """
    count = whole.matrix.shape[0]
    if jointly:
        return [Component(np.arange(count), whole.matrix, None, whole.low, whole.high)] if count else []
    number, labels = connected_components(whole.matrix, directed=False)
    if not count:
        return []
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(number + 1))
    renumbered = whole.matrix[order][:, order] if number > 1 else whole.matrix
    rest = np.abs(renumbered @ whole.null[order])
    allowed = 64 * whole.precision * whole.null.max(initial=1.0)
    found = []
    for i in range(number):
        here = slice(starts[i], starts[i + 1])
        nodes, null = order[here], whole.null[order[here]]
        is_null = rest[here].max() <= allowed
        matrix = _block(renumbered, starts[i], starts[i + 1]) if number > 1 else renumbered
        unit = null / np.linalg.norm(null) if is_null else None
        found.append(Component(nodes, matrix, unit, whole.low, whole.high))
    return sorted(found, key=lambda component: int(component.nodes[0]))


def _block(matrix: Any, start: int, stop: int) -> Any:
    """Return a diagonal block that no entry leaves, without SciPy's search for its columns."""
    first, last = matrix.indptr[start], matrix.indptr[stop]
    parts = (matrix.data[first:last], matrix.indices[first:last] - start, matrix.indptr[start : stop + 1] - first)
    return type(matrix)(parts, shape=(stop - start, stop - start))

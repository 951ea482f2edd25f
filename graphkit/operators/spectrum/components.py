"""A Laplacian as one symmetric matrix in float64, and its connected components."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse
import torch
from scipy.sparse.csgraph import connected_components

from graphkit.operators.autograd import outside_transforms
from graphkit.operators.pattern import Pattern
from graphkit.operators.sparse import SparseOperator


@dataclass(frozen=True)
class SymmetricMatrix:
    """A symmetric matrix, and what is known of its spectrum beforehand.

    Args:
        matrix: CSR in float64, without stored zeros.
        scale: :math:`D^{1/2}`, with which a random-walk Laplacian was made symmetric; ``None`` for others.
        null: a positive vector ``[nodes]`` that a Laplacian maps to 0 on every connected component, if one is known.
        low: a lower bound of the eigenvalues.
        high: an upper bound of the eigenvalues.
        precision: below which two eigenvalues cannot be told apart, given the type of the Laplacian.
    """

    matrix: Any
    scale: np.ndarray | None
    null: np.ndarray
    low: float
    high: float
    precision: float

    def digest(self) -> str:
        """Return a text that names the graph, its normalisation and its weights.

        Weights that are thousandths, as ones are, are read back from the entries, so that the type of the matrix does
        not matter; others count as they were rounded.
        """
        rows = np.repeat(np.arange(self.matrix.shape[0]), np.diff(self.matrix.indptr))
        weights = self.matrix.data * self.null[rows] * self.null[self.matrix.indices] * 1000
        near = np.abs(weights - np.rint(weights)).max(initial=0.0) < 0.05
        values = np.rint(weights).astype(np.int64) if near else self.matrix.data
        parts = (self.matrix.indptr.astype(np.int64), self.matrix.indices.astype(np.int64), values)
        normalised = bool((self.null != 1).any())
        found = hashlib.sha256(f"{self.matrix.shape} {normalised} {self.scale is None}".encode())
        for part in parts:
            found.update(np.ascontiguousarray(part).data)
        return found.hexdigest()


def symmetrize(laplacian: SparseOperator) -> SymmetricMatrix:
    """Return the symmetric matrix that has the eigenvalues of ``laplacian``.

    Raises:
        TypeError: for anything else than an operator.
        ValueError: for a matrix that is not square, has values that are not finite, belongs to a directed graph or has
            negative edge weights.
    """
    if not isinstance(laplacian, SparseOperator):
        raise TypeError(
            "`laplacian` must be a SparseOperator, as `laplacian(edge_index)` returns it, got "
            f"{type(laplacian).__name__}."
        )
    if laplacian.shape[0] != laplacian.shape[1]:
        raise ValueError(f"`laplacian` must be square, got {list(laplacian.shape)}.")
    with outside_transforms():
        matrix = laplacian.to_scipy().astype(np.float64)
        degrees = laplacian._store.degrees
        kind = "none" if degrees is None else degrees.normalization
        root = np.ones(matrix.shape[0])
        if degrees is not None and kind != "none":
            degree = degrees.degree.detach().cpu().double().numpy()
            if (degree < 0).any():
                raise ValueError("`laplacian` must come from edge weights of 0 or more, but a degree is negative.")
            root = np.sqrt(np.where(degree > 0, degree, 1.0))
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if not np.isfinite(matrix.data).all():
        raise ValueError("`laplacian` has values that are not finite; look for NaN or negative edge weights.")
    _check_weights(matrix)
    eps = float(torch.finfo(laplacian.dtype).eps)
    size = float(np.abs(matrix.data).max(initial=0.0)) or 1.0
    scale = root if kind == "rw" else None
    if scale is not None:
        data = matrix.data * np.repeat(scale, np.diff(matrix.indptr)) / scale[matrix.indices]
        matrix = scipy.sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
    difference = abs(matrix - matrix.T)
    if difference.nnz and difference.max() > 32 * eps * size:
        raise ValueError(
            "`laplacian` must be symmetric, but the graph is directed or its weights differ by direction; make it "
            "undirected first (`torch_geometric.utils.to_undirected`). A random-walk Laplacian must come from "
            "`laplacian(..., normalization='rw')`, which knows the degrees."
        )
    if difference.nnz:
        matrix = scipy.sparse.csr_array((matrix + matrix.T) / 2)
    diagonal = matrix.diagonal()
    radii = np.asarray(abs(matrix).sum(axis=1)).ravel() - np.abs(diagonal)
    low, high = float((diagonal - radii).min(initial=0.0)), float((diagonal + radii).max(initial=0.0))
    if kind != "none":  # Gershgorin's circles of the similar matrix I - D^-1 A, by which the spectrum lies in [0, 2]
        low, high = 0.0, min(high, 2.0 * (1 + 32 * eps))
    single = eps > 1e-10
    return SymmetricMatrix(matrix, scale, root, low, high, (1e-6 if single else 1e-8) * max(high - low, 1e-300))


def _check_weights(matrix: Any) -> None:
    """Refuse a matrix with an entry above 0 off the diagonal."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    wrong = (matrix.data > 0) & (rows != matrix.indices)
    if wrong.any():
        i, j = rows[wrong][0], matrix.indices[wrong][0]
        raise ValueError(
            f"`laplacian` must come from edge weights of 0 or more, but the one between nodes {j} and {i} is negative "
            "(or this matrix is no Laplacian)."
        )


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
        indptr, columns = torch.from_numpy(self.matrix.indptr), torch.from_numpy(self.matrix.indices)
        order = torch.arange(self.matrix.nnz, dtype=torch.int32)
        pattern = Pattern._from_csr(indptr, columns, order, self.matrix.shape)
        return SparseOperator._wrap(pattern, torch.from_numpy(self.matrix.data))

    @cached_property
    def single(self) -> SparseOperator:
        """The matrix in float32."""
        return self.double.to(torch.float32)

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.nodes)


def split_components(whole: SymmetricMatrix, *, jointly: bool = False) -> list[Component]:
    """Return the connected components in the order of their first nodes, or the whole graph as one, ``jointly``.

    A Laplacian has the eigenvalue 0 exactly once on each of them. No solver has to find it, and none can overlook it:
    where the known vector is a null vector indeed, up to rounding, it is taken as it is.
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
        matrix = _diagonal_block(renumbered, starts[i], starts[i + 1]) if number > 1 else renumbered
        unit = null / np.linalg.norm(null) if is_null else None
        found.append(Component(nodes, matrix, unit, whole.low, whole.high))
    return sorted(found, key=lambda component: int(component.nodes[0]))


def _diagonal_block(matrix: Any, start: int, stop: int) -> Any:
    """Return a diagonal block that no entry leaves, without SciPy's search for its columns."""
    first, last = matrix.indptr[start], matrix.indptr[stop]
    parts = (matrix.data[first:last], matrix.indices[first:last] - start, matrix.indptr[start : stop + 1] - first)
    return type(matrix)(parts, shape=(stop - start, stop - start))

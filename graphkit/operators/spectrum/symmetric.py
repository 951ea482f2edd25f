"""The border: a Laplacian in any normalisation becomes one symmetric matrix in float64, or is refused."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import torch

from graphkit.operators.pattern import outside_transforms
from graphkit.operators.sparse import SparseOperator


@dataclass(frozen=True)
class Symmetric:
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


def symmetric(laplacian: SparseOperator) -> Symmetric:
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
        degrees = laplacian._kept.degrees
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
    _without_negative_weights(matrix)
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
    return Symmetric(matrix, scale, root, low, high, (1e-6 if single else 1e-8) * max(high - low, 1e-300))


def _without_negative_weights(matrix: Any) -> None:
    """Refuse a matrix with an entry above 0 off the diagonal."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    wrong = (matrix.data > 0) & (rows != matrix.indices)
    if wrong.any():
        i, j = rows[wrong][0], matrix.indices[wrong][0]
        raise ValueError(
            f"`laplacian` must come from edge weights of 0 or more, but the one between nodes {j} and {i} is negative "
            "(or this matrix is no Laplacian)."
        )

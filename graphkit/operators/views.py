"""Views of features: how rare ones weigh, along which directions they differ, and what neighbours make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array, diags_array
from torch import Tensor

from graphkit._checks import at_least, positive

TELEPORT, LONGEST = 0.1, 16
"""Of personalised PageRank the chance to stop at each step, and the steps after which all stop."""

EXACT = 1024
"""Rows or columns up to which leading directions are exact; beyond that they are found by iterations on a subspace."""

ITERATIONS = 4
"""Of the subspace that holds the leading directions."""

ROUNDING = 32
"""Last digits by which rows that are equal may differ after a mean was taken away."""


def feature_importance(counts: Any, nodes: int) -> Any:
    r"""Return how much each feature weighs, :math:`\sqrt{1 + \log((1 + n) / (1 + n_f))}` for :math:`n_f` of n nodes.

    The square is scikit-learn's smoothed inverse document frequency: a feature that every node has weighs 1.

    Args:
        counts: of nodes in which each feature is not 0, an array ``[features]``.
        nodes: how many there are.

    Source: Spärck Jones (1972), Journal of Documentation 28(1); smoothed as scikit-learn's ``TfidfTransformer`` does.

    Example:
        >>> feature_importance(np.array([3, 0]), 3).round(3).tolist()
        [1.0, 1.545]
    """
    return np.sqrt(1 + np.log((1 + nodes) / (1 + counts)))


def weighted_rows(matrix: Any) -> tuple[Any, Any]:
    """Return rows of length 1 in which rare features weigh more, and how much each feature weighs.

    Args:
        matrix: a SciPy matrix ``[nodes, features]``.

    Returns:
        a sparse matrix of the same shape and weights ``[features]``, both float32; rows of zeros stay zeros.

    Raises:
        ValueError: for numbers that are not finite.

    Example:
        >>> from scipy.sparse import csr_array
        >>> rows, weights = weighted_rows(csr_array([[3.0, 0.0], [1.0, 0.0]]))
        >>> rows.toarray().tolist(), weights[0].item()
        ([[1.0, 0.0], [1.0, 0.0]], 1.0)
    """
    matrix = csr_array(matrix).astype(np.float32)
    matrix.eliminate_zeros()
    if not np.isfinite(matrix.data).all():
        raise ValueError("`x` must hold finite numbers; there is NaN or infinity among the features.")
    there = np.bincount(matrix.indices, minlength=matrix.shape[1])
    importance = feature_importance(there, matrix.shape[0]).astype(np.float32)
    weighted = matrix @ diags_array(importance)
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(1)).ravel())
    return (diags_array((1 / np.maximum(length, 1e-12)).astype(np.float32)) @ weighted).tocsr(), importance


def leading_directions(matrix: Any, width: int) -> tuple[Tensor, Tensor]:
    """Return the rows of a SciPy matrix along its leading right singular directions, and those directions.

    Inner products of rows stay as they are, as well as so many numbers can keep them.

    Args:
        matrix: sparse, ``[rows, columns]``.
        width: directions at most; a matrix of no more columns keeps them as they are.

    Returns:
        rows ``[rows, found]`` and directions ``[columns, found]``, float32; one of zeros for a matrix of zeros.

    Source: Halko, Martinsson & Tropp (2011), arXiv:0909.4061, as scikit-learn's ``randomized_svd`` has it, where both
    sides are longer than 1,024; up to there they are exact, so that no order of rows or columns matters.

    Example:
        >>> from scipy.sparse import csr_array
        >>> rows, directions = leading_directions(csr_array([[0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]), 1)
        >>> rows.abs().round().tolist(), directions.abs().round().flatten().tolist()
        ([[2.0], [0.0]], [0.0, 1.0, 0.0])
    """
    if matrix.shape[1] <= width:
        return torch.from_numpy(matrix.toarray().astype(np.float32)), torch.eye(matrix.shape[1])
    if not matrix.nnz:
        return torch.zeros(matrix.shape[0], 1), torch.zeros(matrix.shape[1], 1)
    found = min(width, *matrix.shape)
    directions = _right_singular_vectors(matrix, found)
    return torch.from_numpy((matrix @ directions).astype(np.float32)), torch.from_numpy(directions.astype(np.float32))


def _right_singular_vectors(matrix: Any, count: int) -> np.ndarray:
    """Return the leading right singular vectors, ``[columns, count]``: exact where the smaller side is short."""
    if min(matrix.shape) > EXACT:
        from sklearn.utils.extmath import randomized_svd

        _, _, right = randomized_svd(matrix, count, n_iter=ITERATIONS, random_state=0)
        return np.ascontiguousarray(right.T)
    matrix = csr_array(matrix).astype(np.float64)
    if matrix.shape[0] >= matrix.shape[1]:
        return np.linalg.eigh((matrix.T @ matrix).toarray())[1][:, : -count - 1 : -1]
    values, vectors = np.linalg.eigh((matrix @ matrix.T).toarray())
    sizes = np.sqrt(np.maximum(values[: -count - 1 : -1], 0))
    there = sizes > sizes[0] * np.finfo(np.float32).eps
    return (matrix.T @ vectors[:, : -count - 1 : -1]) * np.where(there, 1 / np.where(there, sizes, 1), 0)


def view_rows(
    x: Tensor, smooth: Callable[[Tensor], Tensor], mean: Callable[[Tensor], Tensor], *, hops: int = LONGEST
) -> Iterator[tuple[str, Tensor]]:
    r"""Yield what a graph makes of features, by name, each when it is made: who needs no more may stop.

    These are :math:`X` ("raw"), :math:`PX` and :math:`P^2X` ("neighbours-1", "neighbours-2"), :math:`X - \hat AX`
    ("high-pass"), :math:`\hat A^kX` ("averaged-k") for the powers of two up to ``hops``, and personalised PageRank
    :math:`\sum_k \alpha (1 - \alpha)^k \hat A^k X` to so many steps ("pagerank").

    Args:
        x: ``[nodes, width]``.
        smooth: the product with :math:`\hat A`, the adjacency of GCN.
        mean: the product with :math:`P`, the mean over neighbours.
        hops: the longest average, at least 1.

    Source: Wu et al. (2019), arXiv:1902.07153, for averages; Gasteiger et al. (2019), arXiv:1810.05997, for PageRank.

    Example:
        >>> half = lambda x: x / 2
        >>> [(name, rows.item()) for name, rows in view_rows(torch.ones(1, 1), half, half, hops=2)][3:6]
        [('high-pass', 0.5), ('averaged-1', 0.5), ('averaged-2', 0.25)]
    """
    at_least("hops", hops, 1)
    yield "raw", x
    near = mean(x)
    yield "neighbours-1", near
    yield "neighbours-2", mean(near)
    averaged, walks, share = x, TELEPORT * x, TELEPORT
    for hop in range(1, hops + 1):
        averaged, share = smooth(averaged), share * (1 - TELEPORT)
        walks = walks + share * averaged
        if hop == 1:
            yield "high-pass", x - averaged
        if hop & (hop - 1) == 0:
            yield f"averaged-{hop}", averaged
    yield "pagerank", walks


def canonical_map(x: Tensor, near: Tensor, penalty: float = 0.1) -> Tensor:
    r"""Return the matrix that brings rows to the directions that neighbours share, ``[width, width]``.

    With :math:`C_{xx}` and :math:`C_{nn}` the covariances of what nodes have and of what their neighbours have in the
    mean, :math:`C_{xn}` the one between both, each of the first two with ``penalty`` times its largest eigenvalue added
    along the diagonal, and :math:`K = C_{xx}^{-1/2} C_{xn} C_{nn}^{-1/2}`, it is :math:`C_{xx}^{-1/2} K K^\top`: rows
    are made round, and each canonical direction is multiplied by the square of its correlation. What a node's
    features say that those of its neighbours never do is gone. No labels are looked at.

    Args:
        x: rows of the nodes, ``[nodes, width]``.
        near: those of the neighbours of the same nodes in the mean, ``[nodes, width]``; zeros where there are none.
        penalty: above 0.

    Raises:
        ValueError: for a penalty that is not.

    Source: Hotelling (1936), Biometrika 28, for canonical correlations; Vinod (1976), Journal of Econometrics 4(2),
    for the ridge. Zhang et al. (2021), arXiv:2106.12484, train a network towards such an aim, between two drawn views.

    Example:
        >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> canonical_map(x, x * torch.tensor([1.0, 0.0])).abs().mul(10).round().tolist()
        [[8.0, 0.0], [0.0, 0.0]]
    """
    positive("penalty", penalty)
    there = near.any(-1)
    x, near = x[there].double(), near[there].double()
    if len(x) < 2:
        return torch.zeros(x.size(1), x.size(1), device=x.device)
    x, near = x - x.mean(0), near - near.mean(0)
    whiten = _inverse_root(x.T @ x / len(x), penalty)
    shared = whiten @ (x.T @ near / len(x)) @ _inverse_root(near.T @ near / len(x), penalty)
    return (whiten @ shared @ shared.T).float()


def _inverse_root(covariance: Tensor, penalty: float) -> Tensor:
    """Return the inverse square root of a covariance to which a part of its largest eigenvalue was added."""
    values, vectors = torch.linalg.eigh(covariance)
    if values[-1] <= torch.finfo(values.dtype).tiny:
        return torch.zeros_like(covariance)
    return (vectors * (values.clamp(min=0) + penalty * values[-1]).rsqrt()) @ vectors.T


def unit_view(rows: Tensor, mean: Tensor | None = None) -> Tensor:
    """Return rows of length 1, from which the mean, where there is one, was taken away.

    A row that is the mean but for rounding becomes zero, as one of zeros does: what rounding left has no direction.

    Args:
        rows: ``[nodes, width]``.
        mean: ``[width]``.

    Example:
        >>> unit_view(torch.tensor([[3.0, 4.0], [0.5, 1.0]]), torch.tensor([0.5, 1.0])).tolist()[1]
        [0.0, 0.0]
    """
    if mean is None:
        return F.normalize(rows, dim=-1)
    mean = mean.to(rows.dtype)
    found = rows - mean
    least = ROUNDING * torch.finfo(rows.dtype).eps * (rows.norm(dim=-1, keepdim=True) + mean.norm())
    return F.normalize(torch.where(found.norm(dim=-1, keepdim=True) > least, found, 0), dim=-1)

"""Distances between embeddings: differentiable any number of times, zero where they must be, never NaN."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit._checks import embeddings, member
from graphkit.metric.gallery import DISTANCES

DIRECT = 2**16
"""Numbers up to which all differences are written down; above, distances come from inner products in float64."""


def pairwise_distances(z: Tensor, reference: Tensor | None = None, *, distance: str = "euclidean") -> Tensor:
    r"""Return the distance of every row of ``z`` to every row of ``reference``, ``[items, others]``.

    ================ ==================================
    ``"euclidean"``  :math:`\lVert a - b \rVert`
    ``"squared"``    :math:`\lVert a - b \rVert^2`
    ``"cosine"``     :math:`1 - \cos(a, b)`
    ``"dot"``        :math:`-\langle a, b \rangle`
    ================ ==================================

    Smaller is nearer in all of them. The Euclidean ones are accurate far from the origin and exactly zero on the
    diagonal; where two rows are equal the gradient is zero. ``torch.cdist`` has no second derivative for fewer than 25
    rows and loses all digits far from the origin.

    Args:
        z: embeddings ``[items, features]``.
        reference: others ``[others, features]``; ``z`` itself when left out.
        distance: one of the four.

    Raises:
        ValueError: for an unknown distance, or shapes that do not fit.
        TypeError: for integers.

    Example:
        >>> pairwise_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]])).tolist()
        [[0.0, 5.0], [5.0, 0.0]]
    """
    member("distance", distance, DISTANCES)
    embeddings("z", z)
    other = z if reference is None else embeddings("reference", reference)
    if other.shape[1] != z.shape[1]:
        raise ValueError(f"`reference` must have {z.shape[1]} features, as `z`, got {other.shape[1]}.")
    return distance_matrix(z, reference, distance)


def distance_matrix(z: Tensor, reference: Tensor | None, distance: str) -> Tensor:
    """Return what ``pairwise_distances`` returns, without looking at its arguments."""
    other = z if reference is None else reference
    if distance == "dot":
        return -z @ other.T
    if distance == "cosine":
        return 1 - unit(z) @ unit(other).T
    if len(z) * len(other) * z.shape[1] <= DIRECT:
        squares = (z.unsqueeze(1) - other.unsqueeze(0)).square().sum(-1)
    else:
        centre = other.detach().mean(0)
        left, right = (z - centre).double(), (other - centre).double()
        squares = left.square().sum(1, keepdim=True) + right.square().sum(1) - 2 * left @ right.T
        if reference is None:
            squares = squares * (1 - torch.eye(len(z), dtype=squares.dtype, device=z.device))
        squares = squares.clamp(min=0).to(z.dtype)
    return squares if distance == "squared" else safe_root(squares)


def between(left: Tensor, right: Tensor, distance: str) -> Tensor:
    """Return the distance of each row of ``left`` to the same row of ``right``, ``[pairs]``."""
    if distance == "dot":
        return -(left * right).sum(-1)
    if distance == "cosine":
        return 1 - (unit(left) * unit(right)).sum(-1)
    squares = (left - right).square().sum(-1)
    return squares if distance == "squared" else safe_root(squares)


def unit(z: Tensor) -> Tensor:
    """Return rows of length 1; a zero row stays zero, with derivatives of zero."""
    largest = z.detach().abs().amax(-1, keepdim=True) if z.shape[-1] else z.new_zeros(*z.shape[:-1], 1)
    scaled = z / torch.where(largest > 0, largest, 1)  # a square may overflow, a ratio cannot
    squares = scaled.square().sum(-1, keepdim=True)
    return scaled * torch.where(squares > 0, torch.where(squares > 0, squares, 1).rsqrt(), 0)


def safe_root(squares: Tensor) -> Tensor:
    """Return the square root, whose derivatives at zero are zero."""
    apart = squares > 0
    return torch.where(apart, torch.where(apart, squares, 1).sqrt(), 0)

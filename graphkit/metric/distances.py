"""Distances between embeddings: differentiable any number of times, zero where they must be, never NaN."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit._checks import member, same_device
from graphkit.metric.blockwise import block_distances, block_operands
from graphkit.metric.pair_inputs import PairInputs, at_least_float32, check_embeddings

DISTANCES = ("cosine", "euclidean", "squared", "dot")
"""What items can be compared by; "squared" ranks as "euclidean" does."""

DIRECT_SIZE = 2**16
"""Numbers up to which all differences are written down; above, only their squares' sums are kept."""


def pairwise_distances(z: Tensor, reference: Tensor | None = None, *, distance: str = "euclidean") -> Tensor:
    r"""Return the distance of every row of ``z`` to every row of ``reference``, ``[items, others]``.

    ================ ==================================
    ``"euclidean"``  :math:`\lVert a - b \rVert`
    ``"squared"``    :math:`\lVert a - b \rVert^2`
    ``"cosine"``     :math:`1 - \cos(a, b)`
    ``"dot"``        :math:`-\langle a, b \rangle`
    ================ ==================================

    Smaller is nearer in all of them. The Euclidean ones are sums of squared differences: accurate far from the origin
    and for rows that nearly coincide, exactly zero for equal rows, whose derivatives of any order are zero.
    ``torch.cdist`` has no second derivative for fewer than 25 rows and loses all digits far from the origin.

    Args:
        z: embeddings ``[items, features]``; half precision is widened to single, as are its distances.
        reference: others ``[others, features]``; ``z`` itself when left out.
        distance: one of the four.

    Raises:
        ValueError: for an unknown distance, shapes that do not fit, entries that are not finite or too large for their
            distances to be.
        TypeError: for integers.

    Example:
        >>> pairwise_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]])).tolist()
        [[0.0, 5.0], [5.0, 0.0]]
    """
    member("distance", distance, DISTANCES)
    check_embeddings("z", z, distance)
    if reference is None:
        return distance_matrix(at_least_float32(z), None, distance)
    check_embeddings("reference", reference, distance)
    if reference.shape[1] != z.shape[1]:
        raise ValueError(f"`reference` must have {z.shape[1]} features, as `z`, got {reference.shape[1]}.")
    same_device("reference", reference, z)
    common = torch.promote_types(at_least_float32(z).dtype, at_least_float32(reference).dtype)
    return distance_matrix(z.to(common), reference.to(common), distance)


def distance_matrix(z: Tensor, reference: Tensor | None, distance: str) -> Tensor:
    """Return what ``pairwise_distances`` returns, without looking at its arguments."""
    other = z if reference is None else reference
    if distance == "dot":
        return -z @ other.T
    if distance == "cosine":
        return 1 - unit_rows(z) @ unit_rows(other).T
    if distance == "squared":
        return _squared_distances(z, other)
    scale = _common_scale(z, other)
    return safe_sqrt(_squared_distances(z * scale, other * scale)) / scale


def _squared_distances(z: Tensor, others: Tensor) -> Tensor:
    """Return the squared distances of all rows."""
    if len(z) * len(others) * z.shape[1] <= DIRECT_SIZE:
        return (z.unsqueeze(1) - others.unsqueeze(0)).square().sum(-1)
    return _SquaredDistances.apply(z, others)


def _common_scale(left: Tensor, right: Tensor) -> Tensor:
    """Return the power of two that brings the largest entry into [1, 2), so that squares keep their digits."""
    largest = [part.detach().abs().amax() for part in (left, right) if part.numel()]
    scale = power_of_two_scale(torch.stack(largest).amax()) if largest else left.new_ones(())
    return torch.where(scale == 0, 1, scale)


class _SquaredDistances(torch.autograd.Function):
    """Squared distances summed up from differences, of which none is kept; differentiable any number of times.

    Inner products are faster, but leave equal rows some 1e-8 apart, and a second derivative divides by that.
    """

    @staticmethod
    def forward(z: Tensor, others: Tensor) -> Tensor:
        left, right = (part if part.dtype in (torch.float32, torch.float64) else part.float() for part in (z, others))
        return block_distances(block_operands(left, right, "squared"), 0, len(left)).to(z.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, Tensor]:
        z, others = ctx.saved_tensors
        left, right = _center_both(z, others)
        wide = gradients.double()
        dz = 2 * (wide.sum(1, keepdim=True) * left - wide @ right)
        dothers = 2 * (wide.sum(0).unsqueeze(1) * right - wide.T @ left)
        return dz.to(z.dtype), dothers.to(others.dtype)

    @staticmethod
    def jvp(ctx: Any, dz: Tensor | None, dothers: Tensor | None) -> Tensor:
        z, others = ctx.saved_tensors
        left, right = _center_both(z, others)
        dz, dothers = (
            torch.zeros_like(part) if moved is None else moved.double()
            for moved, part in ((dz, left), (dothers, right))
        )
        along = (left * dz).sum(1, keepdim=True) + (right * dothers).sum(1)
        return 2 * (along - left @ dothers.T - dz @ right.T).to(z.dtype)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], z: Tensor, others: Tensor) -> tuple[Tensor, int]:
        many = [
            part.expand(info.batch_size, *part.shape) if place is None else part.movedim(place, 0)
            for part, place in zip((z, others), in_dims, strict=True)
        ]
        return torch.stack([_SquaredDistances.apply(*pair) for pair in zip(*many, strict=True)]), 0


def _center_both(z: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return both sides in float64, moved to where products of theirs lose the fewest digits."""
    centre = others.detach().double().mean(0)
    return z.double() - centre, others.double() - centre


def paired_distances(left: Tensor, right: Tensor, distance: str) -> Tensor:
    """Return the distance of each row of ``left`` to the same row of ``right``, ``[pairs]``."""
    if distance == "dot":
        return -(left * right).sum(-1)
    if distance == "cosine":
        return 1 - (unit_rows(left) * unit_rows(right)).sum(-1)
    if distance == "squared":
        return (left - right).square().sum(-1)
    scale = _common_scale(left, right)
    return safe_sqrt(((left - right) * scale).square().sum(-1)) / scale


def labelled_inputs(inputs: PairInputs, distance: str) -> PairInputs:
    """Return the items and others that have a label, of length 1 for the cosine, as blocks of distances take them."""

    def labelled_rows(z: Tensor, labels: Tensor) -> Tensor:
        known = labels >= 0
        z = z if bool(known.all()) else z[known]
        return unit_rows(z) if distance == "cosine" else z

    y, labels = inputs.y[inputs.y >= 0], inputs.labels[inputs.labels >= 0]
    others = None if inputs.others is None else labelled_rows(inputs.others, inputs.labels)
    return PairInputs(labelled_rows(inputs.z, inputs.y), others, y, labels)


def unit_rows(z: Tensor) -> Tensor:
    """Return rows of length 1; one of zeros, or of denormal numbers, becomes zero, with derivatives of zero."""
    largest = z.detach().abs().amax(-1, keepdim=True) if z.shape[-1] else z.new_zeros(*z.shape[:-1], 1)
    there = ~(largest < torch.finfo(z.dtype).tiny)  # a NaN must reach the result
    scaled = torch.where(there, z / torch.where(there, largest, 1), 0)  # a square may overflow, a ratio cannot
    squares = scaled.square().sum(-1, keepdim=True)
    return scaled * torch.where(there, torch.where(there, squares, 1).rsqrt(), 0)


def normalize_rows(z: Tensor) -> Tensor:
    """Return rows of length 1: those of ``F.normalize`` to the last bit, derivatives too, but right for any length.

    ``F.normalize`` divides a row shorter than 1e-12 by 1e-12, so that its length counts and a zero row has gradients of
    1e12. A zero row, or one of denormal numbers only, becomes zero with derivatives of zero; those of a short row are
    as large as its length is small.
    """
    scale = power_of_two_scale(
        z.detach().abs().amax(-1, keepdim=True) if z.shape[-1] else z.new_zeros(*z.shape[:-1], 1)
    )
    scaled = z * scale
    return scaled / torch.where(scale == 0, 1, scaled).norm(dim=-1, keepdim=True)


def power_of_two_scale(largest: Tensor) -> Tensor:
    """Return the powers of two that bring numbers into [1, 2) and change no digit; 0 for zero and denormal numbers."""
    missing = largest < torch.finfo(largest.dtype).tiny  # a NaN is not missing: it must reach the result
    return torch.where(missing, 0, 2 * torch.frexp(largest).mantissa / torch.where(missing, 1, largest))


def safe_sqrt(squares: Tensor) -> Tensor:
    """Return the square root; its derivatives are zero at zero, and where the second one cannot be written down.

    Of entries near one, that is below 2e-13 in single precision: the root of what is left of rows that coincide.
    """
    near = squares <= torch.finfo(squares.dtype).tiny ** (2 / 3)
    return torch.where(near, squares.detach().sqrt(), torch.where(near, 1, squares).sqrt())

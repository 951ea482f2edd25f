"""Block-wise losses: distances of a block of rows to all others, whose gradients are gathered at once.

Nothing of ``items x others`` is ever kept. The gradient is computed together with the value, and can therefore be
differentiated no further: whoever tries is told so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphkit._kernels import tuple_losses
from graphkit._kernels.resources import over_rows
from graphkit.metric.pair_inputs import PairMasks

BLOCK = 2**20
"""Distances held at a time: four megabytes in single precision; on an accelerator 16 times as many."""

KERNEL_DEVICES = ("cpu",)
"""Devices whose memory our kernels can read; elsewhere PyTorch's operations do the same."""


def has_kernels(tensor: Tensor) -> bool:
    """Tell whether our kernels can read a tensor."""
    return tensor.device.type in KERNEL_DEVICES


class Sums(NamedTuple):
    """The sum of a loss's terms, how many tuples there are, and how many terms are above zero."""

    total: float
    tuples: int
    active: int


class Operands(NamedTuple):
    """Both sides of a distance, as the blocks take them.

    Args:
        z: rows as they are ``[items, features]``.
        columns: the others as they are ``[features, others]``.
        left, right: both moved to the others' mean where only differences count: products lose no digits there.
        distance: "euclidean", "squared", "cosine" (of unit vectors) or "dot".
    """

    z: Tensor
    columns: Tensor
    left: Tensor
    right: Tensor
    distance: str


BlockGradients = Callable[[Tensor, PairMasks, Tensor], Sums]
"""Sets its third argument to the gradient of a block's terms by each distance, and returns their sums."""


def block_operands(z: Tensor, others: Tensor | None, distance: str) -> Operands:
    """Return both sides as the blocks take them."""
    left, right = z.detach(), (z if others is None else others).detach()
    rows, columns = left.contiguous(), right.T.contiguous()
    if distance in ("euclidean", "squared") and len(right):
        centre = right.double().mean(0).to(right.dtype)
        left, right = left - centre, right - centre
    left = left.contiguous()
    return Operands(rows, columns, left, left if others is None else right.contiguous(), distance)


def row_blocks(items: int, others: int, block: int) -> list[tuple[int, int]]:
    """Return the row ranges of blocks of about ``block`` distances; none where nobody is there to compare with."""
    if not others:
        return []
    step = max(1, block // others)
    return [(start, min(start + step, items)) for start in range(0, items, step)]


def block_distances(operands: Operands, start: int, stop: int, *, exact_ties: bool = True) -> Tensor:
    """Return the distances of some rows to all others, ``[rows, others]``.

    Args:
        operands: both sides.
        start, stop: the rows.
        exact_ties: whether equal rows must have equal distances to the last bit, as counting needs; inner products are
            a little faster without.
    """
    distance, z = operands.distance, operands.z[start:stop]
    inner = distance in ("cosine", "dot")
    if has_kernels(z) and (exact_ties or not inner):
        kind = {"euclidean": tuple_losses.EUCLIDEAN, "squared": tuple_losses.SQUARED}.get(distance, tuple_losses.INNER)
        found = z.new_empty(stop - start, operands.columns.shape[1])
        run_over_block(tuple_losses.distances, found, z.numpy(), operands.columns.numpy(), kind, found.numpy())
    elif inner:
        found = (z @ operands.columns).neg_()
    else:
        mode = "donot_use_mm_for_euclid_dist"  # products would leave equal rows apart
        found = torch.cdist(z, operands.columns.T.contiguous(), compute_mode=mode)
        found = found if distance == "euclidean" else found.square_()
    return found.add_(1) if distance == "cosine" else found


def run_over_block(kernel: Callable[..., Any], block: Tensor, *arrays: Any) -> None:
    """Run a kernel over the rows of a block, on as many threads as PyTorch uses."""
    rows, others = block.shape
    over_rows(kernel, np.arange(rows + 1) * others, 8, *arrays)


def run_loss_kernel(
    kernel: Callable[..., Any], masks: PairMasks, margins: tuple[float, ...], distances: Tensor, out: Tensor
) -> Sums:
    """Run a kernel that sets a block's gradients and the sums of each row, and return the sums of all."""
    sums = np.empty((len(distances), 3))
    labels = [part.detach().contiguous().numpy() for part in (masks.y, masks.labels)]
    run_over_block(kernel, out, *labels, masks.diagonal, *margins, distances.detach().numpy(), out.numpy(), sums)
    total, tuples, active = sums.sum(0).tolist()
    return Sums(total, int(tuples), int(active))


class GradientAccumulator:
    """Gathers gradients by distances, block by block, into the gradient of both sides."""

    def __init__(self, operands: Operands) -> None:
        self.operands = operands
        self.left, self.right = torch.zeros_like(operands.left), torch.zeros_like(operands.right)

    def add(self, start: int, stop: int, distances: Tensor, gradients: Tensor) -> None:
        """Add a block's gradients, which are overwritten."""
        left, right = self.operands.left[start:stop], self.operands.right
        distance = self.operands.distance
        if distance in ("cosine", "dot"):
            self.left[start:stop].addmm_(gradients, right, alpha=-1)
            self.right.addmm_(gradients.T, left, alpha=-1)
            return
        if distance == "squared":
            gradients.mul_(2)
        elif has_kernels(gradients):
            run_over_block(tuple_losses.divide_by_distances, gradients, distances.numpy(), gradients.numpy())
        else:
            gradients.div_(distances.where(distances > 0, torch.inf))
        self.left[start:stop].addcmul_(gradients.sum(1, keepdim=True), left).addmm_(gradients, right, alpha=-1)
        self.right.addcmul_(gradients.sum(0).unsqueeze(1), right).addmm_(gradients.T, left, alpha=-1)

    def scale(self, factor: float, itself: bool) -> tuple[Tensor, Tensor | None]:
        """Return the gradients times a factor, as one where both sides are the same items."""
        if itself:
            return self.left.add_(self.right).mul_(factor), None
        return self.left.mul_(factor), self.right.mul_(factor)


def accumulate_blocks(
    operands: Operands,
    masks: PairMasks,
    block_gradients: BlockGradients,
    *,
    with_gradient: bool,
    exact_ties: bool = True,
) -> tuple[Sums, GradientAccumulator | None]:
    """Return a loss's sums over all rows, and its gathered gradient."""
    total, tuples, active = 0.0, 0, 0
    gathered = GradientAccumulator(operands) if with_gradient else None
    size = BLOCK if operands.z.device.type == "cpu" else 16 * BLOCK
    for start, stop in row_blocks(len(operands.left), len(operands.right), size):
        distances = block_distances(operands, start, stop, exact_ties=exact_ties)
        gradients = torch.empty_like(distances)
        sums = block_gradients(distances, masks.rows(start, stop), gradients)
        total, tuples, active = total + sums.total, tuples + sums.tuples, active + sums.active
        if gathered is not None:
            gathered.add(start, stop, distances, gradients)
    return Sums(total, tuples, active), gathered


class PrecomputedGradient(torch.autograd.Function):
    """A value with the gradient that was computed beside it.

    PyTorch's ``once_differentiable`` complains only where what comes from above is itself differentiable. In the inner
    step of MAML that is a plain one, and the second-order part would be lost without a word: ``_OnceDifferentiable``
    stands guard.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, others: Tensor | None, run: Callable[..., Any]) -> Tensor:
        """Return the value; ``run`` is told whether a gradient is wanted and returns ``(value, dz, dothers)``."""
        value, *gradients = run(any(ctx.needs_input_grad[:2]))
        ctx.save_for_backward(z, others, *gradients)
        return z.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients times what comes from above."""
        z, others, *gradients = ctx.saved_tensors
        found = [None if part is None else grad.detach() * part for part in gradients]
        if torch.is_grad_enabled():
            found = [None if part is None else _OnceDifferentiable.apply(part, grad, z, others) for part in found]
        return *found, None


class _OnceDifferentiable(torch.autograd.Function):
    """A gradient that can be looked at but not differentiated."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *sources: Tensor | None) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        raise RuntimeError(
            "this loss is differentiable once: its gradient was computed together with its value; for a second "
            "derivative, as in MAML, make it with differentiable='twice'."
        )

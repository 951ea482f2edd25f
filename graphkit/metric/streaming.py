"""Losses taken block by block of rows: a block sees all others, so its slopes become gradients at once.

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
from graphkit._kernels.threads import over_rows
from graphkit.metric.relations import Relations

BLOCK = 2**20
"""Distances held at a time: four megabytes in single precision."""

COMPILED_ON = ("cpu",)
"""Devices whose memory our kernels can read; elsewhere PyTorch's operations do the same."""


def compiled(tensor: Tensor) -> bool:
    """Tell whether our kernels can read a tensor."""
    return tensor.device.type in COMPILED_ON


class Sums(NamedTuple):
    """The sum of a loss's terms, how many tuples there are, and how many terms are above zero."""

    total: float
    tuples: int
    active: int


class Sides(NamedTuple):
    """What is compared.

    Args:
        z: rows as they are ``[items, features]``.
        columns: the others as they are ``[features, others]``.
        left, right: both moved to the others' mean where only differences count: products lose no digits there.
    """

    z: Tensor
    columns: Tensor
    left: Tensor
    right: Tensor


Slopes = Callable[[Tensor, Relations, Tensor], Sums]
"""Sets its third argument to the slope of a block's terms by each distance, and returns their sums."""


def sides(z: Tensor, others: Tensor | None, distance: str) -> Sides:
    """Return both sides as the blocks take them."""
    left, right = z.detach(), (z if others is None else others).detach()
    rows, columns = left.contiguous(), right.T.contiguous()
    if distance in ("euclidean", "squared") and len(right):
        centre = right.double().mean(0).to(right.dtype)
        left, right = left - centre, right - centre
    left = left.contiguous()
    return Sides(rows, columns, left, left if others is None else right.contiguous())


def blocks(items: int, others: int, block: int) -> list[tuple[int, int]]:
    """Return the row ranges of blocks of about ``block`` distances; none where nobody is there to compare with."""
    if not others:
        return []
    step = max(1, block // others)
    return [(start, min(start + step, items)) for start in range(0, items, step)]


def block_distances(seen: Sides, start: int, stop: int, distance: str, *, ordered: bool = True) -> Tensor:
    """Return the distances of some rows to all others, ``[rows, others]``.

    Args:
        seen: both sides.
        start, stop: the rows.
        distance: "euclidean", "squared", "cosine" (of unit vectors) or "dot".
        ordered: whether equal rows must have equal distances to the last bit, as counting needs; inner products are
            a little faster without.
    """
    inner = distance in ("cosine", "dot")
    if compiled(seen.z) and (ordered or not inner):
        kind = {"euclidean": tuple_losses.EUCLIDEAN, "squared": tuple_losses.SQUARED}.get(distance, tuple_losses.INNER)
        found = seen.z.new_empty(stop - start, seen.columns.shape[1])
        over_block(tuple_losses.distances, found, seen.z[start:stop].numpy(), seen.columns.numpy(), kind, found.numpy())
        return found.add_(1) if distance == "cosine" else found
    if inner:
        found = (seen.z[start:stop] @ seen.columns).neg_()
        return found.add_(1) if distance == "cosine" else found
    mode = "donot_use_mm_for_euclid_dist"  # products would leave equal rows apart
    found = torch.cdist(seen.z[start:stop], seen.columns.T.contiguous(), compute_mode=mode)
    return found if distance == "euclidean" else found.square_()


def over_block(kernel: Callable[..., Any], block: Tensor, *arrays: Any) -> None:
    """Run a kernel over the rows of a block, on as many threads as PyTorch uses."""
    rows, others = block.shape
    over_rows(kernel, np.arange(rows + 1) * others, 8, *arrays)


def sums_of(
    kernel: Callable[..., Any], relations: Relations, margins: tuple[float, ...], distances: Tensor, out: Tensor
) -> Sums:
    """Run a kernel that sets a block's slopes and the sums of each row, and return the sums of all."""
    sums = np.empty((len(distances), 3))
    labels = [part.detach().contiguous().numpy() for part in (relations.y, relations.labels)]
    over_block(kernel, out, *labels, relations.own, *margins, distances.detach().numpy(), out.numpy(), sums)
    total, tuples, active = sums.sum(0).tolist()
    return Sums(total, int(tuples), int(active))


class Gradient:
    """Gathers slopes of blocks into the gradient of both sides.

    Args:
        seen: both sides.
        distance: "euclidean", "squared", "cosine" or "dot".
    """

    def __init__(self, seen: Sides, distance: str) -> None:
        self.seen, self.distance = seen, distance
        self.left, self.right = torch.zeros_like(seen.left), torch.zeros_like(seen.right)

    def add(self, start: int, stop: int, distances: Tensor, slopes: Tensor) -> None:
        """Add a block's slopes, which are overwritten."""
        left, right = self.seen.left[start:stop], self.seen.right
        if self.distance in ("cosine", "dot"):
            self.left[start:stop].addmm_(slopes, right, alpha=-1)
            self.right.addmm_(slopes.T, left, alpha=-1)
            return
        if self.distance == "squared":
            slopes.mul_(2)
        elif compiled(slopes):
            over_block(tuple_losses.divide_by_distances, slopes, distances.numpy(), slopes.numpy())
        else:
            slopes.div_(distances.where(distances > 0, torch.inf))
        self.left[start:stop].addcmul_(slopes.sum(1, keepdim=True), left).addmm_(slopes, right, alpha=-1)
        self.right.addcmul_(slopes.sum(0).unsqueeze(1), right).addmm_(slopes.T, left, alpha=-1)

    def times(self, factor: float) -> None:
        """Multiply all that was gathered."""
        self.left.mul_(factor)
        self.right.mul_(factor)

    def both(self, factor: float, itself: bool) -> tuple[Tensor, Tensor | None]:
        """Return the gradients times a factor, as one where both sides are the same items."""
        if itself:
            return self.left.add_(self.right).mul_(factor), None
        return self.left.mul_(factor), self.right.mul_(factor)


def streamed(
    seen: Sides,
    relations: Relations,
    distance: str,
    slopes: Slopes,
    *,
    gradient: bool,
    ordered: bool = True,
    block: int = BLOCK,
) -> tuple[Sums, Gradient | None]:
    """Return a loss's sums over all rows, and what its slopes gather to."""
    total, tuples, active = 0.0, 0, 0
    gathered = Gradient(seen, distance) if gradient else None
    for start, stop in blocks(len(seen.left), len(seen.right), block):
        part = relations.rows(start, stop)
        distances = block_distances(seen, start, stop, distance, ordered=ordered)
        out = torch.empty_like(distances)
        sums = slopes(distances, part, out)
        total, tuples, active = total + sums.total, tuples + sums.tuples, active + sums.active
        if gathered is not None:
            gathered.add(start, stop, distances, out)
    return Sums(total, tuples, active), gathered


class Streamed(torch.autograd.Function):
    """A value with the gradient that was computed beside it.

    PyTorch's ``once_differentiable`` complains only where what comes from above is itself differentiable. In the inner
    step of MAML that is a plain one, and the second-order part would be lost without a word; ``_Refusal`` stands guard.
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
            found = [None if part is None else _Refusal.apply(part, grad, z, others) for part in found]
        return *found, None


class _Refusal(torch.autograd.Function):
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

"""Ridge regression in closed form, and what it says of each item when fitted to all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MIXED = 1e-4
"""A view whose part of a mixture is less is left out of it."""


def leave_one_out(fitted: Tensor, leverage: Tensor, targets: Tensor) -> Tensor:
    r"""Return what a linear fit says of each item when that is left out, :math:`(f_i - h_i t_i) / (1 - h_i)`.

    Args:
        fitted: :math:`f`, what the fit to all items says of them, ``[..., items, outputs]``.
        leverage: :math:`h`, how much of its own target each item's fit has, in [0, 1), ``[..., items]``.
        targets: :math:`t`, ``[items, outputs]``.

    Source: Allen (1974), Technometrics 16(1): the residuals of PRESS.

    Example:
        >>> fitted = torch.tensor([[2.0], [2.0]])  # the mean of 1 and 3
        >>> leave_one_out(fitted, torch.tensor([0.5, 0.5]), torch.tensor([[1.0], [3.0]])).tolist()
        [[3.0], [1.0]]
    """
    leverage = leverage[..., None]
    return (fitted - leverage * targets) / (1 - leverage).clamp(min=1e-6)


def view_shares(errors: Tensor, items: int, sharpness: float, prior: Tensor | None = None) -> Tensor:
    r"""Return how much each of several fits weighs, :math:`\propto e^{p - \beta n e}`, shaped like ``errors``.

    Args:
        errors: :math:`e`, mean square errors of items left out, in any unit; one that does not count is infinite.
        items: :math:`n`.
        sharpness: :math:`\beta`, above 0: how far one may outweigh another.
        prior: :math:`p`, logarithms of what is known of them before; none is known by default.

    Example:
        >>> view_shares(torch.tensor([[0.5, 0.5], [9.0, torch.inf]]), items=100, sharpness=1.0).tolist()
        [[0.5, 0.5], [0.0, 0.0]]
    """
    scores = -sharpness * items * errors
    scores = (scores if prior is None else scores + prior).clamp(min=torch.finfo(errors.dtype).min)
    return scores.flatten().softmax(0).view_as(errors)


class RidgeSystem:
    r"""Rows, decomposed once for all ridge regressions on them, :math:`\min_B \|ZB - T\|^2 + \lambda \|B\|^2`.

    Args:
        z: :math:`Z`, ``[items, numbers]``, floating-point.

    Source: Hoerl & Kennard (1970), Technometrics 12(1); Allen (1974), Technometrics 16(1), for items left out.

    Example:
        >>> weights, left_out = RidgeSystem(torch.eye(2)).fit(torch.tensor([[3.0], [0.0]]), torch.tensor([0.5]))
        >>> weights.squeeze().tolist(), left_out.abs().max().item() < 1e-5
        ([2.0, 0.0], True)
    """

    def __init__(self, z: Tensor) -> None:
        # The smaller of both products has all singular values; where it is that of items, the rows are needed too.
        self._wide = z if z.size(1) > z.size(0) else None
        values, self._vectors = torch.linalg.eigh(z.T @ z if self._wide is None else z @ z.T)
        self._values = values.clamp(min=0)
        self._basis = z @ self._vectors if self._wide is None else self._vectors

    @property
    def rows(self) -> Tensor:
        """The rows, ``[items, numbers]``, up to rounding."""
        return self._basis @ self._vectors.T if self._wide is None else self._wide

    def leading(self, width: int) -> Tensor:
        """Return the items along the directions in which they differ most, ``[items, width]`` or fewer numbers."""
        basis = self._basis if self._wide is None else self._basis * self._values.sqrt()
        return basis[:, -width:]

    def directions(self, width: int) -> Tensor:
        """Return those directions, ``[numbers, width]`` or fewer, of length 1; zeros where items do not differ."""
        if self._wide is None:
            return self._vectors[:, -width:]
        length = self._values[-width:].sqrt()
        least = torch.finfo(length.dtype).eps ** 0.5 * length.max()
        return (self._wide.T @ self._vectors[:, -width:]) * torch.where(length > least, 1 / length, 0.0)

    def fit(self, targets: Tensor, penalties: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return weights of several fits, and what each says of every item when fitted to all others.

        Args:
            targets: ``[items, outputs]``.
            penalties: :math:`\lambda`, each above 0, ``[penalties]``.

        Returns:
            ``[penalties, numbers, outputs]`` and ``[penalties, items, outputs]``.
        """
        shrink = 1 / (self._values + penalties[:, None])
        inner = shrink[..., None] * (self._basis.T @ targets)
        share = shrink if self._wide is None else self._values * shrink
        fitted = self._basis @ (inner if self._wide is None else self._values[:, None] * inner)
        leverage = (self._basis.square() @ share.T).T
        weights = (self._vectors if self._wide is None else self._wide.T @ self._vectors) @ inner
        return weights, leave_one_out(fitted, leverage, targets)


@dataclass(frozen=True)
class ViewFit:
    """A linear function of some views.

    Args:
        weights: view -> ``[numbers, outputs]``.
        left_out: what it says of each item when fitted to all others, ``[items, outputs]``.
    """

    weights: Mapping[int, Tensor]
    left_out: Tensor


class RidgePursuit:
    r"""Ridge regressions on several views of the same items: a mixture of all, or a joint fit of all or of a few.

    The first view of a joint fit of few is the one of least loss on items left out, and each further one that which,
    fitted together with those before it, lessens the loss most. While views are looked for, the ``leading`` directions
    of each stand for it, as they do in a joint fit of all; the chosen ones are then fitted together whole. Of the
    penalties the one of least square error on items left out is taken.

    Args:
        views: rows of the items in each view, ``[items, numbers]``; they are decomposed and let go of.
        targets: ``[items, outputs]``, without gaps; their mean is left to an offset.
        penalties: each above 0.
        loss: a number for what is said of items left out, ``[items, outputs]``; the square error by default.
        leading: directions, at least 1.

    Source: Chen, Billings & Luo (1989), "Orthogonal least squares methods and their application to non-linear system
    identification", for the order of views, there of single columns and by the error of the fit itself.

    Example:
        >>> first, second = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]]), torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
        >>> fit = RidgePursuit([torch.zeros(4, 1), second, first], 3 * first + second, (0.1,)).joint(2)
        >>> sorted(fit.weights)
        [1, 2]
    """

    def __init__(
        self,
        views: Sequence[Tensor],
        targets: Tensor,
        penalties: Sequence[float],
        *,
        loss: Callable[[Tensor], float] | None = None,
        leading: int = 64,
    ) -> None:
        self.offset = targets.mean(0)
        self._targets = targets - self.offset
        self._penalties = torch.as_tensor(penalties, dtype=targets.dtype, device=targets.device)
        self._loss, self._leading = loss, leading
        self._systems = [RidgeSystem(z) for z in views]
        self._there = torch.stack([z.any() for z in views])
        self._order: list[int] = []

    def mixture(self, sharpness: float) -> ViewFit:
        """Return the fits of each view and penalty by itself, weighed by their errors as :func:`view_shares` does.

        Args:
            sharpness: above 0: how far one may outweigh another.
        """
        whole = self._targets.square().sum().clamp(min=torch.finfo(self._targets.dtype).tiny)
        fits = (system.fit(self._targets, self._penalties)[1] for system in self._systems)
        errors = torch.stack([(left_out - self._targets).square().sum((1, 2)) / whole for left_out in fits])
        errors = torch.where(self._there[:, None] | ~self._there.any(), errors, torch.inf)
        shares = view_shares(errors, len(self._targets), sharpness)
        weights, mixed = {}, torch.zeros_like(self._targets)
        for place, share in enumerate(shares):
            if float(share.sum()) >= MIXED:
                found, left_out = self._systems[place].fit(self._targets, self._penalties)
                weights[place] = torch.tensordot(share, found, 1)
                mixed += torch.tensordot(share, left_out, 1)
        return ViewFit(weights, mixed)

    def joint_of_all(self) -> ViewFit:
        """Return the joint fit of all views, each along its leading directions."""
        blocks = [system.leading(self._leading) for system in self._systems]
        weights, left_out = self._best_fit(RidgeSystem(torch.cat(blocks, 1)))
        parts = weights.split([block.size(1) for block in blocks])
        back = {n: self._systems[n].directions(self._leading) @ part for n, part in enumerate(parts)}
        return ViewFit(back, left_out)

    def joint(self, views: int) -> ViewFit:
        """Return the joint fit of so many views, or of all where they are fewer."""
        views = min(views, len(self._systems))
        while len(self._order) < views:
            others = [place for place in range(len(self._systems)) if place not in self._order]
            leading = [self._systems[place].leading(self._leading) for place in self._order]
            losses = []
            for place in others:
                z = torch.cat([*leading, self._systems[place].leading(self._leading)], 1)
                losses.append(self._loss_of(self._best_fit(RidgeSystem(z))[1]))
            self._order.append(others[losses.index(min(losses))])
        order = self._order[:views]
        blocks = [self._systems[place].rows for place in order]
        weights, left_out = self._best_fit(RidgeSystem(torch.cat(blocks, 1)))
        parts = weights.split([block.size(1) for block in blocks])
        return ViewFit(dict(zip(order, parts, strict=True)), left_out)

    def _best_fit(self, system: RidgeSystem) -> tuple[Tensor, Tensor]:
        """Return weights and what is said of items left out, with the penalty of least square error."""
        weights, left_out = system.fit(self._targets, self._penalties)
        best = int((left_out - self._targets).square().sum((1, 2)).argmin())
        return weights[best], left_out[best]

    def _loss_of(self, left_out: Tensor) -> float:
        """Return the loss of what is said of items left out."""
        if self._loss is None:
            return float((left_out - self._targets).square().mean())
        return self._loss(left_out + self.offset)

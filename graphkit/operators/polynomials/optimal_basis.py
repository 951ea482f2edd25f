"""The basis that is orthonormal for the signal itself, channel by channel: Lanczos' recurrence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphkit._checks import at_least
from graphkit._torch_internals import forward_mode, inside_transform
from graphkit.operators.autograd import AbstractFunction

Step = tuple[Tensor, Tensor, Tensor, Tensor]

LOST = 0.65
"""Terms whose products are above the rounding unit to this power (7e-11 in float64, 3e-5 in float32) are mended."""


def optimal_terms(
    apply: Callable[[Tensor], Tensor], x: Tensor, order: int, *, tolerance: float = 1e-6
) -> tuple[list[Tensor], list[Step]]:
    r"""Return :math:`P_0(M)x, \dots, P_{order}(M)x`, orthonormal in every channel, and their recurrence.

    .. math::
        \beta_{k+1} h_{k+1} = M h_k - \alpha_k h_k - \beta_k h_{k-1}, \quad \alpha_k = \langle M h_k, h_k \rangle

    Rounding takes the terms' orthogonality away, the sooner the nearer the channel's Krylov space is to its end. By how
    much is estimated at each step from the recurrence's own numbers, and where it is more than :data:`LOST` allows the
    new term is put at right angles to all before it, which in exact arithmetic changes nothing.

    A channel's terms are zero from where its Krylov space ends (a zero signal, an eigenvector): nothing is divided by
    rounding errors, and no gradient is NaN.

    Args:
        apply: the product with a symmetric operator.
        x: signal, ``[..., nodes, features]``.
        order: of the last term, at least 0.
        tolerance: a remainder smaller than this, relative to the term it comes from, is none.

    Returns:
        The terms, and :math:`(\alpha_k, \beta_k, 1 / \beta_{k+1}, \beta_{k+1})` of each step, each
        ``[..., 1, features]``, after a first one of the signal's norm, :math:`(0, 0, 1 / |x|, |x|)`.

    Source: Guo & Wei (2023), OptBasisGNN, arXiv:2302.12432, whose code has the bare recurrence; Simon (1984), The
    Lanczos algorithm with partial reorthogonalization, for the estimate.

    Example:
        >>> terms, _ = optimal_terms(lambda v: v.flip(0), torch.tensor([[3.0], [4.0]]), 1)
        >>> (terms[0] * terms[1]).sum().abs().item() < 1e-6
        True
    """
    at_least("order", order, 0)
    nothing = torch.zeros_like(x.sum(-2, keepdim=True))  # one row, of an empty graph too
    norm, inverse = _norm(x, nothing)
    terms, steps = [x * inverse], [(nothing, nothing, inverse, norm)]
    before, beta = torch.zeros_like(x), nothing
    loss = _OrthogonalityLoss(nothing)
    for _ in range(order):
        # Lanczos' three-term recurrence.
        image = apply(terms[-1])
        alpha = (image * terms[-1]).sum(-2, keepdim=True)
        rest = image - alpha * terms[-1] - beta * before
        norm, inverse = _norm(rest, nothing + tolerance)
        # Partial reorthogonalization, where rounding has grown.
        if loss.exceeds(alpha, norm, inverse):
            rest = _Orthogonalize.apply(rest, *terms)
            norm, inverse = _norm(rest, nothing + tolerance)
            loss.reset()
        before = terms[-1]
        terms.append(rest * inverse)
        steps.append((alpha, beta, inverse, norm))
        beta = norm
    return terms, steps


class _OrthogonalityLoss:
    """Estimates of the products of the newest term with each one before it, ``[..., terms, features]``."""

    def __init__(self, nothing: Tensor) -> None:
        self.noise = 2 * torch.finfo(nothing.dtype).eps
        self.limit = torch.finfo(nothing.dtype).eps ** LOST
        self.alpha, self.beta = nothing[..., :0, :].detach(), nothing.detach()
        self.before, self.now = self.alpha, torch.ones_like(nothing)

    @torch.no_grad()
    def exceeds(self, alpha: Tensor, norm: Tensor, inverse: Tensor) -> bool:
        """Take in a step of the recurrence, and return whether its term is no longer at right angles to the others."""
        self.alpha = torch.cat((self.alpha, alpha), -2)
        above = self.beta[..., 1:, :] * self.now[..., 1:, :]
        below = self.beta[..., :-1, :] * torch.nn.functional.pad(self.now[..., :-2, :], (0, 0, 1, 0))
        found = above + (self.alpha[..., :-1, :] - alpha) * self.now[..., :-1, :] + below
        found = found - self.beta[..., -1:, :] * self.before
        found = (found + self.noise * torch.where(found < 0, -1, 1)) * inverse
        one = torch.ones_like(alpha)
        self.beta = torch.cat((self.beta, norm), -2)
        self.before, self.now = self.now, torch.cat((found, self.noise * one, one), -2)
        if inside_transform() or torch.compiler.is_compiling():  # no number can be looked at: always mended
            return True
        return bool((self.now[..., :-1, :].abs() > self.limit).any())

    def reset(self) -> None:
        """Take in that the newest term was put at right angles to the others."""
        self.now = torch.cat((torch.full_like(self.now[..., :-1, :], self.noise), self.now[..., -1:, :]), -2)


class _Orthogonalize(AbstractFunction):
    """What is left of a signal outside the terms, one after another: of each, nothing but itself is kept."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rest: Tensor, *terms: Tensor) -> Tensor:
        for term in terms:
            rest = torch.addcmul(rest, (term * rest).sum(-2, keepdim=True), term, value=-1)
        return rest

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        if forward_mode():
            ctx.save_for_forward(*inputs)

    @staticmethod
    def jvp(ctx: Any, drest: Tensor | None, *dterms: Tensor | None) -> Tensor:
        rest, *terms = ctx.saved_tensors
        out = torch.zeros_like(rest) if drest is None else drest
        for term, dterm in zip(terms, dterms, strict=True):
            if drest is not None:
                out = out - (term * drest).sum(-2, keepdim=True) * term
            if dterm is not None:
                along, across = ((v * rest).sum(-2, keepdim=True) for v in (term, dterm))
                out = out - along * dterm - across * term
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        # As one projection, which it is up to rounding: the terms are orthonormal.
        rest, *terms = ctx.saved_tensors
        to_rest, to_terms = grad, []
        for term in terms:
            along, across = ((term * v).sum(-2, keepdim=True) for v in (rest, grad))
            to_rest = to_rest - across * term
            to_terms.append(-(along * grad + across * rest))
        return to_rest, *to_terms


def _norm(x: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """Return norms of the channels and their inverses, both 0 where the norm is not above ``least``."""
    squared = x.square().sum(-2, keepdim=True)
    there = squared > least.square()
    norm = torch.where(there, torch.where(there, squared, 1).sqrt(), 0)
    return norm, torch.where(there, 1 / torch.where(there, norm, 1), 0)

"""The basis that is orthonormal for the signal itself, channel by channel: Lanczos' recurrence."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from graphkit._checks import at_least


def optimal_terms(
    apply: Callable[[Tensor], Tensor], x: Tensor, order: int, *, tolerance: float = 1e-6
) -> tuple[list[Tensor], list[tuple[Tensor, Tensor, Tensor, Tensor]]]:
    r"""Return :math:`P_0(M)x, \dots, P_{order}(M)x`, orthonormal in every channel, and their recurrence.

    .. math::
        \beta_{k+1} h_{k+1} = M h_k - \alpha_k h_k - \beta_k h_{k-1}, \quad \alpha_k = \langle M h_k, h_k \rangle

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

    Source: Guo & Wei (2023), OptBasisGNN, arXiv:2302.12432.

    Example:
        >>> terms, _ = optimal_terms(lambda v: v.flip(0), torch.tensor([[3.0], [4.0]]), 1)
        >>> (terms[0] * terms[1]).sum().abs().item() < 1e-6
        True
    """
    at_least("order", order, 0)
    nothing = torch.zeros_like(x[..., :1, :])
    norm, inverse = _norm(x, nothing)
    terms, steps = [x * inverse], [(nothing, nothing, inverse, norm)]
    before, beta = torch.zeros_like(x), nothing
    for _ in range(order):
        image = apply(terms[-1])
        alpha = (image * terms[-1]).sum(-2, keepdim=True)
        rest = image - alpha * terms[-1] - beta * before
        norm, inverse = _norm(rest, nothing + tolerance)
        before = terms[-1]
        terms.append(rest * inverse)
        steps.append((alpha, beta, inverse, norm))
        beta = norm
    return terms, steps


def _norm(x: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """Return norms of the channels and their inverses, both 0 where the norm is not above ``least``."""
    squared = x.square().sum(-2, keepdim=True)
    there = squared > least.square()
    norm = torch.where(there, torch.where(there, squared, 1).sqrt(), 0)
    return norm, torch.where(there, 1 / torch.where(there, norm, 1), 0)

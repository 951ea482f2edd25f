"""A filter with one coefficient for each term, or one for each term and channel, in two or three buffers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit._checks import one_row_per_column
from graphkit._kernels.memory import fresh
from graphkit._torch_internals import forward_mode
from graphkit.operators.functions import AbstractFunction, inside_transform
from graphkit.operators.polynomials.chebyshev import chebyshev_sum, chebyshev_terms
from graphkit.operators.products import multiply_onto
from graphkit.operators.sparse import SparseOperator


def chebyshev_filter(apply: SparseOperator | Callable[[Tensor], Tensor], factors: Tensor, x: Tensor) -> Tensor:
    r"""Return :math:`\sum_k c_k T_k(M) x`, as ``chebyshev_sum`` would of the signals :math:`c_k x`.

    Both passes go through memory as seldom as they can: Clenshaw's recurrence is written over its own older term, and
    the gradients :math:`\sum_k c_k T_k(M^T) g` and :math:`\langle T_k(M^T) g, x \rangle` are taken from one run of the
    recurrence of :math:`T_k`, likewise. Only ``x`` is kept for the gradient. Where a gradient is to be differentiated
    again, where values of the operator are learnt, and under transforms it is ``chebyshev_sum``.

    Args:
        apply: the square operator :math:`M`; of a function :math:`v \mapsto Mv` the sum is always taken.
        factors: :math:`c`, ``[terms]`` or ``[terms, features]``.
        x: ``[..., nodes, features]``.

    Raises:
        ValueError: if ``x`` has not one row for each node.

    Example:
        >>> half = SparseOperator.from_dense(torch.tensor([[0.5]]))
        >>> chebyshev_filter(half, torch.ones(3), torch.ones(1, 1)).item()  # 1 + 0.5 - 0.5
        1.0
    """
    factors = factors.to(x.dtype)
    if not isinstance(apply, SparseOperator) or not _fused(apply, factors, x):
        return chebyshev_sum(apply, _Scaled(factors, x))
    one_row_per_column(x, apply.pattern.shape[1])
    return _Filter.apply(x, factors, apply)


def _fused(operator: SparseOperator, factors: Tensor, x: Tensor) -> bool:
    """Return whether the passes in place know this case."""
    values = operator._kept.values
    if x.dim() != 2 or len(factors) < 3 or x.dtype not in (torch.float32, torch.float64):
        return False
    if values is not None and (values.requires_grad or values.dtype != x.dtype or values.dim() > 1):
        return False
    traced = inside_transform() or forward_mode()
    return not (traced or torch.is_autocast_enabled(x.device.type))


class _Scaled(Sequence[Tensor]):
    """The signals :math:`c_k x`, made when they are asked for, so that one exists at a time."""

    def __init__(self, factors: Tensor, x: Tensor) -> None:
        self.factors, self.x = factors.unbind(0), x

    def __len__(self) -> int:
        return len(self.factors)

    def __getitem__(self, place: Any) -> Any:
        return self.factors[place] * self.x


class _Filter(AbstractFunction):
    @staticmethod
    def forward(x: Tensor, factors: Tensor, operator: SparseOperator) -> Tensor:
        ahead, further = _room(x), _room(x)
        torch.mul(x, factors[-1], out=ahead)
        torch.mul(x, factors[-2], out=further)
        multiply_onto(further, operator, ahead, scale=2.0)
        ahead, further = further, ahead
        for place in range(len(factors) - 3, -1, -1):  # b_k = 2 M b_{k+1} - (b_{k+2} - c_k x), over b_{k+2}
            further.addcmul_(x, factors[place], value=-1.0)
            multiply_onto(further, operator, ahead, scale=2.0 if place else 1.0, kept=-1.0)
            ahead, further = further, ahead
        return ahead

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, factors, ctx.operator = inputs
        ctx.save_for_backward(x, factors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, factors = ctx.saved_tensors
        turned = ctx.operator.T
        if torch.is_grad_enabled():
            terms = chebyshev_terms(turned, grad, len(factors))
            total = sum(factor * term for factor, term in zip(factors, terms, strict=True))
            return total, torch.stack([_inner(term, x, factors) for term in terms]), None
        wanted, learnt = ctx.needs_input_grad[:2]
        total, room = _room(x) if wanted else None, _room(x) if learnt else None
        inner = torch.empty_like(factors)
        after, now = _room(x).zero_(), grad.contiguous()
        for place, factor in enumerate(factors):
            if total is not None:
                torch.mul(now, factor, out=total) if place == 0 else total.addcmul_(now, factor)
            if room is not None:
                inner[place] = _inner(now, x, factors, room)
            if place + 1 < len(factors):
                multiply_onto(after, turned, now, scale=2.0 if place else 1.0, kept=-1.0)
                # What autograd gave is not written over, the terms after it are.
                after, now = now if place else _room(x).copy_(now), after
        return total, inner if learnt else None, None


def _room(x: Tensor) -> Tensor:
    """Return memory for a signal like ``x``."""
    return fresh(tuple(x.shape), x.dtype) if x.device.type == "cpu" else torch.empty_like(x)


def _inner(term: Tensor, x: Tensor, factors: Tensor, room: Tensor | None = None) -> Tensor:
    """Return the gradient of a row of ``factors``; the product takes place in ``room`` where there is any."""
    product = term * x if room is None else torch.mul(term, x, out=room)
    return product.sum() if factors.dim() == 1 else product.sum(0)

"""Chebyshev polynomials of an operator, applied to signals: terms, sums, and filters in two or three buffers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit._checks import flag, function, integer_between, list_of, one_row_per_column, tensor
from graphkit._kernels.resources import empty_recycled
from graphkit._torch_internals import forward_mode, inside_transform
from graphkit.operators.autograd import AbstractFunction
from graphkit.operators.products import spmm_into
from graphkit.operators.sparse import SparseOperator

LONGEST = 1_000_000
"""Terms that are made at most: all are held at a time."""


def chebyshev_terms(apply: Callable[[Tensor], Tensor], x: Tensor, order: int) -> list[Tensor]:
    r"""Return :math:`T_0(M)x, \dots, T_{order-1}(M)x`, each shaped like ``x``.

    :math:`T_k = 2 M T_{k-1} - T_{k-2}`. The recurrence is stable only where the spectrum of :math:`M` lies in [-1, 1];
    rescale the Laplacian first.

    Args:
        apply: the product :math:`v \mapsto Mv`, or the operator itself, which adds as it multiplies.
        x: signal, ``[..., nodes, features]``.
        order: number of terms, at least 1.

    Raises:
        ValueError: if ``order`` is below 1.

    Source: Hammond, Vandergheynst & Gribonval (2011), arXiv:0912.3848, section 6.

    Example:
        >>> import torch
        >>> [t[0].item() for t in chebyshev_terms(lambda v: 0.5 * v, torch.ones(3, 1), order=3)]
        [1.0, 0.5, -0.5]
    """
    function("apply", apply)
    tensor("x", x)
    integer_between("order", order, 1, LONGEST)
    terms = [x]
    if order > 1:
        terms.append(apply(x))
    for _ in range(order - 2):
        terms.append(_multiply_add(apply, terms[-1], 2.0, terms[-2], -1.0))
    return terms


def chebyshev_sum(apply: Callable[[Tensor], Tensor], signals: Sequence[Tensor], *, reduced: bool = False) -> Tensor:
    r"""Return :math:`\sum_k T_k(M) y_k` by Clenshaw's recurrence, with ``len(signals) - 1`` products.

    It is the adjoint way round of ``chebyshev_terms``: where a layer has fewer output than input channels, the signals
    are mapped first and the products are taken on the narrow side.

    Args:
        apply: the product :math:`v \mapsto Mv`, or the operator itself, which adds as it multiplies.
        signals: :math:`y_0, y_1, \dots, y_K`, at least one, of one shape.
        reduced: :math:`y_{K-2}` has :math:`y_K` taken off already, which is the recurrence's first subtraction. Where
            the signals come from weights, it is cheaper to subtract those.

    Source: Clenshaw (1955), A note on the summation of Chebyshev series.

    Example:
        >>> import torch
        >>> chebyshev_sum(lambda v: 0.5 * v, [torch.ones(1)] * 3).item()  # 1 + 0.5 - 0.5
        1.0
    """
    function("apply", apply)
    flag("reduced", reduced)
    if isinstance(signals, list | tuple | str) or not isinstance(signals, Sequence):
        list_of("signals", signals, Tensor)
    if len(signals) == 1:
        return signals[0]
    ahead, further = signals[-1], None
    for place in range(len(signals) - 2, -1, -1):
        signal = signals[place]
        if further is not None and not (reduced and place == len(signals) - 3):
            signal = signal - further
        ahead, further = _multiply_add(apply, ahead, 2.0 if place else 1.0, signal, 1.0), ahead
    return ahead


def _multiply_add(apply: Callable[[Tensor], Tensor], x: Tensor, alpha: float, addend: Tensor, beta: float) -> Tensor:
    r"""Return :math:`\alpha M x + \beta p`; an operator does it in one pass over memory."""
    if isinstance(apply, SparseOperator) and x.dim() == 2:
        return apply.multiply_add(x, addend, alpha=alpha, beta=beta)
    return alpha * apply(x) + beta * addend


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
    if not isinstance(apply, SparseOperator) or not _has_fused_pass(apply, factors, x):
        each = factors.unbind(0)
        return chebyshev_sum(apply, LazySignals(len(each), lambda place: each[place] * x))
    one_row_per_column(x, apply.pattern.shape[1])
    return _Filter.apply(x, factors, apply)


def _has_fused_pass(operator: SparseOperator, factors: Tensor, x: Tensor) -> bool:
    """Return whether the passes in place know this case."""
    values = operator._store.values
    if x.dim() != 2 or len(factors) < 3 or x.dtype not in (torch.float32, torch.float64):
        return False
    if values is not None and (values.requires_grad or values.dtype != x.dtype or values.dim() > 1):
        return False
    traced = inside_transform() or forward_mode()
    return not (traced or torch.is_autocast_enabled(x.device.type))


class LazySignals(Sequence[Tensor]):
    """Signals that are made when Clenshaw's recurrence asks for them and kept by nobody, so that one exists at a time.

    Args:
        length: how many there are.
        make: from a place to the signal there.
    """

    def __init__(self, length: int, make: Callable[[int], Tensor]) -> None:
        self.length, self.make = length, make

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, place: Any) -> Any:
        if not -self.length <= place < self.length:
            raise IndexError(place)
        return self.make(place)


class _Filter(AbstractFunction):
    @staticmethod
    def forward(x: Tensor, factors: Tensor, operator: SparseOperator) -> Tensor:
        ahead, further = _empty_like(x), _empty_like(x)
        torch.mul(x, factors[-1], out=ahead)
        torch.mul(x, factors[-2], out=further)
        spmm_into(further, operator, ahead, alpha=2.0)
        ahead, further = further, ahead
        for place in range(len(factors) - 3, -1, -1):  # b_k = 2 M b_{k+1} - (b_{k+2} - c_k x), over b_{k+2}
            further.addcmul_(x, factors[place], value=-1.0)
            spmm_into(further, operator, ahead, alpha=2.0 if place else 1.0, beta=-1.0)
            ahead, further = further, ahead
        return ahead

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, factors, ctx.operator = inputs
        ctx.save_for_backward(x, factors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, factors = ctx.saved_tensors
        transpose = ctx.operator.T
        if torch.is_grad_enabled():
            terms = chebyshev_terms(transpose, grad, len(factors))
            total = sum(factor * term for factor, term in zip(factors, terms, strict=True))
            return total, torch.stack([_inner_product(term, x, factors) for term in terms]), None
        wanted, learnt = ctx.needs_input_grad[:2]
        total, room = _empty_like(x) if wanted else None, _empty_like(x) if learnt else None
        inner = torch.empty_like(factors)
        after, now = _empty_like(x).zero_(), grad.contiguous()
        for place, factor in enumerate(factors):
            if total is not None:
                torch.mul(now, factor, out=total) if place == 0 else total.addcmul_(now, factor)
            if room is not None:
                inner[place] = _inner_product(now, x, factors, room)
            if place + 1 < len(factors):
                spmm_into(after, transpose, now, alpha=2.0 if place else 1.0, beta=-1.0)
                # What autograd gave is not written over, the terms after it are.
                after, now = now if place else _empty_like(x).copy_(now), after
        return total, inner if learnt else None, None


def _empty_like(x: Tensor) -> Tensor:
    """Return memory for a signal like ``x``."""
    return empty_recycled(tuple(x.shape), x.dtype) if x.device.type == "cpu" else torch.empty_like(x)


def _inner_product(term: Tensor, x: Tensor, factors: Tensor, room: Tensor | None = None) -> Tensor:
    """Return the gradient of a row of ``factors``; the product takes place in ``room`` where there is any."""
    product = term * x if room is None else torch.mul(term, x, out=room)
    return product.sum() if factors.dim() == 1 else product.sum(0)

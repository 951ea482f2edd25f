"""Chebyshev polynomials of an operator, applied to signals; the operator is given as a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from graphkit._checks import flag, function, integer_between, list_of, tensor
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
        terms.append(_plus_scaled(apply, terms[-1], 2.0, terms[-2], -1.0))
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
        ahead, further = _plus_scaled(apply, ahead, 2.0 if place else 1.0, signal, 1.0), ahead
    return ahead


def _plus_scaled(apply: Callable[[Tensor], Tensor], x: Tensor, scale: float, plus: Tensor, plus_scale: float) -> Tensor:
    """Return :math:`s M x + t p`; an operator does it in one pass over memory."""
    if isinstance(apply, SparseOperator) and x.dim() == 2:
        return apply.multiply_add(x, plus, scale=scale, plus_scale=plus_scale)
    return scale * apply(x) + plus_scale * plus

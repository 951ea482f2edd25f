"""Chebyshev polynomials of an operator, applied to signals; the operator is given as a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from graphkit.operators.sparse import SparseOperator


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
    if order < 1:
        raise ValueError(f"`order` must be at least 1, got {order}.")
    terms = [x]
    if order > 1:
        terms.append(apply(x))
    for _ in range(order - 2):
        terms.append(_twice_plus(apply, terms[-1], terms[-2], -1.0))
    return terms


def chebyshev_sum(apply: Callable[[Tensor], Tensor], signals: Sequence[Tensor]) -> Tensor:
    r"""Return :math:`\sum_k T_k(M) y_k` by Clenshaw's recurrence, with ``len(signals) - 1`` products.

    It is the adjoint way round of ``chebyshev_terms``: where a layer has fewer output than input channels, the signals
    are mapped first and the products are taken on the narrow side.

    Args:
        apply: the product :math:`v \mapsto Mv`, or the operator itself, which adds as it multiplies.
        signals: :math:`y_0, y_1, \dots`, at least one, of one shape.

    Source: Clenshaw (1955), A note on the summation of Chebyshev series.

    Example:
        >>> import torch
        >>> chebyshev_sum(lambda v: 0.5 * v, [torch.ones(1)] * 3).item()  # 1 + 0.5 - 0.5
        1.0
    """
    ahead, further = signals[-1], None
    if len(signals) == 1:
        return ahead
    for signal in reversed(signals[1:-1]):
        here = _twice_plus(apply, ahead, signal if further is None else signal - further, 1.0)
        ahead, further = here, ahead
    last = signals[0] if further is None else signals[0] - further
    if isinstance(apply, SparseOperator) and last.dim() == 2:
        return apply.multiply_add(ahead, last)
    return last + apply(ahead)


def _twice_plus(apply: Callable[[Tensor], Tensor], x: Tensor, plus: Tensor, sign: float) -> Tensor:
    """Return :math:`2 M x + s p`; an operator does it in one pass over memory."""
    if isinstance(apply, SparseOperator) and x.dim() == 2:
        return apply.multiply_add(x, plus, scale=2.0, plus_scale=sign)
    return 2 * apply(x) + sign * plus

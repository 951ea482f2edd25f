"""Kernels as Chebyshev polynomials: coefficients, the order an accuracy asks for, and products without a matrix."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from functools import partial

import scipy.fft
import torch
from torch import Tensor

from graphkit._checks import integer_between, positive
from graphkit.operators.autograd import outside_transforms
from graphkit.operators.polynomials.chebyshev import LazySignals, chebyshev_sum, chebyshev_terms
from graphkit.operators.wavelets.filter_bank import Kernel

LONGEST = 1000
"""Highest order that is looked for: a kernel that needs more is no business of polynomials."""

COARSE = 1e-3
"""Relative error of the polynomials of kernels that are not smooth, where none is asked for."""

TERMS = 8000
"""Terms of a series that are looked at, so that those beyond ``LONGEST`` are seen to be small before it is cut."""


def kernel_coefficients(kernel: Kernel, order: int, *, largest: float = 2.0) -> Tensor:
    r"""Return :math:`c` with :math:`g_b(\lambda) \approx \sum_{k \le order} c_{bk} T_k(2\lambda/\lambda_{max} - 1)`.

    Args:
        kernel: from eigenvalues ``[points]`` to values ``[bands, points]``.
        order: degree of the polynomial, at least 0.
        largest: end of the interval.

    Returns:
        ``[bands, order + 1]``, float64: the truncated series, not the interpolant.

    Source: Hammond, Vandergheynst & Gribonval (2011), arXiv:0912.3848, section 6.

    Example:
        >>> kernel_coefficients(lambda x: x.unsqueeze(0), 2).round(decimals=6).abs().tolist()  # 1 + T_1
        [[1.0, 1.0, 0.0]]
    """
    return _series(kernel, largest)[:, : integer_between("order", order, 0, TERMS - 1) + 1].contiguous()


def kernel_order(kernel: Kernel, *, largest: float = 2.0, tolerance: float = 1e-6) -> int:
    r"""Return the smallest order at which the kernels' truncated series are within ``tolerance`` of them.

    The coefficients left out are added up, which bounds the error everywhere, and measured by the largest value of any
    kernel.

    Args:
        kernel: from eigenvalues ``[points]`` to values ``[bands, points]``.
        largest: end of the interval.
        tolerance: relative error.

    Raises:
        ValueError: where order 1,000 is not enough.

    Example:
        >>> kernel_order(lambda x: (-x).exp().unsqueeze(0), tolerance=1e-6)
        7
    """
    positive("tolerance", tolerance)
    series, scale = _series(kernel, largest).abs(), float(_scale(kernel, largest))
    series[series < 4 * torch.finfo(torch.float64).eps * scale] = 0  # rounding, which adds up over thousands of terms
    left_out = series.flip(1).cumsum(1).flip(1).amax(0)  # by dropping term k and all after it
    enough = (left_out <= tolerance * scale).nonzero()
    order = int(enough[0]) - 1 if len(enough) else TERMS
    if order > LONGEST:
        raise ValueError(
            f"`tolerance` {tolerance:g} asks for a polynomial of order above {LONGEST:,}: the kernel is not smooth "
            "enough. Ask for a larger `tolerance`, or see by `kernel_error` how exact an order is."
        )
    return max(order, 0)


def default_order(kernel: Kernel, tolerance: float, *, largest: float = 2.0) -> int:
    """Return the order for ``tolerance``, or for 1e-3 where a kernel is not smooth enough, as Meyer's and itersine.

    Example:
        >>> from graphkit.operators.wavelets import heat, itersine
        >>> default_order(heat(1.0), 1e-6), default_order(itersine(6), 1e-6)
        (7, 103)
    """
    try:
        return kernel_order(kernel, largest=largest, tolerance=tolerance)
    except ValueError:
        return kernel_order(kernel, largest=largest, tolerance=max(tolerance, COARSE))


def inverting_order(kernel: Kernel, dual: Kernel, *, largest: float = 2.0, tolerance: float = 1e-7) -> int:
    r"""Return the smallest order at which the polynomials of kernels and dual have
    :math:`|\sum_b g_b(\lambda) \tilde g_b(\lambda) - 1|` within ``tolerance``.

    The error of one is amplified by the other: polynomials that are close to a kernel, relative to its largest value,
    may be far from inverting it where it is small. Never below the usual order of the kernels themselves.

    Args:
        kernel: from eigenvalues ``[points]`` to values ``[bands, points]``.
        dual: likewise, the canonical dual.
        largest: end of the interval.
        tolerance: largest error of their product; 1e-3 in its place for kernels that are not smooth.

    Raises:
        ValueError: where order 1,000 is not enough for 1e-3.

    Example:
        >>> from graphkit.operators.wavelets import heat
        >>> default_order(heat(5.0), 1e-7), inverting_order(heat(5.0), heat(-5.0))
        (14, 19)
    """
    grid = torch.linspace(0, largest, 1001, dtype=torch.float64)
    both = [_series(each, largest) for each in (kernel, dual)]

    def inverts(order: int, within: float) -> bool:
        ahead, back = (evaluate_polynomials(series[:, : order + 1], grid, largest=largest) for series in both)
        return float(((ahead * back).sum(0) - 1).abs().max()) <= within

    least, orders = default_order(kernel, tolerance, largest=largest), range(LONGEST + 1)
    for within in (tolerance, max(tolerance, COARSE)):
        order = bisect.bisect_left(orders, True, lo=least, key=partial(inverts, within=within))
        if order <= LONGEST:
            return order
    raise ValueError(f"`kernel` is not inverted within {COARSE:g} by polynomials of order {LONGEST:,}; it is too wide.")


def kernel_error(kernel: Kernel, order: int, *, largest: float = 2.0) -> float:
    """Return the largest error of the polynomials of an order, relative to the largest value of any kernel.

    Example:
        >>> kernel_error(lambda x: x.unsqueeze(0), 0)  # 1 in place of x on [0, 2]
        0.5
    """
    grid = torch.linspace(0, largest, 4001, dtype=torch.float64)
    found = evaluate_polynomials(kernel_coefficients(kernel, order, largest=largest), grid, largest=largest)
    return round(float((found - kernel(grid)).abs().max() / _scale(kernel, largest)), 16)


def evaluate_polynomials(coefficients: Tensor, eigenvalues: Tensor, *, largest: float) -> Tensor:
    """Return the polynomials' values, ``[bands, ...]``, at eigenvalues ``[...]``; differentiable in both."""
    at = 2 / largest * eigenvalues - 1
    signals = [row.view(-1, *[1] * at.dim()) * torch.ones_like(at) for row in coefficients.T.to(at.dtype)]
    return chebyshev_sum(lambda v: at * v, signals)


def apply_polynomials(apply: Callable[[Tensor], Tensor], x: Tensor, coefficients: Tensor) -> Tensor:
    """Return every band's polynomial applied to ``x``, ``[bands, ..., nodes, features]``, by one recurrence for all."""
    terms = chebyshev_terms(apply, x, coefficients.shape[1])
    rows = coefficients.tolist()
    return torch.stack([sum_of(row, terms) for row in rows])


def sum_of(row: Sequence[float], terms: Sequence[Tensor]) -> Tensor:
    """Return the weighted sum of the terms."""
    out = row[0] * terms[0]
    for factor, term in zip(row[1:], terms[1:], strict=True):
        out = torch.add(out, term, alpha=factor)
    return out


def sum_polynomials(apply: Callable[[Tensor], Tensor], bands: Tensor, coefficients: Tensor) -> Tensor:
    r"""Return the sum over bands of each band's polynomial applied to its own signal, ``[..., nodes, features]``.

    Clenshaw's recurrence is handed the signals :math:`y_k = \sum_b c_{bk} z_b` of ``bands`` :math:`z`, one at a time.
    """
    rows, flat, shape = coefficients.T.to(bands), bands.flatten(1), bands.shape[1:]
    return chebyshev_sum(apply, LazySignals(len(rows), lambda place: (rows[place] @ flat).view(shape)))


def _series(kernel: Kernel, largest: float) -> Tensor:
    """Return the first ``TERMS`` coefficients, ``[bands, TERMS]``, from as many Chebyshev points."""
    with outside_transforms():
        angles = math.pi * (torch.arange(TERMS, dtype=torch.float64) + 0.5) / TERMS
        values = kernel(positive("largest", largest) / 2 * (angles.cos() + 1))
        series = torch.from_numpy(scipy.fft.dct(values.double().numpy(), axis=1) / TERMS)
        series[:, 0] /= 2
        return series


def _scale(kernel: Kernel, largest: float) -> Tensor:
    return kernel(torch.linspace(0, largest, 4001, dtype=torch.float64)).abs().max()

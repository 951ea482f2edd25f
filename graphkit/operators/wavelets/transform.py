"""The wavelet transform: analysis into bands, and the synthesis that undoes it."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from graphkit._checks import (
    eigenvalue_in_range,
    instance,
    integer_between,
    member,
    one_row_per_column,
    positive,
    symmetric_operator,
    tensor,
)
from graphkit.operators.autograd import is_cacheable
from graphkit.operators.graph_cache import cached
from graphkit.operators.laplacian import eigenvalue_bound, largest_eigenvalue
from graphkit.operators.sparse import SparseOperator
from graphkit.operators.spectrum import FourierBasis
from graphkit.operators.wavelets.filter_bank import FilterBank, one_band
from graphkit.operators.wavelets.kernel_polynomials import (
    TERMS,
    apply_polynomials,
    default_order,
    kernel_coefficients,
    kernel_order,
    sum_polynomials,
)
from graphkit.operators.wavelets.lanczos import krylov
from graphkit.operators.wavelets.shift import is_symmetric, shift_operator

METHODS = ("chebyshev", "krylov")
TOLERANCE = 1e-6


def wavelet_analysis(
    operator: SparseOperator | FourierBasis,
    x: Tensor,
    bank: FilterBank,
    *,
    method: str = "chebyshev",
    order: int | None = None,
    tolerance: float | None = None,
) -> Tensor:
    r"""Return the coefficients :math:`\psi_b x = g_b(L) x` of every band, ``[bands, nodes, features]``.

    With a Fourier basis they are exact, :math:`U g_b(\Lambda) U^T x` (a truncated basis leaves out what it does not
    hold). With the Laplacian itself they come from polynomials of it, or from Lanczos iteration, and no ``nodes x
    nodes`` array is made.

    Args:
        operator: a symmetric Laplacian ``[nodes, nodes]``, or the Fourier basis of a Laplacian.
        x: ``[nodes]`` or ``[nodes, features]``. Gradients flow to it.
        bank: the kernels.
        method: ``"chebyshev"`` or ``"krylov"``.
        order: degree of the polynomials; the smallest that meets ``tolerance`` when left out.
        tolerance: relative error where ``order`` is left out, or at which Lanczos iteration ends. Left out it is 1e-6,
            or 1e-3 for polynomials of kernels that are not smooth (Meyer's, itersine); there ``"krylov"`` comes nearer.

    Raises:
        ValueError: where the operator is not symmetric, or has eigenvalues beyond the bank's ``largest``, and for a
            tolerance that order 1,000 does not meet.
        TypeError: where ``operator`` is neither an operator nor a basis.

    Source: Hammond, Vandergheynst & Gribonval (2011), arXiv:0912.3848.

    Example:
        >>> from graphkit.operators import laplacian
        >>> from graphkit.operators.wavelets import heat
        >>> ring = laplacian(torch.tensor([[0, 1, 2, 1, 2, 0], [1, 2, 0, 0, 1, 2]]), normalization="sym")
        >>> wavelet_analysis(ring, torch.ones(3, 1), heat(1.0)).flatten().round(decimals=4)  # constants stay
        tensor([1., 1., 1.])
    """
    instance("bank", bank, FilterBank, "a FilterBank")
    _check_settings(method, order, tolerance)
    if tensor("x", x).dim() == 1:
        one = wavelet_analysis(operator, x.unsqueeze(-1), bank, method=method, order=order, tolerance=tolerance)
        return one.squeeze(-1)
    if isinstance(operator, FourierBasis):
        spectrum, factors = operator.gft(x), _factors(operator, bank, x.dtype)
        return operator.igft(factors.unsqueeze(-1) * spectrum)
    coefficients = _polynomial_coefficients(operator, x, bank, method, order, tolerance)
    if coefficients is None:
        return krylov(operator, x, bank, tolerance=tolerance or TOLERANCE).values
    return apply_polynomials(shift_operator(operator, bank.largest), x, coefficients)


def wavelet_synthesis(
    operator: SparseOperator | FourierBasis,
    coefficients: Tensor,
    bank: FilterBank,
    *,
    method: str = "chebyshev",
    order: int | None = None,
    tolerance: float | None = None,
) -> Tensor:
    r"""Return the signal with these coefficients, :math:`\sum_b \tilde g_b(L) c_b`, ``[nodes, features]``.

    The canonical dual frame undoes the analysis: ``wavelet_synthesis(L, wavelet_analysis(L, x, bank), bank)`` is ``x``.
    For one heat kernel the dual is :math:`\psi_{-s}`, the true inverse; a tight frame is its own dual. The
    reconstruction amplifies errors by up to the root of the ratio of the frame bounds, :math:`e^{s\lambda_{max}}` for
    one heat kernel.

    Args:
        operator: as for :func:`wavelet_analysis`.
        coefficients: ``[bands, nodes]`` or ``[bands, nodes, features]``. Gradients flow to them.
        bank: the kernels of the analysis.
        method: as for :func:`wavelet_analysis`.
        order: as for :func:`wavelet_analysis`.
        tolerance: as for :func:`wavelet_analysis`.

    Raises:
        ValueError: where the bank is no frame, or so nearly none that the precision of the coefficients does not reach.

    Warns:
        UserWarning: where fewer than three digits are left.

    Example:
        >>> from graphkit.operators import laplacian
        >>> from graphkit.operators.wavelets import heat
        >>> path = laplacian(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), normalization="sym")
        >>> x = torch.tensor([[1.0], [0.0], [5.0]])
        >>> wavelet_synthesis(path, wavelet_analysis(path, x, heat(1.0)), heat(1.0)).flatten().round(decimals=3)
        tensor([1., 0., 5.])
    """
    instance("bank", bank, FilterBank, "a FilterBank")
    _check_settings(method, order, tolerance)
    axes = tensor("coefficients", coefficients).dim()
    if axes not in (2, 3) or len(coefficients) != bank.bands or not coefficients.is_floating_point():
        raise ValueError(
            f"`coefficients` must have shape [{bank.bands} bands, nodes] or with features, of floating-point numbers, "
            f"got {coefficients.dtype} {list(coefficients.shape)}."
        )
    if coefficients.dim() == 2:
        wide = coefficients.unsqueeze(-1)
        one = wavelet_synthesis(operator, wide, bank, method=method, order=order, tolerance=tolerance)
        return one.squeeze(-1)
    check_condition(bank, coefficients.dtype)
    dual = bank.dual()
    if isinstance(operator, FourierBasis):
        factors = _factors(operator, dual, coefficients.dtype)
        return operator.igft((factors.unsqueeze(-1) * operator.gft(coefficients)).sum(0))
    polynomials = _polynomial_coefficients(operator, coefficients[0], dual, method, order, tolerance)
    if polynomials is None:
        parts = (
            krylov(operator, part, one_band(dual, b), tolerance=tolerance or TOLERANCE).values[0]
            for b, part in enumerate(coefficients)
        )
        return torch.stack(list(parts)).sum(0)
    return sum_polynomials(shift_operator(operator, bank.largest), coefficients, polynomials)


def _check_settings(method: str, order: int | None, tolerance: float | None) -> None:
    """Refuse a way, a degree or an error that there is not."""
    member("method", method, METHODS)
    if order is not None:
        integer_between("order", order, 0, TERMS - 1)
    if tolerance is not None:
        positive("tolerance", tolerance)


def check_condition(bank: FilterBank, dtype: torch.dtype) -> float:
    """Return by how much inverting a bank amplifies errors, and refuse or warn where a type has too few digits.

    Raises:
        ValueError: where the bank is no frame, or no digit would be left.
    """
    lower, upper = bank.frame_bounds()
    condition = math.inf if lower <= 0 else math.sqrt(upper / lower)
    lost = condition * torch.finfo(dtype).eps
    if lost >= 1:
        raise ValueError(
            f"`bank` {bank.name!r} cannot be inverted in {str(dtype).removeprefix('torch.')}: its condition number is "
            f"{condition:.1e}. Take a smaller scale or torch.float64."
        )
    if lost > 1e-3:
        warnings.warn(
            f"inverting the bank {bank.name!r} amplifies errors {condition:.1e} times; "
            f"in {str(dtype).removeprefix('torch.')} a relative error of {lost:.0e} is left.",
            stacklevel=3,
        )
    return condition


def _factors(basis: FourierBasis, bank: FilterBank, dtype: torch.dtype) -> Tensor:
    eigenvalue_in_range(basis.extent[1], bank.largest)
    return bank(basis.eigenvalues.double()).to(dtype)


def _polynomial_coefficients(
    operator: SparseOperator, x: Tensor, bank: FilterBank, method: str, order: int | None, tolerance: float | None
) -> Tensor | None:
    """Check the arguments; return the polynomials' coefficients, or ``None`` for Lanczos iteration."""
    if not isinstance(operator, SparseOperator):
        raise TypeError(
            "`operator` must be a SparseOperator, as `laplacian(edge_index)` returns it, or a FourierBasis, got "
            f"{type(operator).__name__}."
        )
    symmetric_operator("operator", is_symmetric(operator))
    one_row_per_column(x, operator.shape[1])
    if method == "krylov":
        return None
    values = operator._store.dense_values().detach()
    if is_cacheable(values):  # under a transform its numbers cannot be read
        plain = operator if operator.constant else operator.with_values(values)
        if float(eigenvalue_bound(plain).max()) > bank.largest:
            eigenvalue_in_range(cached(lambda: _largest(plain), "largest eigenvalue", plain), bank.largest)
    if order is None and tolerance is not None:
        order = kernel_order(bank, largest=bank.largest, tolerance=tolerance)
    elif order is None:
        order = default_order(bank, TOLERANCE, largest=bank.largest)
    return kernel_coefficients(bank, order, largest=bank.largest)


def _largest(operator: SparseOperator) -> float:
    return float(largest_eigenvalue(operator, tolerance=1e-4).max())

"""Kernels against their formulas, frame bounds against dense frame operators; polynomials in their place."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import chebyshev
from scipy.special import ive

from graphkit.operators import FilterBank, heat, itersine, laplacian, mexican_hat, meyer
from graphkit.operators.wavelets import kernel_coefficients, kernel_error, kernel_order
from graphkit.operators.wavelets.kernel_polynomials import evaluate_polynomials
from tests.graphs import BY_NAME

GRID = torch.linspace(0, 2, 301, dtype=torch.float64)
BANKS = [heat(1.0), heat([0.5, 2.0]), mexican_hat(5), meyer(4), itersine(5)]


def close(found, expected, tolerance=1e-12):
    found, expected = (torch.as_tensor(part, dtype=torch.float64) for part in (found, expected))
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def named(bank):
    return f"{bank.name}, {bank.bands}"


def test_heat_kernels_are_exponentials():
    close(heat([0.5, 3.0])(GRID), np.exp(-np.outer([0.5, 3.0], GRID)))


@pytest.mark.parametrize("largest", [2.0, 7.0])
def test_mexican_hats_have_pygsps_scales_and_low_pass(largest):
    x, lowest = np.linspace(0, largest, 50), largest / 20
    scales = np.exp(np.linspace(np.log(2 / lowest), np.log(1 / largest), 4))
    expected = [1.2 * np.exp(-1) * np.exp(-((x / 0.4 / lowest) ** 4)), *(s * x * np.exp(-s * x) for s in scales)]
    close(mexican_hat(5, largest=largest)(torch.from_numpy(x)), np.stack(expected))


def meyer_by_cases(x, scaling):
    """Meyer's functions piece by piece, as Leonardi and Van De Ville and PyGSP write them."""

    def step(t):
        return math.pi / 2 * t**4 * (35 - 84 * t + 70 * t**2 - 20 * t**3)

    if x < 2 / 3:
        return 1.0 if scaling else 0.0
    if x < 4 / 3:
        return math.cos(step(1.5 * x - 1)) if scaling else math.sin(step(1.5 * x - 1))
    return math.cos(step(0.75 * x - 1)) if x < 8 / 3 and not scaling else 0.0


def test_meyer_kernels_are_their_pieces():
    scales = 4 / (3 * 2.0) * 2.0 ** np.arange(2, -1, -1)
    rows = [[meyer_by_cases(scales[0] * x, True) for x in GRID.tolist()]]
    rows += [[meyer_by_cases(s * x, False) for x in GRID.tolist()] for s in scales]
    close(meyer(4)(GRID), rows)


@pytest.mark.parametrize("bands", [2, 3, 6])
def test_itersine_kernels_are_shifts_of_one_bump(bands):
    width = 2 * 2.0 / (bands - 1)
    at = GRID.numpy() / width - np.arange(bands)[:, None] / 2
    expected = np.sin(0.5 * np.pi * np.cos(np.pi * at) ** 2) * (np.abs(at) <= 0.5)
    close(itersine(bands)(GRID), expected)


@pytest.mark.parametrize("make", [meyer, itersine], ids=["meyer", "itersine"])
@given(bands=st.integers(2, 9), largest=st.floats(0.5, 20))
def test_the_squares_of_a_tight_frame_add_up_to_one(make, bands, largest):
    bank = make(bands, largest=largest)
    close(bank.frame_sum(largest / 2 * GRID), torch.ones(301, dtype=torch.float64))
    close(bank.frame_bounds(), (1.0, 1.0))


@pytest.mark.parametrize("bank", BANKS, ids=named)
def test_frame_bounds_are_the_extreme_eigenvalues_of_the_frame_operator(bank):
    """Those of sum_b psi_b psi_b as a dense matrix; the bounds without eigenvalues hold them in between."""
    matrix = laplacian(BY_NAME["grid"].edge_index, normalization="sym", dtype=torch.float64).to_dense()
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    psi = vectors @ torch.diag_embed(bank(eigenvalues)) @ vectors.T
    found = torch.linalg.eigvalsh((psi @ psi).sum(0))
    close(bank.frame_bounds(eigenvalues), (float(found[0]), float(found[-1])))
    lower, upper = bank.frame_bounds()
    assert lower - 1e-12 <= found[0]
    assert found[-1] <= upper + 1e-12


@pytest.mark.parametrize("bank", BANKS, ids=named)
def test_a_bank_times_its_dual_adds_up_to_one(bank):
    close((bank(GRID) * bank.dual()(GRID)).sum(0), torch.ones(301, dtype=torch.float64))
    assert bank.dual().dual() == bank


def test_the_dual_of_one_heat_kernel_is_its_true_inverse():
    close(heat(1.3).dual()(GRID), heat(-1.3)(GRID))


def test_a_bank_is_data():
    assert heat(1.0) == heat([1.0])
    assert len({heat(1.0), heat(1.0), meyer(3), FilterBank("heat", (1.0,))}) == 2
    assert [bank.bands for bank in BANKS] == [1, 2, 5, 4, 5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: heat([]), "`scale` must be one finite number or several"),
        (lambda: heat(math.nan), "`scale` must be finite, got nan"),
        (lambda: heat(1.0, largest=0), "`largest` must be a finite number above 0, got 0"),
        (lambda: mexican_hat(1), "`bands` must be an integer of at least 2, got 1"),
        (lambda: mexican_hat(3, lowest=-1.0), "`lowest` must be a finite number above 0"),
        (lambda: meyer(1), "`bands` must be an integer of at least 2"),
        (lambda: itersine(4, largest=math.inf), "`largest` must be a finite number above 0, got inf"),
    ],
)
def test_wrong_banks_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---- polynomials


@given(scale=st.floats(0, 20), largest=st.floats(0.5, 10))
def test_coefficients_of_heat_kernels_are_bessel_functions(scale, largest):
    """exp(-a(1 + t)) = e^-a (I_0(a) + 2 sum_k (-1)^k I_k(a) T_k(t)) with a = s largest / 2."""
    k = np.arange(13)
    expected = np.where(k == 0, 1, 2) * (-1.0) ** k * ive(k, scale * largest / 2)
    close(kernel_coefficients(heat(scale, largest=largest), 12, largest=largest)[0], expected)


@pytest.mark.parametrize("bank", BANKS, ids=named)
def test_the_order_meets_the_tolerance_and_the_error_is_measured(bank):
    tolerance = 1e-3
    order = kernel_order(bank, tolerance=tolerance)
    coefficients = kernel_coefficients(bank, order)
    assert coefficients.shape == (bank.bands, order + 1)
    found = torch.from_numpy(chebyshev.chebval(GRID.numpy() - 1, coefficients.numpy().T))
    close(evaluate_polynomials(coefficients, GRID, largest=2.0), found)
    worst = float((found - bank(GRID)).abs().max() / bank(GRID).abs().max())
    assert worst <= tolerance
    assert kernel_error(bank, order) == pytest.approx(worst, rel=0.2)
    assert kernel_error(bank, order) < kernel_error(bank, order // 2)


def test_a_kernel_with_a_jump_needs_an_order_or_another_method():
    with pytest.raises(ValueError, match=r"`tolerance` 0.001 asks for a polynomial of order above 1,000"):
        kernel_order(lambda x: (x > 1).double().unsqueeze(0), tolerance=1e-3)

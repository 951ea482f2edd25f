r"""Cayley filters :math:`c_0 + 2 \mathrm{Re} \sum_j c_j C(h\lambda)^j` with :math:`C(t) = (t - i) / (t + i)`."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import at_least
from graphkit.operators.polynomials.polynomial_bases import chebyshev_interpolate, chebyshev_nodes
from graphkit.operators.sparse import SparseOperator


def cayley_values(eigenvalues: Tensor, order: int, zoom: Tensor | float) -> Tensor:
    r"""Return 1 and :math:`2\,\mathrm{Re}\,C(h\lambda)^j, -2\,\mathrm{Im}\,C(h\lambda)^j` for j = 1 to ``order``.

    :math:`C(t) = e^{-2i\,\mathrm{arccot}\,t}` lies on the circle, so that the powers are sines and cosines.

    Args:
        eigenvalues: of the Laplacian, ``[points]``.
        order: of the last power, at least 0.
        zoom: :math:`h`, above 0: how much of the circle the spectrum covers.

    Returns:
        ``[points, 2 order + 1]``.

    Source: Levie, Monti, Bresson & Bronstein (2017), arXiv:1705.07664.

    Example:
        >>> cayley_values(torch.tensor([0.0, 1.0]), 1, 1.0).round(decimals=6).abs().tolist()
        [[1.0, 2.0, 0.0], [1.0, 0.0, 2.0]]
    """
    powers = torch.arange(1, at_least("order", order, 0) + 1, dtype=eigenvalues.dtype, device=eigenvalues.device)
    angle = torch.atan2(torch.ones_like(eigenvalues), zoom * eigenvalues).unsqueeze(-1)
    angles = -2 * powers * angle
    pairs = torch.stack((2 * torch.cos(angles), -2 * torch.sin(angles)), -1).flatten(-2)
    return torch.cat((torch.ones_like(angle), pairs), -1)


def cayley_series(weights: Tensor, zoom: Tensor | float, *, degree: int, largest: float = 2.0) -> Tensor:
    r"""Return Chebyshev coefficients of a Cayley filter on :math:`[0, \lambda_{max}]`, ``[degree + 1, ...]``.

    A filter whose poles :math:`\pm i/h` lie off the spectrum is a polynomial up to an error that falls geometrically:
    no system is solved. Differentiable in the weights and in ``zoom``.

    Args:
        weights: of 1 and of the pairs of ``cayley_values``, ``[2 order + 1, ...]``.
        zoom: :math:`h`.
        degree: of the polynomial.
        largest: :math:`\lambda_{max}`.

    Source: Trefethen (2013), Approximation Theory and Approximation Practice, for the error.

    Example:
        >>> cayley_series(torch.tensor([1.0, 0.0, 0.0]), 1.0, degree=2).abs().round(decimals=6).tolist()
        [1.0, 0.0, 0.0]
    """
    points = (chebyshev_nodes(degree).to(weights) + 1) * (largest / 2)
    return chebyshev_interpolate(torch.tensordot(cayley_values(points, (len(weights) - 1) // 2, zoom), weights, dims=1))


MOST = 2000
"""No degree is chosen above this."""


def cayley_degree(order: int, zoom: float, accuracy: float) -> int:
    r"""Return a degree at which every term of a Cayley filter on [0, 2] is its polynomial up to ``accuracy``.

    On an ellipse around the spectrum that leaves the poles out, with half axes summing to :math:`\rho`, a term is at
    most :math:`M = \max |C|^{\pm order}`, and its interpolant of degree n is off by at most
    :math:`4 M \rho^{-n} / (\rho - 1)`. The best of many ellipses is taken: higher powers and larger zooms need more.

    Args:
        order: of the last power, at least 0.
        zoom: :math:`h`, of either sign.
        accuracy: the largest error, above 0.

    Source: Trefethen (2013), Approximation Theory and Approximation Practice, theorem 8.2.

    Example:
        >>> [cayley_degree(order, 1.0, 1e-6) for order in (1, 5, 30)]
        [18, 29, 76]
    """
    # In steps of 3 %, so that a zoom that is learnt is looked up; beyond 1e6 the largest degree is too low in any case.
    steps = math.ceil(math.log(min(max(abs(zoom), 1e-3), 1e6)) / math.log(1.03)) if math.isfinite(zoom) else 468
    return _degree(at_least("order", order, 0), steps, float(accuracy))


@functools.lru_cache(maxsize=256)
def _degree(order: int, steps: int, accuracy: float) -> int:
    zoom = 1.03**steps
    pole = -1 + 1j / zoom
    nearest = max(abs(pole + np.sqrt(pole - 1) * np.sqrt(pole + 1)), abs(pole - np.sqrt(pole - 1) * np.sqrt(pole + 1)))
    rho = 1 + (nearest - 1) * np.linspace(0.02, 0.98, 49)[:, None]
    circle = rho * np.exp(1j * np.linspace(-math.pi, math.pi, 721))
    point = zoom * ((circle + 1 / circle) / 2 + 1)
    largest = order * np.abs(np.log(np.abs((point - 1j) / (point + 1j)))).max(1)
    needed = (math.log(4 / accuracy) + largest - np.log(rho[:, 0] - 1)) / np.log(rho[:, 0])
    return min(max(math.ceil(needed.min()), 1), MOST)


def cayley_jacobi(
    laplacian: SparseOperator, x: Tensor, weights: Any, zoom: float, *, iterations: int
) -> tuple[Tensor, float]:
    r"""Return the filtered signal with every :math:`(hL + iI) y_j = (hL - iI) y_{j-1}` solved by Jacobi's iteration.

    The paper's own way, ``order * (iterations + 2)`` complex products; it converges where :math:`hL + iI` is dominated
    by its diagonal, and by :math:`(h / \sqrt{h^2 + 1})^{iterations}` for the normalised Laplacian.

    Args:
        laplacian: :math:`L`, every diagonal entry stored, as ``laplacian`` makes it.
        x: signal, ``[nodes, features]``.
        weights: of 1 and of the pairs of ``cayley_values``, ``2 order + 1`` numbers.
        zoom: :math:`h`.
        iterations: of Jacobi for each power, at least 0.

    Returns:
        The filtered signal, and the largest residual of a solve relative to its right-hand side.

    Source: Levie, Monti, Bresson & Bronstein (2017), arXiv:1705.07664.

    Example:
        >>> from graphkit.operators import laplacian
        >>> edge = torch.tensor([[0, 1], [1, 0]])
        >>> _, error = cayley_jacobi(laplacian(edge), torch.ones(2, 1), [0.0, 1.0, 0.0], 0.5, iterations=20)
        >>> error < 1e-3
        True
    """
    at_least("iterations", iterations, 0)
    rows = laplacian.pattern.rows()
    loops = rows == laplacian.pattern._indices
    values = laplacian._store.dense_values()
    diagonal = values.new_zeros(laplacian.shape[0]).index_add(0, rows[loops], values[loops]).unsqueeze(-1)
    below = zoom * diagonal + 1j

    def multiply(v: Tensor) -> Tensor:
        both = laplacian @ torch.cat((v.real, v.imag), -1)
        width = v.shape[-1]
        return zoom * torch.complex(both[..., :width].contiguous(), both[..., width:].contiguous())

    out, worst = weights[0] * x, 0.0
    power = torch.complex(x, torch.zeros_like(x))
    for j in range((len(weights) - 1) // 2):
        right = multiply(power) - 1j * power
        solved = right / below
        for _ in range(iterations):
            solved = solved + (right - multiply(solved) - 1j * solved) / below
        size = float(torch.linalg.vector_norm(right.detach()))
        rest = float(torch.linalg.vector_norm((right - multiply(solved) - 1j * solved).detach()))
        worst = max(worst, rest / size if size else 0.0)
        power = solved
        out = out + 2 * (weights[2 * j + 1] * power.real - weights[2 * j + 2] * power.imag)
    return out, worst

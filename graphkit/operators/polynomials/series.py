"""From any basis to Chebyshev's: a filter is one series, summed by one recurrence that stores no terms."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from graphkit._checks import at_least
from graphkit.operators.polynomials.bases import polynomial_terms


def chebyshev_nodes(order: int) -> Tensor:
    r"""Return the zeros :math:`\cos\frac{(j + 1/2)\pi}{order + 1}` of :math:`T_{order+1}`, float64, descending.

    Example:
        >>> chebyshev_nodes(1).tolist()
        [0.7071067811865476, -0.7071067811865475]
    """
    places = torch.arange(at_least("order", order, 0) + 1, dtype=torch.float64) + 0.5
    return torch.cos(places * (math.pi / (order + 1)))


def interpolated(values: Tensor) -> Tensor:
    r"""Return the Chebyshev coefficients of the polynomial with given values at ``chebyshev_nodes``.

    :math:`c_k = \frac{2 - [k = 0]}{K + 1} \sum_j v_j T_k(x_j)`. Linear and differentiable in the values; this is
    ChebNetII's reparametrisation.

    Args:
        values: ``[order + 1, ...]``.

    Source: He, Wei & Wen (2022), arXiv:2202.03580.

    Example:
        >>> interpolated(chebyshev_nodes(2).square()).round(decimals=6).abs().tolist()  # x^2 = (T_0 + T_2) / 2
        [0.5, 0.0, 0.5]
    """
    matrix = _cosines(len(values)).to(values)
    return torch.tensordot(matrix, values, dims=1)


def chebyshev_table(basis: str, order: int, *, a: float = 1.0, b: float = 1.0, sign: float = 1.0) -> Tensor:
    r"""Return the Chebyshev coefficients of each term of a basis, ``[degree + 1, order + 1]``, float64.

    With coefficients :math:`c` of the basis, ``table @ c`` are those of Chebyshev's: every filter of every basis is a
    sum that ``chebyshev_sum`` takes with as many products as its degree, keeping no term. Bernstein's own sum takes a
    quadratic number. The way to Chebyshev's is stable (a term is bounded on the interval); the way back is not.

    Args:
        basis: as in ``polynomial_terms``, or ``"chebii"`` for values at ``chebyshev_nodes``.
        order: of the last term, at least 0; the degree is twice that for ``"even"``.
        a: of ``"jacobi"``.
        b: of ``"jacobi"``.
        sign: 1, or -1 for the terms at :math:`-M`.

    Example:
        >>> chebyshev_table("monomial", 2).round(decimals=6).abs().tolist()
        [[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 0.5]]
    """
    return _table(basis, order, float(a), float(b), float(sign)).clone()


@functools.lru_cache(maxsize=64)
def _table(basis: str, order: int, a: float, b: float, sign: float) -> Tensor:
    if basis == "chebii":
        table = _cosines(at_least("order", order, 0) + 1)
        return table * sign ** torch.arange(order + 1, dtype=torch.float64).unsqueeze(-1)
    points = sign * chebyshev_nodes(2 * at_least("order", order, 0) if basis == "even" else order)
    terms = polynomial_terms(lambda v: points * v, torch.ones_like(points), order, basis=basis, a=a, b=b)
    return interpolated(torch.stack(terms, dim=1))


@functools.lru_cache(maxsize=64)
def _cosines(points: int) -> Tensor:
    angles = (torch.arange(points, dtype=torch.float64) + 0.5) * (math.pi / points)
    matrix = torch.cos(torch.arange(points, dtype=torch.float64).unsqueeze(-1) * angles) * (2 / points)
    matrix[0] /= 2
    return matrix

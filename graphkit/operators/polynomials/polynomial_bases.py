"""Fixed bases of polynomials on [-1, 1], by one recurrence each, and their Chebyshev coefficients."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphkit._checks import at_least, member
from graphkit._torch_internals import in_fake_mode
from graphkit.operators.polynomials.chebyshev import chebyshev_terms

BASES = ("monomial", "chebyshev", "bernstein", "jacobi", "legendre", "even")


def polynomial_terms(
    apply: Callable[[Tensor], Tensor], x: Tensor, order: int, *, basis: str, a: float = 1.0, b: float = 1.0
) -> list[Tensor]:
    r"""Return :math:`P_0(M)x, \dots, P_{order}(M)x` of a basis, each shaped like ``x``.

    =============  =================================================================================
    ``monomial``   :math:`M^k`
    ``chebyshev``  :math:`T_k(M)`
    ``legendre``   :math:`P_k(M)`, Jacobi's polynomials with a = b = 0
    ``jacobi``     :math:`P_k^{a,b}(M)`
    ``bernstein``  :math:`\binom{n}{k} (\frac{I + M}{2})^k (\frac{I - M}{2})^{n-k}`, n being ``order``
    ``even``       :math:`M^{2k}`
    =============  =================================================================================

    Bernstein's take ``order (order + 3) / 2`` products, the others as many as their degree. A filter, which needs the
    sum only, is cheaper by ``chebyshev_table``.

    Args:
        apply: the product :math:`v \mapsto Mv` with an operator whose spectrum lies in [-1, 1].
        x: signal, ``[..., nodes, features]``.
        order: of the last term, at least 0.
        basis: one of the above.
        a: of ``"jacobi"``, above -1; the weight on the interval is :math:`(1-t)^a (1+t)^b`.
        b: of ``"jacobi"``, above -1.

    Raises:
        ValueError: for an unknown basis, a negative order, or ``a`` or ``b`` of -1 or below.

    Source: Szego (1939), Orthogonal Polynomials, section 4.5; as filters Chien et al. (2021), arXiv:2006.07988,
    He et al. (2021), arXiv:2106.10994, Wang & Zhang (2022), arXiv:2205.11172, Lei et al. (2022), arXiv:2205.13892.

    Example:
        >>> import torch
        >>> [t.item() for t in polynomial_terms(lambda v: 0.5 * v, torch.ones(1), 2, basis="legendre")]
        [1.0, 0.5, -0.125]
    """
    at_least("order", order, 0)
    member("basis", basis, BASES)
    if basis == "chebyshev":
        return chebyshev_terms(apply, x, order + 1)
    if basis == "bernstein":
        return _bernstein(apply, x, order)
    if basis in ("jacobi", "legendre"):
        return _jacobi(apply, x, order, *check_jacobi(*((a, b) if basis == "jacobi" else (0.0, 0.0))))
    terms = [x]
    for _ in range(order):
        term = apply(terms[-1])
        terms.append(apply(term) if basis == "even" else term)
    return terms


def check_jacobi(a: float, b: float) -> tuple[float, float]:
    """Return both exponents if their weight can be integrated, else raise ``ValueError``."""
    for name, value in (("a", a), ("b", b)):
        if not -1 < value < float("inf"):
            raise ValueError(f"`{name}` must be a finite number above -1, got {value!r}.")
    return float(a), float(b)


def _jacobi(apply: Callable[[Tensor], Tensor], x: Tensor, order: int, a: float, b: float) -> list[Tensor]:
    terms = [x]
    if order:
        terms.append((a + b + 2) / 2 * apply(x) + (a - b) / 2 * x)
    for k in range(2, order + 1):
        c = 2 * k + a + b
        below = 2 * k * (k + a + b) * (c - 2)
        slope, level = (c - 1) * c * (c - 2) / below, (c - 1) * (a * a - b * b) / below
        before = 2 * (k + a - 1) * (k + b - 1) * c / below
        terms.append(slope * apply(terms[-1]) + level * terms[-1] - before * terms[-2])
    return terms


def _bernstein(apply: Callable[[Tensor], Tensor], x: Tensor, order: int) -> list[Tensor]:
    """Return the terms row by row of Pascal's triangle; the binomials come from its additions."""
    terms = [x]
    for _ in range(order):
        images = [apply(term) for term in terms]
        up = [(term + image) / 2 for term, image in zip(terms, images, strict=True)]
        down = [(term - image) / 2 for term, image in zip(terms, images, strict=True)]
        terms = [down[0], *(u + d for u, d in zip(up[:-1], down[1:], strict=True)), up[-1]]
    return terms


def chebyshev_nodes(order: int) -> Tensor:
    r"""Return the zeros :math:`\cos\frac{(j + 1/2)\pi}{order + 1}` of :math:`T_{order+1}`, float64, descending.

    Example:
        >>> chebyshev_nodes(1).tolist()
        [0.7071067811865476, -0.7071067811865475]
    """
    places = torch.arange(at_least("order", order, 0) + 1, dtype=torch.float64) + 0.5
    return torch.cos(places * (math.pi / (order + 1)))


def chebyshev_interpolate(values: Tensor) -> Tensor:
    r"""Return the Chebyshev coefficients of the polynomial with given values at ``chebyshev_nodes``.

    :math:`c_k = \frac{2 - [k = 0]}{K + 1} \sum_j v_j T_k(x_j)`. Linear and differentiable in the values; this is
    ChebNetII's reparametrisation.

    Args:
        values: ``[order + 1, ...]``.

    Source: He, Wei & Wen (2022), arXiv:2202.03580.

    Example:
        >>> chebyshev_interpolate(chebyshev_nodes(2).square()).round(decimals=6).abs().tolist()  # x^2 = (T_0 + T_2) / 2
        [0.5, 0.0, 0.5]
    """
    matrix = _unless_traced(_cosines)(len(values)).to(values)
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
    found = _unless_traced(_table)(basis, order, float(a), float(b), float(sign))
    return found.to(torch.get_default_device(), copy=True)


def _unless_traced(make: Any) -> Any:
    """Return a cached function, or where operations are traced the bare one: its tensors are of no use to others.

    What is cached lies on the CPU, wherever a caller makes his tensors, such as under ``torch.device("meta")``.
    """
    return make.__wrapped__ if in_fake_mode() else make


@functools.lru_cache(maxsize=64)
def _table(basis: str, order: int, a: float, b: float, sign: float) -> Tensor:
    if basis == "chebii":
        table = _unless_traced(_cosines)(at_least("order", order, 0) + 1)
        return table * sign ** torch.arange(order + 1, dtype=torch.float64, device="cpu").unsqueeze(-1)
    with torch.device("cpu"):
        points = sign * chebyshev_nodes(2 * at_least("order", order, 0) if basis == "even" else order)
        terms = polynomial_terms(lambda v: points * v, torch.ones_like(points), order, basis=basis, a=a, b=b)
        return chebyshev_interpolate(torch.stack(terms, dim=1))


@functools.lru_cache(maxsize=64)
def _cosines(points: int) -> Tensor:
    places = torch.arange(points, dtype=torch.float64, device="cpu")
    matrix = torch.cos(places.unsqueeze(-1) * ((places + 0.5) * (math.pi / points))) * (2 / points)
    matrix[0] /= 2
    return matrix

"""Iterative solvers for the low end of a large component's spectrum, with a search for what they overlooked.

A Krylov space grown from one vector holds one vector of each eigenspace: multiplicity is beyond it, save for what
rounding brings in. So Lanczos' vectors are joined by a few random ones that a Chebyshev filter has turned towards the
wanted end; what was overlooked comes up there, and the search is repeated until nothing does. All starts are fixed.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from graphkit.operators.spectrum.components import Component

GUARDS = 8
"""Random vectors that look for what was overlooked."""

GUARD_DEGREE = 32
"""Degree of the filter that turns them; beside a gap of 1 % of the spectrum's width it gains a factor of 300."""

ROUNDS = 200
"""Filters after which iteration gives up."""


def lanczos_pairs(component: Component, count: int, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``count`` lowest eigenvalues, and eigenvectors ``[own nodes, count]``, by Lanczos' iteration.

    It runs in float32 on the far end of :math:`bI - L`; one Rayleigh-Ritz step in float64 makes what it found accurate,
    and filtered random vectors beside them tell what it overlooked.

    Args:
        component: of more than ``count + 2`` nodes.
        count: number of pairs, the known null vector included.
        tolerance: residual to reach, relative to the spectrum's width.

    Raises:
        RuntimeError: if the residuals stay above the tolerance.

    Source: Lehoucq, Sorensen & Yang (1998), ARPACK users' guide, for the iteration.
    """
    matrix, high = component.matrix.astype(np.float32), np.float32(component.high)
    null = None if component.null is None else component.null.astype(np.float32)
    own = count - (null is not None)

    def turned(x: np.ndarray) -> np.ndarray:
        x = x.ravel()
        x = x if null is None else x - null * (null @ x)
        y = high * x - matrix @ x
        return y if null is None else y - null * (null @ y)

    operator = LinearOperator(matrix.shape, matvec=turned, dtype=np.float32)
    start = _random(component, 1).astype(np.float32).ravel()
    try:
        _, vectors = eigsh(operator, k=own, which="LA", v0=start, tol=1e-4, maxiter=max(50, own))
    except ArpackNoConvergence as error:
        vectors = error.eigenvectors
    return _completed(component, vectors.astype(np.float64), count, tolerance)


def chebyshev_pairs(component: Component, count: int, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``count`` lowest eigenvalues, and eigenvectors ``[own nodes, count]``, by filtered subspaces.

    A random subspace a little wider than ``count`` is filtered by Chebyshev polynomials, which grow below the wanted
    end's cut and stay within one above it. Multiplicity is no obstacle to a subspace.

    Args:
        component: of clearly more nodes than ``count``.
        count: number of pairs, the known null vector included.
        tolerance: residual to reach, relative to the spectrum's width.

    Raises:
        RuntimeError: if the residuals stay above the tolerance.

    Source: Zhou, Saad, Tiago & Chelikowsky (2006), Self-consistent-field calculations using Chebyshev-filtered
    subspace iteration, algorithm 4.1, with guard vectors in place of its locking.
    """
    own = count - (component.null is not None)
    width = min(own + max(GUARDS, own // 8), component.size - (component.null is not None))
    block = _orthonormal(component, _random(component, width))
    values, block, _ = _ritz(component, block)
    return _refined(component, values, block, count, tolerance, degree=24)


def _completed(component: Component, found: np.ndarray, count: int, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of which none is missing: filtered random vectors join until they bring up nothing new."""
    own = count - (component.null is not None)
    allowed = tolerance * (component.high - component.low)
    block = _orthonormal(component, found)
    values, block, residuals = _ritz(component, block)
    for attempt in range(own + 1):
        guards = _orthonormal(component, _random(component, GUARDS, seed=attempt + 1), block)
        cut = values[-1] + 0.01 * (component.high - values[-1])
        for _ in range(2):
            guards = _orthonormal(component, _filtered(component, guards, cut, GUARD_DEGREE), block)
        before, old = values, block
        values, block, residuals = _ritz(component, np.hstack((block, guards)))
        values, block, residuals = values[:own], block[:, :own], residuals[:own]
        if len(before) == own:
            # A pair that was overlooked stands outside the old span and pushes those behind it one place up; in an
            # eigenspace that is larger than the span new vectors mix with old ones, but no value moves.
            outside = 1 - np.square(old.T @ block).sum(axis=0) > 0.25
            if not (outside & (before - values > allowed)).any():
                break
    if residuals.max(initial=0.0) <= allowed:
        return _with_null(component, values, block)
    guards = _orthonormal(component, _random(component, GUARDS, seed=own + 2), block)
    values, block, _ = _ritz(component, np.hstack((block, guards)))
    return _refined(component, values, block, count, tolerance, degree=10)


def _refined(
    component: Component, values: np.ndarray, block: np.ndarray, count: int, tolerance: float, degree: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest pairs of a subspace that is filtered until their residuals are small."""
    own = count - (component.null is not None)
    allowed = tolerance * (component.high - component.low)
    for _ in range(ROUNDS):
        # The last of the subspace is no eigenvector yet, and marks where the unwanted part begins.
        cut = min(values[-1], component.high - 1e-3 * (component.high - component.low))
        block = _orthonormal(component, _filtered(component, block, cut, degree, lowest=values[0]))
        values, block, residuals = _ritz(component, block)
        if residuals[:own].max(initial=0.0) <= allowed:
            return _with_null(component, values[:own], block[:, :own])
    raise RuntimeError(
        f"the {count} lowest eigenpairs of a component of {component.size:,} nodes were not found in {ROUNDS} rounds "
        f"(largest residual {residuals[:own].max():.1e}, allowed {allowed:.1e}); ask for fewer, raise `tolerance`, or "
        "use solver='dense'."
    )


def _filtered(component: Component, x: np.ndarray, cut: float, degree: int, lowest: float | None = None) -> np.ndarray:
    """Return :math:`T_d((2L - (b + c) I) / (b - c)) x`, scaled to stay near one at the lowest eigenvalue."""
    centre, radius = (component.high + cut) / 2, max((component.high - cut) / 2, 1e-12)
    matrix = component.matrix
    point = (component.low if lowest is None else lowest) - centre
    factor = radius / min(point, -radius)  # Zhou's scaled recurrence: no overflow, whatever the degree
    sigma = factor
    before, now = x, (matrix @ x - centre * x) * (sigma / radius)
    for _ in range(degree - 1):
        following = 1 / (2 / factor - sigma)
        after = matrix @ now
        after -= centre * now
        after *= 2 * following / radius
        before *= sigma * following
        after -= before
        before, now, sigma = now, after, following
    return now


def _ritz(component: Component, block: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Ritz values, vectors and residuals of an orthonormal block: Rayleigh's quotient on its span."""
    image = component.matrix @ block
    small = block.T @ image
    values, turn = np.linalg.eigh((small + small.T) / 2)
    block = block @ turn
    rest = image @ turn
    rest -= block * values
    return values, block, np.linalg.norm(rest, axis=0)


def _orthonormal(component: Component, x: np.ndarray, beside: np.ndarray | None = None) -> np.ndarray:
    """Return an orthonormal basis of the span, orthogonal to the known null vector and to ``beside``."""
    for _ in range(2):  # twice is enough
        if component.null is not None:
            x = x - np.multiply.outer(component.null, component.null @ x)
        if beside is not None:
            x = x - beside @ (beside.T @ x)
        x, _ = np.linalg.qr(x)
    return x


def _random(component: Component, columns: int, seed: int = 0) -> np.ndarray:
    """Return random vectors that are the same in every process."""
    return np.random.default_rng(seed).standard_normal((component.size, columns))


def _with_null(component: Component, values: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs with the known null vector in front."""
    if component.null is None:
        return values, vectors
    return np.append(0.0, values), np.column_stack((component.null, vectors))

"""Eigensolvers of one component: dense ones, and iterative ones with a search for what they overlooked.

A Krylov space grown from one vector holds one vector of each eigenspace: multiplicity is beyond it, save for what
rounding brings in. So Lanczos' vectors are joined by a few random ones that a Chebyshev filter has turned towards the
wanted end; what was overlooked comes up there, and the search is repeated until nothing does. All starts are fixed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.linalg
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from graphkit.operators.spectrum.components import Component

STACKED = 64
"""Components up to this size are solved together with all others of the same size."""


def dense_all(components: Sequence[Component]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return all eigenvalues ``[pairs]`` and eigenvectors ``[own nodes, pairs]`` of each component."""
    found: list[tuple[np.ndarray, np.ndarray] | None] = [None] * len(components)
    alike: dict[int, list[int]] = defaultdict(list)
    for i, component in enumerate(components):
        if component.size <= STACKED:
            alike[component.size].append(i)
        else:
            matrix = _deflate(component)
            values, vectors = scipy.linalg.eigh(matrix, driver="evd", overwrite_a=True, check_finite=False)
            found[i] = _restore_null(component, values, vectors)
    for places in alike.values():
        stack = np.stack([_deflate(components[i]) for i in places])
        for i, values, vectors in zip(places, *np.linalg.eigh(stack), strict=True):
            found[i] = _restore_null(components[i], values, vectors)
    return [pair for pair in found if pair is not None]


def dense_lowest(component: Component, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``count`` lowest eigenvalues and their eigenvectors ``[own nodes, count]``."""
    own = count - (component.null is not None)
    if not own:
        return _restore_null(component, np.empty(1), np.empty((component.size, 1)))
    values, vectors = scipy.linalg.eigh(
        _deflate(component), subset_by_index=[0, own - 1], driver="evr", overwrite_a=True, check_finite=False
    )
    return _restore_null(component, np.append(values, np.inf), np.pad(vectors, ((0, 0), (0, 1))), last=own)


def _deflate(component: Component) -> np.ndarray:
    """Return the dense matrix whose known null vector, if any, has an eigenvalue above all others."""
    matrix = component.matrix.toarray()
    if component.null is not None:
        matrix += (2 * component.high + 1) * np.multiply.outer(component.null, component.null)
    return matrix


def _restore_null(
    component: Component, values: np.ndarray, vectors: np.ndarray, last: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs with the known null vector at the front in place of the shifted one at the end."""
    if component.null is None:
        return values[:last], vectors[:, :last]
    values, vectors = np.roll(values, 1), np.roll(vectors, 1, axis=1)
    values[0], vectors[:, 0] = 0.0, component.null
    return values, vectors


GUARDS = 8
"""Random vectors that look for what was overlooked."""

GUARD_DEGREE = 32
"""Degree of the filter that turns them; beside a gap of 1 % of the spectrum's width it gains a factor of 300."""

PRODUCTS = 40_000
"""Products with the matrix after which iteration gives up."""

RANGE = 16
"""Half of the logarithm of the factor by which a filter may raise the first wanted vector above the last."""

RELATIVE = 1e-3
"""Residual of an eigenvalue, relative to it: the lowest of a long path lie far below any tolerance of the width."""

ROUNDS = 12
"""Filters by which pairs are made more accurate; from a residual of 1e-7 to one of 1e-15 it takes six."""

LEAST = 1e-9
"""Residual that is small enough for any eigenvalue, relative to the spectrum's width."""


def lanczos_pairs(component: Component, count: int, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``count`` lowest eigenvalues, and eigenvectors ``[own nodes, count]``, by Lanczos' iteration.

    It runs in float32 on the far end of :math:`bI - L`; one Rayleigh-Ritz step in float64 makes what it found accurate,
    and filtered random vectors beside them tell what it overlooked. ``count`` holds the known null vector;
    ``tolerance`` is relative to the spectrum's width, and the lowest eigenvalues are found more closely.

    Raises:
        RuntimeError: if the residuals stay too large.

    Source: Lehoucq, Sorensen & Yang (1998), ARPACK users' guide, for the iteration.
    """
    matrix, high = component.matrix.astype(np.float32), np.float32(component.high)
    null = None if component.null is None else component.null.astype(np.float32)
    own = count - (null is not None)

    def apply_reversed(x: np.ndarray) -> np.ndarray:
        x = x.ravel()
        x = x if null is None else x - null * (null @ x)
        y = high * x - matrix @ x
        return y if null is None else y - null * (null @ y)

    operator = LinearOperator(matrix.shape, matvec=apply_reversed, dtype=np.float32)
    start = _random_block(component, 1).astype(np.float32).ravel()
    try:
        _, vectors = eigsh(operator, k=own, which="LA", v0=start, tol=1e-4, maxiter=max(50, own))
    except ArpackNoConvergence as error:
        vectors = error.eigenvectors
    return _complete_pairs(component, vectors.astype(np.float64), count, tolerance)


def chebyshev_pairs(component: Component, count: int, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``count`` lowest eigenvalues, and eigenvectors ``[own nodes, count]``, by filtered subspaces.

    A random subspace a little wider than ``count`` is filtered by Chebyshev polynomials, which grow below the wanted
    end's cut and stay within one above it. Multiplicity is no obstacle to a subspace. Arguments as ``lanczos_pairs``.

    Raises:
        RuntimeError: if the residuals stay too large.

    Source: Zhou, Saad, Tiago & Chelikowsky (2006), Self-consistent-field calculations using Chebyshev-filtered
    subspace iteration, algorithm 4.1, with guard vectors in place of its locking.
    """
    own = count - (component.null is not None)
    width = min(own + max(2 * GUARDS, own // 4), component.size - (component.null is not None))
    block = _orthonormalize(component, _random_block(component, width))
    values, block, _ = _rayleigh_ritz(component, block)
    return _refine(component, values, block, count, tolerance, degree=32)


def sharpen_pairs(
    component: Component, values: np.ndarray, vectors: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest pairs, none missing, with residuals as small as a few filters make them.

    ``tolerance`` is the residual that is small enough, relative to the spectrum's width.
    """
    first = int(component.null is not None)
    own, width, degree = len(values) - first, component.high - component.low, GUARD_DEGREE
    more = min(max(2 * GUARDS, own // 4), component.size - first - own)
    block = _orthonormalize(component, vectors[:, first:])
    block = np.hstack((block, _orthonormalize(component, _random_block(component, more), block)))
    found, block, residuals = _rayleigh_ritz(component, block)
    for round_ in range(ROUNDS):
        cut, before = found[-1], residuals[:own].max(initial=0.0)
        filtered = _chebyshev_filter(component, block, cut, degree, found[0], single=False)
        found, block, residuals = _rayleigh_ritz(component, _orthonormalize(component, filtered))
        left = residuals[:own].max(initial=0.0)
        if left <= tolerance * width:
            break
        if round_ and left > 0.1 * before:
            if not _is_separable(2 * degree, width, found[-1] - found[0]):
                break
            degree *= 2
    return _prepend_null(component, found[:own], block[:, :own])


def _complete_pairs(
    component: Component, found: np.ndarray, count: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of which none is missing: filtered random vectors join until they bring up nothing new."""
    own = count - (component.null is not None)
    allowed = tolerance * (component.high - component.low)
    block = _orthonormalize(component, found)
    values, block, residuals = _rayleigh_ritz(component, block)
    for attempt in range(own + 1):
        # Random vectors turned towards the wanted end, at right angles to what was found.
        guards = _orthonormalize(component, _random_block(component, GUARDS, seed=attempt + 1), block)
        cut = values[-1] + 0.01 * (component.high - values[-1])
        for _ in range(2):
            guards = _orthonormalize(
                component, _chebyshev_filter(component, guards, cut, GUARD_DEGREE, values[0]), block
            )
        before, old = values, block
        # The lowest pairs of both spans together; they are all there once nothing new comes up.
        values, block, residuals = _rayleigh_ritz(component, np.hstack((block, guards)))
        values, block, residuals = values[:own], block[:, :own], residuals[:own]
        if len(before) == own:
            # Pairs that were overlooked stand outside the old span, one dimension each, and push those behind them
            # up; in an eigenspace that is larger than the span new vectors mix with old ones, but no value moves.
            outside = own - np.square(old.T @ block).sum()
            if outside < 0.5 or not (before - values > allowed).any():
                break
    if (residuals <= _allowed_residuals(values, tolerance, component.high - component.low)).all():
        return _prepend_null(component, values, block)
    guards = _orthonormalize(component, _random_block(component, GUARDS, seed=own + 2), block)
    values, block, _ = _rayleigh_ritz(component, np.hstack((block, guards)))
    return _refine(component, values, block, count, tolerance, degree=10)


def _refine(
    component: Component, values: np.ndarray, block: np.ndarray, count: int, tolerance: float, degree: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest pairs of a subspace that is filtered until their residuals are small."""
    own = count - (component.null is not None)
    width = component.high - component.low
    lift, largest, products = 0.0, np.inf, 0
    while products < PRODUCTS:
        # A high degree would leave nothing but the lowest vectors of a random start. The last of the subspace is no
        # eigenvector yet, and marks where the unwanted part begins.
        steps = degree if products else min(degree, 12)
        cut = min(values[-1] + lift, component.high - 1e-3 * width)
        # float32 is no less right where it is fine enough: what comes out is a start, and is measured in float64.
        single = steps <= 64 and _allowed_residuals(values[0], tolerance, width) > 1e-6 * width
        block = _orthonormalize(component, _chebyshev_filter(component, block, cut, steps, values[0], single=single))
        values, block, residuals = _rayleigh_ritz(component, block)
        products += steps
        excess = residuals[:own] / _allowed_residuals(values[:own], tolerance, width)
        before, largest = largest, excess.max(initial=0.0)
        if largest <= 1:
            return _prepend_null(component, values[:own], block[:, :own])
        if largest <= 0.7 * before:
            continue
        # The cut lies in an eigenspace larger than the subspace, which it neither keeps nor dampens: beyond it, by what
        # this degree tells apart. Or else values lie closer than that: a degree that tells them apart, as long as it
        # does not drown the last wanted vector in the rounding of the first.
        if lift and _is_separable(2 * degree, width, cut - values[0]):
            degree, lift = 2 * degree, width / (2 * degree) ** 2
        else:
            lift = max(2 * lift, width / degree**2)
    raise RuntimeError(
        f"the {count} lowest eigenpairs of a component of {component.size:,} nodes were not found by {products:,} "
        f"products (largest residual {residuals[:own].max():.1e}, {largest:.1f} times what is allowed); ask for fewer, "
        "raise `tolerance`, or use solver='dense'."
    )


def _is_separable(degree: int, width: float, wanted: float) -> bool:
    """Tell whether a filter of this degree leaves the last wanted vector above the rounding of the first."""
    return bool(degree <= RANGE * np.sqrt(width / max(wanted, 1e-12 * width)))


def _allowed_residuals(values: Any, tolerance: float, width: float) -> Any:
    """Return the residuals that are small enough: for the lowest eigenvalues, relative to these themselves."""
    return np.minimum(tolerance * width, np.maximum(RELATIVE * np.abs(values), LEAST * width))


def _chebyshev_filter(
    component: Component, x: np.ndarray, cut: float, degree: int, lowest: float, *, single: bool = True
) -> np.ndarray:
    """Return :math:`T_d((2L - (b + c) I) / (b - c)) x`, divided by its value at ``lowest``.

    The known null vector, which rounding lets in and the polynomial blows up above all others, is taken out on the way.
    """
    centre, radius = (component.high + cut) / 2, max((component.high - cut) / 2, 1e-12)
    operator, kind = (component.single, np.float32) if single else (component.double, np.float64)
    null = None if component.null is None else torch.from_numpy(component.null.astype(kind)).unsqueeze(1)
    factor = radius / min(lowest - centre, -radius)  # Zhou's scaled recurrence: no overflow, whatever the degree
    sigma = factor
    before = torch.from_numpy(x.astype(kind))
    now = operator.multiply_add(before, before, alpha=sigma / radius, beta=-centre * sigma / radius)
    for step in range(degree - 1):
        following = 1 / (2 / factor - sigma)
        scale = 2 * following / radius
        before.mul_(sigma * following).add_(now, alpha=scale * centre)
        before, now = now, operator.multiply_add(now, before, alpha=scale, beta=-1.0)
        sigma = following
        if null is not None and step % 4 == 3:
            now.addmm_(null, null.T @ now, alpha=-1.0)
            before.addmm_(null, null.T @ before, alpha=-1.0)
    return now.numpy().astype(np.float64)


def _rayleigh_ritz(component: Component, block: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Ritz values, vectors and residuals of an orthonormal block: Rayleigh's quotient on its span."""
    image = (component.double @ torch.from_numpy(block)).numpy()
    small = block.T @ image
    values, turn = np.linalg.eigh((small + small.T) / 2)
    block, image = block @ turn, image @ turn
    image -= block * values
    return values, block, np.linalg.norm(image, axis=0)


def _orthonormalize(component: Component, x: np.ndarray, beside: np.ndarray | None = None) -> np.ndarray:
    """Return an orthonormal basis of the span, orthogonal to the known null vector and to ``beside``."""
    for _ in range(2):  # twice is enough
        if component.null is not None:
            x = x - np.multiply.outer(component.null, component.null @ x)
        if beside is not None:
            x = x - beside @ (beside.T @ x)
        x = x / np.linalg.norm(x, axis=0)
        gram = x.T @ x
        try:  # Cholesky's factor of the Gram matrix costs a tenth of Householder's reflections
            lower = np.linalg.cholesky(gram)
            if lower.diagonal().min() < 1e-5:
                raise np.linalg.LinAlgError
            x = x @ scipy.linalg.solve_triangular(lower, np.eye(len(gram)), lower=True).T
        except np.linalg.LinAlgError:
            x, _ = np.linalg.qr(x)
    return x


def _random_block(component: Component, columns: int, seed: int = 0) -> np.ndarray:
    """Return random vectors that are the same in every process."""
    return np.random.default_rng(seed).standard_normal((component.size, columns))


def _prepend_null(component: Component, values: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs with the known null vector in front."""
    if component.null is None:
        return values, vectors
    return np.append(0.0, values), np.column_stack((component.null, vectors))

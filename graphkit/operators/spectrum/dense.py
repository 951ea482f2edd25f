"""Dense solvers: exact to rounding, and cubic in the nodes of a component."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import scipy.linalg

from graphkit.operators.spectrum.components import Component

STACKED = 64
"""Components up to this size are solved together with all others of the same size."""


def all_pairs(components: Sequence[Component]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return all eigenvalues ``[pairs]`` and eigenvectors ``[own nodes, pairs]`` of each component."""
    found: list[tuple[np.ndarray, np.ndarray] | None] = [None] * len(components)
    alike: dict[int, list[int]] = defaultdict(list)
    for i, component in enumerate(components):
        if component.size <= STACKED:
            alike[component.size].append(i)
        else:
            matrix = _shifted(component)
            values, vectors = scipy.linalg.eigh(matrix, driver="evd", overwrite_a=True, check_finite=False)
            found[i] = _with_null(component, values, vectors)
    for places in alike.values():
        stack = np.stack([_shifted(components[i]) for i in places])
        for i, values, vectors in zip(places, *np.linalg.eigh(stack), strict=True):
            found[i] = _with_null(components[i], values, vectors)
    return [pair for pair in found if pair is not None]


def lowest_pairs(component: Component, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``count`` lowest eigenvalues and their eigenvectors ``[own nodes, count]``."""
    own = count - (component.null is not None)
    if not own:
        return _with_null(component, np.empty(1), np.empty((component.size, 1)))
    values, vectors = scipy.linalg.eigh(
        _shifted(component), subset_by_index=[0, own - 1], driver="evr", overwrite_a=True, check_finite=False
    )
    return _with_null(component, np.append(values, np.inf), np.pad(vectors, ((0, 0), (0, 1))), last=own)


def _shifted(component: Component) -> np.ndarray:
    """Return the dense matrix whose known null vector, if any, has an eigenvalue above all others."""
    matrix = component.matrix.toarray()
    if component.null is not None:
        matrix += (2 * component.high + 1) * np.multiply.outer(component.null, component.null)
    return matrix


def _with_null(
    component: Component, values: np.ndarray, vectors: np.ndarray, last: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs with the known null vector at the front in place of the shifted one at the end."""
    if component.null is None:
        return values[:last], vectors[:, :last]
    values, vectors = np.roll(values, 1), np.roll(vectors, 1, axis=1)
    values[0], vectors[:, 0] = 0.0, component.null
    return values, vectors

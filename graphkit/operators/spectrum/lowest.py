"""The search for the lowest pairs of all components together, which ends only in a gap of the spectrum."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from graphkit.operators.spectrum.arguments import large_eigenspace
from graphkit.operators.spectrum.components import Component
from graphkit.operators.spectrum.dense import all_pairs, lowest_pairs
from graphkit.operators.spectrum.iterative import chebyshev_pairs, lanczos_pairs, sharpened_pairs

DENSE_NODES = 1500
"""Components up to this size are solved densely where the solver may be chosen."""

FALLBACK_NODES = 16384
"""Components up to this size are solved densely where iteration is no gain, or under "auto" does not get there."""

LARGEST_EIGENSPACE = 512
"""Pairs of one eigenvalue up to which it is followed to its end, on components of more than four times as many nodes.
Smaller ones are solved densely then. That of a star's leaves has nearly all pairs: half a minute at 5,000 nodes."""

SPARE = 4
"""Pairs beyond those asked for, by which the end of an eigenspace is recognised."""


class Part:
    """What is known of one component's spectrum: its lowest pairs, up to a horizon that may be moved.

    Args:
        component: the component.
        solver: "auto", "dense", "lanczos" or "chebyshev".
        tolerance: residual that iterative solvers must reach, as for ``fourier_basis``.
    """

    def __init__(self, component: Component, solver: str, tolerance: float) -> None:
        self.component = component
        self.solver = solver
        self.tolerance = tolerance
        self.values = np.empty(0)
        self.vectors = np.empty((component.size, 0))
        self.iterated = False

    @property
    def complete(self) -> bool:
        """Whether all pairs are known."""
        return len(self.values) == self.component.size

    @property
    def large(self) -> bool:
        """Whether the largest eigenspace that is followed is a small part of the component's, found by iteration."""
        return self.solver != "dense" and self.component.size > 4 * LARGEST_EIGENSPACE

    @property
    def horizon(self) -> float:
        """The value below which nothing is unknown."""
        if self.complete:
            return np.inf
        return float(self.values[-1]) if len(self.values) else -np.inf

    def grow(self, count: int) -> None:
        """Find at least the ``count`` lowest pairs.

        Raises:
            ValueError: where so many are out of reach.
            RuntimeError: where iteration does not get there, and the component is too large or another solver chosen.
        """
        component = self.component
        solver, size = self.solver, component.size
        count = min(count, size)
        if count <= len(self.values):
            return
        if count == 1 and component.null is not None and size > 1:
            self.values, self.vectors = np.zeros(1), component.null[:, None]
            return
        if solver == "auto":
            solver = "dense" if size <= DENSE_NODES else "chebyshev"
        if solver != "dense" and 4 * (count + 10) > size:
            if size > FALLBACK_NODES:
                raise ValueError(
                    f"`k`: {count:,} of the {size:,} pairs of one component, or one eigenspace as large, are out of "
                    "reach of an iterative solver; ask for fewer, or use solver='dense'."
                )
            solver = "dense"
        if solver == "dense":
            partly = 4 * count < size
            self.values, self.vectors = lowest_pairs(component, count) if partly else all_pairs([component])[0]
            return
        pairs = lanczos_pairs if solver == "lanczos" else chebyshev_pairs
        try:
            self.values, self.vectors = pairs(component, count, self.tolerance)
            self.iterated = True
        except RuntimeError:
            if self.solver != "auto" or size > FALLBACK_NODES:
                raise
            self.values, self.vectors = lowest_pairs(component, count)
            self.iterated = False

    def sharpen(self, low: float, high: float, accuracy: float, least: float) -> None:
        """Bring the span of the pairs in a range as near to that of the eigenvectors as is asked, or as iteration gets.

        A span is off by its residual over the gap that separates its eigenvalues from all others.

        Args:
            low: lower end of the range.
            high: upper end, below the horizon.
            accuracy: of the span: sine of the largest angle, and so the relative error of any filter.
            least: residual, relative to the spectrum's width, below which rounding rules.

        Source: Davis & Kahan (1970), The rotation of eigenvectors by a perturbation. III, for the quotient.
        """
        kept = (self.values >= low) & (self.values <= high)
        if not self.iterated or not kept.any() or kept.all():
            return
        component, inside, vectors = self.component, self.values[kept], self.vectors[:, kept]
        gap = np.abs(self.values[~kept][:, None] - inside[[0, -1]]).min()
        width, size = component.high - component.low, np.sqrt(len(inside))
        allowed = max(accuracy * gap / size, least * width)
        if np.linalg.norm(component.matrix @ vectors - vectors * inside) > allowed * size:
            self.values, self.vectors = sharpened_pairs(component, self.values, self.vectors, float(allowed / width))


def lowest(
    parts: Sequence[Part], wanted: Callable[[np.ndarray], float], count: int, precision: float
) -> tuple[np.ndarray, float]:
    """Return all values up to a gap of the spectrum at or beyond the wanted end, sorted, and the middle of that gap.

    Args:
        parts: what is known of each component; they are grown as far as it takes.
        wanted: from the sorted known values, the value that the result must reach; infinite where too few are known.
        count: how many pairs the first attempt looks for.
        precision: values closer than this are one eigenvalue.

    Raises:
        ValueError: where the end lies inside an eigenspace that is too large to be followed to its own.
    """
    for part in parts:
        part.grow(count)
    while True:
        values = np.sort(np.concatenate([part.values for part in parts]))
        end = gap_behind(values, wanted(values), precision)
        short = [part for part in parts if part.horizon <= end + precision]
        if not short:
            return values[values <= end + precision / 2], end + precision / 2
        first = -gap_behind(-values[::-1], -end, precision)
        for part in short:
            known = len(part.values)
            alike = int((part.values >= first).sum()) if np.isfinite(end) else 0
            if alike > LARGEST_EIGENSPACE and part.large:
                large_eigenspace(first, int((values < first).sum()), LARGEST_EIGENSPACE, part.component.size)
            # Where an eigenvalue goes on and on, larger steps are fewer solutions from the start.
            more = 3 * known if 2 * alike > known else max(known * 3 // 2, known + 2 * SPARE)
            enough = known - alike + LARGEST_EIGENSPACE + 2 * SPARE
            part.grow(min(more, enough) if part.large and alike else more)


def gap_behind(values: np.ndarray, at: float, precision: float) -> float:
    """Return the last of the sorted values before the first gap that follows ``at``.

    Example:
        >>> gap_behind(np.array([0.0, 1.0, 1.0, 2.0]), at=0.5, precision=1e-9)
        0.5
        >>> gap_behind(np.array([0.0, 1.0, 1.0 + 1e-12, 2.0]), at=1.0, precision=1e-9)
        1.000000000001
    """
    for value in values[np.searchsorted(values, at) :]:
        if value > at + precision:
            break
        at = max(at, float(value))
    return at

"""The Fourier basis of a graph from its Laplacian, all pairs or the lowest, ending only in a gap of the spectrum."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import at_least, member, positive
from graphkit.operators.operand_checks import refuse_large_eigenspace
from graphkit.operators.sparse import SparseOperator
from graphkit.operators.spectrum.basis import FourierBasis
from graphkit.operators.spectrum.components import Component, SymmetricMatrix, split_components, symmetrize
from graphkit.operators.spectrum.eigensolvers import (
    chebyshev_pairs,
    dense_all,
    dense_lowest,
    lanczos_pairs,
    sharpen_pairs,
)

DENSE_NODES = 1500
"""Components up to this size are solved densely where the solver may be chosen."""

FALLBACK_NODES = 16384
"""Components up to this size are solved densely where iteration is no gain, or under "auto" does not get there."""

LARGEST_EIGENSPACE = 512
"""Pairs of one eigenvalue up to which it is followed to its end, on components of more than four times as many nodes.
Smaller ones are solved densely then. That of a star's leaves has nearly all pairs: half a minute at 5,000 nodes."""

SPARE = 4
"""Pairs beyond those asked for, by which the end of an eigenspace is recognised."""


class ComponentSpectrum:
    """What is known of one component's spectrum: its lowest pairs, up to a horizon that may be moved.

    ``solver`` and ``tolerance`` are those of ``fourier_basis``.
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
            self.values, self.vectors = dense_lowest(component, count) if partly else dense_all([component])[0]
            return
        pairs = lanczos_pairs if solver == "lanczos" else chebyshev_pairs
        try:
            self.values, self.vectors = pairs(component, count, self.tolerance)
            self.iterated = True
        except RuntimeError:
            if self.solver != "auto" or size > FALLBACK_NODES:
                raise
            self.values, self.vectors = dense_lowest(component, count)
            self.iterated = False

    def sharpen(self, low: float, high: float, accuracy: float, least: float) -> None:
        """Bring the span of the pairs in [low, high] as near to that of the eigenvectors as is asked, or as can be.

        A span is off by its residual over the gap that separates its eigenvalues from all others: ``accuracy`` is the
        sine of the largest angle, and so the relative error of any filter. ``least`` is the residual, relative to the
        spectrum's width, below which rounding rules.

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
            self.values, self.vectors = sharpen_pairs(component, self.values, self.vectors, float(allowed / width))


def grow_to_gap(
    parts: Sequence[ComponentSpectrum], wanted: Callable[[np.ndarray], float], count: int, precision: float
) -> tuple[np.ndarray, float]:
    """Return all values up to a gap of the spectrum at or beyond the wanted end, sorted, and the middle of that gap.

    Args:
        parts: what is known of each component; they are grown as far as it takes.
        wanted: from the sorted known values, the value to be reached; infinite where too few are known.
        count: how many pairs the first attempt looks for.
        precision: values closer than this are one eigenvalue.

    Raises:
        ValueError: where the end lies inside an eigenspace that is too large to be followed to its own.
    """
    for part in parts:
        part.grow(count)
    while True:
        values = np.sort(np.concatenate([part.values for part in parts]))
        end = gap_after(values, wanted(values), precision)
        short = [part for part in parts if part.horizon <= end + precision]
        if not short:
            return values[values <= end + precision / 2], end + precision / 2
        first = -gap_after(-values[::-1], -end, precision)
        for part in short:
            known = len(part.values)
            alike = int((part.values >= first).sum()) if np.isfinite(end) else 0
            if alike > LARGEST_EIGENSPACE and part.large:
                refuse_large_eigenspace(first, int((values < first).sum()), LARGEST_EIGENSPACE, part.component.size)
            # Where an eigenvalue goes on and on, larger steps are fewer solutions from the start.
            more = 3 * known if 2 * alike > known else max(known * 3 // 2, known + 2 * SPARE)
            enough = known - alike + LARGEST_EIGENSPACE + 2 * SPARE
            part.grow(min(more, enough) if part.large and alike else more)


def gap_after(values: np.ndarray, at: float, precision: float) -> float:
    """Return the last of the sorted values before the first gap that follows ``at``.

    Example:
        >>> gap_after(np.array([0.0, 1.0, 1.0, 2.0]), at=0.5, precision=1e-9)
        0.5
        >>> gap_after(np.array([0.0, 1.0, 1.0 + 1e-12, 2.0]), at=1.0, precision=1e-9)
        1.000000000001
    """
    for value in values[np.searchsorted(values, at) :]:
        if value > at + precision:
            break
        at = max(at, float(value))
    return at


VERSION = 4
"""Raised whenever the solvers give other numbers for the same graph."""

SOLVERS = ("auto", "dense", "lanczos", "chebyshev")

SEARCHED = 1e-5
"""Residual, relative to the spectrum's width, at which the end of the basis is looked for."""

ACCURACY = {False: (1e-5, 1e-8), True: (1e-9, 1e-13)}
"""In single and in double precision: relative error of a filter of a basis, which decides when a solver ends; and the
residual, relative to the spectrum's width, that the rounding of the Laplacian's entries leaves in any case."""

LARGEST_DENSE = 40_000
"""Nodes of a component above which its whole basis is refused: the matrices alone would take 40 GB."""


def fourier_basis(
    laplacian: SparseOperator,
    k: int | tuple[float, float] | None = None,
    *,
    solver: str = "auto",
    components: str = "split",
    inside: str = "extend",
    tolerance: float | None = None,
) -> FourierBasis:
    r"""Return eigenvalues and eigenvectors of a graph's Laplacian, all or the lowest, right also where they repeat.

    The graph is taken apart into connected components. On each, the null vector is written down: :math:`\mathbf 1` for
    the combinatorial and the random-walk Laplacian, :math:`D^{1/2} \mathbf 1` for the symmetric one. A solver looks for
    the others only, so that 0 comes exactly as often as there are components.

    An eigenspace is never cut: which vectors of it are left would depend on the solver. ``k`` grows to the end of the
    eigenspace it falls into, and a window to both ends; values closer than :math:`10^{-8}` of the spectrum's width
    (:math:`10^{-6}` in float32) are one eigenvalue. One that repeats more than 512 times on a component of more than
    some 2,000 nodes, as that of a star's leaves does, is refused where ``k`` or a window ends in it: they take
    minutes, and are there for ``solver="dense"``. Signs are canonical: the entry of largest size, of equals (to
    a thousandth) the first, is positive. Every start is fixed, so that two processes give the same bits.

    ============  ==========================================================================================
    "dense"       LAPACK, cubic in the nodes of a component
    "lanczos"     ARPACK in float32, made accurate in float64, then searched for what it overlooked
    "chebyshev"   a subspace filtered by Chebyshev polynomials, for many pairs and high multiplicity
    "auto"        dense up to 1,500 nodes of a component and for complete bases, else Chebyshev
    ============  ==========================================================================================

    The work is done on the CPU in float64, wherever the Laplacian lies; the basis has its type and device. No
    gradient flows.

    Args:
        laplacian: as ``laplacian(edge_index, ...)`` returns it, of an undirected graph with weights of 0 or more. Make
            it in float64 where residuals below 1e-7 matter.
        k: number of lowest pairs, at most as many as nodes; or (low, high), a window of eigenvalues with both ends in
            it; or ``None`` for all.
        solver: see above. Where iteration is no gain, up to 16,384 nodes are solved densely whatever is chosen.
        components: ``"split"``, or ``"joint"`` to look for the null vectors in the graph as a whole.
        inside: what happens where ``k`` or a window ends inside an eigenspace: ``"extend"``, or ``"refuse"``.
        tolerance: residual that iterative solvers must reach, relative to the spectrum's width; for eigenvalues near 0
            it is a thousandth of these, so that they are right to their own size. Left out, it is 1e-5, and the pairs
            are then sharpened until any filter of the basis is right to 1e-5 in single and 1e-9 in double precision:
            its error is the residual over the gap behind the last pair. Where that is tiny, rounding may not let it.

    Raises:
        TypeError: where ``laplacian`` is no operator.
        RuntimeError: where an iterative solver does not get there in 40,000 products; under "auto" only for components
            of more than 16,384 nodes.
        ValueError: for a directed graph, negative or non-finite weights, a ``k`` below 1 or above the number of nodes,
            an empty window, an end inside an eigenspace under ``"refuse"`` or of more than 512 pairs of a large
            component, and a size out of reach.

    Source: Shuman et al. (2013), arXiv:1211.0053, section II; Zhou et al. (2006) for "chebyshev". PyG's
    ``AddLaplacianEigenvectorPE`` asks ARPACK once for the whole graph: of Cora's 78 zeros among 78 lowest pairs it
    finds few.

    Example:
        >>> two_edges = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
        >>> from graphkit.operators import laplacian
        >>> fourier_basis(laplacian(two_edges, normalization="sym"), k=1).eigenvalues.tolist()
        [0.0, 0.0]
    """
    member("solver", solver, SOLVERS)
    member("components", components, ("split", "joint"))
    member("inside", inside, ("extend", "refuse"))
    if tolerance is not None:
        positive("tolerance", tolerance)
    whole = symmetrize(laplacian)
    nodes = whole.matrix.shape[0]
    if isinstance(k, tuple):
        low, high = _window(k)
    elif k is not None and (k := at_least("k", k, 1)) > nodes:
        raise ValueError(f"`k` must be at most the number of nodes ({nodes:,}), got {k:,}; `k=None` means all pairs.")
    # 1. The connected components of the symmetric matrix.
    searched = tolerance or SEARCHED
    parts = [
        ComponentSpectrum(component, solver, searched)
        for component in split_components(whole, jointly=components == "joint")
    ]
    # 2. Pairs of each component, until the end lies in a gap of the joint spectrum.
    if k is None or k == nodes:
        _solve_all(parts)
        chosen = _Range(-math.inf, math.inf)
    elif isinstance(k, tuple):
        chosen = _find_window(parts, low, high, whole, inside)
    else:
        chosen = _find_lowest(parts, k, whole.precision, inside)
    # 3. Residuals small beside that gap, so that a filter of the basis is right.
    if tolerance is None:
        for part in parts:
            part.sharpen(chosen.low, chosen.high, *ACCURACY[laplacian.dtype == torch.float64])
    return _assemble(laplacian, whole, parts, chosen, whole.digest())


class _Range(NamedTuple):
    """The eigenvalues that are kept: those in between, which no eigenspace straddles."""

    low: float
    high: float


def _window(window: tuple[float, float]) -> tuple[float, float]:
    """Return both ends of a window, or refuse it."""
    if len(window) != 2 or not all(isinstance(end, int | float) for end in window) or not window[0] <= window[1]:
        raise ValueError(f"`k` as a window must be (low, high) with low <= high, got {window!r}.")
    return float(window[0]), float(window[1])


def _solve_all(parts: Sequence[ComponentSpectrum]) -> None:
    """Solve every component wholly."""
    largest = max((part.component.size for part in parts), default=0)
    if largest > LARGEST_DENSE:
        raise ValueError(
            f"`k=None` asks for all pairs of a component of {largest:,} nodes, {8 * largest**2 / 1e9:.0f} GB; give `k`."
        )
    for part, pairs in zip(parts, dense_all([part.component for part in parts]), strict=True):
        part.values, part.vectors = pairs


def _find_lowest(parts: Sequence[ComponentSpectrum], k: int, precision: float, inside: str) -> _Range:
    """Let the parts find the ``k`` lowest pairs of all, and return the range that holds them."""
    zeros = sum(part.component.null is not None for part in parts)
    # Each of the other components has a 0 among the k lowest, so that one alone brings that many less.
    each = max(1, k - max(zeros - 1, 0))
    values, end = grow_to_gap(
        parts, lambda known: known[k - 1] if len(known) >= k else np.inf, each + (SPARE if each > 1 else 0), precision
    )
    if inside == "refuse" and len(values) > k:
        first = int(np.searchsorted(values, values[k - 1] - precision))
        raise ValueError(
            f"`k` = {k:,} lies inside the eigenspace of {values[k - 1]:.6g}, pairs {first:,} to {len(values):,}; take "
            f"{first:,} or {len(values):,} pairs, or inside='extend'."
        )
    return _Range(-math.inf, end)


def _find_window(
    parts: Sequence[ComponentSpectrum], low: float, high: float, whole: SymmetricMatrix, inside: str
) -> _Range:
    """Let the parts find all pairs of a window, and return the range that holds them."""
    precision = whole.precision
    values, end = grow_to_gap(parts, lambda known: min(high, whole.high + precision), 2 * SPARE, precision)
    start = -gap_after(-values[::-1], -low, precision)
    chosen = _Range(start - precision / 2, end)
    outside = (values < low - precision) | (values > high + precision)
    if inside == "refuse" and ((values >= chosen.low) & (values <= chosen.high) & outside).any():
        raise ValueError(f"`k` = ({low:g}, {high:g}) ends inside a chain of equal eigenvalues; use inside='extend'.")
    return chosen


def _assemble(
    laplacian: SparseOperator, whole: SymmetricMatrix, parts: Sequence[ComponentSpectrum], chosen: _Range, name: str
) -> FourierBasis:
    """Return the basis of all components' pairs in the range, sorted, with their signs and residuals."""
    nodes = whole.matrix.shape[0]
    kept = [(part.values >= chosen.low) & (part.values <= chosen.high) for part in parts]
    values = np.concatenate([part.values[keep] for part, keep in zip(parts, kept, strict=True)] or [np.empty(0)])
    place = np.empty(len(values), int)
    place[np.argsort(values, kind="stable")] = np.arange(len(values))
    vectors, residuals, done = np.zeros((nodes, len(values))), np.empty(len(values)), 0
    for part, keep in zip(parts, kept, strict=True):
        component, columns = part.component, place[done : done + int(keep.sum())]
        own = _fix_signs(part.vectors[:, keep])
        residuals[columns] = np.linalg.norm(component.matrix @ own - own * part.values[keep], axis=0)
        vectors[np.ix_(component.nodes, columns)] = own
        done += len(columns)

    def to_tensor(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, dtype=laplacian.dtype, device=laplacian.device)

    return FourierBasis(
        eigenvalues=to_tensor(np.sort(values, kind="stable")),
        entries=to_tensor(vectors.reshape(-1)),
        residuals=to_tensor(residuals),
        node_pointers=torch.tensor([0, nodes], device=laplacian.device),
        pair_pointers=torch.tensor([0, len(values)], device=laplacian.device),
        scale=None if whole.scale is None else to_tensor(whole.scale),
        fingerprints=(name,),
    )


def _fix_signs(vectors: np.ndarray) -> np.ndarray:
    """Return the columns with the sign that makes the entry of largest size, of equals the first, positive."""
    if not vectors.size:
        return vectors
    sizes = np.abs(vectors)
    # Entries that only rounding, or the tolerance of an iteration, tells apart count as equal.
    first = (sizes >= (1 - 1e-3) * sizes.max(axis=0)).argmax(axis=0)
    signs = np.sign(vectors[first, np.arange(vectors.shape[1])])
    return vectors * signs

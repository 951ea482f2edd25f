"""Wavelets as a sparse matrix: entries below a threshold left out, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import function, instance, number, positive, symmetric_operator, to_numpy
from graphkit.operators.autograd import outside_transforms
from graphkit.operators.pattern import Pattern
from graphkit.operators.sparse import SparseOperator
from graphkit.operators.wavelets.filter_bank import Kernel
from graphkit.operators.wavelets.kernel_polynomials import apply_polynomials, kernel_coefficients, kernel_order
from graphkit.operators.wavelets.shift import is_symmetric, shift_operator

BLOCK = 2**22
"""Numbers of the matrix that are held at a time."""


@dataclass(frozen=True)
class ThresholdedWavelets:
    r"""A wavelet operator without its small entries, and how far it is from the whole one.

    Attributes:
        operator: the entries that are left, symmetric, ``[nodes, nodes]``.
        threshold: entries of smaller absolute value were left out.
        dropped: Frobenius norm of what was left out.
        bound: largest sum of absolute values left out of a row: no signal's result is further off than this times the
            signal's norm.
        density: share of the ``nodes x nodes`` entries that are left.

    Example:
        >>> from graphkit.operators import laplacian
        >>> from graphkit.operators.wavelets import heat
        >>> path = laplacian(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), normalization="sym")
        >>> round(thresholded_wavelets(path, heat(0.5), threshold=0.1).density, 3)
        0.778
    """

    operator: SparseOperator
    threshold: float
    dropped: float
    bound: float
    density: float

    def __post_init__(self) -> None:
        instance("operator", self.operator, SparseOperator, "a SparseOperator")
        for name in ("threshold", "dropped", "bound", "density"):
            number(name, getattr(self, name))

    def to(self, *args: Any, **kwargs: Any) -> ThresholdedWavelets:
        """Return the wavelets on another device or in another type, with the arguments of ``Tensor.to``."""
        return replace(self, operator=self.operator.to(*args, **kwargs))


def thresholded_wavelets(
    laplacian: SparseOperator,
    kernel: Kernel,
    *,
    threshold: float = 1e-4,
    largest: float = 2.0,
    order: int | None = None,
    tolerance: float = 1e-6,
) -> ThresholdedWavelets:
    r"""Return :math:`\psi = g(L)` with the entries of absolute value below ``threshold`` left out.

    The columns are made by polynomials in blocks, of which only the upper triangle is kept and mirrored; the whole
    matrix is never there. Both public codes of GWNN compare signed values instead, and so lose all negative entries of
    the inverse, large ones among them.

    Args:
        laplacian: symmetric, ``[nodes, nodes]``.
        kernel: from eigenvalues ``[...]`` to the values of one band, ``[1, ...]``.
        threshold: 0 keeps every entry that is not 0.
        largest: upper bound on the eigenvalues.
        order: degree of the polynomial; the smallest that meets ``tolerance`` when left out.
        tolerance: error of the polynomial relative to the kernel's largest value.

    Raises:
        ValueError: where there are several bands, or the operator is not symmetric.

    Source: Xu et al. (2019), arXiv:1904.07785, section 2.3.

    Example:
        >>> from graphkit.operators import laplacian
        >>> from graphkit.operators.wavelets import heat
        >>> path = laplacian(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), normalization="sym")
        >>> found = thresholded_wavelets(path, heat(0.5), threshold=0.1)
        >>> found.operator.entries, round(found.bound, 3)
        (7, 0.039)
    """
    instance("laplacian", laplacian, SparseOperator, "a SparseOperator")
    function("kernel", kernel)
    positive("tolerance", tolerance)
    symmetric_operator("laplacian", is_symmetric(laplacian))
    if number("threshold", threshold) < 0:
        raise ValueError(f"`threshold` must be 0 or more, got {threshold!r}.")
    order = kernel_order(kernel, largest=largest, tolerance=tolerance) if order is None else order
    coefficients = kernel_coefficients(kernel, order, largest=largest)
    if len(coefficients) != 1:
        raise ValueError(f"`kernel` must have one band, got {len(coefficients)}; threshold the bands one by one.")
    with outside_transforms(), torch.no_grad():
        return _threshold_columns(laplacian, coefficients, largest, threshold)


def _threshold_columns(
    laplacian: SparseOperator, coefficients: Tensor, largest: float, threshold: float
) -> ThresholdedWavelets:
    nodes, apply = laplacian.shape[0], shift_operator(laplacian, largest)
    rows, columns, values = [], [], []
    out = torch.zeros(nodes, dtype=torch.float64, device=laplacian.device)
    squares = 0.0
    width = max(1, BLOCK // max(nodes, 1))
    for start in range(0, nodes, width):
        block = _identity(laplacian, start, min(start + width, nodes))
        found = apply_polynomials(apply, block, coefficients)[0]
        kept = found.abs() >= threshold if threshold > 0 else found != 0
        lost = torch.where(kept, 0, found).abs().double()
        out += lost.sum(1)
        squares += float(lost.square().sum())
        kept &= torch.arange(nodes, device=found.device)[:, None] <= torch.arange(start, start + found.shape[1]).to(
            found.device
        )
        i, j = kept.nonzero(as_tuple=True)
        rows.append(to_numpy(i))
        columns.append(to_numpy(j + start))
        values.append(found[i, j])
    if not rows:
        return ThresholdedWavelets(laplacian, threshold, 0.0, 0.0, 0.0)
    first, second, upper = np.concatenate(rows), np.concatenate(columns), torch.cat(values)
    beyond = np.flatnonzero(first != second)
    pattern = Pattern.from_coo(
        np.concatenate((first, second[beyond])),
        np.concatenate((second, first[beyond])),
        (nodes, nodes),
        laplacian.device,
    )
    mirrored = torch.cat((upper, upper[torch.from_numpy(beyond).to(upper.device)]))
    operator = SparseOperator._wrap(pattern, mirrored.index_select(0, pattern._perm))
    density = operator.entries / nodes**2
    return ThresholdedWavelets(operator, threshold, squares**0.5, float(out.max()), density)


def _identity(laplacian: SparseOperator, start: int, stop: int) -> Tensor:
    """Return columns ``start`` to ``stop`` of the identity."""
    block = torch.zeros(laplacian.shape[0], stop - start, dtype=laplacian.dtype, device=laplacian.device)
    at = torch.arange(stop - start, device=laplacian.device)
    block[at + start, at] = 1
    return block

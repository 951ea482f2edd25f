"""Wavelet kernels: functions of the eigenvalue, one per band, as frozen data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from graphkit._checks import integer_between, list_of, member, number, positive, tensor

Kernel: TypeAlias = Callable[[Tensor], Tensor]
"""From eigenvalues of any shape ``[...]`` to one value per band, ``[bands, ...]``."""

MOST_BANDS = 1000
"""Kernels that a bank may have: those of dyadic scales end where numbers do."""

GRID = 4097
"""Points on [0, largest] at which bounds are looked for where no eigenvalues are given."""


@dataclass(frozen=True)
class FilterBank:
    r"""Kernels :math:`g_1, \dots, g_B` on :math:`[0, \lambda_{max}]`; band b is the operator :math:`\psi_b = g_b(L)`.

    Made by :func:`heat`, :func:`mexican_hat`, :func:`meyer` and :func:`itersine`. Called on eigenvalues it returns one
    row per band.

    Attributes:
        name: which family.
        scales: what the family's kernels are stretched by.
        largest: end of the interval that the bank is meant for, an upper bound on the Laplacian's eigenvalues.
        kind: ``"frame"`` for the kernels themselves, ``"dual"`` for those that invert them.

    Source: Hammond, Vandergheynst & Gribonval (2011), arXiv:0912.3848.

    Example:
        >>> bank = heat([1.0, 2.0])
        >>> bank(torch.tensor([0.0, 2.0]))
        tensor([[1.0000, 0.1353],
                [1.0000, 0.0183]])
        >>> bank.bands
        2
    """

    name: str
    scales: tuple[float, ...]
    largest: float = 2.0
    kind: str = "frame"

    def __post_init__(self) -> None:
        member("name", self.name, _FAMILIES)
        member("kind", self.kind, ("frame", "dual"))
        positive("largest", self.largest)
        list_of("scales", self.scales, float)

    @property
    def bands(self) -> int:
        """Number of kernels."""
        return len(self.scales) + (self.name in ("mexican_hat", "meyer"))

    def __call__(self, eigenvalues: Tensor) -> Tensor:
        """Return the kernels' values, ``[bands, ...]``, for eigenvalues ``[...]``."""
        if tensor("eigenvalues", eigenvalues).is_complex():
            raise TypeError(f"`eigenvalues` must be real numbers, got {eigenvalues.dtype}.")
        values = _FAMILIES[self.name](eigenvalues, self.scales, self.largest)
        if self.kind == "frame":
            return values
        if len(values) == 1:
            return values.reciprocal()
        return values / values.square().sum(0)

    def dual(self) -> FilterBank:
        r"""Return the bank of the canonical dual frame, :math:`\tilde g_b = g_b / \sum_c g_c^2`.

        Its synthesis undoes this bank's analysis. The dual of one heat kernel is its true inverse,
        :math:`e^{+s\lambda}`; a tight frame with bound 1 is its own dual.
        """
        return replace(self, kind="dual" if self.kind == "frame" else "frame")

    def frame_sum(self, eigenvalues: Tensor) -> Tensor:
        r"""Return :math:`\sum_b g_b(\lambda)^2`, ``[...]``: 1 everywhere for a Parseval frame."""
        return self(eigenvalues).square().sum(0)

    def frame_bounds(self, eigenvalues: Tensor | None = None) -> tuple[float, float]:
        r"""Return the largest A and the smallest B with :math:`A|x|^2 \le \sum_b |\psi_b x|^2 \le B|x|^2`.

        Args:
            eigenvalues: the Laplacian's, for its own bounds; left out, those of every Laplacian whose spectrum lies in
                ``[0, largest]``, read from a fine grid.
        """
        if eigenvalues is None:
            eigenvalues = torch.linspace(0, self.largest, GRID, dtype=torch.float64)
        if not tensor("eigenvalues", eigenvalues).numel() or eigenvalues.is_complex():
            raise ValueError(
                f"`eigenvalues` must hold real numbers, one or more, got {eigenvalues.dtype} {list(eigenvalues.shape)}."
            )
        total = self.frame_sum(eigenvalues.double())
        return float(total.min()), float(total.max())


def one_band(kernel: Kernel, band: int) -> Kernel:
    """Return one kernel of several as a bank of its own."""
    return lambda eigenvalues: kernel(eigenvalues)[band : band + 1]


def heat(scale: float | Sequence[float], *, largest: float = 2.0) -> FilterBank:
    r"""Return heat kernels :math:`g_s(\lambda) = e^{-s\lambda}`, one per scale: the wavelets of GWNN.

    :math:`\psi_s \psi_t = \psi_{s+t}`, so the inverse of :math:`\psi_s` is :math:`\psi_{-s}`. Its condition number is
    :math:`e^{s\lambda_{max}}`: in float32 three digits are left at :math:`s\lambda_{max} = 9` and none at 16.

    Args:
        scale: :math:`s`, one or several; negative for the inverse.
        largest: upper bound on the eigenvalues; 2 for a normalised Laplacian.

    Source: Xu et al. (2019), arXiv:1904.07785, section 2.3. PyGSP divides the scale by the largest eigenvalue; the
    wavelets then depend on the graph's extreme node.

    Example:
        >>> heat(0.5)(torch.tensor([0.0, 2.0]))
        tensor([[1.0000, 0.3679]])
    """
    several = scale if isinstance(scale, Sequence) and not isinstance(scale, str) else (scale,)
    scales = tuple(number("scale", s) for s in several)
    if not scales:
        raise ValueError("`scale` must be one finite number or several, got none.")
    return FilterBank("heat", scales, positive("largest", largest))


def mexican_hat(bands: int = 6, *, largest: float = 2.0, lowest: float | None = None) -> FilterBank:
    r"""Return a low-pass kernel and ``bands - 1`` kernels :math:`g(\lambda) = s\lambda e^{-s\lambda}`.

    The scales run logarithmically from ``2 / lowest`` down to ``1 / largest``, and the low-pass is
    :math:`1.2 e^{-1} e^{-(\lambda / 0.4\,lowest)^4}`. A frame, not a tight one.

    Args:
        bands: number of kernels, at least 2.
        largest: upper bound on the eigenvalues.
        lowest: from where on the band-pass kernels take over; ``largest / 20`` when left out.

    Source: Hammond, Vandergheynst & Gribonval (2011), arXiv:0912.3848; names and constants of PyGSP's ``MexicanHat``.

    Example:
        >>> mexican_hat(3)(torch.tensor([0.0, 0.05, 2.0])).round(decimals=4)
        tensor([[0.4415, 0.0384, 0.0000],
                [0.0000, 0.3679, 0.0000],
                [0.0000, 0.0244, 0.3679]])
    """
    integer_between("bands", bands, 2, MOST_BANDS)
    lowest = positive("largest", largest) / 20 if lowest is None else positive("lowest", lowest)
    positive("largest", largest)
    coarsest, finest = math.log(2 / lowest), math.log(1 / largest)
    scales = torch.linspace(coarsest, finest, bands - 1, dtype=torch.float64).exp()
    return FilterBank("mexican_hat", tuple(scales.tolist()), float(largest))


def meyer(bands: int = 6, *, largest: float = 2.0) -> FilterBank:
    r"""Return a low-pass and ``bands - 1`` Meyer kernels on dyadic scales: a tight frame with bound 1.

    Each wavelet lives on one octave and a half and the squares of neighbours add up to 1. Their ends are smooth to the
    third derivative only, so that a polynomial follows them slowly.

    Args:
        bands: number of kernels, at least 2.
        largest: upper bound on the eigenvalues.

    Source: Leonardi & Van De Ville (2011), Wavelet frames on graphs defined by fMRI functional connectivity; constants
    of PyGSP's ``Meyer``.

    Example:
        >>> meyer(4).frame_sum(torch.tensor([0.0, 0.3, 1.1, 2.0]))
        tensor([1.0000, 1.0000, 1.0000, 1.0000])
    """
    integer_between("bands", bands, 2, MOST_BANDS)
    finest = 4 / (3 * positive("largest", largest))
    return FilterBank("meyer", tuple(finest * 2.0**k for k in range(bands - 2, -1, -1)), float(largest))


def itersine(bands: int = 6, *, largest: float = 2.0) -> FilterBank:
    r"""Return ``bands`` kernels of one shape, evenly spread and half overlapping: a tight frame with bound 1.

    Shifts of :math:`\sin(\tfrac{\pi}{2} \cos^2 \pi t)` on :math:`|t| \le 1/2`.

    Args:
        bands: number of kernels, at least 2.
        largest: upper bound on the eigenvalues.

    Source: PyGSP's ``Itersine`` with its overlap of 2.

    Example:
        >>> itersine(3)(torch.tensor([0.0, 0.5, 2.0])).round(decimals=4).abs()
        tensor([[1.0000, 0.7071, 0.0000],
                [0.0000, 0.7071, 0.0000],
                [0.0000, 0.0000, 1.0000]])
    """
    integer_between("bands", bands, 2, MOST_BANDS)
    return FilterBank("itersine", tuple(float(b) for b in range(bands)), positive("largest", largest))


def _heat(x: Tensor, scales: tuple[float, ...], largest: float) -> Tensor:
    return torch.stack([(-s * x).exp() for s in scales])


def _mexican_hat(x: Tensor, scales: tuple[float, ...], largest: float) -> Tensor:
    low = 1.2 / math.e * (-((x * scales[0] / 0.8) ** 4)).exp()
    return torch.stack([low, *(s * x * (-s * x).exp() for s in scales)])


def _meyer(x: Tensor, scales: tuple[float, ...], largest: float) -> Tensor:
    def step(t: Tensor) -> Tensor:
        """From 0 up to 1 on [0, 1]; ``step(t) + step(1 - t)`` is 1."""
        t = t.clamp(0, 1)
        return math.pi / 2 * t**4 * (35 - 84 * t + 70 * t**2 - 20 * t**3)

    rising, falling = (([step(1.5 * s * x / width - 1) for s in scales]) for width in (1, 2))
    return torch.stack([rising[0].cos(), *(up.sin() * down.cos() for up, down in zip(rising, falling, strict=True))])


def _itersine(x: Tensor, scales: tuple[float, ...], largest: float) -> Tensor:
    def bump(t: Tensor) -> Tensor:
        return (math.pi / 2 * (math.pi * t.clamp(-0.5, 0.5)).cos() ** 2).sin()

    width = 2 * largest / (len(scales) - 1)
    return torch.stack([bump(x / width - b / 2) for b in scales])


_FAMILIES = {"heat": _heat, "mexican_hat": _mexican_hat, "meyer": _meyer, "itersine": _itersine}

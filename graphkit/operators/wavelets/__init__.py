"""Wavelets on graphs: kernels of the eigenvalue, and three ways to apply them to signals."""

from graphkit.operators.wavelets.filter_bank import FilterBank, heat, itersine, mexican_hat, meyer
from graphkit.operators.wavelets.kernel_polynomials import kernel_coefficients, kernel_error, kernel_order
from graphkit.operators.wavelets.lanczos import Krylov, krylov
from graphkit.operators.wavelets.scattering import (
    diffusion_wavelets,
    graph_scattering,
    lazy_random_walk,
    node_scattering,
)
from graphkit.operators.wavelets.thresholding import ThresholdedWavelets, thresholded_wavelets
from graphkit.operators.wavelets.transform import wavelet_analysis, wavelet_synthesis

__all__ = [
    "FilterBank",
    "Krylov",
    "ThresholdedWavelets",
    "diffusion_wavelets",
    "graph_scattering",
    "heat",
    "itersine",
    "kernel_coefficients",
    "kernel_error",
    "kernel_order",
    "krylov",
    "lazy_random_walk",
    "mexican_hat",
    "meyer",
    "node_scattering",
    "thresholded_wavelets",
    "wavelet_analysis",
    "wavelet_synthesis",
]

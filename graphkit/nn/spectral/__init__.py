"""Convolutions in the spectral domain: filters that are functions of the Laplacian."""

from graphkit.nn.spectral.cheb import ChebConv
from graphkit.nn.spectral.fourier import SpecformerFilter, SpectralConv
from graphkit.nn.spectral.graph_wavelet import GraphWaveletConv
from graphkit.nn.spectral.polynomial import PolynomialConv

__all__ = ["ChebConv", "GraphWaveletConv", "PolynomialConv", "SpecformerFilter", "SpectralConv"]

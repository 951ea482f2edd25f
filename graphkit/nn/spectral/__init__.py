"""Convolutions in the spectral domain: filters that are functions of the Laplacian."""

from graphkit.nn.spectral.cheb import ChebConv
from graphkit.nn.spectral.polynomial import PolynomialConv
from graphkit.nn.spectral.specformer import SpecformerFilter
from graphkit.nn.spectral.spectral import SpectralConv
from graphkit.nn.spectral.wavelet import GraphWaveletConv

__all__ = ["ChebConv", "GraphWaveletConv", "PolynomialConv", "SpecformerFilter", "SpectralConv"]

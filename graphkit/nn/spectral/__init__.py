"""Convolutions in the spectral domain: filters that are functions of the Laplacian."""

from graphkit.nn.spectral.cheb import ChebConv

__all__ = ["ChebConv"]

"""The spectrum of a graph: its Fourier basis, found component by component, and what is done with it.

``fourier_basis`` reads a Laplacian and returns a ``FourierBasis``; ``symmetric`` holds the border, ``components`` the
split, ``dense`` and ``iterative`` the solvers, ``lowest`` the search that never cuts inside an eigenspace.
"""

from graphkit.operators.spectrum.basis import FourierBasis
from graphkit.operators.spectrum.fourier import fourier_basis

__all__ = ["FourierBasis", "fourier_basis"]

"""Sparse operators on graphs: functions of tensors, without modules or parameters.

``SparseOperator`` is the one matrix that everything multiplies by; ``laplacian`` and the adjacencies make it from a
graph, ``chebyshev_terms`` and ``chebyshev_sum`` make filters of it.
"""

from graphkit.operators.coarsening import BalancedTree, Hierarchy, Level, coarse_graph, coarsen
from graphkit.operators.diffusion import pagerank_graph
from graphkit.operators.feature_matrix import sparse_features
from graphkit.operators.laplacian import eigenvalue_bound, laplacian, largest_eigenvalue, rescaled_laplacian
from graphkit.operators.normalization import gcn_adjacency, mean_adjacency, sum_adjacency, walk_adjacency
from graphkit.operators.polynomials.chebyshev import chebyshev_sum, chebyshev_terms
from graphkit.operators.sparse import SparseOperator
from graphkit.operators.spectrum import FourierBasis, fourier_basis
from graphkit.operators.wavelets import (
    FilterBank,
    ThresholdedWavelets,
    diffusion_wavelets,
    graph_scattering,
    heat,
    itersine,
    krylov,
    lazy_random_walk,
    mexican_hat,
    meyer,
    node_scattering,
    thresholded_wavelets,
    wavelet_analysis,
    wavelet_synthesis,
)

__all__ = [
    "BalancedTree",
    "FilterBank",
    "FourierBasis",
    "Hierarchy",
    "Level",
    "SparseOperator",
    "ThresholdedWavelets",
    "chebyshev_sum",
    "chebyshev_terms",
    "coarse_graph",
    "coarsen",
    "diffusion_wavelets",
    "eigenvalue_bound",
    "fourier_basis",
    "gcn_adjacency",
    "graph_scattering",
    "heat",
    "itersine",
    "krylov",
    "laplacian",
    "largest_eigenvalue",
    "lazy_random_walk",
    "mean_adjacency",
    "mexican_hat",
    "meyer",
    "node_scattering",
    "pagerank_graph",
    "rescaled_laplacian",
    "sparse_features",
    "sum_adjacency",
    "thresholded_wavelets",
    "walk_adjacency",
    "wavelet_analysis",
    "wavelet_synthesis",
]

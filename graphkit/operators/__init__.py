"""Sparse operators on graphs: functions of tensors, without modules or parameters.

``SparseOperator`` is the one matrix that everything multiplies by; ``laplacian`` and the adjacencies make it from a
graph, ``chebyshev_terms`` and ``chebyshev_sum`` make filters of it.
"""

from graphkit.operators.features import sparse_features
from graphkit.operators.laplacian import eigenvalue_bound, laplacian, largest_eigenvalue, rescaled_laplacian
from graphkit.operators.normalization import gcn_adjacency, mean_adjacency, sum_adjacency
from graphkit.operators.polynomial import chebyshev_sum, chebyshev_terms
from graphkit.operators.sparse import SparseOperator
from graphkit.operators.spectrum import FourierBasis, fourier_basis

__all__ = [
    "FourierBasis",
    "SparseOperator",
    "chebyshev_sum",
    "chebyshev_terms",
    "eigenvalue_bound",
    "fourier_basis",
    "gcn_adjacency",
    "laplacian",
    "largest_eigenvalue",
    "mean_adjacency",
    "rescaled_laplacian",
    "sparse_features",
    "sum_adjacency",
]

"""Polynomial bases of an operator: each is one recurrence over a product, and one table of Chebyshev coefficients."""

from graphkit._exports import deprecated_names
from graphkit.operators.polynomials.cayley import cayley_degree, cayley_jacobi, cayley_series, cayley_values
from graphkit.operators.polynomials.chebyshev import chebyshev_filter
from graphkit.operators.polynomials.optimal_basis import optimal_terms
from graphkit.operators.polynomials.polynomial_bases import (
    BASES,
    chebyshev_interpolate,
    chebyshev_nodes,
    chebyshev_table,
    polynomial_terms,
)

__all__ = [
    "BASES",
    "cayley_degree",
    "cayley_jacobi",
    "cayley_series",
    "cayley_values",
    "chebyshev_filter",
    "chebyshev_interpolate",
    "chebyshev_nodes",
    "chebyshev_table",
    "optimal_terms",
    "polynomial_terms",
]

__getattr__ = deprecated_names(
    __name__, {"interpolated": f"{__name__}.chebyshev_interpolate", "cayley_iterated": f"{__name__}.cayley_jacobi"}
)

"""Polynomial bases of an operator: each is one recurrence over a product, and one table of Chebyshev coefficients."""

from graphkit.operators.polynomials.adaptive import optimal_terms
from graphkit.operators.polynomials.bases import BASES, polynomial_terms
from graphkit.operators.polynomials.cayley import cayley_degree, cayley_iterated, cayley_series, cayley_values
from graphkit.operators.polynomials.filters import chebyshev_filter
from graphkit.operators.polynomials.series import chebyshev_nodes, chebyshev_table, interpolated

__all__ = [
    "BASES",
    "cayley_degree",
    "cayley_iterated",
    "cayley_series",
    "cayley_values",
    "chebyshev_filter",
    "chebyshev_nodes",
    "chebyshev_table",
    "interpolated",
    "optimal_terms",
    "polynomial_terms",
]

"""Chebyshev terms and sums against NumPy's, on scalars where the truth is a cosine and on matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import chebyshev

from graphkit.operators import chebyshev_sum, chebyshev_terms, rescaled_laplacian
from graphkit.operators.polynomials.chebyshev import LazySignals
from tests.contracts import EXACT
from tests.graphs import BY_NAME, graphs

close = torch.testing.assert_close


@given(order=st.integers(1, 31), point=st.floats(-1, 1))
def test_terms_on_a_number_are_cosines(order, point):
    terms = chebyshev_terms(lambda v: point * v, torch.ones(1, 1, dtype=torch.float64), order)
    assert len(terms) == order
    found = torch.cat(terms).flatten().numpy()
    np.testing.assert_allclose(found, np.cos(np.arange(order) * np.arccos(point)), rtol=0, atol=1e-10)


@given(coefficients=st.lists(st.floats(-10, 10), min_size=1, max_size=31), point=st.floats(-1, 1))
def test_sums_on_a_number_are_numpys(coefficients, point):
    signals = [torch.tensor([c], dtype=torch.float64) for c in coefficients]
    found = float(chebyshev_sum(lambda v: point * v, signals))
    assert found == pytest.approx(chebyshev.chebval(point, coefficients), abs=1e-9)


def dense_terms(matrix, x, order):
    """T_k(M) x by the eigenvectors of a symmetric M."""
    eigenvalues, vectors = np.linalg.eigh(matrix.numpy())
    angles = np.arccos(np.clip(eigenvalues, -1, 1))
    return [torch.from_numpy(vectors @ (np.cos(k * angles)[:, None] * (vectors.T @ x.numpy()))) for k in range(order)]


@given(graph=graphs(symmetric=True), order=st.integers(1, 31))
def test_on_a_graph_they_are_functions_of_the_eigenvalues(graph, order):
    """By the operator itself and by a function that multiplies; sums and terms are each other's other way round."""
    operator = rescaled_laplacian(graph.edge_index, graph.weights(), num_nodes=graph.num_nodes, dtype=torch.float64)
    x = graph.features(2)
    truth = dense_terms(operator.to_dense(), x, order)
    factors = np.random.default_rng(order).standard_normal(order)
    expected = sum(factor * term for factor, term in zip(factors, truth, strict=True))
    for apply in (operator, operator.__matmul__, lambda v: operator.to_dense() @ v):
        for found, term in zip(chebyshev_terms(apply, x, order), truth, strict=True):
            # arccos loses half of the digits at the ends of the interval
            close(found, term, rtol=0, atol=1e-6)
        close(chebyshev_sum(apply, [factor * x for factor in factors]), expected, rtol=0, atol=1e-5)


@given(graph=graphs(symmetric=True), order=st.integers(1, 12))
def test_the_sum_is_the_adjoint_of_the_terms(graph, order):
    """<sum_k T_k y_k, z> = sum_k <y_k, T_k z> for a symmetric operator."""
    operator = rescaled_laplacian(graph.edge_index, num_nodes=graph.num_nodes, dtype=torch.float64)
    signals = [graph.features(2).roll(k, 0) * (k + 1) for k in range(order)]
    z = graph.features(2).flip(0)
    left = (chebyshev_sum(operator, signals) * z).sum()
    right = sum((y * t).sum() for y, t in zip(signals, chebyshev_terms(operator, z, order), strict=True))
    close(left, right, rtol=0, atol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_both_are_twice_differentiable(order):
    graph = BY_NAME["self-loops"]
    operator = rescaled_laplacian(graph.edge_index, graph.weights(), num_nodes=4, dtype=torch.float64)
    x = graph.features(2).requires_grad_()
    signals = [graph.features(2).mul(k + 1).requires_grad_() for k in range(order)]
    assert torch.autograd.gradcheck(lambda v: tuple(chebyshev_terms(operator, v, order)), (x,))
    assert torch.autograd.gradcheck(lambda *s: chebyshev_sum(operator, s), signals)
    assert torch.autograd.gradgradcheck(lambda *s: chebyshev_sum(operator, s).square(), signals)


def test_inputs_are_left_alone():
    graph = BY_NAME["grid"]
    operator = rescaled_laplacian(graph.edge_index, num_nodes=9, dtype=torch.float64)
    signals = [graph.features(2) * k for k in range(5)]
    before = [signal.clone() for signal in signals]
    chebyshev_sum(operator, signals)
    chebyshev_terms(operator, signals[1], 5)
    close(signals, before, **EXACT)


def test_an_order_below_one_is_refused():
    with pytest.raises(ValueError, match="`order` must be an integer of at least 1, got 0"):
        chebyshev_terms(lambda v: v, torch.ones(1, 1), 0)


def test_signals_made_one_by_one_are_those_of_a_list():
    signals = [torch.randn(4, 2, generator=torch.Generator().manual_seed(k)) for k in range(5)]
    made = []
    lazy = LazySignals(5, lambda place: made.append(place) or signals[place])
    matrix = torch.eye(4).flip(0) / 2
    assert torch.equal(chebyshev_sum(lambda v: matrix @ v, lazy), chebyshev_sum(lambda v: matrix @ v, signals))
    assert sorted(place % 5 for place in made) == [0, 1, 2, 3, 4]
    with pytest.raises(IndexError):
        lazy[5]

"""Bases of polynomials against SciPy's, their Chebyshev coefficients, the adaptive basis, Cayley's rational ones."""

from __future__ import annotations

import mpmath
import networkx as nx
import numpy as np
import pytest
import torch
from numpy.polynomial import chebyshev
from scipy.special import comb, eval_chebyt, eval_jacobi, eval_legendre

from graphkit.operators import SparseOperator, chebyshev_sum, laplacian, rescaled_laplacian
from graphkit.operators.polynomials import (
    BASES,
    cayley_degree,
    cayley_jacobi,
    cayley_series,
    cayley_values,
    chebyshev_filter,
    chebyshev_interpolate,
    chebyshev_nodes,
    chebyshev_table,
    optimal_terms,
    polynomial_bases,
    polynomial_terms,
)
from tests.graphs import BY_NAME, _from_networkx

close = torch.testing.assert_close
POINTS = torch.linspace(-1, 1, 41, dtype=torch.float64)
SCIPY = {
    "monomial": lambda k, n, t: t**k,
    "chebyshev": lambda k, n, t: eval_chebyt(k, t),
    "legendre": lambda k, n, t: eval_legendre(k, t),
    "jacobi": lambda k, n, t: eval_jacobi(k, 1.5, -0.5, t),
    "bernstein": lambda k, n, t: comb(n, k) * ((1 + t) / 2) ** k * ((1 - t) / 2) ** (n - k),
    "even": lambda k, n, t: t ** (2 * k),
}


@pytest.mark.parametrize("order", [0, 1, 2, 3, 7, 15, 30])
@pytest.mark.parametrize("basis", BASES)
def test_terms_on_numbers_are_scipys(basis, order):
    found = polynomial_terms(lambda v: POINTS * v, torch.ones_like(POINTS), order, basis=basis, a=1.5, b=-0.5)
    assert len(found) == order + 1
    for k, term in enumerate(found):
        truth = SCIPY[basis](k, order, POINTS.numpy())
        np.testing.assert_allclose(term.numpy(), truth, rtol=0, atol=1e-12 * max(1, np.abs(truth).max()) * (order + 1))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("order", [0, 1, 5, 30])
@pytest.mark.parametrize("basis", BASES)
def test_a_table_holds_the_same_terms_as_chebyshev_series(basis, order, sign):
    table = chebyshev_table(basis, order, a=1.5, b=-0.5, sign=sign).numpy()
    for k in range(order + 1):
        truth = SCIPY[basis](k, order, sign * POINTS.numpy())
        found = chebyshev.chebval(POINTS.numpy(), table[:, k])
        np.testing.assert_allclose(found, truth, rtol=0, atol=1e-11 * max(1, np.abs(truth).max()))


@pytest.mark.parametrize("order", [0, 1, 4, 30])
def test_interpolation_meets_its_values_at_the_nodes(order):
    values = torch.randn(order + 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    factors = chebyshev_interpolate(values)
    found = chebyshev.chebval(chebyshev_nodes(order).numpy(), factors.numpy())
    np.testing.assert_allclose(found, values.T.numpy(), rtol=0, atol=1e-12)
    close(chebyshev_table("chebii", order) @ values, factors)
    np.testing.assert_allclose(chebyshev.chebroots([0] * (order + 1) + [1]), sorted(chebyshev_nodes(order)), atol=1e-12)


def operator(graph):
    return rescaled_laplacian(graph.edge_index, graph.weights(), num_nodes=graph.num_nodes, dtype=torch.float64)


def test_optimal_terms_are_orthonormal_channel_by_channel():
    graph = BY_NAME["grid"]
    terms, steps = optimal_terms(operator(graph), graph.features(3), 4)
    for channel in range(3):
        rows = torch.stack([term[:, channel] for term in terms])
        close(rows @ rows.T, torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-10)
    close(steps[0][3], graph.features(3).norm(dim=0, keepdim=True))


def lattice(side):
    """Return the operator of a grid of so many nodes a side, negated as in a filter, and its dense eigenpairs."""
    graph = _from_networkx("lattice", nx.grid_2d_graph(side, side))
    matrix = rescaled_laplacian(graph.edge_index, num_nodes=graph.num_nodes, dtype=torch.float64)
    return graph, (lambda v: -(matrix @ v)), -matrix.to_dense()


@pytest.mark.parametrize("order", range(31))
def test_optimal_terms_stay_orthonormal_at_every_order(order):
    """Sides of 3, 6 and 8 have 5, 19 and 33 different eigenvalues: the recurrence alone loses all before order 30."""
    for side in (3, 6, 8, 12):
        graph, apply, _ = lattice(side)
        terms, _ = optimal_terms(apply, graph.features(3), order)
        for channel in range(3):
            rows = torch.stack([term[:, channel] for term in terms])
            there = torch.arange(order + 1) < {3: 5, 6: 19, 8: 33, 12: 73}[side]
            close(rows @ rows.T, there.double().diag(), rtol=0, atol=1e-10)


def test_optimal_terms_are_those_of_exact_arithmetic():
    """Lanczos' recurrence with 60 digits; the order-30 term of a grid of 51 different eigenvalues."""
    graph, apply, dense = lattice(10)
    x = graph.features(1)
    terms, _ = optimal_terms(apply, x, 30)
    with mpmath.workdps(60):
        matrix, term = mpmath.matrix(dense.tolist()), mpmath.matrix(x.tolist())
        before, beta = mpmath.zeros(graph.num_nodes, 1), mpmath.norm(term)
        term, beta = term / beta, mpmath.mpf(0)
        for found in terms:
            truth = torch.tensor([float(number) for number in term], dtype=torch.float64)
            close(found[:, 0], truth, rtol=0, atol=1e-11)
            image = matrix * term
            rest = image - (image.T * term)[0] * term - beta * before
            before, beta = term, mpmath.norm(rest)
            term = rest / beta


def test_mended_terms_are_the_same_and_have_right_derivatives():
    """Under a transform every term is mended, without one none of these is."""
    graph, apply, _ = lattice(6)
    x = graph.features(1).requires_grad_()

    def plain(v):
        return torch.stack(optimal_terms(apply, v, 8)[0])

    def mended(v):
        return torch.func.vmap(plain)(v[None])[0]

    close(mended(x.detach()), plain(x.detach()), rtol=0, atol=1e-13)
    factors = torch.randn(9, 36, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = [torch.autograd.grad((factors * way(x)).sum(), x)[0] for way in (mended, plain)]
    close(*found, rtol=1e-10, atol=1e-10)
    graph, apply, _ = lattice(3)

    def few(v):
        return torch.func.vmap(lambda w: torch.stack(optimal_terms(apply, w, 2)[0]))(v[None]).square()

    assert torch.autograd.gradgradcheck(few, (graph.features(1).requires_grad_(),), fast_mode=True)


def test_optimal_terms_end_with_the_krylov_space():
    graph = BY_NAME["complete"]  # two distinct eigenvalues: two terms
    matrix = rescaled_laplacian(graph.edge_index, num_nodes=5, dtype=torch.float64)
    terms, _ = optimal_terms(matrix, graph.features(2), 4)
    assert all(term.abs().max() > 0.1 for term in terms[:2])
    assert all(term.abs().max() == 0 for term in terms[2:])


def cayley(eigenvalues, weights, zoom):
    transform = (zoom * eigenvalues - 1j) / (zoom * eigenvalues + 1j)
    terms = ((a + 1j * b) * transform**j for j, (a, b) in enumerate(zip(weights[1::2], weights[2::2], strict=True), 1))
    return weights[0] + 2 * sum(terms).real


WEIGHTS = torch.tensor([0.3, 1.0, -0.5, 0.2, 0.7], dtype=torch.float64)


@pytest.mark.parametrize("zoom", [0.3, 1.0, 3.0])
def test_cayley_values_and_series_are_the_rational_function(zoom):
    eigenvalues = POINTS + 1
    truth = cayley(eigenvalues.numpy(), WEIGHTS.numpy(), zoom)
    close(cayley_values(eigenvalues, 2, zoom) @ WEIGHTS, torch.from_numpy(truth), rtol=0, atol=1e-12)
    series = cayley_series(WEIGHTS, zoom, degree=100)
    np.testing.assert_allclose(chebyshev.chebval(POINTS.numpy(), series.numpy()), truth, rtol=0, atol=1e-10)


@pytest.mark.parametrize("accuracy", [1e-3, 1e-6, 1e-11])
@pytest.mark.parametrize("zoom", [1e-3, 0.3, 1.0, -4.0, 30.0])
def test_a_degree_is_enough_for_its_accuracy_and_not_much_more(zoom, accuracy):
    for order in (0, 1, 4, 12, 30):
        degree = cayley_degree(order, zoom, accuracy)
        single = torch.eye(2 * order + 1, dtype=torch.float64)
        truth = cayley_values(POINTS + 1, order, zoom).numpy()
        found = [
            chebyshev.chebval(POINTS.numpy(), cayley_series(single, zoom, degree=tried).numpy()).T
            for tried in (degree, degree // 2)
        ]
        assert np.abs(found[0] - truth).max() < accuracy
        assert order < 4 or abs(zoom) < 0.1 or np.abs(found[1] - truth).max() > accuracy


def test_a_degree_has_an_upper_bound():
    assert cayley_degree(5, float("nan"), 1e-6) == cayley_degree(5, float("inf"), 1e-6) == 2000


def test_jacobis_iteration_converges_to_the_rational_function_and_says_how_far():
    graph = BY_NAME["grid"]
    matrix = laplacian(graph.edge_index, graph.weights(), normalization="sym", dtype=torch.float64)
    eigenvalues, vectors = torch.linalg.eigh(matrix.to_dense())
    truth = vectors @ (torch.from_numpy(cayley(eigenvalues.numpy(), WEIGHTS.numpy(), 0.7)).unsqueeze(-1) * vectors.T)
    errors = []
    for iterations in (0, 5, 60):
        found, error = cayley_jacobi(matrix, graph.features(), WEIGHTS, 0.7, iterations=iterations)
        errors.append(error)
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-12
    close(found, truth @ graph.features(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("basis", BASES)
def test_terms_are_twice_differentiable(basis):
    graph = BY_NAME["self-loops"]
    x = graph.features(2).requires_grad_()
    matrix = operator(graph)
    assert torch.autograd.gradgradcheck(
        lambda v: torch.stack(polynomial_terms(matrix, v, 3, basis=basis)).square(), (x,), fast_mode=True
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: polynomial_terms(lambda v: v, POINTS, -1, basis="even"), "`order` must be an integer of at least 0"),
        (lambda: polynomial_terms(lambda v: v, POINTS, 1, basis="bernstien"), "Did you mean 'bernstein'"),
        (lambda: polynomial_terms(lambda v: v, POINTS, 1, basis="jacobi", a=-1), "`a` must be .* above -1, got -1"),
        (lambda: optimal_terms(lambda v: v, POINTS[:, None], -1), "`order` must be an integer"),
        (lambda: cayley_values(POINTS, -2, 1.0), "got -2"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---- one filter in place


def crooked(features=40, dtype=torch.float64):
    """Return an operator that is not symmetric, and a signal wide enough for our own kernel."""
    graph = BY_NAME["grid"]
    operator = rescaled_laplacian(
        graph.edge_index, graph.weights(), num_nodes=graph.num_nodes, normalization="rw", dtype=dtype
    )
    return operator, torch.randn(graph.num_nodes, features, dtype=dtype, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("features", [3, 40])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("terms", [1, 2, 3, 4, 11])
def test_a_filter_in_place_is_the_sum_of_its_terms_and_so_are_its_gradients(terms, per_channel, features):
    operator, x = crooked(features)
    shape = (terms, features) if per_channel else (terms,)
    factors = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    upstream = torch.randn_like(x)
    found = []
    for way in (chebyshev_filter, lambda m, c, v: chebyshev_sum(m.__matmul__, [factor * v for factor in c])):
        given = x.clone().requires_grad_(), factors.clone().requires_grad_()
        out = way(operator, given[1], given[0])
        kept = upstream.clone()
        found.append((out.detach(), *torch.autograd.grad(out, given, kept)))
        close(kept, upstream, rtol=0, atol=0)  # what autograd handed in was not written over
    for ours, truth in zip(*found, strict=True):
        close(ours, truth, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_filter_in_place_can_be_differentiated_twice(per_channel):
    operator, x = crooked(2)
    factors = torch.randn(*((4, 2) if per_channel else (4,)), dtype=torch.float64, requires_grad=True)
    given = factors, x.requires_grad_()
    assert torch.autograd.gradcheck(lambda c, v: chebyshev_filter(operator, c, v), given)
    assert torch.autograd.gradgradcheck(lambda c, v: chebyshev_filter(operator, c, v), given)


def test_a_filter_of_learnt_weights_or_under_a_transform_is_the_plain_sum():
    operator, x = crooked(3)
    factors = torch.tensor([0.5, -1.0, 2.0, 0.1], dtype=torch.float64)
    learnt = operator.with_values(operator.values.clone().requires_grad_())
    chebyshev_filter(learnt, factors, x).sum().backward()
    assert learnt.values.grad.abs().sum() > 0
    expected = chebyshev_filter(operator, factors, x)
    close(
        torch.func.vmap(lambda c: chebyshev_filter(operator, c, x))(torch.stack((factors, 2 * factors)))[1],
        2 * expected,
    )
    close(chebyshev_filter(operator, factors, torch.stack((x, x)))[1], expected)
    half = SparseOperator.from_dense(torch.eye(2))
    assert chebyshev_filter(half, torch.ones(3), torch.ones(2, 1, dtype=torch.bfloat16)).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="`x`"):
        chebyshev_filter(operator, factors, x[:4])


@pytest.mark.parametrize("basis", ["monomial", "chebii", "bernstein", "jacobi", "legendre", "even", "chebyshev"])
def test_a_table_that_is_kept_lies_nowhere_but_on_the_cpu(basis):
    expected = chebyshev_table(basis, 4)
    polynomial_bases._table.cache_clear()
    polynomial_bases._cosines.cache_clear()
    with torch.device("meta"):
        assert chebyshev_table(basis, 4).is_meta
    assert torch.equal(chebyshev_table(basis, 4), expected)
    values = torch.linspace(-1, 1, 5, dtype=torch.float64)
    assert chebyshev_interpolate(values).isfinite().all()

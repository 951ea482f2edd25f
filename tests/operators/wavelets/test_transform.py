"""Analysis and synthesis, exact, by polynomials and by Lanczos: against dense eigenvectors and closed forms."""

from __future__ import annotations

import math

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphkit.operators import (
    FilterBank,
    SparseOperator,
    fourier_basis,
    heat,
    itersine,
    krylov,
    laplacian,
    mexican_hat,
    meyer,
    wavelet_analysis,
    wavelet_synthesis,
)
from tests.contracts import LargestTensor
from tests.graphs import BY_NAME, ZOO, graphs, large, undirected

BANKS = [heat(1.0), heat([0.5, 2.0, 4.0]), mexican_hat(4), meyer(4), itersine(5)]
SMOOTH = [bank for bank in BANKS if bank.name in ("heat", "mexican_hat")]
SYMMETRIC = [graph for graph in ZOO if graph.symmetric and graph.num_nodes]
EXACT = {"rtol": 0.0, "atol": 1e-10}
close = torch.testing.assert_close


def named(part):
    return f"{part.name} {part.bands}" if isinstance(part, FilterBank) else part.name


def operator_of(graph, normalization="sym", weighted=True):
    weight = graph.weights() if weighted else None
    return laplacian(graph.edge_index, weight, graph.num_nodes, normalization=normalization, dtype=torch.float64)


def dense(operator, x, bank):
    """Every band's operator as a dense matrix, U g(Lambda) U^T, times x."""
    eigenvalues, vectors = torch.linalg.eigh(operator.to_dense())
    return torch.stack([(vectors * row) @ vectors.T @ x for row in bank(eigenvalues)])


# ---- truth


@pytest.mark.parametrize("bank", BANKS, ids=named)
@pytest.mark.parametrize("graph", SYMMETRIC, ids=named)
def test_three_ways_agree_with_the_dense_matrices_and_invert(graph, bank):
    operator, x = operator_of(graph), graph.features()
    truth = dense(operator, x, bank)
    ways = [(fourier_basis(operator), {}), (operator, {"method": "krylov", "tolerance": 1e-13})]
    if bank in SMOOTH:
        ways.append((operator, {"tolerance": 1e-12}))
    for given_as, options in ways:
        found = wavelet_analysis(given_as, x, bank, **options)
        close(found, truth, **EXACT)
        close(wavelet_synthesis(given_as, found, bank, **options), x, **EXACT)


@pytest.mark.parametrize("bank", [meyer(3), itersine(4)], ids=named)
def test_polynomials_of_kernels_with_few_derivatives_are_as_near_as_asked_for(bank):
    operator, x = operator_of(BY_NAME["grid"]), BY_NAME["grid"].features()
    truth = dense(operator, x, bank)
    for tolerance in (1e-2, 1e-3):
        found = wavelet_analysis(operator, x, bank, tolerance=tolerance)
        assert float((found - truth).norm(dim=1).max() / x.norm(dim=0).max()) < tolerance


@pytest.mark.parametrize("nodes", [5, 12])
@pytest.mark.parametrize("scale", [0.7, 3.0])
def test_on_a_ring_heat_is_a_sum_of_cosines(nodes, scale):
    """The ring's eigenvalues are 1 - cos(2 pi k / n): psi_ij = 1/n sum_k exp(-s (1 - cos a_k)) cos(a_k (i - j))."""
    graph = undirected("ring", list(nx.cycle_graph(nodes).edges), nodes)
    angles = 2 * math.pi * torch.arange(nodes, dtype=torch.float64) / nodes
    away = torch.arange(nodes)[:, None] - torch.arange(nodes)
    waves = torch.cos(angles[:, None, None] * away)
    truth = torch.einsum("k,kij->ij", torch.exp(-scale * (1 - angles.cos())), waves) / nodes
    found = wavelet_analysis(
        operator_of(graph, weighted=False), torch.eye(nodes).double(), heat(scale), tolerance=1e-12
    )
    close(found[0], truth, **EXACT)


@pytest.mark.parametrize("nodes", [2, 9])
def test_on_a_path_heat_is_a_sum_of_discrete_cosines(nodes):
    """The path's combinatorial Laplacian: eigenvalues 2 - 2 cos(pi k / n), eigenvectors cos(pi k (i + 1/2) / n)."""
    k, i = torch.arange(nodes, dtype=torch.float64), torch.arange(nodes, dtype=torch.float64) + 0.5
    vectors = torch.cos(math.pi * torch.outer(i, k) / nodes) * (1 + (k > 0)).double().sqrt() / nodes**0.5
    values = torch.exp(-1.3 * (2 - 2 * torch.cos(math.pi * k / nodes)))
    graph = undirected("path", list(nx.path_graph(nodes).edges), nodes)
    bank = heat(1.3, largest=4.0)
    found = wavelet_analysis(operator_of(graph, None, weighted=False), torch.eye(nodes).double(), bank, tolerance=1e-12)
    close(found[0], (vectors * values) @ vectors.T, **EXACT)


def test_an_operator_with_gaps_on_its_diagonal_is_taken_too():
    matrix = torch.tensor([[2.0, -1.0, 0.0], [-1.0, 2.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    operator, x = SparseOperator.from_dense(matrix), torch.eye(3, dtype=torch.float64)
    truth = torch.linalg.matrix_exp(matrix)
    for method in ("chebyshev", "krylov"):
        found = wavelet_analysis(operator, x, heat(-1.0, largest=3.0), method=method, tolerance=1e-13)[0]
        close(found, truth, **EXACT)


# ---- laws


@given(graph=graphs(symmetric=True), first=st.floats(0, 4), second=st.floats(0, 4))
def test_heat_is_a_semigroup(graph, first, second):
    operator, x = operator_of(graph), graph.features()

    def flow(scale, signal):
        return wavelet_analysis(operator, signal, heat(scale), tolerance=1e-13)[0]

    close(flow(first, flow(second, x)), flow(first + second, x), **EXACT)


@given(graph=graphs(symmetric=True), scale=st.floats(0.1, 4))
def test_a_heat_wavelet_times_its_inverse_is_the_identity(graph, scale):
    operator, x = operator_of(graph), torch.eye(graph.num_nodes, dtype=torch.float64)
    there = wavelet_analysis(operator, x, heat(scale), tolerance=1e-14)[0]
    close(wavelet_analysis(operator, there, heat(-scale), tolerance=1e-14)[0], x, **EXACT)
    back = wavelet_analysis(operator, x, heat(-scale), tolerance=1e-14)
    close(wavelet_synthesis(operator, back, heat(-scale), tolerance=1e-14), x, **EXACT)


@pytest.mark.parametrize("bank", [meyer(4), itersine(5)], ids=named)
@given(graph=graphs(symmetric=True))
def test_tight_frames_keep_the_energy(bank, graph):
    """Parseval: the coefficients of all bands together have the norm of the signal."""
    x = graph.features()
    found = wavelet_analysis(operator_of(graph), x, bank, method="krylov", tolerance=1e-13)
    close(found.square().sum((0, 1)), x.square().sum(0), **EXACT)


@given(graph=graphs(symmetric=True))
def test_energy_lies_between_the_frame_bounds(graph):
    bank, x = mexican_hat(4), graph.features()
    energy = wavelet_analysis(operator_of(graph), x, bank, method="krylov", tolerance=1e-8).square().sum(
        (0, 1)
    ) / x.square().sum(0)
    lower, upper = bank.frame_bounds()
    assert bool((energy >= lower - 1e-6).all())
    assert bool((energy <= upper + 1e-6).all())


def test_a_constant_times_the_roots_of_the_degrees_stays_as_it_is():
    graph = BY_NAME["star"]
    steady = graph.dense().sum(1, keepdim=True).sqrt()
    close(wavelet_analysis(operator_of(graph, weighted=False), steady, heat(5.0))[0], steady, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["chebyshev", "krylov"])
def test_gradients_flow_to_signals_and_coefficients(method):
    operator, x = operator_of(BY_NAME["grid"]), BY_NAME["grid"].features(2).requires_grad_()
    options = {"method": method, "tolerance": 1e-13}
    bank = heat([0.5, 2.0])
    assert torch.autograd.gradcheck(lambda v: wavelet_analysis(operator, v, bank, **options), (x,), fast_mode=True)
    bands = torch.stack([x.detach(), 2 * x.detach()]).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: wavelet_synthesis(operator, c, bank, **options), (bands,), fast_mode=True)
    assert torch.autograd.gradgradcheck(
        lambda v: wavelet_analysis(operator, v, bank, **options).square(), (x,), fast_mode=True
    )


def test_gradients_flow_to_edge_weights():
    graph = BY_NAME["self-loops"]

    def heated(of_nodes):
        source, target = graph.edge_index
        weight = of_nodes[source] * of_nodes[target]
        operator = laplacian(graph.edge_index, weight, graph.num_nodes, normalization="sym", dtype=torch.float64)
        return wavelet_analysis(operator, graph.features(2), heat(1.0), order=12)

    of_nodes = torch.linspace(1, 2, graph.num_nodes, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(heated, (of_nodes,), fast_mode=True)
    operator = operator_of(graph).with_values(operator_of(graph).values.requires_grad_())
    with pytest.raises(ValueError, match="`operator` has values with a gradient, which Lanczos iteration does not"):
        wavelet_analysis(operator, graph.features(2), heat(1.0), method="krylov")


def test_no_array_of_nodes_by_nodes_is_made():
    graph = large(900, 8)
    operator, x = operator_of(graph), graph.features(3)
    for method in ("chebyshev", "krylov"):
        with LargestTensor() as largest:
            bands = wavelet_analysis(operator, x, heat([1.0, 2.0]), method=method)
            wavelet_synthesis(operator, bands, heat([1.0, 2.0]), method=method)
        assert largest.numbers < 900 * 900 / 4


# ---- Lanczos iteration


def test_the_error_estimate_is_above_the_error():
    graph = large(300, 6)
    operator, x = operator_of(graph), graph.features(3)
    for bank in (heat(1.0), heat(8.0), mexican_hat(4)):
        truth = dense(operator, x, bank)
        for tolerance in (1e-2, 1e-5, 1e-9):
            found = krylov(operator, x, bank, tolerance=tolerance)
            error = (found.values - truth).square().sum((0, 1)).sqrt()
            assert bool((error <= found.error).all())
            assert bool((found.error <= tolerance * x.norm(dim=0)).all())


def test_more_is_asked_of_more_steps():
    operator, x = operator_of(large(300, 6)), large(300, 6).features(2)
    taken = [krylov(operator, x, heat(3.0), tolerance=tolerance).steps for tolerance in (1e-2, 1e-6, 1e-12)]
    assert taken == sorted(set(taken))


def test_it_ends_after_as_many_steps_as_there_are_eigenvalues():
    """The complete graph has two; a signal that is an eigenvector, or zero, needs one."""
    graph = BY_NAME["complete"]
    operator = operator_of(graph, weighted=False)
    assert krylov(operator, graph.features(), heat(1.0)).steps == 2
    found = krylov(operator, torch.stack([torch.ones(5), torch.zeros(5)], 1).double(), heat(1.0))
    assert found.steps == 1
    close(found.values[0, :, 0], torch.ones(5, dtype=torch.float64), **EXACT)
    close(found.values[0, :, 1], torch.zeros(5, dtype=torch.float64), **EXACT)


def test_too_few_steps_are_warned_of():
    graph = large(300, 6)
    with pytest.warns(UserWarning, match="stopped after 5 `steps` with an estimated relative error"):
        krylov(operator_of(graph), graph.features(2), heat(5.0), steps=5, tolerance=1e-10)


# ---- refusals


def test_what_has_no_frequencies_is_refused():
    graph = BY_NAME["directed"]
    for method in ("chebyshev", "krylov"):
        with pytest.raises(ValueError, match="`operator` must be symmetric to have frequencies; make the graph undir"):
            wavelet_analysis(operator_of(graph), graph.features(), heat(1.0), method=method)


def test_a_spectrum_beyond_the_bank_is_refused():
    graph = BY_NAME["star"]
    with pytest.raises(ValueError, match=r"`operator` has the eigenvalue 6, but the bank was made for \[0, 2\]"):
        wavelet_analysis(operator_of(graph, None, weighted=False), graph.features(), heat(1.0))


def test_signals_of_another_length_are_refused():
    operator, x = operator_of(BY_NAME["grid"]), torch.ones(8, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="`x` must have 9 rows"):
        wavelet_analysis(operator, x, heat(1.0))
    with pytest.raises(ValueError, match="`x` has 8 nodes, but the basis belongs to a graph of 9 nodes"):
        wavelet_analysis(fourier_basis(operator), x, heat(1.0))


def test_an_inverse_without_digits_is_refused_and_one_with_few_is_warned_of():
    graph = BY_NAME["grid"]
    operator = laplacian(graph.edge_index, normalization="sym")
    bands = graph.features(dtype=torch.float32).unsqueeze(0)
    with pytest.warns(UserWarning, match=r"amplifies errors 2.2e\+04 times; in float32 a relative error of 3e-03"):
        wavelet_synthesis(operator, bands, heat(5.0))
    with pytest.raises(ValueError, match=r"`bank` 'heat' cannot be inverted in float32: its condition number is 8.9e"):
        wavelet_synthesis(operator, bands, heat(8.0))
    wavelet_synthesis(operator_of(graph), bands.double(), heat(8.0))


def test_an_unknown_method_is_refused():
    graph = BY_NAME["grid"]
    with pytest.raises(ValueError, match=r"`method` 'chebychev' is not known. Did you mean 'chebyshev'"):
        wavelet_analysis(operator_of(graph), graph.features(), heat(1.0), method="chebychev")


@pytest.mark.parametrize("bank", [meyer(), itersine()], ids=named)
def test_kernels_that_are_not_smooth_are_followed_to_a_thousandth_by_default(bank):
    graph = BY_NAME["grid"]
    operator, x = operator_of(graph), graph.features()
    found = wavelet_analysis(operator, x, bank)
    close(found, dense(operator, x, bank), rtol=0, atol=1e-3 * float(x.norm()))
    close(wavelet_synthesis(operator, found, bank), x, rtol=0, atol=2e-2 * float(x.norm()))  # six bands, twice
    with pytest.raises(ValueError, match=r"`tolerance` 1e-07 asks for a polynomial .* larger `tolerance`, or see"):
        wavelet_analysis(operator, x, bank, tolerance=1e-7)


@pytest.mark.parametrize("method", ["chebyshev", "krylov"])
def test_a_signal_without_features_is_one_of_one_feature(method):
    graph, bank = BY_NAME["grid"], heat([0.5, 2.0])
    x = graph.features()
    for operator in (operator_of(graph), fourier_basis(operator_of(graph))):
        found = wavelet_analysis(operator, x[:, 0], bank, method=method)
        close(found, wavelet_analysis(operator, x, bank, method=method)[..., 0], **EXACT)
        close(wavelet_synthesis(operator, found, bank, method=method), x[:, 0], rtol=0, atol=1e-5)


def test_what_is_no_operator_is_refused():
    graph = BY_NAME["grid"]
    with pytest.raises(TypeError, match=r"`operator` must be a SparseOperator, .* or a FourierBasis, got Tensor"):
        wavelet_analysis(graph.edge_index, graph.features(), heat(1.0))

"""Laplacians against SciPy and NetworkX, and what is known of their spectra."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from scipy.sparse.csgraph import laplacian as scipys

from graphkit.operators import SparseOperator, eigenvalue_bound, laplacian, largest_eigenvalue, rescaled_laplacian
from tests.contracts import EXACT, matrix_forms
from tests.graphs import BY_NAME, ZOO, graphs, large

close = torch.testing.assert_close
SYMMETRIC = [graph for graph in ZOO if graph.symmetric]
KINDS = [None, "sym", "rw"]


def of(graph, weight=None, **options):
    return laplacian(graph.edge_index, weight, graph.num_nodes, dtype=torch.float64, **options)


def without_loops(graph, weight=None):
    return graph.dense(weight).fill_diagonal_(0)


# ---- truth


@pytest.mark.parametrize("normalization", [None, "sym"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("graph", [g for g in SYMMETRIC if g.num_nodes], ids=lambda graph: graph.name)
def test_it_is_scipys(graph, weighted, normalization):
    weight = graph.weights() if weighted else None
    adjacency = scipy.sparse.csr_array(without_loops(graph, weight).numpy())
    truth = scipys(adjacency, normed=normalization == "sym").toarray()
    close(of(graph, weight, normalization=normalization).to_dense().numpy(), truth, **EXACT)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("graph", [g for g in SYMMETRIC if g.num_nodes], ids=lambda graph: graph.name)
def test_it_is_networkxs(graph, weighted):
    weight = graph.weights() if weighted else None
    other = nx.from_numpy_array(without_loops(graph, weight).numpy())
    close(of(graph, weight).to_dense().numpy(), nx.laplacian_matrix(other).toarray().astype(float), **EXACT)
    truth = nx.normalized_laplacian_matrix(other).toarray()
    close(of(graph, weight, normalization="sym").to_dense().numpy(), truth, **EXACT)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_the_random_walk_divides_by_incoming_weights(graph, weighted):
    weight = graph.weights() if weighted else None
    matrix = without_loops(graph, weight)
    degree = matrix.sum(1)
    inverse = torch.where(degree > 0, 1 / degree, 0)
    truth = (degree > 0).double().diag() - inverse[:, None] * matrix
    close(of(graph, weight, normalization="rw").to_dense(), truth, **EXACT)


@pytest.mark.parametrize("normalization", KINDS)
def test_every_form_of_a_graph_has_the_same_laplacian(normalization):
    for graph in ZOO:
        weight = graph.weights()
        expected = of(graph, weight, normalization=normalization).to_dense()
        for form in matrix_forms(graph, weight):
            found = laplacian(form, normalization=normalization, dtype=torch.float64)
            close(found.to_dense(), expected, **EXACT)


def test_the_number_of_nodes_is_the_largest_id_plus_one_when_left_out():
    assert laplacian(torch.tensor([[0, 4], [4, 0]])).shape == (5, 5)
    assert laplacian(torch.empty(2, 0, dtype=torch.long)).shape == (0, 0)


# ---- laws


@given(graph=graphs(symmetric=True))
def test_the_combinatorial_one_takes_constants_to_zero_and_is_positive_semidefinite(graph):
    matrix = of(graph, graph.weights()).to_dense()
    close(matrix.sum(1), torch.zeros(graph.num_nodes, dtype=torch.float64), **EXACT)
    assert torch.equal(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-10


@given(graph=graphs())
def test_rows_sum_to_zero_on_directed_graphs_too(graph):
    for normalization in (None, "rw"):
        sums = of(graph, graph.weights(), normalization=normalization).sums()
        close(sums, torch.zeros(graph.num_nodes, dtype=torch.float64), **EXACT)


@given(graph=graphs(symmetric=True), normalization=st.sampled_from(KINDS))
def test_it_has_the_eigenvalue_zero_once_for_each_component(graph, normalization):
    """Isolated nodes are components. The random walk's eigenvalues are the symmetric one's."""
    components, _ = connected_components(scipy.sparse.csr_array(graph.dense().numpy()))
    matrix = of(graph, graph.weights(), normalization=normalization).to_dense()
    eigenvalues = np.sort(np.linalg.eigvals(matrix.numpy()).real)
    # a double root of the unsymmetric matrix is found to the square root of the precision
    assert (np.abs(eigenvalues) < 1e-6).sum() == components


@given(graph=graphs(symmetric=True))
def test_the_symmetric_ones_spectrum_lies_between_zero_and_two(graph):
    eigenvalues = torch.linalg.eigvalsh(of(graph, graph.weights(), normalization="sym").to_dense())
    assert eigenvalues.min() > -1e-10
    assert eigenvalues.max() < 2 + 1e-10


@given(graph=graphs(symmetric=True), normalization=st.sampled_from([None, "sym"]))
def test_the_bound_is_a_bound_and_the_largest_eigenvalue_is_it(graph, normalization):
    operator = of(graph, graph.weights(), normalization=normalization)
    largest = float(torch.linalg.eigvalsh(operator.to_dense())[-1])
    assert float(eigenvalue_bound(operator)) >= largest - 1e-10
    assert float(largest_eigenvalue(operator)) == pytest.approx(largest, abs=1e-10)


def test_each_graph_of_a_batch_has_its_own_bound_and_eigenvalue():
    zoo = [graph for graph in SYMMETRIC if graph.num_nodes]
    starts = np.cumsum([0, *[graph.num_nodes for graph in zoo]])
    index = torch.cat([graph.edge_index + start for graph, start in zip(zoo, starts, strict=False)], 1)
    batch = torch.arange(len(zoo)).repeat_interleave(torch.tensor([graph.num_nodes for graph in zoo]))
    for normalization in (None, "sym"):
        together = laplacian(index, num_nodes=int(starts[-1]), normalization=normalization, dtype=torch.float64)
        apart = [of(graph, normalization=normalization) for graph in zoo]
        bounds, largest = torch.cat([eigenvalue_bound(o) for o in apart]), [float(largest_eigenvalue(o)) for o in apart]
        close(eigenvalue_bound(together, batch), bounds, **EXACT)
        close(largest_eigenvalue(together, batch), torch.tensor(largest, dtype=torch.float64), **EXACT)


def test_a_large_graphs_largest_eigenvalue_is_found_by_iteration():
    graph = large(nodes=500, degree=6)
    operator = of(graph)
    truth = float(torch.linalg.eigvalsh(operator.to_dense())[-1])
    found = largest_eigenvalue(operator)
    assert float(found) == pytest.approx(truth, rel=1e-6)
    assert torch.equal(found, largest_eigenvalue(operator)), "a fixed start makes it reproducible"


def test_the_bound_of_no_edges_is_zero():
    assert eigenvalue_bound(of(BY_NAME["no edges"])).tolist() == [0.0]
    assert eigenvalue_bound(of(BY_NAME["empty"])).tolist() == [0.0]
    assert largest_eigenvalue(of(BY_NAME["empty"])).tolist() == [0.0]


@pytest.mark.parametrize("normalization", KINDS)
def test_the_diagonal_of_an_isolated_node_may_be_chosen(normalization):
    operator = of(BY_NAME["isolated nodes"], normalization=normalization, isolated=1.0)
    assert operator.to_dense().diagonal()[0].item() == (0.0 if normalization is None else 1.0)


# ---- rescaled


@pytest.mark.parametrize("largest", [None, 1.5, torch.tensor(1.5, dtype=torch.float64)], ids=str)
@pytest.mark.parametrize("normalization", KINDS)
@pytest.mark.parametrize("graph", [g for g in SYMMETRIC if g.num_edges > 1], ids=lambda graph: graph.name)
def test_the_rescaled_one_is_two_l_over_the_largest_minus_one(graph, normalization, largest):
    weight = graph.weights()
    matrix = of(graph, weight, normalization=normalization, isolated=1.0).to_dense()
    bound = largest or (2.0 if normalization else float(2 * matrix.diagonal().max()))
    found = rescaled_laplacian(
        graph.edge_index,
        weight,
        num_nodes=graph.num_nodes,
        normalization=normalization,
        largest=largest,
        dtype=torch.float64,
    )
    truth = 2 * matrix / bound - torch.eye(graph.num_nodes, dtype=torch.float64)
    close(found.to_dense(), truth, **EXACT)


@given(graph=graphs(symmetric=True), normalization=st.sampled_from([None, "sym"]))
def test_the_rescaled_spectrum_lies_between_minus_one_and_one(graph, normalization):
    operator = rescaled_laplacian(
        graph.edge_index, graph.weights(), num_nodes=graph.num_nodes, normalization=normalization, dtype=torch.float64
    )
    assert torch.linalg.eigvalsh(operator.to_dense()).abs().max() < 1 + 1e-10


# ---- derivatives and refusals


@pytest.mark.parametrize("normalization", KINDS)
def test_it_is_twice_differentiable_in_the_weights(normalization):
    for name in ("self-loops", "isolated nodes", "duplicate edges"):
        graph = BY_NAME[name]
        weight = graph.weights().requires_grad_()

        def function(weight, graph=graph):
            return of(graph, weight, normalization=normalization).values

        def rescaled(weight, graph=graph):
            return rescaled_laplacian(
                graph.edge_index, weight, num_nodes=graph.num_nodes, normalization=normalization, dtype=torch.float64
            ).values

        for each in (function, rescaled):
            # the bound of a combinatorial Laplacian is a maximum, smooth only where a single node reaches it
            if each is rescaled and normalization is None and name != "self-loops":
                continue
            assert torch.autograd.gradcheck(each, (weight,))
            assert torch.autograd.gradgradcheck(each, (weight,))


def test_an_unknown_normalisation_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"`normalization` 'symm' is not known. Did you mean 'sym'\?"):
        laplacian(BY_NAME["path"].edge_index, normalization="symm")


def test_a_directed_laplacian_has_no_largest_eigenvalue():
    with pytest.raises(ValueError, match=r"`laplacian` must be symmetric .* make the graph undirected"):
        largest_eigenvalue(of(BY_NAME["directed"]))


def test_an_operator_with_implicit_ones_has_a_bound():
    operator = SparseOperator.from_edge_index(BY_NAME["complete"].edge_index, num_nodes=5)
    assert eigenvalue_bound(operator).tolist() == [4.0]

"""Adjacencies against their dense formulas."""

from __future__ import annotations

import pytest
import torch

from graphkit.operators import gcn_adjacency, mean_adjacency, sum_adjacency, walk_adjacency
from tests.contracts import EXACT, matrix_forms
from tests.graphs import BY_NAME, ZOO

close = torch.testing.assert_close


def dense_gcn(graph, weight, *, loop, normalize):
    """D^-1/2 (A + c I) D^-1/2, where a loop that the graph has stays alone."""
    matrix = graph.dense(weight)
    if loop:
        own = torch.zeros(graph.num_nodes, dtype=torch.float64)
        for (source, target), w in zip(graph.edge_index.T.tolist(), weight, strict=True):
            if source == target:
                own[source] = w
        matrix = matrix.fill_diagonal_(0) + torch.where(own > 0, own, loop).diag()
    if not normalize:
        return matrix
    degree = matrix.sum(1)
    root = torch.where(degree > 0, degree, 1).rsqrt() * (degree > 0)
    return root[:, None] * matrix * root


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("loop", [0.0, 1.0, 2.0], ids=["no loops", "loops", "improved"])
@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_gcns_adjacency_is_its_formula(graph, loop, normalize):
    for weight in (torch.ones(graph.num_edges, dtype=torch.float64), graph.weights()):
        found = gcn_adjacency(
            graph.edge_index,
            weight,
            num_nodes=graph.num_nodes,
            improved=loop == 2,
            add_self_loops=loop > 0,
            normalize=normalize,
            dtype=torch.float64,
        )
        close(found.to_dense(), dense_gcn(graph, weight, loop=loop, normalize=normalize), **EXACT)


@pytest.mark.parametrize("graph", [g for g in ZOO if g.simple], ids=lambda graph: graph.name)
def test_a_matrix_with_loops_gives_what_its_edges_give(graph):
    """PyG keeps a matrix's loops as they are and replaces an edge list's."""
    expected = gcn_adjacency(graph.edge_index, graph.weights(), num_nodes=graph.num_nodes, dtype=torch.float64)
    for form in matrix_forms(graph, graph.weights()):
        found = gcn_adjacency(form, num_nodes=graph.num_nodes, dtype=torch.float64)
        close(found.to_dense(), expected.to_dense(), **EXACT)


def test_the_normalised_adjacency_of_a_symmetric_graph_is_symmetric_to_the_bit():
    for graph in ZOO:
        for weight in (None, graph.weights()):
            assert gcn_adjacency(graph.edge_index, weight, num_nodes=graph.num_nodes).symmetric is graph.symmetric


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_means_and_sums_count_every_edge_once(graph):
    dense = graph.dense()
    summed = sum_adjacency(graph.edge_index, num_nodes=graph.num_nodes)
    mean = mean_adjacency(graph.edge_index, num_nodes=graph.num_nodes, dtype=torch.float64)
    close(summed.to_dense().double(), dense, **EXACT)
    close(mean.to_dense(), dense / dense.sum(1, keepdim=True).clamp(min=1), **EXACT)


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_walks_take_means_by_weights(graph):
    weight = graph.weights().abs() + 0.1
    dense = graph.dense(weight)
    walk = walk_adjacency(graph.edge_index, weight, num_nodes=graph.num_nodes, dtype=torch.float64).to_dense()
    total = dense.sum(1, keepdim=True)
    close(walk, torch.where(total > 0, dense / torch.where(total > 0, total, 1.0), 0.0), **EXACT)


def test_the_flow_turns_the_edges_round():
    graph = BY_NAME["directed"]
    for make in (gcn_adjacency, mean_adjacency, sum_adjacency, walk_adjacency):
        against = make(graph.edge_index, num_nodes=6, flow="target_to_source")
        close(against.to_dense(), make(graph.edge_index.flip(0), num_nodes=6).to_dense(), rtol=0, atol=0)


@pytest.mark.parametrize("loops", [False, True])
def test_gcns_adjacency_is_twice_differentiable_in_the_weights(loops):
    for name in ("self-loops", "isolated nodes", "duplicate edges", "directed"):
        graph = BY_NAME[name]

        def values(weight, graph=graph):
            nodes = graph.num_nodes
            return gcn_adjacency(
                graph.edge_index, weight, num_nodes=nodes, add_self_loops=loops, dtype=torch.float64
            ).values

        weight = graph.weights().requires_grad_()
        assert torch.autograd.gradcheck(values, (weight,))
        assert torch.autograd.gradgradcheck(values, (weight,))


def test_a_node_whose_weights_are_zero_has_zeros_and_finite_gradients():
    weight = torch.zeros(8, dtype=torch.float64, requires_grad=True)
    found = gcn_adjacency(BY_NAME["path"].edge_index, weight, num_nodes=5, add_self_loops=False, dtype=torch.float64)
    assert not found.values.any()
    assert torch.autograd.grad(found.values.sum(), weight)[0].isfinite().all()


def test_the_largest_weight_of_bfloat16_is_normalised_in_float32():
    weight = torch.ones(8, dtype=torch.bfloat16)
    assert gcn_adjacency(BY_NAME["path"].edge_index, weight, num_nodes=5).dtype == torch.float32

"""Geometric scattering against dense matrix powers, and what it does not depend on."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from graphkit.operators import graph_scattering, lazy_random_walk, node_scattering
from graphkit.operators.wavelets import diffusion_wavelets
from tests.graphs import BY_NAME, ZOO, graphs

EXACT = {"rtol": 0.0, "atol": 1e-10}
close = torch.testing.assert_close
SYMMETRIC = [graph for graph in ZOO if graph.symmetric and graph.num_nodes]


def walk_of(graph):
    return lazy_random_walk(graph.edge_index, graph.weights(), num_nodes=graph.num_nodes, dtype=torch.float64)


def dense_walk(graph):
    matrix = graph.dense(graph.weights()).fill_diagonal_(0)
    degree = matrix.sum(0)
    steps = torch.where(degree > 0, matrix / torch.where(degree > 0, degree, 1), torch.diag((degree == 0).double()))
    return (torch.eye(graph.num_nodes, dtype=torch.float64) + steps) / 2


def dense_wavelets(graph, scales):
    walk = dense_walk(graph)
    power = torch.linalg.matrix_power
    found = [torch.eye(graph.num_nodes, dtype=torch.float64) - walk]
    return torch.stack(found + [power(walk, 2 ** (j - 1)) - power(walk, 2**j) for j in range(1, scales + 1)])


@pytest.mark.parametrize("graph", SYMMETRIC, ids=lambda graph: graph.name)
def test_a_lazy_walk_stays_with_one_half_and_loses_nothing(graph):
    walk = walk_of(graph).to_dense()
    close(walk, dense_walk(graph), **EXACT)
    close(walk.sum(0), torch.ones(graph.num_nodes, dtype=torch.float64), **EXACT)


@given(graph=graphs(symmetric=True), scales=st.integers(1, 4))
def test_diffusion_wavelets_are_differences_of_dyadic_powers_and_add_up(graph, scales):
    x = graph.features()
    found = diffusion_wavelets(walk_of(graph), x, scales=scales)
    close(found[:-1], dense_wavelets(graph, scales) @ x, **EXACT)
    close(found.sum(0), x, **EXACT)


@given(graph=graphs(symmetric=True), scales=st.integers(1, 4))
def test_paths_are_cascades_of_wavelets_and_absolute_values(graph, scales):
    psi, x = dense_wavelets(graph, scales), graph.features()
    expected = [x, *(psi @ x).abs()]
    for j in range(scales + 1):
        expected += [(psi[k] @ (psi[j] @ x).abs()).abs() for k in range(j + 1, scales + 1)]
    found = node_scattering(walk_of(graph), x, scales=scales)
    close(found, torch.stack(expected, 1), **EXACT)
    for layers, paths in ((0, 1), (1, scales + 2)):
        close(node_scattering(walk_of(graph), x, scales=scales, layers=layers), found[:, :paths], **EXACT)
    of_graph = graph_scattering(walk_of(graph), x, scales=scales, moments=3)
    truth = torch.cat([(found**q).sum(0).flatten() for q in (1, 2, 3)])
    close(of_graph[0], truth, rtol=1e-10, atol=1e-9)


def test_a_batch_is_its_graphs():
    batch = Batch.from_data_list(
        [
            Data(x=g.features(), edge_index=g.edge_index, edge_weight=g.weights(), num_nodes=g.num_nodes)
            for g in SYMMETRIC
        ]
    )
    walk = lazy_random_walk(batch.edge_index, batch.edge_weight, num_nodes=batch.num_nodes, dtype=torch.float64)
    apart = torch.cat([graph_scattering(walk_of(g), g.features()) for g in SYMMETRIC])
    close(graph_scattering(walk, batch.x, batch.batch), apart, rtol=1e-10, atol=1e-9)


@given(graph=graphs(symmetric=True))
def test_the_order_of_the_nodes_does_not_matter(graph):
    order = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(1))
    x, other = graph.features(), graph.relabelled(order)
    walk, renamed = (lazy_random_walk(g.edge_index, num_nodes=g.num_nodes, dtype=torch.float64) for g in (graph, other))
    close(node_scattering(renamed, x[order]), node_scattering(walk, x)[order], **EXACT)
    close(graph_scattering(renamed, x[order]), graph_scattering(walk, x), rtol=1e-10, atol=1e-9)


def test_gradients_flow_to_the_signal():
    graph = BY_NAME["two components"]
    x = graph.features(2).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: graph_scattering(walk_of(graph), v, scales=2), (x,), fast_mode=True)


def test_wrong_arguments_are_refused():
    walk, x = walk_of(BY_NAME["path"]), BY_NAME["path"].features()
    for function in (diffusion_wavelets, node_scattering, graph_scattering):
        with pytest.raises(ValueError, match="`scales` must be an integer of at least 1, got 0"):
            function(walk, x, scales=0)
        with pytest.raises(ValueError, match=r"`x` must have (5 rows|shape \[5 nodes)"):
            function(walk, x[:3])
    with pytest.raises(ValueError, match="`layers` must be at most 2, got 3"):
        node_scattering(walk, x, layers=3)
    with pytest.raises(ValueError, match="`moments` must be an integer of at least 1"):
        graph_scattering(walk, x, moments=0)

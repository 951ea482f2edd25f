"""Personalised PageRank against the dense inverse."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.utils import erdos_renyi_graph

from graphkit.operators import gcn_adjacency, pagerank_graph
from graphkit.operators.diffusion import TOLERANCE


@pytest.fixture
def graph():
    torch.manual_seed(0)
    return erdos_renyi_graph(300, 0.02)


@pytest.mark.parametrize("teleport", [0.05, 0.15, 0.6])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_inverse_to_the_stated_norm(graph, teleport, weighted):
    weight = None
    if weighted:
        low, high = graph.min(0).values, graph.max(0).values
        weight = 0.5 + ((low * 7 + high * 13) % 10).float() / 10
    edges, values = pagerank_graph(graph, weight, num_nodes=300, teleport=teleport, neighbours=300)
    found = torch.zeros(300, 300, dtype=torch.float64)
    found[edges[1], edges[0]] = values.double()
    step = gcn_adjacency(graph, weight, num_nodes=300, dtype=torch.float64).to_dense().double()
    exact = teleport * torch.linalg.inv(torch.eye(300).double() - (1 - teleport) * step)
    assert torch.linalg.matrix_norm(found - exact, 2) <= TOLERANCE * 1.01 + 1e-5


def test_each_node_keeps_its_strongest(graph):
    every, values = pagerank_graph(graph, num_nodes=300, neighbours=300)
    few, kept = pagerank_graph(graph, num_nodes=300, neighbours=5)
    for node in (0, 150, 299):
        top = values[every[1] == node].sort(descending=True).values[:5]
        assert torch.equal(kept[few[1] == node], top)


def test_isolated_nodes_reach_themselves_alone():
    edges, values = pagerank_graph(torch.tensor([[0, 1], [1, 0]]), num_nodes=4, teleport=0.5, neighbours=3)
    assert edges[:, edges[1] == 3].tolist() == [[3], [3]]
    assert values[edges[1] == 3].item() == pytest.approx(1.0, abs=TOLERANCE)


def test_the_same_graph_is_diffused_once(graph):
    first, second = (pagerank_graph(graph, num_nodes=300) for _ in range(2))
    assert first[0] is second[0]
    graph[:, 0] = graph[:, 1]
    assert pagerank_graph(graph, num_nodes=300)[0] is not first[0]


@pytest.mark.parametrize("teleport", [0.0, 1.0, float("nan")])
def test_an_impossible_restart_is_refused(graph, teleport):
    with pytest.raises(ValueError, match=r"`teleport` must (lie in|be finite)"):
        pagerank_graph(graph, num_nodes=300, teleport=teleport)


def test_no_neighbours_are_refused(graph):
    with pytest.raises(ValueError, match="`neighbours` must be an integer of at least 1"):
        pagerank_graph(graph, num_nodes=300, neighbours=0)

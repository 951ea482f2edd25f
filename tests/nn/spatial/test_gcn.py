"""GCN: PyG's numbers, and the laws."""

from __future__ import annotations

import copy

import pytest
import torch
import torch_geometric.nn as pyg

import graphkit.nn
from graphkit.nn import GCNConv
from tests import contracts
from tests.contracts import EXACT, Layer, called
from tests.graphs import BY_NAME, ZOO, large

LAYERS = [
    Layer("plain", lambda nn: nn.GCNConv(4, 3)),
    Layer("weighted", lambda nn: nn.GCNConv(4, 3), "edge_weight"),
    Layer("widening", lambda nn: nn.GCNConv(4, 6, bias=False), "edge_weight"),
    Layer("improved", lambda nn: nn.GCNConv(4, 3, improved=True), "edge_weight"),
    Layer("without loops", lambda nn: nn.GCNConv(4, 3, add_self_loops=False), "edge_weight"),
    Layer("without normalisation", lambda nn: nn.GCNConv(4, 3, normalize=False), "edge_weight"),
]

LAWS = [
    contracts.agrees_with_pyg,
    contracts.has_pygs_types_under_autocast,
    contracts.is_as_exact_as_pyg_in_half_precision,
    contracts.follows_the_flow_as_pyg_does,
    *contracts.LAWS,
    contracts.takes_several_signals_on_one_graph,
    contracts.takes_sparse_features,
    contracts.makes_no_array_of_messages,
]


@pytest.mark.parametrize("law", LAWS, ids=called)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_it_obeys(layer, law):
    law(layer)


@pytest.mark.parametrize("layer", LAYERS[1:3], ids=str)
def test_it_compiles_and_exports(layer):
    contracts.compiles_and_exports(layer)


def test_it_learns_its_width():
    contracts.learns_its_width(lambda nn: nn.GCNConv(4, 3), lambda nn: nn.GCNConv(-1, 3))


@pytest.mark.parametrize("graph", ZOO[:-1], ids=lambda graph: graph.name)
def test_improved_counts_loops_twice_where_pyg_forgets_to_without_weights(graph):
    """The truth is the dense matrix; PyG 2.8.1 gives the layer without ``improved``."""
    ours, theirs = (nn.GCNConv(4, 3, improved=True, bias=False).double() for nn in (graphkit.nn, pyg))
    theirs.load_state_dict(ours.state_dict())
    matrix = graph.dense()
    loops = torch.where(matrix.diagonal() == 0, 2.0, 0.0)
    matrix = matrix + loops.diag()
    root = matrix.sum(1).pow(-0.5)
    x = graph.features()
    truth = root[:, None] * matrix * root @ x @ ours.lin.weight.T
    torch.testing.assert_close(ours(x, graph.edge_index), truth, **EXACT)
    plain = pyg.GCNConv(4, 3, bias=False).double()
    plain.load_state_dict(ours.state_dict())
    assert torch.equal(theirs(x, graph.edge_index), plain(x, graph.edge_index))
    if loops.any() and graph.num_edges:
        assert not torch.allclose(theirs(x, graph.edge_index), truth)


def test_cached_keeps_the_first_graph_until_the_parameters_are_reset():
    x, first, other = BY_NAME["path"].features(), BY_NAME["path"].edge_index, BY_NAME["complete"].edge_index
    conv = GCNConv(4, 3, cached=True).double()
    kept = conv(x, first)
    assert conv._cached_edge_index is not None
    assert torch.equal(conv(x, other), kept)
    weights = copy.deepcopy(conv.state_dict())
    conv.reset_parameters()
    conv.load_state_dict(weights)
    assert not torch.allclose(conv(x, other), kept)


def test_without_cached_each_graph_is_its_own():
    x, conv = BY_NAME["path"].features(), GCNConv(4, 3).double()
    conv(x, BY_NAME["path"].edge_index)
    fresh = copy.deepcopy(conv)
    other = BY_NAME["complete"].edge_index
    assert torch.equal(conv(x, other), fresh(x, other))


def test_a_matrix_that_requires_gradients_gets_those_of_its_weights():
    graph, conv = BY_NAME["grid"], GCNConv(4, 3).double()
    weight = graph.weights().requires_grad_()
    (expected,) = torch.autograd.grad(conv(graph.features(), graph.edge_index, weight).square().sum(), weight)
    size = (graph.num_nodes, graph.num_nodes)
    matrix = torch.sparse_coo_tensor(graph.edge_index.flip(0), weight, size, check_invariants=True)
    (found,) = torch.autograd.grad(conv(graph.features(), matrix).square().sum(), weight)
    torch.testing.assert_close(found, expected, **EXACT)


def test_decomposed_layers_give_the_same():
    graph, conv = BY_NAME["grid"], GCNConv(4, 3).double()
    halves = copy.deepcopy(conv)
    halves.decomposed_layers = 2
    found, expected = (layer(graph.features(), graph.edge_index) for layer in (halves, conv))
    torch.testing.assert_close(found, expected, **EXACT)


def test_a_message_of_a_subclass_is_used():
    class Doubled(GCNConv):
        def message(self, x_j, edge_weight):
            return 2 * super().message(x_j, edge_weight)

    graph, conv, doubled = BY_NAME["grid"], GCNConv(4, 3, bias=False), Doubled(4, 3, bias=False)
    doubled.load_state_dict(conv.state_dict())
    x = graph.features(dtype=torch.float32)
    torch.testing.assert_close(doubled(x, graph.edge_index), 2 * conv(x, graph.edge_index))


@pytest.mark.parametrize("aggr", ["mean", "max"])
def test_other_aggregations_are_pygs(aggr):
    layer = Layer(aggr, lambda nn: nn.GCNConv(4, 3, aggr=aggr), "edge_weight")
    contracts.agrees_with_pyg(layer)


def test_a_pair_of_features_is_refused():
    x = torch.ones(5, 4)
    with pytest.raises(ValueError, match="'GCNConv' received a tuple of node features"):
        GCNConv(4, 3)((x, x), BY_NAME["path"].edge_index)


def test_loops_without_normalisation_are_refused():
    with pytest.raises(ValueError, match="does not support adding self-loops"):
        GCNConv(4, 3, add_self_loops=True, normalize=False)


def test_the_law_on_memory_sees_the_messages_that_pyg_makes():
    graph, theirs = large(), LAYERS[1].peers(torch.float32)
    x = graph.features(dtype=torch.float32).requires_grad_()
    with contracts.LargestTensor() as largest:
        theirs(x, graph.edge_index).sum().backward()
    assert largest.numbers >= 3 * graph.num_edges

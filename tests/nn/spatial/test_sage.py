"""GraphSAGE: PyG's numbers, and the laws."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as pyg

import graphkit.nn
from graphkit.nn import SAGEConv
from tests import contracts
from tests.contracts import EXACT, Layer, called
from tests.graphs import BY_NAME

LAYERS = [
    Layer("mean", lambda nn: nn.SAGEConv(4, 3)),
    Layer("widening mean", lambda nn: nn.SAGEConv(4, 6, bias=False)),
    Layer("sum", lambda nn: nn.SAGEConv(4, 3, aggr="sum")),
    Layer("widening sum", lambda nn: nn.SAGEConv(4, 6, aggr="add")),
    Layer("max", lambda nn: nn.SAGEConv(4, 3, aggr="max")),
    Layer("normalised", lambda nn: nn.SAGEConv(4, 3, normalize=True)),
    Layer("projected", lambda nn: nn.SAGEConv(4, 3, project=True)),
    Layer("without root", lambda nn: nn.SAGEConv(4, 3, root_weight=False)),
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


def test_it_compiles_and_exports():
    contracts.compiles_and_exports(LAYERS[0])


@pytest.mark.parametrize("options", [{}, {"aggr": "max"}, {"aggr": "sum", "project": True}], ids=str)
def test_it_joins_two_kinds_of_nodes_as_pyg_does(options):
    contracts.agrees_with_pyg_between_two_kinds_of_nodes(lambda nn: nn.SAGEConv((4, 3), 5, **options), (4, 3))


@pytest.mark.parametrize("aggr", ["mean", "max"])
def test_a_pair_of_one_tensor_is_that_tensor(aggr):
    graph, conv = BY_NAME["grid"], SAGEConv(4, 3, aggr=aggr).double()
    x = graph.features()
    assert torch.equal(conv((x, x), graph.edge_index), conv(x, graph.edge_index))


@pytest.mark.parametrize("aggr", ["mean", "max", "add"])
def test_it_learns_its_width(aggr):
    contracts.learns_its_width(lambda nn: nn.SAGEConv(4, 3, aggr=aggr), lambda nn: nn.SAGEConv(-1, 3, aggr=aggr))


def test_a_projection_cannot_learn_its_width():
    with pytest.raises(ValueError, match="does not support lazy initialization with `project=True`"):
        SAGEConv(-1, 3, project=True)


@pytest.mark.parametrize(
    "options",
    [
        {"aggr": "std"},
        {"aggr": ["mean", "max", "sum"]},
        {"aggr": ["mean", "std"], "aggr_kwargs": {"mode": "sum"}},
        {"aggr": "softmax", "aggr_kwargs": {"learn": True}},
    ],
    ids=str,
)
def test_other_aggregations_are_pygs(options):
    contracts.agrees_with_pyg(Layer("", lambda nn: nn.SAGEConv(4, 3, **options)))


def test_an_lstm_over_neighbours_is_pygs():
    """PyG asks for edges sorted by target there."""
    graph = BY_NAME["grid"]
    index = graph.edge_index[:, graph.edge_index[1].argsort(stable=True)]
    ours, theirs = (nn.SAGEConv(4, 3, aggr="lstm").double() for nn in (graphkit.nn, pyg))
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(graph.features(), index), theirs(graph.features(), index), **EXACT)
    with pytest.raises(ValueError, match="'index' tensor is not sorted"):
        ours(graph.features(), index.flip(1))


def test_neighbours_that_tie_for_the_maximum_share_its_gradient():
    """Four neighbours of the star's centre have the same features: each gets a quarter."""
    graph = BY_NAME["star"]
    conv = SAGEConv(4, 1, aggr="max", root_weight=False).double()
    x = torch.ones(6, 4, dtype=torch.float64)
    x[1] = 0
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(conv(x, graph.edge_index)[0].sum(), x)
    torch.testing.assert_close(gradient[2:], conv.lin_l.weight.expand(4, 4) / 4, **EXACT)
    assert not gradient[:2].any()

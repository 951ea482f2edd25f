"""Graph isomorphism networks, without and with edge features: PyG's numbers, and the laws."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Linear, ReLU, Sequential

from graphkit.nn import GINConv, GINEConv
from tests import contracts
from tests.contracts import Layer, called
from tests.graphs import BY_NAME


def network():
    return Sequential(Linear(4, 6), ReLU(), Linear(6, 3))


LAYERS = [
    Layer("learnt epsilon", lambda nn: nn.GINConv(network(), eps=0.3, train_eps=True)),
    Layer("fixed epsilon", lambda nn: nn.GINConv(Linear(4, 3), eps=0.3)),
    Layer("edge features", lambda nn: nn.GINEConv(network(), train_eps=True, edge_dim=2), "edge_attr", edge_numbers=4),
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


@pytest.mark.parametrize("layer", LAYERS[1:], ids=str)
def test_it_compiles_and_exports(layer):
    contracts.compiles_and_exports(layer)


def test_it_joins_two_kinds_of_nodes_as_pyg_does():
    make, widths = (lambda nn: nn.GINConv(network(), train_eps=True)), (4, 4)
    contracts.agrees_with_pyg_between_two_kinds_of_nodes(make, widths)


def test_it_joins_two_kinds_of_nodes_with_edge_features_as_pyg_does():
    make, widths = (lambda nn: nn.GINEConv(network(), edge_dim=2)), (4, 4)
    contracts.agrees_with_pyg_between_two_kinds_of_nodes(make, widths, edge_dim=2)


def test_edge_features_as_wide_as_a_nodes_need_no_map():
    graph = BY_NAME["self-loops"]
    conv = GINEConv(torch.nn.Identity(), eps=0.5).double()
    x, attr = graph.features(), graph.edge_features(4)
    truth = 1.5 * x
    for (source, target), e in zip(graph.edge_index.T.tolist(), attr, strict=True):
        truth[target] += (x[source] + e).relu()
    torch.testing.assert_close(conv(x, graph.edge_index, attr), truth, **contracts.EXACT)


def test_edge_features_of_another_width_are_refused():
    with pytest.raises(ValueError, match="Node and edge feature dimensionalities do not match"):
        GINEConv(Linear(4, 3))(torch.ones(5, 4), BY_NAME["path"].edge_index, torch.ones(8, 2))


def test_a_network_whose_width_cannot_be_told_is_refused():
    with pytest.raises(ValueError, match="Could not infer input channels from `nn`"):
        GINEConv(ReLU(), edge_dim=2)


def test_a_network_that_is_not_linear_first_gets_the_dense_sum():
    """Sparse features wait for a linear map; anything else sees numbers."""
    graph = BY_NAME["grid"]
    x = graph.features().relu()
    conv = GINConv(Sequential(ReLU(), Linear(4, 3))).double()
    found, expected = (conv(form, graph.edge_index) for form in (x.to_sparse_csr(), x))
    torch.testing.assert_close(found, expected, **contracts.EXACT)


def test_hooks_of_its_network_are_called_and_altered_parts_are_used():
    graph = BY_NAME["grid"]
    conv, seen = GINConv(network()).double(), []
    for part in (conv.nn, conv.nn[0], conv.nn[2]):
        part.register_forward_hook(lambda module, inputs, output: seen.append(output))
    expected = conv(graph.features(), graph.edge_index)
    assert [len(output.T) for output in seen] == [6, 3, 3]
    assert seen[-1] is expected
    conv.nn[2] = Sequential(conv.nn[2], torch.nn.Tanh())
    torch.testing.assert_close(conv(graph.features(), graph.edge_index), expected.tanh(), **contracts.EXACT)


def test_reset_parameters_draws_the_network_anew_and_puts_epsilon_back():
    conv = GINConv(network(), eps=0.3, train_eps=True)
    before = conv.nn[0].weight.clone()
    conv.eps.data.fill_(7.0)
    conv.reset_parameters()
    assert conv.eps.item() == pytest.approx(0.3)
    assert not torch.equal(conv.nn[0].weight, before)

"""A layer beside a linear map of the node itself."""

from __future__ import annotations

import copy

import pytest
import torch
from torch_geometric.nn import GCNConv as PyGGCNConv

from graphkit.nn import Encoder, GCNConv, SeparatedConv, to_pyg
from graphkit.operators import sparse_features
from graphkit.training import recipe

RING = torch.tensor([[0, 1, 2, 1, 2, 0], [1, 2, 0, 0, 1, 2]])


def test_it_is_the_layer_of_pyg_plus_a_linear_map_with_weights_of_edges_or_without():
    layer, peer, x = SeparatedConv(GCNConv(3, 2), 3, 2), PyGGCNConv(3, 2), torch.randn(4, 3)
    peer.load_state_dict(layer.conv.state_dict())
    for weight in (None, torch.rand(6)):
        torch.testing.assert_close(layer(x, RING, weight), peer(x, RING, weight) + layer.own(x))


def test_sparse_features_give_the_same():
    layer, x = SeparatedConv(GCNConv(3, 2), 3, 2), torch.eye(4)[:, :3]
    torch.testing.assert_close(layer(sparse_features(x), RING), layer(x, RING))


def test_parameters_are_drawn_anew():
    layer = SeparatedConv(GCNConv(3, 2), 3, 2)
    before = layer.own.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.own.weight, before)


def test_an_encoder_drops_features_with_a_probability_of_their_own():
    encoder, x = Encoder(3, 4, 2, conv=GCNConv, layers=1, dropout=0.5, input_dropout=0.0), torch.ones(4, 3)
    torch.testing.assert_close(encoder.train()(x, RING), encoder.eval()(x, RING))


@pytest.mark.parametrize("name", ["deep-gcn", "deep-sage", "deep-gat"])
@pytest.mark.parametrize(("norm", "separated"), [("layer", True), ("batch", True), ("none", False)])
def test_deep_recipes_are_their_authors_networks(name, norm, separated):
    """Convolution and own linear map, norm, ReLU and dropout in turn, and a linear head: PyG's layers, in a loop."""
    made = recipe(name, {"layers": 3, "hidden": 4, "norm": norm, "separated": separated})
    model, x = made.module(3, 2, (RING, None)), torch.randn(4, 3)
    peer, h = copy.deepcopy(model), x
    to_pyg(peer)
    for conv, norm_ in zip(peer.convs[:-1], peer.norms, strict=True):
        h = torch.relu(norm_(conv.conv(h, RING) + conv.own(h) if separated else conv(h, RING)))
    expected = h @ peer.convs[-1].weight.T + peer.convs[-1].bias
    model.dropout = 0.0
    torch.testing.assert_close(model(x, RING), expected)


def test_features_of_edges_reach_the_layer_and_weights_are_refused_where_it_takes_none():
    model = recipe("deep-gat", {"layers": 2, "hidden": 4}).module(3, 2, (RING, None, torch.ones(6, 5)))
    features = torch.randn(6, 5)
    assert not torch.equal(model.eval()(torch.ones(4, 3), RING, edge_attr=features), model(torch.ones(4, 3), RING))
    with pytest.raises(ValueError, match="`edge_weight` was given"):
        model(torch.ones(4, 3), RING, torch.ones(6))

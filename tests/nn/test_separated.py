"""A layer beside a linear map of the node itself."""

from __future__ import annotations

import torch
from torch_geometric.nn import GCNConv as PyGGCNConv

from graphkit.nn import Encoder, GCNConv, SeparatedConv
from graphkit.operators import sparse_features

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

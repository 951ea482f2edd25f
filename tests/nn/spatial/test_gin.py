"""Graph isomorphism networks, without and with edge features: PyG's numbers, and the laws."""

from __future__ import annotations

import pytest
from torch.nn import Linear, ReLU, Sequential

from tests import contracts
from tests.contracts import Layer, called


def network():
    return Sequential(Linear(4, 6), ReLU(), Linear(6, 3))


LAYERS = [
    Layer("learnt epsilon", lambda nn: nn.GINConv(network(), eps=0.3, train_eps=True)),
    Layer("fixed epsilon", lambda nn: nn.GINConv(Linear(4, 3), eps=0.3)),
]
EDGED = [
    Layer("edge features", lambda nn: nn.GINEConv(network(), train_eps=True, edge_dim=2), "edge_attr", edge_numbers=4),
]


@pytest.mark.parametrize(
    "law", [contracts.agrees_with_pyg, *contracts.LAWS, contracts.takes_sparse_features], ids=called
)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_it_obeys(layer, law):
    law(layer)


@pytest.mark.parametrize("law", [contracts.agrees_with_pyg, *contracts.LAWS], ids=called)
@pytest.mark.parametrize("layer", EDGED, ids=str)
def test_with_edge_features_it_obeys(layer, law):
    law(layer)


@pytest.mark.parametrize("layer", LAYERS + EDGED, ids=str)
def test_it_makes_no_array_of_messages(layer):
    contracts.makes_no_array_of_messages(layer)

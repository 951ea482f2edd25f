"""ChebConv: PyG's numbers on undirected graphs, the truth where PyG is wrong, and the laws."""

from __future__ import annotations

import pytest

from tests import contracts
from tests.contracts import Layer, called

LAYERS = [
    Layer("two terms", lambda nn: nn.ChebConv(4, 3, K=2), undirected=True),
    Layer("narrowing", lambda nn: nn.ChebConv(4, 3, K=4), "edge_weight", undirected=True),
    Layer("widening", lambda nn: nn.ChebConv(4, 6, K=4, bias=False), "edge_weight", undirected=True),
    Layer("random walk", lambda nn: nn.ChebConv(4, 3, K=3, normalization="rw"), "edge_weight"),
    Layer("combinatorial", lambda nn: nn.ChebConv(4, 3, K=3, normalization=None), "edge_weight", undirected=True),
]

LAWS = [
    *contracts.LAWS,
    contracts.takes_several_signals_on_one_graph,
    contracts.takes_sparse_features,
    contracts.makes_no_array_of_messages,
]


@pytest.mark.parametrize("law", LAWS, ids=called)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_it_obeys(layer, law):
    law(layer)

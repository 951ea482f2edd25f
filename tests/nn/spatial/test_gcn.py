"""GCN: PyG's numbers, and the laws."""

from __future__ import annotations

import pytest

from tests import contracts
from tests.contracts import Layer, called

LAYERS = [
    Layer("plain", lambda nn: nn.GCNConv(4, 3)),
    Layer("weighted", lambda nn: nn.GCNConv(4, 3), "edge_weight"),
    Layer("widening", lambda nn: nn.GCNConv(4, 6, bias=False), "edge_weight"),
    Layer("improved", lambda nn: nn.GCNConv(4, 3, improved=True), "edge_weight"),
    Layer("without loops", lambda nn: nn.GCNConv(4, 3, add_self_loops=False), "edge_weight"),
    Layer("without normalisation", lambda nn: nn.GCNConv(4, 3, normalize=False), "edge_weight"),
]


@pytest.mark.parametrize(
    "law",
    [
        contracts.agrees_with_pyg,
        *contracts.LAWS,
        contracts.takes_sparse_features,
        contracts.makes_no_array_of_messages,
        contracts.compiles_and_exports,
    ],
    ids=called,
)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_it_obeys(layer, law):
    law(layer)

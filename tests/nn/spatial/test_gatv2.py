"""Dynamic graph attention: PyG's numbers, and the laws."""

from __future__ import annotations

import pytest

from tests import contracts
from tests.contracts import Layer, called

LAYERS = [
    Layer("one head", lambda nn: nn.GATv2Conv(4, 3)),
    Layer("heads side by side", lambda nn: nn.GATv2Conv(4, 3, heads=2), edge_numbers=2),
    Layer("heads averaged", lambda nn: nn.GATv2Conv(4, 3, heads=2, concat=False, residual=True), edge_numbers=2),
    Layer("edge features", lambda nn: nn.GATv2Conv(4, 3, heads=2, edge_dim=2), "edge_attr", edge_numbers=6),
    Layer("shared weights", lambda nn: nn.GATv2Conv(4, 3, heads=2, share_weights=True), edge_numbers=2),
    Layer("filled", lambda nn: nn.GATv2Conv(4, 3, edge_dim=2, fill_value=0.5), "edge_attr", edge_numbers=3),
    Layer("without loops", lambda nn: nn.GATv2Conv(4, 3, heads=2, add_self_loops=False, bias=False), edge_numbers=2),
]

LAWS = [*contracts.LAWS, contracts.takes_sparse_features, contracts.makes_no_array_of_messages]


@pytest.mark.parametrize("law", [contracts.agrees_with_pyg, *LAWS], ids=called)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_it_obeys(layer, law):
    law(layer)

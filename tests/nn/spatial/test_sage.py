"""GraphSAGE: PyG's numbers, and the laws."""

from __future__ import annotations

import pytest

from tests import contracts
from tests.contracts import Layer, called

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

LAWS = [*contracts.LAWS, contracts.takes_sparse_features, contracts.makes_no_array_of_messages]


@pytest.mark.parametrize("law", [contracts.agrees_with_pyg, *LAWS], ids=called)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_it_obeys(layer, law):
    law(layer)

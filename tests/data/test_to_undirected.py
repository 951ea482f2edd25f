"""A directed graph made undirected is what PyG makes of it, and says so."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import ToUndirected

from graphkit.data import load, open_stored, store, to_undirected


@pytest.fixture
def data(generator) -> Data:
    edge_index = torch.randint(9, (2, 40), generator=generator)
    return Data(x=torch.randn(9, 2, generator=generator), edge_index=edge_index, y=torch.arange(9))


def test_it_is_what_pyg_makes_of_it_and_the_given_graph_stays(data):
    before = data.edge_index.clone()
    made = to_undirected(data)
    assert torch.equal(made.edge_index, ToUndirected()(data.clone()).edge_index)
    assert made.is_undirected()
    assert made.undirected
    assert torch.equal(data.edge_index, before)
    assert "undirected" not in data
    assert made.x is data.x


def test_what_cannot_be_made_undirected_is_refused(data, tmp_path):
    with pytest.raises(ValueError, match="in both directions already; leave it out"):
        to_undirected(load("karate"))
    with pytest.raises(ValueError, match="in both directions already"):
        to_undirected(to_undirected(data))
    with pytest.raises(ValueError, match="must be one graph with `edge_index` to be made undirected, got dict"):
        to_undirected({})
    store(data, tmp_path / "kept", name="kept")
    with pytest.raises(ValueError, match=r"the edges of 'kept' stay on the disk as they are; .*`--undirected`"):
        to_undirected(open_stored(tmp_path / "kept"))
    data.edge_weight = torch.ones(40)
    with pytest.raises(ValueError, match="which value of `edge_weight` a reverse edge has"):
        to_undirected(data)

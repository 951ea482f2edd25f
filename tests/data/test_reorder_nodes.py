"""Another numbering of nodes: the same graph, with neighbours close to each other."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import load, locality_order, reorder_nodes
from graphkit.nn import GCNConv

ORDERS = [
    "rcm",
    pytest.param(
        "metis", marks=pytest.mark.skipif(importlib.util.find_spec("pymetis") is None, reason="pymetis is missing")
    ),
]


@pytest.fixture
def ring(generator) -> Data:
    """A ring of 60 nodes whose numbers were drawn."""
    number = torch.randperm(60, generator=generator)
    half = torch.stack([number, number.roll(1)])
    return Data(edge_index=torch.cat([half, half.flip(0)], 1), num_nodes=60)


def spread(data: Data) -> float:
    """Return the mean distance between the numbers of two neighbours."""
    return float((data.edge_index[0] - data.edge_index[1]).abs().float().mean())


@pytest.mark.parametrize("by", ORDERS)
def test_an_order_holds_each_node_once_and_brings_neighbours_together(ring, by):
    order = locality_order(ring.edge_index, num_nodes=60, by=by, parts=None if by == "rcm" else 6)
    assert torch.equal(order.sort().values, torch.arange(60))
    assert spread(reorder_nodes(ring, order)) < (2.1 if by == "rcm" else 12) < spread(ring)


def test_direction_does_not_count(ring):
    one_way = ring.edge_index[:, :60]
    assert torch.equal(locality_order(one_way, num_nodes=60), locality_order(ring.edge_index, num_nodes=60))


def test_what_is_of_nodes_goes_with_them_and_edges_stay_in_their_order(generator):
    data = load("karate")
    data.edge_weight = torch.rand(data.num_edges, generator=generator)
    order = torch.randperm(34, generator=generator)
    reordered = reorder_nodes(data, order)
    assert torch.equal(reordered.n_id, order)
    for name in ("x", "y", "train_mask", "val_mask", "test_mask"):
        assert torch.equal(reordered[name], data[name][order])
    assert torch.equal(order[reordered.edge_index], data.edge_index)
    assert torch.equal(reordered.edge_weight, data.edge_weight)
    assert "n_id" not in data


def test_a_layer_gives_the_same_rows_in_the_other_order(generator):
    data, conv = load("karate"), GCNConv(34, 3)
    reordered = reorder_nodes(data, torch.randperm(34, generator=generator))
    expected, found = conv(data.x, data.edge_index), conv(reordered.x, reordered.edge_index)
    before = torch.empty_like(found).index_copy(0, reordered.n_id, found)
    torch.testing.assert_close(before, expected, atol=1e-6, rtol=1e-5)  # float32: sums in another order


def test_a_graph_without_edges_has_an_order():
    order = locality_order(torch.empty(2, 0, dtype=torch.long), num_nodes=5)
    assert torch.equal(order.sort().values, torch.arange(5))


def test_what_cannot_be_ordered_is_refused(ring):
    with pytest.raises(ValueError, match="`by`"):
        locality_order(ring.edge_index, num_nodes=60, by="rmc")
    with pytest.raises(ValueError, match="`parts` is of METIS's clusters"):
        locality_order(ring.edge_index, num_nodes=60, parts=3)
    with pytest.raises(ValueError, match="each of the 60 nodes once"):
        reorder_nodes(ring, torch.zeros(60, dtype=torch.long))
    with pytest.raises(ValueError, match="has signals on its nodes"):
        reorder_nodes(load("digits-grid"))
    ring.x = torch.eye(60).to_sparse_csr()
    with pytest.raises(ValueError, match="`x` must be a dense tensor"):
        reorder_nodes(ring)

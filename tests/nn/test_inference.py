"""Inference in blocks: what one pass over the whole graph gives, for every kind of layer."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn

from graphkit.nn import ChebConv, Encoder, GATConv, GCNConv, GINConv, SAGEConv
from graphkit.nn.inference import layerwise

NODES = 60

CONVS = {
    "gcn": GCNConv,
    "sage": SAGEConv,
    "gat": lambda i, o: GATConv(i, o, heads=2, concat=False),
    "gin": lambda i, o: GINConv(nn.Linear(i, o)),
    "cheb": lambda i, o: ChebConv(i, o, K=3),
    "pyg gcn": pyg.GCNConv,
    "pyg sage": pyg.SAGEConv,
    "pyg gat": lambda i, o: pyg.GATConv(i, o),
    "pyg gin": lambda i, o: pyg.GINConv(nn.Linear(i, o)),
    "mlp": nn.Linear,
}


@pytest.fixture
def graph(generator):
    """Return features and an undirected graph with a self-loop and a node without edges."""
    half = torch.randint(NODES - 1, (2, 150), generator=generator).unique(dim=1)
    half = half[:, half[0] < half[1]]
    loop = torch.tensor([[4], [4]])
    return torch.randn(NODES, 5, generator=generator), torch.cat([half, half.flip(0), loop], 1)


@pytest.mark.parametrize("block", [1, 17, NODES, 500])
@pytest.mark.parametrize("name", CONVS)
def test_blocks_give_what_the_whole_graph_gives(graph, name, block):
    x, edge_index = graph
    if "cheb" in name:
        edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    model = Encoder(5, 8, 3, conv=CONVS[name], layers=3, norm="batch", residual=True).eval()
    with torch.no_grad():
        expected = model(x, edge_index)
    # float32: sums in another order
    torch.testing.assert_close(layerwise(model, x, edge_index, block=block), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("conv", [GCNConv, pyg.GCNConv], ids=["graphkit", "pyg"])
def test_weights_of_edges_and_direction_are_kept(graph, conv, generator):
    x, edge_index = graph
    edge_index = edge_index[:, ::2]
    weight = torch.rand(edge_index.size(1), generator=generator)
    model = Encoder(5, 8, 3, conv=conv).eval()
    with torch.no_grad():
        expected = model(x, edge_index, weight)
    torch.testing.assert_close(layerwise(model, x, edge_index, weight, block=7), expected, rtol=1e-5, atol=1e-5)


def test_a_model_of_pyg_is_taken_as_it_is(graph):
    x, edge_index = graph
    model = pyg.GAT(5, 8, num_layers=2, out_channels=3, jk="cat").eval()
    with torch.no_grad():
        expected = model(x, edge_index)
    torch.testing.assert_close(layerwise(model, x, edge_index, block=9), expected, rtol=1e-5, atol=1e-5)


def test_the_model_is_left_as_it_was(graph):
    model = Encoder(5, 8, 3, conv=GCNConv).eval()
    layerwise(model, *graph, block=9)
    assert type(model.convs[0]) is GCNConv
    assert model.convs[0].normalize


def test_a_graph_without_edges_has_a_result(graph):
    x, _ = graph
    none = torch.empty(2, 0, dtype=torch.long)
    model = Encoder(5, 8, 3, conv=GCNConv).eval()
    torch.testing.assert_close(layerwise(model, x, none, block=9), model(x, none).detach(), rtol=1e-5, atol=1e-6)


def test_what_cannot_be_taken_in_blocks_is_refused(graph):
    with pytest.raises(ValueError, match="evaluation mode"):
        layerwise(Encoder(5, 8, 3, conv=GCNConv), *graph)
    with pytest.raises(ValueError, match="`block`"):
        layerwise(Encoder(5, 8, 3, conv=GCNConv).eval(), *graph, block=0)
    with pytest.raises(ValueError, match="a TAGConv, and how far it sees"):
        layerwise(Encoder(5, 8, 3, conv=pyg.TAGConv).eval(), *graph)


def test_a_block_keeps_its_own_rows_and_not_those_of_its_neighbours(monkeypatch):
    cat, kept = torch.cat, []

    def seen(parts, *given):
        kept.extend((part.untyped_storage().nbytes(), part.nbytes) for part in parts if part.is_floating_point())
        return cat(parts, *given)

    monkeypatch.setattr(torch, "cat", seen)
    x, edge_index = torch.randn(12, 4), torch.randint(12, (2, 60))
    layerwise(Encoder(4, 8, 2, conv=SAGEConv).eval(), x, edge_index, block=2)
    assert kept
    assert all(held == own for held, own in kept)

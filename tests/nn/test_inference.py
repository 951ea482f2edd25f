"""Inference in blocks: what one pass over the whole graph gives, for every kind of layer."""

from __future__ import annotations

import inspect
import itertools
import weakref
from typing import ClassVar

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn

import graphkit.nn
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


def _options():
    """Yield layers of both libraries with each option that changes what a block of nodes must know of the others."""
    for nn_ in (graphkit.nn, pyg):
        for options in ({}, {"improved": True}, {"add_self_loops": False}, {"normalize": False}):
            yield nn_.GCNConv, options
        for kind, terms in itertools.product(("sym", "rw", None), (1, 2, 4)):
            yield nn_.ChebConv, {"K": terms, "normalization": kind}
        for aggr in ("mean", "sum", "max"):
            yield nn_.SAGEConv, {"aggr": aggr, "normalize": aggr == "sum", "root_weight": aggr != "max"}
        for loops in (True, False):
            yield nn_.GATConv, {"add_self_loops": loops, "residual": loops}
            yield nn_.GATv2Conv, {"add_self_loops": loops, "share_weights": loops}


def _cases():
    for conv, options in _options():
        weighted = "edge_weight" in inspect.signature(conv.forward).parameters
        for weights in (False, True)[: 1 + weighted]:
            name = f"{conv.__module__.partition('.')[0]}-{conv.__name__}-{options}-{weights}"
            yield pytest.param(conv, options, weights, id=name)


@pytest.mark.parametrize(("conv", "options", "weights"), list(_cases()))
def test_every_option_of_a_layer_holds_in_blocks(graph, generator, conv, options, weights):
    x, edge_index = graph[0].double(), graph[1][:, :-1]  # without the loop, of which Laplacians know nothing
    half = torch.rand(edge_index.size(1) // 2, generator=generator, dtype=torch.float64)
    given = (half.repeat(2),) if weights else ()
    model = Encoder(5, 8, 3, conv=lambda i, o: conv(i, o, **options)).double().eval()
    with torch.no_grad():
        expected = model(x, edge_index, *given)
    torch.testing.assert_close(layerwise(model, x, edge_index, *given, block=7), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("conv", [GCNConv, pyg.GCNConv], ids=["graphkit", "pyg"])
def test_what_a_layer_keeps_of_the_whole_graph_is_not_asked_for_in_a_block(graph, conv, warm):
    model = Encoder(5, 8, 3, conv=lambda i, o: conv(i, o, cached=True)).eval()
    plain = Encoder(5, 8, 3, conv=conv).eval()
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        expected = (model if warm else plain)(*graph)
    torch.testing.assert_close(layerwise(model, *graph, block=7), expected, rtol=1e-5, atol=1e-5)
    if not warm:
        assert all(each._cached_edge_index is None for each in model.modules() if hasattr(each, "_cached_edge_index"))


def test_an_argument_that_no_layer_takes_is_told_with_the_layers_name(graph):
    x, edge_index = graph
    with pytest.raises(ValueError, match="`edge_weight` was given, but SAGEConv does not use it"):
        layerwise(Encoder(5, 8, 3, conv=SAGEConv).eval(), x, edge_index, torch.ones(edge_index.size(1)))


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


def test_a_block_keeps_its_own_rows_and_not_those_of_its_neighbours():
    class Watched(SAGEConv):
        results: ClassVar[list[weakref.ref]] = []

        def forward(self, x, edge_index):
            assert sum(result() is not None for result in self.results) <= 1  # that of the block before
            result = super().forward(x, edge_index)
            self.results.append(weakref.ref(result.untyped_storage()))
            return result

    x, edge_index = torch.randn(12, 4), torch.randint(12, (2, 60))
    layerwise(Encoder(4, 8, 2, conv=Watched).eval(), x, edge_index, block=2)
    assert len(Watched.results) == 2 * 6


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("name", CONVS)
def test_some_nodes_have_the_results_they_have_among_all(graph, name, layers):
    x, edge_index = graph
    model = Encoder(5, 8, 3, conv=CONVS[name], layers=layers, norm="batch", residual=True).eval()
    if "cheb" in name:
        edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    nodes = torch.tensor([7, 3, NODES - 1, 7])
    expected = layerwise(model, x, edge_index, block=9)[nodes]
    torch.testing.assert_close(layerwise(model, x, edge_index, block=9, nodes=nodes), expected, rtol=1e-5, atol=1e-5)


def test_only_what_is_asked_for_is_computed():
    class Counted(SAGEConv):
        targets: ClassVar[list[int]] = []

        def forward(self, x, edge_index):
            self.targets.append(int(edge_index[1].unique().numel()))
            return super().forward(x, edge_index)

    ring = torch.stack([torch.arange(50), (torch.arange(50) + 1) % 50])
    layerwise(Encoder(4, 8, 2, conv=Counted, layers=3).eval(), torch.randn(50, 4), ring, nodes=torch.tensor([5]))
    assert Counted.targets == [3, 2, 1]


def test_a_layer_that_is_called_twice_sees_two_hops(graph):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = SAGEConv(5, 5)

        def forward(self, x, edge_index):
            return self.conv(self.conv(x, edge_index), edge_index)

    model, nodes = Twice().eval(), torch.tensor([2, 9])
    with torch.no_grad():
        expected = model(*graph)[nodes]
    torch.testing.assert_close(layerwise(model, *graph, nodes=nodes), expected, rtol=1e-5, atol=1e-6)


def test_nodes_that_cannot_be_asked_for_are_refused(graph):
    model = Encoder(5, 8, 3, conv=SAGEConv).eval()
    assert layerwise(model, *graph, nodes=torch.empty(0, dtype=torch.long)).shape == (0, 3)
    with pytest.raises(ValueError, match=r"`nodes` must hold node ids from 0 to 59, got 60"):
        layerwise(model, *graph, nodes=torch.tensor([60]))
    with pytest.raises(ValueError, match=r"`nodes` must be integers"):
        layerwise(model, *graph, nodes=torch.tensor([0.5]))
    with pytest.raises(ValueError, match=r"with `halo` take all"):
        layerwise(model, *graph, nodes=torch.tensor([0]), halo=lambda table: table)
    with pytest.raises(ValueError, match=r"a PairNorm looks at all nodes"):
        layerwise(Encoder(5, 8, 3, conv=SAGEConv, norm="pair").eval(), *graph, nodes=torch.tensor([0]))

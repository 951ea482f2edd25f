"""Models of whole graphs: a batch is its graphs, order does not matter, edges do or do not."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.nn import global_add_pool, global_max_pool, global_mean_pool

from graphkit.nn import GINConv, GINEConv, GraphClassifier, StructureFree, VirtualNode
from graphkit.nn.graph_models import GraphBatch, readout


def gin(i, o):
    return GINConv(nn.Linear(i, o))


def gine(i, o):
    return GINEConv(nn.Linear(i, o))


def path(nodes, *, molecules):
    forward = torch.stack([torch.arange(nodes - 1), torch.arange(1, nodes)])
    edge_index = torch.cat([forward, forward.flip(0)], dim=1)
    generator = torch.Generator().manual_seed(nodes)
    if molecules:
        x, bonds = torch.randint(2, (nodes, 9), generator=generator), torch.ones(edge_index.size(1), 3).long()
    else:
        x, bonds = torch.randn(nodes, 3, generator=generator), None
    return GraphBatch(x, edge_index, bonds, torch.zeros(nodes, dtype=torch.long), 1)


def joined(*graphs):
    starts = [0, *torch.tensor([len(graph.x) for graph in graphs]).cumsum(0).tolist()]
    bonds = None if graphs[0].edge_attr is None else torch.cat([graph.edge_attr for graph in graphs])
    return GraphBatch(
        torch.cat([graph.x for graph in graphs]),
        torch.cat([graph.edge_index + start for graph, start in zip(graphs, starts, strict=False)], dim=1),
        bonds,
        torch.cat([graph.batch + number for number, graph in enumerate(graphs)]),
        len(graphs),
    )


OPTIONS = [
    {},
    {"virtual_node": True},
    {"residual": True, "readout": "max"},
    {"jumping": True, "readout": "sum", "virtual_node": True},
]


@pytest.mark.parametrize("molecules", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_batch_is_its_graphs_one_by_one(options, molecules):
    model = GraphClassifier(None if molecules else 3, 8, 2, conv=gine if molecules else gin, layers=3, **options).eval()
    graphs = [path(nodes, molecules=molecules) for nodes in (1, 4, 6)]
    torch.testing.assert_close(model(joined(*graphs)), torch.cat([model(graph) for graph in graphs]))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_order_of_the_nodes_does_not_matter(options):
    model, graph = GraphClassifier(3, 8, 2, conv=gin, layers=3, **options).eval(), path(6, molecules=False)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    moved = graph._replace(x=graph.x[order], edge_index=order.argsort()[graph.edge_index])
    torch.testing.assert_close(model(moved), model(graph))


@pytest.mark.parametrize("molecules", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_parameter_learns(options, molecules):
    model = GraphClassifier(None if molecules else 3, 8, 2, conv=gine if molecules else gin, dropout=0.0, **options)
    model(joined(*(path(nodes, molecules=molecules) for nodes in (2, 4, 6)))).square().sum().backward()
    assert [name for name, value in model.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(
    ("name", "pooled"), [("sum", global_add_pool), ("mean", global_mean_pool), ("max", global_max_pool)]
)
def test_readouts_are_pygs(name, pooled):
    h, batch = torch.randn(6, 3), torch.tensor([0, 0, 0, 2, 2, 2])
    torch.testing.assert_close(readout(name, h, batch, 3), pooled(h, batch, 3))


def test_a_virtual_node_carries_news_between_nodes_that_no_edge_joins():
    graph = path(4, molecules=False)._replace(edge_index=torch.zeros(2, 0, dtype=torch.long))
    model = GraphClassifier(3, 8, 2, conv=gin, layers=2, virtual_node=True, residual=True).eval()
    assert isinstance(model.virtual, VirtualNode)
    other = graph._replace(x=torch.cat([graph.x[:3], graph.x[3:] + 5]))
    seen = []
    model.blocks[1].norm.register_forward_hook(lambda module, given, made: seen.append(made[0]))
    model(graph), model(other)
    assert not torch.allclose(*seen)


@pytest.mark.parametrize("deep_sets", [False, True])
def test_the_structure_free_model_sees_no_edge(deep_sets):
    model, graph = StructureFree(3, 8, 2, deep_sets=deep_sets).eval(), path(5, molecules=False)
    without = graph._replace(edge_index=torch.zeros(2, 0, dtype=torch.long))
    assert torch.equal(model(graph), model(without))

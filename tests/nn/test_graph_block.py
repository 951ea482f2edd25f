"""Blocks and read-outs: what their docstrings say, around any layer, and models that are made of them."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn
from torch import nn

from graphkit.nn import BondedGCNConv, GATConv, GCNConv, GINEConv, GraphBlock, GraphClassifier, SAGEConv
from graphkit.nn.graph_models import GraphBatch
from graphkit.nn.molecules import BondEncoder
from graphkit.nn.readouts import READOUTS, Readout
from graphkit.operators.walks import heat_kept, return_probabilities

EDGES = torch.tensor([[0, 1, 1, 2, 3, 4, 0], [1, 0, 2, 1, 4, 3, 2]])
BATCH = torch.tensor([0, 0, 0, 2, 2])
CONVS = {
    "gcn": lambda: GCNConv(4, 4),
    "sage": lambda: SAGEConv(4, 4),
    "gat": lambda: GATConv(4, 2, heads=2),
    "pyg": lambda: torch_geometric.nn.GraphConv(4, 4),
}


def features(width=4, seed=0):
    return torch.randn(5, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize(("residual", "feed_forward"), [(False, False), (True, False), (True, True)])
def test_a_block_is_its_parts_one_after_the_other(name, norm, residual, feed_forward):
    x = features()
    block = GraphBlock(CONVS[name](), 4, 4, norm=norm, residual=residual, feed_forward=feed_forward).eval()
    expected = torch.relu(block.norm(block.conv(x, EDGES))) + (x if residual else 0)
    if feed_forward:
        wider, narrower, after = block.feed_forward
        expected = after(expected + narrower(torch.relu(wider(expected))))
    torch.testing.assert_close(block(x, EDGES), expected)


def test_a_block_of_two_widths_maps_what_it_adds():
    x = features(3)
    block = GraphBlock(GCNConv(3, 4), 3, 4, norm="none", residual=True, activation=None)
    torch.testing.assert_close(block(x, EDGES), block.conv(x, EDGES) + x @ block.skip.weight.T)


def test_layers_of_pyg_are_given_rows_where_ours_take_a_table():
    bonds = torch.tensor([[0, 0, 1], [1, 2, 0]])[torch.arange(7) % 2]
    table = BondEncoder(4).table(bonds)
    for conv in (
        torch_geometric.nn.ResGatedGraphConv(4, 4, edge_dim=4),
        BondedGCNConv(4, 4),
        GINEConv(nn.Linear(4, 4)),
    ):
        block = GraphBlock(conv, 4, 4).eval()
        torch.testing.assert_close(block(features(), EDGES, table), block(features(), EDGES, table.to_dense()))


@pytest.mark.parametrize("name", READOUTS)
def test_a_graph_is_read_out_by_itself(name):
    h, read = features(), Readout(name, 4)
    found = read(h, BATCH, 3)
    assert found.shape == (3, read.out_channels)
    torch.testing.assert_close(found[2:], read(h[3:], torch.zeros(2, dtype=torch.long), 1))
    shuffled = torch.tensor([2, 0, 1, 4, 3])
    torch.testing.assert_close(found, read(h[shuffled], BATCH, 3))
    if name == "all":
        parts = [h[:3].sum(0), h[:3].mean(0), h[:3].amax(0)]
        torch.testing.assert_close(found[0], torch.cat(parts))
    if name == "attention":
        weights = torch.softmax(read.learnt.gate_nn(h[:3]), 0)
        torch.testing.assert_close(found[0], (weights * h[:3]).sum(0))
    if name in ("sum", "mean", "max", "all", "attention"):
        assert found[1].abs().max() == 0


def test_walks_tell_graphs_apart_that_messages_do_not():
    """Two triangles and a ring of six: the same degrees everywhere, and no features."""
    three, six = torch.arange(3), torch.arange(6)
    ring = torch.stack([six, (six + 1) % 6])
    triangles = torch.cat([torch.stack([three, (three + 1) % 3]), torch.stack([three, (three + 1) % 3]) + 3], 1)
    edges = torch.cat([each for half in (triangles, ring + 6) for each in (half, half.flip(0))], 1)
    both = GraphBatch(torch.ones(12, 1), edges, None, torch.arange(2).repeat_interleave(6), 2)
    for walks, differs in ((0, False), (3, True)):
        model = GraphClassifier(1, 8, 2, conv=lambda i, o: GCNConv(i, o), layers=2, walks=walks).eval()
        found = model(both)
        assert bool((found[0] - found[1]).abs().max() > 1e-4) is differs


@pytest.mark.parametrize("jumping", [False, True])
def test_a_model_is_its_blocks_and_what_is_read_out(jumping):
    given = GraphBatch(features(3), EDGES, None, BATCH, 3)
    options = {
        "layers": 2,
        "residual": True,
        "feed_forward": True,
        "walks": 4,
        "heat": 2,
        "head_layers": 3,
        "readout": "all",
    }
    model = GraphClassifier(3, 4, 2, conv=lambda i, o: GCNConv(i, o), jumping=jumping, **options).eval()
    told = torch.cat([return_probabilities(EDGES, BATCH, 3, steps=4), heat_kept(EDGES, BATCH, 3, times=2)], 1)
    h = model.encode(given.x) + model.returns(told)
    expected = 0
    for number, block in enumerate(model.blocks):
        h = block(h, EDGES)
        if jumping or number == 1:
            expected = expected + model.heads[number if jumping else 0](model.readout(h, BATCH, 3))
    torch.testing.assert_close(model(given), expected)


def test_weights_of_files_of_0_1_are_taken_into_blocks():
    made = {"conv": lambda i, o: GCNConv(i, o), "layers": 2, "residual": True}
    model, other = GraphClassifier(3, 4, 2, **made), GraphClassifier(3, 4, 2, **made)
    former = {"conv": "convs", "norm": "norms", "skip": "skips"}
    kept = {}
    for name, value in model.state_dict().items():
        kind, _, rest = name.partition(".")
        number, _, rest_of = rest.partition(".")
        part, _, own = rest_of.partition(".")
        kept[f"{former[part]}.{number}.{own}" if kind == "blocks" else name] = value.clone()
    assert kept.keys() != model.state_dict().keys()
    other.load_state_dict(kept)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


def test_wrong_arguments_are_refused():
    for fields, name in (({"norm": "graph"}, "norm"), ({"dropout": 2.0}, "dropout")):
        with pytest.raises(ValueError, match=f"`{name}`"):
            GraphBlock(GCNConv(4, 4), 4, 4, **fields)
    with pytest.raises(ValueError, match="`readout` 'median' is not known"):
        Readout("median", 3)
    for name in ("walks", "heat", "head_layers"):
        with pytest.raises(ValueError, match=f"`{name}`"):
            GraphClassifier(3, 4, 2, conv=lambda i, o: GCNConv(i, o), **{name: -1})

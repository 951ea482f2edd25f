"""Several graphs as one: the same nodes and edges, none of which leads from one graph to another."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data

from graphkit.data import GraphFamily, Split, card, disjoint_union, load
from graphkit.nn import GCNConv


def graph(nodes, *, seed, features=4, weight=False):
    drawn = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(nodes, (2, 3 * nodes), generator=drawn)
    data = Data(x=torch.rand(nodes, features, generator=drawn), edge_index=edge_index, y=torch.arange(nodes) % 3 - 1)
    part = torch.arange(nodes) // 3 % 3
    if weight:
        data.edge_weight = torch.rand(3 * nodes, generator=drawn)
    known = data.y >= 0
    return Split(known & (part == 0), known & (part == 1), known & (part == 2), "thirds", {"seed": 0}).apply(data)


@pytest.fixture
def graphs():
    return {"one": graph(9, seed=1), "two": graph(12, seed=2), "three": graph(18, seed=3)}


def test_a_union_is_what_pyg_batches(graphs):
    union, batch = disjoint_union(graphs), Batch.from_data_list(list(graphs.values()))
    for field in ("x", "edge_index", "y", "train_mask", "val_mask", "test_mask"):
        assert torch.equal(union[field], batch[field])
    assert torch.equal(union.part, batch.batch)
    assert union.parts == {"one": 9, "two": 12, "three": 18}
    assert union.get("edge_weight") is None


def test_layers_see_each_graph_as_if_it_were_alone(graphs):
    conv, union = GCNConv(4, 2), disjoint_union(graphs)
    alone = torch.cat([conv(data.x, data.edge_index) for data in graphs.values()])
    torch.testing.assert_close(conv(union.x, union.edge_index), alone)


def test_weights_are_kept_where_all_have_some():
    weighted = {"a": graph(9, seed=1, weight=True), "b": graph(9, seed=2, weight=True)}
    assert torch.equal(
        disjoint_union(weighted).edge_weight, torch.cat([data.edge_weight for data in weighted.values()])
    )


def test_sparse_features_become_dense(graphs):
    x = graphs["two"].x
    graphs["two"].x = x.to_sparse_csr()
    assert torch.equal(disjoint_union(graphs).x[9:21], x)


def test_a_graph_that_is_held_out_alone_is_tested_on(graphs):
    union = disjoint_union(graphs, held_out="two")
    second = union.part == 1
    assert torch.equal(union.held_out, second)
    assert torch.equal(union.test_mask, second & (union.y >= 0))
    whole = disjoint_union(graphs)
    for name in ("train_mask", "val_mask"):
        assert torch.equal(union[name], whole[name] & ~second)
    assert union.protocol["parameters"] == {"seed": 0, "held_out": "two"}


def test_a_split_has_its_name_only_where_all_graphs_are_split_alike(graphs):
    assert disjoint_union(graphs).protocol["split"] == "thirds"
    graphs["one"].protocol = {**graphs["one"].protocol, "parameters": {"seed": 1}}
    assert disjoint_union(graphs).get("protocol") is None
    graphs["one"].protocol = graphs["two"].protocol
    assert disjoint_union(graphs).get("protocol") is None
    del graphs["one"].protocol
    assert disjoint_union(graphs, held_out="one").get("protocol") is None


def test_the_card_is_the_familys():
    family = GraphFamily(card("structural-roles"), load("structural-roles").graphs)
    assert disjoint_union(family).card is family.card


def test_graphs_are_left_as_they_were(graphs):
    before = {name: data.clone() for name, data in graphs.items()}
    disjoint_union(graphs, held_out="one")
    for name, data in graphs.items():
        assert data.keys() == before[name].keys()
        assert all(torch.equal(data[f], before[name][f]) for f in ("x", "edge_index", "y", "train_mask", "test_mask"))


def test_what_no_encoder_takes_together_is_refused(graphs):
    with pytest.raises(ValueError, match="at least one graph"):
        disjoint_union({})
    with pytest.raises(TypeError, match="`graphs` must be a mapping from names to graphs, got list"):
        disjoint_union(list(graphs.values()))
    with pytest.raises(ValueError, match=r"`held_out` 'tow' is not known. Did you mean 'two'"):
        disjoint_union(graphs, held_out="tow")
    with pytest.raises(ValueError, match="`held_out` 'one' leaves no graph to train on"):
        disjoint_union({"one": graphs["one"]}, held_out="one")
    with pytest.raises(ValueError, match="as many features in all graphs, of one meaning, got 4 in 'one', 5 in 'wide'"):
        disjoint_union({"one": graphs["one"], "wide": graph(9, seed=1, features=5)})
    with pytest.raises(ValueError, match="the graph 'far': `edge_index` must hold node ids from 0 to 8, found 9"):
        disjoint_union({"far": Data(**{**graphs["one"].to_dict(), "edge_index": torch.tensor([[0], [9]])})})
    with pytest.raises(ValueError, match="`edge_weight` must be in all graphs or in none, but is in w alone"):
        disjoint_union({"one": graphs["one"], "w": graph(9, seed=1, weight=True)})
    ten = graphs["one"].clone()
    ten.val_mask = torch.zeros(9, 10, dtype=torch.bool)
    with pytest.raises(ValueError, match="`val_mask` holds 10 splits in the graph 'ten': choose one"):
        disjoint_union({"ten": ten})
    with pytest.raises(ValueError, match="`val_mask` is missing in the graph 'bare'"):
        disjoint_union({"bare": Data(**{n: v for n, v in graphs["one"].to_dict().items() if n != "val_mask"})})

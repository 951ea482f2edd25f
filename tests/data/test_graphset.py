"""Sets of graphs: what PyG reads, batched as PyG batches, split and cached like single graphs."""

from __future__ import annotations

import copy
import pickle
import shutil

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from graphkit.data import DataError, GraphSet, Split, fetch, load, verify
from graphkit.data.catalog import cached_graphs
from graphkit.data.graphset import graphs_sha256


@pytest.fixture
def single(generator) -> list[Data]:
    """Return graphs of all kinds: with and without edges, of one node, of several."""
    graphs = []
    for nodes, edges, label in ((3, 4, 0), (1, 0, 1), (5, 7, 1), (2, 0, 0), (4, 3, 1)):
        ends = torch.randperm(nodes * nodes, generator=generator)[:edges]
        edge_index = torch.stack([ends // nodes, ends % nodes])
        x, attr = torch.rand(nodes, 2, generator=generator), torch.rand(edges, 3, generator=generator)
        graphs.append(Data(x=x, edge_index=edge_index, edge_attr=attr, y=torch.tensor([label])))
    return graphs


@pytest.fixture
def graphs(single) -> GraphSet:
    batch = {
        name: torch.cat([graph[name] for graph in single], dim=-1 if name == "edge_index" else 0)
        for name in single[0].to_dict()
    }
    counts = {"nodes": [g.num_nodes for g in single], "edges": [g.num_edges for g in single]}
    return GraphSet(Data(**batch), **{name: torch.tensor(many) for name, many in counts.items()})


def assert_same(one: Data, two: Data) -> None:
    assert set(one.keys()) == set(two.keys())
    for name in sorted(one.keys()):
        assert torch.equal(one[name], two[name]), name
        assert one[name].dtype == two[name].dtype


def test_a_set_gives_its_graphs_one_by_one(graphs, single):
    assert len(graphs) == 5
    for found, expected in zip(graphs, single, strict=True):
        assert_same(found, expected)
    assert [graph.num_nodes for graph in graphs[torch.tensor([3, 1])]] == [2, 1]
    assert repr(graphs) == "GraphSet('graphs', 5 graphs)"
    assert graphs.num_classes == 2
    assert graphs.num_features == 2


@pytest.mark.parametrize("index", [[0], [1], [4, 0, 2], [3, 1], [2, 2], [0, 1, 2, 3, 4]])
def test_a_gathered_batch_is_pygs(graphs, single, index):
    ours, theirs = graphs.batch(index), Batch.from_data_list([single[at] for at in index])
    assert_same(ours, theirs)
    assert ours.num_graphs == theirs.num_graphs
    for found, expected in zip(ours.to_data_list(), theirs.to_data_list(), strict=True):
        assert_same(found, expected)


def test_a_batch_of_a_part_counts_from_its_own_first_graph(graphs, single):
    part = graphs[torch.tensor([False, False, True, True, True])]
    assert_same(part.batch([2, 0]), Batch.from_data_list([single[4], single[2]]))


def places(index, many: int) -> list[int]:
    """Say slowly what an index of some graphs names, as Python's lists and NumPy's masks have it."""
    listed = list(range(many))[index] if isinstance(index, slice) else [each.item() for each in np.asarray(index)]
    if len(listed) == many and all(isinstance(each, bool) for each in listed):
        return [place for place, taken in enumerate(listed) if taken]
    return [range(many)[each] for each in listed]


MASK = [True, False, False, True, True]
NAMED = [[-2], [-5, 4, -1, 0], [1, 1, 3], (4, 2), range(1, 4), range(4, 0, -2), MASK]
NAMED += [make(index) for index in ([3, -1], [-4], MASK) for make in (np.array, torch.tensor)]
NAMED += [np.array([1, 4], dtype=np.uint8), torch.tensor([2, -3], dtype=torch.int32), [np.int64(2), -1]]
REFUSED = [
    ([5], ValueError, "must hold places from -5 to 4, got 5"),
    (torch.tensor([0, -6]), ValueError, "must hold places from -5 to 4, got -6"),
    (np.array([2**63], dtype=np.uint64), ValueError, "must hold places from -5 to 4, got 9,223,372"),
    ([1.0], TypeError, "must hold integers or a mask"),
    (torch.tensor([1.0]), TypeError, "must hold integers or a mask"),
    (["1"], TypeError, "must hold integers or a mask"),
    (None, TypeError, "must hold integers or a mask"),
    ([[0, 1]], ValueError, r"must have shape \[places\]"),
    ([[0], [1, 2]], ValueError, r"must have shape \[places\]"),
    (MASK[:2], ValueError, "is a mask and must have length 5, got 2"),
    (torch.tensor([*MASK, True]), ValueError, "is a mask and must have length 5, got 6"),
]


@pytest.mark.parametrize("index", NAMED, ids=repr)
@pytest.mark.parametrize("within", [slice(None), [4, 0, 3, 1, 2], [2, 2, 4, 0, 1]])
def test_an_index_of_any_form_names_the_graphs_that_a_slow_reading_names(graphs, single, index, within):
    among = [single[at] for at in places(within, 5)]
    expected = [among[at] for at in places(index, 5)]
    part = graphs if within == slice(None) else graphs[within]
    assert_same(part.batch(index), Batch.from_data_list(expected))
    for found, wanted in zip(part[index], expected, strict=True):
        assert_same(found, wanted)


@pytest.mark.parametrize(("index", "kind", "said"), REFUSED)
def test_an_index_that_names_no_graphs_is_refused(graphs, index, kind, said):
    with pytest.raises(kind, match=f"`index` {said}"):
        graphs.batch(index)
    with pytest.raises(kind, match=f"`idx` {said}"):
        graphs[index]
    for none in ([], torch.zeros(5, dtype=torch.bool), np.array([], dtype=np.int64)):
        assert len(graphs[none]) == 0
        with pytest.raises(ValueError, match="one or more places in the set, got none"):
            graphs.batch(none)


def test_rows_that_are_not_those_the_counts_say_are_refused(graphs):
    def made(**changed):
        data = graphs._data.clone()
        for field, value in changed.items():
            data[field] = value
        return GraphSet(data, nodes=graphs.nodes, edges=graphs.edges)

    three, five = torch.arange(3), torch.arange(5)
    for changed, said in (
        ({"y": three}, r"`y` must have one row for each graph \(5\), got 3"),
        ({"y": torch.tensor(1)}, "`y` must have a row for each of the graphs, got a single number"),
        ({"x": three}, "`nodes` must be counts that add up to 3, got 15: `x` has 3 rows"),
        ({"edge_attr": three}, "`edges` must be counts that add up to 3, got 14: `edge_attr` has 3 rows"),
        ({"edge_weight": five}, "`edges` must be counts that add up to 5, got 14"),
        ({"num_nodes": 15}, "`num_nodes`: `nodes` says it of each graph"),
        ({"edge_index": None}, "`edge_index` is missing"),
        ({"edge_index": graphs._data.edge_index + 1}, "`edge_index` must start at 0 in every graph, but graph"),
        ({"edge_index": graphs._data.edge_index - 1}, "`edge_index` must hold node ids from 0 upwards"),
    ):
        with pytest.raises(ValueError, match=said):
            made(**changed)
    for changed, said in (({"y": [0] * 5}, "`y` must be a tensor, got list"), ({"y": np.ones(5)}, "got ndarray")):
        with pytest.raises(TypeError, match=said):
            made(**changed)
    with pytest.raises(ValueError, match="`nodes` must be counts from 0 upwards, got -1"):
        GraphSet(graphs._data, nodes=graphs.nodes - 2, edges=graphs.edges)
    with pytest.raises(ValueError, match="has no labels"):
        made(y=None).items


def test_a_copy_on_a_device_leaves_the_set_where_it_was(graphs):
    graphs[0]  # PyG remembers single graphs
    there = graphs.to("meta")
    assert (there[0].x.device.type, graphs[1].x.device.type) == ("meta", "cpu")
    assert {there._data.x.device.type, there.nodes.device.type} == {"meta"}
    assert {graphs._data.x.device.type, graphs.nodes.device.type} == {"cpu"}
    assert graphs.to("cpu") is graphs


def test_pygs_loader_takes_a_set_as_it_is(graphs, single):
    (batch,) = DataLoader(graphs, batch_size=5)
    assert_same(batch, Batch.from_data_list(single))


def test_copies_keep_card_and_split():
    import graphkit.data

    graphs = GraphSet(
        Data(x=torch.ones(2, 1), edge_index=torch.zeros(2, 0, dtype=torch.long), y=torch.arange(2)),
        nodes=torch.ones(2, dtype=torch.long),
        edges=torch.zeros(2, dtype=torch.long),
        card=graphkit.data.card("karate"),
    ).with_split(Split(torch.tensor([True, False]), torch.tensor([False, True]), torch.zeros(2, dtype=torch.bool)))
    for one in (copy.copy(graphs), copy.deepcopy(graphs), pickle.loads(pickle.dumps(graphs))):
        assert one.card == graphs.card
        assert one.protocol == graphs.protocol
        assert one.part("train").y.tolist() == [0]
        assert one.part("val").y.tolist() == [1]
        assert len(one.part("test")) == 0


def test_what_a_set_cannot_do_it_says(graphs):
    with pytest.raises(ValueError, match="has no split"):
        graphs.part("train")
    with pytest.raises(ValueError, match="a split of 3 graphs does not fit a set of 5"):
        graphs.with_split(Split(*torch.eye(3, dtype=torch.bool)))
    divided = graphs.with_split(Split(*torch.eye(5, dtype=torch.bool)[:3]))
    with pytest.raises(ValueError, match="`name` 'tset' is not known"):
        divided.part("tset")
    with pytest.raises(ValueError, match="is a part of a set"):
        divided.part("val").part("val")
    with pytest.raises(ValueError, match="one or more places"):
        graphs.batch([])
    with pytest.raises(ValueError, match="`nodes` must be counts that add up to 15, got 5"):
        GraphSet(graphs._data, nodes=torch.ones(5, dtype=torch.long), edges=graphs.edges)
    graphs.transform = copy.copy
    with pytest.raises(ValueError, match="`transform`"):
        graphs.batch([0])


def test_a_set_comes_back_from_the_cache_bit_for_bit(graphs, tmp_path):
    graphs.masks = {"train_mask": torch.arange(5) < 3}
    cached_graphs.write_graph(graphs, tmp_path / "set.safetensors")
    back = cached_graphs.read_graph(tmp_path / "set.safetensors")
    assert_same(back._data, graphs._data)
    assert torch.equal(back.nodes, graphs.nodes)
    assert torch.equal(back.edges, graphs.edges)
    assert torch.equal(back.masks["train_mask"], graphs.masks["train_mask"])
    back._data.x.zero_()
    assert cached_graphs.read_graph(tmp_path / "set.safetensors")._data.x.any()


def test_the_fingerprint_is_blind_to_the_order_of_edges_and_to_nothing_else(graphs):
    def changed(field: str) -> GraphSet:
        data = graphs._data.clone()
        last = data[field][..., -1:] if field == "edge_index" else data[field][-1:]
        last.copy_((last + 1) % 4 if field == "edge_index" else last + 1)
        return GraphSet(data, nodes=graphs.nodes, edges=graphs.edges)

    order = torch.tensor([2, 0, 1, 3, *range(4, 14)])
    moved = graphs._data.clone()
    moved.edge_index, moved.edge_attr = moved.edge_index[:, order], moved.edge_attr[order]
    same = GraphSet(moved, nodes=graphs.nodes, edges=graphs.edges)
    assert graphs_sha256(same) == graphs_sha256(graphs)
    assert len({graphs_sha256(changed(field)) for field in ("x", "edge_index", "edge_attr", "y")}) == 4
    other = GraphSet(graphs._data, nodes=graphs.nodes[torch.tensor([0, 3, 2, 1, 4])], edges=graphs.edges)
    assert graphs_sha256(other) != graphs_sha256(graphs)


@pytest.mark.parametrize(
    ("name", "pyg"),
    [("mutag", "MUTAG"), ("enzymes", "ENZYMES"), ("firstmm-db", "FIRSTMM_DB"), ("imdb-binary", "IMDB-BINARY")],
)
def test_a_tu_set_is_what_pyg_loads(mirror, tmp_path, name, pyg):
    from torch_geometric.datasets import TUDataset

    shutil.copytree(mirror / "tu" / pyg, tmp_path / pyg, copy_function=shutil.copyfile)
    for path in (tmp_path / pyg, *(tmp_path / pyg).rglob("*")):
        path.chmod(0o755)
    ours = load(name)
    theirs = TUDataset(str(tmp_path), pyg, use_node_attr=True, use_edge_attr=True)
    assert len(ours) == len(theirs)
    for one, two in zip(ours, theirs, strict=True):
        assert torch.equal(one.edge_index, two.edge_index)
        assert torch.equal(one.y, two.y)
        assert ("edge_attr" in one) == (two.edge_attr is not None)
        if "edge_attr" in one:
            assert torch.equal(one.edge_attr, two.edge_attr)
        if two.x is None:
            degree = torch.zeros(two.num_nodes, dtype=torch.long).index_add_(
                0, two.edge_index[0], torch.ones(two.num_edges, dtype=torch.long)
            )
            assert torch.equal(one.x.argmax(1), degree)
            assert (one.x.sum(1) == 1).all()
        else:
            assert torch.equal(torch.cat([one.node_attr, one.x], dim=1) if "node_attr" in one else one.x, two.x)


def test_a_set_is_loaded_with_a_split_and_batched(mirror):
    graphs = load("mutag", split="folds:10,3", seed=1)
    parts = [graphs.part(name) for name in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(graphs) == 188
    assert graphs.protocol["split"] == "folds"
    assert graphs.protocol["parameters"] == {"folds": 10, "fold": 3, "val": 0.1, "seed": 1}
    assert graphs.protocol["fingerprint"] == graphs.split.fingerprint
    batches = list(DataLoader(graphs.part("train"), batch_size=32))
    assert sum(batch.num_graphs for batch in batches) == len(parts[0])
    assert_same(batches[1], graphs.part("train").batch(range(32, 64)))


def test_a_set_has_its_files_checked(mirror, tmp_path, data_home, monkeypatch):
    folder = tmp_path / "mirror/tu/MUTAG/raw"
    shutil.copytree(mirror / "tu/MUTAG/raw", folder, copy_function=shutil.copyfile)
    monkeypatch.setenv("GRAPHKIT_MIRROR", str(tmp_path / "mirror"))
    assert fetch("mutag") == tmp_path / "mirror"
    labels = folder / "MUTAG_graph_labels.txt"
    whole = labels.read_bytes()
    labels.write_bytes(whole.replace(b"\n", b" \n"))
    told = verify("mutag")
    assert list(told.others) == ["tu/MUTAG/raw/MUTAG_graph_labels.txt"], "the same numbers, written differently"
    for wrong, why in (
        (whole[:-4], "what it holds has|cannot be read"),
        (whole.replace(b"-1", b"1", 1), "content sha256"),
        (b"x", "cannot be read"),
    ):
        labels.write_bytes(wrong)
        with pytest.raises(DataError, match=why):
            verify("mutag")
    labels.unlink()
    with pytest.raises(DataError, match="is not on this machine"):
        verify("mutag")
    assert not (data_home / "cache").exists()


def test_the_second_load_of_a_set_reads_the_cache(mirror, data_home, monkeypatch):
    first = load("mutag")
    monkeypatch.setattr("graphkit.data.catalog.loading.read_verified", lambda *_: pytest.fail("read again"))
    again = load("mutag")
    assert graphs_sha256(first) == graphs_sha256(again) == again.card.content
    assert first.protocol == again.protocol

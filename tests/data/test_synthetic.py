"""Synthetic graphs follow the laws they are drawn by, and are the same again from the same seed."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import torch

from graphkit.data import DataError, Synthetic, fetch, load, open_stored, synthesize, synthesize_ogb, verify
from graphkit.data.catalog import loading as loading_module
from graphkit.data.catalog.sources.generated import StoredSource, SyntheticSource
from graphkit.data.catalog.sources.ogb import OGBNodeSource
from graphkit.data.disk import synthetic

HOW = Synthetic(nodes=20_000, edges=120_000, features=32, classes=10)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """Return a graph of some size; it stays on the disk."""
    return open_stored(synthesize(tmp_path_factory.mktemp("drawn") / "graph", HOW).folder)


def test_sizes_are_those_asked_for_and_every_edge_is_there_both_ways(graph):
    assert (graph.num_nodes, graph.num_edges, graph.num_features) == (20_000, 240_000, 32)
    assert graph.store.undirected
    source, target = graph.edge_index.as_tensor().long()
    assert not bool((source == target).any())
    assert torch.equal((source * 20_000 + target).sort().values, (target * 20_000 + source).sort().values)


def test_degrees_follow_the_power_law(graph):
    degree = graph.edge_index.as_tensor()[1].bincount(minlength=20_000).double()
    # Hill's estimate over the largest 2 %: P(degree > d) falls with the power exponent - 1 = 1.7.
    top = degree.sort(descending=True).values[:400].log()
    assert float(1 / (top - top[-1]).mean()) == pytest.approx(1.7, abs=0.25)  # 5 % of error, and multiples of edges
    assert float(torch.corrcoef(torch.stack([degree, torch.arange(20_000.0).double()]))[0, 1].abs()) < 0.03


def test_edges_join_nodes_of_one_kind_as_often_as_asked(graph):
    kinds = torch.from_numpy(HOW.kinds(np.arange(20_000)))
    source, target = graph.edge_index.as_tensor().long()
    share = kinds.bincount() / 20_000
    expected = HOW.homophily + (1 - HOW.homophily) * float(share.square().sum())
    assert float((kinds[source] == kinds[target]).double().mean()) == pytest.approx(expected, abs=0.02)
    assert len(share) == 10
    assert float(share[0]) > float(share[-1])


def test_labels_are_the_teachers_but_for_the_noise(graph):
    directions = torch.from_numpy(HOW.directions())
    score = graph.x @ directions.T
    source, target = graph.edge_index.as_tensor().long()
    votes = torch.zeros(20_000, 10).index_put_((target, score.argmax(1)[source]), torch.ones(()), accumulate=True)
    score = score + HOW.neighbours * votes / target.bincount(minlength=20_000).clamp(min=1)[:, None]
    agree = float((score.argmax(1) == graph.y).double().mean())
    assert agree == pytest.approx(1 - HOW.noise * 0.9, abs=0.01)
    alone = float(((graph.x @ directions.T).argmax(1) == graph.y).double().mean())
    assert 0.3 < alone < agree - 0.1, "features alone are not enough"


def test_the_split_is_as_large_as_asked(graph):
    parts = [float(graph[f"{part}_mask"].double().mean()) for part in ("train", "val", "test")]
    assert parts == pytest.approx([0.6, 0.2, 0.2], abs=0.015)


def test_a_seed_decides_the_graph_and_another_gives_another(tmp_path):
    made = [
        synthesize(tmp_path / str(number), Synthetic(nodes=200, edges=900, features=4, classes=3, seed=seed))
        for number, seed in enumerate((0, 0, 1))
    ]
    assert made[0].fingerprint == made[1].fingerprint != made[2].fingerprint


def test_the_cut_into_pieces_of_the_sort_changes_nothing(tmp_path, monkeypatch):
    how = Synthetic(nodes=200, edges=900, features=4, classes=3)
    whole = synthesize(tmp_path / "whole", how)
    merge = synthetic.merge_runs
    monkeypatch.setattr(synthetic, "merge_runs", lambda *given, unique: merge(*given, unique=unique, at_once=50))
    assert synthesize(tmp_path / "pieces", how).fingerprint == whole.fingerprint


def test_ogbs_raw_files_hold_the_same_graph_and_are_the_same_bytes_again(tmp_path):
    how = Synthetic(nodes=300, edges=1000, features=5, classes=4)
    for name in ("one", "two"):
        synthesize_ogb(tmp_path / f"{name}/ogb/ogbn_small", how)
    one, two = (sorted((tmp_path / name).rglob("*.gz")) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert {path.name for path in one} == {
        "edge.csv.gz", "node-feat.csv.gz", "node-label.csv.gz", "num-edge-list.csv.gz", "num-node-list.csv.gz",
        "train.csv.gz", "valid.csv.gz", "test.csv.gz",
    }  # fmt: skip
    read = OGBNodeSource("small", split="random", add_inverse_edge=True).read(tmp_path / "one")
    kept = open_stored(synthesize(tmp_path / "kept", how).folder)
    order = np.lexsort(read.edge_index.numpy())
    assert torch.equal(read.edge_index[:, order], kept.edge_index.as_tensor().long())
    assert torch.allclose(read.x, kept.x, atol=5.1e-5), "four places are written"
    assert torch.equal(read.y, kept.y)
    assert torch.equal(read.val_mask, kept.val_mask)


def test_ogb_itself_reads_the_files(tmp_path):
    from ogb.io.read_graph_raw import read_csv_graph_raw

    synthesize_ogb(tmp_path / "small", Synthetic(nodes=300, edges=1000, features=5, classes=4))
    (graph,) = read_csv_graph_raw(str(tmp_path / "small/raw"), add_inverse_edge=True)
    assert (graph["num_nodes"], graph["edge_index"].shape, graph["node_feat"].shape) == (300, (2, 2000), (300, 5))


class TestAsDataSets:
    @pytest.fixture
    def small(self, data_home, monkeypatch):
        """Draw a small graph under the names of the large ones."""
        monkeypatch.delenv("GRAPHKIT_MIRROR", raising=False)
        drawn = {"nodes": 400, "edges": 1500, "features": 6, "classes": 5}
        known = loading_module.card

        def card(name):
            import dataclasses

            reader = {"form": known(name).reader["form"], "name": name, **drawn}
            return dataclasses.replace(known(name), nodes=400, edges=3000, features=6, classes=5, reader=reader)

        monkeypatch.setattr("graphkit.data.catalog.loading.card", card)
        return data_home

    @pytest.mark.parametrize("name", ["synthetic-arxiv", "synthetic-products"])
    def test_they_are_drawn_when_they_are_asked_for_and_found_again(self, small, name, monkeypatch):
        data = load(name)
        assert (data.num_nodes, data.num_edges, data.card.name) == (400, 3000, name)
        assert data.protocol["split"] == "public"
        source = SyntheticSource if name == "synthetic-arxiv" else StoredSource
        monkeypatch.setattr(source, "download", lambda *_: pytest.fail("it was drawn again"))
        assert torch.equal(load(name).y, data.y)
        assert fetch(name) == small
        assert verify(name).text().startswith(f"{name}: in order")
        assert verify(name).files == (7 if name == "synthetic-products" else 0)
        assert {path.name for path in small.iterdir()} <= {"ogb", "synthetic", "cache", "seals"}

    def test_one_that_was_damaged_is_told(self, small):
        fetch("synthetic-products")
        path = small / "synthetic/synthetic-products/x.npy"
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(DataError, match=r"x\.npy has 9,724 bytes instead of 9,728"):
            load("synthetic-products")

    def test_one_of_other_sizes_is_told(self, small, monkeypatch):
        source = StoredSource("synthetic-products", HOW)
        monkeypatch.setattr("graphkit.data.catalog.loading.source_of", lambda known: source)
        with pytest.raises(DataError, match=r"of \(counts\)"):
            load("synthetic-products")


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"nodes": 79}, "`nodes` must be from 80"),
            ({"nodes": 2**31}, "`nodes` must be from 80"),
            ({"edges": -1}, "`edges`"),
            ({"classes": 1}, "`classes`"),
            ({"features": 0}, "`features`"),
            ({"exponent": 2.0}, "`exponent`"),
            ({"homophily": 1.5}, "`homophily` must lie in"),
            ({"train": 0.8, "validation": 0.3}, "must be 1 together"),
        ],
    )
    def test_numbers_out_of_range(self, fields, message):
        with pytest.raises(ValueError, match=message):
            Synthetic(**{"nodes": 1000, "edges": 10, "classes": 10, **fields})

    def test_a_folder_that_exists_and_one_that_cannot_be_made(self, tmp_path):
        with pytest.raises(ValueError, match="exists already"):
            synthesize(tmp_path, HOW)
        (tmp_path / "file").write_text("")
        with pytest.raises(DataError, match="cannot be written"):
            synthesize(tmp_path / "file/graph", HOW)

    def test_a_compressed_table_has_no_time_in_it(self, tmp_path):
        synthesize_ogb(tmp_path / "small", Synthetic(nodes=300, edges=10, features=1, classes=4))
        path = tmp_path / "small/raw/num-edge-list.csv.gz"
        assert gzip.decompress(path.read_bytes()) == b"10\n"
        assert path.read_bytes()[4:8] == bytes(4)

"""The cache: fast, atomic, never believed when damaged."""

from __future__ import annotations

import os
import threading

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import card, load
from graphkit.data.catalog import cached_graphs, verified_read


@pytest.fixture
def unread(monkeypatch):
    """Count how often raw files are read."""
    readings = []
    original = verified_read.read_verified

    def read(*arguments):
        readings.append(arguments)
        return original(*arguments)

    monkeypatch.setattr("graphkit.data.catalog.loading.read_verified", read)
    return readings


def graph(features: int = 5, density: float = 0.2) -> Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(8, features, generator=generator)
    x[torch.rand(8, features, generator=generator) > density] = 0
    edge_index = torch.randint(8, (2, 20), generator=generator)
    masks = {name: torch.rand(8, 3, generator=generator) > 0.5 for name in ("train_masks", "val_masks", "test_masks")}
    return Data(x=x, edge_index=edge_index, y=torch.arange(8), **masks)


@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_what_is_stored_comes_back_bit_for_bit(tmp_path, density):
    data = graph(density=density)
    cached_graphs.write_graph(data, tmp_path / "a" / "b.safetensors")
    back = cached_graphs.read_graph(tmp_path / "a" / "b.safetensors")
    assert set(back.keys()) == set(data.keys())
    for name in sorted(data.keys()):
        assert torch.equal(back[name], data[name])
        assert back[name].dtype == data[name].dtype


def test_the_second_load_reads_no_raw_file_and_agrees(standin, network, unread):
    first, second = load("pubmed"), load("pubmed")
    assert len(unread) == 1
    for name in ("x", "edge_index", "y", "train_mask", "val_mask", "test_mask"):
        assert torch.equal(first[name], second[name])


def test_what_is_loaded_may_be_written_to(standin, network):
    data = load("pubmed")
    data = load("pubmed")
    for name in ("x", "edge_index", "y", "train_mask"):
        data[name].zero_()
    assert load("pubmed").x.any()


def cached(data_home):
    return list((data_home / "cache").iterdir())


@pytest.mark.parametrize("damage", ["one bit", "cut", "empty", "header", "garbage"])
def test_a_damaged_cache_is_read_again_from_the_raw_files(standin, network, unread, data_home, damage):
    first = load("pubmed")
    (path,) = cached(data_home)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    header = bytearray(whole)
    header[0] ^= 255
    contents = {"one bit": flipped, "cut": whole[:-7], "empty": b"", "header": header, "garbage": b"x" * 500}
    path.write_bytes(contents[damage])
    again = load("pubmed")
    assert len(unread) == 2
    assert torch.equal(first.x, again.x)
    assert path.read_bytes() == whole


def test_a_changed_card_or_reader_never_meets_an_old_cache(standin, network, data_home, monkeypatch):
    load("pubmed")
    monkeypatch.setattr(cached_graphs, "VERSION", cached_graphs.VERSION + 1)
    load("pubmed")
    assert len(cached(data_home)) == 2
    assert cached_graphs.cached_path(card("pubmed"), {}) != cached_graphs.cached_path(card("pubmed"), {"a": "b"})


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError])
def test_a_crash_while_writing_leaves_nothing(tmp_path, monkeypatch, step, failure):
    def crash(*arguments):
        raise failure

    monkeypatch.setattr(os, step, crash)
    if failure is OSError:
        cached_graphs.write_graph(graph(), tmp_path / "b.safetensors")
    else:
        with pytest.raises(failure):
            cached_graphs.write_graph(graph(), tmp_path / "b.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_costs_the_cache_but_not_the_data(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRAPHKIT_DATA", str(tmp_path / "file" / "below"))
    assert load("karate").num_nodes == 34


def test_two_writers_leave_one_whole_file(standin, network, data_home, monkeypatch):
    meet = threading.Barrier(2, timeout=30)
    store, loaded = cached_graphs.write_graph, []

    def together(*arguments):
        meet.wait()
        store(*arguments)

    monkeypatch.setattr(cached_graphs, "write_graph", together)
    writers = [threading.Thread(target=lambda: loaded.append(load("pubmed"))) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(loaded) == 2
    assert torch.equal(loaded[0].x, loaded[1].x)
    (path,) = cached(data_home)
    assert torch.equal(cached_graphs.read_graph(path).x, loaded[0].x)
    assert not [p for p in data_home.rglob("*") if p.name.startswith(".")]


def test_nothing_of_pyg_lingers_in_the_data_folder(standin, network, data_home):
    load("pubmed")
    assert not [path for path in data_home.rglob("*") if path.name == "processed" or path.suffix == ".pt"]

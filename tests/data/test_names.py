"""Names of graphs that cannot be printed, drawn or written are refused wherever one comes in, whatever gives it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import (
    DataError,
    Partitions,
    Synthetic,
    disjoint_union,
    import_graph,
    load,
    open_stored,
    partition,
    store,
    synthesize,
)
from graphkit.data.disk import checked_files
from graphkit.training import recipe, train

BAD = ["\x1b[31mred", "a\nb", "$\\x$", "a\\b", "", "  ", "\u202egnp", "tab\t", "\x00", "\x9b31m"]
KINDS = [repr(name) for name in BAD]


def named(name: str) -> Data:
    data = load("karate")
    del data.card
    data.name = name
    return data


def imported(home, **options) -> None:
    np.save(home / "edges.npy", np.array([[0, 1], [1, 2], [2, 0]]))
    import_graph(home / "edges.npy", home / "graph", **options)


DOORS = {
    "import_graph": lambda name, home: imported(home, name=name),
    "store": lambda name, home: store(load("karate"), home / "graph", name=name),
    "store, of data": lambda name, home: store(named(name), home / "graph"),
    "synthesize": lambda name, home: synthesize(home / "graph", Synthetic(100, 90, 3, 4), name=name),
    "partition": lambda name, home: partition(named(name), home / "graph", parts=2, by="contiguous"),
    "disjoint_union": lambda name, home: disjoint_union({name: load("karate")}),
    "train": lambda name, home: train(named(name), recipe("gcn", {"epochs": 1}), device="cpu"),
}
UNNAMED = {"store, of data", "partition", "train"}
"""Where an empty name is none, and another is taken."""


@pytest.mark.parametrize("name", BAD, ids=KINDS)
@pytest.mark.parametrize("door", DOORS)
def test_a_name_that_cannot_be_printed_is_refused(door, name, tmp_path):
    if not name and door in UNNAMED:
        return
    with pytest.raises(ValueError, match="must be a name of printable characters, without") as told:
        DOORS[door](name, tmp_path)
    assert str(told.value).isprintable()
    assert not (tmp_path / "graph").exists()


@pytest.mark.parametrize("name", ["Zürich, 2.0 (now)", "org/graph", "δίκτυο", "a & b"])
@pytest.mark.parametrize("door", DOORS)
def test_other_names_are_taken_as_they_are(door, name, tmp_path):
    DOORS[door](name, tmp_path)


def test_a_folder_that_gives_the_name_is_looked_at_too(tmp_path):
    for folder in ("\x1b[1m", "a$b$"):
        with pytest.raises(ValueError, match="`name` must be a name of printable characters"):
            store(Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2), tmp_path / folder)
        assert not list(tmp_path.iterdir())
    imported(tmp_path, name="plain")


def test_a_manifest_from_elsewhere_is_looked_at_too(tmp_path):
    store(load("karate"), tmp_path / "graph")
    partition(load("karate"), tmp_path / "parts", parts=2, by="contiguous")
    for folder, opened in (("graph", open_stored), ("parts", Partitions)):
        path = tmp_path / folder / "manifest.json"
        about = checked_files.read_sealed_json(path)
        if folder == "graph":
            about["name"] = BAD[0]
        else:
            about["about"]["name"] = BAD[0]
        path.write_text(checked_files.sealed_json(about))
        with pytest.raises(DataError, match=r"manifest\.json cannot be read .*printable") as told:
            opened(tmp_path / folder)
        assert str(told.value).isprintable()
        assert json.loads(path.read_text())


def test_control_characters_of_a_folder_do_not_reach_the_terminal(call, own_folder):
    for command in (
        ("train", "./\x1b[31m"),
        ("data", "verify", "./\x1b[31m"),
        ("data", "import", "\x1b.csv", "--to", "x"),
    ):
        code, out, err = call(*command)
        assert code in (1, 2)
        assert "\x1b" not in out + err
        assert "\\x1b" in err
    store(load("karate"), own_folder / "\x1b[31m", name="karate")
    code, out, err = call("train", "./\x1b[31m", "--epochs", "1", "--seeds", "2")
    assert code == 0
    assert "\x1b" not in out + err

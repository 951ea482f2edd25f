"""``graphkit data partition`` and what trains on the parts: one line for each mistake."""

from __future__ import annotations

import json

import pytest

from graphkit.data import load, store


@pytest.fixture
def call(call):
    """Return a function from arguments to exit code and all that was printed."""

    def run(*arguments):
        code, said, told = call(*arguments)
        return code, said + told

    return run


def partition(call, *arguments):
    return call("data", "partition", "karate", *arguments)


TRAIN = ("train", "karate", "--model", "sage", "--sampled", "--batch-size", "2", "--seeds", "1", "--epochs", "2")


def test_one_part_trains_as_the_whole_graph_does(call):
    code, said = partition(call, "--parts", "1", "--to", "whole")
    assert (code, "part 0: 34 nodes, 156 edges into them" in said) == (0, True)
    records = {}
    for name, more in (("parts", ["--partitions", "whole"]), ("graph", [])):
        code, said = call(*TRAIN, *more, "--run-dir", name, "--json", f"{name}.json")
        assert code == 0, said
        with open(f"{name}.json") as file:
            records[name] = json.load(file)
    same = ("dataset", "protocol", "config", "epochs", "seeds")
    assert {name: records["parts"][name] for name in same} == {name: records["graph"][name] for name in same}
    assert records["parts"]["metric"]["values"] == records["graph"]["metric"]["values"]


def test_a_stored_graph_is_cut_and_trained_on_as_it_lies(call, tmp_path):
    store(load("karate"), tmp_path / "stored")
    assert call("data", "partition", "./stored", "--parts", "1", "--to", "whole")[0] == 0
    records = {}
    for name, more in (("parts", ["--partitions", "whole"]), ("graph", [])):
        code, said = call("train", "./stored", *TRAIN[2:], *more, "--run-dir", name, "--json", f"{name}.json")
        assert code == 0, said
        records[name] = json.loads((tmp_path / f"{name}.json").read_text())
    same = ("dataset", "protocol", "config", "epochs", "seeds")
    assert {name: records["parts"][name] for name in same} == {name: records["graph"][name] for name in same}
    assert records["parts"]["metric"]["values"] == records["graph"]["metric"]["values"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--parts", "35", "--to", "new"], 2, "`parts` must be at most the number of nodes (34), got 35."),
        (["--parts", "2", "--to", "."], 2, "exists already"),
        (["--parts", "2", "--to", "/dev/null/new"], 1, "cannot be written"),
    ],
)
def test_what_cannot_be_cut_is_told_in_one_line(call, arguments, code, message):
    found, said = partition(call, *arguments)
    assert (found, said.count("\n")) == (code, 1)
    assert message in said


def test_a_set_of_graphs_is_not_cut(call):
    code, said = call("data", "partition", "mutag", "--parts", "2", "--to", "new")
    assert code == 2
    assert "is not one graph" in said


def test_the_wrong_number_of_processes_or_data_set_is_told_in_one_line(call):
    assert partition(call, "--parts", "2", "--to", "two", "--by", "contiguous")[0] == 0
    code, said = call(*TRAIN, "--partitions", "two")
    assert (code, said.count("\n")) == (2, 1)
    assert "'two' holds 2 parts, one for each process, but 1 of them was started; start 2" in said
    code, said = call("train", "digits", *TRAIN[2:], "--partitions", "two")
    assert code == 2
    assert "holds parts of 'karate', not of 'digits'" in said
    code, said = call(*TRAIN, "--partitions", "nowhere")
    assert code == 1
    assert "made by `graphkit data partition`" in said
    assert call(*TRAIN, "--keep-around")[0] == 2
    code, said = call(*TRAIN, "--workers", "2", "--partitions", "two")
    assert code == 2
    assert "without `--workers`" in said

"""``graphkit train ogbn-arxiv`` on a small set in its raw format: whole and sampled, as given and undirected."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.raw_arxiv import EDGES, NODES

TRAIN = (
    "train",
    "ogbn-arxiv",
    "--model",
    "gcn",
    "--device",
    "cpu",
    "--seeds",
    "1",
    "--epochs",
    "2",
    "--run-dir",
    "run",
)


@pytest.fixture
def trained(arxiv, data_home, call):
    """Return a function from further arguments of ``train`` to the record and what was printed."""
    shutil.copytree(arxiv, data_home / "ogb/ogbn_arxiv")

    def run(*arguments):
        code, said, told = call(*TRAIN, *arguments, "--json", "record.json")
        assert code == 0, told
        with open("record.json") as file:
            return json.load(file), said

    return run


@pytest.mark.parametrize("sampled", [(), ("--sampled", "--fan-out", "5,5", "--batch-size", "16")])
def test_it_is_trained_on_whole_and_sampled(trained, sampled):
    record, said = trained(*sampled)
    assert (record["dataset"]["nodes"], record["dataset"]["edges"]) == (NODES, EDGES)
    assert [record["protocol"][part] for part in ("train", "validation", "test")] == [60, 30, 30]
    assert record["protocol"]["edges"] == "as given"
    assert ("fan-out 5,5" in said) == bool(sampled)


@pytest.mark.parametrize("sampled", [(), ("--sampled",)])
def test_undirected_edges_are_in_protocol_and_table(trained, sampled):
    given, _ = trained(*sampled)
    record, said = trained("--undirected", *sampled)
    assert record["protocol"]["edges"] == "made undirected"
    assert record["protocol"]["fingerprint"] != given["protocol"]["fingerprint"]
    assert EDGES < record["dataset"]["edges"] < 2 * EDGES
    assert "edges (made undirected)" in said


def test_parts_of_an_undirected_graph_say_so_too(trained, call):
    whole, _ = trained("--undirected", "--sampled", "--fan-out", "-1,-1", "--set", "dropout=0")
    assert call("data", "partition", "ogbn-arxiv", "--parts", "1", "--to", "parts", "--undirected")[0] == 0
    record, _ = trained("--sampled", "--fan-out", "-1,-1", "--set", "dropout=0", "--partitions", "parts")
    assert record["protocol"] == whole["protocol"]


def test_a_graph_that_is_undirected_is_not_made_so(call):
    code, _, told = call("train", "karate", "--undirected")
    assert (code, told.count("\n")) == (2, 1)
    assert "`undirected`: every edge is there in both directions already" in told

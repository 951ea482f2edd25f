"""``graphkit data import`` and ``synthesize``, and training on what they made: one line for each mistake."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest

from graphkit.data import load, store
from graphkit.data.disk import external_sort


@pytest.fixture
def call(call):
    """Return a function from arguments to exit code and all that was printed."""

    def run(*arguments):
        code, said, told = call(*arguments)
        return code, said + told

    return run


TRAIN = ("--model", "sage", "--sampled", "--batch-size", "64", "--seeds", "1", "--epochs", "2", "--json", "record.json")


def test_edge_lists_become_a_graph_that_is_trained_on(call, tmp_path):
    data = load("digits")
    np.savetxt("edges.csv", data.edge_index.T.numpy(), fmt="%d", delimiter=",")
    np.save("x.npy", data.x.numpy())
    np.save("y.npy", data.y.numpy())
    parts = {part: data[f"{part}_mask"].nonzero().flatten().numpy() for part in ("train", "val", "test")}
    np.savez("split.npz", **parts)
    files = ("--features", "x.npy", "--labels", "y.npy", "--split", "split.npz")
    code, said = call("data", "import", "edges.csv", "--to", "graph", *files)
    assert (code, "graph: 1,797 nodes, 24,678 edges, 64 features, 10 classes" in said) == (0, True)
    code, said = call("train", "graph", *TRAIN)
    assert code == 0, said
    record = json.loads((tmp_path / "record.json").read_text())
    assert (record["dataset"]["name"], record["dataset"]["nodes"]) == ("graph", 1797)
    assert record["config"]["row_normalise"] is False
    assert len(list((tmp_path / "runs").glob("graph-sage-*"))) == 1
    code, said = call("train", "./graph", *TRAIN, "--split", "stratified", "--split-per-seed")
    assert code == 0, said


def test_an_import_says_what_can_be_done_with_the_graph(call):
    np.savetxt("edges.csv", [[0, 1], [1, 2]], fmt="%d", delimiter=",")
    np.save("y.npy", np.array([0, 1, -1]))
    for files, told in (((), "its nodes have no labels"), (("--labels", "y.npy"), "only 2 of its nodes have a label")):
        said = call("data", "import", "edges.csv", "--to", f"graph{len(files)}", *files)[1]
        assert told in said
        printed = said.partition("Look at it: ")[2].strip()
        assert call(*shlex.split(printed)[1:])[0] == 0


UNEVEN = [(60, 60), (700, 205, 100), (60, 3, 2), (9, 1), (2, 2), (2, 1), (1, 1, 1), (3,)]


@pytest.mark.filterwarnings("ignore:`edge_index` is directed:UserWarning")  # of one of the models that are tried
@pytest.mark.parametrize("sizes", UNEVEN, ids=str)
def test_the_command_that_an_import_prints_draws_its_split(call, sizes, tmp_path):
    y = np.repeat(np.arange(len(sizes)), sizes)
    ring = np.stack([np.arange(len(y)), (np.arange(len(y)) + 1) % len(y)], axis=1)
    for name, table in (("edges", ring), ("x", np.eye(len(sizes))[y]), ("y", y)):
        np.save(f"{name}.npy", table)
    files = ("--features", "x.npy", "--labels", "y.npy")
    said = call("data", "import", "edges.npy", "--to", "a graph", *files)[1]
    command = shlex.split(said.partition("Train on it: ")[2].strip())
    drawn = load(tmp_path / "a graph")
    assert all(int(drawn[f"{part}_mask"].sum()) for part in ("train", "val", "test"))
    if len(y) > len(sizes) + 1:
        assert set(drawn.y[drawn.train_mask].tolist()) == set(range(len(sizes))), "every class is learnt"
    if sizes in (UNEVEN[1], UNEVEN[-2]):
        code, said = call(*command[1:], "--seeds", "1", "--epochs", "1")
        assert code == 0, said


def test_a_split_that_a_stored_graph_does_not_allow_is_refused_before_torch_is_loaded(tmp_path):
    store(load("karate"), tmp_path / "graph")
    graph = str(tmp_path / "graph")
    wrong = [
        (["train", "karate", "--split", "nonsense"], "`split` 'nonsense' is not known"),
        (["train", "karate", "--split", "dense:2"], "must be above 0 and below 1 together"),
        (["embed", "karate", "--split", "random-per-class:x"], "must have numbers after the colon"),
        (["train", graph, "--split", "random-per-class:20"], "needs 51 nodes of each class"),
        (["train", graph, "--split", "folds:40"], "`folds` must be at most 34"),
        (["data", "partition", "karate", "--parts", "2", "--to", "x", "--split", "folds:1"], "`folds` must be"),
    ]
    code = (
        "import sys, graphkit.cli\n"
        f"for arguments in {[arguments for arguments, _ in wrong]!r}:\n"
        "    print(graphkit.cli.main(arguments), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["2 False"] * len(wrong)
    for line, (_, said) in zip(done.stderr.splitlines(), wrong, strict=True):
        assert said in line


def test_the_dense_split_says_what_it_is(call):
    code, said = call(
        "train", "karate", "--split", "dense:0.3,0.2", "--epochs", "1", "--seeds", "1", "--json", "a.json"
    )
    told = "trains on 3 nodes of every class (round(0.3 nodes / classes)), all of a smaller one"
    assert (code, told in " ".join(said.split())) == (0, True)
    with open("a.json") as file:
        assert json.load(file)["protocol"]["rule"] == told
    for command in ("train", "embed"):
        assert "round(0.6 nodes / classes) of every class" in " ".join(call(command, "--help")[1].split())


def test_a_synthetic_graph_is_drawn_and_trained_on(call, tmp_path):
    sizes = ("--nodes", "600", "--degree", "8", "--features", "16", "--classes", "4")
    code, said = call("data", "synthesize", "graph", *sizes)
    assert (code, "synthetic-600: 600 nodes, 4,800 edges, 16 features, 4 classes" in said) == (0, True)
    code, said = call("train", "graph", *TRAIN)
    assert code == 0, said
    assert call("data", "synthesize", "raw", *sizes, "--ogb")[0] == 0
    assert (tmp_path / "raw/raw/edge.csv.gz").is_file()


def test_an_import_that_is_stopped_says_how_it_goes_on(call, tmp_path, monkeypatch):
    (tmp_path / "edges.csv").write_text("0,1\n1,2\n")
    with monkeypatch.context() as patch:
        patch.setattr(external_sort, "merge_runs", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        code, said = call("data", "import", "edges.csv", "--to", "graph")
    assert (code, "Stopped; the same import goes on" in said) == (1, True)
    assert call("data", "import", "edges.csv", "--to", "graph")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("data", "import", "none.csv", "--to", "new"), 1, "none.csv is missing"),
        (("data", "import", "none.csv", "--to", "."), 2, "exists already"),
        (("data", "synthesize", "new", "--nodes", "9"), 2, "`nodes` must be from 320"),
        (("train", "no/such/graph"), 1, "holds no manifest"),
        (("train", "graph"), 1, "has no labels"),
    ],
)
def test_a_mistake_is_one_line(call, arguments, code, message):
    data = load("karate")
    store(data.__class__(edge_index=data.edge_index, num_nodes=34), "graph")
    found, said = call(*arguments)
    assert (found, message in said) == (code, True), said
    assert len(said.strip().splitlines()) == 1

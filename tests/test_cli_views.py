"""``graphkit export``, ``view`` and ``explain``: of a run, what it trained, what it says and why."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from tests.training.studies import rings_and_stars

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def run(call):
    code, _, err = call(
        "train", "karate", "--model", "gcn", "--epochs", "3", "--seeds", "2", "--set", "hidden=4", "--run-dir", "run"
    )
    assert code == 0, err
    return "run"


def test_a_run_is_exported_and_says_what_its_model_says(call, run):
    code, out, err = call("export", run, "--seed", "1", "--to", "m.pt2")
    assert code == 0, err
    assert "edge_weight" in out
    assert "checked" in out
    import graphkit.data
    from graphkit.training import load_run

    data, model = graphkit.data.load("karate"), load_run(run).of_seed(1)
    given = {"x": data.x, "edge_index": data.edge_index, "edge_weight": torch.ones(data.num_edges)}
    found = torch.export.load("m.pt2").module()(**given)
    torch.testing.assert_close(found, model.outputs_for(data, device="cpu"), atol=1e-5, rtol=1e-5)


def test_a_run_is_seen_in_a_page(call, run):
    pytest.importorskip("plotly")
    code, _, err = call("view", run)
    assert code == 0, err
    written = (Path(run) / "view.html").read_text(encoding="utf-8")
    told = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', written)[1])
    assert len(told["items"]["ids"]) == 34
    assert [each["name"] for each in told["curves"]] == ["seed-0", "seed-1"]
    record = json.loads((Path(run) / "record.json").read_text())
    assert sum(map(sum, told["confusion"]["counts"])) == record["protocol"]["test"]
    assert dict(told["record"])["command"] == record["command"]
    model = torch.tensor(told["items"]["predicted"])
    assert (told["confusion"]["of"], len(model)) == ("test items", 34)


def test_a_run_of_embeddings_is_seen_with_the_items_nearest_to_each(call):
    pytest.importorskip("plotly")
    small = ["--epochs", "2", "--set", "hidden=4", "--no-probes", "--no-pictures", "--run-dir", "run"]
    code, _, err = call("embed", "karate", "--loss", "triplet", "--dim", "4", *small)
    assert code == 0, err
    code, _, err = call("view", "run", "--to", "page.html")
    assert code == 0, err
    written = Path("page.html").read_text(encoding="utf-8")
    told = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', written)[1])
    from graphkit.metric.nearest import nearest_items
    from graphkit.training import load_run

    saved = load_run("run").gallery()
    expected = nearest_items(saved.z, 12)
    assert told["nearest"] == expected.items.tolist()
    assert told["items"]["true"] == saved.y.tolist()
    assert told["items"]["predicted"] == saved.y[expected.items[:, 0]].tolist()
    record = json.loads(Path("run/record.json").read_text())
    assert sum(map(sum, told["confusion"]["counts"])) == record["protocol"]["test"]
    assert [len(each["figure"]) for each in told["curves"]] == [2]
    assert told["curves"][0]["validation_loss"] == []


def test_graphs_that_nobody_labelled_are_seen_too(tmp_path):
    from graphkit.cli.retrieval_page import retrieval_page
    from graphkit.training import load_run
    from graphkit.training.embedding import embed, embedding_recipe

    data = rings_and_stars()
    chosen = embedding_recipe("triplet", {"epochs": 1, "dim": 4, "hidden": 4}, level="graph")
    embed(data, chosen, device="cpu", probes=False, run_dir=tmp_path / "run")
    run = load_run(tmp_path / "run")
    made = retrieval_page(run, run.model, data, device="cpu")
    assert made.confusion.sum() == int(data.split.test.sum())
    assert made.items.nearest.shape == (40, 12)
    data.items.y[:] = -1
    made = retrieval_page(run, run.model, data, device="cpu")
    assert made.confusion.sum() == 0
    assert set(made.items.predicted.tolist()) == {-1}


def test_a_prediction_of_a_run_is_explained(call, run):
    code, out, err = call("explain", run, "--node", "3", "--most", "2", "--picture", "e.png", "--json", "e.json")
    assert code == 0, err
    assert "as many drawn" in out
    told = json.loads(Path("e.json").read_text())
    assert (told["item"], len(told["edges"]), len(told["features"])) == (3, 2, 2)
    assert Path("e.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("explain run", "give the one to explain"),
        ("explain run --node 1 --graph 1", "give the one to explain"),
        ("explain run --graph 1", "the run predicts nodes: give `--node NAME`"),
        ("explain run --node 34", "must be at most 33, got 34"),
        ("explain run --node 3 --method attention", "attention"),
        ("export run --seed 7", "`seed` must be one that was trained, 0, 1, got 7"),
        ("view nowhere", "'nowhere' is no folder of a run"),
    ],
)
def test_wrong_calls_are_answered_in_a_line(call, run, words, said):
    code, _, err = call(*words.split())
    assert code == 2
    assert said in err.splitlines()[-1]


@pytest.mark.parametrize("model", ["gcn-link", "pair-logistic"])
def test_a_run_on_links_is_seen_with_the_likeliest_new_ones_of_each_node(call, model):
    pytest.importorskip("plotly")
    fields = ["--epochs", "2", "--set", "hidden=4"] if model == "gcn-link" else []
    where = ["--model", model, "--seeds", "2", "--split-per-seed", "--beside", "none", "--run-dir", "run"]
    code, _, err = call("train", "karate", "--task", "links", *fields, *where)
    assert code == 0, err
    code, _, err = call("view", "run", "--seed", "1", "--to", "page.html")
    assert code == 0, err
    told = json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', Path("page.html").read_text())[1]
    )
    from graphkit.data import load
    from graphkit.training import load_run

    data = load("karate")
    known, run = {tuple(pair) for pair in data.edge_index.T.tolist()}, load_run("run")
    table = run.predict(data, seed=1, top=12).frame()
    for node in range(34):
        found = [other for other in told["nearest"][node] if other >= 0]
        assert found == table[table["id"] == node]["link"].tolist()
        assert not known & {(node, other) for other in found}
    assert (told["nearest_word"], told["distance_word"]) == ("likeliest new links", "probability")
    assert told["items"]["true"] == data.y.tolist()
    assert "confusion" not in told

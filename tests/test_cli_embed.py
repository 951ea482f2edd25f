"""``graphkit embed`` and ``graphkit search``: what they print, keep and refuse."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from graphkit.data import load
from graphkit.training.embedding import SavedEmbeddings, embedding_recipe
from graphkit.training.embedding import embed as study

spaces = importlib.import_module("graphkit.cli.embed")  # `graphkit.cli.embed` is the command

pytestmark = pytest.mark.usefixtures("own_folder")


def run_of(name):
    """Return the one folder of a run that is called so."""
    (folder,) = Path("runs").glob(f"{name}-*")
    return str(folder)


def embed(call, *arguments):
    return call("embed", "karate", "--epochs", "2", "--dim", "3", "--device", "cpu", *arguments)


@pytest.mark.parametrize("arguments", [["embed", "-h"], ["search", "-h"], ["embed", "corra"], ["embed", "--loss", "x"]])
def test_help_and_wrong_calls_answer_without_loading_torch(arguments):
    code = f"import sys, graphkit.cli; graphkit.cli.main({arguments!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_embedding_prints_baselines_beside_and_keeps_everything(call, tmp_path):
    code, out, err = embed(call, "--seeds", "2", "--json", "record.json", "--beside", "gcn", "--beside", "dgi")
    assert code == 0, err
    for row in (
        "raw features",
        "random encoder",
        "gcn, cross-entropy",
        "dgi",
        "prototype",
        "MAP@R test",
        "best view",
        "joined",
    ):
        assert row in out
    for watched in ("R-prec all", "hit@1 all", "tuples active", "pairs collapsed", "effective rank"):
        assert watched in out
    run = Path(run_of("karate-prototype"))
    assert {path.name for path in run.glob("[!.]*")} == {
        *("checkpoint.pt", "record.json", "scatter.png", "distances.png", "neighbours.png"),
        *("seed-0.safetensors", "seed-1.safetensors", "embeddings-0.safetensors", "embeddings-1.safetensors"),
    }
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["config"]["dim"] == 3
    assert len(record["telemetry"]["selected"]["effective_rank"]["values"]) == 2
    assert record["command"].startswith("graphkit")
    assert len(record["figures"]["prototype"]["map@r (all)"]["values"]) == 2


def test_search_answers_from_what_was_saved(call):
    embed(call, "--no-pictures", "--no-probes")
    code, out, err = call("search", run_of("karate-prototype"), "--query", "3", "--count", "4")
    assert code == 0
    assert err.startswith("karate, prototype: node 3, class ")
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert "3" not in [row[1] for row in rows]
    distances = [float(row[-1]) for row in rows]
    assert distances == sorted(distances)


def test_a_search_in_cells_says_how_many_it_misses(call):
    pytest.importorskip("faiss")
    embed(call, "--no-pictures", "--no-probes")
    asked = ["search", run_of("karate-prototype"), "--query", "3", "--count", "4"]
    (code, out, err), exact = call(*asked, "--engine", "ivf"), call(*asked, "--engine", "exact")
    assert (code, out) == (0, exact[1])
    assert "recall@4: 100.0 % of the exact answers to 34 items of the gallery" in err


def test_a_search_shows_true_classes_though_only_unseen_ones_were_examined(call):
    embed(call, "--no-pictures", "--no-probes", "--disjoint", "1")
    data = load("karate")
    out = call("search", run_of("karate-prototype"), "--query", "3", "--count", "33")[1]
    rows = [line.split() for line in out.splitlines()[1:]]
    assert {int(row[1]): int(row[2]) for row in rows} == {n: int(data.y[n]) for n in range(34) if n != 3}
    assert all((row[3] == "same") == (row[2] == str(int(data.y[3]))) for row in rows)


def test_an_item_without_a_class_is_like_no_other(call, tmp_path):
    z, y = torch.eye(3), torch.tensor([-1, -1, 2])
    SavedEmbeddings(z, y, {}).write(tmp_path / "embeddings-0.safetensors")
    _, out, err = call("search", str(tmp_path), "--query", "0")
    assert "class unknown" in err
    assert [line.split() for line in out.splitlines()[1:]] == [["1", "1", "1.0000"], ["2", "2", "2", "1.0000"]]


def test_a_family_is_embedded_in_one_space(call, tmp_path):
    options = ["--loss", "triplet", "--split", "random-per-class:5,5", "--epochs", "1", "--no-pictures", "--no-probes"]
    code, out, err = call("embed", "structural-roles", *options, "--held-out", "cycle-2", "--device", "cpu")
    assert code == 0, err
    run = Path(run_of("structural-roles-triplet-cycle-2"))
    record = json.loads((run / "record.json").read_text())
    assert (record["dataset"]["graphs"], record["protocol"]["train"], record["protocol"]["test"]) == (6, 250, 1040)
    assert record["protocol"]["split"].endswith("held_out=cycle-2)")
    assert "MAP@R across" in out
    code, out, err = call("search", str(run), "--query", "1040", "--count", "2")
    assert code == 0, err
    assert all(" cycle-" in line or " community-" in line for line in out.splitlines()[1:])


def test_graphs_whose_features_differ_in_width_are_refused(mirror, call):
    code, _, err = call("embed", "facebook100")
    assert code == 2
    assert "`x` must have as many features in all graphs, of one meaning, got 1,193 in 'amherst41', 4,735 in" in err


@pytest.mark.parametrize("options", [{"without_neighbours": True}, {"disjoint": 1}])
def test_the_gallery_keeps_to_the_protocol_that_is_printed_on_it(monkeypatch, options):
    data, shown = load("karate"), {}
    outcome = study(data, embedding_recipe("prototype", {"epochs": 2, "dim": 3}), device="cpu", probes=False, **options)

    def watched(queries, nearest, y, **named):
        shown.update(queries=queries, nearest=nearest)

    monkeypatch.setattr("graphkit.viz.neighbour_gallery", watched)
    spaces.all_pictures(outcome)
    assert len(shown["queries"])
    edges = set(map(tuple, data.edge_index.T.tolist()))
    for query, answers in zip(shown["queries"], shown["nearest"], strict=True):
        for item in answers[answers >= 0]:
            assert (query, item) not in edges or "disjoint" in options
            assert outcome.y[item] >= 0


def test_of_very_many_classes_some_stand_in_the_gallery():
    y = torch.arange(300) % 70
    outcome = SimpleNamespace(y=y, test=torch.arange(300) >= 5)
    asking = spaces._one_of_each(outcome)
    assert len(asking) == len(set(y[asking].tolist())) == spaces.MOST


def test_a_finished_run_resumes_to_the_same_record(call, tmp_path):
    embed(call, "--no-pictures", "--json", "one.json")
    code, _, err = embed(call, "--no-pictures", "--resume", "--json", "two.json")
    assert code == 0, err
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
    assert one["figures"] == two["figures"]


WRONG = {
    "data set": (["embed", "corra"], 2, "Did you mean 'cora'"),
    "loss": (["embed", "karate", "--loss", "tripletz"], 2, "`loss` 'tripletz' is not known. Did you mean 'triplet'"),
    "model": (["embed", "karate", "--model", "gnc"], 2, "`model` 'gnc' is not known. Did you mean"),
    "field": (["embed", "karate", "--set", "marign=1"], 2, "`marign` is no field"),
    "setting": (["embed", "karate", "--set", "dim"], 2, "`--set` takes FIELD=VALUE"),
    "value": (["embed", "karate", "--dim", "0"], 2, "`dim` must be at least 1"),
    "level": (["embed", "karate", "--level", "graph"], 2, "'karate' has labels of nodes"),
    "member": (["embed", "structural-roles", "--held-out", "cycle-9"], 2, "`held_out` 'cycle-9' is not known. Did you"),
    "no family": (
        ["embed", "karate", "--held-out", "karate"],
        2,
        "`--held-out` names a graph of a family; 'karate' is",
    ),
    "splits of a family": (["embed", "structural-roles", "--split-per-seed"], 2, "is a family of graphs; split one"),
    "links": (["embed", "ogbl-ddi"], 2, "'ogbl-ddi' is a set of links, for which there is no recipe"),
    "beside": (["embed", "karate", "--beside", "gracce"], 2, "`beside` 'gracce' is not known. Did you mean 'grace'"),
    "no run": (["search", "nothing", "--query", "1"], 2, "holds no embeddings; make some"),
    "not a file": (["search", "own.txt", "--query", "1"], 2, "cannot be read as safetensors"),
    "nothing to resume": (["embed", "karate", "--resume"], 2, "no checkpoint"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_exits_with_2_and_one_line(call, case, tmp_path):
    (tmp_path / "own.txt").write_text("no embeddings")
    arguments, expected, message = WRONG[case]
    code, out, err = call(*arguments)
    assert (code, out) == (expected, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_an_item_that_does_not_exist_is_refused(call):
    embed(call, "--no-pictures", "--no-probes")
    code, _, err = call("search", run_of("karate-prototype"), "--query", "34")
    assert (code, err) == (2, "Error: `query` must be an item from 0 to 33, got 34.\n")


def test_graphs_with_real_numbers_for_labels_are_refused(mirror, call):
    code, _, err = call("embed", "ogbg-molfreesolv")
    assert code == 2
    assert "`y` must hold one integer class for each of the graphs" in err

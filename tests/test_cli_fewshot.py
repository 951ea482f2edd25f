"""``graphkit fewshot``: what it prints, keeps and refuses."""

from __future__ import annotations

import functools
import json
import subprocess
import sys

import pytest
import torch
from torch_geometric.data import Data

from graphkit.cli.fewshot import _making, class_splits
from graphkit.data import store
from graphkit.meta import ClassSplit
from graphkit.training.fewshot import named_methods
from graphkit.training.fewshot.named_methods import BASELINES
from tests.training.studies import communities

pytestmark = pytest.mark.usefixtures("own_folder")

SMALL = ["--class-split", "random:2:4,3,3", "--tasks", "4", "--queries", "3"]


@pytest.fixture
def call(call):
    """Return a function from arguments of ``fewshot`` to exit code, standard output and standard error."""
    return functools.partial(call, "fewshot")


@pytest.mark.parametrize("arguments", [["-h"], ["corra"], ["cora", "--learner", "mamml"], ["--list-learners"]])
def test_help_and_wrong_calls_answer_without_loading_torch(arguments):
    code = f"import sys, graphkit.cli; graphkit.cli.main({['fewshot', *arguments]!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_a_learner_stands_beside_its_rivals_in_table_record_and_picture(call, tmp_path):
    wanted = ["digits", "--learner", "maml", *SMALL, "--set", "steps=4", "--json", "r.json", "--picture", "p.png"]
    code, out, err = call(*wanted)
    assert code == 0, err
    for row in ("prototypes-2", "logistic", "random-start", "fine-tuning", "maml", "over splits", "protocol"):
        assert row in out
    record = json.loads((tmp_path / "r.json").read_text())
    assert {"command", "dataset", "protocol", "metric", "selection", "config", "seeds", "environment"} <= record.keys()
    assert record["headline"] == "maml"
    assert record["config"]["maml"]["steps"] == 4
    assert len(record["metric"]["values"]) == 2
    assert record["protocol"]["k_shot"] == 3
    assert (tmp_path / "p.png").stat().st_size > 10_000
    again = call(*wanted, "--resume")
    assert again[0] == 0
    assert json.loads((tmp_path / "r.json").read_text())["metric"] == record["metric"]


def test_a_graph_model_stands_beside_the_learner_and_can_be_asked_again(call, tmp_path):
    wanted = ["digits", "--learner", "maml", "--encoder-model", "gat", *SMALL, "--shots", "1,2", "--json", "r.json"]
    code, out, err = call(*wanted, "--set", "steps=2", "--set", "hidden=8", "--baselines", "none", "--run-dir", "it")
    assert code == 0, err
    record = json.loads((tmp_path / "r.json").read_text())
    assert (record["headline"], [*record["methods"]]) == ("gat-maml", ["maml", "gat-maml"])
    told = record["config"]
    assert (told["gat-maml"]["model"], told["gat-maml"]["steps"], told["gat-maml"]["hidden"]) == ("gat", 2, 8)
    assert (told["maml"]["model"], told["maml"]["steps"]) == ("perceptron", 200)
    assert "gat-maml" in out
    (tmp_path / "labels.csv").write_text("who,what\n0,a\n1,b\n")
    code, out, err = call("predict", "it/shots-1", "digits", "--support", "labels.csv", "--learner", "gat-maml")
    assert code == 0, err
    assert len(out.splitlines()) == 1796


def test_all_of_the_learners_have_a_graph_model_where_they_can(call, tmp_path, monkeypatch):
    short = {name: named_methods.METHODS[name] for name in ("prototypes-0", "siamese", "maml", "ridge")}
    short = {name: each.replace_fields({"steps": 2}) if each.trained else each for name, each in short.items()}
    monkeypatch.setattr(named_methods, "METHODS", short)
    data = communities(200, 10, 10)
    store(Data(x=data.x, edge_index=data.edge_index, y=data.y), "graph")
    every = ["--learner", "all", "--encoder-model", "gcn", "--calibrate", "0", "--json", "r.json"]
    small = ["--class-split", "random:1:4,3,3", "--tasks", "2", "--queries", "2", "--shots", "1"]
    code, _, err = call("./graph", *every, *small)
    assert code == 0, err
    methods = json.loads((tmp_path / "r.json").read_text())["methods"]
    assert [*methods] == [*short, "gcn-siamese", "gcn-maml"]


def test_all_classes_of_a_graph_are_told_apart_by_what_needs_no_others(call, tmp_path):
    wanted = ["digits", "--ways", "all", "--shots", "1,3", "--tasks", "3", "--queries", "3", "--json", "r.json"]
    code, out, err = call(*wanted, "--picture", "p.png")
    assert code == 0, err
    record = json.loads((tmp_path / "r.json").read_text())
    assert (record["headline"], record["protocol"]["n_way"], record["validation"]) == ("view-ridge", 10, None)
    assert [*record["methods"]] == [
        "prototypes-0",
        "prototypes-2",
        "prototypes-centred",
        "prototypes-weighted",
        "view-ridge",
    ]
    assert record["by_shots"]["1"]["methods"]["view-ridge"]["accuracy"]["mean"] < record["metric"]["mean"]
    assert "validation" not in out.split("method named")[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cora", "--across-graphs"], "'cora' is one graph; leave out `--across-graphs`"),
        (["twitch-musae"], "'twitch-musae' is several; add `--across-graphs`"),
        (["digits-grid"], "has signals"),
        (["ogbg-molesol"], "real numbers for labels"),
        (["mutag", "--inductive"], "graphs of a set do not"),
        (["cora", "--adapter", "structure"], "add `--across-graphs`"),
        (["digits", "--learner", "all", "--set", "steps=3"], "name it with `--learner`"),
        (["digits", "--set", "step=3"], "Did you mean"),
        (["digits", "--set", "steps=-3"], "`steps`"),
        (["digits", "--class-split", "pairs"], "`class-split` 'pairs' is not known"),
        (["digits", "--class-split", "random:x"], "whole numbers"),
        (["digits", "--class-split", "all-pairs:0"], "ask for at least one"),
        (
            ["digits", "--class-split", "fixed"],
            "nobody fixed a division of the classes of 'digits'; of amazon-electronics",
        ),
        (["digits", "--class-split", "random:1:5,5"], "give three counts"),
        (["digits", "--class-split", "random"], "names no few-shot counts"),
        (["digits", "--shots", "500"], "fewer than the 512 a task takes"),
        (["digits", "--class-split", "random:1:2,2,4", "--ways", "4"], "has 2 classes to train on"),
        (["digits", "--ways", "all", "--learner", "maml"], "'maml' is trained or chosen on other classes"),
        (["digits", "--ways", "all", "--class-split", "all-pairs"], "leave out `--class-split`"),
        (["mutag", "--ways", "all", "--queries", "120"], "of those 'mutag' has 1"),
        (["digits", "--ways", "all", "--encoder-model", "gcn"], "`--ways all` leaves none"),
        (["mutag", "--encoder-model", "gcn"], "here are whole graphs; leave it out"),
        (["digits", "--encoder-model", "gcn", "--set", "model=gat"], "`--encoder-model` names the model"),
        (["digits", "--encoder-model", "gnc"], "`--encoder-model` 'gnc' is not known. Did you mean"),
        (["digits", "--learner", "ridge", "--encoder-model", "gcn"], "`--learner` 'ridge' trains no graph model"),
        (
            ["digits", "--encoder-model", "gat", "--set", "hidden=9"],
            "must be a multiple of `heads` (8), got 9",
        ),
        (["digits", "--ways", "some"], "not 'all'"),
        (["digits", "--ways", "1"], "no whole number of 2 or more"),
        (["digits", "--shots", "1,x"], "nor several with commas"),
        (["digits", "--shots", "0"], "`--shots` must be"),
        (["digits", "--shots", "1,3", "--inner-steps", "0,1"], "`--inner-steps` is of one number of shots"),
        (["digits", "--encoder", "ccasg"], "Did you mean 'ccassg'"),
        (["digits", "--encoder-set", "layer=1"], "Did you mean"),
        (["digits", "--encoder-set", "grace.layers=1"], "`grace.layers` is of no encoder that is trained: ccassg, dgi"),
        (["digits", "--encoder", "triplet"], "`encoder` must be trained without labels, but 'triplet' needs them"),
        (["digits", "--set", "first_order=3"], "`first_order` must be at most 1, got 3"),
        (["digits", "--set", "multi_step=3"], "`multi_step` must be at most 1, got 3"),
        (
            ["digits", "--set", "rows=foo"],
            "`rows` must be features-K, centred-K, weighted-K or counts-K with K of 0 or more",
        ),
        (
            ["digits", "--set", "rows=centred--1"],
            "`rows` must be features-K, centred-K, weighted-K or counts-K with K of 0 or more",
        ),
        (
            ["digits", "--learner", "meta-sgd", "--set", "test_steps=20"],
            "Error: `test_steps` must be at most `inner_steps` (5)",
        ),
        (["digits", "--learner", "all", "--baselines", "none"], "name it with `--learner`"),
        (["digits", "--class-split", "fixed:none.json"], "there is no class split 'none.json'"),
        (["digits", "--class-split", "fixed:"], "the class split '.' cannot be read"),
        (["karate"], "leave none of 4 to train on; that takes 5 classes or more"),
        (["digits", "--shots", "500"], "(`--shots` 500 + `--queries` 12)"),
        (
            ["digits", "--learner", "ridge", "--baselines", "none", "--inner-steps", "0,1"],
            "`--inner-steps` is of learners that take gradient steps on a support, not of ridge",
        ),
        (
            ["digits", "--learner", "meta-sgd", "--baselines", "none", "--inner-steps", "10"],
            "`--inner-steps` must be at most 5 for meta-sgd",
        ),
        (
            ["digits", "--learner", "ridge", "--baselines", "none", "--encoder-draws", "3"],
            "`--encoder` and its settings are of learners on embeddings, not of ridge",
        ),
        (["digits", "--picture", "p.xyz"], "`picture` must end in .png, .pdf, .svg"),
    ],
)
def test_a_wrong_call_is_one_line(call, arguments, message):
    code, _, err = call(*arguments)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_one_untrained_method_alone_has_no_empty_column_and_no_step_of_a_training(call, tmp_path):
    code, out, err = call("digits", "--learner", "prototypes-2", "--baselines", "none", *SMALL, "--json", "r.json")
    assert code == 0, err
    assert "to prototypes-2" not in out
    assert "meta-training" not in out
    assert json.loads((tmp_path / "r.json").read_text())["selection"].startswith("method named")
    assert "(1 of 2): validation " in err
    assert "(2 of 2): validation " in err


def test_the_training_of_encoders_is_counted_beside_the_table():
    assert _making({"features-2": 0.3, "encoder": 19.2}).endswith("that the table leaves out: encoder 19 s")
    assert _making({"features-2": 0.3}) == ""


def test_a_class_split_may_lie_in_a_file(call, tmp_path):
    (tmp_path / "own.json").write_text("[[0, 1], [2, 3, 4], [8, 9]]")
    wanted = ["digits", "--learner", "logistic", "--tasks", "3", "--queries", "3", "--json", "r.json"]
    code, _, err = call(*wanted, "--class-split", "fixed:own.json")
    assert code == 0, err
    (split,) = json.loads((tmp_path / "r.json").read_text())["protocol"]["class_splits"]
    assert split == {"train": [0, 1], "validation": [2, 3, 4], "test": [8, 9]}
    (tmp_path / "own.json").write_text("[[0, 1], [2, 3], [8, 99]]")
    code, _, err = call(*wanted, "--class-split", "fixed:own.json")
    assert code == 2
    assert "class 99 has 0 items" in err


def test_a_learner_stands_alone_or_beside_what_is_not_trained(call, tmp_path):
    wanted = ["digits", "--learner", "maml", *SMALL, "--set", "steps=1", "--json", "r.json"]
    for rivals, names in (
        ("none", ["maml"]),
        (
            "untrained",
            [*(name for name in BASELINES if name not in ("fine-tuning", "prototypes-counts")), "maml"],
        ),
    ):
        code, _, err = call(*wanted, "--baselines", rivals)
        assert code == 0, err
        assert list(json.loads((tmp_path / "r.json").read_text())["methods"]) == names


@pytest.mark.parametrize(("classes", "ways", "selecting"), [(7, 2, 2), (6, 2, 2), (10, 3, 3), (9, 3, 3), (8, 3, 2)])
def test_of_all_pairs_as_many_classes_select_as_a_task_has_where_they_allow(classes, ways, selecting):
    data = Data(y=torch.arange(classes))
    splits = class_splits("own", data, "all-pairs", ways, 0)
    assert splits == ClassSplit.all_pairs(range(classes), ways=ways, validation=selecting)
    assert all(len(split.train) >= ways for split in splits)


def test_what_selects_is_printed_where_it_is_not_the_validation_classes(call):
    wanted = ["digits", "--learner", "prototypes-2", "--baselines", "none", "--tasks", "3", "--queries", "3"]
    _, out, _ = call(*wanted, "--class-split", "random:1:5,1,4")
    assert "validation tasks are of training classes, as there are fewer validation classes than ways" in " ".join(
        out.split()
    )


def test_graphs_of_roles_are_crossed_with_shared_and_with_unseen_classes(call, tmp_path):
    wanted = ["structural-roles", "--across-graphs", "--learner", "prototypes-2", "--tasks", "3", "--queries", "4"]
    code, out, err = call(*wanted, "--json", "r.json")
    assert code == 0, err
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["dataset"]["graphs"] == len(record["metric"]["values"]) == 6
    assert record["protocol"]["labels"] == "shared"
    assert "3 for each of 6 graphs" in out
    code, _, err = call(*wanted, "--class-split", "random:1:4,3,3", "--run-dir", "other", "--json", "r.json")
    assert code == 0, err
    assert json.loads((tmp_path / "r.json").read_text())["protocol"]["labels"] == "disjoint"


def test_graphs_of_a_set_are_told_apart(call, tmp_path, mirror):
    wanted = ["enzymes", "--class-split", "random:1:2,2,2", "--learner", "prototypes-2", "--tasks", "3"]
    code, out, err = call(*wanted, "--json", "r.json")
    assert code == 0, err
    assert "3 for each of 1 class split" in out
    assert json.loads((tmp_path / "r.json").read_text())["dataset"]["graphs"] == 600


def test_several_shots_are_one_record_and_one_picture_and_can_be_resumed(call, tmp_path):
    wanted = ["digits", "--learner", "maml", *SMALL, "--set", "steps=2", "--shots", "3,1", "--json", "r.json"]
    code, out, err = call(*wanted, "--picture", "p.png", "--run-dir", "kept")
    assert code == 0, err
    record = json.loads((tmp_path / "r.json").read_text())
    assert list(record["by_shots"]) == ["1", "3"]
    assert record["protocol"]["k_shot"] == 3
    assert record["by_shots"]["3"]["methods"] == record["methods"]
    assert "1 shot," in out
    assert "3 shots," in out
    assert (tmp_path / "p.png").stat().st_size > 10_000
    (tmp_path / "kept" / "shots-3" / "checkpoint.pt").unlink()  # as if it had been stopped after the first
    assert call(*wanted, "--resume", "--run-dir", "kept")[0] == 0
    again = json.loads((tmp_path / "r.json").read_text())
    assert again["metric"] == record["metric"]


def test_accuracy_over_inner_steps_is_kept_and_drawn(call, tmp_path):
    wanted = ["digits", "--learner", "maml", *SMALL, "--set", "steps=2", "--inner-steps", "0,5", "--json", "r.json"]
    code, _, err = call(*wanted, "--picture", "p.svg")
    assert code == 0, err
    methods = json.loads((tmp_path / "r.json").read_text())["methods"]
    assert methods["prototypes-2"]["after_steps"] == {}
    assert methods["maml"]["after_steps"]["5"]["mean"] == methods["maml"]["accuracy"]["mean"]  # its own number
    assert methods["maml"]["after_steps"].keys() == methods["fine-tuning"]["after_steps"].keys() == {"0", "5"}
    assert (tmp_path / "p.svg").exists()
    assert call(*wanted, "--resume")[0] == 0

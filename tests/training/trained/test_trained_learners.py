"""Few-shot learners solve the recorded tasks again from their files, and classes of one's own from a few labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import graphkit
from graphkit.data import store
from graphkit.meta import ClassSplit, FewShotProtocol
from graphkit.training.fewshot import METHODS, fewshot, study_of_classes, study_of_graphs
from graphkit.training.fewshot.encoders import Encoders
from graphkit.training.trained.learner import TrainedLearner
from graphkit.training.trained.model_file import ModelFile
from tests.training.studies import communities, rings_and_stars
from tests.training.trained.descriptions import unrefused

OF_NODES = {name: method for name, method in METHODS.items() if not method.of_graphs}
PROTOCOL = FewShotProtocol(n_way=2, k_shot=2, n_query=4, n_tasks=3)
SPLIT = ClassSplit(train=(0, 1), validation=(2, 3), test=(4, 5))
SMALL = {"steps": 2, "batch": 2, "hidden": 8, "epochs": 2, "inner_steps": 2}


@pytest.fixture(scope="module")
def data():
    return communities(90, 6, 12)


@pytest.fixture(scope="module")
def study(data):
    encoders = Encoders(("ccassg",), fields={"epochs": 2, "dim": 4, "hidden": 4})
    return study_of_classes(data, [SPLIT], PROTOCOL, encoders=encoders)


@pytest.fixture(scope="module")
def outcome(study, tmp_path_factory):
    small = {
        name: each.merge_fields({field: value for field, value in SMALL.items() if field in each.options()})
        for name, each in OF_NODES.items()
    }
    return fewshot(study, PROTOCOL, list(OF_NODES), methods=small, run_dir=tmp_path_factory.mktemp("fewshot"))


@pytest.mark.parametrize("name", OF_NODES)
def test_a_learner_solves_the_recorded_tasks_again(outcome, study, data, name):
    learner = TrainedLearner.read(outcome.run_dir / f"learner-{name}-1.safetensors")
    assert learner.to_bytes() == outcome.learners[name][0].to_bytes()
    items, found = learner.items_of(data, device="cpu"), []
    for task in study.problems[0].test:
        episode = task.episode
        logits = learner.logits(
            items, episode.support.flatten(), episode.support_y, episode.query.flatten(), episode.ways
        )
        found.append(float((logits.argmax(-1) == episode.query_y).double().mean()))
    assert tuple(found) == outcome.methods[name].problems[0].accuracies
    assert learner.figures["test"] == outcome.record.methods[name]["accuracy"]["mean"]


@pytest.mark.parametrize("name", OF_NODES)
def test_classes_of_ones_own_are_told_apart_from_a_few_labels(outcome, data, name):
    learner = outcome.learners[name][0]
    support = {4: "fours", 10: "fours", 5: "fives", 11: "fives", 17: "fives"}  # not as many of each
    found = learner.predict(data, support, device="cpu")
    assert found.names == ("fives", "fours")
    assert len(found) == 85
    assert set(found.ids) == set(range(90)) - set(support)
    torch.testing.assert_close(found.values.sum(1), torch.ones(85).double())


def test_learners_of_whole_graphs_are_kept_too(tmp_path):
    graphs = rings_and_stars(4)
    split = ClassSplit(train=(0, 1), validation=(), test=(2, 3))
    study = study_of_graphs(graphs, [split], PROTOCOL)
    found = fewshot(study, PROTOCOL, ["prototypes-0", "prototypes-counts"], headline="prototypes-0")
    for name, (learner,) in found.learners.items():
        assert len(learner.predict(graphs, {2: "a", 3: "b"}, device="cpu")) == 38, name
        task = study.problems[0].test[0].episode
        items = learner.items_of(graphs, device="cpu")
        logits = learner.logits(items, task.support.flatten(), task.support_y, task.query.flatten(), task.ways)
        told = found.methods[name].problems[0].accuracies[0]
        assert float((logits.argmax(-1) == task.query_y).double().mean()) == told, name
    with pytest.raises(ValueError, match="is of graphs, but the items of `data` are nodes"):
        learner.predict(communities(), {2: "a", 3: "b"}, device="cpu")


WRONG = {
    "one class": ({1: "a", 2: "a"}, "`support` must label items of two classes at least"),
    "an item that is not there": ({1: "a", 95: "b"}, "`support` must name items from 0 to 89, got 95"),
    "three classes": ({1: "a", 2: "b", 3: "c"}, "`support` names 3 classes, but the learner 'maml' has an output"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_support_that_cannot_be_adapted_to_is_refused_in_words(outcome, data, case):
    support, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        outcome.learners["maml"][0].predict(data, support, device="cpu")


def test_other_features_and_damaged_files_are_refused(outcome):
    with pytest.raises(ValueError, match="takes 12 features, but `data` has 6"):
        outcome.learners["maml"][0].predict(communities(), {1: "a", 2: "b"}, device="cpu")
    content = bytearray(outcome.learners["maml"][0].to_bytes())
    content[-3] ^= 4
    with pytest.raises(ValueError, match="'m' is damaged"):
        ModelFile.from_bytes(bytes(content), Path("m"))


def test_the_command_adapts_to_a_table_and_predicts_the_rest(call, outcome, data):
    data.node_names = [f"p{place}" for place in range(90)]
    store(data, "graph")
    Path("labels.csv").write_text("who,what\np4,fours\np10,fours\np5,fives\n")
    arguments = ("fewshot", "predict", str(outcome.run_dir), "./graph", "--support", "labels.csv")
    code, out, err = call(*arguments, "--learner", "protomaml")
    assert code == 0, err
    lines = out.splitlines()
    assert (lines[0], len(lines)) == ("id,prediction,probability fives,probability fours", 88)
    assert lines[1].startswith("p0,f")
    code, out, err = call(*arguments, "--learner", "ridge", "--to", "t.parquet")
    assert (code, "87 predictions: t.parquet" in err) == (0, True), err
    run = graphkit.load_run(outcome.run_dir)
    assert run.record.metric.values == outcome.record.metric.values
    assert run.model.name == run.record.headline
    for table, more, message in (
        ("who,what\np4,fours\nnobody,fives\n", (), "`support` names 'nobody', which is no item"),
        ("who,what\np4,fours\np4,fives\n", (), "must give each item one class, but 'p4' has two"),
        ("who\np4\n", (), "must have two columns"),
        ("who,what\np4,a\np5,b\n", ("--learner", "none"), "`learner` 'none' is not known"),
        ("who,what\np4,a\np5,b\n", ("--problem", "2"), "`problem` must be from 1 to 1, got 2"),
    ):
        Path("labels.csv").write_text(table)
        code, _, err = call(*arguments, *more)
        assert (code, message in err, len(err.splitlines()) <= 2) == (2, True, True), err
    code, _, err = call("predict", str(outcome.run_dir), "./graph")
    assert (code, "`graphkit fewshot predict`" in err) == (2, True)


@pytest.mark.parametrize("name", ["protomaml", "ridge", "encoder-ridge", "fine-tuning"])
def test_no_field_of_a_description_ends_a_reader_in_words_that_are_not_ours(outcome, name):
    learner = outcome.learners[name][0]
    file = ModelFile.from_bytes(learner.to_bytes(), Path("learner"))
    assert unrefused(file, TrainedLearner.from_file) == []


def test_a_folder_of_several_runs_names_one(tmp_path):
    for name in ("shots-1", "shots-3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds several runs: name one, such as .*shots-1"):
        graphkit.load_run(tmp_path)

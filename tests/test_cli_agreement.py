"""A command and the Python function of its name come to one record: defaults live below the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import graphkit.data
from graphkit.data.splits import RandomPerClass
from graphkit.training import nested_cross_validation, portfolio, recipe, train, tune
from graphkit.training.embedding import embed, embedding_recipe
from graphkit.training.fewshot import fewshot, study_of_classes, with_baselines
from tests.training.studies import communities

pytestmark = pytest.mark.usefixtures("own_folder")

OWN = ("command", "seconds", "row_seconds")
"""What differs between two runs of one thing; and seconds of each method and of each recipe tried."""


def same(record, path):
    """Require the record of a function and of a command to be one."""
    written, held = json.loads(Path(path).read_text()), json.loads(record.to_json())
    for each in (written, held):
        for name in OWN:
            each.pop(name, None)
        for part in (*each.get("methods", {}).values(), *each.get("tried", ()), each.get("tuning", {})):
            part.pop("seconds", None)
    assert written == held


def stored_counts(folder):
    """Store a graph whose features are counts of words, dense, of very different sums."""
    data = communities(150, 3, 40)
    generator = torch.Generator().manual_seed(1)
    words = torch.poisson(data.x * torch.rand(150, 1, generator=generator) * 30, generator=generator)
    data.x = words + torch.nn.functional.one_hot(data.y, 40) * 5
    for name in ("train_mask", "val_mask", "test_mask"):
        del data[name]
    data = RandomPerClass(per_class=10, val=30)(data, generator).apply(data)
    graphkit.data.store(data, folder)
    return folder


TRAINED = {
    "built in": ("karate", "gcn", {}),
    "not to be scaled": ("karate", "deep-gcn", {"layers": 2}),
    "signals": ("digits-grid", "mlp", {}),
    "stored, dense counts": (stored_counts, "gcn", {}),
    "stored, scaled all the same": (stored_counts, "gcn", {"row_normalise": True}),
    "stored, chosen from a portfolio": (stored_counts, "auto", {}),
    "stored, in batches": (stored_counts, "sage", {"fan_out": "3,3", "batch": 16}),
}


@pytest.mark.parametrize("case", TRAINED)
def test_train(call, case):
    source, model, fields = TRAINED[case]
    source = source if isinstance(source, str) else source("own-graph")
    fields = {"epochs": 3, **fields}
    options = [option for name, value in fields.items() for option in ("--set", f"{name}={value}".lower())]
    options += ["--fan-out", fields["fan_out"], "--sampled"] if "fan_out" in fields else []
    where = source if source in graphkit.data.names() else f"./{source}"
    code, _, err = call(
        "train",
        where,
        *(() if model == "auto" else ("--model", model)),
        *options,
        "--seeds",
        "2",
        "--device",
        "cpu",
        "--json",
        "r.json",
    )
    assert code == 0, err
    items = "signals" if source == "digits-grid" else "nodes"
    data = graphkit.data.load(source if items == "signals" or source == "karate" else Path(source))
    made = portfolio(fields) if model == "auto" else recipe(model, fields, items=items)
    outcome = train(data, made, seeds=[0, 1], device="cpu")
    same(outcome.record, "r.json")
    assert items == "signals" or isinstance(outcome.record.config.get("row_normalise", False), bool)


def test_whether_features_are_scaled_changes_the_figures_and_stands_in_the_record(call):
    """Else the comparison above would not see what went wrong once."""
    data = graphkit.data.load(Path(stored_counts("own-graph")))
    losses = [
        train(data, recipe("gcn", {"epochs": 2, "row_normalise": how}), device="cpu").seeds[0].history[-1].train_loss
        for how in ("auto", False, True)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_tune(call):
    options = ["--trials", "3", "--space", "hidden=4,8", "--epochs", "2", "--set", "dropout=0.3", "--set", "l2=0.1"]
    wanted = ["--seed", "2", "--seeds", "2", "--device", "cpu", "--json", "r.json"]
    code, _, err = call("tune", "karate", "--model", "gcn", *options, "--space", "layers=1,2", *wanted)
    assert code == 0, err
    fields = {"epochs": 2, "dropout": 0.3, "l2": 0.1}
    given = {"space": {"hidden": "4,8", "layers": "1,2"}, "fixed": tuple(fields), "seed": 2, "seeds": [2, 3]}
    same(tune(graphkit.data.load("karate"), recipe("gcn", fields), trials=3, device="cpu", **given).record, "r.json")
    assert len(list(Path("runs").glob("karate-gcn-tune-*/config.toml"))) == 1


def test_a_set_of_graphs(call, mirror):
    wanted = ["--seeds", "1", "--epochs", "2", "--beside", "gcn", "--json", "r.json"]
    code, _, err = call("train", "mutag", "--model", "gin", *wanted)
    assert code == 0, err
    chosen, other = recipe("gin", {"epochs": 2}, items="graphs"), recipe("gcn", items="graphs")
    same(train(graphkit.data.load("mutag"), chosen, beside=[other], device="auto").record, "r.json")


def test_nested_cross_validation(call, mirror):
    given = {"epochs": 1, "hidden": 4, "layers": 1, "readout": "sum"}
    options = [option for name, value in given.items() for option in ("--set", f"{name}={value}")]
    wanted = ["--protocol", "nested-10-fold", "--beside", "none", *options, "--json", "r.json"]
    code, _, err = call("train", "mutag", "--model", "gin", *wanted)
    assert code == 0, err
    record = nested_cross_validation(graphkit.data.load("mutag"), recipe("gin", items="graphs"), given=given).record
    same(record, "r.json")


@pytest.mark.parametrize("loss", ["prototype", "dgi"])
def test_embed(call, loss):
    options = ["--loss", loss, "--epochs", "2", "--dim", "4", "--device", "cpu", "--no-pictures", "--json", "r.json"]
    code, _, err = call("embed", "karate", *options)
    assert code == 0, err
    chosen = embedding_recipe(loss, {"epochs": 2, "dim": 4})
    same(embed(graphkit.data.load("karate"), chosen, device="cpu").record, "r.json")


def test_few_shot_with_a_graph_model(call):
    from graphkit.cli.fewshot import class_splits
    from graphkit.meta import FewShotProtocol
    from graphkit.training.fewshot import METHODS
    from graphkit.training.fewshot.named_methods import graph_learner

    options = ["--class-split", "random:1:4,3,3", "--tasks", "3", "--queries", "3", "--encoder-model", "sage"]
    code, _, err = call("fewshot", "digits", *options, "--set", "steps=2", "--baselines", "none", "--json", "r.json")
    assert code == 0, err
    data, protocol = graphkit.data.load("digits"), FewShotProtocol(n_way=2, k_shot=3, n_query=3, n_tasks=3)
    study = study_of_classes(data, class_splits("digits", data, "random:1:4,3,3", 2, 0), protocol)
    methods = {"maml": METHODS["maml"], **graph_learner("maml", "sage")}
    methods["sage-maml"] = methods["sage-maml"].with_({"steps": 2})
    same(fewshot(study, protocol, list(methods), methods=methods, headline="sage-maml").record, "r.json")


def test_few_shot(call):
    from graphkit.cli.fewshot import class_splits
    from graphkit.meta import FewShotProtocol

    options = ["--class-split", "random:1:4,3,3", "--tasks", "3", "--queries", "3", "--learner", "logistic"]
    code, _, err = call("fewshot", "digits", *options, "--json", "r.json")
    assert code == 0, err
    data, protocol = graphkit.data.load("digits"), FewShotProtocol(n_way=2, k_shot=3, n_query=3, n_tasks=3)
    study = study_of_classes(data, class_splits("digits", data, "random:1:4,3,3", 2, 0), protocol)
    same(fewshot(study, protocol, with_baselines("logistic", "all"), headline="logistic").record, "r.json")

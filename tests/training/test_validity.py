"""A training that came to nothing, or to numbers that are not finite, has no result: the same law for every study."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from graphkit.training import TrainingError, recipe, train
from graphkit.training.classification.graph_task import prepare_graphs
from graphkit.training.engine.trainer import InitialParameters
from graphkit.training.fewshot import METHODS as NAMED
from graphkit.training.fewshot import fewshot, study_of_classes
from graphkit.training.fewshot.encoder_training import encoder_trainings, seen_graphs
from graphkit.training.fewshot.encoders import Encoders
from tests.training import studies
from tests.training.studies import STUDIES, communities, rings_and_stars


class Steps:
    """Stands in the place of Adam's step, and counts."""

    def __init__(self, monkeypatch, then):
        self.taken, step = 0, torch.optim.Adam.step

        def instead(optimizer, closure=None):
            self.taken += 1
            return then(self, optimizer, lambda: step(optimizer, closure))

        monkeypatch.setattr(torch.optim.Adam, "step", instead)


def nothing(steps, optimizer, step):
    """Leave all parameters as they are."""


def poisoned(value):
    """Take steps, and put a number that is none into each parameter from the second on."""

    def then(steps, optimizer, step):
        step()
        if steps.taken > 1:
            with torch.no_grad():
                for group in optimizer.param_groups:
                    for parameter in group["params"]:
                        parameter.view(-1)[0] = value

    return then


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_whose_optimiser_changes_nothing_has_no_result(name, monkeypatch):
    steps = Steps(monkeypatch, nothing)
    with pytest.raises(TrainingError, match="changed no parameter of the model, so there is no result"):
        STUDIES[name]()
    assert steps.taken


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_that_diverges_says_so(name, value, monkeypatch):
    steps = Steps(monkeypatch, poisoned(value))
    with pytest.raises((TrainingError, ValueError), match="finite"):
        STUDIES[name]()
    assert steps.taken > 1


def small(method):
    """Return a method with steps that take no time."""
    few = {"steps": 2, "batch": 2, "epochs": 2, "hidden": 4}
    fields = {name: value for name, value in few.items() if hasattr(method, name)}
    return dataclasses.replace(method, **fields)


METHODS = {name: small(method) for name, method in NAMED.items() if method.rows != "chosen" and not method.of_graphs}


@pytest.fixture(scope="module")
def problems():
    split = studies.ClassSplit(train=(0, 1), validation=(2, 3), test=(4, 5))
    encoders = Encoders(("ccassg",), fields={"epochs": 2, "dim": 8, "hidden": 8})
    return study_of_classes(communities(90, 6, 12), [split], studies.TASKS, encoders=encoders)


@pytest.mark.parametrize("name", METHODS)
def test_a_few_shot_method_that_takes_steps_must_move(name, problems, monkeypatch):
    """Those that take none, such as prototypes, have a result; rows of encoders are made before."""
    method = METHODS[name]
    problem = problems.problems[0]
    trained = [each.train() for each in problems.encoders(problem)]
    rows = problems.features(problem, method.rows, method.length, trained)
    study = dataclasses.replace(problems, features=lambda *_: rows, encoders=lambda _: ())
    steps = Steps(monkeypatch, nothing)
    if not (method.trained and any(hasattr(method, field) for field in ("steps", "epochs"))):
        fewshot(study, studies.TASKS, [name], methods=METHODS)
        assert not steps.taken
        return
    with pytest.raises(TrainingError, match="changed no parameter"):
        fewshot(study, studies.TASKS, [name], methods=METHODS)


def test_an_encoder_without_labels_must_move(monkeypatch):
    Steps(monkeypatch, nothing)
    encoders = Encoders(("dgi",), fields={"epochs": 2, "dim": 4})
    (training,) = encoder_trainings(encoders, 0, 6, lambda: seen_graphs([communities()]))
    with pytest.raises(TrainingError, match="a training of the encoder 'dgi' over 2 epochs changed no parameter"):
        training.train()


def test_graphs_are_not_taken_one_by_one():
    chosen = recipe("gin", {"batch": 1}, items="graphs")
    with pytest.raises(ValueError, match="`batch` must be 0 or at least 2 for graphs"):
        prepare_graphs(rings_and_stars(), chosen, torch.device("cpu"), torch.float32)


def test_outputs_that_are_not_finite_on_test_items_alone_are_told():
    """The features of one test node overflow in the only layer; no loss sees it."""
    data = communities()
    node = int(data.test_mask.nonzero()[0])
    data.edge_index = torch.zeros(2, 0, dtype=torch.long)
    data.x[node] = 3e38
    chosen = recipe("mlp", {"epochs": 2, "row_normalise": False, "dropout": 0.0, "layers": 1, "lr": 10.0})
    with pytest.raises(TrainingError, match="the model's outputs are not all finite"):
        train(data, chosen, device="cpu")


def test_parameters_are_let_go_once_they_have_moved():
    model = nn.Linear(2, 2)
    initial = InitialParameters(model)
    assert not initial.has_changed()
    with torch.no_grad():
        model.bias[0] += 1
    assert initial.has_changed()
    with torch.no_grad():
        model.bias[0] -= 1
    assert initial.has_changed(), "a step was taken, wherever it led in the end"
    assert InitialParameters(nn.Identity()).has_changed()

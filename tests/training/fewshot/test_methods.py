"""Every field of every few-shot learner changes what it comes to, or is refused by name."""

from __future__ import annotations

import functools
import typing
from typing import Any

import pytest
import torch

from graphkit.meta import ClassSplit, FewShotProtocol, MetaTrainer
from graphkit.training import TrainingError
from graphkit.training.fewshot import METHODS, fewshot, study_of_classes
from graphkit.training.fewshot.encoders import Encoders
from graphkit.training.fewshot.method import AbstractMethod
from graphkit.training.fewshot.named_methods import graph_learner
from tests.training.acting import fault_of
from tests.training.studies import communities

TASKS = FewShotProtocol(n_way=2, k_shot=2, n_query=10, n_tasks=30)
SHORT: dict[str, Any] = {"steps": 6, "batch": 2, "epochs": 3, "inner_steps": 2}
"""Fields that make trainings short, of those learners that have them."""

RESTLESS = [{"steps": steps, "lr": lr} for steps, lr in ((20, 0.3), (40, 0.03), (40, 0.003))]
"""With one of which a later step does better than the start, so that it matters by how much one must be better."""


@functools.cache
def study() -> Any:
    data = communities(120, 6, 12)
    data.x = data.x + torch.rand(120, 12, generator=torch.Generator().manual_seed(3))
    encoders = Encoders(("ccassg",), fields={"epochs": 2, "dim": 8, "hidden": 8})
    return study_of_classes(data, [ClassSplit(train=(0, 1), validation=(2, 3), test=(4, 5))], TASKS, encoders=encoders)


def short(method: AbstractMethod) -> AbstractMethod:
    return method.replace_fields({name: value for name, value in SHORT.items() if name in method.options()})


GRAPH = graph_learner("maml", "gcn") | graph_learner("protomaml", "sage") | graph_learner("protonet", "chebii")
TRIED = {name: short(method) for name, method in {**METHODS, **GRAPH}.items() if not method.of_graphs}


def outcome(method: AbstractMethod) -> Any:
    """Return accuracies, and the parameters after each step of meta-training: few tasks tell no small change."""
    left: list[Any] = []

    def heard(trainer: Any) -> Any:
        for step in steps(trainer):
            left.append([float(each.detach().double().sum()) for each in trainer.learner.parameters()])
            yield step

    steps = MetaTrainer.steps
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MetaTrainer, "steps", heard)
            found = fewshot(study(), TASKS, ["it"], methods={"it": method}, calibrate=3).methods["it"]
    except (ValueError, TrainingError) as error:
        return error
    return left, [(each.validation, each.accuracies, each.calibrated, each.step) for each in found.problems]


def restless(name: str, base: int) -> AbstractMethod:
    return TRIED[name] if base < 0 else TRIED[name].replace_fields(RESTLESS[base])


@functools.cache
def usual(name: str, base: int) -> Any:
    return outcome(restless(name, base))


def others(method: AbstractMethod, field: str) -> list[Any]:
    value = method.options()[field]
    hint = typing.get_type_hints(type(method))[field]
    choices = [
        each for part in (hint, *typing.get_args(hint)) for each in typing.get_args(part) if isinstance(each, str)
    ]
    if field == "rows":
        return ["features-0", "centred-4", "weighted-2"]
    if isinstance(value, bool) or value == "chosen":
        return [True, False, *choices]
    if choices:
        return choices
    if isinstance(value, tuple):
        return [(100.0,), (0.001,)]
    if isinstance(value, int):
        return [value + 1, 2 * value, 1, 0, 4]
    return [value / 2, value + 0.3, 5 * value, 20 * value, 0.9, 0.01, 50.0]


def fields() -> list[tuple[str, str]]:
    return [(name, field) for name, method in TRIED.items() for field in method.options()]


STAYING = ("maml", "protomaml")
"""Learners that do best here as they begin, so that no margin matters; others of their class tell of it."""


def fault(name: str, field: str) -> str | None:
    """Return what is wrong with a field: that it is taken, and changes nothing."""
    found: str | None = None
    if field == "margin" and name in STAYING:
        return None
    for base in range(len(RESTLESS)) if field == "margin" else [-1]:
        made = restless(name, base)
        found = fault_of(made, field, others(made, field), outcome, usual(name, base))
        if found is None:
            break
    return found


@pytest.mark.parametrize("name", TRIED)
def test_what_is_idle_is_refused_and_not_recorded(name):
    method = TRIED[name]
    assert not method.unused_fields().keys() & method.as_dict().keys()
    assert method.unused_fields().keys() <= method.options().keys()
    for field, why in method.unused_fields().items():
        with pytest.raises(ValueError, match=f"`{field}` decides nothing in this learner") as caught:
            method.with_({field: method.options()[field]})
        assert why in str(caught.value)
    assert method.with_(method.as_dict()) == method


@pytest.mark.parametrize(("name", "field"), fields()[::8])
def test_a_field_acts_or_is_refused(name, field):
    """A chosen eighth."""
    assert fault(name, field) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIED)
def test_every_field_acts_or_is_refused(name):
    faults = {field: fault(name, field) for field in TRIED[name].options()}
    assert {field: why for field, why in faults.items() if why} == {}


@pytest.mark.parametrize(
    "field", ["steps", "ways", "shots", "patience", "select", "l2_on", "row_normalise", "sparse_below"]
)
def test_fields_that_train_no_encoder_of_a_learner_are_refused(field):
    given = {"select": "map", "l2_on": "first", "row_normalise": False}.get(field, 1)
    with pytest.raises(ValueError, match=f"`{field}` decides nothing in an encoder of few-shot learners"):
        Encoders(fields={field: given})
    with pytest.raises(ValueError, match=f"`dgi.{field}` decides nothing in an encoder of few-shot learners"):
        Encoders(fields={f"dgi.{field}": given})

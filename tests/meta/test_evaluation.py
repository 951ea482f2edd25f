"""Each option of an evaluation acts, or is refused by its name: for every learner."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

import graphkit.meta.learners
from graphkit.meta import AbstractGradientLearner, FewShotProtocol, MetaTrainer, MetaTraining, Rows, TaskSet, evaluate
from graphkit.meta.baselines import logistic_regression
from tests.meta.test_learners import LEARNERS

TRIED: dict[str, list[dict[str, Any]]] = {
    "steps": [{"steps": steps} for steps in (1, 2, 9)],
    "calibrate": [{"calibrate": steps} for steps in (1, 5)],
    "balanced": [{"balanced": True}, {"balanced": True, "calibrate": 1}],
    "batch": [{"batch": 1}],
}
"""For each option what is tried; one of them must act, unless all that give it alone are refused."""


@pytest.fixture(scope="module")
def noisy() -> TaskSet:
    """Return tasks in which few answers are sure, so that whatever acts is seen."""
    y = torch.arange(120) % 3
    x = torch.randn(120, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + y[:, None] / 2
    return TaskSet.draw(Rows(x, y), (0, 1, 2), FewShotProtocol(n_way=2, k_shot=2, n_query=10, n_tasks=30))


def outcome(learner: Any, tasks: TaskSet, options: dict[str, Any]) -> Any:
    """Return accuracies, and how many tasks were taken at a time; or what refuses the options."""
    taken, mapping = [], learner.map_tasks

    def heard(some: Any, solve: Any) -> Any:
        taken.append(len(some))
        return mapping(some, solve)

    learner.map_tasks = heard
    try:
        return evaluate(learner.plain(), tasks, **options).accuracies, taken
    except ValueError as error:
        return str(error)
    finally:
        del learner.map_tasks


def test_every_option_and_every_learner_is_tried():
    options = [name for name, each in inspect.signature(evaluate).parameters.items() if each.kind is each.KEYWORD_ONLY]
    assert sorted(options) == sorted(TRIED)
    kinds = {type(make()).__name__ for make in LEARNERS.values()}
    known = [getattr(graphkit.meta.learners, name) for name in graphkit.meta.learners.__all__]
    learners = {
        each.__name__
        for each in known
        if inspect.isclass(each) and issubclass(each, graphkit.meta.AbstractLearner) and "Abstract" not in each.__name__
    }
    assert learners == kinds


@pytest.mark.parametrize("option", TRIED)
@pytest.mark.parametrize("name", LEARNERS)
def test_an_option_acts_or_is_refused(name, option, noisy):
    learner = LEARNERS[name]()
    found = [outcome(learner, noisy, options) for options in TRIED[option]]
    beside = [{key: value for key, value in options.items() if key != option} for options in TRIED[option]]
    without = [outcome(learner, noisy, options) for options in beside]
    refused = [isinstance(each, str) and f"`{option}`" in each for each in found]
    acting = [each != plain for each, plain in zip(found, without, strict=True)]
    assert all(refused) or any(acts and not is_refused for acts, is_refused in zip(acting, refused, strict=True))
    if option == "balanced":
        assert refused == [True, False]
    assert all(refused) == (option == "steps" and not isinstance(learner, AbstractGradientLearner))


def test_balance_without_calibration_is_refused_of_a_regression_too(noisy):
    with pytest.raises(ValueError, match="`balanced` is of calibration, which `calibrate` of 0 leaves out"):
        logistic_regression(noisy, balanced=True)


def test_a_meta_training_of_a_learner_without_inner_steps_has_no_options_of_them(noisy):
    message = "is of learners that take gradient steps on a support, and PrototypicalNetwork takes none"
    for option in ({"test_steps": 2}, {"first_order": 0.5}):
        with pytest.raises(ValueError, match=f"`{next(iter(option))}` {message}"):
            MetaTrainer(LEARNERS["prototypes"](), [noisy], noisy, MetaTraining(steps=1, **option))
    with pytest.raises(ValueError, match="`first_order` is of learners that take second-order gradients"):
        MetaTrainer(LEARNERS["fomaml"](), [noisy], noisy, MetaTraining(steps=1, first_order=0.5))

"""Evaluations of a few-shot method on one problem, and what is asked for beside its accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from graphkit.meta import AbstractLearner, Evaluation, TaskSet
    from graphkit.training.fewshot.problems import Problem


class EvalOptions(NamedTuple):
    """What is asked of a method beside its accuracy.

    Args:
        calibrate: steps of calibration; 0 for none.
        steps: other numbers of inner steps.
        balanced: whether calibration knows that every class has as many query items.
    """

    calibrate: int
    steps: tuple[int, ...] = ()
    balanced: bool = False


class Evaluations(NamedTuple):
    """What a method came to on one problem: accuracy on the validation tasks, and its evaluations on the test tasks."""

    validation: float
    test: Evaluation
    calibrated: Evaluation | None
    step: int
    by_steps: Mapping[str, Evaluation] | None = None


def known_rows(tasks: TaskSet) -> Tensor:
    """Return the rows of all items of the tasks' graph that are there: those of nodes that were taken out are 0."""
    x: Tensor = tasks.items.x  # type: ignore[attr-defined]  # rows have it
    return x[x.any(-1)]


def evaluate_learner(
    learner: AbstractLearner | Callable[[TaskSet], AbstractLearner],
    problem: Problem,
    options: EvalOptions,
    *,
    calibrated: bool = True,
    steps: int = 0,
) -> Evaluations:
    """Return a learner's evaluations as it is.

    Args:
        learner: trained or not; or what makes it for tasks, of one that looks at more items of their graph.
        problem: tasks.
        options: calibration, and other numbers of inner steps after which it is tested too.
        calibrated: whether it has a calibration.
        steps: inner steps in place of the learner's own; 0 keeps those.
    """
    from graphkit.meta import AbstractGradientLearner, AbstractLearner, evaluate

    of = (lambda _: learner) if isinstance(learner, AbstractLearner) else learner
    validation = evaluate(of(problem.validation), problem.validation, steps=steps).mean
    learner = of(problem.test)
    after = None
    if calibrated and options.calibrate:
        after = evaluate(learner, problem.test, steps=steps, calibrate=options.calibrate, balanced=options.balanced)
    test = evaluate(learner, problem.test, steps=steps)
    if not options.steps or not isinstance(learner, AbstractGradientLearner):
        return Evaluations(validation, test, after, 0)
    by_steps = {}
    for number in options.steps:
        if learner.rates is None or number <= learner.inner_steps:  # learnt rates are of the steps they were learnt for
            by_steps[str(number)] = evaluate(learner.with_inner_loop(steps=number), problem.test)
    return Evaluations(validation, test, after, 0, by_steps)

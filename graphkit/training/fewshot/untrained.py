"""Methods that use no label but those of a task's support."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from graphkit.training.fewshot.evaluations import EvalOptions, Evaluations, evaluate_learner, known_rows
from graphkit.training.fewshot.method import AbstractMethod
from graphkit.training.zoo.abstract import STRICT, LearningRate, Switch

if TYPE_CHECKING:
    from graphkit.training.fewshot.problems import Problem


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Prototypes(AbstractMethod):
    """The nearest prototype by cosine, without any training."""

    def evaluate(self, problem: Problem, seed: int, options: EvalOptions, trainer: None) -> Evaluations:
        """Return its evaluations."""
        from torch import nn

        from graphkit.meta import PrototypicalNetwork

        return evaluate_learner(PrototypicalNetwork(nn.Identity()), problem, options)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SemiSupervised(AbstractMethod):
    """The nearest prototype by cosine, after all rows have moved the prototypes, without their labels.

    Args:
        weight: how many labelled items they are worth.
        spread: how far from a prototype a row still counts.
    """

    weight: LearningRate = 3.0
    spread: LearningRate = 0.2

    def evaluate(self, problem: Problem, seed: int, options: EvalOptions, trainer: None) -> Evaluations:
        """Return its evaluations, each with the rows that are known at its stage."""
        from torch import nn

        from graphkit.meta import SemiSupervisedPrototypes, TaskSet

        def learner(tasks: TaskSet) -> SemiSupervisedPrototypes:
            known = known_rows(tasks)
            return SemiSupervisedPrototypes(nn.Identity(), known, weight=self.weight, spread=self.spread)

        return evaluate_learner(learner, problem, options, calibrated=False)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Ridge(AbstractMethod):
    """Kernel ridge regression on each task's support.

    Args:
        unlabelled: whether all rows take part, without their labels.
        penalty, gamma, weight, spread: see :class:`graphkit.meta.KernelRidge`.
        intercept: see there; or "chosen", if validation tasks are solved better with one.
    """

    unlabelled: Switch = False
    penalty: LearningRate = 10.0
    gamma: LearningRate = 0.5
    weight: LearningRate = 3.0
    spread: LearningRate = 0.3
    intercept: Switch | Literal["chosen"] = False

    def idle(self) -> dict[str, str]:
        """Return what says how much unlabelled rows count, where they do not."""
        return {} if self.unlabelled else dict.fromkeys(("weight", "spread"), "`unlabelled` is false")

    @property
    def selects(self) -> str:
        """Return whether it has an intercept, where that is asked for."""
        return "intercept" if self.intercept == "chosen" else ""

    def evaluate(self, problem: Problem, seed: int, options: EvalOptions, trainer: None) -> Evaluations:
        """Return its evaluations, each with the rows that are known at its stage if they take part."""
        from torch import nn

        from graphkit.meta import KernelRidge, TaskSet, evaluate

        def learner(tasks: TaskSet, intercept: bool) -> KernelRidge:
            return KernelRidge(
                nn.Identity(),
                known_rows(tasks) if self.unlabelled else None,
                penalty=self.penalty,
                gamma=self.gamma,
                weight=self.weight,
                spread=self.spread,
                intercept=intercept,
            )

        def validation(intercept: bool) -> float:
            return evaluate(learner(problem.validation, intercept), problem.validation).mean

        intercept = max((False, True), key=validation) if self.intercept == "chosen" else self.intercept
        return evaluate_learner(lambda tasks: learner(tasks, intercept), problem, options, calibrated=False)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Logistic(AbstractMethod):
    """A logistic regression on each task's support."""

    strength: LearningRate = 10.0

    def evaluate(self, problem: Problem, seed: int, options: EvalOptions, trainer: None) -> Evaluations:
        """Return its evaluations."""
        from functools import partial

        from graphkit.meta import logistic_regression

        regression = partial(logistic_regression, strength=self.strength)
        again = partial(regression, calibrate=options.calibrate, balanced=options.balanced)
        after = again(problem.test) if options.calibrate else None
        return Evaluations(regression(problem.validation).mean, regression(problem.test), after, 0)

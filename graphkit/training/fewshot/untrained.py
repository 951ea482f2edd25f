"""Methods that use no label but those of a task's support."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from graphkit.training.architectures.abstract import STRICT, LearningRate, Switch
from graphkit.training.fewshot.method import AbstractMethod
from graphkit.training.fewshot.solved import Asked, Solved, evaluated, known_rows

if TYPE_CHECKING:
    from graphkit.training.fewshot.kept import UnderWay
    from graphkit.training.fewshot.problems import Problem


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Prototypes(AbstractMethod):
    """The nearest prototype by cosine, without any training."""

    @property
    def trained(self) -> bool:
        """Return false."""
        return False

    @property
    def selects(self) -> str:
        """Return nothing."""
        return ""

    def solved(self, problem: Problem, seed: int, asked: Asked, under_way: UnderWay) -> Solved:
        """Return its evaluations."""
        from torch import nn

        from graphkit.meta import PrototypicalNetwork

        return evaluated(PrototypicalNetwork(nn.Identity()), problem, asked)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SemiSupervised(AbstractMethod):
    """The nearest prototype by cosine, after all rows have moved the prototypes, without their labels.

    Args:
        weight: how many labelled items they are worth.
        spread: how far from a prototype a row still counts.
    """

    weight: LearningRate = 3.0
    spread: LearningRate = 0.2

    @property
    def trained(self) -> bool:
        """Return false."""
        return False

    @property
    def selects(self) -> str:
        """Return nothing."""
        return ""

    def solved(self, problem: Problem, seed: int, asked: Asked, under_way: UnderWay) -> Solved:
        """Return its evaluations, each with the rows that are known at its stage."""
        from torch import nn

        from graphkit.meta import SemiSupervisedPrototypes, TaskSet

        def learner(tasks: TaskSet) -> SemiSupervisedPrototypes:
            known = known_rows(tasks)
            return SemiSupervisedPrototypes(nn.Identity(), known, weight=self.weight, spread=self.spread)

        return evaluated(learner, problem, asked, calibrated=False)


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
    def trained(self) -> bool:
        """Return false."""
        return False

    @property
    def selects(self) -> str:
        """Return whether it has an intercept, where that is asked for."""
        return "intercept" if self.intercept == "chosen" else ""

    def solved(self, problem: Problem, seed: int, asked: Asked, under_way: UnderWay) -> Solved:
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
        return evaluated(lambda tasks: learner(tasks, intercept), problem, asked, calibrated=False)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Logistic(AbstractMethod):
    """A logistic regression on each task's support."""

    strength: LearningRate = 10.0

    @property
    def trained(self) -> bool:
        """Return false."""
        return False

    @property
    def selects(self) -> str:
        """Return nothing."""
        return ""

    def solved(self, problem: Problem, seed: int, asked: Asked, under_way: UnderWay) -> Solved:
        """Return its evaluations."""
        from functools import partial

        from graphkit.meta import logistic_regression

        regression = partial(logistic_regression, strength=self.strength)
        again = partial(regression, calibrate=asked.calibrate, balanced=asked.balanced)
        after = again(problem.test) if asked.calibrate else None
        return Solved(regression(problem.validation).mean, regression(problem.test), after, 0)

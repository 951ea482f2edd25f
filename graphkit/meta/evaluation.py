"""Few-shot evaluation on frozen tasks: accuracy of each, mean and interval, with and without calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit._checks import at_least, flag, instance, require_finite_logits
from graphkit._exports import deprecated_method
from graphkit.meta.learners.abstract_learner import AbstractLearner, Forward
from graphkit.meta.learners.gradient_learner import AbstractGradientLearner
from graphkit.meta.learners.prototypical import transductive_logits
from graphkit.meta.tasks import Task, TaskSet, require_task_set


@dataclass(frozen=True)
class Evaluation:
    """Accuracies of one learner on the tasks of a set.

    Args:
        accuracies: of each task, fractions.
        tasks: fingerprint of the set.
        calibrated: whether query items looked at each other.

    Example:
        >>> Evaluation((0.5, 1.0, 0.75), "0" * 16).mean
        0.75
    """

    accuracies: tuple[float, ...]
    tasks: str
    calibrated: bool = False

    @property
    def mean(self) -> float:
        """Mean over the tasks."""
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def standard_error(self) -> float:
        """Of the mean; 0 for one task."""
        count, mean = len(self.accuracies), self.mean
        if count < 2:
            return 0.0
        return math.sqrt(sum((each - mean) ** 2 for each in self.accuracies) / (count - 1) / count)

    @property
    def interval(self) -> float:
        """Half the width of the 95 % interval of the mean, by the normal approximation; 0 for one task."""
        return 1.96 * self.standard_error

    def difference(self, other: Evaluation) -> Evaluation:
        """Return the paired differences to another learner on the same tasks.

        Raises:
            ValueError: for other tasks.
        """
        if other.tasks != self.tasks:
            raise ValueError("a paired difference needs the same tasks; these fingerprints differ.")
        paired = zip(self.accuracies, other.accuracies, strict=True)
        return Evaluation(tuple(mine - theirs for mine, theirs in paired), self.tasks)

    over = deprecated_method("difference")


@torch.no_grad()
def evaluate(
    learner: AbstractLearner,
    tasks: TaskSet,
    *,
    steps: int = 0,
    calibrate: int = 0,
    balanced: bool = False,
    batch: int = 16,
) -> Evaluation:
    """Return the accuracy on each task's query after adapting to its support; no graph is kept.

    Args:
        learner: any learner.
        tasks: frozen tasks.
        steps: inner steps in place of the learner's own, of one that takes gradient steps; 0 keeps those.
        calibrate: steps in which query items move the prototypes of the adapted representation, which then decide in
            the place of the learner's own head, see :func:`calibrated_logits`; 0 for none.
        balanced: whether calibration knows that every class has as many query items.
        batch: tasks at a time.

    Raises:
        TypeError: for what is no learner, and tasks that are no ``TaskSet``.
        ValueError: for steps of a learner that takes none, or more than it has learnt rates for; for ``balanced``
            without calibration; and for logits that are not finite, or after inner steps beyond 1e8: a task whose
            inner loop diverged, or whose features hold NaN, has no accuracy.

    Source: Dhillon et al. (2020), arXiv:1909.02729, for reporting both settings apart.

    Example:
        >>> from graphkit.meta import FewShotProtocol, PrototypicalNetwork, Rows
        >>> items = Rows(torch.eye(2)[torch.arange(40) % 2], torch.arange(40) % 2)
        >>> tasks = TaskSet.draw(items, (0, 1), FewShotProtocol(k_shot=1, n_tasks=10))
        >>> evaluate(PrototypicalNetwork(torch.nn.Identity()), tasks).mean
        1.0
    """
    require_task_set("tasks", tasks, "a TaskSet, whose fingerprint the figure carries")
    found = accuracies(learner, tasks, steps, calibrate=calibrate, balanced=balanced, batch=batch)
    require_finite_logits(found)
    return Evaluation(tuple(found), tasks.fingerprint, bool(calibrate))


@torch.no_grad()
def accuracies(
    learner: AbstractLearner, tasks: TaskSet, steps: int, *, calibrate: int = 0, balanced: bool = False, batch: int = 16
) -> list[float]:
    """Return the accuracy on each task's query, NaN where a learner diverged; see :func:`evaluate`."""
    instance("learner", learner, AbstractLearner, "a learner, such as MAML(model)")
    require_calibration(calibrate, balanced)
    if at_least("steps", steps, 0):
        learner = require_inner_loop("steps", learner).with_inner_loop(steps=steps)
    if torch.is_inference_mode_enabled():  # in which no learner could take a gradient step
        with torch.inference_mode(False), torch.no_grad():
            return accuracies(learner, tasks, 0, calibrate=calibrate, balanced=balanced, batch=batch)
    found: list[float] = []
    for start in range(0, len(tasks), at_least("batch", batch, 1)):
        some = tasks[start : start + batch]
        logits = _calibrated_logits(learner, some, calibrate, balanced) if calibrate else learner.logits(some)
        right = (logits.argmax(-1).cpu() == some[0].episode.query_y).double().mean(-1)
        largest = math.inf if calibrate else learner.largest_logit
        sound = logits.isfinite() & (logits.abs() <= largest)
        found += right.where(sound.all(-1).all(-1).cpu(), torch.nan).tolist()
    return found


def require_calibration(calibrate: int, balanced: bool) -> None:
    """Refuse a number of calibration steps that is none, and balance where nothing is calibrated."""
    at_least("calibrate", calibrate, 0)
    if flag("balanced", balanced) and not calibrate:
        raise ValueError("`balanced` is of calibration, which `calibrate` of 0 leaves out; give it 1 or more.")


def require_inner_loop(name: str, learner: AbstractLearner) -> AbstractGradientLearner:
    """Return a learner that takes gradient steps on a support, or refuse the argument that is about them."""
    if not isinstance(learner, AbstractGradientLearner):
        raise ValueError(
            f"`{name}` is of learners that take gradient steps on a support, and {type(learner).__name__} takes none; "
            "leave it at 0."
        )
    return learner


def _calibrated_logits(learner: AbstractLearner, tasks: Sequence[Task], steps: int, balanced: bool) -> Tensor:
    """Return logits from prototypes that the query has refined, in the adapted representation."""

    def solve(support: Forward, query: Forward, y: Tensor, ways: int) -> Tensor:
        parameters = learner.adapt_to_support(support, y, ways)
        z_support, z_query = learner.embed(parameters, support), learner.embed(parameters, query)
        return transductive_logits(z_support, y, z_query, ways, temperature=0.1, steps=steps, balanced=balanced)

    return learner.map_tasks(tasks, solve)

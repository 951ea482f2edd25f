"""The trainer of few-shot learners: meta-training, as the engine runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from graphkit.meta import AbstractLearner, MetaStep, MetaTrainer, MetaTraining
from graphkit.training.engine.trainer import AbstractTrainer, InitialParameters, require_finite

if TYPE_CHECKING:
    from graphkit.training.engine.distributed import World
    from graphkit.training.fewshot.problems import Problem


class LearnerTrainer(AbstractTrainer[MetaStep]):
    """Meta-trains a learner on tasks of the training classes, and selects a step by tasks of the validation classes.

    Args:
        learner: freshly drawn.
        problem: its tasks.
        options: of meta-training.
        world: the processes that take the tasks of a step in turns.
    """

    epoch_name: ClassVar[str] = "step"

    def __init__(self, learner: AbstractLearner, problem: Problem, options: MetaTraining, world: World) -> None:
        super().__init__()
        self.learner = learner
        self._initial = InitialParameters(learner)
        self._meta = MetaTrainer(learner, problem.train, problem.selection, options, processes=world)
        self.history = self._meta.history

    def epochs(self) -> Iterator[MetaStep]:
        """Take the steps of meta-training.

        Raises:
            TrainingError: if a step left parameters that are not finite.
        """
        for step in self._meta.steps():
            self._initial.has_changed()  # lets go of its copies as soon as it can
            require_finite("the learner's parameters", self.learner.parameters())
            self.best = self.history[self._meta.chosen - 1] if self._meta.chosen else None
            yield step

    def select(self) -> int:
        """Leave the learner with the parameters of the selected step, and return its number; 0 is the start.

        Raises:
            TrainingError: if no step changed a parameter.
        """
        if self.history:
            self._initial.require_change(f"a meta-training of {len(self.history)} steps")
        return self._meta.select().step

    def state_dict(self) -> dict[str, Any]:
        """Return all that a continuation needs."""
        return self._meta.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        self._meta.load_state_dict(state)
        self.history = self._meta.history

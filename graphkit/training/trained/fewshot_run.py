"""Runs of few-shot studies: their learners adapted to a support of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphkit._checks import at_least, member
from graphkit.training.fewshot.fewshot_results import FewShotRecord
from graphkit.training.trained.learner import TrainedLearner
from graphkit.training.trained.predictions import Predictions

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.data import GraphSet


@dataclass(frozen=True, eq=False)
class FewShotRun:
    """A finished run of ``graphkit fewshot``, or of ``fewshot`` with a ``run_dir``.

    Args:
        folder: where it lies.
        record: what was measured, and how.
    """

    folder: Path
    record: FewShotRecord

    @property
    def model(self) -> TrainedLearner:
        """The learner of the record's headline, as the first problem left it."""
        return self.learner()

    def learner(self, name: str | None = None, problem: int = 1) -> TrainedLearner:
        """Return the learner that a method left on a problem.

        Args:
            name: of the method; by default the record's headline.
            problem: which class split, or graph to test on, from 1.

        Raises:
            ValueError: for a method that was not measured, a problem that there is not, and a damaged file.
        """
        name = member("learner", name or self.record.headline, self.record.methods)
        many = len(self.record.methods[name]["rows"])
        if at_least("problem", problem, 1) > many:
            raise ValueError(f"`problem` must be from 1 to {many}, got {problem}.")
        return TrainedLearner.read(self.folder / f"learner-{name}-{problem}.safetensors")

    def predict(
        self,
        data: Data | GraphSet,
        support: Mapping[int, Any],
        *,
        learner: str | None = None,
        problem: int = 1,
        device: str = "auto",
    ) -> Predictions:
        """Return what a learner, adapted to a support, says of all other items; see :class:`.TrainedLearner`."""
        return self.learner(learner, problem).predict(data, support, device=device)

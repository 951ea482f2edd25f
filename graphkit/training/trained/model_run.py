"""What finished runs of trained models have in common: one model for each seed, and which is the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from graphkit.training.engine.records import Record
from graphkit.training.trained.abstract_run import AbstractRun
from graphkit.training.trained.classifier import TrainedModel


@dataclass(frozen=True, eq=False)
class AbstractModelRun(AbstractRun[TrainedModel]):
    """A finished run of ``train``, of whatever items.

    Args:
        folder: where it lies.
        record: what was measured, and how.
        models: seed -> trained model.
    """

    folder: Path
    record: Record
    models: Mapping[int, TrainedModel]

    @property
    def about(self) -> Record:
        """The record."""
        return self.record

    @property
    def model(self) -> TrainedModel:
        """The model of the seed with the best validation figure, of equal ones the first: no test label chose it."""
        sign = next(iter(self.models.values())).objective.sign
        return max(self.models.values(), key=lambda each: sign * each.figures["validation"])

    def models_of(self, seed: int | None) -> list[TrainedModel]:
        """Return the models that are asked: that of a seed, or all.

        Raises:
            ValueError: for a seed that was not trained.
        """
        return list(self.models.values()) if seed is None else [self.of_seed(seed)]

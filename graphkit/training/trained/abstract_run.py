"""What every finished run has: a folder, a record, and what each seed trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from graphkit._torch_internals import chosen_graphs
from graphkit.data import GraphSet
from graphkit.training.classification.graph_task import graph_facts
from graphkit.training.engine.records import Record, dataset_facts
from graphkit.training.trained.abstract_trained import AbstractTrained, apply_split

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.data import Split
    from graphkit.training.trained.predictions import LinkPredictions, Predictions

M = TypeVar("M", bound=AbstractTrained)


class AbstractRun(ABC, Generic[M]):
    """A finished run.

    Attributes:
        folder: where it lies.
        models: seed -> what it trained.
    """

    folder: Path
    models: Mapping[int, M]

    @property
    @abstractmethod
    def about(self) -> Record:
        """What was measured, and how, of the figure that the run is named by."""

    @property
    @abstractmethod
    def model(self) -> M:
        """The model of the seed with the best validation figure, of equal ones the first: no test label chose it."""

    @abstractmethod
    def predict(
        self, data: Data | GraphSet, *, seed: int | None = None, device: str = "auto"
    ) -> Predictions | LinkPredictions:
        """Return what the run says of every item of ``data``, as a table."""

    def of_seed(self, seed: int) -> M:
        """Return the model of a seed.

        Raises:
            ValueError: for one that was not trained.
        """
        if seed not in self.models:
            raise ValueError(f"`seed` must be one that was trained, {', '.join(map(str, self.models))}, got {seed!r}.")
        return self.models[seed]

    def is_own(self, data: Data | GraphSet) -> bool:
        """Return whether ``data`` are what the run was trained on, by their checksum."""
        part = isinstance(data, GraphSet) and chosen_graphs(data) is not None
        if part or (not isinstance(data, GraphSet) and data.get("y") is None):
            return False
        facts = graph_facts(data) if isinstance(data, GraphSet) else dataset_facts(data)
        return facts.sha256 == self.about.dataset.sha256

    def with_split_of(self, data: Data | GraphSet, splits: Sequence[Split], seed: int) -> Data | GraphSet:
        """Return the data with the split of a seed, where each had its own."""
        return apply_split(data, splits[list(self.models).index(seed)])

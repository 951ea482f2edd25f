"""Trained classifiers and regressions: built again from their file, to predict on data that training never saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from graphkit.data import GraphSet
from graphkit.nn.inference import layerwise
from graphkit.training.classification.graph_task import GraphTask
from graphkit.training.classification.tasks import (
    AbstractSupervisedObjective,
    AbstractTask,
    LabelledItems,
    NodeTask,
    SignalTask,
)
from graphkit.training.trained.abstract_trained import AbstractTrained, item_count, split_masks
from graphkit.training.trained.data_facts import item_ids
from graphkit.training.trained.model_file import kinds_of
from graphkit.training.trained.predictions import Predictions
from graphkit.training.zoo.recipes import Recipe

if TYPE_CHECKING:
    from torch import nn
    from torch_geometric.data import Data

NOTHING = LabelledItems(torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long))
"""The labelled items of a task that has none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedModel(AbstractTrained):
    """One trained classifier, or regression.

    Args:
        outputs: classes, tasks or numbers.
        objective: what was minimised and measured.
        molecules: whether nodes and edges are OGB's atoms and bonds.
        temperature: what logits are divided by before they become probabilities; 1 where it is not calibrated.

    All other fields are those of every trained model.
    """

    study: ClassVar[str] = "train"

    recipe: Recipe
    classes: int
    objective: AbstractSupervisedObjective
    molecules: bool = False
    temperature: float = 1.0

    @property
    def items(self) -> str:
        """What it predicts."""
        return self.recipe.model.items

    @property
    def model_recipe(self) -> Recipe:
        """How features and graph are prepared."""
        return self.recipe

    @property
    def column_names(self) -> tuple[str, ...]:
        """What the columns of its predictions are called: names of classes or targets, else their numbers."""
        known = self.names.classes if self.objective.output == "classes" else self.names.targets
        return known if len(known) == self.classes else tuple(map(str, range(self.classes)))

    def draw(self, graph: tuple[Any, ...]) -> nn.Module:
        """Return the module as it is drawn for a graph; a set of graphs only says whether it is of molecules."""
        return self.recipe.module(self.channels, self.classes, graph or (self.molecules,))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return what logits mean: probabilities of classes or tasks, in float64, or the numbers themselves."""
        if self.objective.output == "values":
            return logits.double()
        scaled = logits.double() / self.temperature
        return scaled.softmax(-1) if self.objective.output == "classes" else scaled.sigmoid()

    def predict(self, data: Data | GraphSet, *, device: str = "auto", precision: str | None = None) -> Predictions:
        """Return what the model says of every item of ``data``, with labels or without; see :meth:`outputs`.

        Items of one part of a split are taken together, as training measured them: the figures are the same to the
        last digit.
        """
        values = self.probabilities(self.outputs(data, device=device, precision=precision))
        return Predictions(item_ids(data, len(values)), values, self.objective.output, self.column_names)

    def task(self, data: Data | GraphSet, device: torch.device, dtype: torch.dtype) -> AbstractTask:
        """Return data as a task without labels."""
        if isinstance(data, GraphSet):
            graph = (self.molecules,)
            return GraphTask(data.to(device), graph, NOTHING, NOTHING, self.classes, self.objective, dtype)
        features, graph = self.inputs(data, device, dtype)
        if self.items == "signals":
            return SignalTask(features, graph, NOTHING, NOTHING, self.classes, self.objective)
        dense = self.recipe.fan_out and not isinstance(features, Tensor)
        return NodeTask(
            features.to_dense() if dense else features, graph, NOTHING, NOTHING, self.classes, self.objective
        )

    def parts(self, data: Data | GraphSet) -> list[Tensor]:
        """Return the items in the parts of the split, and the others; whole graphs are seen whole anyway."""
        every = torch.arange(item_count(data))
        if self.items == "nodes" and not self.recipe.fan_out:
            return [every]
        masks = split_masks(data)
        left = ~torch.stack(masks).any(0) if masks else torch.ones(len(every), dtype=torch.bool)
        return [part for part in (*(mask.nonzero().squeeze(-1) for mask in masks), every[left]) if len(part)]

    def outputs_of(self, model: Any, task: AbstractTask, index: Tensor) -> Tensor:
        """Return the logits of some items."""
        if isinstance(task, NodeTask) and self.recipe.fan_out:
            return layerwise(model, task.x, *task.graph, nodes=index)  # type: ignore[arg-type]  # dense
        return task.logits(model, index)

    @staticmethod
    def plain_fields(about: dict[str, Any]) -> dict[str, Any]:
        """Return fields as plain values, for a file."""
        objective = about["objective"]
        return {**about, "objective": {"kind": type(objective).__name__, **dataclasses.asdict(objective)}}

    @staticmethod
    def fields_from(about: dict[str, Any]) -> dict[str, Any]:
        """Return what :meth:`plain_fields` was given."""
        return {**about, "objective": _objective(about["objective"])}


def _objective(fields: Mapping[str, Any]) -> AbstractSupervisedObjective:
    """Return the objective of a file."""
    known, kind = kinds_of(AbstractSupervisedObjective), fields["kind"]
    if kind not in known:
        raise ValueError(f"the model was trained for {kind!r}, which this version of graphkit does not have.")
    made: AbstractSupervisedObjective = known[kind](**{name: each for name, each in fields.items() if name != "kind"})
    return made

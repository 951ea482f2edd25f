"""Trained classifiers and regressions: built again from their file, to predict on data that training never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from graphkit._torch_internals import joined_graphs
from graphkit.data import GraphSet
from graphkit.nn.inference import layerwise
from graphkit.training.classification.graph_task import GraphTask
from graphkit.training.classification.metrics import METRICS
from graphkit.training.classification.targets import ForecastTarget, SupervisedObjective, target_of
from graphkit.training.classification.tasks import (
    AbstractTask,
    LabelledItems,
    NodeTask,
    SignalTask,
)
from graphkit.training.forecasting.forecast_task import unlabelled_moments
from graphkit.training.trained.abstract_trained import AbstractTrained, item_count, split_masks
from graphkit.training.trained.data_facts import item_ids
from graphkit.training.trained.predictions import Predictions
from graphkit.training.zoo.forecast_architectures import SeriesShape
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
        edge_channels: features of an edge that it looks at, beside those; 0 where it looks at none.
        temperature: what logits are divided by before they become probabilities; 1 where it is not calibrated.

    All other fields are those of every trained model.
    """

    study: ClassVar[str] = "train"

    recipe: Recipe
    outputs: int
    objective: SupervisedObjective
    molecules: bool = False
    edge_channels: int = 0
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
        known = self.names.classes if self.objective.target.kind == "classes" else self.names.targets
        return known if len(known) == self.outputs else tuple(map(str, range(self.outputs)))

    def draw(self, graph: tuple[Any, ...]) -> nn.Module:
        """Return the module as it is drawn for a graph; without one, for any that its file tells of."""
        target = self.objective.target
        if not graph and isinstance(target, ForecastTarget):
            graph = (SeriesShape(target.length, target.horizon, target.nodes, target.both, target.clock),)
        if not graph:
            edges = (None, None, torch.empty(0, self.edge_channels))
            of_nodes = self.edge_channels and self.items == "nodes"
            graph = edges if of_nodes else (self.molecules, self.edge_channels)
        return self.recipe.module(self.channels, self.outputs, graph)

    def require_fit(self, data: Data | GraphSet) -> None:
        """Refuse data that the model cannot be used on.

        Raises:
            ValueError: as for every trained model, and for other features of edges.
        """
        super().require_fit(data)
        if self.edge_channels and (known := _edge_channels(data)) != self.edge_channels:
            raise ValueError(
                f"the model {self.recipe.name!r} looks at {self.edge_channels:,} features of each edge, `edge_attr`, "
                f"but `data` has {known:,}."
            )

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return what logits mean: probabilities of classes or tasks, in float64, or numbers in their own unit."""
        if self.objective.target.kind == "numbers":
            return self.objective.target.values(logits)
        scaled = logits.double() / self.temperature
        return scaled.softmax(-1) if self.objective.target.kind == "classes" else scaled.sigmoid()

    def predict(self, data: Data | GraphSet, *, device: str = "auto", precision: str | None = None) -> Predictions:
        """Return what the model says of every item of ``data``, with labels or without; see :meth:`outputs_for`.

        Items of one part of a split are taken together, as training measured them: the figures are the same to the
        last digit.
        """
        values = self.probabilities(self.outputs_for(data, device=device, precision=precision))
        return Predictions(item_ids(data, len(values)), values, self.objective.target.kind, self.column_names)

    def task(self, data: Data | GraphSet, device: torch.device, dtype: torch.dtype) -> AbstractTask:
        """Return data as a task without labels."""
        target = self.objective.target
        if isinstance(target, ForecastTarget):
            return unlabelled_moments(
                data,
                self.recipe,
                device,
                dtype,
                length=target.length,
                horizon=target.horizon,
                learnt=target.learnt,
                objective=self.objective,
            )
        if isinstance(data, GraphSet):
            graph = (self.molecules, self.edge_channels)
            return GraphTask(data.to(device), graph, NOTHING, NOTHING, self.objective, dtype)
        features, graph = self.inputs(data, device, dtype, edge_features=self.edge_channels > 0)
        if self.items == "signals":
            return SignalTask(features, graph, NOTHING, NOTHING, self.objective)
        dense = self.recipe.fan_out and not isinstance(features, Tensor)
        return NodeTask(features.to_dense() if dense else features, graph, NOTHING, NOTHING, self.objective)

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
        return {**about, "objective": {"metric": objective.name, "target": objective.target.as_dict()}}

    @staticmethod
    def fields_from(about: dict[str, Any]) -> dict[str, Any]:
        """Return what :meth:`plain_fields` was given."""
        return {**about, "objective": _objective(about["objective"])}


def _objective(fields: Mapping[str, Any]) -> SupervisedObjective:
    """Return the objective of a file."""
    if fields["metric"] not in METRICS:
        raise ValueError(
            f"the model was selected by {fields['metric']!r}, which this version of graphkit does not have."
        )
    return SupervisedObjective(target_of(fields["target"]), METRICS[fields["metric"]])


def _edge_channels(data: Data | GraphSet) -> int:
    """Return the number of features of an edge, 0 where there are none."""
    attr = (joined_graphs(data) if isinstance(data, GraphSet) else data).get("edge_attr")
    return 0 if attr is None else 1 if attr.dim() == 1 else int(attr.size(1))

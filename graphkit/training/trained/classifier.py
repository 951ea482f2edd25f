"""Trained classifiers and regressions: built again from their file, to predict on data that training never saw."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data.data import BaseData

import graphkit.training.zoo.recipes  # noqa: F401  # the kinds that a file may name
from graphkit._checks import instance
from graphkit._torch_internals import chosen_graphs, joined_graphs
from graphkit.data import GraphSet, to_undirected, validate
from graphkit.nn.inference import layerwise
from graphkit.training.classification.graph_task import GraphTask
from graphkit.training.classification.metrics import METRICS
from graphkit.training.classification.targets import SupervisedObjective, target_of
from graphkit.training.classification.tasks import (
    MASKS,
    AbstractTask,
    LabelledItems,
    NodeTask,
    SignalTask,
    model_inputs,
    require_signals,
)
from graphkit.training.engine.distributed import fabric_on, in_precision, own_device
from graphkit.training.engine.trainer import require_finite
from graphkit.training.trained.data_facts import DataNames, aligned_features, item_ids, structure_sha256
from graphkit.training.trained.model_file import ModelFile, options_from_plain, options_to_plain
from graphkit.training.trained.predictions import Predictions
from graphkit.training.zoo.recipes import Recipe

if TYPE_CHECKING:
    from torch import nn
    from torch_geometric.data import Data

STUDY = "train"


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedModel:
    """One trained classifier, or regression: its file suffices to use it.

    Args:
        recipe: how it is made and how features are prepared, with nothing left to the data.
        weights: of the selected epoch.
        channels: features of an item.
        outputs: classes, tasks or numbers.
        objective: what was minimised and measured.
        seed: drew it.
        precision: in which it was trained.
        dataset: name of what it was trained on.
        dataset_sha256: checksum of that.
        molecules: whether nodes and edges are OGB's atoms and bonds.
        edge_channels: features of an edge that it looks at, beside those; 0 where it looks at none.
        undirected: whether its graph was made undirected, as others then are before they are looked at.
        graph_sha256: checksum of the graph that its parameters belong to; empty where they belong to none.
        names: of classes, columns and targets.
        figures: what it came to: "validation" and "test".
        temperature: what logits are divided by before they become probabilities; 1 where it is not calibrated.
    """

    recipe: Recipe
    weights: Mapping[str, Tensor] = field(repr=False)
    channels: int
    outputs: int
    objective: SupervisedObjective
    seed: int
    precision: str
    dataset: str
    dataset_sha256: str
    molecules: bool = False
    edge_channels: int = 0
    undirected: bool = False
    graph_sha256: str = ""
    names: DataNames = field(default_factory=DataNames)
    figures: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0

    @property
    def column_names(self) -> tuple[str, ...]:
        """What the columns of its predictions are called: names of classes or targets, else their numbers."""
        known = self.names.classes if self.objective.target.kind == "classes" else self.names.targets
        return known if len(known) == self.outputs else tuple(map(str, range(self.outputs)))

    def to_bytes(self) -> bytes:
        """Return the content of its file, the same bytes each time; nothing in it can be executed."""
        apart = ("recipe", "weights", "objective", "names", "figures")
        about = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in apart}
        about["recipe"] = options_to_plain(self.recipe)
        about["objective"] = {"metric": self.objective.name, "target": self.objective.target.as_dict()}
        about["names"], about["figures"] = self.names.as_dict(), dict(self.figures)
        return ModelFile(STUDY, about, self.weights).to_bytes()

    @classmethod
    def from_file(cls, file: ModelFile) -> TrainedModel:
        """Return the model of a file.

        Raises:
            ValueError: for a file of another study, and for a kind of model that is not known here.
        """
        if file.study != STUDY:
            raise ValueError(f"the file holds what `graphkit {file.study}` trained, not a classifier.")
        about = dict(file.about)
        about["recipe"] = options_from_plain(about["recipe"], Recipe)
        about["objective"] = _objective(about["objective"])
        about["names"] = DataNames.from_dict(about["names"])
        return cls(weights=file.weights, **about)

    @classmethod
    def read(cls, path: Path | str) -> TrainedModel:
        """Return the model in a file.

        Raises:
            ValueError: if there is no such file, it is damaged, or it has another form.
        """
        return cls.from_file(ModelFile.read(Path(path)))

    def module(self, data: Data | GraphSet | None = None, *, device: str = "cpu") -> nn.Module:
        """Return the PyTorch module with the trained weights, in evaluation mode.

        Args:
            data: the graph it is to be used on; a model whose parameters belong to no graph needs none.
            device: where it goes.
        """
        if isinstance(data, GraphSet) or data is None:
            graph: tuple[Any, ...] = (self.molecules, self.edge_channels)
            if self.edge_channels and self.recipe.model.items == "nodes":
                graph = (None, None, torch.empty(0, self.edge_channels))
        else:
            _, graph = self._inputs(self.prepared(data), torch.device("cpu"), torch.float32)
        module = self.recipe.module(self.channels, self.outputs, graph)
        first = next((value.dtype for value in self.weights.values() if value.is_floating_point()), torch.float32)
        module.to(device, first).load_state_dict(dict(self.weights))
        return module.eval()

    def logits(self, data: Data | GraphSet, *, device: str = "auto", precision: str | None = None) -> Tensor:
        """Return the outputs for every item of ``data``, ``[items, outputs]``, on the CPU.

        Items of one part of a split are taken together, as training measured them: the figures are the same to the
        last digit.

        Args:
            data: a graph, signals on one or a set of graphs, with labels or without.
            device: "auto", "cpu", "cuda" or "cuda:1".
            precision: in place of that it was trained in.

        Raises:
            TypeError: for anything else.
            ValueError: for data that do not fit the model, each in words.
        """
        instance("data", data, (BaseData, GraphSet), "a Data or a GraphSet")
        fabric = fabric_on(own_device(device), precision or self.precision)
        dtype = torch.float64 if (precision or self.precision) == "64-true" else torch.float32
        self.require_fit(data)
        data = self.prepared(data)
        task = self._task(data, fabric.device, dtype)
        module = self.recipe.module(self.channels, self.outputs, task.graph).to(fabric.device)
        fabric.setup_module(module)  # in its precision, before weights of that precision are put in
        module.load_state_dict(dict(self.weights))
        model = in_precision(module, fabric).eval()
        with torch.no_grad():
            parts = self._parts(data)
            found = [(part, self._logits_of(model, task, part.to(fabric.device)).cpu()) for part in parts]
        logits = torch.empty(_items(data), self.outputs, dtype=found[0][1].dtype)
        for part, each in found:
            logits[part] = each
        require_finite("the model's outputs", [logits])
        return logits

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return what logits mean: probabilities of classes or tasks, in float64, or numbers in their own unit."""
        if self.objective.target.kind == "numbers":
            return self.objective.target.values(logits)
        scaled = logits.double() / self.temperature
        return scaled.softmax(-1) if self.objective.target.kind == "classes" else scaled.sigmoid()

    def predict(self, data: Data | GraphSet, *, device: str = "auto", precision: str | None = None) -> Predictions:
        """Return what the model says of every item of ``data``; see :meth:`logits`."""
        values = self.probabilities(self.logits(data, device=device, precision=precision))
        return Predictions(item_ids(data, len(values)), values, self.objective.target.kind, self.column_names)

    def require_fit(self, data: Data | GraphSet) -> None:
        """Refuse data that the model cannot be used on.

        Raises:
            ValueError: for items of another kind, other features, and another graph where parameters belong to one.
        """
        kind = "graphs" if isinstance(data, GraphSet) else "nodes" if data.get("signals") is None else "signals"
        if kind != self.recipe.model.items:
            raise ValueError(
                f"the model {self.recipe.name!r} predicts {self.recipe.model.items}, but the items of `data` are "
                f"{kind}."
            )
        if kind == "nodes":
            if data.get("x") is None:
                raise ValueError("`x` is missing: the model looks at features of nodes.")
            validate(data)
        if kind == "signals":
            require_signals(data.signals, len(data.signals), data.num_nodes)
        columns = self.names.columns and DataNames.of(data).columns
        found = _channels(data)
        if not columns and found != self.channels:
            raise ValueError(
                f"the model {self.recipe.name!r} takes {self.channels:,} features, but `data` has {found:,}; give "
                "it the features that it was trained on."
            )
        if self.edge_channels and (known := _edge_channels(data)) != self.edge_channels:
            raise ValueError(
                f"the model {self.recipe.name!r} looks at {self.edge_channels:,} features of each edge, `edge_attr`, "
                f"but `data` has {known:,}."
            )
        if self.graph_sha256 and structure_sha256(data) != self.graph_sha256:
            raise ValueError(
                f"the model {self.recipe.name!r} has parameters that belong to the graph of {self.dataset!r} and mean "
                "nothing on another; train one whose parameters belong to no graph, such as 'gcn' or 'cheb'."
            )

    def prepared(self, data: Data | GraphSet) -> Data | GraphSet:
        """Return data as those were that the model was trained on: columns, their encodings, directions of edges."""
        have = DataNames.of(data)
        if self.names.columns and have.columns and self.recipe.model.items != "signals":
            x = joined_graphs(data).x if isinstance(data, GraphSet) else data.x
            found = aligned_features(x, have, self.names, self.recipe.name)
            if found is not x:
                data = data.with_features(found) if isinstance(data, GraphSet) else _with_x(data, found)
        if self.undirected and not isinstance(data, GraphSet) and not data.get("undirected"):
            data = data if data.is_undirected() else to_undirected(data)
        return data

    def _task(self, data: Data | GraphSet, device: torch.device, dtype: torch.dtype) -> AbstractTask:
        """Return the data as a task without labels, which asks a model as training does."""
        none = LabelledItems(torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long))
        if isinstance(data, GraphSet):
            graphs = data.to(device)
            return GraphTask(graphs, (self.molecules, self.edge_channels), none, none, self.objective, dtype)
        features, graph = self._inputs(data, device, dtype)
        if self.recipe.model.items == "signals":
            return SignalTask(features, graph, none, none, self.objective)
        if self.recipe.fan_out and not isinstance(features, Tensor):
            features = features.to_dense()
        return NodeTask(features, graph, none, none, self.objective)

    def _inputs(self, data: Data, device: torch.device, dtype: torch.dtype) -> tuple[Any, tuple[Any, ...]]:
        """Return features and graph as the model takes them."""
        return model_inputs(data, self.recipe, device, dtype, edge_features=self.edge_channels > 0)

    def _parts(self, data: Data | GraphSet) -> list[Tensor]:
        """Return the items in groups that are asked for together; whole graphs are seen whole anyway."""
        every = torch.arange(_items(data))
        if self.recipe.model.items == "nodes" and not self.recipe.fan_out:
            return [every]
        masks = split_masks(data)
        left = ~torch.stack(masks).any(0) if masks else torch.ones(len(every), dtype=torch.bool)
        return [part for part in (*(mask.nonzero().squeeze(-1) for mask in masks), every[left]) if len(part)]

    def _logits_of(self, model: Any, task: AbstractTask, index: Tensor) -> Tensor:
        """Return the outputs of some items, by the way in which training measures them."""
        if isinstance(task, NodeTask) and self.recipe.fan_out:
            return layerwise(model, task.x, *task.graph, nodes=index)  # type: ignore[arg-type]  # dense
        return task.logits(model, index)


def _objective(fields: Mapping[str, Any]) -> SupervisedObjective:
    """Return the objective of a file."""
    if fields["metric"] not in METRICS:
        raise ValueError(
            f"the model was selected by {fields['metric']!r}, which this version of graphkit does not have."
        )
    return SupervisedObjective(target_of(fields["target"]), METRICS[fields["metric"]])


def _items(data: Data | GraphSet) -> int:
    """Return the number of items."""
    if isinstance(data, GraphSet):
        return len(data)
    return data.num_nodes if data.get("signals") is None else len(data.signals)


def _edge_channels(data: Data | GraphSet) -> int:
    """Return the number of features of an edge, 0 where there are none."""
    attr = (joined_graphs(data) if isinstance(data, GraphSet) else data).get("edge_attr")
    return 0 if attr is None else 1 if attr.dim() == 1 else int(attr.size(1))


def _channels(data: Data | GraphSet) -> int:
    """Return the number of features of an item's node."""
    if isinstance(data, GraphSet) or data.get("signals") is None:
        return int(data.num_features)
    return int(data.signals.size(-1))


def _with_x(data: Data, x: Tensor) -> Data:
    """Return a shallow copy with other features; they are in memory."""
    made: Data = copy.copy(data)
    made.x = x
    return made


def split_masks(data: Data | GraphSet) -> list[Tensor]:
    """Return the masks to train on, to select by and to test on, where there is a split."""
    if isinstance(data, GraphSet):
        whole = chosen_graphs(data) is None
        return list(data.split.masks.values()) if data.split is not None and whole else []
    found = [data.get(name) for name in MASKS]
    return [] if any(mask is None or mask.dim() != 1 for mask in found) else [mask.cpu() for mask in found]

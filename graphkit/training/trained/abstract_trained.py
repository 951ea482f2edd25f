"""What every trained model has: a file that suffices, data made ready as in training, and outputs of each item."""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor
from torch_geometric.data.data import BaseData

from graphkit._checks import instance
from graphkit._torch_internals import chosen_graphs, joined_graphs
from graphkit.data import GraphSet, to_undirected, validate
from graphkit.training.classification.tasks import MASKS, AbstractTask, model_inputs, require_signals
from graphkit.training.engine.distributed import fabric_on, in_precision, own_device
from graphkit.training.engine.trainer import require_finite
from graphkit.training.trained.data_facts import DataNames, aligned_features, structure_sha256
from graphkit.training.trained.model_file import ModelFile, options_from_plain, options_to_plain, refuse_other_fields
from graphkit.training.zoo.recipes import AbstractRecipe, ModelRecipe

if TYPE_CHECKING:
    from torch import nn
    from torch_geometric.data import Data

    from graphkit.data import Split


@dataclass(frozen=True, kw_only=True, eq=False)
class AbstractTrained(ABC):
    """One trained model: its file suffices to use it, and the data that it was trained on need not be there.

    Args:
        recipe: how it is made and how features are prepared, with nothing left to the data.
        weights: of the selected epoch.
        channels: features of an item.
        seed: drew it.
        precision: in which it was trained.
        dataset: name of what it was trained on.
        dataset_sha256: checksum of that.
        undirected: whether its graph was made undirected, as others then are before they are looked at.
        graph_sha256: checksum of the graph that its parameters belong to; empty where they belong to none.
        names: of classes, columns and targets.
        figures: what it came to: "validation" and "test".
    """

    study: ClassVar[str]
    """The command that trains such models."""

    recipe: AbstractRecipe
    weights: Mapping[str, Tensor] = field(repr=False)
    channels: int
    seed: int
    precision: str
    dataset: str
    dataset_sha256: str
    undirected: bool = False
    graph_sha256: str = ""
    names: DataNames = field(default_factory=DataNames)
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    @abstractmethod
    def items(self) -> str:
        """What it looks at: "nodes", "signals" or "graphs"."""

    @property
    @abstractmethod
    def model_recipe(self) -> ModelRecipe:
        """How features and graph are prepared."""

    @property
    def module_weights(self) -> dict[str, Tensor]:
        """The weights of the module alone."""
        return dict(self.weights)

    @abstractmethod
    def draw(self, graph: tuple[Any, ...]) -> nn.Module:
        """Return the module as it is drawn for a graph, before it has its weights."""

    @abstractmethod
    def task(self, data: Data | GraphSet, device: torch.device, dtype: torch.dtype) -> AbstractTask:
        """Return data as a task without labels, which asks a model as training does."""

    def outputs_of(self, model: Any, task: AbstractTask, index: Tensor) -> Tensor:
        """Return what a module says of some items, by the way in which training measures them."""
        return task.logits(model, index)

    def parts(self, data: Data | GraphSet) -> list[Tensor]:
        """Return the items in groups that are asked for together."""
        return [torch.arange(item_count(data))]

    def to_bytes(self) -> bytes:
        """Return the content of its file, the same bytes each time; nothing in it can be executed."""
        about = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "weights"}
        about |= {"recipe": options_to_plain(self.recipe), "names": self.names.as_dict()}
        return ModelFile(self.study, self.plain_fields(about), self.weights).to_bytes()

    @staticmethod
    def plain_fields(about: dict[str, Any]) -> dict[str, Any]:
        """Return fields as plain values, for a file."""
        return about

    @staticmethod
    def fields_from(about: dict[str, Any]) -> dict[str, Any]:
        """Return what :meth:`plain_fields` was given."""
        return about

    @classmethod
    def from_file(cls, file: ModelFile) -> Self:
        """Return the model of a file.

        Raises:
            ValueError: for a file of another study, and for a kind of model that is not known here.
        """
        if file.study != cls.study:
            raise ValueError(
                f"the file holds what `graphkit {file.study}` trained, not what `graphkit {cls.study}` does."
            )
        with refuse_other_fields():
            about = cls.fields_from(dict(file.about))
            about["recipe"] = options_from_plain(about["recipe"], AbstractRecipe)
            about["names"] = DataNames.from_dict(about["names"])
            return cls(weights=file.weights, **about)

    @classmethod
    def read(cls, path: Path | str) -> Self:
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
        cpu, graph = torch.device("cpu"), tuple[Any, ...]()
        if data is not None:
            graph = self.task(self.prepare(data), cpu, torch.float32).graph
        module = self.draw(graph)
        weights = self.module_weights
        first = next((value.dtype for value in weights.values() if value.is_floating_point()), torch.float32)
        module.to(device, first).load_state_dict(weights)
        return module.eval()

    def outputs_for(self, data: Data | GraphSet, *, device: str = "auto", precision: str | None = None) -> Tensor:
        """Return the module's outputs for every item of ``data``, ``[items, outputs]``, on the CPU.

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
        task = self.task(self.prepare(data), fabric.device, dtype)
        module = self.draw(task.graph).to(fabric.device)
        fabric.setup_module(module)  # in its precision, before weights of that precision are put in
        module.load_state_dict(self.module_weights)
        model = in_precision(module, fabric).eval()
        parts = self.parts(data)
        with torch.no_grad():
            found = [self.outputs_of(model, task, part.to(fabric.device)).cpu() for part in parts]
        outputs = torch.empty(item_count(data), found[0].size(-1), dtype=found[0].dtype)
        for part, each in zip(parts, found, strict=True):
            outputs[part] = each
        require_finite("the model's outputs", [outputs])
        return outputs

    def prepare(self, data: Data | GraphSet) -> Data | GraphSet:
        """Return data as those were that the model was trained on: columns, their encodings, directions of edges."""
        have = DataNames.of(data)
        if self.names.columns and have.columns and self.items != "signals":
            x = joined_graphs(data).x if isinstance(data, GraphSet) else data.x
            found = aligned_features(x, have, self.names, self.recipe.name)
            if found is not x:
                data = data.with_features(found) if isinstance(data, GraphSet) else _with_x(data, found)
        if self.undirected and not isinstance(data, GraphSet) and not data.get("undirected"):
            data = data if data.is_undirected() else to_undirected(data)
        return data

    def require_fit(self, data: Data | GraphSet) -> None:
        """Refuse data that the model cannot be used on.

        Raises:
            ValueError: for items of another kind, other features, and another graph where parameters belong to one.
        """
        name = self.recipe.name
        kind = "graphs" if isinstance(data, GraphSet) else "nodes" if data.get("signals") is None else "signals"
        if kind != self.items:
            raise ValueError(f"the model {name!r} is of {self.items}, but the items of `data` are {kind}.")
        if kind == "nodes":
            if data.get("x") is None:
                raise ValueError("`x` is missing: the model looks at features of nodes.")
            validate(data)
        if kind == "signals":
            require_signals(data.signals, len(data.signals), data.num_nodes)
        found = int(data.signals.size(-1)) if kind == "signals" else int(data.num_features)
        if not (self.names.columns and DataNames.of(data).columns) and found != self.channels:
            raise ValueError(
                f"the model {name!r} takes {self.channels:,} features, but `data` has {found:,}; give it the features "
                "that it was trained on."
            )
        if self.graph_sha256 and structure_sha256(data) != self.graph_sha256:
            raise ValueError(
                f"the model {name!r} has parameters that belong to the graph of {self.dataset!r} and mean nothing on "
                "another; train one whose parameters belong to no graph, such as 'gcn' or 'cheb'."
            )

    def inputs(
        self, data: Data, device: torch.device, dtype: torch.dtype, *, edge_features: bool = False
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return features, and what the module takes after them."""
        return model_inputs(data, self.model_recipe, device, dtype, edge_features=edge_features)


def item_count(data: Data | GraphSet) -> int:
    """Return the number of items."""
    if isinstance(data, GraphSet):
        return len(data)
    return int(data.num_nodes) if data.get("signals") is None else len(data.signals)


def split_masks(data: Data | GraphSet) -> list[Tensor]:
    """Return the masks to train on, to select by and to test on, where there is a split."""
    if isinstance(data, GraphSet):
        whole = chosen_graphs(data) is None
        return list(data.split.masks.values()) if data.split is not None and whole else []
    found = [data.get(name) for name in MASKS]
    return [] if any(mask is None or mask.dim() != 1 for mask in found) else [mask.cpu() for mask in found]


def apply_split(data: Data | GraphSet, split: Split) -> Data | GraphSet:
    """Return data with another split."""
    return data.with_split(split) if isinstance(data, GraphSet) else split.apply(data)


def _with_x(data: Data, x: Tensor) -> Data:
    """Return a shallow copy with other features; they are in memory."""
    made: Data = copy.copy(data)
    made.x = x
    return made

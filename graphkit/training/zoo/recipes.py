"""Recipes: everything that decides how a model is built and trained, as frozen data.

A recipe holds no code and names no data set. A TOML file, ``--set`` and flags override its fields, one by one, and
each value is checked against its range. ``named`` holds the tables in which a name becomes a recipe.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, InstanceOf
from pydantic.dataclasses import dataclass

from graphkit._checks import instance
from graphkit.training.engine.options import AbstractOptions
from graphkit.training.zoo.architecture import (
    STRICT,
    AbstractArchitecture,
    Count,
    LearningRate,
    NonNegative,
    Positive,
    Share,
    Switch,
)

if TYPE_CHECKING:
    from torch import nn


def _fan_out(written: str) -> str:
    """Return numbers with commas between, or refuse what is none."""
    if re.fullmatch(r"((-1|\d+)(,(-1|\d+))*)?", written):
        return written
    raise ValueError("must be a number for each layer, such as '10,5', -1 for all neighbours")


FanOut: TypeAlias = Annotated[str, BeforeValidator(str), AfterValidator(_fan_out)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractRecipe(AbstractOptions):
    """Fields of its own beside parts that have theirs, all of them in one flat table of names."""

    name: str = "own"

    @property
    def title(self) -> str:
        """What it is called where a field is refused."""
        return f"the recipe {self.name!r}"

    @property
    def parts(self) -> dict[str, Any]:
        """The parts, by the field that holds them."""
        return {}

    def unused_fields(self) -> dict[str, str]:
        """Return which fields decide nothing while the others are as they are: name -> why."""
        return {name: why for part in self.parts.values() for name, why in part.unused_fields().items()}

    def own_fields(self) -> dict[str, Any]:
        """Return the fields that stand here and in no part."""
        apart = ("name", *self.parts)
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in apart}

    def options(self) -> dict[str, Any]:
        """Return all fields by name, those of the parts first."""
        of_parts = {name: value for part in self.parts.values() for name, value in part.options().items()}
        return of_parts | self.own_fields()

    def replace_fields(self, overrides: Mapping[str, Any]) -> Self:
        """Return this recipe with fields replaced that are there, each where it stands."""
        own = self.own_fields()
        parts = {
            field: part.replace_fields({name: value for name, value in overrides.items() if name in part.options()})
            for field, part in self.parts.items()
        }
        own |= {name: value for name, value in overrides.items() if name in own}
        return type(self)(name=self.name, **parts, **own)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelRecipe(AbstractRecipe):
    """How a model is made, its parameters moved, and its features prepared.

    Args:
        model: the kind of model, with all that decides how one is made.
        name: what it is called on the command line and in records.
        lr: learning rate of Adam.
        l2: weight decay in the gradient, as Adam's ``weight_decay``.
        l2_on: "first" decays the first layer only (Kipf & Welling), "all" every parameter.
        row_normalise: scale each node's features to an absolute sum of 1 (true), or of a number; false leaves them as
            they are. "auto" lets the data decide (:func:`graphkit.data.feature_sum`).
        sparse_below: features with a smaller share of non-zeros than this are kept sparse; 0 never.
    """

    model: InstanceOf[AbstractArchitecture]
    lr: LearningRate = 0.01
    l2: NonNegative = 5e-4
    l2_on: Literal["first", "all"] = "first"
    row_normalise: Switch | LearningRate | Literal["auto"] = "auto"
    sparse_below: Share = 0.1

    @property
    def parts(self) -> dict[str, Any]:
        """The model."""
        return {"model": self.model}

    def unused_fields(self) -> dict[str, str]:
        """Return which fields decide nothing while the others are as they are: name -> why."""
        found = super().unused_fields()
        if self.l2 == 0:
            found["l2_on"] = "`l2` is 0"
        elif self.model.single:
            found["l2_on"] = "the first layer is all there is"
        if self.model.items != "nodes":
            found |= dict.fromkeys(("row_normalise", "sparse_below"), f"features of {self.model.items} are as they are")
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that decide something in one flat table: what a record says and a TOML file may hold."""
        return {"model": self.name, **super().as_dict()}

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...] = ()) -> nn.Module:
        """Return a freshly drawn model of this recipe.

        Args:
            in_channels: features of an item.
            out_channels: width of the result, the classes.
            graph: what ``model.graph`` prepared; only models that are made for one graph look at it.
        """
        return self.model.module(in_channels, out_channels, graph)

    def resolve(self, feature_sum: Callable[[], float]) -> Self:
        """Return this recipe with what is left to the data decided: what a run of it does, and its record says.

        Args:
            feature_sum: returns what the features of a node are scaled to, 0 for "as they are"; called if it matters.

        Example:
            >>> from graphkit.training import recipe
            >>> [recipe("gcn").resolve(lambda: found).row_normalise for found in (0.0, 1.0, 17.5)]
            [False, True, 17.5]
        """
        if self.row_normalise != "auto" or self.model.items != "nodes":
            return self
        found = feature_sum()
        return dataclasses.replace(self, row_normalise={0.0: False, 1.0: True}.get(found, found))

    def parameter_groups(self, module: Any, model: Any = None) -> list[dict[str, Any]]:
        """Return the optimiser's groups: those with rates of their own, those that are decayed, and the others.

        Args:
            module: whose parameters are moved.
            model: what :meth:`module` returned, where ``module`` holds more than that.
        """
        model = module if model is None else model
        special = self.model.groups(model)
        taken = {id(p) for group in special for p in group["params"]}
        first = {id(p) for p in (module if self.l2_on == "all" else model.first).parameters()}
        rest = [p for p in module.parameters() if id(p) not in taken]
        decayed = {"params": [p for p in rest if id(p) in first], "weight_decay": self.l2}
        others = {"params": [p for p in rest if id(p) not in first], "weight_decay": 0.0}
        return [group for group in (decayed, others, *special) if group["params"]]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe(ModelRecipe):
    """How a model is built, trained and selected.

    Args:
        schedule: "constant", or "cosine": from ``lr`` in the first epoch towards 0 after the last of ``epochs``.
        epochs: at most so many.
        batch: items of a step where items do not depend on each other (signals on one graph); 0 is all of them, and
            nodes of one graph are all together unless ``fan_out`` is given.
        fan_out: neighbours drawn for a node in each hop, one number for each layer such as "10,5", -1 for all: nodes
            of one graph are then trained on in batches, each with the neighbours drawn around it. Empty: never.
        microbatches: parts of a batch of nodes or of graphs, each with neighbours, dropout and batch norms of its own.
            Several processes take them in turns, and one process takes one after the other, to the same result.
        home: of a graph in parts, each process takes the nodes of a batch that its own part holds in place of a share:
            fewer rows to be fetched. Batches are the same; what is drawn around their nodes depends on the parts.
        patience: stop after so many epochs in a row in which neither accuracy nor loss on the validation nodes was at
            least as good as ever before (the rule of GAT's authors); 0 always runs all epochs.
        views: passes through the model in a step, each with a dropout of its own. The loss is their mean; where there
            are several, all nodes, labelled or not, are asked to agree on their classes too. For nodes only.
        consistency: weight of that agreement.
        warm_up: epochs over which that weight grows to its value: agreement on what a drawn model guesses is worthless.
        sharpening: how much of a decision the views are asked for; 1 none, towards 0 all.
        select: whose weights are tested. "accuracy": the epoch of highest validation accuracy (of the best ROC-AUC or
            RMSE where that is the data set's figure), among equals the one of
            lower validation loss, then the earlier one. "loss": the epoch of lowest validation loss, then the
            earlier one. "last": the last epoch.

    All other fields are those of ``ModelRecipe`` and of the model.
    """

    renamed: ClassVar[dict[str, str]] = {"shares": "microbatches"}

    schedule: Literal["constant", "cosine"] = "constant"
    epochs: Positive = 200
    batch: Count = 0
    fan_out: FanOut = ""
    microbatches: Positive = 1
    home: Switch = False
    patience: Count = 0
    views: Positive = 1
    consistency: NonNegative = 1.0
    warm_up: Count = 0
    sharpening: LearningRate = 0.5
    select: Literal["accuracy", "loss", "last"] = "accuracy"

    def unused_fields(self) -> dict[str, str]:
        """Return which fields decide nothing while the others are as they are: name -> why."""
        found, items = super().unused_fields(), self.model.items
        if items != "nodes":
            alone = f"{items} do not depend on each other"
            found |= dict.fromkeys(("fan_out", "home", "views"), alone)
        elif not self.fan_out:
            found |= dict.fromkeys(("batch", "microbatches", "home"), "without `fan_out` all nodes are in one step")
        else:
            found["sparse_below"] = "`fan_out` draws rows of dense features"
        if items == "signals":
            found["microbatches"] = "signals train in one process"
        if self.views == 1:
            found |= dict.fromkeys(("consistency", "warm_up", "sharpening"), "one of `views` has none to agree with")
        elif self.consistency == 0:
            found |= dict.fromkeys(("warm_up", "sharpening"), "`consistency` is 0")
        return found

    @property
    def fan_outs(self) -> tuple[int, ...]:
        """The numbers in ``fan_out``."""
        return tuple(int(many) for many in self.fan_out.split(",") if many)

    @property
    def selection_rule(self) -> str:
        """Say in words whose weights are tested."""
        return self.rule("highest validation accuracy")

    def rule(self, best: str) -> str:
        """Say whose weights are tested where ``best`` names the best figure, such as "lowest validation RMSE"."""
        rules = {
            "accuracy": f"epoch of {best}; ties: lower validation loss, then the earlier epoch",
            "loss": "epoch of lowest validation loss; ties: the earlier epoch",
            "last": "last epoch",
        }
        return rules[self.select]

    def model_recipe(self) -> ModelRecipe:
        """Return how the model alone is made and moved, without the loop."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(ModelRecipe)}
        return ModelRecipe(**fields)


def read_overrides(path: Path) -> dict[str, Any]:
    """Return the fields in a TOML file; ``model`` may be among them.

    Raises:
        ValueError: if there is no such file, or it is not a flat TOML table.
    """
    instance("path", path, Path, "a Path")
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"`config` {str(path)!r} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"`config` {str(path)!r} is not TOML: {error}.") from None
    for name, value in fields.items():
        if isinstance(value, dict | list):
            raise ValueError(f"`config` {str(path)!r} must be flat: `{name}` holds a {type(value).__name__}.")
    return fields

"""Recipes of embeddings: an encoder, an objective, and how long the one is trained for the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import InstanceOf
from pydantic.dataclasses import dataclass

from graphkit._checks import member
from graphkit.training.embedding.embedding_objectives import (
    AbstractEmbeddingObjective,
    AbstractLabelled,
    AbstractMetricLoss,
    BGRLObjective,
    CCASSGObjective,
    DGIObjective,
    GRACEObjective,
    RidgeObjective,
    Softmax,
)
from graphkit.training.engine.options import fields_of
from graphkit.training.zoo import GCN, GIN
from graphkit.training.zoo.architecture import STRICT, AbstractEdgeStack, Count, Positive
from graphkit.training.zoo.message_passing import Grand
from graphkit.training.zoo.recipes import RECIPES, AbstractRecipe, ModelRecipe

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EmbeddingRecipe(AbstractRecipe):
    """How an embedding is made, trained and selected.

    Args:
        objective: what is minimised.
        encoder: the model that embeds, and the rates it is trained at.
        name: what the objective is called on the command line and in records.
        level: what is embedded; not a field that is set, since it is what the data are.
        dim: width of the embedding, where it is not the number of classes.
        steps: optimiser steps of an epoch.
        ways: classes of a batch; 0 takes all training items in every step.
        shots: items of each class of a batch.
        epochs: at most so many.
        patience: stop after so many epochs in a row without a better figure on the validation items; 0 never.
        select: whose weights are tested. "map": the epoch of highest MAP@R of the validation items, the labelled items
            answering; ties: the earlier epoch. "hit@1": that in which most have an item of their class nearest;
            "both": that of the highest mean of the two. "last": the last epoch.
        join: the figure of the validation items by which items have rows of the best view and what is solved for
            (ridge regression on all views of a graph, or a forest on counts of colours) beside what is trained, with
            the best shares, which may be none or all: "map", "hit@1" or "both" as for ``select``; "none" joins none.

    All other fields are those of the objective, of ``ModelRecipe`` and of the model.
    """

    objective: InstanceOf[AbstractEmbeddingObjective]
    encoder: InstanceOf[ModelRecipe]
    level: Literal["node", "graph"] = "node"
    dim: Positive = 16
    steps: Positive = 5
    ways: Count = 0
    shots: Positive = 8
    epochs: Positive = 60
    patience: Count = 20
    select: Literal["map", "hit@1", "both", "last"] = "map"
    join: Literal["none", "map", "hit@1", "both"] = "both"

    @property
    def parts(self) -> dict[str, Any]:
        """The encoder and the objective."""
        return {"encoder": self.encoder, "objective": self.objective}

    def unused_fields(self) -> dict[str, str]:
        """Return which fields decide nothing while the others are as they are: name -> why."""
        found = super().unused_fields()
        if self.objective.per_class:
            found["dim"] = f"{self.name!r} has one number a class"
        if self.objective.solved:
            found |= dict.fromkeys(("steps", "ways", "shots"), f"{self.name!r} is solved for with all labelled nodes")
        elif not self.objective.labelled:
            found |= dict.fromkeys(("ways", "shots"), f"{self.name!r} takes no labels, and all nodes in every step")
        elif not self.ways:
            found["shots"] = "without `ways` all training items are in every step"
        if self.select == "last":
            found["patience"] = "the last epoch is taken"
        if self.level == "graph":
            found |= dict.fromkeys(("row_normalise", "sparse_below"), "features of graphs are as they are")
        return found

    @property
    def selection_rule(self) -> str:
        """Say in words whose weights are tested."""
        if self.join == "none":
            return self._rule
        return f"{self._rule}; a view and shares by highest validation {RULES[self.join]}"

    @property
    def rule_for_new_classes(self) -> str:
        """Say in words whose weights are tested where classes are examined that training never saw."""
        if self.join == "none":
            return self._rule
        return f"{self._rule}; a view and its share by highest {RULES[self.join]} of half the training classes"

    @property
    def _rule(self) -> str:
        """Say in words whose weights are tested, before anything is joined."""
        if self.select == "last":
            return "last epoch"
        return f"epoch of highest validation {RULES[self.select]} among labelled items; ties: the earlier epoch"

    def resolve(self, feature_sum: Callable[[], float]) -> EmbeddingRecipe:
        """Return this recipe with what its encoder leaves to the data decided, as :meth:`ModelRecipe.resolve` does."""
        return self.with_encoder(self.encoder.resolve(feature_sum))

    def of_classes(self, count: int) -> EmbeddingRecipe:
        """Return this recipe for so many classes, which decide the width of some embeddings."""
        return dataclasses.replace(self, dim=count) if self.objective.per_class else self

    def module(self, in_channels: int, graph: tuple[Any, ...] = ()) -> nn.Module:
        """Return what is trained: a freshly drawn encoder, and what the objective puts around it."""
        return self.objective.wrap(self.encoder.module(in_channels, self.dim, graph), self.dim)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that decide something in one flat table: what a record says and a TOML file may hold."""
        return {"loss": self.name, "model": self.encoder.name, **super().as_dict()}

    def own_fields(self) -> dict[str, Any]:
        """Return the fields that stand here and in no part."""
        return {name: value for name, value in super().own_fields().items() if name != "level"}

    def with_encoder(self, encoder: ModelRecipe) -> EmbeddingRecipe:
        """Return this recipe over another encoder."""
        return dataclasses.replace(self, encoder=encoder)


RULES = {"map": "MAP@R", "hit@1": "hit@1", "both": "mean of MAP@R and hit@1"}
"""What a figure that selects is called."""

GRAND = ModelRecipe(name="grand", model=Grand(node_dropout=0.3, hidden=64), l2=1e-3, l2_on="all")
OF_GRAPHS = ModelRecipe(name="gin", model=GIN(layers=3, hidden=32, norm="batch", dropout=0.1), lr=0.005, l2=0.0)

SOLVED = RECIPES["view-ridge"].model_recipe()


def _with_labels(objective: AbstractLabelled) -> EmbeddingRecipe:
    """Return the recipe of a loss with labels, called as its class is."""
    encoder = dataclasses.replace(GRAND, l2=objective.encoder_l2)
    return EmbeddingRecipe(name=type(objective).__name__.lower(), objective=objective, encoder=encoder)


def _without_labels(
    name: str, objective: AbstractEmbeddingObjective, model: GCN, *, dim: int, epochs: int, lr: float, l2: float = 0.0
) -> EmbeddingRecipe:
    """Return a recipe of a loss without labels: one step an epoch on the whole graph, and the last epoch's weights."""
    return EmbeddingRecipe(
        name=name,
        objective=objective,
        encoder=ModelRecipe(name="gcn", model=model, lr=lr, l2=l2, l2_on="all"),
        dim=dim,
        steps=1,
        epochs=epochs,
        patience=0,
        select="last",
        join="none",
    )


EMBEDDINGS: dict[str, EmbeddingRecipe] = {
    made.name: made
    for made in (
        *(_with_labels(kind()) for kind in AbstractMetricLoss.__subclasses__()),
        _with_labels(Softmax()),
        EmbeddingRecipe(name="ridge", objective=RidgeObjective(), encoder=SOLVED, epochs=5, patience=0),
        _without_labels("ccassg", CCASSGObjective(), GCN(hidden=512, dropout=0.0), dim=512, epochs=50, lr=1e-3),
        _without_labels("grace", GRACEObjective(), GCN(hidden=256, dropout=0.0), dim=128, epochs=200, lr=5e-4, l2=1e-5),
        _without_labels("dgi", DGIObjective(), GCN(layers=1, hidden=512, dropout=0.0), dim=512, epochs=200, lr=1e-3),
        _without_labels(
            "bgrl",
            BGRLObjective(),
            GCN(hidden=512, dropout=0.0, norm="batch", activation="prelu"),
            dim=256,
            epochs=500,
            lr=5e-4,
            l2=1e-5,
        ),
    )
}
"""Named recipes. Of those with labels, hops, decay, width, margins and temperatures were chosen by validation MAP@R on
Cora and CiteSeer together; those without have their authors' values for Cora."""

ENCODERS = {**{name: each.model_recipe() for name, each in RECIPES.items() if not each.model.solved}, "grand": GRAND}
"""The encoders an embedding may stand on: every recipe of a classifier, its last layer as wide as the embedding."""


def embedding_recipe(
    loss: str, overrides: Mapping[str, Any] | None = None, *, model: str | None = None, level: str = "node"
) -> EmbeddingRecipe:
    """Return a named recipe with some fields replaced, over its own encoder or another.

    Args:
        loss: a name of ``EMBEDDINGS``.
        overrides: field -> value.
        model: a name of ``ENCODERS``; the recipe's own by default.
        level: "node", or "graph" for batches of whole graphs and no agreement of views: dropping nodes makes another
            graph.

    Raises:
        ValueError: for an unknown loss, encoder or field (with the nearest names), a value out of its range, and a loss
            without labels for whole graphs or over an encoder that takes anything but edges.

    Example:
        >>> embedding_recipe("supcon", model="gcn").encoder.name
        'gcn'
    """
    made = EMBEDDINGS[member("loss", loss, EMBEDDINGS)]
    if member("level", level, ("node", "graph")) == "graph":
        if not made.objective.labelled or made.objective.solved:
            raise ValueError(
                f"`loss` {loss!r} looks at views of one graph's nodes; for whole graphs take one with labels and steps."
            )
        made = dataclasses.replace(made, encoder=OF_GRAPHS, level="graph")
        made = made.merge_fields({"steps": 10, "ways": 8, "shots": 32, "views": 1, "consistency": 0.0})
    if model is not None:
        made = made.with_encoder(_encoder(made, ENCODERS[member("model", model, ENCODERS)]))
    return made.with_(fields_of("overrides", overrides))


def _encoder(made: EmbeddingRecipe, encoder: ModelRecipe) -> ModelRecipe:
    """Return the encoder a user asked for; under a loss without labels, with the sizes and rates of the loss's own."""
    if made.objective.solved:
        raise ValueError(f"`loss` {made.name!r} is solved for on {made.encoder.name!r}; leave `model` out.")
    if made.objective.labelled:
        return encoder
    model = encoder.model
    if not isinstance(model, AbstractEdgeStack):
        raise ValueError(f"`model` {encoder.name!r} prepares the graph once, but the views of {made.name!r} change it.")
    sizes = {field.name: getattr(made.encoder.model, field.name) for field in dataclasses.fields(AbstractEdgeStack)}
    return dataclasses.replace(made.encoder, name=encoder.name, model=dataclasses.replace(model, **sizes))

"""Recipes of embeddings: an encoder, an objective, and how long the one is trained for the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import InstanceOf, ValidationError
from pydantic.dataclasses import dataclass

from graphkit._checks import member, nearest
from graphkit.training.architectures import GCN, GIN
from graphkit.training.architectures.abstract import STRICT, AbstractEdgeStack, Count, Positive
from graphkit.training.architectures.propagation import Grand
from graphkit.training.arguments import fields_of
from graphkit.training.embedding.objectives import (
    AbstractObjective,
    Circle,
    Contrastive,
    MultiSimilarity,
    Prototype,
    Quadruplet,
    SupCon,
    Triplet,
)
from graphkit.training.embedding.selfsupervised import BGRL, CCASSG, DGI, GRACE
from graphkit.training.named import RECIPES
from graphkit.training.recipes import Recipe, first_fault

if TYPE_CHECKING:
    from torch import nn

ELSEWHERE = ("epochs", "patience", "select", "batch", "views", "consistency", "sharpening")
"""Fields of a classifier's recipe that an embedding's recipe has in its own way."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EmbeddingRecipe:
    """How an embedding is made, trained and selected.

    Args:
        objective: what is minimised.
        encoder: the model that embeds, and the rates it is trained at.
        name: what the objective is called on the command line and in records.
        dim: width of the embedding.
        steps: optimiser steps of an epoch.
        ways: classes of a batch; 0 takes all training items in every step.
        shots: items of each class of a batch.
        epochs: at most so many.
        patience: stop after so many epochs in a row without a better figure on the validation items; 0 never.
        select: whose weights are tested. "map": the epoch of highest MAP@R of the validation items, the labelled items
            answering; ties: the earlier epoch. "last": the last epoch.
    """

    objective: InstanceOf[AbstractObjective]
    encoder: InstanceOf[Recipe]
    name: str = "own"
    dim: Positive = 16
    steps: Positive = 5
    ways: Count = 0
    shots: Positive = 8
    epochs: Positive = 60
    patience: Count = 20
    select: Literal["map", "last"] = "map"

    @property
    def selection_rule(self) -> str:
        """Say in words whose weights are tested."""
        if self.select == "last":
            return "last epoch"
        return "epoch of highest validation MAP@R among labelled items; ties: the earlier epoch"

    def module(self, in_channels: int, graph: tuple[Any, ...] = ()) -> nn.Module:
        """Return what is trained: a freshly drawn encoder, and what the objective puts around it."""
        return self.objective.around(self.encoder.module(in_channels, self.dim, graph), self.dim)

    def as_dict(self) -> dict[str, Any]:
        """Return all fields in one flat table: what a TOML file may hold."""
        encoder = {name: value for name, value in self.encoder.as_dict().items() if name not in ELSEWHERE}
        return {"loss": self.name, **encoder, **self.objective.options(), **self._own()}

    def _own(self) -> dict[str, Any]:
        """Return the fields that every recipe of an embedding has."""
        apart = ("objective", "encoder", "name")
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in apart}

    def with_(self, overrides: Mapping[str, Any]) -> EmbeddingRecipe:
        """Return this recipe with some fields replaced, its own, its objective's or its encoder's.

        Raises:
            ValueError: for a field that does not exist, or a value out of its range.

        Example:
            >>> embedding_recipe("triplet").with_({"margin": "0.3", "hidden": 32, "dim": 8}).as_dict()["margin"]
            0.3
        """
        own, objective, encoder = {}, {}, {}
        of_encoder = [name for name in self.encoder.as_dict() if name not in (*ELSEWHERE, "model")]
        for name, value in overrides.items():
            if name in self._own():
                own[name] = value
            elif name in self.objective.options():
                objective[name] = value
            elif name in of_encoder:
                encoder[name] = value
            else:
                known = nearest(name, [*self._own(), *self.objective.options(), *of_encoder])
                raise ValueError(f"`{name}` is no field of the recipe {self.name!r}. {known}")
        try:
            return EmbeddingRecipe(
                objective=type(self.objective)(**{**self.objective.options(), **objective}),
                encoder=self.encoder.with_(encoder),
                name=self.name,
                **{**self._own(), **own},
            )
        except ValidationError as error:
            raise ValueError(first_fault(error)) from None

    def over(self, encoder: Recipe) -> EmbeddingRecipe:
        """Return this recipe over another encoder."""
        return dataclasses.replace(self, encoder=encoder)


GRAND = Recipe(name="grand", model=Grand(node_dropout=0.3), hidden=64, l2=1e-3, l2_on="all")
OF_GRAPHS = Recipe(name="gin", model=GIN(), layers=3, hidden=32, norm="batch", dropout=0.1, lr=0.005, l2=0.0)


def _without_labels(
    name: str, objective: AbstractObjective, *, dim: int, epochs: int, **encoder: Any
) -> EmbeddingRecipe:
    """Return a recipe of a loss without labels: one step an epoch on the whole graph, and the last epoch's weights."""
    fields = {"name": "gcn", "model": GCN(), "dropout": 0.0, "l2": 0.0, "l2_on": "all", **encoder}
    return EmbeddingRecipe(
        name=name,
        objective=objective,
        encoder=Recipe(**fields),
        dim=dim,
        steps=1,
        epochs=epochs,
        patience=0,
        select="last",
    )


EMBEDDINGS: dict[str, EmbeddingRecipe] = {
    made.name: made
    for made in (
        EmbeddingRecipe(name="contrastive", objective=Contrastive(), encoder=dataclasses.replace(GRAND, l2=2e-4)),
        EmbeddingRecipe(name="triplet", objective=Triplet(), encoder=GRAND),
        EmbeddingRecipe(name="quadruplet", objective=Quadruplet(), encoder=GRAND),
        EmbeddingRecipe(name="supcon", objective=SupCon(), encoder=GRAND),
        EmbeddingRecipe(name="multisimilarity", objective=MultiSimilarity(), encoder=GRAND),
        EmbeddingRecipe(name="circle", objective=Circle(), encoder=GRAND),
        EmbeddingRecipe(name="prototype", objective=Prototype(), encoder=GRAND),
        _without_labels("ccassg", CCASSG(), dim=512, epochs=50, hidden=512, lr=1e-3),
        _without_labels("grace", GRACE(), dim=128, epochs=200, hidden=256, lr=5e-4, l2=1e-5),
        _without_labels("dgi", DGI(), dim=512, epochs=200, layers=1, hidden=512, lr=1e-3),
        _without_labels(
            "bgrl", BGRL(), dim=256, epochs=500, hidden=512, norm="batch", activation="prelu", lr=5e-4, l2=1e-5
        ),
    )
}
"""Named recipes. Of those with labels, hops, decay, width, margins and temperatures were chosen by validation MAP@R on
Cora and CiteSeer together; those without have their authors' values for Cora."""

ENCODERS = {**RECIPES, "grand": GRAND}
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
        if not made.objective.labelled:
            raise ValueError(
                f"`loss` {loss!r} draws views of one graph's nodes; for whole graphs take one with labels."
            )
        made = made.over(OF_GRAPHS).with_({"steps": 10, "ways": 8, "shots": 32, "views": 1, "consistency": 0.0})
    if model is not None:
        made = made.over(_encoder(made, ENCODERS[member("model", model, ENCODERS)]))
    return made.with_(fields_of("overrides", overrides))


def _encoder(made: EmbeddingRecipe, encoder: Recipe) -> Recipe:
    """Return the encoder a user asked for; under a loss without labels, with the sizes and rates of the loss's own."""
    if made.objective.labelled:
        return encoder
    if not isinstance(encoder.model, AbstractEdgeStack):
        raise ValueError(f"`model` {encoder.name!r} prepares the graph once, but the views of {made.name!r} change it.")
    return dataclasses.replace(made.encoder, name=encoder.name, model=encoder.model)

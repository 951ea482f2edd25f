"""Encoders that are trained without labels, for few-shot methods to stand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphkit._checks import at_least
from graphkit.training.embedding.embedding_recipes import EmbeddingRecipe, embedding_recipe
from graphkit.training.engine.options import fields_of, sequence

USED = ("dim", "epochs", "lr", "l2")
"""Fields of a recipe, beside those of its model and objective, that decide something in what is trained here."""

ELSEWHERE = "an epoch is one step on the whole graph, features are the rows' own, and all weights decay"
"""Why the others do not."""


@dataclass(frozen=True)
class Encoders:
    """Encoders that are trained without labels, side by side.

    Args:
        losses: what they are trained for.
        draws: encoders of each loss, from seeds in a row.
        fields: fields of the losses' recipes, and values; "LOSS.FIELD" is of one loss only.

    Raises:
        ValueError: for a loss that needs labels, or one or a field that is not known.

    Example:
        >>> Encoders(("ccassg", "dgi"), fields={"ccassg.epochs": 20}).recipes["ccassg"].epochs
        20
    """

    losses: tuple[str, ...] = ("ccassg", "dgi")
    draws: int = 1
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sequence("losses", self.losses, str, "names of losses")
        fields_of("fields", self.fields)
        at_least("draws", self.draws, 1)
        if not self.losses or len(set(self.losses)) < len(self.losses):
            raise ValueError(f"`encoder` must name losses without labels, each once, got {list(self.losses)}.")
        for name, made in self.recipes.items():
            if made.objective.labelled:
                raise ValueError(f"`encoder` must be trained without labels, but {name!r} needs them.")
        for name in self.fields:
            loss, dot, _ = name.rpartition(".")
            if dot and loss not in self.losses:
                raise ValueError(f"`{name}` is of no encoder that is trained: {', '.join(self.losses)}.")
            idle = [self._why_idle(each, name.rpartition(".")[2]) for each in ((loss,) if dot else self.losses)]
            if all(idle):
                raise ValueError(f"`{name}` decides nothing in an encoder of few-shot learners: {idle[0]}.")

    @property
    def recipes(self) -> dict[str, EmbeddingRecipe]:
        """The recipe of each loss."""
        return {loss: embedding_recipe(loss).merge_fields(self._fields_of(loss)) for loss in self.losses}

    def _why_idle(self, loss: str, name: str) -> str | None:
        """Return why a field decides nothing in the encoder of a loss, ``None`` where it does."""
        made = self.recipes[loss]
        used = {*made.encoder.model.options(), *made.objective.options(), *USED}
        return made.unused_fields().get(name) or (None if name in used else ELSEWHERE)

    def _fields_of(self, loss: str) -> dict[str, Any]:
        """Return those of all losses, and those of this one over them."""
        common = {name: value for name, value in self.fields.items() if "." not in name}
        return common | {
            name.removeprefix(f"{loss}."): value for name, value in self.fields.items() if name.startswith(f"{loss}.")
        }

    def as_dict(self) -> dict[str, Any]:
        """Return what a record says of them."""
        return {"losses": list(self.losses), "draws": self.draws, **self.fields}


ENCODERS = Encoders()
"""One encoder of each usual loss."""

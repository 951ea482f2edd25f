"""What a loss is called with, looked at once: items, the others they are compared with, labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from graphkit._checks import embeddings, integer_labels
from graphkit.metric.relations import NOBODY, Relations

Reference: TypeAlias = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Compared:
    """Items, the others they are compared with, and the labels of both.

    Args:
        z: embeddings ``[items, features]``.
        others: embeddings ``[others, features]``, or ``None`` where the items are compared with each other.
        y: integer labels ``[items]``; all -1 where only tuples are given.
        labels: those of the others.
    """

    z: Tensor
    others: Tensor | None
    y: Tensor
    labels: Tensor

    @property
    def right(self) -> Tensor:
        """The embeddings that stand on the right of every pair."""
        return self.z if self.others is None else self.others

    @property
    def relations(self) -> Relations:
        """Which pairs are of one class and which of two."""
        return Relations(self.y, self.labels, 0 if self.others is None else NOBODY)


def compared(z: Tensor, y: Tensor | None, reference: Reference | None, *, pairs: bool) -> Compared:
    """Return who is compared with whom, or refuse arguments that do not fit.

    Args:
        z: embeddings ``[items, features]``.
        y: integer labels ``[items]``.
        reference: embeddings and labels of others.
        pairs: whether tuples are given, so that no labels are needed.
    """
    finite_embeddings("z", z)
    if y is None and not pairs:
        raise ValueError("`y` must hold the labels of the items, unless `pairs` says what to look at.")
    y = integer_labels("y", y, len(z)) if y is not None else nobody(z)
    if reference is None:
        return Compared(z, None, y, y)
    if not isinstance(reference, tuple | list) or len(reference) != 2 or (reference[1] is None and not pairs):
        raise ValueError("`reference` must be (embeddings, labels): without labels nothing is known to be of a class.")
    others, labels = reference
    finite_embeddings("reference", others)
    if others.shape[1] != z.shape[1]:
        raise ValueError(f"`reference` must have {z.shape[1]} features, as `z`, got {others.shape[1]}.")
    labels = integer_labels("reference labels", labels, len(others)) if labels is not None else nobody(others)
    return Compared(z, others, y, labels)


def nobody(z: Tensor) -> Tensor:
    """Return the labels of items of no class."""
    return torch.full((len(z),), -1, device=z.device)


def attribute(reference: Reference, number: int, attributes: int) -> Reference:
    """Return the others as one attribute labels them."""
    if not isinstance(reference, tuple | list) or len(reference) != 2 or reference[1] is None:
        raise ValueError("`reference` must be (embeddings, labels): without labels nothing is known to be of a class.")
    others, labels = reference
    if labels.dim() != 2 or labels.shape[1] != attributes:
        raise ValueError(f"`reference` labels must have shape [others, {attributes}], got {list(labels.shape)}.")
    return others[number] if others.dim() == 3 else others, labels[:, number]


def finite_embeddings(argument: str, z: Tensor) -> None:
    """Refuse what are no embeddings; numbers are not looked at inside a ``torch.func`` transform, which hides them."""
    if not under_transform():
        embeddings(argument, z)
    elif z.dim() != 2:
        raise ValueError(f"`{argument}` must have shape [items, features], got {list(z.shape)}.")


def under_transform() -> bool:
    """Tell whether a ``torch.func`` transform is under way."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def margin_of(argument: str, value: float) -> float:
    """Return a margin if it is a finite number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"`{argument}` must be a finite number of at least 0, got {value!r}.")
    return float(value)

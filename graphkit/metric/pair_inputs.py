"""Inputs of losses, miners and telemetry: embeddings, labels, a reference, masks of positive and negative pairs."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphkit._checks import class_labels, dense, embeddings, index_below, same_device, tensor
from graphkit._torch_internals import inside_transform

Reference: TypeAlias = tuple[Tensor, Tensor]
"""Embeddings ``[others, features]`` and labels ``[others]`` that items are compared with, in place of each other."""

ABSENT = -(2**40)
"""The diagonal of items that are not among the others."""


@dataclass(frozen=True, eq=False)
class PairMasks:
    """Masks of the positive and the negative pairs of items and others.

    Args:
        y: integer labels of the items ``[items]``; -1 takes no part.
        labels: those of the others ``[others]``.
        diagonal: column in which the first item meets itself, the next item's follows; ``ABSENT`` where none does.
    """

    y: Tensor
    labels: Tensor
    diagonal: int = ABSENT

    @cached_property
    def positives(self) -> Tensor:
        """Pairs of one class, an item and itself left out, a mask ``[items, others]``."""
        equal = (self.y.unsqueeze(1) == self.labels) & (self.y >= 0).unsqueeze(1)
        if self.diagonal == ABSENT:
            return equal
        columns = torch.arange(len(self.y), device=self.y.device) + self.diagonal
        return equal & (columns.unsqueeze(1) != torch.arange(len(self.labels), device=self.y.device))

    @cached_property
    def negatives(self) -> Tensor:
        """Pairs of two classes, a mask ``[items, others]``."""
        return (self.y.unsqueeze(1) != self.labels) & (self.y >= 0).unsqueeze(1) & (self.labels >= 0)

    def rows(self, start: int, stop: int) -> PairMasks:
        """Return the masks of consecutive items."""
        diagonal = self.diagonal if self.diagonal == ABSENT else self.diagonal + start
        return PairMasks(self.y[start:stop], self.labels, diagonal)


class ExplicitPairMasks(PairMasks):
    """Masks that are given, in place of what labels say."""

    def __init__(self, positives: Tensor, negatives: Tensor) -> None:
        nothing = torch.full(positives.shape[:1], -1, device=positives.device)
        super().__init__(nothing, torch.full(positives.shape[1:], -1, device=positives.device))
        self.__dict__.update(positives=positives, negatives=negatives)


@dataclass(frozen=True, eq=False)
class PairInputs:
    """Items, the others they are compared with, and the labels of both.

    Args:
        z: embeddings ``[items, features]``, in single precision or double.
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
    def masks(self) -> PairMasks:
        """The positive and the negative pairs."""
        return PairMasks(self.y, self.labels, 0 if self.others is None else ABSENT)


def pair_inputs(
    z: Tensor,
    y: Tensor | None,
    reference: Reference | None,
    *,
    distance: object,
    squared: bool = False,
    pairs: bool = False,
    names: tuple[str, str] = ("reference", "reference labels"),
) -> PairInputs:
    """Return the checked inputs of a call, or refuse arguments that do not fit; half precision is widened to single.

    Args:
        z, y, reference, distance: as a loss is given them.
        squared: whether squares of distances are taken.
        pairs: whether tuples are given, so that no labels are needed.
        names: what the others and their labels are called in the call.
    """
    check_embeddings("z", z, distance, squared=squared)
    if y is None and not pairs:
        raise ValueError("`y` must hold the labels of the items, unless `pairs` says what to look at.")
    y = unlabelled(z) if y is None else same_device("y", class_labels("y", y, len(z)), z)
    if reference is None:
        return PairInputs(at_least_float32(z), None, y, y)
    others, labels = check_reference(reference, pairs=pairs, name=names[0])
    check_embeddings(names[0], others, distance, squared=squared)
    same_device(names[0], others, z)
    if others.shape[1] != z.shape[1]:
        raise ValueError(f"`{names[0]}` must have {z.shape[1]} features, as `z`, got {others.shape[1]}.")
    if labels is None:
        labels = unlabelled(others)
    else:
        same_device(names[1], class_labels(names[1], labels, len(others)), others)
    common = torch.promote_types(at_least_float32(z).dtype, at_least_float32(others).dtype)
    return PairInputs(z.to(common), others.to(common), y, labels)


def unlabelled(z: Tensor) -> Tensor:
    """Return the labels of items without a class, -1 for each."""
    return torch.full((len(z),), -1, device=z.device)


def check_reference(reference: Reference, *, pairs: bool = False, name: str = "reference") -> Reference:
    """Return embeddings and labels of others; only where tuples are given may the labels be missing."""
    if not isinstance(reference, tuple | list) or len(reference) != 2 or (reference[1] is None and not pairs):
        raise ValueError(f"`{name}` must be (embeddings, labels): without labels nothing is known to be of a class.")
    return reference[0], reference[1]


def split_by_attribute(
    z: Tensor, y: Tensor | None, *, pairs: Any, reference: Reference | None, condition: int | None
) -> list[tuple[Tensor, Tensor, Reference | None]] | None:
    """Return items, labels and reference of each attribute that a loss is the mean over; ``None`` where y has one."""
    if dense("z", z).dim() != 3 and (y is None or dense("y", y).dim() != 2):
        if condition is not None:
            raise ValueError("`condition` needs labels of several attributes, `y` of shape [items, attributes].")
        return None
    if y is None or dense("y", y).dim() != 2 or pairs is not None or z.dim() not in (2, 3):
        raise ValueError(
            "`z` of several conditions, [attributes, items, features], or `y` of several attributes, needs labels `y` "
            "of shape [items, attributes], and no `pairs`."
        )
    attributes = y.shape[1]
    if z.dim() == 3 and z.shape[0] != attributes:
        raise ValueError(f"`z` must hold one embedding for each of the {attributes} attributes, got {z.shape[0]}.")
    numbers = range(attributes) if condition is None else [index_below("condition", condition, attributes)]
    return [
        (
            z[number] if z.dim() == 3 else z,
            y[:, number],
            None if reference is None else _reference_of_attribute(reference, number, attributes),
        )
        for number in numbers
    ]


def _reference_of_attribute(reference: Reference, number: int, attributes: int) -> Reference:
    """Return the others as one attribute labels them."""
    others, labels = check_reference(reference)
    if dense("reference labels", labels).dim() != 2 or labels.shape[1] != attributes:
        raise ValueError(f"`reference` labels must have shape [others, {attributes}], got {list(labels.shape)}.")
    return others[number] if tensor("reference", others).dim() == 3 else others, labels[:, number]


def at_least_float32(z: Tensor) -> Tensor:
    """Return embeddings in at least single precision: half has too few digits for sums over pairs."""
    return z if z.dtype in (torch.float32, torch.float64) else z.float()


def no_autocast(z: Any) -> AbstractContextManager[Any]:
    """Return a block in which products of single-precision numbers on the device of ``z`` stay in single precision."""
    device = z.device.type if isinstance(z, Tensor) else "cpu"
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return nullcontext()
    return torch.autocast(device, enabled=False)


def check_embeddings(argument: str, z: Tensor, distance: object = "cosine", *, squared: bool = False) -> None:
    """Refuse what are no embeddings, and such as are too long for sums of their distances, or squares, to be finite.

    Numbers are not looked at inside a ``torch.func`` transform, which hides them.
    """
    if in_func_transform():
        if z.dim() != 2:
            raise ValueError(f"`{argument}` must have shape [items, features], got {list(z.shape)}.")
        return
    embeddings(argument, z)
    if distance in ("euclidean", "squared", "dot"):
        power = 4 if squared and distance != "euclidean" else 2
        check_magnitude(argument, z, power, "distances", "scale it to unit length, or compare by 'cosine'")


def check_magnitude(argument: str, z: Tensor, power: int, what: str, remedy: str) -> None:
    """Refuse embeddings of which a sum of terms, each of so many factors, may not be finite; half counts as single."""
    if not z.numel():
        return
    precision = torch.float64 if z.dtype == torch.float64 else torch.float32
    largest = float(z.detach().abs().max())
    longest = (torch.finfo(precision).max / 2**40) ** (2 / power)  # room for many terms, temperatures and scales
    if largest > math.sqrt(longest / (4 * z.shape[1])):
        raise ValueError(f"`{argument}` holds {largest:.3g}, too much for {what} in {precision}; {remedy}.")


def in_func_transform() -> bool:
    """Tell whether a ``torch.func`` transform is under way."""
    return inside_transform()

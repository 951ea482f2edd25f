"""What losses, miners and telemetry are called with, looked at once: items, those they are compared with, labels."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphkit._checks import dense, embeddings, tensor
from graphkit._torch_internals import inside_transform
from graphkit.metric.arguments import class_labels, on_device, place
from graphkit.metric.relations import NOBODY, Relations

Reference: TypeAlias = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Compared:
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
    def relations(self) -> Relations:
        """Which pairs are of one class and which of two."""
        return Relations(self.y, self.labels, 0 if self.others is None else NOBODY)


def compared(
    z: Tensor,
    y: Tensor | None,
    reference: Reference | None,
    *,
    distance: object,
    squared: bool = False,
    pairs: bool = False,
    names: tuple[str, str] = ("reference", "reference labels"),
) -> Compared:
    """Return who is compared with whom, or refuse arguments that do not fit.

    Args:
        z: embeddings ``[items, features]``; half precision is widened to single.
        y: integer labels ``[items]``.
        reference: embeddings and labels of others.
        distance: by which they are compared.
        squared: whether squares of distances are taken.
        pairs: whether tuples are given, so that no labels are needed.
        names: what the others and their labels are called in the call.
    """
    finite_embeddings("z", z, distance, squared=squared)
    if y is None and not pairs:
        raise ValueError("`y` must hold the labels of the items, unless `pairs` says what to look at.")
    y = _labels("y", y, z) if y is not None else nobody(z)
    if reference is None:
        return Compared(wide(z), None, y, y)
    others, labels = labelled(reference, pairs=pairs, name=names[0])
    finite_embeddings(names[0], others, distance, squared=squared)
    on_device(names[0], others, z.device)
    if others.shape[1] != z.shape[1]:
        raise ValueError(f"`{names[0]}` must have {z.shape[1]} features, as `z`, got {others.shape[1]}.")
    labels = _labels(names[1], labels, others) if labels is not None else nobody(others)
    common = torch.promote_types(wide(z).dtype, wide(others).dtype)
    return Compared(z.to(common), others.to(common), y, labels)


def _labels(argument: str, y: Tensor, z: Tensor) -> Tensor:
    """Return the classes of embeddings if they fit these."""
    return on_device(argument, class_labels(argument, y, len(z)), z.device)


def nobody(z: Tensor) -> Tensor:
    """Return the labels of items of no class."""
    return torch.full((len(z),), -1, device=z.device)


def attribute(reference: Reference, number: int, attributes: int) -> Reference:
    """Return the others as one attribute labels them."""
    others, labels = labelled(reference)
    if dense("reference labels", labels).dim() != 2 or labels.shape[1] != attributes:
        raise ValueError(f"`reference` labels must have shape [others, {attributes}], got {list(labels.shape)}.")
    return others[number] if tensor("reference", others).dim() == 3 else others, labels[:, number]


def labelled(reference: Reference, *, pairs: bool = False, name: str = "reference") -> Reference:
    """Return embeddings and labels of others; only where tuples are given may the labels be missing."""
    if not isinstance(reference, tuple | list) or len(reference) != 2 or (reference[1] is None and not pairs):
        raise ValueError(f"`{name}` must be (embeddings, labels): without labels nothing is known to be of a class.")
    return reference[0], reference[1]


def by_condition(
    z: Tensor, y: Tensor | None, *, pairs: Any, reference: Reference | None, condition: int | None
) -> list[tuple[Tensor, Tensor, Reference | None]] | None:
    """Return what a loss of several attributes is the mean over, items, labels and others of each; else ``None``.

    Raises:
        TypeError: for items or labels that are no tensors.
        ValueError: for a condition where there is one attribute, one that does not exist, and shapes that do not fit.
    """
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
    return [
        (
            z[number] if z.dim() == 3 else z,
            y[:, number],
            None if reference is None else attribute(reference, number, attributes),
        )
        for number in (range(attributes) if condition is None else [place("condition", condition, attributes)])
    ]


def wide(z: Tensor) -> Tensor:
    """Return embeddings in at least single precision: half has too few digits for sums over pairs."""
    return z if z.dtype in (torch.float32, torch.float64) else z.float()


def without_autocast(z: Any) -> AbstractContextManager[Any]:
    """Return a block in which products of single-precision numbers on the device of ``z`` stay in single precision."""
    device = z.device.type if isinstance(z, Tensor) else "cpu"
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return nullcontext()
    return torch.autocast(device, enabled=False)


def finite_embeddings(argument: str, z: Tensor, distance: object = "cosine", *, squared: bool = False) -> None:
    """Refuse what are no embeddings, and such as are too long for sums of their distances, or squares, to be finite.

    Numbers are not looked at inside a ``torch.func`` transform, which hides them.
    """
    if under_transform():
        if z.dim() != 2:
            raise ValueError(f"`{argument}` must have shape [items, features], got {list(z.shape)}.")
        return
    embeddings(argument, z)
    if distance in ("euclidean", "squared", "dot"):
        power = 4 if squared and distance != "euclidean" else 2
        not_too_long(argument, z, power, "distances", "scale it to unit length, or compare by 'cosine'")


def not_too_long(argument: str, z: Tensor, power: int, what: str, remedy: str) -> None:
    """Refuse embeddings of which a sum of terms, each of so many factors, may not be finite; half counts as single."""
    if not z.numel():
        return
    precision = torch.float64 if z.dtype == torch.float64 else torch.float32
    largest = float(z.detach().abs().max())
    longest = (torch.finfo(precision).max / 2**40) ** (2 / power)  # room for many terms, temperatures and scales
    if largest > math.sqrt(longest / (4 * z.shape[1])):
        raise ValueError(f"`{argument}` holds {largest:.3g}, too much for {what} in {precision}; {remedy}.")


def under_transform() -> bool:
    """Tell whether a ``torch.func`` transform is under way."""
    return inside_transform()

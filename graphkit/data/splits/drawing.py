"""What the rules that draw a split share."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING

from graphkit import _checks

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch_geometric.data import Data


def integer_labels(data: Data) -> Tensor:
    """Return the labels on the CPU; those of a regression cannot be divided by class.

    Raises:
        ValueError: if labels are missing or real numbers, or there are several of an item.
    """
    require_items(data)
    if data.get("y") is None:
        raise ValueError("`y` is missing: this split goes by class.")
    y = _checks.tensor("y", data.y).cpu()
    if y.is_floating_point() or y.dim() != 1:
        raise ValueError(
            f"this split goes by class, but `y` holds {'real numbers' if y.is_floating_point() else 'several labels'} "
            f"of shape {list(y.shape)}; use a published split or give a `Split`."
        )
    return y


def require_items(data: Data) -> None:
    """Refuse what is no graph, nor the ``items`` of a set of graphs."""
    from torch_geometric.data import Data

    _checks.instance("data", data, Data, "a torch_geometric.data.Data, or the `items` of a GraphSet")


def shuffled_classes(data: Data, generator: torch.Generator | None) -> dict[int, Tensor]:
    """Return the items of each class that is there, each in random order; those without a label (-1) are in none."""
    import torch

    y = integer_labels(data)
    shuffled = torch.randperm(len(y), generator=generator)
    return {label: shuffled[y[shuffled] == label] for label in present_classes(y)}


def sizes_of(classes: Mapping[int, Sized]) -> dict[int, int]:
    """Return how many items each class has."""
    return {label: len(items) for label, items in classes.items()}


def present_classes(y: Tensor) -> list[int]:
    """Return the classes that have an item, ascending; whatever their numbers, no room is made for others.

    Raises:
        ValueError: where no item has a label.
    """
    classes = y[y >= 0].unique().tolist()
    if not classes:
        raise ValueError("`y` holds no label of 0 or above: a split needs some.")
    return classes


def seed_of(generator: torch.Generator | None) -> int | None:
    """Return the seed that gives again what ``generator`` is about to draw, or ``None`` if it has drawn before.

    Example:
        >>> import torch
        >>> generator = torch.Generator().manual_seed(3)
        >>> seed_of(generator)
        3
        >>> _ = torch.rand(1, generator=generator)
        >>> seed_of(generator) is None
        True
    """
    import torch

    _checks.optional_generator("generator", generator)
    generator = torch.default_generator if generator is None else generator
    fresh = torch.Generator(generator.device).manual_seed(generator.initial_seed())
    return generator.initial_seed() if torch.equal(fresh.get_state(), generator.get_state()) else None


def whole(argument: str, value: int, least: int = 1) -> None:
    """Refuse what is not a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"`{argument}` must be a whole number of at least {least}, got {value!r}.")


def enough(name: str, sizes: Mapping[int, int], needed: int) -> None:
    """Refuse classes of which one has fewer than ``needed`` items."""
    for label, found in sizes.items():
        if found < needed:
            raise ValueError(
                f"{name!r} needs {needed} nodes of each class, but class {label} has {found}; ask for fewer."
            )

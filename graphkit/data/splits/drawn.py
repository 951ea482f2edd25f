"""Splits drawn at random, class by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from graphkit import _checks
from graphkit.data.split import Split, SplitProtocol
from graphkit.data.splits.drawing import enough, seed_of, shuffled_classes, sizes_of, whole

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch_geometric.data import Data


@dataclass(frozen=True)
class RandomPerClass(SplitProtocol):
    """The same number of labels for every class: ``per_class`` to train on, ``val`` to select on, ``test`` to test on.

    Args:
        per_class: training nodes of each class.
        val: validation nodes of each class.
        test: test nodes of each class, or ``None`` for all that are left.

    Source: Shchur et al. (2018), arXiv:1811.05868: 20 and 30 nodes a class, the rest for the test.
    """

    per_class: int = 20
    val: int = 30
    test: int | None = None
    name: ClassVar[str] = "random-per-class"

    def __post_init__(self) -> None:
        whole("per_class", self.per_class)
        whole("val", self.val)
        if self.test is not None:
            whole("test", self.test)

    def require(self, sizes: Mapping[int, int]) -> None:
        """Refuse classes with fewer items than a class gives."""
        enough(self.name, sizes, self.per_class + self.val + (self.test or 1))

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return a split drawn with ``generator``."""
        import torch

        seed = seed_of(generator)
        first, second = self.per_class, self.per_class + self.val
        last = None if self.test is None else second + self.test
        classes = shuffled_classes(data, generator)
        self.require(sizes_of(classes))
        parts = [
            torch.cat([nodes[start:end] for nodes in classes.values()])
            for start, end in ((None, first), (first, second), (second, last))
        ]
        return self._split(data, parts, seed)


@dataclass(frozen=True)
class RandomPlanetoid(SplitProtocol):
    """A random split with the sizes of the public one: 20 training nodes a class, then 500 and 1,000 of any class.

    Args:
        per_class: training nodes of each class.
        val: validation nodes in all.
        test: test nodes in all.

    Source: ``torch_geometric.datasets.Planetoid(split="random")``, which draws from the global generator instead.
    """

    per_class: int = 20
    val: int = 500
    test: int = 1000
    name: ClassVar[str] = "random-planetoid"

    def __post_init__(self) -> None:
        for argument in ("per_class", "val", "test"):
            whole(argument, getattr(self, argument))

    def require(self, sizes: Mapping[int, int]) -> None:
        """Refuse classes with fewer items than train, and too few items for the rest."""
        enough(self.name, sizes, self.per_class)
        left = sum(sizes.values()) - self.per_class * len(sizes)
        if left < self.val + self.test:
            raise ValueError(
                f"{self.name!r} takes {self.val:,} validation and {self.test:,} test nodes, "
                f"but {left:,} are left after training; ask for fewer."
            )

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return a split drawn with ``generator``."""
        import torch

        seed = seed_of(generator)
        classes = shuffled_classes(data, generator)
        self.require(sizes_of(classes))
        rest = torch.cat([nodes[self.per_class :] for nodes in classes.values()])
        rest = rest[torch.randperm(len(rest), generator=generator)]
        train = torch.cat([nodes[: self.per_class] for nodes in classes.values()])
        parts = train, rest[: self.val], rest[self.val :][: self.test]
        return self._split(data, parts, seed)


@dataclass(frozen=True)
class Stratified(SplitProtocol):
    """The same fractions of every class, each part within one node of its fraction.

    Args:
        train: fraction to train on.
        val: fraction to select on.
        test: fraction to test on; with the other two at most 1.
    """

    train: float = 0.6
    val: float = 0.2
    test: float = 0.2
    name: ClassVar[str] = "stratified"

    def __post_init__(self) -> None:
        fractions = tuple(_checks.fraction(name, getattr(self, name)) for name in ("train", "val", "test"))
        if not (all(fraction > 0 for fraction in fractions) and sum(fractions) <= 1 + 1e-9):
            raise ValueError(f"`train`, `val` and `test` must be above 0 and at most 1 together, got {fractions}.")

    def require(self, sizes: Mapping[int, int]) -> None:
        """Refuse classes that are too small to be in each part."""
        for label, size in sizes.items():
            if np.diff(self._ends(size)).min() < 1:
                raise ValueError(
                    f"{self.name!r} needs a node of each class in each part, but class {label} has "
                    f"{size} nodes; use 'dense' or 'files', which allow a class to be missing."
                )

    def _ends(self, size: int) -> np.ndarray:
        """Return where the parts of a class of this size begin and end."""
        return np.floor(np.cumsum([0, self.train, self.val, self.test]) * size + 0.5).astype(int)

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return a split drawn with ``generator``."""
        import torch

        seed = seed_of(generator)
        parts: tuple[list[Tensor], ...] = ([], [], [])
        classes = shuffled_classes(data, generator)
        self.require(sizes_of(classes))
        for nodes in classes.values():
            ends = self._ends(len(nodes))
            for part, start, end in zip(parts, ends[:-1], ends[1:], strict=True):
                part.append(nodes[start:end])
        return self._split(data, [torch.cat(part) for part in parts], seed)

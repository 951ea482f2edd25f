"""Splits drawn at random, class by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from graphkit.data.split import Split, SplitProtocol
from graphkit.data.splits.drawing import enough, seed_of, shuffled_classes, whole

if TYPE_CHECKING:
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

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return a split drawn with ``generator``."""
        seed = seed_of(generator)
        first, second = self.per_class, self.per_class + self.val
        last = None if self.test is None else second + self.test
        classes = shuffled_classes(data, generator)
        for label, nodes in enumerate(classes):
            enough(self.name, label, nodes, second + (self.test or 1))
        parts = [
            torch.cat([nodes[start:end] for nodes in classes])
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

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return a split drawn with ``generator``."""
        seed = seed_of(generator)
        classes = shuffled_classes(data, generator)
        for label, nodes in enumerate(classes):
            enough(self.name, label, nodes, self.per_class)
        rest = torch.cat([nodes[self.per_class :] for nodes in classes])
        if len(rest) < self.val + self.test:
            raise ValueError(
                f"{self.name!r} takes {self.val:,} validation and {self.test:,} test nodes, "
                f"but {len(rest):,} are left after training; ask for fewer."
            )
        rest = rest[torch.randperm(len(rest), generator=generator)]
        train = torch.cat([nodes[: self.per_class] for nodes in classes])
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
        fractions = (self.train, self.val, self.test)
        if not (all(fraction > 0 for fraction in fractions) and sum(fractions) <= 1 + 1e-9):
            raise ValueError(f"the fractions must be above 0 and at most 1 together, got {fractions}.")

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return a split drawn with ``generator``."""
        seed = seed_of(generator)
        parts: tuple[list[Tensor], ...] = ([], [], [])
        for label, nodes in enumerate(shuffled_classes(data, generator)):
            ends = np.floor(np.cumsum([0, self.train, self.val, self.test]) * len(nodes) + 0.5).astype(int)
            if len(nodes) and np.diff(ends).min() < 1:
                raise ValueError(
                    f"{self.name!r} needs a node of each class in each part, but class {label} has "
                    f"{len(nodes)} nodes; use 'dense' or 'files', which allow a class to be missing."
                )
            for part, start, end in zip(parts, ends[:-1], ends[1:], strict=True):
                part.append(nodes[start:end])
        return self._split(data, [torch.cat(part) for part in parts], seed)

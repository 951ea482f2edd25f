"""Splits drawn at random, class by class."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from graphkit import _checks
from graphkit.data.splits.split import (
    Split,
    SplitProtocol,
    generator_seed,
    integer_labels,
    present_classes,
    require_class_sizes,
    require_fractions,
    require_integer,
    require_items,
    shuffled_classes,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch_geometric.data import Data


class AbstractClassSplit(SplitProtocol):
    """A split that divides the items of each class, in random order."""

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return a split drawn with ``generator``."""
        seed = generator_seed(generator)
        classes = shuffled_classes(data, generator)
        self.require({label: len(items) for label, items in classes.items()})
        return self._split(data, self._parts(list(classes.values()), generator), seed)

    @abstractmethod
    def _parts(self, classes: Sequence[Tensor], generator: torch.Generator | None) -> Sequence[Tensor]:
        """Return the items to train on, to select on and to test on."""


@dataclass(frozen=True)
class RandomPerClass(AbstractClassSplit):
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
        require_integer("per_class", self.per_class)
        require_integer("val", self.val)
        if self.test is not None:
            require_integer("test", self.test)

    def require(self, sizes: Mapping[int, int]) -> None:
        """Refuse classes with fewer items than a class gives."""
        require_class_sizes(self.name, sizes, self.per_class + self.val + (self.test or 1))

    def _parts(self, classes: Sequence[Tensor], generator: torch.Generator | None) -> Sequence[Tensor]:
        import torch

        first, second = self.per_class, self.per_class + self.val
        last = None if self.test is None else second + self.test
        cuts = (None, first), (first, second), (second, last)
        return [torch.cat([nodes[start:end] for nodes in classes]) for start, end in cuts]


@dataclass(frozen=True)
class RandomPlanetoid(AbstractClassSplit):
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
            require_integer(argument, getattr(self, argument))

    def require(self, sizes: Mapping[int, int]) -> None:
        """Refuse classes with fewer items than train, and too few items for the rest."""
        require_class_sizes(self.name, sizes, self.per_class)
        left = sum(sizes.values()) - self.per_class * len(sizes)
        if left < self.val + self.test:
            raise ValueError(
                f"{self.name!r} takes {self.val:,} validation and {self.test:,} test nodes, "
                f"but {left:,} are left after training; ask for fewer."
            )

    def _parts(self, classes: Sequence[Tensor], generator: torch.Generator | None) -> Sequence[Tensor]:
        import torch

        rest = torch.cat([nodes[self.per_class :] for nodes in classes])
        rest = rest[torch.randperm(len(rest), generator=generator)]
        train = torch.cat([nodes[: self.per_class] for nodes in classes])
        return train, rest[: self.val], rest[self.val :][: self.test]


@dataclass(frozen=True)
class Stratified(AbstractClassSplit):
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
        require_fractions(self.train, self.val, self.test)

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

    def _parts(self, classes: Sequence[Tensor], generator: torch.Generator | None) -> Sequence[Tensor]:
        import torch

        ends = [self._ends(len(nodes)) for nodes in classes]
        return [
            torch.cat([nodes[of[part] : of[part + 1]] for nodes, of in zip(classes, ends, strict=True)])
            for part in range(3)
        ]


DENSE_SEEDS = (
    1941488137,
    4198936517,
    983997847,
    4023022221,
    4019585660,
    2108550661,
    1648766618,
    629014539,
    3212139042,
    2424918363,
)
"""The ten seeds with which BernNet and ChebNetII draw their dense splits."""


@dataclass(frozen=True)
class Dense(SplitProtocol):
    """The "60/20/20" split of the spectral papers, which is not one.

    It takes round(``train`` x nodes / classes) nodes *of every class* to train on, all of a class that has fewer, then
    round(``val`` x nodes) of the rest to select on, and tests on what is left. Small classes are used up by training:
    on Cora two of seven classes have no test node. For a split with the same fractions of each class see
    ``Stratified``.

    Args:
        train: times nodes / classes is what every class gives; with uneven classes fewer nodes than this fraction of
            all are trained on (448 of 1,005 in classes of 700, 205 and 100, each of which gives 201 or all).
        val: fraction of the nodes.
        seed: draw with NumPy's ``RandomState(seed)`` in the order of the public code; with ``DENSE_SEEDS`` these are
            the papers' own ten splits. Without it the generator draws a seed; either is the one that is recorded.

    Source: the public code of ChebNetII (github.com/ivam-he/ChebNetII at f1bbec2be3), ``main/utils.py`` and
    ``main/training.py``.
    """

    train: float = 0.6
    val: float = 0.2
    seed: int | None = None
    name: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        train, val = (_checks.number(name, getattr(self, name)) for name in ("train", "val"))
        if not (train > 0 and val > 0 and train + val < 1):
            raise ValueError(
                f"`train` and `val` must be above 0 and below 1 together, got {self.train} and {self.val}."
            )
        if self.seed is not None:
            require_integer("seed", self.seed, least=0)
            if self.seed >= 2**32:
                raise ValueError(f"`seed` must be below 2**32, as NumPy's RandomState wants it, got {self.seed}.")

    def require(self, sizes: Mapping[int, int]) -> None:
        """Refuse classes that are used up by training."""
        labelled, per_class = sum(sizes.values()), self.per_class(sizes)
        rest, many = labelled - sum(min(size, per_class) for size in sizes.values()), round(self.val * labelled)
        if rest <= many:
            raise ValueError(f"{self.name!r} leaves {rest:,} nodes after training, too few for {many:,} and a test.")

    def per_class(self, sizes: Mapping[int, int]) -> int:
        """Return how many nodes of a class are trained on, given how many each has.

        Example:
            >>> Dense().per_class({0: 700, 1: 205, 2: 100})
            201
        """
        return round(self.train * sum(sizes.values()) / len(sizes))

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return a split drawn with ``generator``, or with ``seed`` where that is given."""
        import torch

        _checks.optional_generator("generator", generator)
        seed = self.seed
        if seed is None:
            seed = int(torch.randint(2**32, (), generator=generator))
        state = np.random.RandomState(seed)
        labels = integer_labels(data)
        y, classes = labels.numpy(), {label: int((labels == label).sum()) for label in present_classes(labels)}
        labelled, per_class = np.flatnonzero(y >= 0), self.per_class(classes)
        self.require(classes)
        # The public code draws nothing for a class it takes whole: the order of draws is part of the split.
        chosen = [
            nodes if len(nodes) < per_class else state.choice(nodes, per_class, replace=False)
            for nodes in (np.flatnonzero(y == label) for label in classes)
        ]
        train = np.concatenate(chosen)
        rest = np.setdiff1d(labelled, train)
        val = state.choice(rest, round(self.val * len(labelled)), replace=False)
        test = np.setdiff1d(rest, val)
        parts = [torch.from_numpy(nodes) for nodes in (train, val, test)]
        rule = (
            f"trains on {per_class:,} nodes of every class (round({self.train} nodes / classes)), all of a smaller one"
        )
        return dataclasses.replace(self._split(data, parts, seed), rule=rule)


@dataclass(frozen=True)
class RandomSplit(SplitProtocol):
    """Random shares of all items with a label, whatever the labels are: rare classes, numbers, several tasks.

    Classes are spread over the parts as evenly as they allow: the first item of each, in a random order, is trained on,
    and of the others every so many-th selects or tests. A class of one item is trained on only; nothing is refused but
    fewer than three items.

    Args:
        train: share to train on.
        val: share to select on, one item at least.
        test: share to test on, one item at least; with the other two at most 1.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> split = RandomSplit()(Data(y=torch.tensor([0] * 8 + [1])), torch.Generator().manual_seed(0))
        >>> int(split.train.sum()), int(split.val.sum()), int(split.test.sum()), bool(split.train[8])
        (5, 2, 2, True)
    """

    train: float = 0.6
    val: float = 0.2
    test: float = 0.2
    name: ClassVar[str] = "random"

    def __post_init__(self) -> None:
        require_fractions(self.train, self.val, self.test)

    def require(self, sizes: Mapping[int, int]) -> None:
        """Refuse fewer items than parts."""
        if (many := sum(sizes.values())) < 3:
            raise ValueError(f"{self.name!r} needs 3 items with a label, one for each part, but there are {many}.")

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return a split drawn with ``generator``."""
        import torch

        seed = generator_seed(generator)
        groups = labelled_groups(data, generator)
        self.require({label: len(items) for label, items in groups.items()})
        firsts = torch.cat([items[:1] for items in groups.values()])
        others = torch.cat([items[1:] for items in groups.values()])
        many = len(firsts) + len(others)
        val, test = (max(1, round(share * many)) for share in (self.val, self.test))
        if len(others) < 2:  # all classes have one item, or all but one: some of them cannot be trained on
            firsts = firsts[torch.randperm(len(firsts), generator=generator)]
            others, firsts = torch.cat([others, firsts[: 2 - len(others)]]), firsts[2 - len(others) :]
        if val + test > len(others):
            val = min(max(1, round(len(others) * val / (val + test))), len(others) - 1)
            test = len(others) - val
        held = _every(len(others), val + test)
        selects = _every(val + test, val)
        places = held.nonzero().flatten()
        train = torch.cat([firsts, others[~held]])
        if self.train + self.val + self.test < 1 - 1e-9:
            more = max(0, round(self.train * many) - len(firsts))
            free = others[~held]
            train = torch.cat([firsts, free[_every(len(free), min(more, len(free)))]])
        return self._split(data, [train, others[places[selects]], others[places[~selects]]], seed)


def labelled_groups(data: Data, generator: torch.Generator | None) -> dict[int, Tensor]:
    """Return the items of each class in random order; labels that are no classes are one group of all that have any."""
    import torch

    require_items(data)
    y = data.get("y")
    if y is None:
        raise ValueError("`y` is missing: a split is of items with labels.")
    y = _checks.tensor("y", y).cpu()
    if y.dim() == 1 and not y.is_floating_point():
        return shuffled_classes(data, generator)
    there = ~y.isnan() if y.is_floating_point() else y >= 0
    there = there.reshape(len(y), -1).any(1)
    shuffled = torch.randperm(len(y), generator=generator)
    return {0: shuffled[there[shuffled]]}


def _every(items: int, chosen: int) -> Tensor:
    """Return a mask ``[items]`` of so many chosen ones at even distances."""
    import torch

    mask = torch.zeros(items, dtype=torch.bool)
    mask[(torch.arange(chosen) * 2 + 1) * items // max(2 * chosen, 1)] = True
    return mask

"""Splits: the protocols that say which nodes a model learns from, is chosen on, and is measured on.

A protocol is a small frozen object called with a graph and a generator; what it gives is a ``Split``. The same
generator state gives the same split, and its ``fingerprint`` names it in every result.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from graphkit import _checks
from graphkit.data.split import Split, SplitProtocol

if TYPE_CHECKING:
    from torch_geometric.data import Data

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
class Public(SplitProtocol):
    """The one split a data set was published with."""

    name: ClassVar[str] = "public"

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return the masks the data set came with; ``generator`` is not used."""
        if "train_mask" not in data or ("protocol" in data and data.protocol["split"] != self.name):
            raise ValueError(f"this data set has no public split{_published(data)}.")
        return Split(data.train_mask, data.val_mask, data.test_mask, protocol=self.name)


@dataclass(frozen=True)
class FileMasks(SplitProtocol):
    """One of the several splits a data set was published with, such as the ten of Geom-GCN.

    Args:
        index: which, from 0.
    """

    index: int = 0
    name: ClassVar[str] = "files"

    def __post_init__(self) -> None:
        _whole("index", self.index, least=0)

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return the masks of the file; ``generator`` is not used."""
        if "train_masks" not in data:
            raise ValueError(f"this data set has no files of masks{_published(data)}.")
        many = data.train_masks.size(1)
        if not 0 <= self.index < many:
            raise ValueError(f"`index` must lie in 0 to {many - 1}, the splits of this data set, got {self.index}.")
        train, val, test = (data[part][:, self.index].clone() for part in ("train_masks", "val_masks", "test_masks"))
        return Split(train, val, test, self.name, self.parameters)


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
        _whole("per_class", self.per_class)
        _whole("val", self.val)
        if self.test is not None:
            _whole("test", self.test)

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return a split drawn with ``generator``."""
        first, second = self.per_class, self.per_class + self.val
        last = None if self.test is None else second + self.test
        classes = _shuffled_classes(data, generator)
        for label, nodes in enumerate(classes):
            _enough(self.name, label, nodes, second + (self.test or 1))
        parts = [
            torch.cat([nodes[start:end] for nodes in classes])
            for start, end in ((None, first), (first, second), (second, last))
        ]
        return self._split(data, parts, _seed(generator))


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
            _whole(argument, getattr(self, argument))

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return a split drawn with ``generator``."""
        classes = _shuffled_classes(data, generator)
        for label, nodes in enumerate(classes):
            _enough(self.name, label, nodes, self.per_class)
        rest = torch.cat([nodes[self.per_class :] for nodes in classes])
        if len(rest) < self.val + self.test:
            raise ValueError(
                f"{self.name!r} takes {self.val:,} validation and {self.test:,} test nodes, "
                f"but {len(rest):,} are left after training; ask for fewer."
            )
        rest = rest[torch.randperm(len(rest), generator=generator)]
        train = torch.cat([nodes[: self.per_class] for nodes in classes])
        parts = train, rest[: self.val], rest[self.val :][: self.test]
        return self._split(data, parts, _seed(generator))


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
        parts: tuple[list[Tensor], ...] = ([], [], [])
        for label, nodes in enumerate(_shuffled_classes(data, generator)):
            ends = np.floor(np.cumsum([0, self.train, self.val, self.test]) * len(nodes) + 0.5).astype(int)
            if len(nodes) and np.diff(ends).min() < 1:
                raise ValueError(
                    f"{self.name!r} needs a node of each class in each part, but class {label} has "
                    f"{len(nodes)} nodes; use 'dense' or 'files', which allow a class to be missing."
                )
            for part, start, end in zip(parts, ends[:-1], ends[1:], strict=True):
                part.append(nodes[start:end])
        return self._split(data, [torch.cat(part) for part in parts], _seed(generator))


@dataclass(frozen=True)
class Dense(SplitProtocol):
    """The "60/20/20" split of the spectral papers, which is not one.

    It takes round(``train`` x nodes / classes) nodes *of every class* to train on, all of a class that has fewer, then
    round(``val`` x nodes) of the rest to select on, and tests on what is left. Small classes are used up by training:
    on Cora two of seven classes have no test node. For a split with the same fractions of each class see
    ``Stratified``.

    Args:
        train: fraction of the nodes.
        val: fraction of the nodes.
        seed: draw with NumPy's ``RandomState(seed)`` in the order of the public code instead of with the generator;
            with ``DENSE_SEEDS`` these are the papers' own ten splits.

    Source: the public code of ChebNetII (github.com/ivam-he/ChebNetII at f1bbec2be3), ``main/utils.py`` and
    ``main/training.py``.
    """

    train: float = 0.6
    val: float = 0.2
    seed: int | None = None
    name: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        if not (self.train > 0 and self.val > 0 and self.train + self.val < 1):
            raise ValueError(
                f"`train` and `val` must be above 0 and below 1 together, got {self.train} and {self.val}."
            )
        if self.seed is not None:
            _whole("seed", self.seed, least=0)
            if self.seed >= 2**32:
                raise ValueError(f"`seed` must be below 2**32, as NumPy's RandomState wants it, got {self.seed}.")

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return a split drawn with ``generator``, or with ``seed`` where that is given."""
        seed = self.seed
        if seed is None:
            seed = int(torch.randint(2**32, (), generator=generator))
        state = np.random.RandomState(seed)
        y = data.y.cpu().numpy()
        classes = int(y.max()) + 1
        per_class = round(self.train * len(y) / classes)
        # The public code draws nothing for a class it takes whole: the order of draws is part of the split.
        chosen = [
            nodes if len(nodes) < per_class else state.choice(nodes, per_class, replace=False)
            for nodes in (np.flatnonzero(y == label) for label in range(classes))
        ]
        train = np.concatenate(chosen)
        rest = np.setdiff1d(np.arange(len(y)), train)
        many = round(self.val * len(y))
        if len(rest) <= many:
            raise ValueError(
                f"{self.name!r} leaves {len(rest):,} nodes after training, too few for {many:,} and a test."
            )
        val = state.choice(rest, many, replace=False)
        test = np.setdiff1d(rest, val)
        parts = [torch.from_numpy(nodes) for nodes in (train, val, test)]
        return self._split(data, parts, _seed(generator) if self.seed is None else self.seed)


PROTOCOLS: dict[str, type[SplitProtocol]] = {
    protocol.name: protocol for protocol in (Public, FileMasks, RandomPerClass, RandomPlanetoid, Stratified, Dense)
}


def split_from_name(text: str) -> SplitProtocol:
    """Return the protocol that ``text`` names, such as ``"dense"``, ``"files:3"`` or ``"stratified:0.5,0.25,0.25"``.

    What follows the colon are the fields of the protocol in their order.

    Raises:
        ValueError: if there is no such protocol (the nearest names are suggested) or the fields do not fit it.

    Example:
        >>> split_from_name("random-per-class:5")
        RandomPerClass(per_class=5, val=30, test=None)
        >>> str(split_from_name("files:3"))
        'files:3'
    """
    name, _, given = text.partition(":")
    protocol = PROTOCOLS[_checks.member("split", name, PROTOCOLS)]
    fields = [field.name for field in dataclasses.fields(protocol)]
    values = given.split(",") if given else []
    form = f"{name}:{','.join(fields)}" if fields else name
    if len(values) > len(fields):
        raise ValueError(f"`split` {text!r} has {len(values)} values, but its form is {form!r}.")
    try:
        numbers = [float(value) if "." in value else int(value) for value in values]
    except ValueError:
        raise ValueError(f"`split` {text!r} must have numbers after the colon; its form is {form!r}.") from None
    return protocol(*numbers)


def _shuffled_classes(data: Data, generator: torch.Generator | None) -> list[Tensor]:
    """Return the nodes of each class, each class in random order."""
    y = data.y.cpu()
    shuffled = torch.randperm(len(y), generator=generator)
    return [shuffled[y[shuffled] == label] for label in range(int(y.max()) + 1)]


def _seed(generator: torch.Generator | None) -> int:
    return torch.initial_seed() if generator is None else generator.initial_seed()


def _whole(argument: str, value: int, least: int = 1) -> None:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"`{argument}` must be a whole number of at least {least}, got {value!r}.")


def _enough(name: str, label: int, nodes: Tensor, needed: int) -> None:
    found = len(nodes)
    if found < needed:
        raise ValueError(f"{name!r} needs {needed} nodes of each class, but class {label} has {found}; ask for fewer.")


def _published(data: Data) -> str:
    return f"; its card lists {', '.join(data.card.splits) or 'none'}" if "card" in data else ""

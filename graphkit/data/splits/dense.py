"""The split of the spectral papers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from graphkit import _checks
from graphkit.data.split import Split, SplitProtocol
from graphkit.data.splits.drawing import integer_labels, present_classes, whole

if TYPE_CHECKING:
    import torch
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
            whole("seed", self.seed, least=0)
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

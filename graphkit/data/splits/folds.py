"""Folds: each item is tested once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from graphkit import _checks
from graphkit.data.splits.split import Split, SplitProtocol, generator_seed, integer_labels, require_integer

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch_geometric.data import Data


def stratified_folds(y: Tensor, folds: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Return a fold for each item, from 0, such that folds differ by one at most, in size and in each class.

    Args:
        y: classes ``[items]``; an item with -1 is in no fold, and gets -1.
        folds: how many.
        generator: draws which of a class goes where.

    Example:
        >>> import torch
        >>> stratified_folds(torch.tensor([0, 0, 1, 1, -1]), 2, generator=torch.Generator().manual_seed(0)).tolist()
        [0, 1, 1, 0, -1]
    """
    import torch

    order = torch.randperm(len(y), generator=generator)
    order = order[y[order].argsort(stable=True)]
    order = order[y[order] >= 0]
    fold = torch.full_like(y, -1)
    fold[order] = torch.arange(len(order)) % folds
    return fold


@dataclass(frozen=True)
class Folds(SplitProtocol):
    """One of several stratified folds: its items are tested, a share of the others selects, the rest trains.

    The folds of one seed are disjoint and cover all items with a label; so ``fold = 0, 1, ...`` with the same seed
    tests every item once.

    Args:
        folds: number of folds, at least 2.
        fold: which is tested, from 0.
        val: share of the others to select on, with the same share of every class within one item.
    """

    folds: int = 10
    fold: int = 0
    val: float = 0.1
    name: ClassVar[str] = "folds"

    def __post_init__(self) -> None:
        require_integer("folds", self.folds, least=2)
        require_integer("fold", self.fold, least=0)
        if self.fold >= self.folds:
            raise ValueError(f"`fold` must lie in 0 to {self.folds - 1}, got {self.fold}.")
        _require_share(self.val)

    def require(self, sizes: Mapping[int, int]) -> None:
        """Refuse fewer items than folds."""
        _require_fold_sizes(sum(sizes.values()), self.folds)

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return the split of this fold; ``generator`` draws the folds, then what selects."""
        import torch

        seed = generator_seed(generator)
        y = integer_labels(data)
        fold = _draw_folds(y, self.folds, generator)
        # What selects is drawn with a seed for each fold: fold 3 is the same whether 0 to 2 were asked for or not.
        seeds = torch.randint(2**31, (self.folds,), generator=generator)
        others = torch.where(fold == self.fold, -1, y)
        val = _hold_out_mask(others, self.val, torch.Generator().manual_seed(int(seeds[self.fold])))
        parts = (others >= 0) & ~val, val, fold == self.fold
        return self._split(data, [part.nonzero().flatten() for part in parts], seed)

    def of_seed(self, data: Data, seed: int) -> Split:
        """Return the fold of this number, of folds drawn once: as many seeds as folds test every item once."""
        import torch

        return dataclasses.replace(self, fold=seed)(data, torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class NestedFold:
    """One fold of a nested cross-validation.

    Args:
        outer: trains a chosen configuration, ``val`` to stop it, and tests it once.
        inner: choose the configuration: each divides the items that ``outer`` does not test into ``train`` and
            ``val``, and has an empty ``test``, so that no choice can look at it.
    """

    outer: Split
    inner: tuple[Split, ...]


@dataclass(frozen=True)
class NestedFolds:
    """Nested stratified cross-validation: the folds of the outer loop test, those of the inner loop choose.

    The protocol of a fair comparison: for every outer fold each configuration is judged by its mean over the inner
    splits, the best one is trained anew on the outer training part (stopped by its ``val``), and tested. With
    ``inner=1`` the inner loop is a single hold-out of the share ``val``.

    Args:
        folds: outer folds, at least 2.
        inner: inner folds, or 1 for a hold-out.
        val: share that selects or stops where there is no inner fold for it.

    Source: the protocol of Errica et al., as the project's targets name it (10 outer folds, ``inner=1``).

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> data = Data(y=torch.arange(40) % 2)
        >>> nested = NestedFolds(folds=4, inner=3).splits(data, torch.Generator().manual_seed(0))
        >>> [(int(fold.outer.test.sum()), len(fold.inner), int(fold.inner[0].test.sum())) for fold in nested][0]
        (10, 3, 0)
    """

    folds: int = 10
    inner: int = 1
    val: float = 0.1

    def __post_init__(self) -> None:
        require_integer("folds", self.folds, least=2)
        require_integer("inner", self.inner)
        _require_share(self.val)

    def splits(self, data: Data, generator: torch.Generator | None = None) -> list[NestedFold]:
        """Return the folds, drawn with ``generator``.

        Args:
            data: has ``y [items]``; for a set of graphs its ``items``.
            generator: draws all folds, the inner ones with seeds it draws for each outer one.

        Raises:
            ValueError: if there are fewer items with a label than folds, or labels are no classes.
        """
        import torch

        seed = generator_seed(generator)
        y = integer_labels(data)
        fold = _draw_folds(y, self.folds, generator)
        seeds = torch.randint(2**31, (self.folds,), generator=generator).tolist()
        return list(self._iterate(y, fold, seeds, seed))

    def fingerprint(self, nested: list[NestedFold]) -> str:
        """Return the sha256 over all masks of all folds, outer and inner."""
        from graphkit.data.fingerprint import tensors_sha256

        masks: dict[str, Tensor] = {}
        for number, fold in enumerate(nested):
            for inside, split in enumerate((fold.outer, *fold.inner)):
                masks |= {f"{number:04d}.{inside:04d}.{name}": mask for name, mask in split.masks.items()}
        return tensors_sha256(masks)

    def _iterate(self, y: Tensor, fold: Tensor, seeds: list[int], seed: int | None) -> Iterator[NestedFold]:
        import torch

        none = torch.zeros_like(y, dtype=torch.bool)
        about = {"folds": self.folds, "inner": self.inner, "val": self.val, "seed": seed}
        for number in range(self.folds):
            generator = torch.Generator().manual_seed(seeds[number])
            test = fold == number
            others = torch.where(test, -1, y)
            val = _hold_out_mask(others, self.val, generator)
            outer = Split((others >= 0) & ~val, val, test, "nested-folds", {**about, "fold": number})
            if self.inner == 1:
                chosen = [_hold_out_mask(others, self.val, generator)]
            else:
                within = _draw_folds(others, self.inner, generator)
                chosen = [within == part for part in range(self.inner)]
            inner = tuple(
                Split((others >= 0) & ~select, select, none, "nested-folds", {**about, "fold": number, "inside": part})
                for part, select in enumerate(chosen)
            )
            yield NestedFold(outer, inner)


def _draw_folds(y: Tensor, folds: int, generator: torch.Generator | None) -> Tensor:
    _require_fold_sizes(int((y >= 0).sum()), folds)
    return stratified_folds(y, folds, generator=generator)


def _require_fold_sizes(labelled: int, folds: int) -> None:
    if labelled < folds:
        raise ValueError(f"`folds` must be at most {labelled:,}, the number of items with a label, got {folds}.")


def _hold_out_mask(y: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return a mask of ``share`` of the items with a label, of every class its share within one item."""
    import torch

    order = torch.randperm(len(y), generator=generator)
    order = order[y[order].argsort(stable=True)]
    order = order[y[order] >= 0]
    # Items stand class by class; taking them at even distances takes the same share of each class.
    steps = np.floor(np.arange(len(order) + 1) * share + 0.5)
    mask = torch.zeros_like(y, dtype=torch.bool)
    mask[order[torch.from_numpy(np.diff(steps) > 0)]] = True
    if not 0 < int(mask.sum()) < len(order):
        raise ValueError(f"`val` of {share} leaves no item to select on, or none to train on, of {len(order):,}.")
    return mask


def _require_share(val: float) -> None:
    if not 0 < _checks.fraction("val", val) < 1:
        raise ValueError(f"`val` must lie between 0 and 1, got {val!r}.")

"""Splits that a data set was published with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from graphkit.data.splits.split import Split, SplitProtocol, require_integer, require_items

if TYPE_CHECKING:
    import torch
    from torch_geometric.data import Data


@dataclass(frozen=True)
class Public(SplitProtocol):
    """The one split a data set was published with."""

    name: ClassVar[str] = "public"

    def require(self, sizes: Mapping[int, int]) -> None:
        """Refuse nothing: the masks are those that were published."""

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return the masks the data set came with; ``generator`` is not used."""
        require_items(data)
        if "train_mask" not in data or ("protocol" in data and data.protocol["split"] != self.name):
            raise ValueError(f"this data set has no public split{_splits_hint(data)}.")
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
        require_integer("index", self.index, least=0)

    def require(self, sizes: Mapping[int, int]) -> None:
        """Refuse nothing: the masks are those that were published."""

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Split:
        """Return the masks of the file; ``generator`` is not used."""
        require_items(data)
        if "train_masks" not in data:
            raise ValueError(f"this data set has no files of masks{_splits_hint(data)}.")
        many = data.train_masks.size(1)
        if not 0 <= self.index < many:
            raise ValueError(f"`index` must lie in 0 to {many - 1}, the splits of this data set, got {self.index}.")
        train, val, test = (data[part][:, self.index].clone() for part in ("train_masks", "val_masks", "test_masks"))
        return Split(train, val, test, self.name, self.parameters)

    def of_seed(self, data: Data, seed: int) -> Split:
        """Return the split of this number in the files."""
        return FileMasks(seed)(data)


def _splits_hint(data: Data) -> str:
    if "card" in data and data.card.splits:
        return f"; its card lists {', '.join(data.card.splits)}"
    return "; draw one, such as 'random-per-class:20'"

"""Data sets that come with a dependency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class EmbeddedSource:
    """A data set that comes with a dependency: no file, no download."""

    build: Callable[[], Data]
    plain: bool = True

    def read(self, root: Path) -> Data:
        """Return the graph; ``root`` is not used."""
        return self.build()

    def download(self, root: Path) -> None:
        """Do nothing: there is nothing to download."""


def karate_graph() -> Data:
    """Return Zachary's karate club as PyG has it: the first member of each community is its training node."""
    from torch_geometric.datasets import KarateClub

    data = KarateClub()[0]
    data.val_mask = torch.zeros_like(data.train_mask)
    data.test_mask = ~data.train_mask
    return data

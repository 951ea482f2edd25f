"""Data sets that are drawn where they are asked for: nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graphkit.data.sources.ogb import OGBNodeSource
from graphkit.data.storage import stored
from graphkit.data.synthetic import Synthetic, synthesize, synthesize_ogb

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class SyntheticSource:
    """A synthetic graph in OGB's raw files, read as OGB's are.

    Args:
        name: after ``ogbn_``, the folder of its files.
        how: sizes, laws and seed.
        plain: as for every source.
    """

    name: str
    how: Synthetic
    plain: bool = True

    def read(self, root: Path) -> Data:
        """Return the graph."""
        return OGBNodeSource(self.name, split="random", both_ways=True).read(root)

    def download(self, root: Path) -> None:
        """Draw it."""
        synthesize_ogb(root / f"ogb/ogbn_{self.name}", self.how)


@dataclass(frozen=True)
class StoredSource:
    """A synthetic graph that is too large for text and for a copy in memory; it is looked at where it lies.

    Args:
        name: of the folder of its files.
        how: sizes, laws and seed.
        plain: as for every source.
    """

    name: str
    how: Synthetic
    plain: bool = True

    def read(self, root: Path, *, verify: bool = False) -> Data:
        """Return the graph, its files' lengths compared with those written, and their checksums if asked for."""
        return stored(root / "synthetic" / self.name, verify=verify)

    def download(self, root: Path) -> None:
        """Draw it."""
        synthesize(root / "synthetic" / self.name, self.how, name=self.name)

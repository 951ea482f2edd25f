"""A source: what reads a data set's files, and brings them where they are missing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch_geometric.data import Data, HeteroData

    from graphkit.data.graphset import GraphSet


class Source(ABC):
    """Reads a data set below a root laid out as its card says, and downloads what the card lists."""

    pickle_free: ClassVar[bool] = True
    """Whether reading never unpickles, so that a file may be opened before it is known to be the right one."""

    @abstractmethod
    def read(self, root: Path) -> Data | HeteroData | GraphSet:
        """Return the graph, or the set of graphs, with ``x``, ``edge_index``, ``y`` and its published masks.

        Masks of one split are ``train_mask``, ``val_mask`` and ``test_mask`` of shape ``[nodes]``; masks of several
        are ``train_masks``, ``val_masks`` and ``test_masks`` of shape ``[nodes, splits]``.
        """

    @abstractmethod
    def download(self, root: Path) -> None:
        """Download every file of the card below ``root``."""

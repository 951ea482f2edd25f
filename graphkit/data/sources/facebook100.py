"""Friendships at American universities, with what the members said of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from graphkit.data.sources.pyg import PyGSource

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class Facebook100Source:
    """A network that PyG's ``LINKXDataset`` reads, with all seven attributes beside PyG's form of them."""

    name: str
    plain: bool = True

    def read(self, root: Path) -> Data:
        """Return PyG's graph and ``attributes [nodes, 7]``: the codes of the file, -1 where it has 0, not given."""
        from scipy.io import loadmat

        data = self._pyg.read(root)
        codes = loadmat(root / "linkx" / self.name / "raw" / "data.mat")["local_info"].astype(np.int64)
        data.x = data.x.float()
        data.attributes = torch.from_numpy(np.where(codes == 0, -1, codes))
        return data

    def download(self, root: Path) -> None:
        """Let PyG download."""
        self._pyg.download(root)

    @property
    def _pyg(self) -> PyGSource:
        return PyGSource("LINKXDataset", "linkx", self.name)

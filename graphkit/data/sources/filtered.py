"""Chameleon and Squirrel without their duplicate nodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from graphkit.data.sources.source import PARTS

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class FilteredSource:
    """Chameleon or Squirrel without duplicate nodes; PyG has no class for these files."""

    name: str
    plain: bool = True

    def read(self, root: Path) -> Data:
        """Return the graph; each edge stands once in the file and twice in ``edge_index``."""
        from torch_geometric.data import Data
        from torch_geometric.utils import to_undirected

        with np.load(root / self._path, allow_pickle=False) as file:
            x = torch.from_numpy(file["node_features"])
            edge_index = to_undirected(torch.from_numpy(file["edges"]).t(), num_nodes=x.size(0))
            data = Data(x=x, edge_index=edge_index.contiguous(), y=torch.from_numpy(file["node_labels"]))
            for part in PARTS:
                data[f"{part}s"] = torch.from_numpy(file[f"{part}s"]).t().contiguous()
        return data

    def download(self, root: Path) -> None:
        """Download the file from the repository of its publishers."""
        from torch_geometric.data import download_url

        url = "https://github.com/yandex-research/heterophilous-graphs/raw/main/data"
        download_url(f"{url}/{self.name}_filtered.npz", str((root / self._path).parent))

    @property
    def _path(self) -> Path:
        return Path("heterophilous_filtered") / f"{self.name}_filtered.npz"

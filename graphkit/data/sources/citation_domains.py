"""The three citation networks of one vocabulary; PyG has no class for these files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch_geometric.data import Data

URL = "https://github.com/shenxiaocam/ACDNE/raw/c6e8ffd13c0243329c109ba8e41e6be5b94a9df4/ACDNE_codes/input"


@dataclass(frozen=True)
class CitationDomainSource:
    """One of ACMv9, Citationv1 and DBLPv7, as the authors of ACDNE give them."""

    name: str
    plain: bool = True

    def read(self, root: Path) -> Data:
        """Return the graph; ``y_multi [nodes, 5]`` holds all classes of a node, ``y`` its class if it has but one.

        A paper of several classes has ``y = -1``: no split trains on it, selects on it or tests on it, but it stays in
        the graph.
        """
        from scipy.io import loadmat
        from torch_geometric.data import Data

        file = loadmat(root / self._path)
        network = file["network"].tocoo()
        group = torch.from_numpy(file["group"].astype(bool))
        # SciPy gives columns in order; the network is symmetric, so they may stand for the sources.
        edge_index = torch.from_numpy(np.stack([network.col, network.row]).astype(np.int64))
        return Data(
            x=torch.from_numpy(file["attrb"].astype(np.float32)),
            edge_index=edge_index,
            y=torch.where(group.sum(1) == 1, group.int().argmax(1), -1),
            y_multi=group,
        )

    def download(self, root: Path) -> None:
        """Download the file from the repository of ACDNE."""
        from torch_geometric.data import download_url

        download_url(f"{URL}/{self.name}.mat", str((root / self._path).parent))

    @property
    def _path(self) -> Path:
        return Path("citation_domains") / f"{self.name}.mat"

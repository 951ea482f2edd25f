"""The part of Amazon-Clothing that its few-shot benchmark tests on; PyG has no class for these files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch_geometric.data import Data

URL = "https://github.com/kaize0409/GPN_Graph-Few-shot/raw/master/few_shot_data"
FOLDER = Path("gpn_amazon_clothing")
FILES = ("Amazon_clothing_network", "Amazon_clothing_test.mat")


@dataclass(frozen=True)
class ClothingSource:
    """The goods of the 20 novel classes, and the edges among them."""

    plain: bool = True

    def read(self, root: Path) -> Data:
        """Return the graph; ``y`` numbers the classes by their ids, ``goods [nodes]`` names nodes as the file does."""
        from scipy.io import loadmat
        from torch_geometric.data import Data

        file = loadmat(root / FOLDER / FILES[1])
        goods = file["Index"].ravel().astype(np.int64)
        ends = np.loadtxt(root / FOLDER / FILES[0], dtype=np.int64).T
        place = np.full(int(max(ends.max(), goods.max())) + 1, -1)
        place[goods] = np.arange(len(goods))
        edges = place[ends]
        return Data(
            x=torch.from_numpy(file["Attributes"].toarray().astype(np.float32)),
            edge_index=torch.from_numpy(edges[:, (edges >= 0).all(0)].copy()),
            y=torch.from_numpy(np.unique(file["Label"].ravel(), return_inverse=True)[1]),
            goods=torch.from_numpy(goods),
        )

    def download(self, root: Path) -> None:
        """Download the files from the repository of GPN."""
        from torch_geometric.data import download_url

        for file in FILES:
            download_url(f"{URL}/{file}", str(root / FOLDER))

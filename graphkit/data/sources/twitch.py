"""Friendships between streamers on Twitch, one network a language; PyG's ``Twitch`` wants other files."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch_geometric.data import Data

URL = "https://github.com/CUAI/Non-Homophily-Large-Scale/raw/c2a1759aecd71d5604aa1a5a4719e3ffded18249/data/twitch"
FEATURES = 3170
FILES = ("edges.csv", "features.json", "target.csv")


@dataclass(frozen=True)
class TwitchSource:
    """One of the networks of MUSAE, with the 3,170 features that all of them share."""

    name: str
    plain: bool = True

    def read(self, root: Path) -> Data:
        """Return the graph: each edge in both directions, ``x`` 1 where a streamer has a feature, ``y`` 1 if mature."""
        from torch_geometric.data import Data
        from torch_geometric.utils import to_undirected

        edges, features, target = (root / path for path in self._paths)
        with target.open(encoding="utf-8", newline="") as file:
            mature = {int(row["new_id"]): {"False": 0, "True": 1}[row["mature"]] for row in csv.DictReader(file)}
        nodes = len(mature)
        if set(mature) != set(range(nodes)):
            raise ValueError("the ids of the nodes must be 0, 1, ...")
        x = torch.zeros(nodes, FEATURES)
        for node, columns in json.loads(features.read_text(encoding="utf-8")).items():
            x[int(node), columns] = 1.0
        ends = np.loadtxt(edges, delimiter=",", skiprows=1, dtype=np.int64).T
        edge_index = to_undirected(torch.from_numpy(ends.copy()), num_nodes=nodes)
        return Data(x=x, edge_index=edge_index, y=torch.tensor([mature[node] for node in range(nodes)]))

    def download(self, root: Path) -> None:
        """Download the files from the repository the card names."""
        from torch_geometric.data import download_url

        for path in self._paths:
            download_url(f"{URL}/{self.name}/{path.name}", str((root / path).parent))

    @property
    def _paths(self) -> list[Path]:
        return [Path("twitch_musae") / self.name / f"musae_{self.name}_{file}" for file in FILES]

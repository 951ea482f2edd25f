"""Data sets in files of their publishers' own, which no class of PyG reads as they are here."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from graphkit.data.catalog.sources.pyg import PyGSource
from graphkit.data.splits.split import MASKS

if TYPE_CHECKING:
    from torch_geometric.data import Data


ACDNE_URL = "https://github.com/shenxiaocam/ACDNE/raw/c6e8ffd13c0243329c109ba8e41e6be5b94a9df4/ACDNE_codes/input"


@dataclass(frozen=True)
class CitationDomainSource:
    """One of ACMv9, Citationv1 and DBLPv7, as the authors of ACDNE give them."""

    name: str
    pickle_free: bool = True

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

        download_url(f"{ACDNE_URL}/{self.name}.mat", str((root / self._path).parent))

    @property
    def _path(self) -> Path:
        return Path("citation_domains") / f"{self.name}.mat"


@dataclass(frozen=True)
class Facebook100Source:
    """A network that PyG's ``LINKXDataset`` reads, with all seven attributes beside PyG's form of them."""

    name: str
    pickle_free: bool = True

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


@dataclass(frozen=True)
class FilteredSource:
    """Chameleon or Squirrel without duplicate nodes; PyG has no class for these files."""

    name: str
    pickle_free: bool = True

    def read(self, root: Path) -> Data:
        """Return the graph; each edge stands once in the file and twice in ``edge_index``."""
        from torch_geometric.data import Data
        from torch_geometric.utils import to_undirected

        with np.load(root / self._path, allow_pickle=False) as file:
            x = torch.from_numpy(file["node_features"])
            edge_index = to_undirected(torch.from_numpy(file["edges"]).t(), num_nodes=x.size(0))
            data = Data(x=x, edge_index=edge_index.contiguous(), y=torch.from_numpy(file["node_labels"]))
            for part in MASKS:
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


GPN_URL = "https://github.com/kaize0409/GPN_Graph-Few-shot/raw/master/few_shot_data"

GPN_FOLDER = Path("gpn_amazon_clothing")

GPN_FILES = ("Amazon_clothing_network", "Amazon_clothing_test.mat")


@dataclass(frozen=True)
class ClothingSource:
    """The goods of the 20 novel classes, and the edges among them."""

    pickle_free: bool = True

    def read(self, root: Path) -> Data:
        """Return the graph; ``y`` numbers the classes by their ids, ``goods [nodes]`` names nodes as the file does."""
        from scipy.io import loadmat
        from torch_geometric.data import Data

        file = loadmat(root / GPN_FOLDER / GPN_FILES[1])
        goods = file["Index"].ravel().astype(np.int64)
        ends = np.loadtxt(root / GPN_FOLDER / GPN_FILES[0], dtype=np.int64).T
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

        for file in GPN_FILES:
            download_url(f"{GPN_URL}/{file}", str(root / GPN_FOLDER))


TWITCH_URL = (
    "https://github.com/CUAI/Non-Homophily-Large-Scale/raw/c2a1759aecd71d5604aa1a5a4719e3ffded18249/data/twitch"
)

TWITCH_FEATURES = 3170

TWITCH_FILES = ("edges.csv", "features.json", "target.csv")


@dataclass(frozen=True)
class TwitchSource:
    """One of the networks of MUSAE, with the 3,170 features that all of them share."""

    name: str
    pickle_free: bool = True

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
        x = torch.zeros(nodes, TWITCH_FEATURES)
        for node, columns in json.loads(features.read_text(encoding="utf-8")).items():
            x[int(node), columns] = 1.0
        ends = np.loadtxt(edges, delimiter=",", skiprows=1, dtype=np.int64).T
        edge_index = to_undirected(torch.from_numpy(ends.copy()), num_nodes=nodes)
        return Data(x=x, edge_index=edge_index, y=torch.tensor([mature[node] for node in range(nodes)]))

    def download(self, root: Path) -> None:
        """Download the files from the repository the card names."""
        from torch_geometric.data import download_url

        for path in self._paths:
            download_url(f"{TWITCH_URL}/{self.name}/{path.name}", str((root / path).parent))

    @property
    def _paths(self) -> list[Path]:
        return [Path("twitch_musae") / self.name / f"musae_{self.name}_{file}" for file in TWITCH_FILES]

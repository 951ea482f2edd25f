"""Data sets in files of their publishers' own, which no class of PyG reads as they are here."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.catalog.sources.pyg import PyGSource
from graphkit.data.catalog.sources.source import Source
from graphkit.data.disk.structure_features import structure_features
from graphkit.data.splits.split import MASKS

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, kw_only=True)
class FilesSource(Source):
    """The files of a card, all from one folder of a repository."""

    url: str = ""  # the folder on the web; none where no address has the files in the form that is read
    files: Sequence[str]  # where the files lie below a data root, in the order of the card

    def paths(self, root: Path) -> list[Path]:
        """Return where the files lie."""
        return [root / file for file in self.files]

    def download(self, root: Path) -> None:
        """Download the files one by one."""
        from torch_geometric.data import download_url

        if not self.url:
            raise FileNotFoundError("no address has its files in this form; its card says how they were made")
        for path in self.paths(root):
            download_url(f"{self.url}/{path.name}", str(path.parent))


@dataclass(frozen=True, kw_only=True)
class CSRPartsSource(FilesSource):
    """A graph whose matrices lie in an ``.npz`` as the plain arrays of their compressed rows."""

    structure: Sequence[str] = ()  # features that are made of the edges, beside those of the file

    def read(self, root: Path) -> Data:
        """Return the graph of ``adj_*``, ``attr_*`` (if there) and ``labels``.

        Edges are those of the file, in its directions, once each: what is stored with an edge is not a weight here.
        Without ``attr_*`` the degrees of the nodes take the place of features.
        """
        (path,) = self.paths(root)
        with np.load(path, allow_pickle=False) as file:
            parts = {name: file[name] for name in file}
        adjacency = _csr_matrix(parts, "adj")
        row, column = adjacency.tocoo().coords
        given = _csr_matrix(parts, "attr").toarray() if "attr_data" in parts else None
        return Data(
            x=_features(adjacency, self.structure, given),
            edge_index=torch.from_numpy(np.stack([row, column]).astype(np.int64)),
            y=_class_numbers(parts["labels"]),
        )


@dataclass(frozen=True, kw_only=True)
class EdgeTableSource(FilesSource):
    """A graph in two tables of whole numbers with names of columns: the ends of each edge; ids and classes of nodes."""

    structure: Sequence[str] = ()  # features that are made of the edges
    directed: bool = False  # whether an edge of the table stands for its own direction alone

    def read(self, root: Path) -> Data:
        """Return the graph; nodes are numbered by their ids, and the degrees take the place of features."""
        from scipy.sparse import csr_array
        from torch_geometric.utils import coalesce, to_undirected

        edges, target = self.paths(root)
        labels = _whole_numbers(target)
        nodes = len(labels)
        labels = labels[labels[:, 0].argsort()]
        if not np.array_equal(labels[:, 0], np.arange(nodes)):
            raise ValueError("the ids of the nodes must be 0, 1, ...")
        ends = torch.from_numpy(_whole_numbers(edges).T.copy())
        edge_index = coalesce(ends, num_nodes=nodes) if self.directed else to_undirected(ends, num_nodes=nodes)
        entries = np.ones(edge_index.size(1), dtype=np.float32)
        adjacency = csr_array((entries, tuple(edge_index.numpy())), shape=(nodes, nodes))
        return Data(x=_features(adjacency, self.structure), edge_index=edge_index, y=_class_numbers(labels[:, 1]))


def _csr_matrix(parts: Mapping[str, np.ndarray], name: str) -> csr_array:
    """Return the matrix whose parts have this name, without zeros, the columns of each row in order."""
    from scipy.sparse import csr_array

    arrays = tuple(parts[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    matrix = csr_array(arrays, shape=tuple(parts[f"{name}_shape"].tolist()))
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _features(adjacency: csr_array, structure: Sequence[str], given: np.ndarray | None = None) -> Tensor:
    """Return the features of the file beside those made of the edges: degrees where there would be none."""
    kinds = structure or (["degree"] if given is None else [])
    made = [structure_features(adjacency, kinds)[0]] if kinds else []
    return torch.from_numpy(np.concatenate([*([] if given is None else [given]), *made], axis=1, dtype=np.float32))


def _class_numbers(labels: np.ndarray) -> Tensor:
    """Return the classes numbered from 0 in the order of their numbers in a file; negative ones are none."""
    y, there = np.full(len(labels), -1), labels >= 0
    y[there] = np.unique(labels[there], return_inverse=True)[1]
    return torch.from_numpy(y)


def _whole_numbers(path: Path) -> np.ndarray:
    """Return the first two columns of a comma-separated table below its line of names, ``[rows, 2]``."""
    return np.loadtxt(path, delimiter=",", skiprows=1, usecols=(0, 1), dtype=np.int64, ndmin=2)


class CitationDomainSource(FilesSource):
    """One of three citation networks of one vocabulary, as the authors of ACDNE give them."""

    def read(self, root: Path) -> Data:
        """Return the graph; ``y_multi [nodes, 5]`` holds all classes of a node, ``y`` its class if it has but one.

        A paper of several classes has ``y = -1``: no split trains on it, selects on it or tests on it, but it stays in
        the graph.
        """
        from scipy.io import loadmat

        (path,) = self.paths(root)
        file = loadmat(path)
        network = file["network"].tocoo()
        group = torch.from_numpy(file["group"].astype(bool))
        return Data(
            x=torch.from_numpy(file["attrb"].astype(np.float32)),
            # SciPy gives columns in order; the network is symmetric, so they may stand for the sources.
            edge_index=torch.from_numpy(np.stack([network.col, network.row]).astype(np.int64)),
            y=torch.where(group.sum(1) == 1, group.int().argmax(1), -1),
            y_multi=group,
        )


class FilteredSource(FilesSource):
    """Chameleon or Squirrel without their duplicate nodes."""

    def read(self, root: Path) -> Data:
        """Return the graph; each edge stands once in the file and twice in ``edge_index``."""
        from torch_geometric.utils import to_undirected

        (path,) = self.paths(root)
        with np.load(path, allow_pickle=False) as file:
            x = torch.from_numpy(file["node_features"])
            edge_index = to_undirected(torch.from_numpy(file["edges"]).t(), num_nodes=x.size(0))
            data = Data(x=x, edge_index=edge_index.contiguous(), y=torch.from_numpy(file["node_labels"]))
            for mask in MASKS:
                data[f"{mask}s"] = torch.from_numpy(file[f"{mask}s"]).t().contiguous()
        return data


class ClothingSource(FilesSource):
    """The goods of Amazon-Clothing that its few-shot benchmark tests on, of 20 novel classes, and their edges."""

    def read(self, root: Path) -> Data:
        """Return the graph; ``y`` numbers the classes by their ids, ``goods [nodes]`` names nodes as the file does."""
        from scipy.io import loadmat

        network, about = self.paths(root)
        file = loadmat(about)
        goods = file["Index"].ravel().astype(np.int64)
        ends = np.loadtxt(network, dtype=np.int64).T
        # The network names all goods; only edges between two that are in the file stay.
        place = np.full(int(max(ends.max(), goods.max())) + 1, -1)
        place[goods] = np.arange(len(goods))
        edges = place[ends]
        return Data(
            x=torch.from_numpy(file["Attributes"].toarray().astype(np.float32)),
            edge_index=torch.from_numpy(edges[:, (edges >= 0).all(0)].copy()),
            y=torch.from_numpy(np.unique(file["Label"].ravel(), return_inverse=True)[1]),
            goods=torch.from_numpy(goods),
        )


@dataclass(frozen=True, kw_only=True)
class TwitchSource(FilesSource):
    """Friendships between streamers on Twitch, one network a language (MUSAE); PyG's ``Twitch`` wants other files."""

    features: int  # how many, in all networks

    def read(self, root: Path) -> Data:
        """Return the graph: each edge in both directions, ``x`` 1 where a streamer has a feature, ``y`` 1 if mature."""
        from torch_geometric.utils import to_undirected

        edges, features, target = self.paths(root)
        with target.open(encoding="utf-8", newline="") as file:
            mature = {int(row["new_id"]): {"False": 0, "True": 1}[row["mature"]] for row in csv.DictReader(file)}
        nodes = len(mature)
        if set(mature) != set(range(nodes)):
            raise ValueError("the ids of the nodes must be 0, 1, ...")
        x = torch.zeros(nodes, self.features)
        for node, columns in json.loads(features.read_text(encoding="utf-8")).items():
            x[int(node), columns] = 1.0
        edge_index = to_undirected(torch.from_numpy(_whole_numbers(edges).T.copy()), num_nodes=nodes)
        return Data(x=x, edge_index=edge_index, y=torch.tensor([mature[node] for node in range(nodes)]))


@dataclass(frozen=True)
class Facebook100Source(Source):
    """Friendships at a university that PyG's ``LINKXDataset`` reads, with all seven attributes of the members."""

    name: str  # of the university, as PyG takes it

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

"""Sources: how the files of a data set are read and, where they are missing, downloaded.

PyG's own classes do both wherever they can. They download, process and store in one go; here each of these is stopped
after its own part, so that files are checked in between and nothing of theirs is ever unpickled from disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from graphkit.data.digits import digits_graph

if TYPE_CHECKING:
    from torch_geometric.data import Data

PARTS = ("train_mask", "val_mask", "test_mask")


class Source(Protocol):
    """Reads a data set below a root laid out as its card says, and downloads what the card lists."""

    @property
    def plain(self) -> bool:
        """Whether reading never unpickles, so that a file may be opened before it is known to be the right one."""

    def read(self, root: Path) -> Data:
        """Return the graph with ``x``, ``edge_index``, ``y`` and its published masks.

        Masks of one split are ``train_mask``, ``val_mask`` and ``test_mask`` of shape ``[nodes]``; masks of several
        are ``train_masks``, ``val_masks`` and ``test_masks`` of shape ``[nodes, splits]``.
        """

    def download(self, root: Path) -> None:
        """Download every file of the card below ``root``."""


@dataclass(frozen=True)
class PyGSource:
    """A data set that a class of ``torch_geometric.datasets`` reads."""

    dataset: str
    folder: str
    name: str | None = None
    plain: bool = True

    def read(self, root: Path) -> Data:
        """Return the graph as the PyG class reads it."""
        data = _read(self.dataset, root / self.folder, *self._arguments())
        if "train_mask" in data and data.train_mask.dim() == 2:
            _rename_masks(data)
        return data

    def download(self, root: Path) -> None:
        """Let the PyG class download."""
        _download(self.dataset, root / self.folder, *self._arguments())

    def _arguments(self) -> tuple[str, ...]:
        return () if self.name is None else (self.name,)


@dataclass(frozen=True)
class PlanetoidSource:
    """A citation network in Planetoid's pickles, with the ten splits of Geom-GCN where the card lists them."""

    name: str
    geom_gcn: bool = True
    plain: bool = False

    def read(self, root: Path) -> Data:
        """Return the graph with the public masks and, where they are, those of Geom-GCN."""
        data = _read("Planetoid", root / "planetoid", self.name)
        if self.geom_gcn:
            folder = root / "planetoid" / self.name
            for file in (folder / "raw").iterdir():
                shutil.copy(file, folder / "geom-gcn" / "raw")
            ten = _read("Planetoid", root / "planetoid", self.name, "geom-gcn")
            for part in PARTS:
                data[f"{part}s"] = ten[part].bool()
        return data

    def download(self, root: Path) -> None:
        """Let PyG download both forms."""
        _download("Planetoid", root / "planetoid", self.name)
        if self.geom_gcn:
            _download("Planetoid", root / "planetoid", self.name, "geom-gcn")


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


SOURCES: dict[str, Source] = {
    "digits": EmbeddedSource(digits_graph),
    "karate": EmbeddedSource(karate_graph),
    "cora": PlanetoidSource("Cora"),
    "citeseer": PlanetoidSource("CiteSeer"),
    "pubmed": PlanetoidSource("PubMed", geom_gcn=False),
    "citation-full-cora": PyGSource("CitationFull", "citation_full", "Cora"),
    "citation-full-cora-ml": PyGSource("CitationFull", "citation_full", "Cora_ML"),
    "citation-full-citeseer": PyGSource("CitationFull", "citation_full", "CiteSeer"),
    "citation-full-dblp": PyGSource("CitationFull", "citation_full", "DBLP"),
    "citation-full-pubmed": PyGSource("CitationFull", "citation_full", "PubMed"),
    "amazon-photo": PyGSource("Amazon", "amazon", "Photo"),
    "amazon-computers": PyGSource("Amazon", "amazon", "Computers"),
    "coauthor-cs": PyGSource("Coauthor", "coauthor", "CS"),
    "coauthor-physics": PyGSource("Coauthor", "coauthor", "Physics"),
    "texas": PyGSource("WebKB", "webkb", "texas"),
    "cornell": PyGSource("WebKB", "webkb", "cornell"),
    "wisconsin": PyGSource("WebKB", "webkb", "wisconsin"),
    "actor": PyGSource("Actor", "actor"),
    "chameleon": FilteredSource("chameleon"),
    "squirrel": FilteredSource("squirrel"),
    "chameleon-unfiltered": PyGSource("WikipediaNetwork", "wikipedia_network", "chameleon"),
    "squirrel-unfiltered": PyGSource("WikipediaNetwork", "wikipedia_network", "squirrel"),
    "minesweeper": PyGSource("HeterophilousGraphDataset", "heterophilous", "Minesweeper"),
}


class _Stop(Exception):
    """Leaves a PyG class from inside, with what it has read so far."""

    def __init__(self, data: Any = None) -> None:
        super().__init__()
        self.data = data


@contextmanager
def _stopped() -> Iterator[list[Any]]:
    found: list[Any] = []
    try:
        yield found
    except _Stop as stop:
        found.append(stop.data)


def _read(dataset: str, root: Path, *arguments: str) -> Data:
    """Return what the PyG class would store, without storing it and without looking for a download."""
    import torch_geometric.datasets

    def save(data_list: list[Data], path: str) -> None:
        raise _Stop(data_list[0])

    reading = type(
        dataset,
        (getattr(torch_geometric.datasets, dataset),),
        {"_download": lambda self: None, "_process": lambda self: self.process(), "save": staticmethod(save)},
    )
    with _stopped() as found:
        reading(str(root), *arguments)
    return found[0]


def _download(dataset: str, root: Path, *arguments: str) -> None:
    """Let the PyG class download below ``root`` and stop it before it opens anything."""
    import torch_geometric.datasets

    def stop(self: object) -> None:
        raise _Stop

    downloading = type(dataset, (getattr(torch_geometric.datasets, dataset),), {"_process": stop})
    with _stopped():
        downloading(str(root), *arguments)


def _rename_masks(data: Data) -> None:
    for part in PARTS:
        data[f"{part}s"] = data[part].bool()
        del data[part]

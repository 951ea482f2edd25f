"""Data sets that PyG's own classes read.

PyG's classes download, process and store in one go; here each of these is stopped after its own part, so that files are
checked in between and nothing of theirs is ever unpickled from disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphkit._torch_internals import DOWNLOAD, PROCESS
from graphkit.data.sources.source import PARTS

if TYPE_CHECKING:
    from torch_geometric.data import Data


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
        {DOWNLOAD: lambda self: None, PROCESS: lambda self: self.process(), "save": staticmethod(save)},
    )
    with _stopped() as found:
        reading(str(root), *arguments)
    return found[0]


def _download(dataset: str, root: Path, *arguments: str) -> None:
    """Let the PyG class download below ``root`` and stop it before it opens anything."""
    import torch_geometric.datasets

    def stop(self: object) -> None:
        raise _Stop

    downloading = type(dataset, (getattr(torch_geometric.datasets, dataset),), {PROCESS: stop})
    with _stopped():
        downloading(str(root), *arguments)


def _rename_masks(data: Data) -> None:
    for part in PARTS:
        data[f"{part}s"] = data[part].bool()
        del data[part]

"""Data sets that PyG's own classes read.

PyG's classes download, process and store in one go; here each of these is stopped after its own part, so that files are
checked in between and nothing of theirs is ever unpickled from disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit._torch_internals import DOWNLOAD, PROCESS
from graphkit.data.catalog.sources.source import Source
from graphkit.data.graphset import GraphSet
from graphkit.data.splits.split import MASKS


@dataclass(frozen=True)
class PyGSource(Source):
    """A data set that a class of ``torch_geometric.datasets`` reads."""

    dataset: str
    folder: str
    name: str | None = None

    def read(self, root: Path) -> Data:
        """Return the graph as the PyG class reads it."""
        data = _read(self.dataset, root / self.folder, *self._arguments())
        if "train_mask" in data and data.train_mask.dim() == 2:
            for mask in MASKS:
                data[f"{mask}s"] = data[mask].bool()
                del data[mask]
        return data

    def download(self, root: Path) -> None:
        """Let the PyG class download."""
        _download(self.dataset, root / self.folder, *self._arguments())

    def _arguments(self) -> tuple[str, ...]:
        return () if self.name is None else (self.name,)


@dataclass(frozen=True)
class PlanetoidSource(Source):
    """A citation network in Planetoid's pickles, with the ten splits of Geom-GCN where the card lists them."""

    pickle_free = False
    name: str
    geom_gcn: bool = True

    def read(self, root: Path) -> Data:
        """Return the graph with the public masks and, where they are, those of Geom-GCN."""
        data = _read("Planetoid", root / "planetoid", self.name)
        if self.geom_gcn:
            folder = root / "planetoid" / self.name
            for file in (folder / "raw").iterdir():
                shutil.copy(file, folder / "geom-gcn" / "raw")
            ten = _read("Planetoid", root / "planetoid", self.name, "geom-gcn")
            for part in MASKS:
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


def _until_stopped(dataset: str, root: Path, arguments: Sequence[str], **methods: Any) -> Any:
    """Make an object of a PyG class with other methods, until one of these raises ``_Stop``; return its data."""
    import torch_geometric.datasets

    changed = type(dataset, (getattr(torch_geometric.datasets, dataset),), methods)
    try:
        changed(str(root), *arguments)
    except _Stop as stop:
        return stop.data
    raise RuntimeError(f"{dataset} of torch_geometric did not call what was to stop it")


def _read(dataset: str, root: Path, *arguments: str) -> Data:
    """Return what the PyG class would store, without storing it and without looking for a download."""

    def save(data_list: list[Data], path: str) -> None:
        raise _Stop(data_list[0])

    methods = {DOWNLOAD: lambda self: None, PROCESS: lambda self: self.process(), "save": staticmethod(save)}
    return _until_stopped(dataset, root, arguments, **methods)


def _download(dataset: str, root: Path, *arguments: str) -> None:
    """Let the PyG class download below ``root`` and stop it before it opens anything."""

    def stop(self: object) -> None:
        raise _Stop

    _until_stopped(dataset, root, arguments, _process=stop)


FILES = (
    "A",
    "graph_indicator",
    "graph_labels",
    "node_labels",
    "node_attributes",
    "edge_labels",
    "edge_attributes",
)
"""What is read, after the name of the set; the first three are always there."""


@dataclass(frozen=True)
class TUSource(Source):
    """A set that PyG's ``TUDataset`` reads, read here from the same files in a fraction of the time.

    ``x`` are the node labels one-hot, as in PyG; where there are none, the degrees one-hot, a column for each degree
    from 0 to the largest in the whole set (labels are not looked at). Node attributes are ``node_attr`` beside ``x``;
    edge attributes and one-hot edge labels are ``edge_attr``.
    """

    name: str

    def read(self, root: Path) -> GraphSet:
        """Return the graphs; edges are sorted, self-loops and repeated edges dropped, classes numbered from 0."""
        folder = root / "tu" / self.name / "raw"
        paths = {part: folder / f"{self.name}_{part}.txt" for part in FILES}
        files = {part: _table(path) for part, path in paths.items() if path.is_file() or part in FILES[:3]}
        graph = files["graph_indicator"][:, 0].astype(np.int64) - 1
        ends = files["A"].astype(np.int64).T - 1
        nodes, graphs = len(graph), len(files["graph_labels"])
        if (np.diff(graph) < 0).any() or (graph[ends[0]] != graph[ends[1]]).any():
            raise ValueError("nodes must stand graph by graph, and edges join nodes of one graph")
        # `unique` sorts by source, then target, and keeps the first of repeated edges; none that repeats has labels.
        _, kept = np.unique(ends[0] * nodes + ends[1], return_index=True)
        kept = kept[ends[0, kept] != ends[1, kept]]
        row, column = ends[:, kept]
        counts = np.bincount(graph, minlength=graphs)
        first = np.concatenate([[0], counts.cumsum()[:-1]])[graph]
        labels = files.get("node_labels")
        data = Data(
            x=_one_hot(np.bincount(row, minlength=nodes)[:, None] if labels is None else labels - labels.min(0)),
            edge_index=torch.from_numpy(np.stack([row - first[row], column - first[column]])),
            y=torch.from_numpy(np.unique(files["graph_labels"][:, 0], return_inverse=True)[1]),
        )
        if "node_attributes" in files:
            data.node_attr = torch.from_numpy(files["node_attributes"].astype(np.float32))
        columns = [torch.from_numpy(files["edge_attributes"].astype(np.float32))] if "edge_attributes" in files else []
        if "edge_labels" in files:
            columns.append(_one_hot(files["edge_labels"] - files["edge_labels"].min(0)))
        if columns:
            data.edge_attr = torch.cat(columns, dim=1)[kept]
        edges = np.bincount(graph[row], minlength=graphs)
        return GraphSet(data, nodes=torch.from_numpy(counts), edges=torch.from_numpy(edges))

    def download(self, root: Path) -> None:
        """Let PyG download."""
        PyGSource("TUDataset", "tu", self.name).download(root)


def _table(path: Path) -> np.ndarray:
    """Return the numbers of a file of comma-separated lines, ``[lines, columns]``."""
    text = path.read_text(encoding="ascii")
    columns = text.partition("\n")[0].count(",") + 1
    numbers = np.array(text.replace(",", " ").split(), dtype=np.float64)
    return numbers.reshape(-1, columns)


def _one_hot(numbers: np.ndarray) -> Tensor:
    """Return each column one-hot, side by side."""
    from torch.nn.functional import one_hot

    columns = torch.from_numpy(numbers.astype(np.int64)).unbind(dim=1)
    return torch.cat([one_hot(column) for column in columns], dim=1).float()

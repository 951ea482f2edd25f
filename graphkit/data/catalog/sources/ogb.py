"""Data sets in the raw files of the Open Graph Benchmark.

OGB's own loader keeps what it read in a pickle that current PyTorch refuses to open, and asks on standard input before
a large download. Its raw files are plain tables: they are read here, and kept in our own cache.
"""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from graphkit import _checks
from graphkit._torch_internals import fields_of_graph
from graphkit.data.catalog.cached_graphs import BETWEEN
from graphkit.data.catalog.sources.source import Source
from graphkit.data.graphset import GraphSet
from graphkit.data.splits.split import MASKS

URL = "http://snap.stanford.edu/ogb/data"
PARTS = {"train": "train", "val": "valid", "test": "test"}
"""OGB's names of the parts by PyG's."""


@dataclass(frozen=True)
class OGBGraphSource(Source):
    """A set of molecules of OGB: ``x`` and ``edge_attr`` are integers for OGB's atom and bond encoders."""

    name: str  # after "ogbg-"
    archive: str  # OGB's name of the file to download
    split: str = "scaffold"  # OGB's name of its split
    tasks: int = 1  # labels of a molecule

    def read(self, root: Path) -> GraphSet:
        """Return the graphs as OGB has them: each bond in both directions, one after the other; ``y [graphs, tasks]``.

        Labels are int64 where they are classes, and float32 where they are real numbers or some are missing (NaN).
        """
        raw = root / "ogb" / f"ogbg_{self.name}" / "raw"
        y = read_table(raw / "graph-label.csv.gz")
        if y.size(1) != self.tasks:
            raise ValueError(f"its labels are of {y.size(1):,} tasks, not of {self.tasks:,}")
        data = Data(
            x=read_table(raw / "node-feat.csv.gz"),
            edge_index=with_reverses(read_table(raw / "edge.csv.gz").t()),
            edge_attr=read_table(raw / "edge-feat.csv.gz").repeat_interleave(2, dim=0),
            y=y,
        )
        return GraphSet(
            data,
            nodes=read_table(raw / "num-node-list.csv.gz")[:, 0],
            edges=2 * read_table(raw / "num-edge-list.csv.gz")[:, 0],
            masks=split_masks(raw.parent / "split" / self.split, len(y)),
        )

    def download(self, root: Path) -> None:
        """Download OGB's archive."""
        download_archive(f"{URL}/graphproppred/csv_mol_download/{self.archive}.zip", root, f"ogbg_{self.name}")


@dataclass(frozen=True)
class OGBNodeSource(Source):
    """One graph of OGB whose nodes have labels."""

    name: str  # after "ogbn-"; also the name of the file to download
    split: str  # OGB's name of its split
    add_inverse_edge: bool  # whether each edge of the file stands for both directions, as OGB says
    node_files: Sequence[str] = ()  # further files with a number a node, which become fields

    def read(self, root: Path) -> Data:
        """Return the graph with OGB's split as its public one; ``y [nodes]``, where OGB has ``[nodes, 1]``."""
        raw = root / "ogb" / f"ogbn_{self.name}" / "raw"
        edge_index = read_table(raw / "edge.csv.gz").t()
        x, y = read_table(raw / "node-feat.csv.gz"), read_table(raw / "node-label.csv.gz")[:, 0]
        nodes = int(read_table(raw / "num-node-list.csv.gz"))
        if (len(x), len(y), edge_index.size(1)) != (nodes, nodes, int(read_table(raw / "num-edge-list.csv.gz"))):
            raise ValueError("the files hold other numbers of nodes and edges than they say")
        return Data(
            x=x.float(),
            edge_index=with_reverses(edge_index) if self.add_inverse_edge else edge_index.contiguous(),
            y=y,
            **{name: read_table(raw / f"{name}.csv.gz")[:, 0] for name in self.node_files},
            **split_masks(raw.parent / "split" / self.split, nodes),
        )

    def download(self, root: Path) -> None:
        """Download OGB's archive."""
        download_archive(f"{URL}/nodeproppred/{self.name}.zip", root, f"ogbn_{self.name}")


def read_table(path: Path) -> Tensor:
    """Return a compressed table of numbers, ``[lines, columns]``: int64, or float32 where it has fractions."""
    import pandas

    values = pandas.read_csv(path, compression="gzip", header=None).to_numpy()
    if not np.issubdtype(values.dtype, np.number):
        raise ValueError(f"{path.name} holds what is no number")
    return torch.from_numpy(values.astype(np.int64 if np.issubdtype(values.dtype, np.integer) else np.float32))


def split_masks(folder: Path, items: int) -> dict[str, Tensor]:
    """Return OGB's split in ``folder`` as masks ``[items]`` by PyG's names.

    Raises:
        ValueError: where it does not name each item once, as all of OGB's do: a file of it that was cut short holds
            fewer.
    """
    index = [read_table(folder / f"{part}.csv.gz")[:, 0] for part in PARTS.values()]
    if not torch.equal(torch.cat(index).sort().values, torch.arange(items)):
        sizes = " / ".join(f"{len(each):,}" for each in index)
        raise ValueError(f"its split, of {sizes}, does not name each of {items:,} once")
    return {
        mask: torch.zeros(items, dtype=torch.bool).index_fill(0, ids, True)
        for mask, ids in zip(MASKS, index, strict=True)
    }


def with_reverses(edge_index: Tensor) -> Tensor:
    """Return each edge followed by its reverse, as OGB orders them."""
    result = edge_index.repeat_interleave(2, dim=1)
    result[:, 1::2] = edge_index.flip(0)
    return result


def download_archive(url: str, root: Path, folder: str) -> None:
    """Download an archive and unpack it to ``ogb/<folder>`` below ``root``; nothing is asked."""
    from torch_geometric.data import download_url, extract_zip

    unpacked = root / "unpacked"
    archive = Path(download_url(url, str(root)))
    extract_zip(str(archive), str(unpacked))
    archive.unlink()
    (root / "ogb").mkdir(exist_ok=True)
    shutil.move(str(unpacked / archive.stem), str(root / "ogb" / folder))


@dataclass(frozen=True)
class OGBLinkSource(Source):
    """One graph of OGB whose links are predicted; of the files of PyTorch, arrays alone are taken."""

    name: str  # after "ogbl-"
    archive: str  # OGB's name of the file to download
    split: str  # OGB's name of its split
    add_inverse_edge: bool = True  # whether each edge of the file stands for both directions, as OGB says
    features: bool = True  # whether nodes have features
    node_files: Sequence[str] = ()  # further files with a number a node, which become fields
    edge_files: Sequence[str] = ()  # further files with a number an edge, which become fields
    binary: bool = False  # whether one archive of arrays holds the graph, in place of tables

    def read(self, root: Path) -> Data:
        """Return the graph of the training edges; the split is in ``train_edge``, ``val_edge_neg`` and so on.

        Fields of the split are named as OGB names them in the dictionaries of ``get_edge_split``, after the part.
        """
        folder = root / "ogb" / f"ogbl_{self.name}"
        data = read_archive(folder / "raw" / "data.npz") if self.binary else self._tables(folder / "raw")
        for part, theirs in PARTS.items():
            for field, values in load_arrays(folder / "split" / self.split / f"{theirs}.pt").items():
                data[f"{part}_{field}"] = values
        return data

    def _tables(self, raw: Path) -> Data:
        """Return the graph in tables."""
        edge_index = read_table(raw / "edge.csv.gz").t()
        x = read_table(raw / "node-feat.csv.gz").float() if self.features else None
        nodes, edges = (int(read_table(raw / f"num-{of}-list.csv.gz")) for of in ("node", "edge"))
        _require(edge_index, x, nodes, edges)
        data = Data(x=x, edge_index=with_reverses(edge_index) if self.add_inverse_edge else edge_index.contiguous())
        data.num_nodes = nodes
        for name in self.node_files:
            data[name] = read_table(raw / f"{name}.csv.gz")[:, 0]
        for name in self.edge_files:
            data[name] = read_table(raw / f"{name}.csv.gz")[:, 0].repeat_interleave(2 if self.add_inverse_edge else 1)
        return data

    def download(self, root: Path) -> None:
        """Download OGB's archive."""
        download_archive(f"{URL}/linkproppred/{self.archive}.zip", root, f"ogbl_{self.name}")


def read_archive(path: Path) -> Data:
    """Return the one graph in an archive of arrays, as OGB's ``read_binary_graph_raw`` does."""
    with np.load(path, allow_pickle=False) as archive:
        held = {name: torch.from_numpy(archive[name]) for name in archive.files}
    edge_index, x = held.pop("edge_index").long(), held.pop("node_feat", None)
    nodes, edges = (int(held.pop(f"num_{of}_list")) for of in ("nodes", "edges"))
    _require(edge_index, x, nodes, edges)
    data = Data(x=None if x is None else x.float(), edge_index=edge_index.contiguous())
    data.num_nodes = nodes
    for name, values in held.items():
        data["edge_attr" if name == "edge_feat" else name] = values
    return data


def _require(edge_index: Tensor, x: Tensor | None, nodes: int, edges: int) -> None:
    """Refuse files of which one was exchanged or cut."""
    if edge_index.shape != (2, edges) or not 0 <= int(edge_index.min()) <= int(edge_index.max()) < nodes:
        raise ValueError("the files hold other numbers of nodes and edges than they say")
    if x is not None and len(x) != nodes:
        raise ValueError("the files hold other numbers of nodes than they say")


def load_arrays(path: Path, *, words: Sequence[str] = ()) -> dict[str, Tensor]:
    """Return the arrays in a file of ``torch.save`` by name; anything else in it is an error, and is not run.

    OGB keeps arrays of NumPy there, which PyTorch's safe reader knows only when it is told of them: for this one file.

    Args:
        path: the file.
        words: what lists of text in it may say; they become places in this.
    """
    rebuilt = np.empty(0).__reduce__()[0]  # the function that NumPy's own pickles name, whose module was renamed
    names = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
    numpy: list[Any] = [np.ndarray, np.dtype, *((rebuilt, name) for name in names)]
    numpy += [type(np.dtype(kind)) for kind in ("int8", "int16", "int32", "int64", "uint8", "float32", "float64")]
    try:
        with torch.serialization.safe_globals(numpy):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, AttributeError, TypeError) as error:
        raise ValueError(f"{path.name} holds what is no array") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} holds no dictionary of arrays")
    places = {word: place for place, word in enumerate(words)}
    result = {}
    for name, values in found.items():
        text = isinstance(values, list) and bool(values) and isinstance(values[0], str)
        try:
            result[str(name)] = torch.as_tensor([places[word] for word in values] if text else values)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name} holds in {str(name)!r} what is no array") from error
    return result


def edge_split(data: Data | HeteroData) -> dict[str, dict[str, Any]]:
    """Return the official split of a set of links, as OGB's ``get_edge_split`` does.

    Of a graph with types of nodes ``head_type`` and ``tail_type`` are lists of their names, all else tensors.

    Args:
        data: as ``load("ogbl-...")`` gives it.

    Raises:
        ValueError: for a graph without one.

    Example:
        >>> edges = torch.tensor([[0, 1]])
        >>> split = edge_split(Data(train_edge=edges, val_edge=edges, val_edge_neg=edges, test_edge=edges))
        >>> {part: sorted(fields) for part, fields in split.items()}
        {'train': ['edge'], 'valid': ['edge', 'edge_neg'], 'test': ['edge']}
    """
    from torch_geometric.data.data import BaseData

    _checks.instance("data", data, BaseData, "a graph of PyG, as `load` gives it")
    types: list[str] = getattr(data, "node_types", [])
    fields = fields_of_graph(data) if types else data.to_dict()

    def keep(name: str, values: Tensor) -> Any:
        return [types[place] for place in values.tolist()] if types and name.endswith("_type") else values

    found = {
        theirs: {
            name.removeprefix(f"{part}_"): keep(name, values)
            for name, values in fields.items()
            if name.startswith(f"{part}_") and not name.endswith("_mask")
        }
        for part, theirs in PARTS.items()
    }
    if not all(found.values()):
        raise ValueError("`data` has no split of its edges; load a set of links, such as 'ogbl-collab'.")
    return found


@dataclass(frozen=True)
class OGBTypedLinkSource(Source):
    """One graph of OGB with types of nodes and of edges, whose links are predicted."""

    name: str  # after "ogbl-"; also the name of the file to download
    split: str  # OGB's name of its split
    edge_files: Sequence[str] = ()  # further files with a number an edge, which become fields

    def read(self, root: Path) -> HeteroData:
        """Return the graph of the training edges; the split is in ``train_head``, ``val_head_neg`` and so on.

        Nodes are numbered from 0 in each type. Types in the split, text in OGB's files, are places in ``node_types``.
        """
        import pandas

        raw = root / "ogb" / f"ogbl_{self.name}" / "raw"
        data = HeteroData()
        counts = pandas.read_csv(raw / "num-node-dict.csv.gz", compression="gzip")
        for name in sorted(counts):
            data[name].num_nodes = int(counts[name][0])
        kinds = pandas.read_csv(raw / "triplet-type-list.csv.gz", compression="gzip", header=None)
        for kind in sorted(kinds.itertuples(index=False, name=None)):
            folder = raw / "relations" / BETWEEN.join(kind)
            edge_index = read_table(folder / "edge.csv.gz").t().contiguous()
            if edge_index.shape != (2, int(read_table(folder / "num-edge-list.csv.gz"))):
                raise ValueError(f"the files hold another number of edges {kind[1]!r} than they say")
            for ids, name in zip(edge_index, (kind[0], kind[2]), strict=True):
                if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < data[name].num_nodes:
                    raise ValueError(f"the edges {kind[1]!r} have other nodes than there are")
            data[kind].edge_index = edge_index
            for field in self.edge_files:
                data[kind][field] = read_table(folder / f"{field}.csv.gz")[:, 0]
        for part, theirs in PARTS.items():
            path = raw.parent / "split" / self.split / f"{theirs}.pt"
            for field, values in load_arrays(path, words=data.node_types).items():
                setattr(data, f"{part}_{field}", values)
        return data

    def download(self, root: Path) -> None:
        """Download OGB's archive."""
        download_archive(f"{URL}/linkproppred/{self.name}.zip", root, f"ogbl_{self.name}")

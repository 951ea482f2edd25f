"""Data sets in the raw files of the Open Graph Benchmark.

OGB's own loader keeps what it read in a pickle that current PyTorch refuses to open, and asks on standard input before
a large download. Its raw files are plain tables: they are read here, and kept in our own cache.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.catalog.sources.source import Source
from graphkit.data.graphset import GraphSet
from graphkit.data.splits.split import MASKS

URL = "http://snap.stanford.edu/ogb/data"

PARTS = ("train", "valid", "test")
"""OGB's names for ``MASKS``."""


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
    index = [read_table(folder / f"{part}.csv.gz")[:, 0] for part in PARTS]
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

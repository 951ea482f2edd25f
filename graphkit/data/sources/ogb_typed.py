"""OGB's graphs with types of nodes and of edges whose links are predicted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graphkit.data.sources.ogb import URL, download_archive, table
from graphkit.data.sources.ogb_links import PARTS, tensors
from graphkit.data.typed import BETWEEN

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData


@dataclass(frozen=True)
class OGBTypedLinkSource:
    """One graph of OGB with types of nodes and of edges, whose links are predicted.

    Args:
        name: after ``ogbl-``; also the name of the file to download.
        split: OGB's name of its split.
        edge_files: further files with a number an edge, which become fields.
        plain: as for every source: of the files of PyTorch, arrays and text are taken and nothing else.
    """

    name: str
    split: str
    edge_files: tuple[str, ...] = ()
    plain: bool = True

    def read(self, root: Path) -> HeteroData:
        """Return the graph of the training edges; the split is in ``train_head``, ``val_head_neg`` and so on.

        Nodes are numbered from 0 in each type. Types in the split, text in OGB's files, are places in ``node_types``.
        """
        import pandas
        from torch_geometric.data import HeteroData

        raw = root / "ogb" / f"ogbl_{self.name}" / "raw"
        data = HeteroData()
        counts = pandas.read_csv(raw / "num-node-dict.csv.gz", compression="gzip")
        for name in sorted(counts):
            data[name].num_nodes = int(counts[name][0])
        kinds = pandas.read_csv(raw / "triplet-type-list.csv.gz", compression="gzip", header=None)
        for kind in sorted(kinds.itertuples(index=False, name=None)):
            folder = raw / "relations" / BETWEEN.join(kind)
            edge_index = table(folder / "edge.csv.gz").t().contiguous()
            if edge_index.shape != (2, int(table(folder / "num-edge-list.csv.gz"))):
                raise ValueError(f"the files hold another number of edges {kind[1]!r} than they say")
            for ids, name in zip(edge_index, (kind[0], kind[2]), strict=True):
                if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < data[name].num_nodes:
                    raise ValueError(f"the edges {kind[1]!r} have other nodes than there are")
            data[kind].edge_index = edge_index
            for field in self.edge_files:
                data[kind][field] = table(folder / f"{field}.csv.gz")[:, 0]
        for part, theirs in PARTS.items():
            path = raw.parent / "split" / self.split / f"{theirs}.pt"
            for field, values in tensors(path, words=data.node_types).items():
                setattr(data, f"{part}_{field}", values)
        return data

    def download(self, root: Path) -> None:
        """Download OGB's archive."""
        download_archive(f"{URL}/linkproppred/{self.name}.zip", root, f"ogbl_{self.name}")

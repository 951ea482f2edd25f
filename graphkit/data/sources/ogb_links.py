"""OGB's graphs whose links are predicted: raw tables, and splits that OGB keeps in files of PyTorch."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graphkit.data.sources.ogb import URL, both_ways, download_archive, table

if TYPE_CHECKING:
    from torch_geometric.data import Data

PARTS = {"train": "train", "val": "valid", "test": "test"}
"""OGB's names of the parts by PyG's."""


@dataclass(frozen=True)
class OGBLinkSource:
    """One graph of OGB whose links are predicted.

    Args:
        name: after ``ogbl-``.
        archive: OGB's name of the file to download.
        split: OGB's name of its split.
        both_ways: whether each edge of the file stands for both directions, as ``add_inverse_edge`` of OGB.
        features: whether nodes have features.
        node_files: further files with a number a node, which become fields.
        edge_files: further files with a number an edge, which become fields.
        plain: as for every source: of the files of PyTorch, arrays are taken and nothing else, and no code is run.
    """

    name: str
    archive: str
    split: str
    both_ways: bool = True
    features: bool = True
    node_files: tuple[str, ...] = ()
    edge_files: tuple[str, ...] = ()
    plain: bool = True

    def read(self, root: Path) -> Data:
        """Return the graph of the training edges; the split is in ``train_edge``, ``val_edge_neg`` and so on.

        Fields of the split are named as OGB names them in the dictionaries of ``get_edge_split``, after the part.
        """
        from torch_geometric.data import Data

        raw = root / "ogb" / f"ogbl_{self.name}" / "raw"
        edge_index = table(raw / "edge.csv.gz").t()
        x = table(raw / "node-feat.csv.gz").float() if self.features else None
        nodes, edges = (int(table(raw / f"num-{of}-list.csv.gz")) for of in ("node", "edge"))
        if edge_index.shape != (2, edges) or not 0 <= int(edge_index.min()) <= int(edge_index.max()) < nodes:
            raise ValueError("the files hold other numbers of nodes and edges than they say")
        if x is not None and len(x) != nodes:
            raise ValueError("the files hold other numbers of nodes than they say")
        data = Data(x=x, edge_index=both_ways(edge_index) if self.both_ways else edge_index.contiguous())
        data.num_nodes = nodes
        for name in self.node_files:
            data[name] = table(raw / f"{name}.csv.gz")[:, 0]
        for name in self.edge_files:
            data[name] = table(raw / f"{name}.csv.gz")[:, 0].repeat_interleave(2 if self.both_ways else 1)
        for part, theirs in PARTS.items():
            for field, values in tensors(raw.parent / "split" / self.split / f"{theirs}.pt").items():
                data[f"{part}_{field}"] = values
        return data

    def download(self, root: Path) -> None:
        """Download OGB's archive."""
        download_archive(f"{URL}/linkproppred/{self.archive}.zip", root, f"ogbl_{self.name}")


def tensors(path: Path) -> dict[str, Tensor]:
    """Return the arrays in a file of ``torch.save`` by name; anything else in it is an error, and is not run.

    OGB keeps arrays of NumPy there, which PyTorch's safe reader knows only when it is told of them: for this one file.
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
    return {str(name): torch.as_tensor(values) for name, values in found.items()}


def edge_split(data: Data) -> dict[str, dict[str, Tensor]]:
    """Return the official split of a set of links, as OGB's ``get_edge_split`` does.

    Args:
        data: as ``load("ogbl-...")`` gives it.

    Raises:
        ValueError: for a graph without one.

    Example:
        >>> from torch_geometric.data import Data
        >>> edges = torch.tensor([[0, 1]])
        >>> split = edge_split(Data(train_edge=edges, val_edge=edges, val_edge_neg=edges, test_edge=edges))
        >>> {part: sorted(fields) for part, fields in split.items()}
        {'train': ['edge'], 'valid': ['edge', 'edge_neg'], 'test': ['edge']}
    """
    found = {
        theirs: {
            name.removeprefix(f"{part}_"): values
            for name, values in data.to_dict().items()
            if name.startswith(f"{part}_") and not name.endswith("_mask")
        }
        for part, theirs in PARTS.items()
    }
    if not all(found.values()):
        raise ValueError("`data` has no split of its edges; load a set of links, such as 'ogbl-collab'.")
    return found

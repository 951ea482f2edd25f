"""A graph cut into parts on the disk, one for each process of a job: who holds what, written once and checked."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data

from graphkit import _checks
from graphkit._exports import deprecated_arguments, deprecated_method
from graphkit._kernels.csr_layout import coo_to_csr
from graphkit.data.disk.arrays import write_array
from graphkit.data.disk.checked_files import (
    DataError,
    check_length,
    check_sha256,
    file_facts,
    files_sha256,
    open_manifest,
    sealed_json,
)
from graphkit.data.disk.storage import require_new, staged_folder
from graphkit.data.fingerprint import content_sha256, tensors_sha256
from graphkit.data.sampling.clusters import metis_clusters
from graphkit.data.splits.split import MASKS
from graphkit.data.validation import class_count, validate

MANIFEST, FORMAT = "manifest.json", 1
METHODS = ("metis", "random", "contiguous")


def partition(data: Data, folder: Path | str, *, parts: int, by: str | None = None, seed: int = 0) -> Partitions:
    """Cut a graph into parts, write them to ``folder``, and return what was written.

    A part holds features, labels and incoming edges of its own nodes, named as in the whole graph. The folder is
    written beside its place and renamed: it is whole or not there.

    Args:
        data: a graph with ``x``, ``edge_index``, ``y`` and masks, of one kind of nodes, without edge weights; one that
            is stored on the disk too.
        folder: must not exist.
        parts: from 1 to the number of nodes.
        by: "metis" for few edges between parts, "random" for parts that are even, "contiguous" for nodes as they
            are numbered; by default METIS where pymetis is installed, else random.
        seed: of METIS and of the random parts.

    Raises:
        ValueError: for more parts than nodes, a graph that is not sound or has edge weights, or a folder that exists.
        DataError: if it cannot be written.

    Source: Karypis & Kumar (1998), through pymetis.

    Example:
        >>> import tempfile
        >>> from graphkit.data import load
        >>> with tempfile.TemporaryDirectory() as home:
        ...     made = partition(load("karate"), Path(home) / "parts", parts=2, by="contiguous")
        ...     made.parts, made.nodes, made.edges
        (2, 34, 156)
    """
    validate(data)
    folder, nodes = require_new(folder), data.num_nodes
    seed = _checks.at_least("seed", seed, 0)
    if by is not None:
        _checks.member("by", by, METHODS)
    _checks.at_least("parts", parts, 1)
    if parts > nodes:
        raise ValueError(f"`parts` must be at most the number of nodes ({nodes}), got {parts}.")
    for name in ("x", "y", *MASKS):
        if data.get(name) is None:
            raise ValueError(f"`{name}` is missing: parts hold features, labels and the masks of a split.")
    if data.y.dim() != 1 or data.y.is_floating_point() or any(data[name].dim() != 1 for name in MASKS):
        raise ValueError("`y` must hold one integer label per node, and the masks one split, to be cut into parts.")
    if data.get("edge_weight") is not None:
        raise ValueError("`edge_weight`: parts carry no edge weights; leave them out (`data.edge_weight = None`).")
    by = by or ("metis" if importlib.util.find_spec("pymetis") else "random")
    class_count(data)
    about = _describe_graph(data)
    owner = _assign_parts(data, parts, by, seed)
    with staged_folder(folder) as staged:
        _write(staged, data, owner, parts, {"by": by, "seed": seed}, about)
        staged.rename(folder)
    return Partitions(folder)


class Partitions:
    """The parts of a graph in a folder, as its manifest describes them.

    Args:
        folder: as :func:`partition` wrote it.
        keep_halo: whether a process that trains on a part keeps the features of the nodes around it too: more memory,
            fewer rows over the network, the same numbers.

    Raises:
        DataError: if there is none, or its manifest is not one.

    Attributes:
        parts, nodes, edges, features, classes: how many.
        files: name -> bytes and sha256.
        about: name, checksum, card and split of the whole graph.
        fingerprint: of all files.
    """

    @deprecated_arguments(around="keep_halo")
    def __init__(self, folder: Path | str, *, keep_halo: bool = False) -> None:
        self.folder, self.keep_halo = _checks.path("folder", folder), _checks.flag("keep_halo", keep_halo)
        absent = f"{str(self.folder)!r} holds no {MANIFEST}: it is made by `graphkit data partition`."
        with open_manifest(self.folder / MANIFEST, FORMAT, absent=absent, again="partition again") as found:
            counts = (int(found[name]) for name in ("parts", "nodes", "edges", "features", "classes"))
            self.parts, self.nodes, self.edges, self.features, self.classes = counts
            self.about: dict[str, Any] = found["about"]
            _checks.printable_name("name", self.about["name"])
            self.fingerprint: str = found["fingerprint"]
            self.files: dict[str, dict[str, Any]] = found["files"]

    def require_name(self, name: str) -> None:
        """Refuse parts of another data set."""
        if name != self.about["name"]:
            raise ValueError(f"{str(self.folder)!r} holds parts of {self.about['name']!r}, not of {name!r}.")

    def require_processes(self, processes: int) -> None:
        """Refuse another number of processes than of parts."""
        if processes != self.parts:
            raise ValueError(
                f"{str(self.folder)!r} holds {self.parts} parts, one for each process, but {processes} of them "
                f"{'was' if processes == 1 else 'were'} started; start {self.parts}, or `graphkit data partition` "
                f"with `--parts {processes}`."
            )

    require = deprecated_method("require_processes")

    def bytes_per(self, of: str) -> float:
        """Return the bytes on the disk for each "node" or each "edge"."""
        edges = sum(each["bytes"] for name, each in self.files.items() if name.endswith(("sources.npy", "edges.npy")))
        total = sum(each["bytes"] for each in self.files.values())
        return edges / max(self.edges, 1) if of == "edge" else (total - edges) / self.nodes

    def array(self, name: str, *, mapped: bool = False) -> np.ndarray:
        """Return one of the folder's arrays, checked against the manifest.

        Args:
            name: such as "owner" or "part-0/x".
            mapped: leave it on the disk, and read what is asked for.

        Raises:
            DataError: for a file that is missing, truncated or altered.
        """
        return np.load(self._checked_file(f"{name}.npy"), mmap_mode="r" if mapped else None, allow_pickle=False)

    def verify(self) -> None:
        """Read every file and compare its checksum.

        Raises:
            DataError: for a file that is missing, truncated or altered.
        """
        for name in self.files:
            self._checked_file(name)

    def _checked_file(self, name: str) -> Path:
        """Return the path of a file that is what was written."""
        path, expected = self.folder / name, self.files.get(name)
        if expected is None:
            raise DataError(f"{self.folder / MANIFEST} does not name {name!r}; partition again.")
        check_length(path, expected["bytes"], "partition again")
        check_sha256(path, expected["sha256"], "partition again")
        return path


def _assign_parts(data: Data, parts: int, by: str, seed: int) -> Tensor:
    """Return the part of each node."""
    nodes = data.num_nodes
    if by == "metis":
        return metis_clusters(_edges(data).long(), parts, num_nodes=nodes, seed=seed)
    even = torch.arange(nodes) * parts // nodes
    return even[torch.randperm(nodes, generator=torch.Generator().manual_seed(seed))] if by == "random" else even


def _write(folder: Path, data: Data, owner: Tensor, parts: int, how: dict[str, Any], about: dict[str, Any]) -> None:
    """Write all arrays and, last, the manifest."""
    nodes, files = data.num_nodes, {}

    def put(name: str, array: np.ndarray) -> None:
        path = folder / f"{name}.npy"
        path.parent.mkdir(exist_ok=True)
        write_array(path, array)
        files[f"{name}.npy"] = file_facts(path)

    put("owner", owner.numpy().astype(np.min_scalar_type(parts - 1)))
    for mask in MASKS:
        put(mask.removesuffix("_mask"), data[mask].cpu().nonzero().flatten().numpy())
    table = data.x if data.x.layout == torch.strided else data.x.to_sparse_coo()
    source, target = _edges(data).cpu().numpy()
    index = np.int32 if max(len(source), nodes) < 2**31 else np.int64
    pointers, sources, places = coo_to_csr(target, source, (nodes, nodes), index)
    for part in range(parts):
        own = (owner == part).nonzero().flatten()
        degree = np.diff(pointers)[own.numpy()].astype(np.int64)
        starts = np.concatenate([[0], np.cumsum(degree)])
        chosen = np.arange(starts[-1]) + np.repeat(pointers[own.numpy()] - starts[:-1], degree)
        put(f"part-{part}/nodes", own.numpy())
        put(f"part-{part}/pointers", starts)
        put(f"part-{part}/sources", sources[chosen])
        put(f"part-{part}/edges", places[chosen])
        put(f"part-{part}/x", table.index_select(0, own.to(table.device)).to_dense().cpu().numpy())
        put(f"part-{part}/y", data.y.cpu()[own].numpy())
    content = {
        "format": FORMAT,
        "parts": parts,
        "nodes": nodes,
        "edges": data.num_edges,
        "features": data.num_features,
        "classes": class_count(data),
        "how": how,
        "about": about,
        "fingerprint": files_sha256(files)[:16],
        "files": files,
    }
    (folder / MANIFEST).write_text(sealed_json(content), encoding="utf-8")


def _edges(data: Data) -> Tensor:
    """Return the edges as a plain tensor: what PyG's ``EdgeIndex`` knows of itself does not hold of a part."""
    edges = data.edge_index
    return edges.as_tensor() if isinstance(edges, EdgeIndex) else edges


def _describe_graph(data: Data) -> dict[str, Any]:
    """Return what a record says of the whole graph, which no process will see again."""
    card, drawn, kept = data.get("card"), data.get("protocol"), data.get("store")
    masks = tensors_sha256({name: data[name] for name in MASKS})
    named = drawn is not None and drawn["fingerprint"] == masks
    return {
        "name": _checks.printable_name(
            "name", card.name if card else kept.name if kept else str(data.get("name") or "unnamed")
        ),
        "sha256": content_sha256(data) if kept is None else kept.fingerprint,
        "stored": kept is not None,
        "undirected": bool(data.get("undirected")),
        "card": card.name if card else None,
        "split_sha256": masks,
        "split": {"split": drawn["split"], "parameters": drawn["parameters"]} if named else None,
    }

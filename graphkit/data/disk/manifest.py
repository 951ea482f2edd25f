"""The manifest of a stored graph, or of a stored set of graphs: what it holds, and what its columns were."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from graphkit import _checks
from graphkit.data.disk.checked_files import check_length, check_sha256, open_manifest

MANIFEST, FORMAT = "manifest.json", 1


@dataclass(frozen=True, repr=False)
class StoredGraph:
    """What the manifest of a stored graph says.

    Args:
        folder: where it lies.
        name: what it is called in records.
        nodes: number of nodes, of all graphs together.
        edges: number of edges, both directions counted.
        features: features of a node; 0 without any.
        classes: number of classes; 0 without labels, and where they are real numbers.
        undirected: whether every edge is there in both directions.
        how: how it was made.
        files: name -> bytes and sha256.
        fingerprint: sha256 over the checksums of all files.
        kind: "node" for one graph, "graph" for a set of graphs, "series" for signals over time on one graph.
        graphs: how many graphs it is.
        signals: moments of a series.
        target: what ``y`` is: ``kind`` ("classes", "binary" or "numbers"), ``columns`` and ``class_names``; empty
            where that is not known.
        feature_columns: the name of each feature, or nothing.
        columns: how columns of a table became features, each as :meth:`.columns.Column.as_dict` gives it.
        edge_columns: the same of the columns of ``edge_attr``.
        molecules: whether nodes and edges are OGB's atoms and bonds.
    """

    folder: Path
    name: str
    nodes: int
    edges: int
    features: int
    classes: int
    undirected: bool
    how: dict[str, Any]
    files: dict[str, dict[str, Any]]
    fingerprint: str
    kind: Literal["node", "graph", "series"] = "node"
    graphs: int = 1
    signals: int = 0
    target: dict[str, Any] = field(default_factory=dict)
    feature_columns: list[str] = field(default_factory=list)
    columns: list[dict[str, Any]] = field(default_factory=list)
    edge_columns: list[dict[str, Any]] = field(default_factory=list)
    molecules: bool = False

    def __repr__(self) -> str:
        return f"StoredGraph({self.name!r})"

    @property
    def default_split(self) -> str:
        """The split that is taken where none is asked for: its own, a random one, or one of time."""
        if self.kind == "series":
            return "time:0.7,0.1"
        return "public" if "train_mask.npy" in self.files else "random"

    @property
    def target_kind(self) -> str:
        """What the labels are, "classes", "binary" or "numbers"; nothing where that is not known."""
        return str(self.target.get("kind", ""))

    def verify(self) -> None:
        """Read every file and compare its checksum.

        Raises:
            DataError: if one is not what was written.
        """
        for name, expected in self.files.items():
            check_sha256(self.folder / name, expected["sha256"], "make the graph anew")


def read_manifest(folder: Path | str) -> StoredGraph:
    """Return what the manifest in ``folder`` says, having looked that every file is there and as long as it says.

    The manifest holds a checksum of itself, and one of each file.

    Raises:
        DataError: for a folder without a manifest, or a file that is missing or has another length.
    """
    folder = _checks.path("folder", folder)
    absent = (
        f"{str(folder)!r} holds no {MANIFEST}: no stored graph, or one that was never finished; "
        "`graphkit data import` makes one."
    )
    with open_manifest(folder / MANIFEST, FORMAT, absent=absent, again="make it anew") as found:
        needed = [each.name for each in fields(StoredGraph) if each.name != "folder"]
        usual = {each.name for each in fields(StoredGraph) if each.default_factory is not MISSING} | {
            each.name for each in fields(StoredGraph) if each.default is not MISSING
        }
        given = {name: found[name] for name in needed if name in found or name not in usual}
        _checks.printable_name("name", given["name"])
        store = StoredGraph(folder=folder, **given)
        sizes = {name: int(each["bytes"]) for name, each in store.files.items()}
    for name, size in sizes.items():
        check_length(folder / name, size, "make the graph anew")
    return store

"""Verified reading: from raw files, checked by their checksums, to the graph they hold, checked again."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

from torch import Tensor
from torch_geometric.data import Data, HeteroData

from graphkit._torch_internals import joined_graphs
from graphkit.data.catalog import files
from graphkit.data.catalog.cached_graphs import flatten
from graphkit.data.catalog.cards import Card
from graphkit.data.catalog.sources import source_of
from graphkit.data.disk.checked_files import DataError
from graphkit.data.fingerprint import content_sha256, tensors_sha256
from graphkit.data.graphset import GraphSet, graphs_sha256

UNREADABLE = (OSError, ValueError, KeyError, IndexError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What NumPy, SciPy and PyG raise on plain arrays that are cut short or belong to something else."""


def read_verified(card: Card, root: Path) -> Data | HeteroData | GraphSet:
    """Return the graph, or the set of graphs, in the files of ``card`` below ``root``, with its published masks.

    The rule: a file is opened if its sha256 is the card's. One whose sha256 is another, or not known, is opened only
    if reading it cannot run code (plain arrays, never a pickle) and the card says so; then what it holds must be what
    the card describes. Files are copied to a private folder first, and checked and read there, so that nobody can
    exchange one in between.

    Raises:
        DataError: if a file, or what was read from the files, is not what the card describes.
    """
    source = source_of(card)
    with tempfile.TemporaryDirectory(prefix="graphkit-") as folder:
        copy = Path(folder)
        try:
            for path in card.files:
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / path, copy / path)
        except OSError as error:
            raise DataError(
                f"`{card.name}`: the files below {root} could not be copied to {copy.parent} to be checked there "
                f"({error.strerror}); see that they can be read, or set $TMPDIR to a folder with more room."
            ) from error
        mismatched = files.mismatched_files(card, copy)
        if not mismatched:
            data = source.read(copy)
            if difference := _difference(card, data):
                raise DataError(
                    f"`{card.name}`: its files are right, but what was read from them{difference}; "
                    "is this the version of torch_geometric that constraints.txt names?"
                )
            return data
        path, found = next(iter(mismatched.items()))
        if not source.pickle_free or card.checked_by not in ("content", "counts"):
            raise files.checksum_error(card, root, path, found)
        try:
            for name in mismatched:
                _check_archive(copy / name)
            data = source.read(copy)
        except UNREADABLE as error:
            said = " ".join(str(error).split())[:150]
            raise files.checksum_error(card, root, path, found, f", and it cannot be read: {said}") from error
        if difference := _difference(card, data):
            raise files.checksum_error(card, root, path, found, f", and what it holds{difference}")
        return data


def _check_archive(path: Path) -> None:
    """Raise if an archive of arrays is damaged; NumPy would leave the file open then."""
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            if broken := archive.testzip():
                raise zipfile.BadZipFile(broken)


def dataset_sha256(data: Data | HeteroData | GraphSet) -> str:
    """Return the sha256 of what a graph or a set of graphs holds."""
    if isinstance(data, HeteroData):
        return tensors_sha256(flatten(data))
    if isinstance(data, GraphSet):
        return graphs_sha256(data)
    if data.get("y") is None:  # links: the split of the edges is what is learnt from, and the order of all is OGB's
        return tensors_sha256({name: field for name, field in data.to_dict().items() if isinstance(field, Tensor)})
    return content_sha256(data)


def _difference(card: Card, data: Data | HeteroData | GraphSet) -> str:
    """Return how ``data`` differs from what ``card`` describes, or nothing."""
    counts = _counts(data)
    items, nodes, edges, *_ = counts
    known = card.signals or card.graphs or items, card.nodes or nodes, card.edges or edges
    expected = *known, card.features, card.classes
    if counts != expected:
        shown = slice(0 if card.kind in ("graph", "signal") else 1, None)
        words = ", ".join((f"{card.kind}s", "nodes", "edges", "features", "classes")[shown])
        return f" has ({words}) {counts[shown]} instead of {expected[shown]}"
    if card.content is not None and (found := dataset_sha256(data)) != card.content:
        return f" has content sha256 {found} instead of {card.content}"
    return ""


def _counts(data: Data | HeteroData | GraphSet) -> tuple[int, int, int, int, int]:
    """Return the numbers of graphs or signals, nodes, edges, features and classes; no class where labels are real."""
    if isinstance(data, HeteroData):
        return 1, data.num_nodes or 0, data.num_edges, max(data.num_node_features.values(), default=0), 0
    items, inside = (len(data), joined_graphs(data)) if isinstance(data, GraphSet) else (1, data)
    y = None if items == 1 and inside.get("y") is None else data.y
    if y is not None and y.is_floating_point():  # real numbers, or classes of which some are missing
        there = ~y.isnan()
        y = None if bool(there.all()) else y[there]
    classes = 0 if y is None or not len(y) else int(y.max()) + 1
    features, signals = inside.num_node_features, inside.get("signals")
    if signals is not None:
        items, features = len(signals), signals.size(-1)
    return items, inside.num_nodes, inside.num_edges, features, classes

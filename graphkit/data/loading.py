"""Loading: from a name to a graph with its split and its card."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from graphkit.data import cache, files
from graphkit.data.cards import Card, card
from graphkit.data.content import content_sha256
from graphkit.data.errors import DataError
from graphkit.data.sources import SOURCES
from graphkit.data.splits import Split, SplitProtocol, split_from_name

if TYPE_CHECKING:
    from torch_geometric.data import Data

UNREADABLE = (OSError, ValueError, KeyError, IndexError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What NumPy and PyG raise on a file of plain arrays that is cut short or is another file."""


def load(name: str, *, split: SplitProtocol | Split | str | None = None, seed: int = 0) -> Data:
    """Return the data set ``name`` as a graph with one split.

    The graph has ``x [nodes, features]``, ``edge_index [2, edges]``, ``y [nodes]``, boolean ``train_mask``,
    ``val_mask`` and ``test_mask`` of shape ``[nodes]``, ``card`` (its ``Card``) and ``protocol`` (the record of the
    split: its name, parameters, sizes and fingerprint). Where a data set publishes ten splits, the first is the
    default and ``split="files:3"`` gives the fourth; PyG gives masks ``[nodes, 10]`` there.

    Args:
        name: a name from ``names()``.
        split: a protocol such as ``Stratified()``, its text form such as ``"dense"``, a finished ``Split``, or
            ``None`` for the card's ``default_split``.
        seed: of the generator that a random protocol draws from.

    Raises:
        ValueError: if the name or the split is not known, or the split is impossible on this data set.
        DataError: if files are missing or wrong.

    Example:
        >>> data = load("karate")
        >>> data.num_nodes, data.num_edges, data.card.classes
        (34, 156, 4)
        >>> data.protocol["split"], data.protocol["train"]
        ('random-per-class', 4)
    """
    known = card(name)
    data = _graph(known)
    protocol = known.default_split if split is None else split
    if isinstance(protocol, str):
        protocol = split_from_name(protocol)
    chosen = protocol if isinstance(protocol, Split) else protocol(data, torch.Generator().manual_seed(seed))
    for part in ("train_masks", "val_masks", "test_masks"):
        if part in data:
            del data[part]
    data.card = known
    return chosen.apply(data)


def fetch(name: str) -> Path:
    """Return the folder below which the files of the data set ``name`` lie, downloading them if they are nowhere.

    Files are downloaded into a staging folder, checked there, and renamed into the data folder.

    Raises:
        ValueError: if the name is not known.
        DataError: if files are missing and cannot be downloaded, or are wrong.
    """
    known = card(name)
    root = files.located(known)
    if root is not None:
        _checked(known, root)
        return root
    home = files.data_home()
    with files.staging(home) as staged:
        try:
            SOURCES[name].download(staged)
        except Exception as error:  # what a download raises depends on the protocol and on fsspec's backend for it
            reason = " ".join(str(error).split()) or type(error).__name__
            raise files.absence(known, reason) from error
        if absent := files.missing(known, staged):
            raise files.absence(known, f"the download did not bring {absent[0]}")
        _checked(known, staged)
        files.place(known, staged, home)
    return home


@dataclass(frozen=True)
class Verification:
    """What ``verify`` found in order.

    Args:
        name: the data set.
        root: the folder below which its files lie.
        files: number of files whose sha256 is the card's.
        others: path -> sha256 of files the card does not know, whose content was checked instead.
        content: sha256 of the loaded tensors.
        content_known: whether the card knows that sha256 (and it agrees); if not, only the counts were compared.
    """

    name: str
    root: Path
    files: int
    others: dict[str, str]
    content: str
    content_known: bool


def verify(name: str) -> Verification:
    """Check every file of the data set ``name`` against its card, read it anew and compare what it holds.

    Raises:
        ValueError: if the name is not known.
        DataError: if a file is missing or wrong, or what it holds is not what the card says.

    Example:
        >>> verify("karate").content == card("karate").content
        True
    """
    known = card(name)
    root = files.located(known)
    if root is None:
        raise files.absence(known, "verify does not download")
    others = files.strangers(known, root)
    content = content_sha256(_read(known, root))
    return Verification(name, root, len(known.files) - len(others), others, content, known.content is not None)


def _graph(known: Card) -> Data:
    """Return the graph with its published masks, from the cache or from the raw files."""
    found: dict[str, str] = {}
    if unknown := [path for path, digest in known.files.items() if digest is None]:
        root = fetch(known.name)
        found = {path: files.sha256(root / path) for path in unknown}
    cached = cache.path_of(known, found)
    data = cache.restored(cached)
    if data is None:
        data = _read(known, files.located(known) or fetch(known.name))
        cache.store(data, cached)
    return data


def _checked(known: Card, root: Path) -> None:
    """Refuse wrong files below ``root``; read them only where their checksum alone cannot tell."""
    if files.strangers(known, root):
        _read(known, root)


def _read(known: Card, root: Path) -> Data:
    """Read and check the data set from files below ``root``.

    Checked and read is a private copy: nobody can exchange a file between the two.
    """
    source = SOURCES[known.name]
    with tempfile.TemporaryDirectory(prefix="graphkit-") as folder:
        copy = Path(folder)
        for path in known.files:
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, copy / path)
        strange = files.strangers(known, copy)
        by_content = source.plain and known.checked_by in ("content", "counts")
        if strange and not by_content:
            raise files.refusal(known, *next(iter(strange.items())), root)
        try:
            data = source.read(copy)
        except UNREADABLE as error:
            if not strange:
                raise
            raise files.refusal(known, *next(iter(strange.items())), root) from error
    return data if _agrees(known, data) else _refused(known, data, strange, root)


def _agrees(known: Card, data: Data) -> bool:
    if known.content is not None:
        return content_sha256(data) == known.content
    counts = (data.num_nodes, data.num_edges, data.num_node_features, int(data.y.max()) + 1)
    return counts == (known.nodes, known.edges, known.features, known.classes)


def _refused(known: Card, data: Data, strange: dict[str, str], root: Path) -> Data:
    if strange:
        raise files.refusal(known, *next(iter(strange.items())), root)
    raise DataError(
        f"`{known.name}`: its files are right, but what was read from them is not what the card describes (expected "
        f"content sha256 {known.content}, found {content_sha256(data)}); is this the PyG that constraints.txt names?"
    )

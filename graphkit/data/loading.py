"""Loading: from a name to a graph, or several, with its split and its card."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from graphkit import _checks
from graphkit.data import cache, files
from graphkit.data.cards import Card, card
from graphkit.data.errors import DataError
from graphkit.data.family import GraphFamily, short_name
from graphkit.data.graphset import GraphSet
from graphkit.data.reading import read
from graphkit.data.sources import PARTS, SOURCES, StoredSource
from graphkit.data.split import Split, SplitProtocol
from graphkit.data.splits import Public, split_from_name
from graphkit.data.storage import stored

if TYPE_CHECKING:
    from torch_geometric.data import Data

SECONDS = 30.0
"""How long a download may stay silent."""


def load(name: str | Path, *, split: SplitProtocol | Split | str | None = None, seed: int = 0) -> Any:
    """Return the data set ``name`` with one split: a graph, a set of graphs, or a family of graphs.

    A graph has ``x [nodes, features]``, ``edge_index [2, edges]``, ``y [nodes]``, boolean ``train_mask``,
    ``val_mask`` and ``test_mask`` of shape ``[nodes]``, ``card`` (its ``Card``) and ``protocol`` (the record of the
    split: its name, parameters, sizes and fingerprint). Where a data set publishes ten splits, the first is the
    default and ``split="files:3"`` gives the fourth; PyG gives masks ``[nodes, 10]`` there. A set of graphs is a
    ``GraphSet``, PyG's ``InMemoryDataset`` with ``card``, ``protocol``, ``split`` and ``part("train")``. A family is a
    ``GraphFamily``, a mapping from short names to graphs, each split by itself. A set of links is a graph of the
    training edges, without labels (PyG's ``HeteroData`` where nodes have types); ``edge_split`` gives its split.

    Args:
        name: a name from ``names()``, or the ``Path`` of the folder of a stored graph (see :func:`stored`), whose split
            is the one it came with unless another is asked for.
        split: a protocol such as ``Stratified()``, its text form such as ``"dense"``, a finished ``Split``, or
            ``None`` for the card's ``default_split``.
        seed: of the generator that a random protocol draws from.

    Raises:
        ValueError: if the name or the split is not known, or the split is impossible on this data set.
        TypeError: if the name is no text, or ``split`` is no protocol.
        DataError: if files are missing or wrong.

    Example:
        >>> data = load("karate")
        >>> data.num_nodes, data.num_edges, data.card.classes
        (34, 156, 4)
        >>> data.protocol["split"], data.protocol["train"]
        ('random-per-class', 4)
    """
    _checks.seed("seed", seed)
    if isinstance(name, Path):
        data = _labelled(name)
        return _split_by(data, _protocol("public", split), seed)
    known = card(name)
    if known.members:
        graphs = {short_name(member, name): load(member, split=split, seed=seed) for member in known.members}
        return GraphFamily(known, graphs)
    if known.kind == "link":
        if split is not None:
            raise ValueError(f"{name!r} has one split, of its edges; see `edge_split`. Give no `split`.")
        return _graph(known)
    protocol = _protocol(known.default_split, split)
    return _split_by(_graph(known), protocol, seed)


def load_splits(
    name: str | Path, *, split: SplitProtocol | str | None = None, seeds: Iterable[int]
) -> tuple[Any, list[Split]]:
    """Return the data set ``name``, with the first of several splits, and these splits, one for each seed.

    A random protocol draws from a generator of each seed; of files of masks, and of folds, seed 3 takes the fourth.

    Args:
        name: a data set of one graph, or the ``Path`` of a stored one.
        split: as for :func:`load`, but no finished split.
        seeds: at least one.

    Raises:
        ValueError: if the name or the split is not known, the split is one and fixed, or it is impossible here.
        DataError: if files are missing or wrong.

    Example:
        >>> data, splits = load_splits("karate", seeds=range(3))
        >>> len({split.fingerprint for split in splits})
        3
    """
    _checks.instance("seeds", seeds, Iterable, "a list of seeds")
    seeds = [_checks.seed("seeds", each) for each in seeds]
    if not seeds:
        raise ValueError("`seeds` must hold at least one seed.")
    known = None if isinstance(name, Path) else card(name)
    if known is not None and known.kind == "link":
        raise ValueError(f"{name!r} has one split, of its edges; `load` gives it, and `edge_split` takes it apart.")
    if known is not None and known.members:
        raise ValueError(f"{name!r} is a family of graphs; split one of them: {', '.join(known.members)}.")
    protocol = _protocol("public" if known is None else known.default_split, split)
    if isinstance(protocol, Public | Split):
        raise ValueError(
            f"`split` {str(protocol)!r} is one and fixed; a split for each seed needs a drawn one, such as "
            "'random-per-class:20'."
        )
    data = _labelled(name) if isinstance(name, Path) else _graph(card(name))
    many = [protocol.of_seed(_items(data), seed) for seed in seeds]
    return _divided(data, many[0]), many


def _labelled(folder: Path) -> Data:
    """Return a stored graph whose nodes can be split."""
    data = stored(folder)
    if data.get("y") is None:
        raise DataError(f"{str(folder)!r} has no labels; `graphkit data import` takes a file of them.")
    return data


def _split_by(data: Data | GraphSet, protocol: SplitProtocol | Split, seed: int) -> Data | GraphSet:
    """Return the data with the split that a protocol draws with this seed."""
    chosen = protocol if isinstance(protocol, Split) else protocol(_items(data), torch.Generator().manual_seed(seed))
    return _divided(data, chosen)


def _protocol(default: str, split: SplitProtocol | Split | str | None) -> SplitProtocol | Split:
    """Return the protocol that is asked for, the default where none is."""
    protocol = default if split is None else split
    if not isinstance(protocol, str | Split | SplitProtocol):
        raise TypeError(
            f"`split` must be a protocol, its text form such as 'stratified' or 'files:3', or a `Split`, got {split!r}."
        )
    return split_from_name(protocol) if isinstance(protocol, str) else protocol


def _items(data: Data | GraphSet) -> Data:
    """Return what a protocol divides: the nodes of a graph, or the graphs of a set."""
    return data.items if isinstance(data, GraphSet) else data


def _divided(data: Data | GraphSet, split: Split) -> Data | GraphSet:
    """Return ``data`` with one split; the masks ``[nodes, splits]`` that it was published with go."""
    if isinstance(data, GraphSet):
        return data.divided(split)
    for part in PARTS:
        if f"{part}s" in data:
            del data[f"{part}s"]
    return split.apply(data)


def fetch(name: str) -> Path:
    """Return the folder below which the files of the data set ``name`` lie, downloading them if they are nowhere.

    The members of a family are fetched one by one and may lie in different folders; that of the first is returned.
    Files are downloaded into a staging folder by PyG, checked there before anything opens them, and renamed into the
    data folder. PyG says on stderr what it downloads.

    Raises:
        ValueError: if the name is not known.
        DataError: if files are missing and cannot be downloaded, or are wrong.
    """
    known = card(name)
    if known.members:
        roots = [fetch(member) for member in known.members]
        return roots[0]
    root = files.located(known)
    if root is not None:
        found = unknown_files(known, root)
        _check(known, root)
        files.remember(known, found)
        return root
    home = files.data_home()
    with files.staging(home) as staged:
        try:
            with _patience(SECONDS):
                SOURCES[name].download(staged)
        except Exception as error:  # what a download raises depends on the protocol and on fsspec's backend for it
            raise files.absence(known, " ".join(str(error).split()) or type(error).__name__) from error
        if absent := files.missing(known, staged):
            raise files.absence(known, f"the download did not bring {absent[0]}")
        _check(known, staged)
        files.seal_of(known).unlink(missing_ok=True)  # of files that lay here before
        files.place(known, staged, home)
        files.remember(known, unknown_files(known, home))
    return home


def _graph(known: Card) -> Data | GraphSet:
    """Return the graph, or the set of graphs, with its published masks, from the cache or from the raw files."""
    if isinstance(source := SOURCES[known.name], StoredSource):
        return on_disk(known, source, fetch(known.name), verify=True)
    found = unknown_files(known, files.located(known) or fetch(known.name)) if None in known.files.values() else {}
    cached = cache.path_of(known, found)
    data = cache.restored(cached)
    if data is None:
        data = read(known, files.located(known) or fetch(known.name))
        cache.store(data, cached)
        files.remember(known, found)
    data.card = known
    return data


def unknown_files(known: Card, root: Path) -> dict[str, str]:
    """Return path -> sha256 of the files whose checksum neither the card nor a manifest knows."""
    return {} if isinstance(SOURCES[known.name], StoredSource) else files.unknown(known, root)


def _check(known: Card, root: Path) -> None:
    """Refuse wrong files below ``root``; read them only where their checksums alone cannot tell."""
    if isinstance(source := SOURCES[known.name], StoredSource):
        on_disk(known, source, root)
    elif files.strangers(known, root):
        read(known, root)


def on_disk(known: Card, source: StoredSource, root: Path, *, verify: bool = False) -> Data:
    """Return a graph that stays on the disk; its files were drawn here, and its manifest has their checksums."""
    data = source.read(root, verify=verify)
    about = data.store
    counts = about.nodes, about.edges, about.features, about.classes
    if counts != (known.nodes, known.edges, known.features, known.classes):
        raise files.refusal(known, root, next(iter(known.files)), about.fingerprint, f", of (counts) {counts}")
    data.card = known
    return data


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Give up on a silent connection: an air-gapped machine often drops packets instead of refusing them."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)

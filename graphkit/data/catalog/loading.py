"""Load, fetch and verify a data set by its name."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from graphkit import _checks
from graphkit._torch_internals import joined_graphs
from graphkit.data.catalog import cached_graphs, files
from graphkit.data.catalog.cards import Card, card, dataset_source, short_name
from graphkit.data.catalog.sources import StoredSource, source_of
from graphkit.data.catalog.verified_read import dataset_sha256, read_verified
from graphkit.data.disk.checked_files import DataError
from graphkit.data.disk.manifest import read_manifest
from graphkit.data.disk.storage import open_stored
from graphkit.data.graphset import GraphFamily, GraphSet
from graphkit.data.splits import Public, Scaffold, split_from_name
from graphkit.data.splits.link_protocols import LinkProtocol, link_split_from_name
from graphkit.data.splits.links import LinkSplit, node_kinds
from graphkit.data.splits.split import MASKS, Split, SplitProtocol
from graphkit.data.temporal_graph import TemporalGraph
from graphkit.data.transforms import disjoint_union, to_undirected
from graphkit.data.windows import ForecastSplit, TimeSplit

TIMEOUT = 30.0
"""How long a download may stay silent."""


def load(name: str | Path, *, split: SplitProtocol | Split | str | None = None, seed: int = 0) -> Any:
    """Return the data set ``name`` with one split: a graph, a set of graphs, or a family of graphs.

    A graph has ``x [nodes, features]``, ``edge_index [2, edges]``, ``y [nodes]``, boolean ``train_mask``, ``val_mask``
    and ``test_mask`` ``[nodes]``, ``card`` (its ``Card``) and ``protocol`` (the record of the split). Of ten published
    splits the first is the default and ``split="files:3"`` gives the fourth; PyG gives masks ``[nodes, 10]``. A set of
    graphs is a ``GraphSet``, PyG's ``InMemoryDataset`` with ``card``, ``protocol``, ``split`` and ``part("train")``;
    signals over time are a ``TemporalGraph``; a family a ``GraphFamily``, a mapping from short names to graphs, each
    split by itself; a set of links a graph of the training edges, without labels (``HeteroData`` where nodes have
    types; see ``edge_split``).

    Args:
        name: a name from ``names()``, or the folder of a stored graph or set of graphs, a path or its text (see
            :func:`open_stored`), whose split is the one it came with, or else "random", unless another is asked for.
            One without labels has no split.
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
    if isinstance(source := dataset_source(name), Path):
        return _load_stored(source, split, seed)
    known, name = card(source), source
    if known.members:
        graphs = {short_name(member, name): load(member, split=split, seed=seed) for member in known.members}
        return GraphFamily(known, graphs)
    if known.kind == "link":
        if split is not None:
            raise ValueError(f"{name!r} has one split, of its edges; see `edge_split`. Give no `split`.")
        return _graph(known)
    if known.kind == "series":
        if split is not None:
            raise ValueError(f"{name!r} are signals over time: `load_series` takes a split of them. Give no `split`.")
        return TemporalGraph.of(_graph(known))
    protocol = _protocol_for(known.default_split, split)
    return _split_by(_graph(known), protocol, seed)


def load_splits(
    name: str | Path, *, split: SplitProtocol | str | None = None, seeds: Iterable[int]
) -> tuple[Any, list[Split]]:
    """Return the data set ``name``, with the first of several splits, and these splits, one for each seed.

    A random protocol draws from a generator of each seed; of files of masks, and of folds, seed 3 takes the fourth.

    Args:
        name: a data set of one graph or one set of graphs, or the folder of a stored one.
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
    source = dataset_source(name)
    known = card(source)
    if known.kind == "link":
        raise ValueError(f"{name!r} has one split, of its edges; `load` gives it, and `edge_split` takes it apart.")
    if known.members:
        raise ValueError(f"{name!r} is a family of graphs; split one of them: {', '.join(known.members)}.")
    if known.kind == "series":
        raise ValueError(f"{name!r} are signals over time: `load_series` takes a split of them.")
    protocol = _protocol_for(known.default_split, split)
    if isinstance(protocol, Public | Scaffold | Split):
        raise ValueError(
            f"`split` {str(protocol)!r} is one and fixed; a split for each seed needs a drawn one, such as "
            "'random-per-class:20'."
        )
    data = open_stored(source) if isinstance(source, Path) else _graph(known)
    if isinstance(source, Path):
        require_labels(data, source)
    divided = data if protocol.whole else _split_items(data)
    many = [protocol.of_seed(divided, seed) for seed in seeds]
    return _apply_split(data, many[0]), many


def load_links(
    name: str | Path,
    *,
    split: LinkProtocol | str | None = None,
    seeds: Iterable[int] = (0,),
    undirected: bool = False,
) -> tuple[Data, list[LinkSplit]]:
    """Return the graph ``name``, and splits of its links, one for each seed; it needs no labels.

    Args:
        name: a data set of one graph, a family of graphs, which are then one in parts, or the folder of a stored one.
        split: a rule, or its text form such as "random:0.7,0.1,0.2", "time", "public" or, of a family,
            "across:NAME,100", few links of one graph and all of the others; by default the published one
            of a set of links, and else "random".
        seeds: at least one; each draws a split.
        undirected: whether the graph is given every edge in both directions first, as ``to_undirected`` does; the side
            on which a node stood stays known, as ``node_type``.

    Raises:
        ValueError: if the name or the rule is not known, for sets of graphs and graphs with types of nodes, and a graph
            with too few links.
        DataError: if files are missing or wrong.

    Example:
        >>> data, splits = load_links("karate", seeds=range(2))
        >>> [split.test.positive.size(1) for split in splits]
        [15, 15]
    """
    seeds = [_checks.seed("seeds", each) for each in _checks.instance("seeds", seeds, Iterable, "a list of seeds")]
    if not seeds:
        raise ValueError("`seeds` must hold at least one seed.")
    source = dataset_source(name)
    known = card(source)
    protocol = split if split is not None else "public" if known.kind == "link" else "random"
    if not isinstance(protocol, str | LinkProtocol):
        raise TypeError(f"`split` must be a rule such as `RandomLinks()`, or its text form, got {split!r}.")
    rule = link_split_from_name(protocol) if isinstance(protocol, str) else protocol
    if "series" in {known.kind, *(card(member).kind for member in known.members)}:
        raise ValueError(f"{str(name)!r} are signals over time, whose links are not predicted.")
    if known.members:
        data: Any = disjoint_union(load(known.name))
    else:
        data = open_stored(source) if isinstance(source, Path) else _graph(known)
    if not isinstance(data, Data):
        raise ValueError(f"{str(name)!r} is not one graph with one type of nodes, of which links could be predicted.")
    if _checks.flag("undirected", undirected):
        kinds, data = node_kinds(data), to_undirected(data)
        if kinds is not None:
            data.node_type = kinds
    return data, [rule(data, torch.Generator().manual_seed(seed)) for seed in seeds]


def load_series(
    name: str | Path,
    *,
    split: str | None = None,
    length: int | None = None,
    horizons: Iterable[int] | None = None,
    season: float | None = None,
    edge_weights: bool = True,
) -> TemporalGraph:
    """Return signals over time with what is forecast of them, as ``forecast_split``.

    Args:
        name: a data set of signals over time, or the folder of stored ones.
        split: parts of time, such as "time:0.7,0.1" for the shares to learn from and to choose by; by default the
            card's.
        length: moments that a forecast is made from; by default the card's.
        horizons: how many moments ahead figures are given for; by default the card's.
        season: moments of a season, where the calendar is not known, such as 52.18 weeks; by default the card's.
        edge_weights: whether the weights of edges are kept.

    Raises:
        ValueError: for another data set, a split that is none, and parts in which nothing can be forecast.
        DataError: if files are missing or wrong.
    """
    _checks.flag("edge_weights", edge_weights)
    if split is not None:
        _checks.instance("split", split, str, "a text such as 'time:0.7,0.1'")
    ahead = None if horizons is None else _checks.as_list("horizons", horizons, "[1, 2, 3]")
    source = dataset_source(name)
    known = card(source)
    if known.kind != "series":
        family = bool(known.members) and card(known.members[0]).kind == "series"
        hint = f"; name one of {', '.join(known.members)}" if family else ""
        raise ValueError(f"{str(name)!r} are no signals over time{hint}.")
    graph = load(source)
    usual: dict[str, Any] = {"length": 12, "horizons": (1,), "inside": False, "season": None} | known.forecast
    if season is not None and graph.get("times") is not None:
        raise ValueError(f"`season` is of series without a calendar, and {str(name)!r} has one.")
    season = usual["season"] if season is None else _checks.within("season", season, 1.0, 1e9)
    made = ForecastSplit(
        TimeSplit.from_name(known.default_split if split is None else split, graph.steps),
        length=usual["length"] if length is None else length,
        horizons=tuple(usual["horizons"] if ahead is None else ahead),
        inside=usual["inside"],
        season=float(season or 0.0) if graph.get("times") is None else 0.0,
    )
    if not edge_weights:
        graph.edge_weight = None
    return made.apply(graph)


def _load_stored(folder: Path, split: SplitProtocol | Split | str | None, seed: int) -> Data | GraphSet:
    """Return a stored graph, or a stored set, with a split; without labels it has none."""
    data = open_stored(folder)
    if isinstance(data, TemporalGraph):
        if split is not None:
            raise ValueError(f"{str(folder)!r} are signals over time: `load_series` takes a split of them.")
        return data
    if split is None and _split_items(data).get("y") is None:
        return data
    require_labels(data, folder)
    return _split_by(data, _protocol_for(data.store.default_split, split), seed)


def require_labels(data: Data | GraphSet, folder: Path) -> None:
    """Refuse a stored graph without labels.

    Raises:
        DataError: naming it.
    """
    if _split_items(data).get("y") is None:
        raise DataError(f"{str(folder)!r} has no labels; `graphkit data import` takes a file of them.")


def _split_by(data: Data | GraphSet, split: SplitProtocol | Split, seed: int) -> Data | GraphSet:
    """Return the data with a split, which a protocol draws with this seed."""
    if isinstance(split, SplitProtocol):
        split = split(data if split.whole else _split_items(data), torch.Generator().manual_seed(seed))
    return _apply_split(data, split)


def _protocol_for(default: str, split: SplitProtocol | Split | str | None) -> SplitProtocol | Split:
    """Return the protocol that is asked for, the default where none is."""
    protocol = default if split is None else split
    if not isinstance(protocol, str | Split | SplitProtocol):
        raise TypeError(
            f"`split` must be a protocol, its text form such as 'stratified' or 'files:3', or a `Split`, got {split!r}."
        )
    return split_from_name(protocol) if isinstance(protocol, str) else protocol


def _split_items(data: Data | GraphSet) -> Data:
    """Return what a protocol divides: the nodes of a graph, or the graphs of a set."""
    if isinstance(data, GraphSet):
        return data.items if joined_graphs(data).get("y") is not None else Data()
    return data


def _apply_split(data: Data | GraphSet, split: Split) -> Data | GraphSet:
    """Return ``data`` with one split; the masks ``[nodes, splits]`` that it was published with go."""
    if isinstance(data, GraphSet):
        return data.with_split(split)
    for part in MASKS:
        if f"{part}s" in data:
            del data[f"{part}s"]
    return split.apply(data)


def fetch(name: str) -> Path:
    """Return the folder below which the files of the data set ``name`` lie, downloading them if they are nowhere.

    The members of a family may lie in different folders; that of the first is returned. Files are downloaded into a
    staging folder by PyG, which says so on stderr, checked there before anything opens them, and renamed into place.

    Raises:
        ValueError: if the name is not known.
        DataError: if files are missing and cannot be downloaded, or are wrong.
    """
    known = card(name)
    if known.members:
        roots = [fetch(member) for member in known.members]
        return roots[0]
    root = files.find_root(known)
    if root is not None:
        found = _without_checksum(known, root)
        _check(known, root)
        files.record_checksums(known, found)
        return root
    home = files.data_home()
    with files.staging_folder(home) as staged:
        try:
            with _socket_timeout(TIMEOUT):
                source_of(known).download(staged)
        except Exception as error:  # what a download raises depends on the protocol and on fsspec's backend for it
            raise files.missing_error(known, " ".join(str(error).split()) or type(error).__name__) from error
        if absent := files.missing_files(known, staged):
            raise files.missing_error(known, f"the download did not bring {absent[0]}")
        _check(known, staged)
        files.first_checksums_path(known).unlink(missing_ok=True)  # of files that lay here before
        files.move_into_place(known, staged, home)
        files.record_checksums(known, _without_checksum(known, home))
    return home


def _graph(known: Card) -> Data | GraphSet:
    """Return the graph, or the set of graphs, with its published masks, from the cache or from the raw files."""
    if isinstance(source := source_of(known), StoredSource):
        return read_stored(known, source, fetch(known.name), verify=True)
    # What the card does not know of the files is a part of the cached file's name, and has to be seen first.
    found = (
        _without_checksum(known, files.find_root(known) or fetch(known.name)) if None in known.files.values() else {}
    )
    cached = cached_graphs.cached_path(known, found)
    data = cached_graphs.read_graph(cached)
    if data is None:
        data = read_verified(known, files.find_root(known) or fetch(known.name))
        cached_graphs.write_graph(data, cached)
        files.record_checksums(known, found)
    data.card = known
    return data


def _without_checksum(known: Card, root: Path) -> dict[str, str]:
    """Return path -> sha256 of the files whose checksum neither the card nor a manifest knows."""
    return {} if isinstance(source_of(known), StoredSource) else files.unlisted_checksums(known, root)


def _check(known: Card, root: Path) -> None:
    """Refuse wrong files below ``root``; read them only where their checksums alone cannot tell."""
    if isinstance(source := source_of(known), StoredSource):
        read_stored(known, source, root)
    elif files.mismatched_files(known, root):
        read_verified(known, root)


def read_stored(known: Card, source: StoredSource, root: Path, *, verify: bool = False) -> Data:
    """Return a graph that stays on the disk; its files were drawn here, and its manifest has their checksums."""
    data = source.read(root, verify=verify)
    about = data.store
    counts = about.nodes, about.edges, about.features, about.classes
    if counts != (known.nodes, known.edges, known.features, known.classes):
        raise files.checksum_error(known, root, next(iter(known.files)), about.fingerprint, f", of (counts) {counts}")
    data.card = known
    return data


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Give up on a silent connection: an air-gapped machine often drops packets instead of refusing them."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@dataclass(frozen=True)
class Verification:
    """What ``verify`` found in order.

    Args:
        name: the data set.
        root: the folder below which its files lie.
        files: number of files whose sha256 is the card's; of a graph that was drawn here, its manifest's.
        others: path -> sha256 of the other files, told by what they hold.
        content: sha256 of the loaded tensors.
        content_known: whether the card knows that sha256; if not, only the counts could be compared.
    """

    name: str
    root: Path
    files: int
    others: dict[str, str]
    content: str
    content_known: bool

    def text(self) -> str:
        """Return the findings as one line."""
        held = f"content sha256 {self.content}" if self.content_known else "the published counts"
        counted = f"{self.files} of {self.files + len(self.others)} files by their sha256" if self.files else "no file"
        return f"{self.name}: in order; {counted}, {held}; below {self.root}"


def verify(name: str | Path) -> Verification:
    """Check every file of a data set against its card, read it anew and compare what it holds.

    Files whose checksum the card does not know are compared with the published counts, and with what they were when
    they were first read; those of a stored graph, or of a graph in parts, with the checksums written with them.

    Args:
        name: a name from ``names()``, or the ``Path`` of a folder of :func:`store`, ``graphkit data import`` or
            :func:`partition`.

    Raises:
        ValueError: if the name is not known.
        DataError: if a file is missing or wrong, or what it holds is not what the card says.

    Example:
        >>> verify("karate").content == card("karate").content
        True
    """
    if isinstance(source := dataset_source(name), Path):
        return _verify_folder(source)
    known, name = card(source), source
    if known.members:
        return _combine(known, [verify(member) for member in known.members])
    root = files.find_root(known)
    if root is None:
        raise files.missing_error(known, "to verify is not to download")
    if isinstance(origin := source_of(known), StoredSource):
        about = read_stored(known, origin, root, verify=True).store
        return Verification(name, root, len(about.files), {}, about.fingerprint, True)
    others, found = files.mismatched_files(known, root), _without_checksum(known, root)
    content = dataset_sha256(read_verified(known, root))
    files.record_checksums(known, found)
    return Verification(name, root, len(known.files) - len(others), others, content, known.content is not None)


def _verify_folder(folder: Path) -> Verification:
    """Check the files of a stored graph, or of a graph in parts."""
    from graphkit.data.distributed.partitions import Partitions

    if (folder / "owner.npy").is_file():
        parts = Partitions(folder)
        parts.verify()
        return Verification(parts.about["name"], folder, len(parts.files), {}, parts.fingerprint, True)
    about = read_manifest(folder)
    about.verify()
    return Verification(about.name, folder, len(about.files), {}, about.fingerprint, True)


def _combine(known: Card, found: list[Verification]) -> Verification:
    """Return what was found of the members of a family as one."""
    return Verification(
        known.name,
        found[0].root,
        sum(one.files for one in found),
        {path: digest for one in found for path, digest in one.others.items()},
        hashlib.sha256(" ".join(one.content for one in found).encode()).hexdigest(),
        all(one.content_known for one in found),
    )

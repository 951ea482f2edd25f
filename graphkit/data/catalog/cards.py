"""Cards: what is known of a data set before a byte of it is read.

A card is the file ``datasets/<name>/card.toml``. It lies at the top of the repository and travels inside the wheel as
``graphkit/datasets``. What nobody here has seen is left out of it: a missing checksum is ``None``, never a guess. The
card of a family names its members; counts and files are theirs.
"""

from __future__ import annotations

import hashlib
import os
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from graphkit import _checks
from graphkit.data.disk.manifest import StoredGraph, read_manifest


@dataclass(frozen=True, repr=False)
class Card:
    """The description of one data set.

    Args:
        name: the name it is loaded by.
        title: one line.
        kind: ``"node"`` for one graph with labelled nodes, ``"graph"`` for a set of labelled graphs, ``"signal"`` for
            labelled signals on one graph, ``"link"`` for one graph whose links are predicted, ``"series"`` for signals
            over time on one graph, ``"family"`` for several data sets that are loaded together.
        directed: whether an edge may stand in ``edge_index`` in one direction only, as its publishers gave it.
        nodes: number of nodes, of all graphs together; 0 where it is not known here.
        edges: number of columns of ``edge_index``, both directions where the graph is undirected; 0 as for nodes.
        features: number of features of a node; the largest, where the members of a family differ.
        classes: number of classes; 0 where labels are real numbers, or there are none.
        licence: the terms of the place the files came from.
        source: where the files come from.
        citation: who first published them.
        default_split: what ``load`` uses when no split is asked for, in the form ``split_from_name`` reads.
        splits: published split -> what it means.
        faults: known faults and traps.
        checked_by: how files are told to be the right ones: ``"files"`` (each by its sha256), ``"content"`` (by that,
            or by the sha256 of the tensors in it: plain arrays that may be packed differently elsewhere),
            ``"counts"`` (only the published counts are known), ``"nothing to fetch"`` (comes with a dependency).
        files: path below a data root -> sha256, or ``None`` where it is not known.
        sizes: path below a data root -> bytes, or ``None`` where it is not known.
        content: sha256 of the loaded tensors (see ``graphkit.data.fingerprint``), or ``None`` where it is not known.
        graphs: number of graphs; 0 where it is not known here.
        signals: number of signals on the graph, where those have the labels; of a series its moments.
        members: names of the data sets of a family.
        family: of one graph with labelled nodes, the name that it shares with every other such graph that has some of
            its nodes or was cut from the same collection (see :func:`families`); a stored graph is one by itself.
        metric: the figure that the publishers ask for: ``"accuracy"``, ``"roc_auc"``, ``"ap"`` (average
            precision) or ``"rmse"``; of links ``"hits@50"`` and the like, or ``"mrr"``; nothing without labels.
        target_kind: what items are labelled with, "classes", "binary" (tasks of 0 and 1) or "numbers", where that is
            not as :func:`graphkit.training.classification.targets.target_kind` takes it.
        few_shot: how many classes train, select and test in the few-shot literature, or nothing.
        reader: how the files are read: ``form``, one of ``graphkit.data.catalog.sources.READERS``, and what that takes.
        forecast: of a series what is forecast: ``length``, ``horizons`` and perhaps ``inside`` of a
            :class:`graphkit.data.ForecastSplit`, and ``season``, moments of one where there is no calendar.
        evaluator: ``"ogb"`` where OGB has an evaluator for its figure.
        molecules: whether ``x`` and ``edge_attr`` are integers for OGB's encoders of atoms and bonds.
        picture: height and width, where the features of an item are the pixels of a picture.
        row_normalise: whether those who publish results on it scale each node's features to a sum of 1.
        class_names: of the classes in the order of their numbers, where they have names.
        target_names: of the columns that are predicted, of a stored graph.
        columns, edge_columns: how columns of a table became features of nodes and edges, in words.
    """

    name: str
    title: str
    kind: Literal["node", "graph", "signal", "link", "series", "family"]
    directed: bool
    nodes: int
    edges: int
    features: int
    classes: int
    licence: str
    source: str
    citation: str
    default_split: str
    splits: dict[str, str]
    faults: list[str]
    checked_by: Literal["files", "content", "counts", "nothing to fetch"]
    files: dict[str, str | None]
    sizes: dict[str, int | None]
    content: str | None
    graphs: int = 1
    signals: int = 0
    members: list[str] = field(default_factory=list)
    family: str = ""
    metric: str = "accuracy"
    target_kind: str = ""
    few_shot: list[int] = field(default_factory=list)
    reader: dict[str, Any] = field(default_factory=dict)
    forecast: dict[str, Any] = field(default_factory=dict)
    evaluator: str = ""
    molecules: bool = False
    picture: list[int] = field(default_factory=list)
    row_normalise: bool = False
    class_names: list[str] = field(default_factory=list)
    target_names: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    edge_columns: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Card({self.name!r})"

    def __hash__(self) -> int:
        return hash((self.name, self.content))

    def _forecast_text(self) -> str:
        """Say what is forecast of a series."""
        ahead, season = ", ".join(map(str, self.forecast["horizons"])), self.forecast.get("season")
        said = f"{ahead} moments ahead, from {self.forecast['length']}"
        return said + (f"; a season has {season}" if season else "")

    def text(self, width: int = 100) -> str:
        """Return the card as plain text, one field a paragraph, at most ``width`` columns wide."""
        direction = "directed" if self.directed else "undirected, both directions counted"
        files = str(len(self.files) or "none")
        if size := sum(bytes_ or 0 for bytes_ in self.sizes.values()):
            files += f", {size:,} bytes"
        many = f"{self.graphs:,} graphs, " if self.graphs > 1 else ""
        many = f"{self.signals:,} {'moments' if self.kind == 'series' else 'signals'} on " if self.signals else many
        edges = f"{self.edges:,} edges" if self.edges else "edges not known here"
        counted = f"{self.nodes:,} nodes, {edges}" if self.nodes else "nodes and edges not known here"
        items = {"graph": "graphs", "signal": "signals"}.get(self.kind, "nodes")
        labels = f"{self.classes} classes" if self.classes else "real numbers"
        task = f"labels of {items}, {labels}, {self.metric}" if self.metric else "no labels"
        task = task if self.kind != "link" else f"which links there will be, {self.metric}"
        task = task if self.kind != "series" else f"what comes next, {self.metric}"
        fields = [
            ("title", self.title),
            ("members", ", ".join(self.members)),
            ("family", self.family if self.published else ""),
            ("task", task),
            ("size", f"{many}{counted} ({direction}), {self.features:,} features"),
            ("forecast", self._forecast_text() if self.forecast else ""),
            ("split", self.default_split),
            *((f"  {name}", meaning) for name, meaning in self.splits.items()),
            ("target", ", ".join(self.target_names)),
            ("class names", ", ".join(self.class_names)),
            *(("column", column) for column in self.columns),
            *(("edge column", column) for column in self.edge_columns),
            ("few-shot", f"{' / '.join(map(str, self.few_shot))} classes" if self.few_shot else ""),
            *(("fault", fault) for fault in self.faults),
            ("source", self.source),
            ("licence", self.licence),
            ("citation", self.citation),
            ("files", files),
            ("checked by", self.checked_by),
            ("sha256", self.content or "not known"),
            ("unchecked", self.unchecked),
        ]
        fields = [(label, value) for label, value in fields if value]
        margin = max(len(label) for label, _ in fields) + 2
        paragraphs = [
            textwrap.fill(value, width, initial_indent=label.ljust(margin), subsequent_indent=" " * margin)
            for label, value in fields
        ]
        return "\n".join([self.name, *paragraphs])

    @property
    def published(self) -> bool:
        """Whether it is of a published data set, and not of a stored one of your own."""
        return bool(self.reader or self.members)

    @property
    def unchecked(self) -> str:
        """What nobody can check of the files when they come, in words; nothing where checksums are known."""
        many = [path for path, digest in self.files.items() if digest is None]
        if not many or self.checked_by == "nothing to fetch":
            return ""
        of = f"{len(many)} of {len(self.files)} files" if len(many) < len(self.files) else "the files"
        return (
            f"no checksum of {of} is known: what comes is compared with the published counts only, and after that with "
            "what came first"
        )


def names() -> list[str]:
    """Return the names of all data sets, sorted.

    Example:
        >>> "cora" in names()
        True
    """
    return sorted(path.parent.name for path in folder().glob("*/card.toml"))


def families() -> dict[str, list[str]]:
    """Return family -> the names of its data sets, of all that are one graph with labelled nodes.

    What is learnt on one graph of a family may have seen the nodes of another: a study over graphs that leaves one out
    leaves out its family. Data sets that are loaded together are of one family, which has their name.

    Example:
        >>> families()["webkb"]
        ['cornell', 'texas', 'wisconsin']
    """
    found: dict[str, list[str]] = {}
    for name in names():
        if family := card(name).family:
            found.setdefault(family, []).append(name)
    return found


def dataset_source(name: str | Path) -> str | Path:
    """Return the folder that a text means, or else what should be the name of a data set.

    A name that a card has comes first; any other text with a separator in it, or that is a folder here, is a path.

    Raises:
        TypeError: if ``name`` is neither a text nor a path.

    Example:
        >>> dataset_source("cora"), dataset_source("my/graph")
        ('cora', PosixPath('my/graph'))
    """
    if isinstance(name, Path):
        return name
    if not isinstance(name, str):
        raise TypeError(f"`name` must be the name of a data set, such as 'cora', got {name!r}.")
    separators = {os.sep, os.altsep or os.sep}
    is_path = name not in names() and (any(each in name for each in separators) or (name and Path(name).is_dir()))
    return Path(name) if is_path else name


def card(name: str | Path) -> Card:
    """Return the card of the data set ``name``, or of the graph or set of graphs that is stored in a folder.

    Raises:
        ValueError: if there is no such data set; the nearest names are suggested.
        TypeError: if ``name`` is no text.
        DataError: for a folder that holds no stored graph.

    Example:
        >>> cora = card("cora")
        >>> cora.nodes, cora.edges, cora.features, cora.classes
        (2708, 10556, 1433, 7)
    """
    if isinstance(source := dataset_source(name), Path):
        return stored_card(read_manifest(source))
    name = source
    _checks.member("name", name, names(), listed="`graphkit data list` names all.")
    table = tomllib.loads((folder() / name / "card.toml").read_text(encoding="utf-8"))
    if table["kind"] == "family":
        return _family(name, table)
    files = table.pop("files", {})
    return Card(
        name=name,
        files={path: entry.get("sha256") for path, entry in files.items()},
        sizes={path: entry.get("bytes") for path, entry in files.items()},
        splits=table.pop("splits", {}),
        faults=table.pop("faults", []),
        content=table.pop("content", None),
        **table,
    )


METRICS = {"binary": "roc_auc", "numbers": "rmse"}
"""What is measured on targets that are no classes."""


def stored_card(about: StoredGraph) -> Card:
    """Return the card of a stored graph, or of a stored set, from what its manifest says."""
    target, splits = (
        about.target,
        {"random": "60 % to train on, 20 % to select by, 20 % to test on, rare classes first"},
    )
    kinds = {"graph": "A set of graphs", "series": "Signals over time"}
    if about.kind == "series":
        splits = {
            "time:0.7,0.1": "the first 70 % of time to learn from, the next 10 % to choose by, the rest to measure"
        }
    elif about.default_split == "public":
        splits = {"public": "the one it came with"} | splits
    return Card(
        name=about.name,
        title=f"{kinds.get(about.kind, 'A graph')} stored in {about.folder}.",
        kind=about.kind,
        directed=not about.undirected,
        nodes=about.nodes,
        edges=about.edges,
        features=about.features,
        classes=about.classes,
        licence="",
        source=", ".join(map(str, about.how.get("imported", []))) or str(next(iter(about.how.values()), "")),
        citation="",
        default_split=about.default_split,
        splits=splits,
        faults=[],
        checked_by="files",
        files={name: each["sha256"] for name, each in about.files.items()},
        sizes={name: each["bytes"] for name, each in about.files.items()},
        content=about.fingerprint,
        graphs=about.graphs,
        signals=about.signals,
        forecast=_usual_forecast(about.signals) if about.kind == "series" else {},
        family=about.name if about.kind == "node" else "",
        metric=_stored_metric(about),
        target_kind=target.get("kind", ""),
        molecules=about.molecules,
        class_names=list(target.get("class_names", [])),
        target_names=list(target.get("columns", [])),
        columns=[_column_text(each) for each in about.columns],
        edge_columns=[_column_text(each) for each in about.edge_columns],
    )


def _stored_metric(about: StoredGraph) -> str:
    """Return the figure of what is stored; nothing where there is nothing to predict."""
    if about.kind == "series":
        return "rmse"
    return METRICS.get(about.target.get("kind", ""), "accuracy") if "y.npy" in about.files else ""


def _usual_forecast(moments: int) -> dict[str, Any]:
    """Return what is forecast of so many moments where nobody says: up to twelve ahead, from twelve."""
    farthest = max(1, min(12, moments // 20))
    horizons = sorted({max(1, farthest // part) for part in (1, 2, 4, 12)})
    return {"length": max(1, min(12, moments // 10)), "horizons": horizons}


def _column_text(column: Mapping[str, Any]) -> str:
    """Return in words how a column became features."""
    name, kind = column["name"], column["kind"]
    if kind == "category":
        shown = ", ".join(column["categories"][:8]) + (", ..." if len(column["categories"]) > 8 else "")
        return f"{name}: {len(column['categories'])} categories ({shown}); all 0 where it is missing"
    if kind == "raw":
        return f"{name}: as it stands; {column['fill']:.4g} where it is missing"
    return (
        f"{name}: a number, less {column['mean']:.4g} and over {column['scale']:.4g}; {column['fill']:.4g} where it is "
        "missing"
    )


def short_name(member: str, family: str) -> str:
    """Return the name of a member without that of its family.

    Example:
        >>> short_name("citation-domains-acm", "citation-domains")
        'acm'
    """
    return member.removeprefix(f"{family}-")


def _family(name: str, table: dict[str, Any]) -> Card:
    """Return the card of a family: what ``table`` says of it, and the sums over its members."""
    members = [card(member) for member in table["members"]]
    contents = [member.content or "" for member in members]
    first = members[0]
    return Card(
        name=name,
        splits=table.pop("splits", {}),
        faults=table.pop("faults", []),
        directed=any(member.directed for member in members),
        nodes=sum(member.nodes for member in members),
        edges=sum(member.edges for member in members),
        features=max(member.features for member in members),
        classes=first.classes,
        graphs=len(members),
        default_split=first.default_split,
        checked_by=first.checked_by,
        files={path: digest for member in members for path, digest in member.files.items()},
        sizes={path: size for member in members for path, size in member.sizes.items()},
        content=hashlib.sha256(" ".join(contents).encode()).hexdigest() if all(contents) else None,
        **table,
    )


def folder() -> Path:
    """Return the folder of the cards."""
    package = Path(__file__).parents[2]
    installed = package / "datasets"
    # Only a checkout has them beside the package; beside an installed package `datasets` may be somebody else's.
    return installed if installed.is_dir() else package.parent / "datasets"

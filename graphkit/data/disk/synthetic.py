r"""Synthetic graphs of any size: power-law degrees, and labels that follow features and neighbours.

Nodes have a hidden kind, one of as many as there are classes, some kinds more frequent than others. Both ends of an
edge are drawn with a probability that falls as a power of a node's rank, so that degrees follow
:math:`P(d) \propto d^{-\gamma}`; with probability ``homophily`` the second end is of the first one's kind. Features are
the direction of the kind, times ``signal``, and noise. The label is what a small teacher says of them:

.. math::
    y_i = \arg\max_k \Bigl(\langle x_i, \mu_k\rangle
        + \beta \tfrac{1}{|N(i)|} |\{j \in N(i) : \arg\max_l \langle x_j, \mu_l\rangle = k\}|\Bigr),

and any class at all for a share ``noise`` of the nodes. A model that sees features alone, or edges alone, must fall
short of one that sees both.

Everything is drawn in pieces, each from a generator of its own number, and sorted on the disk: memory holds one piece
and a few numbers for each node. A seed gives the same graph again (labels near a tie may differ with the linear algebra
library). Two nodes may be joined by several edges; none is joined to itself.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphkit import _checks
from graphkit._exports import deprecated_method
from graphkit.data.disk.arrays import ArrayWriter, write_array
from graphkit.data.disk.external_sort import MAX_NODE, merge_runs, write_run
from graphkit.data.disk.manifest import StoredGraph
from graphkit.data.disk.storage import finish_graph, require_new, staged_folder

EDGES, FEATURES, LABELS, SPLIT, KINDS = range(5)
"""What a generator is for."""

CHUNK = 1 << 22
"""Edges drawn at a time."""

BLOCK = 1 << 16
"""Nodes drawn at a time."""

SLOTS = 8
"""Ranks in a row, for each class, over which the kinds are spread."""


@dataclass(frozen=True)
class Synthetic:
    """How a synthetic graph is drawn.

    Args:
        nodes: number of nodes, at least eight for each class.
        edges: number of undirected edges; both directions are stored.
        features: features of a node.
        classes: number of classes, at least 2.
        exponent: of the degrees' power law, above 2.
        homophily: probability that an edge is drawn inside of a kind.
        signal: length of the kinds' directions, where noise has a deviation of 1 in each.
        neighbours: weight of the neighbours in the label.
        noise: share of nodes with any label.
        train: share of nodes to train on.
        validation: share of nodes to select by.
        seed: of all draws.

    Raises:
        ValueError: for a number out of its range.
    """

    nodes: int
    edges: int
    features: int = 128
    classes: int = 40
    exponent: float = 2.7
    homophily: float = 0.6
    signal: float = 2.0
    neighbours: float = 10.0
    noise: float = 0.1
    train: float = 0.6
    validation: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        _checks.at_least("nodes", self.nodes, 1)
        _checks.at_least("classes", self.classes, 2)
        _checks.at_least("features", self.features, 1)
        _checks.at_least("edges", self.edges, 0)
        _checks.at_least("seed", self.seed, 0)
        least = SLOTS * self.classes
        if not least <= self.nodes <= MAX_NODE:
            raise ValueError(
                f"`nodes` must be from {least:,} ({SLOTS} for each of `classes`) to {MAX_NODE:,}, got {self.nodes:,}."
            )
        for name in ("exponent", "signal", "neighbours"):
            _checks.number(name, getattr(self, name))
        if self.exponent <= 2:
            raise ValueError(f"`exponent` must be a finite number above 2, got {self.exponent!r}.")
        for name in ("homophily", "noise", "train", "validation"):
            _checks.fraction(name, getattr(self, name))
        if self.train + self.validation > 1:
            raise ValueError("`train` and `validation` must be 1 together at most.")

    def random(self, purpose: int, piece: int = 0) -> np.random.Generator:
        """Return the generator of one piece."""
        return np.random.default_rng([self.seed, purpose, piece])

    @property
    def slots(self) -> np.ndarray:
        """The kind at each of the ranks that repeat, ``[8 * classes]``; kinds fall off as the root of their number."""
        share = (np.arange(self.classes) + 1.0) ** -0.5
        ends = np.cumsum(share) / share.sum() * (SLOTS - 1) * self.classes
        many = np.diff(np.round(ends), prepend=0).astype(int) + 1
        return self.random(KINDS).permutation(np.repeat(np.arange(self.classes), many))

    def edge_chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the two ends of all edges, by rank, in pieces."""
        slots = self.slots
        order = np.argsort(slots, kind="stable")
        begin = np.searchsorted(slots[order], np.arange(self.classes + 1))
        power = (self.exponent - 1) / (self.exponent - 2)

        def ranks(random: np.random.Generator, many: int, of: int) -> np.ndarray:
            return np.minimum((random.random(many) ** power * of).astype(np.int64), of - 1)

        for piece, start in enumerate(range(0, self.edges, CHUNK)):
            random, many = self.random(EDGES, piece), min(CHUNK, self.edges - start)
            one, two = ranks(random, many, self.nodes), ranks(random, many, self.nodes)
            inside = random.random(many) < self.homophily
            kind = slots[one[inside] % len(slots)]
            where = (random.random(len(kind)) * np.diff(begin)[kind]).astype(np.int64) + begin[kind]
            two[inside] = ranks(random, len(kind), self.nodes // len(slots)) * len(slots) + order[where]
            two = np.where(one == two, (two + 1) % self.nodes, two)
            yield self.nodes_of(one), self.nodes_of(two)

    pieces = deprecated_method("edge_chunks")
    names = deprecated_method("nodes_of")

    @property
    def _stride(self) -> int:
        """A number that has no divisor with ``nodes``: its multiples are a permutation."""
        stride = max(1, int(self.nodes * 0.6180339887))
        while math.gcd(stride, self.nodes) > 1:
            stride += 1
        return stride

    def nodes_of(self, rank: np.ndarray) -> np.ndarray:
        """Return the nodes of some ranks: ids must not tell degrees."""
        return rank * self._stride % self.nodes

    def kinds(self, node: np.ndarray) -> np.ndarray:
        """Return the hidden kinds of some nodes."""
        rank = node * pow(self._stride, -1, self.nodes) % self.nodes
        return self.slots[rank % (SLOTS * self.classes)]

    def directions(self) -> np.ndarray:
        """Return a unit vector for each kind, ``[classes, features]``."""
        drawn = self.random(KINDS, 1).standard_normal((self.classes, self.features), dtype=np.float32)
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def synthesize(folder: Path | str, how: Synthetic, *, name: str = "synthetic") -> StoredGraph:
    """Draw a graph straight into the form that :func:`open_stored` opens, and return what its manifest says.

    Args:
        folder: must not exist; it is written beside its place and renamed.
        how: sizes, laws and seed.
        name: what it is called in records; it should say that nobody has measured it.

    Raises:
        ValueError: if the folder exists.
        DataError: if it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as home:
        ...     made = synthesize(Path(home) / "graph", Synthetic(nodes=100, edges=400, features=8, classes=4))
        ...     made.nodes, made.edges, made.undirected
        (100, 800, True)
    """
    folder = require_new(folder)
    _checks.instance("how", how, Synthetic, "a Synthetic")
    _checks.printable_name("name", name)
    with staged_folder(folder) as staged:
        _write_arrays(staged, how)
        return finish_graph(staged, folder, name=name, how={"synthetic": vars(how)}, known_classes=how.classes)


def synthesize_ogb(folder: Path | str, how: Synthetic) -> None:
    """Draw a graph into OGB's raw files, ``raw/*.csv.gz`` and ``split/random/*.csv.gz``, each edge once.

    They are text: meant for graphs of some million edges, and for what reads OGB's format. Larger ones are for
    :func:`synthesize`.

    Args:
        folder: must not exist; it is written beside its place and renamed.
        how: sizes, laws and seed.

    Raises:
        ValueError: if the folder exists.
        DataError: if it cannot be written.
    """
    folder = require_new(folder)
    _checks.instance("how", how, Synthetic, "a Synthetic")
    with staged_folder(folder) as staged:
        _write_arrays(staged, how)
        text = staged.with_name("text")
        edges = np.load(staged / "edge_index.npy", mmap_mode="r")
        with _open_table(text / "raw/edge.csv.gz") as write:
            for start in range(0, edges.shape[1], CHUNK):
                piece = edges[:, start : start + CHUNK]
                write(piece[:, piece[0] < piece[1]].T)
        x, y = (np.load(staged / f"{of}.npy", mmap_mode="r") for of in ("x", "y"))
        with _open_table(text / "raw/node-feat.csv.gz", "%.4f") as write:
            for start in range(0, how.nodes, BLOCK):
                write(x[start : start + BLOCK])
        single = {"raw/node-label": y, "raw/num-node-list": [how.nodes], "raw/num-edge-list": [how.edges]}
        for mask, part in (("train", "train"), ("val", "valid"), ("test", "test")):
            single[f"split/random/{part}"] = np.flatnonzero(np.load(staged / f"{mask}_mask.npy"))
        for path, column in single.items():
            with _open_table(text / f"{path}.csv.gz") as write:
                write(np.asarray(column)[:, None])
        text.rename(folder)


def _write_arrays(staged: Path, how: Synthetic) -> None:
    """Write all arrays of a graph."""
    # Step 1: edges, sorted on the disk.
    runs = []
    for number, (one, two) in enumerate(how.edge_chunks()):
        runs.append(staged / f"run-{number:06d}.npy")
        write_run(runs[-1], one, two, both_ways=True)
    merge_runs(runs, staged, how.nodes, unique=False)
    for path in runs:
        path.unlink()
    # Step 2: features, and the kind that each node's features speak for.
    directions = how.directions()
    seems = np.empty(how.nodes, dtype=np.int16 if how.classes < 2**15 else np.int32)
    blocks = [np.arange(start, min(start + BLOCK, how.nodes)) for start in range(0, how.nodes, BLOCK)]
    with ArrayWriter(staged / "x.npy", np.float32, (how.features,)) as file:
        for number, block in enumerate(blocks):
            noise = how.random(FEATURES, number).standard_normal((len(block), how.features), dtype=np.float32)
            x = noise + np.float32(how.signal) * directions[how.kinds(block)]
            seems[block] = (x @ directions.T).argmax(axis=1)
            file.append(x)
    # Step 3: labels, from a node's own features and from what its neighbours' speak for.
    x, edges, pointers = (np.load(staged / f"{of}.npy", mmap_mode="r") for of in ("x", "edge_index", "pointers"))
    with ArrayWriter(staged / "y.npy", np.int64) as file:
        for number, block in enumerate(blocks):
            ends = np.asarray(pointers[block[0] : block[-1] + 2])
            degree = np.diff(ends)
            place = np.repeat(np.arange(len(block)) * how.classes, degree) + seems[edges[0, ends[0] : ends[-1]]]
            votes = np.bincount(place, minlength=len(block) * how.classes).reshape(len(block), how.classes)
            score = x[block] @ directions.T + how.neighbours * votes / np.maximum(degree, 1)[:, None]
            random = how.random(LABELS, number)
            any_class = random.integers(how.classes, size=len(block))
            file.append(np.where(random.random(len(block)) < how.noise, any_class, score.argmax(axis=1)))
    # Step 4: the split.
    drawn = np.concatenate([how.random(SPLIT, number).random(len(block)) for number, block in enumerate(blocks)])
    part = np.searchsorted([how.train, how.train + how.validation], drawn, side="right")
    for number, mask in enumerate(("train", "val", "test")):
        write_array(staged / f"{mask}_mask.npy", part == number)


@contextmanager
def _open_table(path: Path, form: str | None = None) -> Iterator[Any]:
    """Give a function that writes rows of numbers to a compressed table, the same bytes each time."""
    import pandas

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as file:

        def write(rows: np.ndarray) -> None:
            text = pandas.DataFrame(np.asarray(rows)).to_csv(header=False, index=False, float_format=form)
            file.write(text.encode())

        yield write

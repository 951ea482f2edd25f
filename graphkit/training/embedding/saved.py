"""Embeddings on disk: a safetensors file that says what it holds, and search in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import torch
from torch import Tensor

from graphkit._checks import at_least, embeddings, features_per_item, instance
from graphkit.data.disk.checked_files import sha256
from graphkit.training.engine.store import Damaged, damage_message, weights_name, write_atomically
from graphkit.training.engine.tensor_file import describe_tensors, read_description

PATTERN = "embeddings-*.safetensors"


@dataclass(frozen=True)
class SavedEmbeddings:
    """The embeddings of one seed.

    Args:
        z: ``[items, dim]``.
        y: labels ``[items]``; -1 where an item has none.
        about: what made them: data set, level, loss, seed, protocol; of several graphs how many nodes each has.
    """

    z: Tensor
    y: Tensor
    about: dict[str, str]

    def to_bytes(self) -> bytes:
        """Return the content of the file, the same bytes each time; nothing in it can be executed."""
        return describe_tensors({"z": self.z, "y": self.y}, self.about)

    def place(self, item: int) -> str:
        """Return the graph an item is of and its number there, nothing where there is one graph."""
        for name, nodes in json.loads(self.about.get("graphs", "{}")).items():
            if item < nodes:
                return f"{name} {item}"
            item -= nodes
        return ""

    def write(self, path: Path) -> None:
        """Write the file as a whole."""
        write_atomically(path, self.to_bytes())

    @classmethod
    def read(cls, path: Path) -> SavedEmbeddings:
        """Return what :meth:`write` wrote.

        Raises:
            ValueError: if there is no such file, it holds something else, or its checksum differs.
        """
        try:
            return cls.from_bytes(path.read_bytes(), path)
        except OSError as error:
            raise ValueError(f"{str(path)!r} cannot be read as embeddings: {error}.") from None

    @classmethod
    def from_bytes(cls, content: bytes, path: Path) -> SavedEmbeddings:
        """Return what :meth:`to_bytes` made, and a file of this name holds.

        Raises:
            ValueError: if it is something else, or its checksum differs.
        """
        try:
            tensors, about = read_description(content, path)
        except Damaged as error:
            raise ValueError(f"{error}; remove it and embed again.") from None
        if tensors.keys() != {"z", "y"}:
            raise ValueError(f"{str(path)!r} holds no embeddings but {', '.join(sorted(tensors))}.")
        if about is None:
            raise ValueError(f"{damage_message(path, sealed=False)}; remove it and embed again.")
        return cls(tensors["z"], tensors["y"], about)


@dataclass(frozen=True)
class Found:
    """One answer of a search.

    Args:
        item: row of the embeddings.
        label: its class, -1 where it is not known.
        distance: 1 - cosine.
    """

    item: int
    label: int
    distance: float


def latest(run: Path) -> Path:
    """Return the gallery in a run's folder, that of the lowest seed, or the file itself.

    Raises:
        ValueError: if there is none; see :func:`gallery_path`.
    """
    if run.is_file():
        return run
    seeds = sorted(int(path.stem.partition("-")[2]) for path in run.glob(PATTERN))
    if not seeds:
        raise ValueError(f"`run`: {str(run)!r} holds no embeddings; make some with `graphkit embed`.")
    return gallery_path(run, seeds[0])


def gallery_path(run: Path, seed: int) -> Path:
    """Return the file with the embeddings of a seed, with what was added to them if something was.

    Raises:
        ValueError: where another encoder embedded what was added, as when a run was trained again.
    """
    added = run / f"gallery-{seed}.safetensors"
    if not added.exists():
        return run / f"embeddings-{seed}.safetensors"
    if SavedEmbeddings.read(added).about.get("encoder") != encoder_sha256(run, seed):
        raise ValueError(f"{str(added)!r} holds items that another encoder embedded; remove it and add them again.")
    return added


def encoder_sha256(run: Path, seed: int) -> str:
    """Return the checksum of the file of an encoder, by which its space is known."""
    return sha256(run / weights_name(f"seed-{seed}"))


def search(
    saved: SavedEmbeddings, query: int, count: int = 10, *, queries: Tensor | None = None, engine: str = "auto"
) -> list[Found]:
    """Return the items nearest to one of them, or to one of others, nearest first.

    Args:
        saved: the embeddings.
        query: row of the item that asks.
        count: how many answers.
        queries: embeddings of other items ``[others, dim]``, of which the one that asks is one.
        engine: as :func:`graphkit.metric.nearest.nearest_items` takes it.

    Raises:
        ValueError: for a row that does not exist.

    Example:
        >>> z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])
        >>> [found.item for found in search(SavedEmbeddings(z, torch.tensor([0, 1, 0]), {}), query=0, count=2)]
        [2, 1]
    """
    from graphkit.metric.nearest import nearest_items

    instance("saved", saved, SavedEmbeddings, "SavedEmbeddings")
    count = min(at_least("count", count, 1), len(saved.z))
    if queries is not None:
        features_per_item("queries", embeddings("queries", queries), saved.z.size(1))
    many = len(saved.z if queries is None else queries)
    if isinstance(query, bool) or not isinstance(query, Integral) or not 0 <= query < many:
        raise ValueError(f"`query` must be an item from 0 to {many - 1:,}, got {query!r}.")
    if queries is None:
        found = nearest_items(saved.z, count, queries=torch.tensor([query]), engine=engine)
    else:
        asking = queries[query : query + 1].to(saved.z)
        found = nearest_items(asking, count, reference=saved.z, engine=engine)
    pairs = zip(found.items[0].tolist(), found.distances[0].tolist(), strict=True)
    return [Found(item, int(saved.y[item]), distance) for item, distance in pairs if item >= 0]


SAMPLE = 100
"""Items by which the recall of an engine is measured; of more, so many evenly spaced ones."""


def measure_recall(saved: SavedEmbeddings, count: int, engine: str) -> tuple[float, int]:
    """Return the share of the nearest items that an engine finds, and how many items asked.

    Args:
        saved: the embeddings.
        count: how many answers.
        engine: as :func:`graphkit.metric.nearest.nearest_items` takes it.
    """
    from graphkit.metric.nearest import nearest_items, recall_of

    asking = torch.linspace(0, len(saved.z) - 1, min(len(saved.z), SAMPLE)).long().unique()
    found, exact = (nearest_items(saved.z, count, queries=asking, engine=each) for each in (engine, "exact"))
    return recall_of(found, exact), len(asking)

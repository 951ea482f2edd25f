"""Embeddings on disk: a safetensors file that says what it holds, and search in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import torch
from torch import Tensor

from graphkit._checks import at_least, instance
from graphkit.training.engine.store import damage_message, write_atomically

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
        from safetensors.torch import save

        tensors = {"z": self.z.cpu().contiguous(), "y": self.y.cpu().contiguous()}
        seal = {"sha256": _digest(tensors, self.about)}
        # One entry: of several the order would be drawn.
        return save(tensors, {"about": json.dumps({**self.about, **seal})})

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
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            tensors = load(content)
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            about = json.loads(header.get("__metadata__", {}).get("about", "{}"))
        except (SafetensorError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{str(path)!r} cannot be read as embeddings: {error}.") from None
        if tensors.keys() != {"z", "y"} or not isinstance(about, dict):
            raise ValueError(f"{str(path)!r} holds no embeddings but {', '.join(sorted(tensors))}.")
        if "sha256" not in about:
            raise ValueError(f"{damage_message(path, sealed=False)}; remove it and embed again.")
        if about.pop("sha256") != _digest(tensors, about):
            raise ValueError(f"{damage_message(path, sealed=True)}; remove it and embed again.")
        return cls(tensors["z"], tensors["y"], about)


def _digest(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    """Return the checksum of all that a file of embeddings holds."""
    from safetensors.torch import save

    return hashlib.sha256(save(dict(tensors)) + json.dumps(about, sort_keys=True).encode()).hexdigest()


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
    """Return the embeddings in a run's folder, those of the lowest seed, or the file itself.

    Raises:
        ValueError: if there are none.
    """
    if run.is_file():
        return run
    files = sorted(run.glob(PATTERN), key=lambda path: int(path.stem.partition("-")[2]))
    if not files:
        raise ValueError(f"`run`: {str(run)!r} holds no embeddings; make some with `graphkit embed`.")
    return files[0]


def search(saved: SavedEmbeddings, query: int, count: int = 10) -> list[Found]:
    """Return the items nearest to one of them, nearest first.

    Args:
        saved: the embeddings.
        query: row of the item that asks.
        count: how many answers.

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
    if isinstance(query, bool) or not isinstance(query, Integral) or not 0 <= query < len(saved.z):
        raise ValueError(f"`query` must be an item from 0 to {len(saved.z) - 1:,}, got {query!r}.")
    found = nearest_items(saved.z, count, queries=torch.tensor([query]))
    pairs = zip(found.items[0].tolist(), found.distances[0].tolist(), strict=True)
    return [Found(item, int(saved.y[item]), distance) for item, distance in pairs if item >= 0]

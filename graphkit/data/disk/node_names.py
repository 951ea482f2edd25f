"""What nodes are called in the tables that a graph was made of; as large as the graph, so that it stays on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from graphkit.data.disk.arrays import write_array

LETTERS, ENDS = "node_names.npy", "node_name_ends.npy"
"""All names one after another in UTF-8, and where each ends."""


class NodeNames:
    """The names of nodes, read when they are asked for; it is indexed and iterated as a list of texts.

    It is no ``list``, nor a ``Sequence``: PyG takes those apart, name by name, whenever a graph is moved.

    Args:
        ends: where the name of each node ends, ``[nodes]``; nothing where names are numbers.
        letters: bytes of all names in UTF-8, or the numbers, ``[nodes]``.

    Example:
        >>> names = NodeNames.of(["Zoë", "7, Main St"])
        >>> len(names), names[0], names[-1], list(names), names.index("7, Main St")
        (2, 'Zoë', '7, Main St', ['Zoë', '7, Main St'], 1)
    """

    def __init__(self, letters: np.ndarray, ends: np.ndarray | None = None) -> None:
        self.letters, self.ends = letters, ends

    @classmethod
    def of(cls, names: Iterable[str]) -> NodeNames:
        """Return names that are in memory."""
        encoded = [name.encode() for name in names]
        ends = np.cumsum([len(each) for each in encoded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), ends)

    @classmethod
    def read(cls, folder: Path) -> NodeNames | None:
        """Return the names in the folder of a stored graph, or nothing where there are none."""
        if (folder / LETTERS).is_file():
            return cls(*(np.load(folder / name, mmap_mode="r") for name in (LETTERS, ENDS)))
        numbers = folder / "original_id.npy"
        return cls(np.load(numbers, mmap_mode="r")) if numbers.is_file() else None

    def write(self, folder: Path) -> None:
        """Write the names to a folder."""
        if self.ends is None:
            write_array(folder / "original_id.npy", self.letters)
            return
        write_array(folder / LETTERS, self.letters)
        write_array(folder / ENDS, self.ends)

    def __len__(self) -> int:
        return len(self.letters if self.ends is None else self.ends)

    def __getitem__(self, node: int) -> str:
        node = range(len(self))[int(node)]
        if self.ends is None:
            return str(self.letters[node])
        begin = self.ends[node - 1] if node else 0
        return bytes(self.letters[begin : self.ends[node]]).decode()

    def __iter__(self) -> Iterator[str]:
        return (self[node] for node in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeNames) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(repr(self[node]) for node in range(min(len(self), 3)))
        return f"NodeNames({len(self):,}: {shown}{', ...' if len(self) > 3 else ''})"

    def index(self, name: str) -> int:
        """Return the node that is called so.

        Raises:
            ValueError: if there is none.
        """
        for node, each in enumerate(self):
            if each == str(name):
                return node
        raise ValueError(f"no node is called {name!r}.")

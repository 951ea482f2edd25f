"""What a command is asked to work on: a data set by its name, or a graph that lies on the disk."""

from __future__ import annotations

import os
from pathlib import Path


def require_one_graph(name: str) -> None:
    """Refuse a family of graphs where one graph, or one set, is worked on.

    Raises:
        ValueError: naming the members, of which one may be asked for.
    """
    from graphkit.data import card

    if members := card(name).members:
        raise ValueError(f"{name!r} is a family of graphs; name one of them: {', '.join(members)}.")


def require_split(source: str | Path, split: str | None) -> None:
    """Refuse a split that cannot be drawn, as far as that is known before anything heavy is loaded.

    Args:
        source: what the split is of; the labels of a stored graph are looked at.
        split: as it was typed.

    Raises:
        ValueError: for one that is not known, does not have its form, or needs larger classes.
    """
    if split is None:
        return
    from graphkit.data.splits import split_from_name

    protocol = split_from_name(split)
    if isinstance(source, Path) and (sizes := class_sizes(source)):
        protocol.require(sizes)


def class_sizes(folder: Path) -> dict[int, int]:
    """Return how many nodes each class of a stored graph has; nothing where it has no labels that can be read."""
    import numpy as np

    try:
        y = np.load(folder / "y.npy", mmap_mode="r", allow_pickle=False)
        labels, counts = np.unique(y[y >= 0], return_counts=True)
    except (OSError, ValueError):
        return {}  # what opens the graph says why
    return dict(zip(labels.tolist(), counts.tolist(), strict=True))


class DatasetArgument:
    """A data set that was named on the command line; the folder of a stored graph may stand in for a name.

    Args:
        written: as it was typed.

    Raises:
        ValueError: if it is neither a name nor a folder.

    Attributes:
        source: what ``graphkit.data.load`` takes.
        name: what its runs are called.
        items: what is classified, "nodes", "signals" or "graphs".
        per_cent: whether its figure is shown in per cent.
    """

    def __init__(self, written: str) -> None:
        from graphkit.data import card

        self.source = self.parse_name(written)
        self.name, self.items, self.per_cent = written, "nodes", True
        if isinstance(self.source, Path):
            self.name = self.source.absolute().name
            return
        known = card(written)
        if known.kind == "link":
            raise ValueError(
                f"{written!r} is a set of links, for which there is no recipe; of `graphkit.data`, `load` gives it, "
                "`edge_split` its official split, and `official_link_figure` its figure."
            )
        self.items = {"signal": "signals", "graph": "graphs"}.get(known.kind, "nodes")
        self.per_cent = known.metric != "rmse"

    @staticmethod
    def parse_name(written: str) -> str | Path:
        """Return the folder that was typed, or else what should be a name."""
        from graphkit.data import names

        folder = Path(written)
        return folder if written not in names() and (os.sep in written or folder.is_dir()) else written

    def known_as(self) -> str:
        """Return what records call it; of a stored graph, what its manifest says."""
        if isinstance(self.source, str):
            return self.source
        from graphkit.data.disk.storage import read_manifest

        return read_manifest(self.source).name

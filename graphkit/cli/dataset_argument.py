"""What a command is asked to work on: a data set by its name, or a graph or a set of graphs that lies on the disk."""

from __future__ import annotations

from pathlib import Path


class DatasetArgument:
    """A data set that was named on the command line; the folder of a stored one may stand in for a name.

    Args:
        written: as it was typed.
        family: whether several graphs that are loaded together will do.
        links: whether a set of links will do.

    Raises:
        ValueError: if it is neither a name nor a folder, is a set of links, or a family where one graph is wanted.
        DataError: for a folder without a stored graph.

    Attributes:
        source: what ``graphkit.data.load`` takes.
        card: what is known of it.
        name: what its runs are called.
        items: what is classified, "nodes", "signals" or "graphs".
        per_cent: whether its figure is shown in per cent.
    """

    def __init__(self, written: str, *, family: bool = False, links: bool = False) -> None:
        from graphkit.data import card
        from graphkit.data.catalog.cards import dataset_source

        self.source = dataset_source(written)
        self.card = known = card(self.source)
        self.name = self.source.absolute().name if isinstance(self.source, Path) else self.source
        if known.kind == "link" and not links:
            raise ValueError(
                f"{written!r} is a set of links, for which there is no recipe; of `graphkit.data`, `load` gives it, "
                "`edge_split` its official split, and `official_link_figure` its figure."
            )
        if known.members and not family:
            raise ValueError(f"{written!r} is a family of graphs; name one of them: {', '.join(known.members)}.")
        self.items = {"signal": "signals", "graph": "graphs"}.get(known.kind, "nodes")
        self.per_cent = known.metric != "rmse"

    def require_labels(self) -> None:
        """Refuse a stored graph without labels, before anything heavy is loaded.

        Raises:
            DataError: naming it.
        """
        from graphkit.data import DataError

        if isinstance(self.source, Path) and not self.card.metric:
            raise DataError(f"{str(self.source)!r} has no labels; `graphkit data import` takes a file of them.")

    def require_split(self, split: str | None) -> None:
        """Refuse a split that cannot be drawn, as far as that is known before anything heavy is loaded.

        Of a stored graph the labels are looked at.

        Args:
            split: as it was typed.

        Raises:
            ValueError: for one that is not known, does not have its form, or needs larger classes.
        """
        from graphkit.data.splits import split_from_name

        if split is None and not isinstance(self.source, Path):
            return
        protocol = split_from_name(self.card.default_split if split is None else split)
        if isinstance(self.source, Path) and (sizes := class_sizes(self.source)):
            protocol.require(sizes)


def class_sizes(folder: Path) -> dict[int, int]:
    """Return how many items each class of what is stored has; of numbers, and of several tasks, all are of one.

    Nothing where it has no labels that can be read.
    """
    import numpy as np

    try:
        y = np.load(folder / "y.npy", mmap_mode="r", allow_pickle=False)
        if y.ndim > 1 or np.issubdtype(y.dtype, np.floating):
            return {0: int((~np.isnan(y)).reshape(len(y), -1).any(axis=1).sum())}
        labels, counts = np.unique(y[y >= 0], return_counts=True)
    except (OSError, ValueError, TypeError):
        return {}  # what opens the graph says why
    return dict(zip(labels.tolist(), counts.tolist(), strict=True))

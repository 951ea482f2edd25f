"""Predictions: what a model says of each item, as tensors and as a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import instance
from graphkit.training.classification.metrics import KIND_NAMES, Kind
from graphkit.training.engine.store import write_atomically

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".csv", ".parquet")
"""Forms of a table."""


def table_format(path: Path | str, argument: str = "path") -> str:
    """Return the ending of a table's path.

    Raises:
        ValueError: for another one than those of ``ENDINGS``, and for Parquet without pyarrow.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"`{argument}` must end in {' or '.join(ENDINGS)}, got {str(path)!r}.")
    if ending == ".parquet":
        try:
            import pyarrow  # noqa: F401  # pandas writes Parquet by it
        except ImportError:
            raise ValueError(
                f"`{argument}`: Parquet needs pyarrow; install `graphkit[parquet]`, or write .csv."
            ) from None
    return ending


def write_table(table: pd.DataFrame, path: Path | str) -> None:
    """Write a table beside ``path`` in the form of its ending, and rename it.

    Raises:
        ValueError: for an ending that is no form of a table.
        OSError: where there is no room for it.
    """
    import io

    if table_format(path) == ".parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        write_atomically(Path(path), buffer.getvalue())
    else:
        write_atomically(Path(path), table.to_csv(index=False).encode())


class AbstractPredictions(ABC):
    """What is said in a table."""

    @abstractmethod
    def frame(self) -> pd.DataFrame:
        """Return the table."""

    def write(self, path: Path | str) -> None:
        """Write the table as CSV or Parquet, by the ending of ``path``.

        Raises:
            ValueError: for another ending.
            OSError: where there is no room for it.
        """
        instance("path", path, (str, Path), "a path")
        write_table(self.frame(), path)


@dataclass(frozen=True, eq=False)
class Predictions(AbstractPredictions):
    """What a model says of each item.

    Args:
        ids: what the items are called.
        values: probabilities of the classes, whose rows sum to 1, ``[items, classes]``; of several tasks the
            probability of each, ``[items, tasks]``; or the numbers themselves.
        kind: which of these, "classes", "binary" or "numbers".
        names: of the columns of ``values``.
    """

    ids: Sequence[Any]
    values: Tensor
    kind: Kind
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def classes(self) -> Tensor:
        """The likeliest class of each item, of equal ones the first, ``[items]``.

        Raises:
            ValueError: where no classes are predicted.
        """
        if self.kind != "classes":
            raise ValueError(
                f"`predictions` are of {KIND_NAMES[self.kind]}, not of one class of several; look at `values`."
            )
        return self.values.argmax(dim=-1)

    def frame(self) -> pd.DataFrame:
        """Return a table: ``id``, of classes the likeliest as ``prediction``, and a column of numbers for each name."""
        import pandas as pd

        columns: dict[str, Any] = {"id": list(self.ids)}
        if self.kind == "classes":
            columns["prediction"] = [self.names[place] for place in self.classes.tolist()]
        numbers = self.values.cpu().numpy()
        prefix = "" if self.kind == "numbers" else "probability "
        columns |= {f"{prefix}{name}": numbers[:, place] for place, name in enumerate(self.names)}
        return pd.DataFrame(columns)


@dataclass(frozen=True, eq=False)
class LinkPredictions(AbstractPredictions):
    """New links that a model thinks likely, those of a node one after the other.

    Args:
        nodes: what the nodes are called, ``[links]``.
        links: the other end of each.
        probabilities: of each, ``[links]``.
    """

    nodes: np.ndarray
    links: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.nodes)

    def frame(self) -> pd.DataFrame:
        """Return a table: ``id``, ``link`` and ``probability``."""
        import pandas as pd

        return pd.DataFrame({"id": self.nodes, "link": self.links, "probability": self.probabilities})


@dataclass(frozen=True, eq=False)
class ForecastPredictions(AbstractPredictions):
    """What comes after the last moment of a series.

    Args:
        moments: what the moments are called, ``[horizon]``: dates, or numbers that go on.
        ids: what the nodes are called.
        values: ``[horizon, nodes, features]``.
    """

    moments: Sequence[Any]
    ids: Sequence[Any]
    values: Tensor

    def __len__(self) -> int:
        return len(self.moments) * len(self.ids)

    def frame(self) -> pd.DataFrame:
        """Return a table: ``time``, ``id`` and ``forecast``; of several features ``forecast 0`` and so on."""
        import pandas as pd

        many, nodes, features = self.values.shape
        columns: dict[str, Any] = {
            "time": [moment for moment in self.moments for _ in range(nodes)],
            "id": list(self.ids) * many,
        }
        flat = self.values.reshape(-1, features).cpu().numpy()
        names = ["forecast"] if features == 1 else [f"forecast {place}" for place in range(features)]
        return pd.DataFrame(columns | {name: flat[:, place] for place, name in enumerate(names)})


def mean_predictions(several: Sequence[Predictions]) -> Predictions:
    """Return the mean of what several models say of the same items.

    Example:
        >>> one, two = (Predictions([0], torch.tensor([[p, 1 - p]]), "classes", ("a", "b")) for p in (0.9, 0.5))
        >>> mean_predictions([one, two]).values
        tensor([[0.7000, 0.3000]])
    """
    first = several[0]
    if len(several) == 1:
        return first
    values = torch.stack([each.values for each in several]).mean(0)
    return Predictions(first.ids, values, first.kind, first.names)

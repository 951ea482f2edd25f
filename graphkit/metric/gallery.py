"""Who asks and who may answer: embeddings, labels and forbidden pairs as the kernels take them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import dense, embeddings, integer_labels, member, to_numpy
from graphkit._kernels import ranking
from graphkit.metric.pair_inputs import check_embeddings

DISTANCES = ("cosine", "euclidean", "squared", "dot")
"""What items can be compared by; "squared" ranks as "euclidean" does."""

Rows = Tensor | None
"""Some rows: an index ``[rows]``, a boolean mask ``[items]``, or ``None`` for all."""


@dataclass(frozen=True, eq=False)
class QueryGallery:
    """Queries and items in double precision, ready to be ranked.

    Args:
        queries: ``[queries, features]``.
        items: ``[features, items]``.
        kind: ``ranking.INNER`` or ``ranking.SQUARED``.
        own: place of each query among the items, -1 if it is not there.
        asked: row of each query in what the user gave.
        answering: row of each item in what the user gave.
        pointers: into ``excluded``, ``[queries + 1]``.
        excluded: places of the items that may not answer.
    """

    queries: np.ndarray
    items: np.ndarray
    kind: int
    own: np.ndarray
    asked: np.ndarray
    answering: np.ndarray
    pointers: np.ndarray
    excluded: np.ndarray

    @property
    def work(self) -> int:
        """Multiply-adds per query."""
        return int(self.items.size)


def query_gallery(
    z: Tensor,
    *,
    reference: Tensor | None = None,
    queries: Rows = None,
    items: Rows = None,
    distance: str = "cosine",
    exclude: Tensor | None = None,
) -> QueryGallery:
    """Return queries and items; nobody answers a query with itself.

    Args:
        z: ``[rows, features]``; its rows ask, and answer where there is no ``reference``.
        reference: ``[rows, features]``, others that answer.
        queries: which rows of ``z`` ask.
        items: which rows of ``reference``, or else of ``z``, answer.
        distance: one of ``DISTANCES``.
        exclude: ``[2, pairs]``, row of a query and row of an item that may not answer it.

    Raises:
        ValueError: for embeddings that are not finite or of different widths, rows that do not exist, an unknown
            distance, or pairs out of range.
        TypeError: for embeddings or pairs of another type.
    """
    member("distance", distance, DISTANCES)
    own_items = reference is None
    values = comparable_rows("z", z, distance)
    others = values if reference is None else comparable_rows("reference", reference, distance)
    if others.shape[1] != values.shape[1]:
        raise ValueError(f"`reference` must have {values.shape[1]} features, as `z`, got {others.shape[1]}.")
    asked, answering = row_indices("queries", queries, len(values)), row_indices("items", items, len(others))
    place = np.full(len(others), -1, dtype=np.int64)
    place[answering] = np.arange(len(answering))
    own = place[asked] if own_items else np.full(len(asked), -1, dtype=np.int64)
    pointers, excluded = _excluded(exclude, asked, place, len(values))
    return QueryGallery(
        queries=np.ascontiguousarray(values[asked]),
        items=np.ascontiguousarray(others[answering].T),
        kind=ranking.SQUARED if distance in ("euclidean", "squared") else ranking.INNER,
        own=own,
        asked=asked,
        answering=answering,
        pointers=pointers,
        excluded=excluded,
    )


def comparable_rows(argument: str, z: Tensor, distance: str) -> np.ndarray:
    """Return embeddings in float64, of length 1 where the cosine counts; a zero row stays zero.

    Raises:
        ValueError: for what is no finite matrix, and for entries too large for their distances to be finite.
        TypeError: for what are no floating-point numbers.
    """
    check_embeddings(argument, embeddings(argument, z).double(), distance)
    values = to_numpy(z.double())
    if distance != "cosine":
        return values
    largest = np.abs(values).max(axis=1, keepdims=True, initial=0.0)  # a square may overflow, a ratio cannot
    values = np.divide(values, largest, out=np.zeros_like(values), where=largest > 0)
    length = np.sqrt((values * values).sum(axis=1, keepdims=True))
    return np.divide(values, length, out=np.zeros_like(values), where=length > 0)


def row_indices(argument: str, rows: Rows, length: int) -> np.ndarray:
    """Return the places that an index or a mask names.

    Raises:
        TypeError: for anything but integers or booleans.
        ValueError: for a mask of another length, or rows that do not exist or are named twice.
    """
    if rows is None:
        return np.arange(length)
    if dense(argument, rows).dtype == torch.bool:
        if rows.shape != (length,):
            raise ValueError(f"`{argument}` must be a mask of shape [{length}], got {list(rows.shape)}.")
        return np.flatnonzero(to_numpy(rows))
    found = to_numpy(integer_labels(argument, rows, rows.numel())).astype(np.int64)
    if len(found) and not 0 <= found.min() <= found.max() < length:
        raise ValueError(f"`{argument}` must name rows from 0 to {length - 1}, got {found.min()} to {found.max()}.")
    if len(np.unique(found)) < len(found):
        raise ValueError(f"`{argument}` must name each row once.")
    return found


def _excluded(exclude: Tensor | None, asked: np.ndarray, place: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pointers and places of the items that may not answer each query."""
    empty = np.zeros(len(asked) + 1, dtype=np.int64), np.empty(0, dtype=np.int64)
    if exclude is None:
        return empty
    if dense("exclude", exclude).is_floating_point() or exclude.dtype == torch.bool:
        raise TypeError(f"`exclude` must hold integers, got {exclude.dtype}.")
    if exclude.dim() != 2 or exclude.shape[0] != 2:
        raise ValueError(f"`exclude` must have shape [2, pairs], got {list(exclude.shape)}.")
    who, what = to_numpy(exclude).astype(np.int64)
    for ids, length in ((who, rows), (what, len(place))):
        if len(ids) and not 0 <= ids.min() <= ids.max() < length:
            raise ValueError(f"`exclude` names a row outside 0 to {length - 1}.")
    number = np.full(rows, -1, dtype=np.int64)
    number[asked] = np.arange(len(asked))
    who, what = number[who], place[what]
    kept = (who >= 0) & (what >= 0)
    who, what = who[kept], what[kept]
    order = np.argsort(who, kind="stable")
    return np.concatenate(([0], np.bincount(who, minlength=len(asked)).cumsum())), what[order]

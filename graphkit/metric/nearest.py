"""Nearest neighbours: queries and the gallery that answers them, and the items nearest to each query."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import at_least, dense, embeddings, integer_labels, member, to_numpy
from graphkit._exports import deprecated_arguments
from graphkit._kernels import ranking
from graphkit._kernels.resources import over_rows
from graphkit.metric.distances import DISTANCES
from graphkit.metric.pair_inputs import check_embeddings

ENGINES = ("auto", "exact", "faiss", "ivf")

MANY = 32
"""Multiplications of a distance from which a matrix product is faster than sums in a fixed order."""

BLOCK = 2**21
"""Distances held at a time: sixteen megabytes."""

LARGE = 100_000
"""Items from which "auto" takes FAISS, where it is installed: its products are several times as fast, in float32."""

Rows = Tensor | None
"""Some rows: an index ``[rows]``, a boolean mask ``[items]``, or ``None`` for all."""


class Nearest(NamedTuple):
    """The nearest items of each query, nearest first.

    Args:
        items: rows of the gallery, ``[queries, count]``; -1 where fewer items may answer.
        distances: ``[queries, count]``, float64: 1 - cosine, Euclidean distance (squared for "squared"), or minus the
            inner product; infinite where the item is -1.
    """

    items: Tensor
    distances: Tensor


@deprecated_arguments(items="gallery")
def nearest_items(
    z: Tensor,
    count: int,
    *,
    reference: Tensor | None = None,
    queries: Rows = None,
    gallery: Rows = None,
    exclude: Tensor | None = None,
    distance: str = "cosine",
    engine: str = "auto",
) -> Nearest:
    """Return the ``count`` items nearest to each query, itself left out; equally near ones by their row.

    Args:
        z: embeddings ``[rows, features]``.
        count: how many, at least 1.
        reference: others that answer, ``[rows, features]``; without it the rows of ``z``.
        queries: which rows of ``z`` ask (mask or index).
        gallery: which rows answer.
        exclude: ``[2, pairs]``: a row that asks and a row that may not answer it.
        distance: "cosine", "euclidean", "squared" or "dot".
        engine: "exact" compares all pairs in float64, "faiss" likewise in float32 with FAISS (``graphkit[faiss]``),
            "auto" takes FAISS where it is installed and there are 100,000 items or more. "ivf" puts items
            into cells around centres of k-means and looks into those nearest to a query, with FAISS: of N items a
            query sees about 8 times their square root, and some of the nearest are missed (:func:`recall_of` says how
            many).

    Raises:
        ValueError: for arguments that do not fit each other, or FAISS where it is not installed or cannot leave out
            pairs.

    Example:
        >>> z = torch.tensor([[0.0], [1.0], [3.0]])
        >>> nearest_items(z, 1, distance="euclidean").items.flatten().tolist()
        [1, 0, 1]
    """
    at_least("count", count, 1)
    member("engine", engine, ENGINES)
    both = query_gallery(z, reference=reference, queries=queries, gallery=gallery, distance=distance, exclude=exclude)
    installed = importlib.util.find_spec("faiss") is not None
    asked = engine in ("faiss", "ivf")
    if asked and not installed:
        raise ValueError(f"`engine` {engine!r} needs FAISS: pip install 'graphkit[faiss]'; 'exact' needs nothing.")
    if asked and len(both.excluded):
        raise ValueError(f"`engine` {engine!r} cannot leave out pairs (`exclude`); take 'exact'.")
    large = installed and len(both.gallery_rows) >= LARGE and not len(both.excluded)
    if asked or (engine == "auto" and large):
        columns, values = _faiss_search(both, count, cells=engine == "ivf")
    else:
        columns = np.empty((len(both.query_rows), count), dtype=np.int64)
        values = np.empty((len(both.query_rows), count))
        both.run(ranking.nearest, (), (), (columns, values))
    rows = np.concatenate((both.gallery_rows, [-1]))  # column -1 is nobody's row
    if distance == "cosine":
        values = np.maximum(1 + values, 0)  # of equal directions rounding may leave a little less
    elif distance == "euclidean":
        values = np.sqrt(np.maximum(values, 0))
    return Nearest(torch.from_numpy(rows[columns]), torch.from_numpy(values))


def recall_of(found: Nearest, exact: Nearest) -> float:
    """Return the share of the nearest items that were found, over all queries; 1 where there are none.

    Args:
        found: of an engine that may miss some.
        exact: of the same queries.

    Example:
        >>> z = torch.tensor([[0.0], [1.0], [3.0]])
        >>> exact = nearest_items(z, 2, distance="euclidean")
        >>> recall_of(exact._replace(items=torch.tensor([[1, -1], [0, 2], [1, 0]])), exact)
        0.8333333333333334
    """
    there = exact.items >= 0
    hit = (exact.items[:, :, None] == found.items[:, None, :]).any(2) & there
    return int(hit.sum()) / int(there.sum()) if bool(there.any()) else 1.0


CELLS, LOOK = 2, 16
"""Cells for the square root of the number of items, and how many are looked into."""

ITEMS_OF_A_CELL = 39
"""Items for each cell at least, as FAISS asks for."""


def _faiss_search(both: QueryGallery, count: int, *, cells: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and distances as the kernel does, from an index asked for one more: it may find oneself.

    Source: Jegou, Douze & Schmid (2011), "Product quantization for nearest neighbor search", for cells that are looked
    into (IVF); here rows are kept as they are.
    """
    import faiss

    gallery = np.ascontiguousarray(both.gallery.T, dtype=np.float32)
    inner = both.kind == ranking.INNER
    by = faiss.METRIC_INNER_PRODUCT if inner else faiss.METRIC_L2
    index: Any = faiss.IndexFlat(gallery.shape[1], by)
    if cells:
        many = max(1, min(int(CELLS * len(gallery) ** 0.5), len(gallery) // ITEMS_OF_A_CELL))
        index = faiss.IndexIVFFlat(index, gallery.shape[1], many, by)
        index.nprobe = LOOK
        index.train(gallery)
    index.add(gallery)
    found, columns = index.search(np.ascontiguousarray(both.queries, dtype=np.float32), min(count + 1, len(gallery)))
    values = np.where(columns < 0, np.inf, -found if inner else found).astype(np.float64)
    # Oneself goes last, and of equal distances the lower column goes first.
    values = np.where(columns == both.own_columns[:, None], np.inf, values)
    columns = np.where(np.isinf(values), -1, columns)
    order = np.lexsort((columns, values), axis=1)[:, :count]
    columns, values = np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)
    missing = (0, 0), (0, count - columns.shape[1])
    return np.pad(columns, missing, constant_values=-1), np.pad(values, missing, constant_values=np.inf)


@dataclass(frozen=True, eq=False)
class QueryGallery:
    """Queries and the gallery that answers them, in double precision, ready to be ranked.

    Args:
        queries: ``[queries, features]``.
        gallery: ``[features, items]``.
        kind: ``ranking.INNER`` or ``ranking.SQUARED``.
        own_columns: column of each query in the gallery, -1 if it is not there.
        query_rows: row of each query in what the user gave.
        gallery_rows: row of each item of the gallery in what the user gave.
        indptr: into ``excluded``, ``[queries + 1]``.
        excluded: columns of the gallery that may not answer.
    """

    queries: np.ndarray
    gallery: np.ndarray
    kind: int
    own_columns: np.ndarray
    query_rows: np.ndarray
    gallery_rows: np.ndarray
    indptr: np.ndarray
    excluded: np.ndarray

    @property
    def work(self) -> int:
        """Multiply-adds per query."""
        return int(self.gallery.size)

    def run(self, kernel: Callable[..., Any], per_query: Sequence[np.ndarray], others: Sequence[Any], out: Any) -> None:
        """Run a ranking kernel over all queries.

        Where a distance takes many multiplications (sums in a fixed order pass over zeros), distances come from matrix
        products, of a block of queries at a time.

        Args:
            kernel: of :mod:`graphkit._kernels.ranking`.
            per_query: what it is given of each query, ``[queries]``.
            others: what else it is given, after that.
            out: what it writes to, ``[queries, ...]`` each, at the end.
        """
        features, items = self.gallery.shape
        if self.kind == ranking.INNER:
            features = np.count_nonzero(self.queries) / max(1, len(self.queries))
        blocks = features >= MANY
        step = max(1, BLOCK // max(1, items)) if blocks else max(1, len(self.queries))
        lengths = np.sqrt((self.queries**2).sum(1)) if blocks else np.empty(0)
        longest = np.sqrt((self.gallery**2).sum(0).max(initial=0)) if blocks else 0.0
        for start in range(0, len(self.queries), step):
            rows = slice(start, min(start + step, len(self.queries)))
            queries, first = self.queries[rows], self.indptr[start]
            slack = self._slack(lengths[rows], longest) if blocks else np.empty(0)
            products = self._products(queries) if blocks else np.empty((0, items))
            over_rows(
                kernel, self.indptr[start : rows.stop + 1] - first, self.work, self.excluded[first:], queries,
                self.gallery, self.kind, self.own_columns[rows], products, slack,
                *(each[rows] for each in per_query), *others, *(each[rows] for each in out),
            )  # fmt: skip

    def _products(self, queries: np.ndarray) -> np.ndarray:
        """Return distances by a matrix product, ``[queries, items]``."""
        inner = (torch.from_numpy(queries) @ torch.from_numpy(self.gallery)).numpy()
        if self.kind == ranking.INNER:
            return np.negative(inner, out=inner)
        inner *= -2
        inner += (self.gallery**2).sum(0)
        inner += (queries**2).sum(1)[:, None]
        return inner

    def _slack(self, lengths: np.ndarray, longest: float) -> np.ndarray:
        r"""Return twice what a distance can be off by, ``[queries]``.

        A sum of :math:`F` products, in any order, is off by at most :math:`F u \sum |a_f b_f|` with :math:`u` half of
        the last digit, up to terms in :math:`u^2`; a squared distance by products is made of three such sums.

        Source: Higham (2002), "Accuracy and Stability of Numerical Algorithms", section 3.1.
        """
        size = lengths * longest if self.kind == ranking.INNER else (lengths + longest) ** 2
        return 4 * (len(self.gallery) + 4) * np.finfo(np.float64).eps * size


def query_gallery(
    z: Tensor,
    *,
    reference: Tensor | None = None,
    queries: Rows = None,
    gallery: Rows = None,
    distance: str = "cosine",
    exclude: Tensor | None = None,
) -> QueryGallery:
    """Return queries and gallery of arguments as :func:`nearest_items` takes them; nobody answers its own query."""
    member("distance", distance, DISTANCES)
    values = comparable_rows("z", z, distance)
    others = values if reference is None else comparable_rows("reference", reference, distance)
    if others.shape[1] != values.shape[1]:
        raise ValueError(f"`reference` must have {values.shape[1]} features, as `z`, got {others.shape[1]}.")
    query_rows, gallery_rows = row_index("queries", queries, len(values)), row_index("gallery", gallery, len(others))
    column = np.full(len(others), -1, dtype=np.int64)
    column[gallery_rows] = np.arange(len(gallery_rows))
    own_columns = column[query_rows] if reference is None else np.full(len(query_rows), -1, dtype=np.int64)
    indptr, excluded = _excluded_columns(exclude, query_rows, column, len(values))
    return QueryGallery(
        queries=np.ascontiguousarray(values[query_rows]),
        gallery=np.ascontiguousarray(others[gallery_rows].T),
        kind=ranking.SQUARED if distance in ("euclidean", "squared") else ranking.INNER,
        own_columns=own_columns,
        query_rows=query_rows,
        gallery_rows=gallery_rows,
        indptr=indptr,
        excluded=excluded,
    )


def comparable_rows(argument: str, z: Tensor, distance: str) -> np.ndarray:
    """Return embeddings in float64, of length 1 where the cosine counts; a zero row stays zero."""
    check_embeddings(argument, embeddings(argument, z).double(), distance)
    values = to_numpy(z.double())
    if distance != "cosine":
        return values
    largest = np.abs(values).max(axis=1, keepdims=True, initial=0.0)  # a square may overflow, a ratio cannot
    values = np.divide(values, largest, out=np.zeros_like(values), where=largest > 0)
    length = np.sqrt((values * values).sum(axis=1, keepdims=True))
    return np.divide(values, length, out=np.zeros_like(values), where=length > 0)


def row_index(argument: str, rows: Rows, length: int) -> np.ndarray:
    """Return the row numbers that an index or a mask names, each once."""
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


def _excluded_columns(
    exclude: Tensor | None, query_rows: np.ndarray, column: np.ndarray, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return, as compressed rows, the columns of the gallery that may not answer each query."""
    if exclude is None:
        return np.zeros(len(query_rows) + 1, dtype=np.int64), np.empty(0, dtype=np.int64)
    if dense("exclude", exclude).is_floating_point() or exclude.dtype == torch.bool:
        raise TypeError(f"`exclude` must hold integers, got {exclude.dtype}.")
    if exclude.dim() != 2 or exclude.shape[0] != 2:
        raise ValueError(f"`exclude` must have shape [2, pairs], got {list(exclude.shape)}.")
    who, what = to_numpy(exclude).astype(np.int64)
    for ids, length in ((who, rows), (what, len(column))):
        if len(ids) and not 0 <= ids.min() <= ids.max() < length:
            raise ValueError(f"`exclude` names a row outside 0 to {length - 1}.")
    number = np.full(rows, -1, dtype=np.int64)
    number[query_rows] = np.arange(len(query_rows))
    who, what = number[who], column[what]
    present = (who >= 0) & (what >= 0)
    who, what = who[present], what[present]
    order = np.argsort(who, kind="stable")
    return np.concatenate(([0], np.bincount(who, minlength=len(query_rows)).cumsum())), what[order]

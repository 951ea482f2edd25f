"""Search: the items nearest to each query."""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import at_least, member
from graphkit._kernels import ranking
from graphkit._kernels.threads import over_rows
from graphkit.metric.gallery import QueryGallery, Rows, query_gallery

ENGINES = ("auto", "exact", "faiss")

LARGE = 100_000
"""Items from which "auto" takes FAISS, where it is installed: its products are several times as fast, in float32."""


class Nearest(NamedTuple):
    """The nearest items of each query, nearest first.

    Args:
        items: rows of the gallery, ``[queries, count]``; -1 where fewer items may answer.
        distances: ``[queries, count]``, float64: 1 - cosine, Euclidean distance (squared for "squared"), or minus the
            inner product; infinite where the item is -1.
    """

    items: Tensor
    distances: Tensor


def nearest_items(
    z: Tensor,
    count: int,
    *,
    reference: Tensor | None = None,
    queries: Rows = None,
    items: Rows = None,
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
        items: which rows answer.
        exclude: ``[2, pairs]``: a row that asks and a row that may not answer it.
        distance: "cosine", "euclidean", "squared" or "dot".
        engine: "exact" compares all pairs in float64, "faiss" likewise in float32 with FAISS (``graphkit[faiss]``),
            "auto" takes FAISS where it is installed and there are 100,000 items or more.

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
    known = query_gallery(z, reference=reference, queries=queries, items=items, distance=distance, exclude=exclude)
    there = importlib.util.find_spec("faiss") is not None
    if engine == "faiss" and not there:
        raise ValueError("`engine` 'faiss' needs FAISS: pip install 'graphkit[faiss]'; 'exact' needs nothing.")
    if engine == "faiss" and len(known.excluded):
        raise ValueError("`engine` 'faiss' cannot leave out pairs (`exclude`); take 'exact'.")
    if engine == "faiss" or (engine == "auto" and there and len(known.answering) >= LARGE and not len(known.excluded)):
        places, values = _faiss(known, count)
    else:
        places = np.empty((len(known.asked), count), dtype=np.int64)
        values = np.empty((len(known.asked), count))
        over_rows(
            ranking.nearest, known.pointers, known.work, known.excluded, known.queries, known.items, known.kind,
            known.own, places, values,
        )  # fmt: skip
    answering = np.concatenate((known.answering, [-1]))  # place -1 is nobody's row
    if distance == "cosine":
        values = np.maximum(1 + values, 0)  # of equal directions rounding may leave a little less
    elif distance == "euclidean":
        values = np.sqrt(np.maximum(values, 0))
    return Nearest(torch.from_numpy(answering[places]), torch.from_numpy(values))


def _faiss(known: QueryGallery, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places and distances as the kernel does, from a flat index asked for one more: it may find oneself."""
    import faiss

    items = np.ascontiguousarray(known.items.T, dtype=np.float32)
    inner = known.kind == ranking.INNER
    index = faiss.IndexFlatIP(items.shape[1]) if inner else faiss.IndexFlatL2(items.shape[1])
    index.add(items)
    found, places = index.search(np.ascontiguousarray(known.queries, dtype=np.float32), min(count + 1, len(items)))
    values = np.where(places < 0, np.inf, -found if inner else found).astype(np.float64)
    # Oneself goes last, and of equal distances the lower place goes first.
    values = np.where(places == known.own[:, None], np.inf, values)
    places = np.where(np.isinf(values), -1, places)
    order = np.lexsort((places, values), axis=1)[:, :count]
    places, values = np.take_along_axis(places, order, axis=1), np.take_along_axis(values, order, axis=1)
    missing = count - places.shape[1]
    return (
        np.pad(places, ((0, 0), (0, missing)), constant_values=-1),
        np.pad(values, ((0, 0), (0, missing)), constant_values=np.inf),
    )

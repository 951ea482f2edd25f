"""Retrieval metrics, exact under ties: hit@k, recall@k, R-precision, MAP@R, MRR, k-NN, AMI and linear probe."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor

from graphkit._checks import as_list, at_least, class_labels, embeddings, index_below, member, to_numpy
from graphkit._exports import deprecated_arguments
from graphkit._kernels import ranking
from graphkit.metric.nearest import QueryGallery, Rows, query_gallery, row_index
from graphkit.metric.pair_inputs import check_reference
from graphkit.metric.probes import cluster_agreement, linear_probe

METRICS = ("ranking", "knn", "ami", "probe")
"""What can be asked for: the ranking's metrics come together."""


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Metrics of one evaluation, fractions in [0, 1] (AMI may be slightly below 0); ``None`` where not asked for.

    Args:
        queries: number of queries with at least one relevant item, over which the ranking's metrics are means.
        without_relevant: number of queries left out because no item has their label.
        items: number of items that could answer.
        distance: what near means.
        hit: k -> chance that one of the k nearest is relevant (often called recall@k in metric learning).
        recall: k -> share of the relevant items among the k nearest.
        r_precision: share of relevant items among the R nearest, R being the number of relevant items.
        map_at_r: mean of precision at each relevant item among the R nearest, misses counting 0.
        mrr: mean reciprocal rank of the first relevant item.
        knn_accuracy: accuracy of a vote among the nearest neighbours.
        ami: adjusted mutual information of k-means clusters and labels.
        probe_accuracy: accuracy of a logistic regression.

    Source: Musgrave, Belongie & Lim (2020), arXiv:2003.08505, for R-precision and MAP@R.

    Example:
        >>> import torch
        >>> found = evaluate_retrieval(torch.eye(2)[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1]), metrics=["ranking"])
        >>> found.map_at_r, found["hit@1"]
        (1.0, 1.0)
    """

    queries: int
    without_relevant: int
    items: int
    distance: str
    hit: dict[int, float] | None = None
    recall: dict[int, float] | None = None
    r_precision: float | None = None
    map_at_r: float | None = None
    mrr: float | None = None
    knn_accuracy: float | None = None
    ami: float | None = None
    probe_accuracy: float | None = None

    def as_dict(self) -> dict[str, float]:
        """Return the metrics by the names they are printed under."""
        found = {f"hit@{cut}": value for cut, value in (self.hit or {}).items()}
        found |= {f"recall@{cut}": value for cut, value in (self.recall or {}).items()}
        others = {name: getattr(self, field) for field, name in _NAMES.items()}
        return found | {name: value for name, value in others.items() if value is not None}

    def __getitem__(self, name: str) -> float:
        found = self.as_dict()
        return found[member("metric", name, found)]


_NAMES = {
    "r_precision": "r-precision",
    "map_at_r": "map@r",
    "mrr": "mrr",
    "knn_accuracy": "knn",
    "ami": "ami",
    "probe_accuracy": "probe",
}


@deprecated_arguments(items="gallery", figures="metrics")
def evaluate_retrieval(
    z: Tensor,
    y: Tensor,
    *,
    reference: tuple[Tensor, Tensor] | None = None,
    queries: Rows = None,
    gallery: Rows = None,
    exclude: Tensor | None = None,
    distance: str = "cosine",
    cuts: Sequence[int] = (1, 5, 10),
    neighbours: int = 5,
    train: Rows = None,
    metrics: Collection[str] = ("ranking",),
    seed: int = 0,
) -> Retrieval:
    """Return how well nearness in ``z`` agrees with the labels ``y``.

    Every labelled row asks, and all others answer; a label of -1 neither asks nor answers. Ties are handled by
    expectation: every metric of the ranking is its exact mean over all orders of equally distant items, so that nothing
    depends on the order of the rows. In the vote of the neighbours, items that tie for the last places share them and
    classes that tie share the chance. The work is queries x items x features, the memory that of ``z``.

    Closed set: the classes in ``z`` are those the encoder was trained on; class-disjoint: hand in rows of other classes
    alone. Transductive or inductive is a matter of how ``z`` was made.

    Args:
        z: embeddings ``[rows, features]``.
        y: integer labels ``[rows]``.
        reference: another gallery, ``(embeddings, labels)``; then rows of ``z`` answer nobody.
        queries: which rows of ``z`` ask (mask or index), such as the test nodes.
        gallery: which rows answer, of ``reference`` where it is given.
        exclude: ``[2, pairs]``: a row that asks and a row that may not answer it, such as the ``edge_index`` of a graph
            whose one-hop neighbours are too easy.
        distance: "cosine", "euclidean" (or "squared"), "dot" for the inner product.
        cuts: the k of hit@k and recall@k.
        neighbours: how many vote in ``knn_accuracy``.
        train: rows of ``z`` that the linear probe learns from, tested on the other queries. By default it learns from
            ``reference``, or else in five folds.
        metrics: which of "ranking", "knn", "ami", "probe" are computed; by default the ranking's alone. ``ami`` and
            ``probe`` fit k-means and logistic regressions of scikit-learn, which take longer than all else.
        seed: of k-means and of the folds.

    Raises:
        TypeError: for labels that are not integers, or embeddings that are not floating-point numbers.
        ValueError: for arguments that do not fit each other, embeddings that are not finite, a ``reference`` without
            labels, and where no query has a relevant item.

    Source: Musgrave, Belongie & Lim (2020), arXiv:2003.08505; McSherry & Najork (2008), "Computing information
    retrieval performance measures efficiently in the presence of tied scores", for the expectation over ties.

    Example:
        >>> import torch
        >>> z = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0], [1.0, 0.2]])
        >>> found = evaluate_retrieval(z, torch.tensor([0, 0, 1, 1, 1]), cuts=[1], neighbours=1, metrics=["ranking"])
        >>> {name: round(value, 3) for name, value in found.as_dict().items()}
        {'hit@1': 0.6, 'recall@1': 0.4, 'r-precision': 0.6, 'map@r': 0.6, 'mrr': 0.767}
    """
    for name in as_list("metrics", metrics, "['ranking', 'knn']"):
        member("metrics", name, METRICS)
    cuts = as_list("cuts", cuts, "[1, 5, 10]")
    for cut in cuts:
        at_least("cuts", cut, 1)
    at_least("neighbours", neighbours, 1)
    index_below("seed", seed, 2**32)
    others, answers = None, y
    if reference is not None:
        others, answers = check_reference(reference)
        class_labels("reference labels", answers, len(embeddings("reference", others)))
    ranked = partial(query_gallery, z, reference=others, distance=distance, exclude=exclude)
    both = ranked(queries=queries, gallery=gallery)
    labels, answer_labels = to_numpy(class_labels("y", y, len(z))), to_numpy(answers)
    row_index("train", train, len(z))

    # Rows without a label neither ask nor answer.
    query_rows = both.query_rows[labels[both.query_rows] >= 0]
    gallery_rows = both.gallery_rows[answer_labels[both.gallery_rows] >= 0]
    if len(query_rows) < len(both.query_rows) or len(gallery_rows) < len(both.gallery_rows):
        both = ranked(queries=y.new_tensor(query_rows), gallery=y.new_tensor(gallery_rows))

    found = Retrieval(queries=0, without_relevant=0, items=len(gallery_rows), distance=distance)
    if {"ranking", "knn"} & set(metrics):
        rows = _ranking_rows(both, labels[query_rows], answer_labels[gallery_rows], cuts, neighbours)
        if "ranking" in metrics:
            found = _with_ranking(found, rows, cuts)
        if "knn" in metrics:
            found = dataclasses.replace(found, knn_accuracy=_mean(rows[:, -1], "knn"))
    if "ami" in metrics:
        ami = cluster_agreement(z[query_rows], y[query_rows], distance=distance, seed=seed)
        found = dataclasses.replace(found, ami=ami)
    if "probe" in metrics:
        known = reference if train is None else None
        test = y.new_tensor(query_rows)
        accuracy = linear_probe(z, y, train=train, test=test, reference=known, distance=distance, seed=seed)
        found = dataclasses.replace(found, probe_accuracy=accuracy)
    return found


def _ranking_rows(
    both: QueryGallery, labels: np.ndarray, answers: np.ndarray, cuts: Sequence[int], neighbours: int
) -> np.ndarray:
    """Return the metrics of the ranking and of the vote, one row for each query."""
    _, codes = np.unique(np.concatenate((labels, answers)), return_inverse=True)
    codes = codes.astype(np.int64)
    classes = int(codes.max(initial=-1)) + 1
    rows = np.empty((len(labels), ranking.FIXED + 2 * len(cuts) + 1))
    own, others = codes[: len(labels)], codes[len(labels) :]
    both.run(ranking.query_metrics, (own,), (others, np.asarray(cuts, dtype=np.int64), neighbours, classes), (rows,))
    return rows


def _with_ranking(found: Retrieval, rows: np.ndarray, cuts: Sequence[int]) -> Retrieval:
    """Return the means over queries that have a relevant item."""
    some = rows[rows[:, 0] > 0] if len(rows) else rows
    if not len(some):
        raise ValueError("`y`: no query has a relevant item; retrieval needs a label that occurs twice.")
    columns = [_mean(column, "ranking") for column in some.T]
    first = ranking.FIXED
    return dataclasses.replace(
        found,
        queries=len(some),
        without_relevant=len(rows) - len(some),
        r_precision=columns[1],
        map_at_r=columns[2],
        mrr=columns[3],
        hit={int(cut): columns[first + c] for c, cut in enumerate(cuts)},
        recall={int(cut): columns[first + len(cuts) + c] for c, cut in enumerate(cuts)},
    )


def _mean(values: np.ndarray, name: str) -> float:
    """Return the mean, correctly rounded and so the same in any order."""
    values = values[~np.isnan(values)]
    if not len(values):
        raise ValueError(f"`{name}`: no query has an item that could answer it.")
    return math.fsum(values) / len(values)

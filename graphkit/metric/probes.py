"""Linear probe and cluster agreement of an embedding, by scikit-learn's logistic regression and k-means."""

from __future__ import annotations

import warnings

import numpy as np
from torch import Tensor

from graphkit._checks import class_labels, index_below, member, positive, to_numpy
from graphkit.metric.distances import DISTANCES
from graphkit.metric.nearest import Rows, comparable_rows, row_index
from graphkit.metric.pair_inputs import check_reference

FOLDS = 5


def linear_probe(
    z: Tensor,
    y: Tensor,
    *,
    train: Rows = None,
    test: Rows = None,
    reference: tuple[Tensor, Tensor] | None = None,
    distance: str = "cosine",
    strength: float = 1.0,
    seed: int = 0,
) -> float:
    """Return the accuracy of a logistic regression on standardised embeddings, a fraction.

    Args:
        z: embeddings ``[rows, features]``; scaled to length 1 first where ``distance`` is "cosine".
        y: integer labels ``[rows]``; -1 is neither learnt from nor tested.
        train: rows to learn from. Without it and without ``reference``: five stratified folds.
        test: rows to test on; by default all but ``train``.
        reference: embeddings and labels to learn from in place of rows of ``z``.
        distance: see :func:`evaluate_retrieval`.
        strength: inverse of the L2 penalty, scikit-learn's ``C``.
        seed: of the folds.

    Raises:
        ValueError: where fewer than two classes can be learnt from, or nothing is left to test on.

    Example:
        >>> import torch
        >>> z, y = torch.tensor([[0.0], [0.1], [1.0], [1.1]]), torch.tensor([0, 0, 1, 1])
        >>> linear_probe(z, y, train=torch.tensor([0, 2]), distance="euclidean")
        1.0
    """
    index_below("seed", seed, 2**32)
    positive("strength", strength)
    values, labels = _probe_features("z", z, distance), to_numpy(class_labels("y", y, len(z)))
    tested = row_index("test", test, len(values))
    tested = tested[labels[tested] >= 0]
    if reference is not None:
        others, other_y = check_reference(reference)
        x = _probe_features("reference", others, distance)
        truth = to_numpy(class_labels("reference labels", other_y, len(x)))
        return _accuracy(x[truth >= 0], truth[truth >= 0], values[tested], labels[tested], strength)
    if train is not None:
        rows = row_index("train", train, len(values))
        rows = rows[labels[rows] >= 0]
        tested = np.setdiff1d(tested, rows)
        return _accuracy(values[rows], labels[rows], values[tested], labels[tested], strength)
    if not len(tested):
        raise ValueError("`y` labels no row for the linear probe to learn from.")
    order = _canonical_order(values[tested], labels[tested])
    return _cross_validated_accuracy(values[tested][order], labels[tested][order], strength, seed)


def cluster_agreement(z: Tensor, y: Tensor, *, distance: str = "cosine", seed: int = 0) -> float:
    """Return the adjusted mutual information (AMI) of the labels and as many k-means clusters as there are labels.

    Where fewer rows are different there are fewer clusters.

    Args:
        z: embeddings ``[rows, features]``; scaled to length 1 first where ``distance`` is "cosine".
        y: integer labels ``[rows]``; rows of -1 are left out.
        distance: see :func:`evaluate_retrieval`.
        seed: of k-means.

    Source: Vinh, Epps & Bailey (2010), JMLR 11, for AMI; its mean is arithmetic, scikit-learn's default.

    Example:
        >>> import torch
        >>> z = torch.tensor([[0.0], [0.1], [1.0], [1.1]])
        >>> cluster_agreement(z, torch.tensor([0, 0, 1, 1]), distance="euclidean")
        1.0
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_mutual_info_score

    index_below("seed", seed, 2**32)
    values, labels = _probe_features("z", z, distance), to_numpy(class_labels("y", y, len(z)))
    values, labels = values[labels >= 0], labels[labels >= 0]
    order = _canonical_order(values, labels)
    values, labels = values[order], labels[order]
    if not len(labels):
        raise ValueError("`y` must label at least one row.")
    clusters = min(len(np.unique(labels)), len(np.unique(values, axis=0)))
    with warnings.catch_warnings():  # rows that differ by rounding alone are one cluster, which is no failure
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(clusters, n_init=3, random_state=seed).fit_predict(values)
    return float(adjusted_mutual_info_score(labels, found))


def _probe_features(argument: str, z: Tensor, distance: str) -> np.ndarray:
    """Return embeddings as they are compared, of one feature at least."""
    values = comparable_rows(argument, z, member("distance", distance, DISTANCES))
    if not values.shape[1]:
        raise ValueError(f"`{argument}` must have at least one feature, got {list(values.shape)}.")
    return values


def _canonical_order(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return an order of the rows that does not depend on the one they came in."""
    return np.lexsort((labels, *values.T[::-1]))


def _accuracy(x: np.ndarray, y: np.ndarray, tested: np.ndarray, truth: np.ndarray, strength: float) -> float:
    """Fit on ``x`` and return the accuracy on ``tested``."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(y)) < 2:
        raise ValueError("a linear probe needs two classes of `y` to learn from; leave 'probe' out of `metrics`.")
    if not len(truth):
        raise ValueError("`test`: no labelled row is left to test the linear probe on.")
    order = _canonical_order(x, y)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    probe.fit(x[order], y[order])
    return float((probe.predict(tested) == truth).mean())


def _cross_validated_accuracy(x: np.ndarray, y: np.ndarray, strength: float, seed: int) -> float:
    """Return the accuracy over stratified folds, each row tested once."""
    random = np.random.default_rng(seed)
    fold = np.empty(len(y), dtype=np.int64)
    for label in np.unique(y):
        members = random.permutation(np.flatnonzero(y == label))
        fold[members] = (np.arange(len(members)) + random.integers(FOLDS)) % FOLDS
    right = 0.0
    for number in range(FOLDS):
        tested = fold == number
        if tested.any():
            right += _accuracy(x[~tested], y[~tested], x[tested], y[tested], strength) * tested.sum()
    return float(right / len(y))

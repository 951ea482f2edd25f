"""Anomaly detection by distance from items that are known to be normal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit._checks import at_least, class_labels, dense, instance, member, within
from graphkit.metric.blockwise import BLOCK, row_blocks
from graphkit.metric.nearest import comparable_rows, nearest_items

METHODS = ("prototype", "neighbour", "mahalanobis")


class Detection(NamedTuple):
    """How well scores tell anomalies from normal items.

    Args:
        auroc: chance that an anomaly scores higher than a normal item, ties counting one half.
        average_precision: mean over the anomalies of the precision at their score; the share of anomalies is its floor.
    """

    auroc: float
    average_precision: float


class AnomalyScorer:
    r"""Scores items by their distance from a set of normal ones; higher is stranger.

    - "prototype": distance to the nearest class mean (the mean of all where there are no labels).
    - "neighbour": distance to the k-th nearest normal item.
    - "mahalanobis": the least :math:`(z - \mu_c)^T \Sigma^{-1} (z - \mu_c)` over classes, :math:`\Sigma` the covariance
      within classes, shrunk towards a multiple of the identity.

    Args:
        method: one of these.
        neighbours: k of "neighbour".
        shrinkage: weight of the identity in the covariance, in (0, 1); keeps it invertible.
        distance: "cosine" compares directions; "euclidean" positions.

    Source: Lee et al. (2018), arXiv:1807.03888, for one covariance shared by class means; Ramaswamy, Rastogi & Shim
    (2000), SIGMOD, for the k-th neighbour; Snell, Swersky & Zemel (2017), arXiv:1703.05175, for class means.

    Example:
        >>> normal = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> scorer = AnomalyScorer("neighbour", neighbours=1, distance="euclidean").fit(normal)
        >>> scorer(torch.tensor([[0.0, 0.5], [4.0, 1.0]])).tolist()
        [0.5, 3.0]
    """

    def __init__(
        self, method: str = "prototype", *, neighbours: int = 5, shrinkage: float = 0.1, distance: str = "cosine"
    ) -> None:
        self.method = member("method", method, METHODS)
        self.neighbours = at_least("neighbours", neighbours, 1)
        if within("shrinkage", shrinkage, 0.0, 1.0) == 0:
            raise ValueError("`shrinkage` must lie in (0, 1), got 0: a covariance of few items cannot be inverted.")
        self.shrinkage = shrinkage
        self.distance = member("distance", distance, ("cosine", "euclidean"))
        self._items: Tensor | None = None

    @classmethod
    def choose(
        cls, z: Tensor, y: Tensor, others: Tensor, others_y: Tensor, *, methods: Sequence[str] = METHODS, **options: Any
    ) -> AnomalyScorer:
        """Return the scorer, fitted to normal items, whose method tells best what it was not fitted to.

        No anomaly is asked for: each class plays the unknown in turn, and the method of the highest mean AUROC on other
        items of the same classes is taken; of equal ones the first, as it is where no class can be left out.

        Args:
            z, y: normal items ``[items, features]`` and their classes ``[items]``; rows of -1 are left out.
            others, others_y: items that are scored meanwhile, likewise, such as validation items.
            methods: to choose among.
            options: as the scorer takes them.

        Example:
            >>> y = torch.arange(60) % 3
            >>> z = torch.eye(3)[y] + 0.1 * torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
            >>> AnomalyScorer.choose(z[:30], y[:30], z[30:], y[30:]).method in METHODS
            True
        """
        instance("methods", methods, Sequence, "names of methods")
        scorers = [cls(member("methods", method, METHODS), **options) for method in methods]
        labels = class_labels("y", y, len(z)).cpu()
        asked = class_labels("others_y", others_y, len(others)).cpu()
        known = labels[labels >= 0].unique()
        means = []
        for scorer in scorers:
            found = []
            for out in known if len(known) > 1 else ():
                rest, played = (labels >= 0) & (labels != out), asked[asked >= 0] == out
                if bool(played.any()) and not bool(played.all()):
                    told = scorer.fit(z[rest.to(z.device)], labels[rest])
                    found.append(told.detection(others[(asked >= 0).to(others.device)], played).auroc)
            means.append(sum(found) / len(found) if found else 0.0)
        return scorers[means.index(max(means))].fit(z, y)

    def fit(self, z: Tensor, y: Tensor | None = None) -> AnomalyScorer:
        """Learn what is normal and return the scorer itself.

        Args:
            z: normal items ``[items, features]``.
            y: their classes ``[items]``; rows of -1 are left out. Without it all are one class.

        Raises:
            ValueError: if there are no items, or fewer than ``neighbours`` for that method.
            TypeError: for labels that are not integers.
        """
        items = self._rows("z", z)
        labels = z.new_zeros(len(z), dtype=torch.long) if y is None else class_labels("y", y, len(z)).long()
        items, labels = items[(labels >= 0).cpu()], labels[labels >= 0].cpu()
        least = self.neighbours if self.method == "neighbour" else 1
        if len(items) < least:
            raise ValueError(f"`z` must hold at least {least} normal items, got {len(items)}.")
        classes, numbers = labels.unique(return_inverse=True)
        belongs = torch.nn.functional.one_hot(numbers, len(classes)).to(items.dtype)
        self._means = (belongs.T @ items) / belongs.sum(0)[:, None]
        within_classes = items - self._means[numbers]
        covariance = within_classes.T @ within_classes / len(items)
        mean = covariance.diagonal().mean()
        self._scale = scale = mean.where(mean > 0, 1)  # where all items of a class coincide, any multiple will do
        mixed = (1 - self.shrinkage) * covariance + self.shrinkage * scale * torch.eye(len(covariance)).to(covariance)
        self._root = torch.linalg.cholesky(mixed / scale)
        self._items = items
        return self

    def __call__(self, z: Tensor) -> Tensor:
        """Return one score per row of ``z``, ``[rows]``, float64 on the CPU.

        Raises:
            ValueError: before :meth:`fit`, or for another number of features.
        """
        if self._items is None:
            raise ValueError("`fit` the scorer on normal items first.")
        values = self._rows("z", z)
        if values.shape[1] != self._items.shape[1]:
            raise ValueError(f"`z` must have {self._items.shape[1]} features, as the normal items, got {z.shape[1]}.")
        if self.method == "neighbour":
            return nearest_items(
                values, self.neighbours, reference=self._items, distance="euclidean", engine="exact"
            ).distances[:, -1]
        scores = values.new_empty(len(values))
        for start, stop in row_blocks(len(values), self._means.numel(), BLOCK):
            scores[start:stop] = self._scores(values[start:stop])
        return scores

    def _scores(self, values: Tensor) -> Tensor:
        """Return the scores of a block of rows, of which all differences from the class means are held."""
        difference = values[:, None] - self._means
        if self.method == "prototype":
            return difference.square().sum(-1).amin(1).sqrt()
        whitened = torch.linalg.solve_triangular(self._root, difference.flatten(0, 1).T, upper=False)
        return whitened.square().sum(0).view(len(values), len(self._means)).amin(1) / self._scale

    def detection(self, z: Tensor, anomalous: Tensor) -> Detection:
        """Return how well the scores of ``z`` tell which rows are ``anomalous``.

        Args:
            z: embeddings ``[rows, features]``.
            anomalous: boolean ``[rows]``.

        Raises:
            ValueError: if there is not at least one of each kind.
        """
        from sklearn.metrics import average_precision_score, roc_auc_score

        values = self._rows("z", z)
        if dense("anomalous", anomalous).dtype != torch.bool or anomalous.shape != (len(values),):
            raise ValueError(f"`anomalous` must be a boolean mask of shape [{len(values)}].")
        truth = anomalous.cpu().numpy()
        if truth.all() or not truth.any():
            raise ValueError("`anomalous` must mark some rows and leave others.")
        scores = self(z).numpy()
        return Detection(float(roc_auc_score(truth, scores)), float(average_precision_score(truth, scores)))

    def _rows(self, argument: str, z: Tensor) -> Tensor:
        """Return rows in float64, of length 1 where directions count."""
        return torch.from_numpy(comparable_rows(argument, z, self.distance))

"""Reports: everything that is measured of predictions whose labels are known, class by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from graphkit._checks import integer_labels

BINS = 15
"""Bins of the expected calibration error, of equal width."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassReport:
    """What is measured of predicted classes.

    Args:
        classes: their names.
        items: how many items were looked at.
        confusion: ``[true, predicted]``, numbers of items.
        precision, recall, f1: of each class, NaN where the class has no item to be one of.
        roc_auc: of each class against the others, NaN where there are none of either.
        calibration_error: expected calibration error, in [0, 1].
        log_loss: mean negative log-likelihood, in nats.
        bins: of the calibration: items, mean confidence and accuracy of each, ``[bins, 3]``.
    """

    classes: tuple[str, ...]
    items: int
    confusion: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    roc_auc: np.ndarray
    calibration_error: float
    log_loss: float
    bins: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of items whose likeliest class is their label."""
        return float(np.trace(self.confusion) / self.items)

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have items."""
        return float(np.nanmean(self.recall))

    @property
    def scalars(self) -> dict[str, float]:
        """The figures of all classes together, by name; means over those classes that have them."""
        found = {
            "accuracy": self.accuracy,
            "balanced accuracy": self.balanced_accuracy,
            "macro F1": float(np.nanmean(self.f1)),
            "ROC-AUC": math.nan if np.isnan(self.roc_auc).all() else float(np.nanmean(self.roc_auc)),
            "calibration error": self.calibration_error,
            "log loss": self.log_loss,
        }
        return {name: value for name, value in found.items() if not math.isnan(value)}


def class_report(probabilities: Tensor, y: Tensor, classes: Sequence[str]) -> ClassReport:
    r"""Return what is measured of predicted classes.

    The expected calibration error is :math:`\sum_b \frac{n_b}{n} |\mathrm{acc}_b - \mathrm{conf}_b|` over bins of the
    largest probability of an item.

    Args:
        probabilities: ``[items, classes]``, rows that sum to 1.
        y: labels ``[items]``, from 0.
        classes: their names.

    Source: Guo, Pleiss, Sun & Weinberger (2017), arXiv:1706.04599, equation 3, for the calibration error; all else is
    scikit-learn's.

    Example:
        >>> import torch
        >>> p = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
        >>> report = class_report(p, torch.tensor([0, 1, 1, 1]), ("cat", "dog"))
        >>> report.accuracy, report.confusion.tolist(), round(report.calibration_error, 3)
        (0.75, [[1, 0], [1, 2]], 0.3)
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

    integer_labels("y", y, len(probabilities))
    if not len(y):
        raise ValueError("`y` must label at least one item; there are no figures of none.")
    truth, p = y.cpu().numpy(), probabilities.double().cpu().numpy()
    guess, places = p.argmax(1), np.arange(len(classes))
    precision, recall, f1, _ = precision_recall_fscore_support(truth, guess, labels=places, zero_division=np.nan)
    areas = [
        roc_auc_score(truth == place, p[:, place]) if 0 < (truth == place).sum() < len(truth) else math.nan
        for place in places
    ]
    bins = calibration_bins(p.max(1), guess == truth)
    share = bins[:, 0] / len(truth)
    return ClassReport(
        classes=tuple(classes),
        items=len(truth),
        confusion=confusion_matrix(truth, guess, labels=places),
        precision=precision,
        recall=recall,
        f1=f1,
        roc_auc=np.array(areas),
        calibration_error=float((share * np.abs(bins[:, 2] - bins[:, 1])).sum()),
        log_loss=float(-np.log(p[np.arange(len(truth)), truth].clip(np.finfo(float).tiny)).mean()),
        bins=bins,
    )


def calibration_bins(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return items, mean confidence and accuracy of each bin of equal width, ``[bins, 3]``; zeros where it is empty."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    sums = (np.bincount(place, weights=values, minlength=BINS) for values in (confidence, right.astype(float)))
    return np.stack([counts, *(each / np.maximum(counts, 1) for each in sums)], axis=1)


def merged_bins(several: Sequence[np.ndarray]) -> np.ndarray:
    """Return the bins of several reports as those of all their items, ``[bins, 3]``."""
    counts = np.sum([bins[:, 0] for bins in several], axis=0)
    sums = np.sum([bins[:, :1] * bins[:, 1:] for bins in several], axis=0)
    return np.concatenate([counts[:, None], sums / np.maximum(counts, 1)[:, None]], axis=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class ColumnReport:
    """What is measured of several tasks of two classes, or of numbers, column by column.

    Args:
        columns: their names.
        items: how many items were looked at.
        figures: name of a figure -> its value for each column, NaN where there is none.
    """

    columns: tuple[str, ...]
    items: int
    figures: dict[str, np.ndarray]

    @property
    def scalars(self) -> dict[str, float]:
        """The mean of each figure over the columns that have it."""
        return {name: float(np.nanmean(each)) for name, each in self.figures.items() if not np.isnan(each).all()}


def column_report(values: Tensor, y: Tensor, columns: Sequence[str], *, tasks: bool) -> ColumnReport:
    """Return what is measured of tasks of two classes each, or of numbers.

    Args:
        values: probabilities of tasks, or numbers, ``[items, columns]``.
        y: likewise; NaN where a label is missing.
        columns: names.
        tasks: whether they are tasks.

    Example:
        >>> import torch
        >>> report = column_report(torch.tensor([[1.0], [4.0]]), torch.tensor([[1.0], [2.0]]), ["weight"], tasks=False)
        >>> report.figures["mae"].tolist()
        [1.0]
    """
    from sklearn.metrics import average_precision_score, mean_absolute_error, r2_score, roc_auc_score
    from sklearn.metrics import root_mean_squared_error as rmse

    numbers, truth = values.double().cpu().numpy(), y.double().cpu().numpy().reshape(len(values), -1)
    of_tasks = {"roc_auc": roc_auc_score, "ap": average_precision_score}
    of_values = {"rmse": rmse, "mae": mean_absolute_error, "r2": r2_score}
    measures: dict[str, Any] = of_tasks if tasks else of_values

    def measure(how: Any, place: int) -> float:
        there = ~np.isnan(truth[:, place])
        known = truth[there, place]
        if len(known) < 2 or (tasks and len(np.unique(known)) < 2):
            return math.nan
        return float(how(known, numbers[there, place]))

    figures = {name: np.array([measure(how, place) for place in range(len(columns))]) for name, how in measures.items()}
    return ColumnReport(columns=tuple(columns), items=len(truth), figures=figures)


def fitted_temperature(logits: Tensor, y: Tensor) -> float:
    """Return what logits are divided by so that their probabilities are as likely as can be of labels ``y``.

    The order of an item's classes, and so every accuracy, stays.

    Args:
        logits: ``[items, classes]``.
        y: labels ``[items]`` of items that were not trained on.

    Raises:
        ValueError: for no item.

    Source: Guo, Pleiss, Sun & Weinberger (2017), arXiv:1706.04599, section 4.2.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
        >>> round(fitted_temperature(logits, torch.tensor([0, 0, 1, 1])), 1)
        3.6
    """
    from scipy.optimize import minimize_scalar

    if not len(y):
        raise ValueError("`y` must label at least one item to fit a temperature to.")
    logits, y = logits.double(), y.long()

    def loss(log_temperature: float) -> float:
        return float(F.cross_entropy(logits / math.exp(log_temperature), y))

    return float(math.exp(minimize_scalar(loss, bounds=(-5.0, 5.0), method="bounded").x))

"""What is minimised and what is measured: accuracy, ROC-AUC, average precision, RMSE."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from torch_geometric.data import Data


class AbstractSupervisedObjective(ABC):
    """A loss to train with, and a figure to select and to report by."""

    name: ClassVar[str]
    sign: ClassVar[int] = 1
    unit: ClassVar[str] = "fraction"
    best: ClassVar[str]

    @abstractmethod
    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of ``logits [items, outputs]``."""

    @abstractmethod
    def figure(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the figure as a number in float64, NaN for logits that are not finite; ``sign`` -1: smaller is better.

        Raises:
            ValueError: where the items have no figure: there are none, or ROC-AUC of those of one class.
        """


@dataclass(frozen=True)
class Accuracy(AbstractSupervisedObjective):
    """Cross-entropy, and the share of items whose largest logit is their label."""

    name: ClassVar[str] = "accuracy"
    best: ClassVar[str] = "highest validation accuracy"

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the cross-entropy in nats."""
        return F.cross_entropy(logits, y)

    def figure(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the accuracy."""
        if not len(y):
            raise ValueError("`y` must label at least one item; there is no accuracy of none.")
        found = (logits.argmax(dim=-1) == y).sum().double() / len(y)
        return found.where(logits.isfinite().all(), torch.nan)  # of NaN the largest is the first


@dataclass(frozen=True)
class TwoClassRanking(AbstractSupervisedObjective):
    """Cross-entropy of two classes, and how well their difference ranks the items: the area under the ROC curve.

    Ties count one half. Items of one class alone have no ranking.
    """

    name: ClassVar[str] = "rocauc"
    best: ClassVar[str] = "highest validation ROC-AUC"

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the cross-entropy in nats."""
        return F.cross_entropy(logits, y)

    def figure(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the area under the ROC curve."""
        return roc_auc(logits[:, 1] - logits[:, 0], y == 1)


@dataclass(frozen=True)
class AbstractOfficial(AbstractSupervisedObjective):
    """A figure by OGB's evaluator.

    Args:
        dataset: whose evaluator.
    """

    dataset: str

    def figure(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the evaluator's figure; NaN for logits that are not finite."""
        from graphkit.data import ogb_metric

        if not bool(logits.isfinite().all()):
            return torch.tensor(torch.nan, dtype=torch.float64)  # the loop says so, with the epoch
        found = ogb_metric(self.dataset, y, logits)[1]
        return torch.tensor(found, dtype=torch.float64, device=logits.device)


@dataclass(frozen=True)
class AbstractOfficialTasks(AbstractOfficial):
    """Binary cross-entropy of one task or several, labels that are NaN left out, and a mean figure over the tasks."""

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the mean in nats over the labels that are there, 0 where a batch has none."""
        there = ~y.isnan()
        losses = F.binary_cross_entropy_with_logits(logits[there], y[there].to(logits.dtype), reduction="sum")
        return losses / there.sum().clamp(min=1)


@dataclass(frozen=True)
class OfficialRanking(AbstractOfficialTasks):
    """Binary cross-entropy, and the mean area under the ROC curve by OGB."""

    name: ClassVar[str] = "rocauc"
    best: ClassVar[str] = "highest validation ROC-AUC"


@dataclass(frozen=True)
class OfficialPrecision(AbstractOfficialTasks):
    """Binary cross-entropy, and the mean average precision by OGB."""

    name: ClassVar[str] = "ap"
    best: ClassVar[str] = "highest validation average precision"


@dataclass(frozen=True)
class OfficialDistance(AbstractOfficial):
    """Mean square error, and its root by OGB."""

    name: ClassVar[str] = "rmse"
    sign: ClassVar[int] = -1
    unit: ClassVar[str] = "as the labels"
    best: ClassVar[str] = "lowest validation RMSE"

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the mean square error."""
        return F.mse_loss(logits, y.to(logits.dtype))


@dataclass(frozen=True)
class AbstractTasks(AbstractSupervisedObjective):
    """A figure of several columns of labels, NaN where one is missing: the mean over the columns that have it."""

    def figure(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the mean over the columns; NaN for logits that are not finite.

        Raises:
            ValueError: where no column has the figure.
        """
        if not bool(logits.isfinite().all()):
            return torch.tensor(torch.nan, dtype=torch.float64)  # the loop says so, with the epoch
        there = ~y.isnan()
        found = [
            self.column_figure(logits[rows, column].double(), y[rows, column].double())
            for column, rows in enumerate(there.T)
            if self.has_figure(y[rows, column])
        ]
        if not found:
            raise ValueError(f"`y` must label items of a column such that there is {self.name}; choose another split.")
        return torch.stack(found).mean()

    @abstractmethod
    def has_figure(self, y: Tensor) -> bool:
        """Return whether there is a figure of items with these labels."""

    @abstractmethod
    def column_figure(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the figure of one column."""


@dataclass(frozen=True)
class TaskRanking(AbstractTasks):
    """Binary cross-entropy of one task or several, and the mean area under the ROC curve of those with both classes."""

    name: ClassVar[str] = "rocauc"
    best: ClassVar[str] = "highest validation ROC-AUC"

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the mean in nats over the labels that are there, 0 where a batch has none."""
        there = ~y.isnan()
        losses = F.binary_cross_entropy_with_logits(logits[there], y[there].to(logits.dtype), reduction="sum")
        return losses / there.sum().clamp(min=1)

    def has_figure(self, y: Tensor) -> bool:
        """Return whether both classes are there."""
        return 0 < int((y == 1).sum()) < len(y)

    def column_figure(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the area under the ROC curve."""
        return roc_auc(logits, y == 1)


@dataclass(frozen=True)
class TaskDistance(AbstractTasks):
    """Mean square error of one number or several, and its root, the mean over the columns."""

    name: ClassVar[str] = "rmse"
    sign: ClassVar[int] = -1
    unit: ClassVar[str] = "as the labels"
    best: ClassVar[str] = "lowest validation RMSE"

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the mean square error over the labels that are there, 0 where a batch has none."""
        there = ~y.isnan()
        return ((logits[there] - y[there].to(logits.dtype)) ** 2).sum() / there.sum().clamp(min=1)

    def has_figure(self, y: Tensor) -> bool:
        """Return whether there is a label."""
        return len(y) > 0

    def column_figure(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the root of the mean square error."""
        return ((logits - y) ** 2).mean().sqrt()


def roc_auc(scores: Tensor, positive: Tensor) -> Tensor:
    """Return the share of pairs of a positive and another item that ``scores`` put in order; ties count one half.

    Args:
        scores: ``[items]``.
        positive: which items should have the higher ones, boolean ``[items]``.

    Returns:
        a number in float64; NaN for scores that are not finite.

    Raises:
        ValueError: where all items are positive, or none is.

    Example:
        >>> roc_auc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([False, False, True, True])).item()
        0.75
    """
    both_classes("y", positive)
    if not bool(scores.isfinite().all()):
        return torch.tensor(torch.nan, dtype=torch.float64, device=scores.device)
    _, place, count = scores.unique(return_inverse=True, return_counts=True)
    rank = (count.cumsum(0) - (count - 1) / 2).double()[place]
    ups = positive.sum().double()
    downs = len(scores) - ups
    return (rank[positive].sum() - ups * (ups + 1) / 2) / (ups * downs)


def both_classes(argument: str, positive: Tensor) -> None:
    """Refuse items of one class, or none, where they are to be ranked."""
    count = int(positive.sum())
    if count in (0, len(positive)):
        raise ValueError(
            f"`{argument}` must hold items of both classes for ROC-AUC, got {count} of one and {len(positive) - count} "
            "of the other; choose another split."
        )


def objective_of(data: Data, classes: int) -> AbstractSupervisedObjective:
    """Return what the card of ``data`` asks for on nodes, accuracy where it has no card.

    Raises:
        ValueError: for ROC-AUC of more than two classes, or where the items to select by or to test on are of one.
    """
    card = data.get("card")
    if card is None or card.metric == "accuracy":
        return Accuracy()
    if card.metric != "rocauc" or classes > 2:
        raise ValueError(f"`{card.name}` asks for {card.metric} of {classes} classes, which training does not measure.")
    for name in ("val_mask", "test_mask"):  # told before training, not at its end
        if (mask := data.get(name)) is not None:
            both_classes(name, data.y.cpu()[mask.cpu()] == 1)
    return TwoClassRanking()

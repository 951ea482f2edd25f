"""Figures of a model's outputs against what its items are labelled with: which there are, and what each fits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from graphkit import _checks

Kind: TypeAlias = Literal["classes", "binary", "numbers", "links", "forecasts"]
"""What an item is labelled with: a class, several yes or no with gaps, real numbers with gaps; or it is a link or none,
or a moment after which numbers come.
"""

KIND_NAMES: dict[str, str] = {
    "classes": "classes",
    "binary": "binary tasks",
    "numbers": "real numbers",
    "links": "links",
    "forecasts": "forecasts",
}
"""The kinds as people call them."""

NEEDS = {
    "labels": "at least one label",
    "both classes": "items of both classes",
    "different numbers": "different numbers",
}


@dataclass(frozen=True)
class TargetMetric:
    """A figure of outputs against labels.

    Of binary tasks and of numbers it is that of each column, and then their mean; of forecasts that of all numbers
    together. Labels that are missing do not count, nor do columns that have no figure for want of ``needs``.

    Args:
        name: scikit-learn's word.
        title: as people write it.
        kinds: what it fits; of classes those figures that rank items are of two.
        of_column: the figure of outputs ``[items]`` and labels ``[items]``; outputs of binary tasks are logits.
        of_classes: the figure of logits ``[items, classes]`` and labels, or nothing where two classes are ranked by
            the difference of their logits.
        sign: -1 where smaller is better.
        needs: what the labels of a column must hold, one of ``NEEDS``.
        unit: "fraction" for what is shown in per cent.
        others: pairs that are no links which there must be, for a figure of ranks.
    """

    name: str
    title: str
    kinds: tuple[Kind, ...]
    of_column: Callable[[Tensor, Tensor], Tensor]
    of_classes: Callable[[Tensor, Tensor], Tensor] | None = None
    sign: int = 1
    needs: Literal["labels", "both classes", "different numbers"] = "labels"
    unit: str = "fraction"
    others: int = 0

    def text(self, figure: float) -> str:
        """Return a figure as people read it, fractions in per cent.

        Example:
            >>> METRICS["accuracy"].text(0.723), METRICS["rmse"].text(0.5)
            ('72.3 %', '0.5')
        """
        return f"{100 * figure:.1f} %" if self.unit == "fraction" else f"{figure:.4g}"

    def fits(self, kind: Kind, outputs: int) -> bool:
        """Return whether it is a figure of targets of a kind, with so many outputs of the model."""
        return kind in self.kinds and (kind != "classes" or self.of_classes is not None or outputs == 2)

    def columns(self, y: Tensor, argument: str = "y") -> Tensor:
        """Return which columns of labels have a figure, ``[columns]``; classes are one column.

        Raises:
            ValueError: where none has.
        """
        y = _as_columns(y)
        there = ~y.isnan()
        usable = there.any(0)
        if self.needs == "both classes":
            usable = (y == 1).any(0) & (y == 0).any(0)
        elif self.needs == "different numbers":
            usable = (there & (y != y.nan_to_num(-math.inf).amax(0))).any(0) if len(y) else usable
        if bool(usable.any()) and (many := int((y == 0).sum())) < self.others:
            raise ValueError(
                f"`{argument}` must hold {self.others} pairs or more that are no links for {self.title}, got {many:,}; "
                "take a figure of fewer, such as roc_auc, or more of them for each link."
            )
        if not bool(usable.any()):
            found = f"got {int(there.sum())} labels"
            if self.needs == "both classes":
                found = f"got {int((y == 1).sum())} of one and {int((y == 0).sum())} of the other"
            raise ValueError(
                f"`{argument}` must hold {NEEDS[self.needs]} for {self.title}, {found}; choose another split."
            )
        return usable

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the figure in float64, NaN for outputs that are not finite.

        Args:
            outputs: logits ``[items, classes]`` or ``[items, tasks]``, or numbers ``[items, targets]``.
            y: classes, integers ``[items]``; or ``[items, columns]``, NaN where a label is missing; of forecasts
                ``[moments, horizon, nodes, features]``, and so are ``outputs``.

        Raises:
            ValueError: where the items have no figure: there are none, or ROC-AUC of those of one class.
        """
        usable = self.columns(y)
        if not bool(outputs.isfinite().all()):
            return torch.tensor(torch.nan, dtype=torch.float64, device=outputs.device)
        if y.dim() > 2:
            outputs, y = _as_columns(outputs), _as_columns(y)
        if y.dim() == 1:
            if self.of_classes is not None:
                return self.of_classes(outputs, y)
            outputs, y = (outputs[:, 1] - outputs[:, 0])[:, None], _class_column(y)
        figures = []
        for column in usable.nonzero().flatten().tolist():
            there = ~y[:, column].isnan()
            figures.append(self.of_column(outputs[there, column].double(), y[there, column].double()))
        return torch.stack(figures).mean()


def _as_columns(y: Tensor) -> Tensor:
    """Return labels as columns: classes as one of 0 and 1, what comes after moments as one of all numbers."""
    return _class_column(y) if y.dim() == 1 else y.reshape(-1, 1) if y.dim() > 2 else y


def _class_column(y: Tensor) -> Tensor:
    """Return one column of 0 and 1, of items of the first class and of others."""
    return (y > 0).double()[:, None]


def roc_auc(scores: Tensor, positive: Tensor) -> Tensor:
    """Return the share of pairs of a positive and another item that ``scores`` put in order; ties count one half.

    Args:
        scores: ``[items]``.
        positive: which items should have the higher ones, boolean ``[items]``; there must be some, and others.

    Returns:
        a number in float64.

    Example:
        >>> roc_auc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([False, False, True, True])).item()
        0.75
    """
    _, place, count = scores.unique(return_inverse=True, return_counts=True)
    rank = (count.cumsum(0) - (count - 1) / 2).double()[place]
    ups = positive.sum().double()
    downs = len(scores) - ups
    return (rank[positive].sum() - ups * (ups + 1) / 2) / (ups * downs)


def average_precision(scores: Tensor, positive: Tensor) -> Tensor:
    r"""Return :math:`\sum_k (R_k - R_{k-1}) P_k` over the different scores, from the highest down.

    :math:`P_k` is the share of positive items among those of at least the :math:`k`-th score, :math:`R_k` the share
    of the positive ones that are among them.

    Args:
        scores: ``[items]``.
        positive: boolean ``[items]``; there must be some.

    Returns:
        a number in float64.

    Example:
        >>> average_precision(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([False, False, True, True])).item()
        0.8333333333333333
    """
    _, place, count = scores.unique(return_inverse=True, return_counts=True)
    hits = torch.zeros(len(count), dtype=torch.float64, device=scores.device).index_add_(0, place, positive.double())
    hits, taken = hits.flip(0), count.flip(0).cumsum(0)
    found = hits.cumsum(0)
    return (hits * found / taken).sum() / found[-1]


def _accuracy(logits: Tensor, y: Tensor) -> Tensor:
    return (logits.argmax(dim=-1) == y).sum().double() / len(y)


def _macro_f1(logits: Tensor, y: Tensor) -> Tensor:
    """Return the mean F1 score of the classes that are there or are predicted."""
    guess, many = logits.argmax(dim=-1), logits.size(1)
    both = y.bincount(minlength=many) + guess.bincount(minlength=many)
    hits = y[guess == y].bincount(minlength=many)
    return (2 * hits.double() / both)[both > 0].mean()


def _f1(scores: Tensor, y: Tensor) -> Tensor:
    """Return the F1 score of the positive items, 0 where none is there or predicted."""
    guess = scores > 0
    both = (y == 1).sum() + guess.sum()
    return 2 * (guess & (y == 1)).sum().double() / both.clamp(min=1)


def hits_at(k: int, scores: Tensor, positive: Tensor) -> Tensor:
    """Return the share of positive items that score higher than the ``k``-th best of the others; a tie is no hit.

    Args:
        k: at least 1, and at most as many as there are others.
        scores: ``[items]``.
        positive: boolean ``[items]``.

    Source: ``ogb.linkproppred.Evaluator``.

    Example:
        >>> hits_at(1, torch.tensor([0.9, 0.2, 0.5, 0.1]), torch.tensor([True, True, False, False])).item()
        0.5
    """
    least = scores[~positive].topk(k).values[-1]
    return (scores[positive] > least).double().mean()


def reciprocal_rank(scores: Tensor, positive: Tensor, *, own: bool = False) -> Tensor:
    r"""Return the mean of :math:`1 / r` over the positive items, :math:`r` the rank of each among the others.

    Of others with the same score half are taken to be better.

    Args:
        scores: ``[items]``, those of the positive items first, where each has others of its own.
        positive: boolean ``[items]``.
        own: whether each positive item is ranked among as many others of its own, one after the other in their order.

    Source: ``ogb.linkproppred.Evaluator``.

    Example:
        >>> reciprocal_rank(torch.tensor([0.5, 0.9, 0.5]), torch.tensor([True, False, False])).item()
        0.4
    """
    links, others = scores[positive], scores[~positive]
    if own:
        others = others.view(len(links), -1)
        above, least = (others > links[:, None]).sum(1), (others >= links[:, None]).sum(1)
    else:
        ordered = others.sort().values
        above = len(others) - torch.searchsorted(ordered, links, right=True)
        least = len(others) - torch.searchsorted(ordered, links)
    return (1 / (1 + (above + least).double() / 2)).mean()


def _hits(k: int) -> TargetMetric:
    return TargetMetric(
        f"hits@{k}",
        f"Hits@{k}",
        ("links",),
        lambda s, y: hits_at(k, s, y == 1),
        needs="both classes",
        others=k,
    )


METRICS: dict[str, TargetMetric] = {
    made.name: made
    for made in (
        TargetMetric(
            "accuracy", "accuracy", ("classes", "binary"), lambda s, y: ((s > 0) == (y == 1)).double().mean(), _accuracy
        ),
        TargetMetric(
            "roc_auc", "ROC-AUC", ("binary", "classes", "links"), lambda s, y: roc_auc(s, y == 1), needs="both classes"
        ),
        TargetMetric(
            "ap",
            "average precision",
            ("binary", "classes", "links"),
            lambda s, y: average_precision(s, y == 1),
            needs="both classes",
        ),
        TargetMetric("f1", "F1", ("classes", "binary"), _f1, _macro_f1),
        TargetMetric(
            "rmse",
            "RMSE",
            ("numbers", "forecasts"),
            lambda s, y: (s - y).square().mean().sqrt(),
            sign=-1,
            unit="as the labels",
        ),
        TargetMetric(
            "mae",
            "MAE",
            ("numbers", "forecasts"),
            lambda s, y: (s - y).abs().mean(),
            sign=-1,
            unit="as the labels",
        ),
        TargetMetric(
            "r2",
            "R²",
            ("numbers", "forecasts"),
            lambda s, y: 1 - (s - y).square().sum() / (y - y.mean()).square().sum(),
            needs="different numbers",
            unit="number",
        ),
        *(_hits(k) for k in (1, 3, 10, 20, 50, 100)),
        TargetMetric(
            "mrr",
            "mean reciprocal rank",
            ("links",),
            lambda s, y: reciprocal_rank(s, y == 1),
            needs="both classes",
        ),
    )
}
"""The figures by name. Of several columns each is the mean over them; F1 of classes is the macro mean."""

DEFAULTS: dict[Kind, str] = {
    "classes": "accuracy",
    "binary": "roc_auc",
    "numbers": "rmse",
    "links": "hits@100",
    "forecasts": "rmse",
}
"""What is measured of each kind where nothing else is asked for."""


def default_metric(kind: Kind, published: str | None = None) -> TargetMetric:
    """Return what a data set's card asks for of targets of a kind, or else what is usual."""
    asked = METRICS.get(published or "")
    return asked if asked is not None and kind in asked.kinds else METRICS[DEFAULTS[kind]]


def metric_for(kind: Kind, outputs: int, *, named: str | None = None, published: str | None = None) -> TargetMetric:
    """Return the figure that is asked for of targets.

    Args:
        kind: of the targets.
        outputs: how many a model has for them.
        named: what the caller asks for.
        published: what the data set's card asks for, which counts where it is of targets of this kind.

    Raises:
        ValueError: for a name that is none, or a figure that does not fit, with those that do.

    Example:
        >>> metric_for("numbers", 1).name, metric_for("classes", 2, published="roc_auc").name
        ('rmse', 'roc_auc')
        >>> metric_for("numbers", 1, named="accuracy")
        Traceback (most recent call last):
        ValueError: `metric` 'accuracy' is none of real numbers; take one of rmse, mae, r2.
    """
    asked = default_metric(kind, published) if named is None else METRICS[_checks.member("metric", named, METRICS)]
    if not asked.fits(kind, outputs):
        fitting = ", ".join(each.name for each in METRICS.values() if each.fits(kind, outputs))
        of = f"{outputs} classes" if kind == "classes" else KIND_NAMES[kind]
        raise ValueError(f"`metric` {asked.name!r} is none of {of}; take one of {fitting}.")
    return asked

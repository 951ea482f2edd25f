"""Targets: what items are labelled with, the loss that learns it, and the figure that it is measured by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit import _checks
from graphkit.metric.losses.margin import contrastive_of_distances, triplet_of_distances
from graphkit.training.classification.metrics import KIND_NAMES, Kind, TargetMetric


class AbstractTarget(ABC):
    """What items are labelled with, and what a model has outputs for."""

    kind: ClassVar[Kind]
    outputs: int

    @abstractmethod
    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of ``outputs [items, outputs]``, over the labels that are there."""

    @abstractmethod
    def regression_targets(self, y: Tensor) -> Tensor:
        """Return what outputs are to be by least squares, ``[items, outputs]``, NaN where a label is missing."""

    @abstractmethod
    def best_constant(self, y: Tensor) -> Tensor:
        """Return the outputs ``[outputs]`` that, told of every item, fit ``y`` best: the worth of no model."""

    def values(self, outputs: Tensor) -> Tensor:
        """Return what the figure looks at: logits as they are, or numbers in the unit of the labels."""
        return outputs

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values: what is needed, beside a model's weights, to read its outputs."""
        return {"kind": self.kind, **vars(self)}


@dataclass(frozen=True)
class ClassTarget(AbstractTarget):
    """One of several classes, ``y [items]``: cross-entropy in nats."""

    kind: ClassVar[Kind] = "classes"
    outputs: int

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean cross-entropy."""
        return F.cross_entropy(outputs, y)

    def regression_targets(self, y: Tensor) -> Tensor:
        """Return 1 for an item's class and 0 for others."""
        return F.one_hot(y, self.outputs).float()

    def best_constant(self, y: Tensor) -> Tensor:
        """Return logits of the largest class."""
        return F.one_hot(y.bincount(minlength=self.outputs).argmax(), self.outputs).double()


@dataclass(frozen=True)
class BinaryTarget(AbstractTarget):
    """Several yes or no, ``y [items, tasks]`` of 0 and 1, NaN for gaps: binary cross-entropy in nats."""

    kind: ClassVar[Kind] = "binary"
    outputs: int

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean over the labels that are there, 0 where a batch has none."""
        there = ~y.isnan()
        losses = F.binary_cross_entropy_with_logits(outputs[there], y[there].to(outputs.dtype), reduction="sum")
        return losses / there.sum().clamp(min=1)

    def regression_targets(self, y: Tensor) -> Tensor:
        """Return 1 for yes and -1 for no."""
        return 2 * y - 1

    def best_constant(self, y: Tensor) -> Tensor:
        """Return the more frequent answer of each task, 1 or -1."""
        return torch.where(y.nanmean(0) > 0.5, 1.0, -1.0).double()


@dataclass(frozen=True)
class LinkTarget(BinaryTarget):
    """Links and pairs that are none, ``y [pairs, 1]`` of 1 and 0.

    Args:
        outputs: one, the score.
        form: "cross-entropy", both sides weighing the same, in nats; "ranking": of a link and a pair that is none,
            whether the first has the higher score, by the logistic loss; "triplet": the same with a hinge; or
            "contrastive": of square distances, of which a score is what is left to ``radius``.
        margin: of the last two.
        radius: square distance at which a score is 0.

    Source: Rendle et al. (2009), arXiv:1205.2618, for ranking; :class:`graphkit.metric.TripletLoss` and
    :class:`graphkit.metric.ContrastiveLoss`.
    """

    kind: ClassVar[Kind] = "links"
    outputs: int = 1
    form: str = "cross-entropy"
    margin: float = 1.0
    radius: float = 0.0

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss; where pairs are compared, links and others in the order in which they stand."""
        links = y == 1
        if self.form == "cross-entropy":
            costs = F.binary_cross_entropy_with_logits(outputs, y.to(outputs.dtype), reduction="none")
            sums = [costs[each].sum() / each.sum().clamp(min=1) for each in (links, ~links)]
            return (sums[0] + sums[1]) / 2
        near, far = self.radius - outputs[links], self.radius - outputs[~links]
        if self.form == "contrastive":
            return contrastive_of_distances(near, far, self.margin)
        each = max(1, len(far) // max(len(near), 1))  # others of its own follow each other
        near, far = near.repeat_interleave(each)[: len(far)], far[: each * len(near)]
        if self.form == "ranking":
            return triplet_of_distances(near, far, 0.0, soft=True)
        return triplet_of_distances(near, far, self.margin)


@dataclass(frozen=True)
class NumberTarget(AbstractTarget):
    """Real numbers, ``y [items, targets]``, NaN where one is missing: square error in deviations of the training items.

    A model's outputs are deviations from the mean, too: :meth:`values` gives them in the unit of the labels.

    Args:
        mean: of each number over the training items.
        scale: its standard deviation there, 1 where that is 0.
    """

    kind: ClassVar[Kind] = "numbers"
    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @property
    def outputs(self) -> int:  # type: ignore[override]
        """How many numbers."""
        return len(self.mean)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean square error over the labels that are there, 0 where a batch has none."""
        there = ~y.isnan()
        wanted = self.regression_targets(y).to(outputs.dtype)
        losses = F.mse_loss(outputs[there], wanted[there], reduction="sum")
        return losses / there.sum().clamp(min=1)

    def regression_targets(self, y: Tensor) -> Tensor:
        """Return deviations from the mean of the training items."""
        return (y - y.new_tensor(self.mean)) / y.new_tensor(self.scale)

    def best_constant(self, y: Tensor) -> Tensor:
        """Return the mean of each number, as an output."""
        mean = y.double().nanmean(0)
        return (mean - mean.new_tensor(self.mean)) / mean.new_tensor(self.scale)

    def values(self, outputs: Tensor) -> Tensor:
        """Return numbers in the unit of the labels."""
        outputs = outputs.double()
        return outputs * outputs.new_tensor(self.scale) + outputs.new_tensor(self.mean)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and how many numbers there are, as plain values."""
        return {"kind": self.kind, "outputs": self.outputs, "mean": list(self.mean), "scale": list(self.scale)}


@dataclass(frozen=True)
class ForecastTarget(AbstractTarget):
    """What comes after moments, ``y [moments, horizon, nodes, features]``, NaN where nothing is known: square error.

    Args:
        length: moments that a model looks at.
        horizon: moments that are forecast.
        nodes: of the graph.
        both: whether edges of the graph lead one way.
        clock: columns of the clock.
        learnt: moments to learn from; a graph that changes is the mean of what it was then.
        season: moments of a season, of a series without a calendar; 0 for none.
        scale: deviation of each feature over the moments to learn from, in which the error is counted.
    """

    kind: ClassVar[Kind] = "forecasts"
    length: int
    horizon: int
    nodes: int
    both: bool
    clock: int
    learnt: int
    season: float
    scale: tuple[float, ...]

    @property
    def outputs(self) -> int:  # type: ignore[override]
        """How many numbers of a node."""
        return self.horizon * len(self.scale)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean square error over what was measured, in deviations; 0 where nothing was."""
        there = ~y.isnan()
        apart = torch.where(there, outputs - y, 0.0) / outputs.new_tensor(self.scale)
        return apart.square().sum() / there.sum().clamp(min=1)

    def regression_targets(self, y: Tensor) -> Tensor:
        """Return the numbers as they are."""
        return y

    def best_constant(self, y: Tensor) -> Tensor:
        """Return the mean of each node, ``[horizon, nodes, features]``."""
        return y.double().nanmean(0)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and how many numbers there are, as plain values."""
        return {"kind": self.kind, "outputs": self.outputs, **vars(self), "scale": list(self.scale)}


def target_of(fields: Mapping[str, Any]) -> AbstractTarget:
    """Return the target of which ``as_dict`` gave the fields.

    Example:
        >>> target_of(NumberTarget((1.0,), (2.0,)).as_dict())
        NumberTarget(mean=(1.0,), scale=(2.0,))
    """
    if fields["kind"] == "numbers":
        return NumberTarget(tuple(fields["mean"]), tuple(fields["scale"]))
    if fields["kind"] == "forecasts":
        own = {name: value for name, value in fields.items() if name not in ("kind", "outputs")}
        return ForecastTarget(**{**own, "scale": tuple(own["scale"])})
    known: dict[str, Any] = {"classes": ClassTarget, "binary": BinaryTarget, "links": LinkTarget}
    return known[fields["kind"]](**{name: value for name, value in fields.items() if name != "kind"})


@dataclass(frozen=True)
class SupervisedObjective:
    """A loss to train with, and a figure to select and to report by.

    Args:
        target: what is learnt.
        metric: what is measured.
    """

    target: AbstractTarget
    metric: TargetMetric

    @property
    def name(self) -> str:
        """Of the figure."""
        return self.metric.name

    @property
    def sign(self) -> int:
        """-1 where a smaller figure is better, else 1."""
        return self.metric.sign

    @property
    def unit(self) -> str:
        """Of the figure."""
        return self.metric.unit

    @property
    def best(self) -> str:
        """What is selected by, in words."""
        return f"{'highest' if self.sign > 0 else 'lowest'} validation {self.metric.title}"

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of a model's ``outputs [items, outputs]``."""
        return self.target.loss(outputs, y)

    def figure(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the figure as a number in float64, NaN for outputs that are not finite.

        Raises:
            ValueError: where the items have no figure: there are none, or ROC-AUC of those of one class.
        """
        return self.metric(self.target.values(outputs), y)

    def constant_figure(self, y: Tensor) -> float:
        """Return the figure of the best answer that is the same for all items, such as the largest class's share."""
        constant = self.target.best_constant(y)
        return float(self.figure(constant.expand(len(y), *constant.shape), y))


def target_kind(y: Tensor, said: str = "") -> Kind:
    """Return what ``y`` holds.

    Integers ``[items]`` are classes; what is 0, 1 or NaN otherwise, or -1 in several columns of integers, are binary
    tasks; other real numbers are numbers.

    Args:
        y: labels ``[items]`` or ``[items, columns]``.
        said: what a card, a stored graph or ``data.target_kind`` says of them, in place of that.

    Raises:
        ValueError: for labels that are none of this, or not what is said of them.

    Example:
        >>> target_kind(torch.tensor([0, 2, 1])), target_kind(torch.tensor([[1.0, torch.nan]]))
        ('classes', 'binary')
        >>> target_kind(torch.tensor([0.0, 1.0])), target_kind(torch.tensor([0.0, 1.0]), said="numbers")
        ('binary', 'numbers')
    """
    shape = f"{y.dtype} {list(y.shape)}"
    if y.is_complex() or y.dim() not in (1, 2) or (y.dim() == 2 and not y.size(1)):
        raise ValueError(
            f"`y` must hold a class of each item, [items], or binary tasks or real numbers, [items] or [items, "
            f"columns], got {shape}."
        )
    if said:
        _checks.member("target_kind", said, [kind for kind in KIND_NAMES if kind not in ("links", "forecasts")])
    whole = not y.is_floating_point()
    if y.is_floating_point() and bool(y.isinf().any()):
        raise ValueError("`y` must be finite, or NaN where a label is missing.")
    if said == "classes" or (not said and whole and (y.dim() == 1 or y.size(1) == 1)):
        if not whole or (y.dim() == 2 and y.size(1) > 1):
            raise ValueError(
                f"`y` must hold one integer class of each item, got {shape} (`y.long()` makes classes of whole ones)."
            )
        return "classes"
    if said == "numbers":
        return "numbers"
    values = y.isnan() | (y == 0) | (y == 1) if not whole else (y == 0) | (y == 1) | (y == -1)
    if bool(values.all()):
        return "binary"
    if said == "binary" or whole:
        raise ValueError(
            f"`y` must hold 0, 1 or nothing ({'-1' if whole else 'NaN'}) of each binary task, got {shape} with "
            f"{y[~values][0].item():g}; `y.float()` makes real numbers of several whole ones, and one column of "
            "them is classes."
        )
    return "numbers"


def target_labels(y: Tensor, kind: Kind) -> Tensor:
    """Return labels in the form of their kind: classes ``[items]`` as int64, else ``[items, columns]`` with NaN."""
    if kind == "classes":
        return y.reshape(len(y)).long()
    y = y.reshape(len(y), -1)
    if y.is_floating_point():
        return y
    made = y.double()
    return made.masked_fill(y < 0, torch.nan) if kind == "binary" else made


def fit_target(kind: Kind, train: Tensor, classes: int = 0) -> AbstractTarget:
    """Return the target of these labels of training items.

    Args:
        kind: what they are.
        train: as :func:`target_labels` gives them.
        classes: how many there are, where they are classes.
    """
    if kind == "classes":
        return ClassTarget(classes)
    if kind == "binary":
        return BinaryTarget(train.size(1))
    y = train.double()
    mean = y.nanmean(0).nan_to_num(0.0)
    scale = (y - mean).square().nanmean(0).sqrt().nan_to_num(1.0)
    # Equal numbers are known by themselves: rounding may leave them a deviation that is not 0.
    low, high = y.nan_to_num(torch.inf).amin(0), y.nan_to_num(-torch.inf).amax(0)
    scale = torch.where(high > low, scale, 1.0)
    return NumberTarget(tuple(mean.tolist()), tuple(scale.tolist()))


def require_labels(y: Tensor, part: str) -> None:
    """Refuse labels of a part of the items where a class is missing, or everything.

    Args:
        y: as :func:`target_labels` gives them.
        part: what the message calls it.

    Raises:
        ValueError: naming the part.
    """
    if y.dim() == 1 and bool((y < 0).any()):
        raise ValueError(f"`y` must be 0 or above on the items of `{part}`, found {int(y.min())}.")
    if y.dim() == 2 and bool(y.isnan().all()):
        raise ValueError(f"`y` has no label on the {len(y):,} items of `{part}`; choose another split.")


def require_classes(y: Tensor, items: str = "nodes") -> None:
    """Refuse labels that are no classes, in a study of them.

    Raises:
        ValueError: saying what the labels must be.
    """
    if y.dim() != 1 or y.is_floating_point() or y.is_complex():
        raise ValueError(
            f"`y` must hold one integer class for each of the {items}, shape [{len(y)}], got {y.dtype} "
            f"{list(y.shape)}: binary tasks and real numbers are learnt by `train` (`y.long()` makes classes of whole "
            "numbers)."
        )

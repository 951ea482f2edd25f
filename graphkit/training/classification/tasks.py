"""What a run may see, test labels apart from all others, and what it minimises and measures."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit import _checks
from graphkit._torch_internals import joined_graphs
from graphkit.data.validation import class_count, feature_sum, validate
from graphkit.operators import FourierBasis, sparse_features

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.data import GraphSet
    from graphkit.operators import SparseOperator
    from graphkit.training.zoo.recipes import ModelRecipe


MASKS = ("train_mask", "val_mask", "test_mask")


Output: TypeAlias = Literal["classes", "tasks", "values"]
"""What the columns of a model's outputs are: one class of several, tasks of two classes each, or numbers."""


class AbstractSupervisedObjective(ABC):
    """A loss to train with, and a figure to select and to report by."""

    name: ClassVar[str]
    sign: ClassVar[int] = 1
    unit: ClassVar[str] = "fraction"
    best: ClassVar[str]
    output: ClassVar[Output] = "classes"

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

    output: ClassVar[Output] = "tasks"

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
    output: ClassVar[Output] = "values"

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

    output: ClassVar[Output] = "tasks"
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

    output: ClassVar[Output] = "values"
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


@dataclass(frozen=True)
class LabelledItems:
    """Some items and their labels, ``index [rows]`` and ``y [rows]``, of graphs perhaps ``[rows, tasks]``.

    ``logits`` takes them from a model in a step of training, where the task's own way is not meant. Where the rows are
    a part of a step only, ``share`` is how much of it, and ``first`` and ``last`` whether it begins and ends with them.
    Items of no share stand in for a process that has none in a step.
    """

    index: Tensor
    y: Tensor
    logits: Callable[[Callable[..., Tensor]], Tensor] | None = None
    share: float = 1.0
    first: bool = True
    last: bool = True


class AbstractTask(ABC):
    """All that training and selection see. The labels of the test items are not in it."""

    graph: tuple[Any, ...]
    train: LabelledItems
    validation: LabelledItems
    classes: int
    objective: AbstractSupervisedObjective

    @property
    @abstractmethod
    def channels(self) -> int:
        """Features of an item."""

    @abstractmethod
    def logits(self, model: Callable[..., Tensor], index: Tensor) -> Tensor:
        """Return the model's logits for the items ``index``, ``[items, classes]``."""

    @abstractmethod
    def batches(self, size: int) -> Iterator[LabelledItems]:
        """Yield the training items, in portions of ``size`` where items do not depend on each other."""


@dataclass(frozen=True)
class NodeTask(AbstractTask):
    """Nodes of one graph, which the model always sees whole.

    Args:
        x: features ``[nodes, features]``, a tensor or a sparse operator.
        graph: what the model takes after ``x``.
        train: the nodes the loss is taken over.
        validation: the nodes the selection looks at.
        classes: number of classes.
        objective: what is minimised and what is measured.
    """

    x: Tensor | SparseOperator
    graph: tuple[Any, ...]
    train: LabelledItems
    validation: LabelledItems
    classes: int
    objective: AbstractSupervisedObjective = dataclasses.field(default_factory=Accuracy)

    @property
    def channels(self) -> int:
        """Features of a node."""
        return self.x.size(1)

    def logits(self, model: Callable[..., Tensor], index: Tensor) -> Tensor:
        """Return the logits of some nodes."""
        return model(self.x, *self.graph)[index]

    def batches(self, size: int) -> Iterator[LabelledItems]:
        """Yield all training nodes at once."""
        yield self.train


@dataclass(frozen=True)
class SignalTask(AbstractTask):
    """Signals on one graph, each an item of its own.

    Args:
        signals: ``[signals, nodes, features]``.
        graph: what the model takes after the signals.
        train: the signals the loss is taken over.
        validation: the signals the selection looks at.
        classes: number of classes.
        objective: what is minimised and what is measured.
    """

    signals: Tensor
    graph: tuple[Any, ...]
    train: LabelledItems
    validation: LabelledItems
    classes: int
    objective: AbstractSupervisedObjective = dataclasses.field(default_factory=Accuracy)

    @property
    def channels(self) -> int:
        """Features of a node of a signal."""
        return self.signals.size(-1)

    def logits(self, model: Callable[..., Tensor], index: Tensor) -> Tensor:
        """Return the logits of some signals."""
        return model(self.signals[index], *self.graph)

    def batches(self, size: int) -> Iterator[LabelledItems]:
        """Yield the training signals in a drawn order."""
        rows = self.train
        if not size:
            yield rows
            return
        order = torch.randperm(len(rows.y)).to(rows.index.device)
        for part in order.split(size):
            yield LabelledItems(rows.index[part], rows.y[part])


def prepare(
    data: Data, recipe: ModelRecipe, device: torch.device, dtype: torch.dtype
) -> tuple[AbstractTask, LabelledItems]:
    """Return the task and, apart from it, the test items.

    Args:
        data: a graph whose nodes are the items; or, if it has ``signals [signals, nodes, features]``, one whose
            signals are. ``y`` and the masks have one value per item; classes are 0, 1, ... without a gap, or a card
            says how many there are; -1 is of items that no mask holds.
        recipe: how features and the graph are to be prepared.
        device: where everything goes.
        dtype: of features and edge weights.

    Raises:
        ValueError: for a graph that is not sound (``graphkit.data.validate``), labels that are not integers, masks
            that are missing, hold several splits, or leave nothing to train on, to select by or to test on, and edge
            weights that the model cannot use.
    """
    signals = data.get("signals")
    recipe = recipe.resolve(lambda: feature_sum(data))
    _require(data, signals)
    train, validation, test = _parts(data, device)
    features, graph = model_inputs(data, recipe, device, dtype)
    classes = class_count(data)
    if signals is not None:
        return SignalTask(features, graph, train, validation, classes), test  # type: ignore[arg-type]  # dense
    return NodeTask(features, graph, train, validation, classes, objective_of(data, classes)), test


def model_inputs(
    data: Data, recipe: ModelRecipe, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor | SparseOperator, tuple[Any, ...]]:
    """Return the features of the nodes, or the signals, and what a model of the recipe takes after them.

    Args:
        data: a sound graph; neither labels nor masks are looked at.
        recipe: resolved.
        device: where everything goes.
        dtype: of features and edge weights.

    Raises:
        ValueError: for a recipe of other items, and edge weights that the model cannot use.
    """
    signals = data.get("signals")
    items = "nodes" if signals is None else "signals"
    if recipe.model.items != items:
        raise ValueError(
            f"`recipe` {recipe.name!r} is for {recipe.model.items}, but the items of the data are {items}; "
            f"take one of `recipe(name, items={items!r})`."
        )
    weight = data.get("edge_weight")
    if weight is not None and recipe.model.edge_weights == "refused":
        raise ValueError(
            f"`edge_weight`: the model {recipe.name!r} does not use edge weights; train without them "
            "(`data.edge_weight = None`), or with a model that does (gcn, cheb)."
        )
    if weight is not None and recipe.model.edge_weights == "used":
        _checks.degree_weights(weight)
    graph = recipe.model.graph(
        data.edge_index.to(device), None if weight is None else weight.to(device, dtype), data.num_nodes
    )
    graph = tuple(part.to(dtype) if isinstance(part, FourierBasis) else part for part in graph)
    if signals is not None:
        return signals.to(device, dtype), graph
    on_disk = data.get("store") is not None and not recipe.row_normalise
    return data.x.to(device, dtype) if on_disk else _features(data.x.to(device, dtype), recipe), graph


def graph_classes(graphs: GraphSet) -> Tensor:
    """Return the class of each graph of a set, ``[graphs]``, -1 where it has none.

    Raises:
        ValueError: for labels that are no classes, or several of a graph; for classes that leave numbers out; and for a
            set without a card whose edges have values, which no recipe looks at.
    """
    y, card = graphs.items.y, graphs.card
    if y.dim() != 1 or y.is_floating_point() or y.is_complex():
        raise ValueError(
            f"`y` must hold one integer class for each graph, shape [{len(graphs)}], got {y.dtype} {list(y.shape)}: "
            "real numbers and several labels of a graph are learnt only by `train`, from OGB's sets (`y.long()` makes "
            "classes of whole numbers)."
        )
    _checks.class_count("y", y, card.classes if card else 0)
    require_plain_edges(graphs)
    return y.long()


def require_plain_edges(graphs: GraphSet) -> None:
    """Refuse values of edges that would be ignored, unless a card tells of them."""
    valued = [name for name in joined_graphs(graphs).to_dict() if name.startswith("edge_") and name != "edge_index"]
    if graphs.card is None and valued:
        raise ValueError(
            f"`{valued[0]}`: values of edges are looked at in OGB's molecules only; leave them out "
            f"(`del data.{valued[0]}`), or write the loop with a layer that takes them."
        )


def resplit(task: AbstractTask, data: Data, device: torch.device) -> tuple[AbstractTask, LabelledItems]:
    """Return the task on the same graph with the parts that the masks of ``data`` say, and the test items."""
    train, validation, test = _parts(data, device)
    return dataclasses.replace(task, train=train, validation=validation), test  # type: ignore[type-var]


def _require(data: Data, signals: Tensor | None) -> None:
    """Refuse data that cannot be trained on."""
    for name in ("x" if signals is None else "signals", "y", *MASKS):
        if data.get(name) is None:
            raise ValueError(f"`{name}` is missing: training needs features, labels and the masks of a split.")
    if signals is None:
        validate(data)
    if data.y.dim() != 1 or data.y.is_floating_point():
        raise ValueError(f"`y` must hold one integer label per item, got {data.y.dtype} {list(data.y.shape)}.")
    if signals is not None:
        require_signals(signals, len(data.y), data.num_nodes)


def require_signals(signals: Tensor, items: int, nodes: int) -> None:
    """Refuse signals that are not so many, on so many nodes, or not finite.

    Raises:
        ValueError: naming the shape.
    """
    if signals.dim() != 3 or signals.size(1) != nodes or signals.size(0) != items:
        wanted = f"[{items}, {nodes}, features]"
        raise ValueError(f"`signals` must be {wanted}, one signal per label on the graph, got {list(signals.shape)}.")
    if not bool(signals.isfinite().all()):
        raise ValueError("`signals` must be finite.")


def _parts(data: Data, device: torch.device) -> tuple[LabelledItems, LabelledItems, LabelledItems]:
    """Return the items to train on, to select by and to test on."""
    train, validation, test = (_rows(data, name, device) for name in MASKS)
    for name, rows in zip(MASKS, (train, validation, test), strict=True):
        if not len(rows.y):
            raise ValueError(f"`{name}` is empty; choose another split.")
    return train, validation, test


def _features(x: Tensor, recipe: ModelRecipe) -> Tensor | SparseOperator:
    """Return features as the recipe wants them: scaled or not, sparse or dense."""
    x = scale_rows(x.to_dense(), recipe.row_normalise)
    filled = int(torch.count_nonzero(x)) / max(x.numel(), 1)
    return sparse_features(x) if filled < recipe.sparse_below else x


def scale_rows(x: Tensor, total: bool | float | str) -> Tensor:
    """Return features whose rows have the absolute sum ``total``; ``True`` is 1, ``False`` leaves them as they are."""
    if total is False:
        return x
    x = F.normalize(x, p=1.0, dim=-1)
    return x if total is True else x * float(total)


def _rows(data: Data, name: str, device: torch.device) -> LabelledItems:
    """Return the items of one mask and their labels."""
    mask = data[name].cpu()
    if mask.dim() != 1:
        raise ValueError(f"`{name}` holds {mask.size(-1)} splits: choose one of them.")
    index = mask.nonzero().squeeze(-1)
    y = data.y.cpu()[index].long()
    if bool((y < 0).any()):
        raise ValueError(f"`y` must be 0 or above on the items of `{name}`, found {int(y.min())}.")
    return LabelledItems(index.to(device), y.to(device))

"""What a run may see: training and validation labels in one object, test labels in another."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit import _checks
from graphkit._torch_internals import joined_graphs
from graphkit.data.validation import class_count, feature_sum, validate
from graphkit.operators import FourierBasis, sparse_features
from graphkit.training.classification.objectives import AbstractSupervisedObjective, Accuracy, objective_of

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.data import GraphSet
    from graphkit.operators import SparseOperator
    from graphkit.training.zoo.recipes import ModelRecipe


MASKS = ("train_mask", "val_mask", "test_mask")


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

"""What a run may see, test labels apart from all others, and what it minimises and measures."""

from __future__ import annotations

import dataclasses
import statistics
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit import _checks
from graphkit._checks.graphs import GraphWarning
from graphkit._torch_internals import joined_graphs
from graphkit.data import GraphSet, Partitions, card
from graphkit.data.temporal_graph import TemporalGraph
from graphkit.data.validation import class_count, feature_sum, validate
from graphkit.operators import FourierBasis, sparse_features
from graphkit.training.classification.metrics import METRICS, Kind, TargetMetric, default_metric, metric_for
from graphkit.training.classification.targets import (
    SupervisedObjective,
    fit_target,
    require_classes,
    require_labels,
    target_kind,
    target_labels,
)

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.operators import SparseOperator
    from graphkit.training.zoo.recipes import ModelRecipe


MASKS = ("train_mask", "val_mask", "test_mask")


def objective_of(
    about: Any, labels: Sequence[Tensor], *, kind: Kind, classes: int, metric: str | None = None
) -> SupervisedObjective:
    """Return what is minimised and measured.

    Args:
        about: a card, a stored graph's manifest or nothing; a card may ask for a figure.
        labels: of the items to train on, to select by and to test on, as ``target_labels`` gives them.
        kind: of the labels.
        classes: how many, where they are classes.
        metric: the figure that the caller asks for.

    Raises:
        ValueError: for a figure that does not fit, or that the items to select by or to test on do not have.
    """
    target = fit_target(kind, labels[0], classes)
    measured = metric_for(kind, target.outputs, named=metric, published=getattr(about, "metric", None))
    for name, y in zip(("val_mask", "test_mask"), labels[1:], strict=True):
        if len(y):
            measured.columns(y, name)  # told before training, not at its end
    return SupervisedObjective(target, measured)


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
    objective: SupervisedObjective

    @property
    def outputs(self) -> int:
        """What a model has for an item: a logit of each class or task, or numbers."""
        return self.objective.target.outputs

    @property
    @abstractmethod
    def channels(self) -> int:
        """Features of an item."""

    @abstractmethod
    def logits(self, model: Callable[..., Tensor], index: Tensor) -> Tensor:
        """Return the model's logits, or numbers, for the items ``index``, ``[items, outputs]``."""

    @abstractmethod
    def batches(self, size: int) -> Iterator[LabelledItems]:
        """Yield the training items, in portions of ``size`` where items do not depend on each other."""

    def figures(self, outputs: Tensor, y: Tensor) -> dict[str, float]:
        """Return what else is measured of items, by name; mostly nothing."""
        return {}

    def refit_task(self) -> AbstractTask:
        """Return the task with the items to choose by among those to learn from."""
        raise NotImplementedError(f"{type(self).__name__} keeps them apart")


@dataclass(frozen=True)
class NodeTask(AbstractTask):
    """Nodes of one graph, which the model always sees whole.

    Args:
        x: features ``[nodes, features]``, a tensor or a sparse operator.
        graph: what the model takes after ``x``.
        train: the nodes the loss is taken over.
        validation: the nodes the selection looks at.
        objective: what is minimised and what is measured.
    """

    x: Tensor | SparseOperator
    graph: tuple[Any, ...]
    train: LabelledItems
    validation: LabelledItems
    objective: SupervisedObjective

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
        objective: what is minimised and what is measured.
    """

    signals: Tensor
    graph: tuple[Any, ...]
    train: LabelledItems
    validation: LabelledItems
    objective: SupervisedObjective

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
    data: Data,
    recipe: ModelRecipe,
    device: torch.device,
    dtype: torch.dtype,
    metric: str | None = None,
    *,
    edge_features: bool = False,
) -> tuple[AbstractTask, LabelledItems]:
    """Return the task and, apart from it, the test items.

    Args:
        data: a graph whose nodes are the items; or, if it has ``signals [signals, nodes, features]``, one whose
            signals are. ``y`` has a row per item: classes, binary tasks or numbers (:func:`.targets.target_kind`; a
            card, a stored graph or ``data.target_kind`` may say which); classes are 0, 1, ... without a gap, or a card
            says how many there are, and -1 is of items that no mask holds. The masks have one value per item.
        recipe: how features and the graph are to be prepared.
        device: where everything goes.
        dtype: of features and edge weights.
        metric: the figure to select and report by; by default the card's, or that of the kind of labels.
        edge_features: whether a model that can use ``edge_attr`` is given it.

    Raises:
        ValueError: for a graph that is not sound (``graphkit.data.validate``), labels of no kind, a figure that does
            not fit them, masks that are missing, hold several splits, or leave nothing to train on, to select by or to
            test on, and edge weights that the model cannot use.
    """
    if isinstance(data, TemporalGraph):
        raise ValueError(
            f"`recipe` {recipe.name!r} is for {recipe.model.items}, but the items of the data are moments; take one of "
            "`recipe(name, items='moments')`."
        )
    signals = data.get("signals")
    recipe = recipe.resolve(lambda: feature_sum(data))
    _require(data, signals)
    kind, (train, validation, test) = _parts(data, device)
    used = edge_features and uses_edge_attr(data, recipe)
    features, graph = model_inputs(data, recipe, device, dtype, edge_features=used)
    objective = _objective(data, kind, (train, validation, test), metric)
    if signals is not None:
        return SignalTask(features, graph, train, validation, objective), test  # type: ignore[arg-type]  # dense
    return NodeTask(features, graph, train, validation, objective), test


def model_inputs(
    data: Data, recipe: ModelRecipe, device: torch.device, dtype: torch.dtype, *, edge_features: bool = False
) -> tuple[Tensor | SparseOperator, tuple[Any, ...]]:
    """Return the features of the nodes, or the signals, and what a model of the recipe takes after them.

    Args:
        data: a sound graph; neither labels nor masks are looked at.
        recipe: resolved.
        device: where everything goes.
        dtype: of features and edge weights.
        edge_features: whether the model is given the features of edges, ``edge_attr``, too.

    Raises:
        ValueError: for a recipe of other items, and edge weights that the model cannot use.
    """
    signals = data.get("signals")
    items = "nodes" if signals is None else "signals"
    if recipe.model.items not in (items, "links"):
        raise ValueError(
            f"`recipe` {recipe.name!r} is for {recipe.model.items}, but the items of the data are {items}; "
            f"take one of `recipe(name, items={items!r})`."
        )
    weight = data.get("edge_weight")
    if weight is not None and recipe.model.edge_weights == "refused":
        able = "gcn-link, filter-link" if recipe.model.items == "links" else "gcn, cheb"
        raise ValueError(
            f"`edge_weight`: the model {recipe.name!r} does not use edge weights; train without them "
            f"(`data.edge_weight = None`), or with a model that does ({able})."
        )
    if weight is not None and recipe.model.edge_weights == "used":
        _checks.degree_weights(weight)
    graph = recipe.model.graph(
        data.edge_index.to(device), None if weight is None else weight.to(device, dtype), data.num_nodes
    )
    graph = tuple(part.to(dtype) if isinstance(part, FourierBasis) else part for part in graph)
    if edge_features:
        attr = data.edge_attr.to(device, dtype).reshape(data.num_edges, -1)
        graph = (*graph, None, attr)  # after the edges and their weights, of which there are none
    if signals is not None:
        return signals.to(device, dtype), graph
    on_disk = data.get("store") is not None and not recipe.row_normalise
    return data.x.to(device, dtype) if on_disk else _features(data.x.to(device, dtype), recipe), graph


def uses_edge_attr(data: Any, recipe: ModelRecipe) -> bool:
    """Return whether a model is given the features of the edges of one graph: if there are some and it can use them.

    Those of a published data set are left out, as its figures are published without them, and so are they where
    neighbours are drawn.
    """
    known = data.get("card")
    if data.get("edge_attr") is None or (known is not None and known.published) or getattr(recipe, "fan_out", None):
        return False
    return recipe.model.edge_features


def unused_edge_attr(data: Data | GraphSet | Partitions, recipe: ModelRecipe) -> tuple[str, ...]:
    """Return in words that a model leaves features of edges out, if the data have some."""
    if isinstance(data, Partitions):
        return ()
    joined = joined_graphs(data) if isinstance(data, GraphSet) else data
    known = data.card if isinstance(data, GraphSet) else data.get("card")
    used = recipe.model.edge_features if isinstance(data, GraphSet) else uses_edge_attr(data, recipe)
    if joined.get("edge_attr") is None or (known is not None and (known.published or known.molecules)) or used:
        return ()
    how = " in batches" if getattr(recipe, "fan_out", None) and recipe.model.edge_features else ""
    able = {"nodes": "gat and gin take them, whole graph at a time", "graphs": "gin and gcn take them"}
    hint = able.get(recipe.model.items, "no recipe of signals takes them")
    return (f"`edge_attr` is not used: the model {recipe.name!r} does not look at features of edges{how}; {hint}.",)


def graph_classes(graphs: GraphSet) -> Tensor:
    """Return the class of each graph of a set, ``[graphs]``, -1 where it has none.

    Raises:
        ValueError: for labels that are no classes, or several of a graph; for classes that leave numbers out; and for a
            set without a card whose edges have values, which no recipe looks at.
    """
    y, card = graphs.items.y, graphs.card
    require_classes(y, "graphs")
    _checks.class_count("y", y, card.classes if card else 0)
    require_plain_edges(graphs)
    return y.long()


def require_plain_edges(graphs: GraphSet, *known: str) -> None:
    """Refuse values of edges that would be ignored, other than ``known`` ones, unless a card tells of them."""
    plain = ("edge_index", *known)
    valued = [name for name in joined_graphs(graphs).to_dict() if name.startswith("edge_") and name not in plain]
    card = graphs.card
    if valued and card is not None and not card.published and not card.molecules:
        text = f"`{valued[0]}` is not used: only `train` looks at features of edges."
        warnings.warn(text, GraphWarning, stacklevel=3)
    if valued and card is None:
        raise ValueError(
            f"`{valued[0]}`: values of edges are looked at by `train` only, as `edge_attr`; leave them out "
            f"(`del data.{valued[0]}`), or write the loop with a layer that takes them."
        )


def warn_of_unread(data: Data | GraphSet) -> None:
    """Warn of what embeddings and few-shot learners do not read of own data, or read otherwise than ``train`` does.

    That are features of edges, and the categories of a molecule's atoms, which are numbers to them.
    """
    known = data.card if isinstance(data, GraphSet) else data.get("card")
    if getattr(known, "molecules", False):
        text = "`x` and `edge_attr` are categories of atoms and bonds, which only `train` looks up"
        warnings.warn(f"{text}: here `x` are numbers, and bonds are all alike.", GraphWarning, stacklevel=3)
        return
    own = not isinstance(data, GraphSet) and not getattr(known, "published", False)
    if own and data.get("edge_attr") is not None:
        text = "`edge_attr` is not used: only `train` looks at features of edges."
        warnings.warn(text, GraphWarning, stacklevel=3)


def resplit(task: AbstractTask, data: Data, device: torch.device) -> tuple[AbstractTask, LabelledItems]:
    """Return the task on the same graph with the parts that the masks of ``data`` say, and the test items."""
    kind, parts = _parts(data, device)
    objective = _objective(data, kind, parts, task.objective.name)
    train, validation, test = parts
    return dataclasses.replace(task, train=train, validation=validation, objective=objective), test  # type: ignore[type-var]


def _require(data: Data, signals: Tensor | None) -> None:
    """Refuse data that cannot be trained on."""
    for name in ("x" if signals is None else "signals", "y", *MASKS):
        if data.get(name) is None:
            raise ValueError(f"`{name}` is missing: training needs features, labels and the masks of a split.")
    if signals is None:
        validate(data)
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


Parts: TypeAlias = tuple[LabelledItems, LabelledItems, LabelledItems]
"""The items to train on, to select by and to test on."""


def kind_of(data: Data | GraphSet) -> Kind:
    """Return what the items of ``data`` are labelled with, as it says itself or its labels tell."""
    y = data.items.y if isinstance(data, GraphSet) else data.y
    about = data.card if isinstance(data, GraphSet) else data.get("card") or data.get("store")
    stored = getattr(getattr(data, "store", None), "target", {}).get("kind")
    return target_kind(y, getattr(data, "target_kind", None) or stored or getattr(about, "target_kind", None) or "")


def selection_metric(data: Data | GraphSet | Partitions, metric: str | None = None) -> TargetMetric:
    """Return the figure that training on ``data`` is selected by and reports.

    Args:
        data: with labels.
        metric: what the caller asks for.

    Raises:
        ValueError: for labels of no kind, and a figure that there is not.

    Example:
        >>> from torch_geometric.data import Data
        >>> selection_metric(Data(y=torch.tensor([0.5, 1.5]))).title
        'RMSE'
    """
    if metric is not None:
        return METRICS[_checks.member("metric", metric, METRICS)]
    if isinstance(data, Partitions):
        known = card(data.about["card"]) if data.about["card"] else None
        return default_metric("classes", getattr(known, "metric", None))
    known = data.card if isinstance(data, GraphSet) else data.get("card")
    return default_metric(kind_of(data), getattr(known, "metric", None))


def _parts(data: Data, device: torch.device) -> tuple[Kind, Parts]:
    """Return what the labels are, and the items of each part."""
    kind = kind_of(data)
    y = target_labels(data.y.cpu(), kind)
    train, validation, test = (_rows(y, data[name].cpu(), name, device) for name in MASKS)
    return kind, (train, validation, test)


def _objective(data: Data, kind: Kind, parts: Parts, metric: str | None) -> SupervisedObjective:
    """Return what is minimised and measured on these parts of the items."""
    classes = class_count(data) if kind == "classes" else 0
    return objective_of(data.get("card"), [part.y for part in parts], kind=kind, classes=classes, metric=metric)


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


def _rows(y: Tensor, mask: Tensor, name: str, device: torch.device) -> LabelledItems:
    """Return the items of one mask and their labels, those without any left out."""
    if mask.dim() != 1:
        raise ValueError(f"`{name}` holds {mask.size(-1)} splits: choose one of them.")
    index = mask.nonzero().squeeze(-1)
    if not len(index):
        raise ValueError(f"`{name}` is empty; choose another split.")
    require_labels(y[index], name)
    return LabelledItems(index.to(device), y[index].to(device))


ROUNDING = 1e-9
"""How much of a figure may be lost to rounding."""


def stays_at(constant: float, history: Sequence[Any]) -> bool:
    """Return whether every epoch has the figure of one answer for all items."""
    return all(abs(epoch.figure - constant) <= ROUNDING * abs(constant) for epoch in history)


def majority_warning(
    ended: Sequence[float],
    constants: Sequence[float],
    stayed: Sequence[bool],
    *,
    what: str,
    whose: tuple[str, str],
    text: Callable[[float], str],
) -> str:
    """Say how many trainings end at, or below, what one answer for all validation items has; nothing for none.

    Args:
        ended: the figure of each, the higher the better.
        constants: that of one answer.
        stayed: whether no epoch had another one.
        what: that figure, in words.
        whose: what a training is called, and its validation items.
        text: writes a mean.
    """
    at = sum(figure - constant <= ROUNDING * abs(constant) for figure, constant in zip(ended, constants, strict=True))
    if not at:
        return ""
    many, never = len(ended), f"; {sum(stayed)} never left it" if any(stayed) else ""
    return (
        f"{at} of {many} {whose[0]}{'s' * (many > 1)} end{'s' * (many == 1)} at {what} among {whose[1]} items "
        f"({text(statistics.fmean(constants))}) or worse{never}: nothing was learnt that shows there; try another "
        "learning rate, model or metric."
    )


def training_warnings(
    tasks: Sequence[AbstractTask], histories: Sequence[Sequence[Any]], ended: Sequence[float]
) -> tuple[str, ...]:
    """Return in words what makes figures worth little.

    Named are seeds that end at, or below, what one answer for all validation items has, and columns of binary tasks or
    numbers that have no label to train on, or no figure in validation.

    Args:
        tasks: of each seed.
        histories: the figures of its epochs.
        ended: its figure on the validation items, of the selected epoch.
    """
    found, (objective, train, validation) = [], (tasks[0].objective, tasks[0].train.y, tasks[0].validation.y)
    metric = objective.metric
    constants = [task.objective.constant_figure(task.validation.y) for task in tasks]
    largest = metric.name == "accuracy" and objective.target.kind == "classes"
    said = majority_warning(
        [metric.sign * figure for figure in ended],
        [metric.sign * constant for constant in constants],
        [stays_at(constant, history) for constant, history in zip(constants, histories, strict=True)],
        what="the share of the largest class" if largest else f"the {metric.title} of one answer for all",
        whose=("seed", "the validation"),
        text=lambda mean: metric.text(metric.sign * mean),
    )
    found += [said] if said else []
    if train.dim() != 2:
        return tuple(found)
    for what, usable in (
        ("no label to train on", ~train.isnan().all(0)),
        (f"no {metric.title} in validation", metric.columns(validation)),
    ):
        if not bool(usable.all()):
            columns = [str(column) for column in (~usable).nonzero().flatten().tolist()]
            named = ", ".join(columns[:10] + ["..."] * (len(columns) > 10))
            found.append(f"{len(columns)} of {len(usable)} columns of `y` have {what}: {named}.")
    return tuple(found)

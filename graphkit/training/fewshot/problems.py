"""Few-shot problems: tasks to train on, to select by and to test on, over one graph or over several."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.meta import AbstractItems, ClassSplit, FewShotProtocol, Nodes, Rows, TaskSet
from graphkit.training.fewshot.feature_views import ADAPTERS

VALIDATION_TASKS, TRAIN_TASKS = 50, 1600
"""Tasks to select by, and tasks to train on, which are taken in turn."""

TOO_FEW = "training classes, as there are fewer validation classes than ways"
KEPT_APART = "classes trained on, by nodes kept apart from training"
"""What validation tasks are of, where it is not the validation classes."""


@dataclass(frozen=True)
class Problem:
    """One class split, or one graph to test on.

    Args:
        name: what is held out.
        train: tasks to train on, one set per graph; none where all classes are tested on.
        validation: tasks to select by; ``None`` there too.
        test: tasks to test on.
        sources: rows and labels of the training classes, one pair per graph; what selects has the label -1 there.
        selecting: what the validation tasks are of, where it is not the validation classes.
    """

    name: str
    train: tuple[TaskSet, ...]
    validation: TaskSet | None
    test: TaskSet
    sources: tuple[tuple[Rows, tuple[int, ...]], ...]
    selecting: str = ""

    @property
    def selection(self) -> TaskSet:
        """The validation tasks.

        Raises:
            ValueError: where all classes are tested on, so that there are none.
        """
        if self.validation is None:
            raise ValueError(f"nothing selects on {self.name}: all classes are tested on.")
        return self.validation

    @property
    def channels(self) -> int:
        """Width of the rows."""
        return self.test.items.channels

    @property
    def device(self) -> torch.device:
        """Where the rows lie."""
        return table_of(self.test.items).device

    @property
    def ways(self) -> int:
        """Classes of a task."""
        return self.test.protocol.n_way

    def with_features(self, rows: FeatureViews) -> Problem:
        """Return the same problem over other rows."""
        seen = rows.train if self.train else ()
        train = tuple(tasks.with_items(x) for tasks, x in zip(self.train, seen, strict=True))
        sources = tuple(
            (Rows(table_of(x), y.y.to(table_of(x).device)), labels)
            for x, (y, labels) in zip(seen, self.sources, strict=True)
        )
        validation = None if self.validation is None else self.validation.with_items(rows.validation)
        test = self.test.with_items(rows.test)
        return dataclasses.replace(self, train=train, validation=validation, test=test, sources=sources)


def table_of(items: AbstractItems) -> Tensor:
    """Return the rows of items, ``[items, features]``."""
    found: Tensor = items.x  # type: ignore[attr-defined]  # rows and nodes have it
    return found


@dataclass(frozen=True, eq=False)
class GraphEdges:
    """The edges of a graph as its models see them.

    Args:
        index: ``[2, edges]``.
        weight: ``[edges]``, ``None`` where edges have none.
    """

    index: Tensor
    weight: Tensor | None


@dataclass(frozen=True)
class EdgeViews:
    """GraphEdges of a problem's graphs in each of its parts, between the nodes that are there."""

    train: tuple[GraphEdges, ...]
    validation: GraphEdges
    test: GraphEdges


@dataclass(frozen=True)
class FeatureViews:
    """Rows of a problem's items in each of its parts, or the nodes whose features they are."""

    train: tuple[Rows | Nodes, ...]
    validation: Rows | Nodes
    test: Rows | Nodes

    def with_edges(self, edges: EdgeViews, make: Callable[[Any, GraphEdges], Nodes]) -> FeatureViews:
        """Return nodes in place of rows, as ``make`` makes them of rows and edges."""
        train = tuple(map(make, self.train, edges.train))
        return FeatureViews(train, make(self.validation, edges.validation), make(self.test, edges.test))


def one_graph(data: Data, split: ClassSplit, protocol: FewShotProtocol) -> Problem:
    """Return the problem of a class split on one graph.

    Where a split has fewer validation classes than ways, other tasks of its training classes select. Of one that only
    has classes to test on nothing is trained, nor selected.

    Raises:
        ValueError: for classes that are too few or too small for the tasks.
    """
    items = Rows(torch.zeros(data.num_nodes, 0), data.y)
    if not split.train and not split.validation:
        name = f"classes {', '.join(map(str, split.test))}"
        return Problem(name, (), None, TaskSet.draw(items, split.test, protocol), ())
    if len(split.train) < protocol.n_way:
        raise ValueError(
            f"`ways` is {protocol.n_way}, but a split has {len(split.train)} classes to train on; ask for fewer ways."
        )
    selected = len(split.validation) >= protocol.n_way
    select = split.validation if selected else split.train
    return Problem(
        f"classes {', '.join(map(str, split.test))}",
        (TaskSet.draw(items, split.train, _of(protocol, TRAIN_TASKS, 2)),),
        TaskSet.draw(items, select, _of(protocol, VALIDATION_TASKS, 1)),
        TaskSet.draw(items, split.test, protocol),
        ((items, split.train),),
        "" if selected else TOO_FEW,
    )


def unlike_names(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return the problems, the second of a name (two draws with the same test classes) under another.

    Raises:
        ValueError: for none.
    """
    if not problems:
        raise ValueError("`splits` must hold at least one class split.")
    seen: dict[str, int] = {}
    found = []
    for problem in problems:
        seen[problem.name] = seen.get(problem.name, 0) + 1
        number = seen[problem.name]
        name = problem.name if number == 1 else f"{problem.name}, draw {number}"
        found.append(dataclasses.replace(problem, name=name))
    return tuple(found)


def across_graphs(
    graphs: Mapping[str, Data], held_out: str, protocol: FewShotProtocol, split: ClassSplit | None = None
) -> Problem:
    """Return the problem of training on tasks of all graphs but one, and testing on that one.

    Tasks of the first training graph select. Without a class split all graphs share their classes, and half of the
    nodes of each class are kept for selection: neither tasks to train on nor a classifier sees their labels, or the
    method that remembers best would be chosen. With a class split, classes to select by and to test on are unseen too.

    Raises:
        ValueError: where features differ in width, or tasks cannot be drawn.
    """
    names = [name for name in graphs if name != held_out]
    widths = {name: data.num_features for name, data in graphs.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(
            f"the graphs have features of different widths: {widths}; bring them to one with an adapter: "
            f"{', '.join(ADAPTERS)}."
        )
    items = {name: Rows(torch.zeros(data.num_nodes, 0), data.y) for name, data in graphs.items()}
    train, select, test = (None, None, None) if split is None else (split.train, split.validation, split.test)
    if select is not None and len(select) < protocol.n_way:
        select = train
    # Where classes that select are trained on, nodes that select must not be.
    apart = {name: _reserve_half(graphs[name].y, protocol.seed) if select == train else None for name in names}

    def classes(y: Tensor, part: Sequence[int] | None) -> Sequence[int]:
        return _large(y, protocol) if part is None else part

    sets, sources = [], []
    for name in names:
        y, reserved = graphs[name].y, apart[name]
        known = y if reserved is None else y.masked_fill(reserved, -1)
        among = tuple(classes(known, train))
        within = None if reserved is None else (~reserved).nonzero().squeeze(-1)
        sets.append(TaskSet.draw(items[name], among, _of(protocol, TRAIN_TASKS, 2), within=within))
        sources.append((Rows(items[name].x, known), among))
    first, reserved = names[0], apart[names[0]]
    seen = graphs[first].y if reserved is None else graphs[first].y.masked_fill(~reserved, -1)
    within = None if reserved is None else reserved.nonzero().squeeze(-1)
    selecting = _of(protocol, VALIDATION_TASKS, 1)
    return Problem(
        f"graph {held_out}" + ("" if test is None else f", classes {', '.join(map(str, test))}"),
        tuple(sets),
        TaskSet.draw(items[first], classes(seen, select), selecting, within=within),
        TaskSet.draw(items[held_out], classes(graphs[held_out].y, test), protocol),
        tuple(sources),
        "" if select != train else KEPT_APART if split is None else f"{TOO_FEW}, by nodes kept apart from training",
    )


def _reserve_half(y: Tensor, seed: int) -> Tensor:
    """Return a mask of half of the items of each class, which select and are not trained on, ``[items]``."""
    drawn = torch.Generator().manual_seed(seed)
    mask = torch.zeros(len(y), dtype=torch.bool)
    for label in y[y >= 0].unique():
        members = (y == label).nonzero().squeeze(-1)
        mask[members[torch.randperm(len(members), generator=drawn)[: len(members) // 2]]] = True
    return mask


def _of(protocol: FewShotProtocol, tasks: int, stream: int, **changes: Any) -> FewShotProtocol:
    """Return the protocol for another set of tasks, drawn with seeds of its own."""
    return dataclasses.replace(protocol, n_tasks=tasks, seed=1_000_003 * stream + protocol.seed, **changes)


def _large(y: Tensor, protocol: FewShotProtocol) -> Sequence[int]:
    """Return the classes that have enough items for a task."""
    labels, counts = y[y >= 0].unique(return_counts=True)
    return labels[counts >= protocol.k_shot + protocol.n_query].tolist()

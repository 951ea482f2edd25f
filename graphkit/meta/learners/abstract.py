"""What every few-shot learner does: adapt to a task's support, predict its query, and say how good that was."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._checks import flag, instance, member
from graphkit.meta.cuts import cut, reach_of
from graphkit.meta.fingerprint import Fingerprint, fingerprint
from graphkit.meta.functional import functional_call
from graphkit.meta.items import AbstractItems, Call, Nodes, Rows
from graphkit.meta.known import as_made, plain_items
from graphkit.meta.learners.batched import only_known_operations, vmap_tasks
from graphkit.meta.modes import STATISTICS, modes
from graphkit.meta.tasks import Task

Parameters: TypeAlias = dict[str, Tensor]
"""A task's own parameters by name. Names of the model's are its own; those that begin with "@" are the task's."""

Shown: TypeAlias = Callable[[Call], Tensor]
"""Some items: a function from a model to its outputs for them, ``[items, channels]``."""


class AbstractLearner(nn.Module, ABC):
    """A model and a way of adapting it to a task from the labels of its support.

    ``adapt`` is pure: model, buffers and data stay as they are. What comes out keeps a graph back to the learner's
    parameters where gradients are enabled, and none under ``torch.no_grad``. Threads may share a learner, and learners
    a model: they take turns. While one of them works the model's tensors are those of a task: whoever reads them
    himself, by ``parameters()`` or ``state_dict()``, does so before.

    Args:
        model: any module from what the items show it to one row of outputs per item.
        dropout: whether dropout is on while adapting.
        statistics: what batch normalisation uses: "task", or "stored".
    """

    largest_logit: ClassVar[float] = math.inf
    """Size from which a logit says nothing of a class but that the learner diverged."""

    def __init__(self, model: nn.Module, *, dropout: bool = False, statistics: str = "task") -> None:
        super().__init__()
        self.model = instance("model", model, nn.Module, "a torch.nn.Module")
        self.dropout = flag("dropout", dropout)
        self.statistics = member("statistics", statistics, STATISTICS)
        self.whole = False  # True: every task goes over the whole graph, the plain loop of which all else is a shortcut
        self._fitting: set[tuple[Any, ...]] = set()  # numbers of classes and forms of items that the model fits

    @abstractmethod
    def require_fit(self, support: Shown, y: Tensor, ways: int) -> None:
        """Refuse a model that cannot be adapted to such items; asked once for each number of classes."""

    @abstractmethod
    def adapted(self, support: Shown, y: Tensor, ways: int) -> Parameters:
        """Return the parameters adapted to labelled items; ``y [items]`` from 0 to ``ways - 1``."""

    @abstractmethod
    def predicted(self, parameters: Parameters, query: Shown) -> Tensor:
        """Return logits of items under adapted parameters, ``[items, ways]``."""

    @abstractmethod
    def represented(self, parameters: Parameters, shown: Shown) -> Tensor:
        """Return what distances between items are taken of under adapted parameters, ``[items, channels]``."""

    @abstractmethod
    def meta_loss(self, tasks: Sequence[Task]) -> Tensor:
        """Return the loss whose gradient trains the learner, a number; any optimiser of its parameters will do."""

    @abstractmethod
    def shortcut(self, tasks: Sequence[Task]) -> Tensor | None:
        """Return the query's logits by a faster way that is the same, or ``None`` where there is none."""

    def adapt(self, task: Task) -> Parameters:
        """Return the parameters adapted to a task's support.

        Raises:
            TypeError: for what is no task, such as a set of them.
        """
        instance("task", task, Task, "a task, such as `tasks[0]`")
        with modes(self.model, dropout=self.dropout, statistics=self.statistics):
            self._look_at([task])
            y = task.episode.support_y.to(task.items.y.device)
            return self.adapted(self.shown(task, "support"), y, task.episode.ways)

    def predict(self, parameters: Parameters, task: Task) -> Tensor:
        """Return the logits of a task's query under adapted parameters, ``[ways * queries, ways]``.

        Raises:
            TypeError: for what :meth:`adapt` did not return, and what is no task.
        """
        instance("parameters", parameters, dict, "what `adapt` returned")
        instance("task", task, Task, "a task, such as `tasks[0]`")
        with modes(self.model, dropout=self.dropout, statistics=self.statistics):
            return self.predicted(parameters, self.shown(task, "query"))

    def logits(self, tasks: Sequence[Task]) -> Tensor:
        """Return the query's logits of each task after adapting to it, ``[tasks, ways * queries, ways]``.

        Rows of a table are adapted to all at once, stacks of graph convolutions in the span of what the support sees,
        other models of a graph on the part of it that a task's items see; all are the same as going task by task over
        the whole graph.

        Raises:
            TypeError: for a single task.
            ValueError: for no task, tasks of different form, or a model that does not fit them.
        """

        def solve(support: Shown, query: Shown, y: Tensor, ways: int) -> Tensor:
            return self.predicted(self.adapted(support, y, ways), query)

        with modes(self.model, dropout=self.dropout, statistics=self.statistics):
            self._look_at(tasks)
            found = self.shortcut(tasks)
            found = self.each(tasks, solve) if found is None else found
            if found.size(-1) != tasks[0].episode.ways:  # the model was changed since it was looked at
                self._fitting.clear()
                self._look_at(tasks)
            return found

    def each(self, tasks: Sequence[Task], solve: Callable[[Shown, Shown, Tensor, int], Tensor]) -> Tensor:
        """Return ``solve(support, query, support_y, ways)`` of each task, stacked.

        Args:
            tasks: of one form.
            solve: works on one task.
        """
        with modes(self.model, dropout=self.dropout, statistics=self.statistics):
            self._look_at(tasks)
            first = tasks[0]
            y, ways = first.episode.support_y.to(first.items.y.device), first.episode.ways

            def one(support: Tensor, query: Tensor) -> Tensor:
                # Each call has its own copy: a model may write into what it is given.
                return solve(lambda call: call(support.clone()), lambda call: call(query.clone()), y, ways)

            told = fingerprint(self.model)
            at_once = not self.whole and _stackable(tasks) and as_made(self.model)
            if at_once and told is not None:  # nothing in it runs unseen, as TorchScript does
                x = first.items.x  # type: ignore[attr-defined]  # rows have it
                groups = ([getattr(task.episode, part).flatten() for task in tasks] for part in ("support", "query"))
                found = vmap_tasks(one, *(x[torch.stack(group)] for group in groups))
                if found is not None:
                    return found
            shown = [(self.shown(task, "support", told), self.shown(task, "query", told)) for task in tasks]
            return torch.stack([solve(support, query, y, ways) for support, query in shown])

    def _look_at(self, tasks: Sequence[Task]) -> None:
        """Refuse tasks that are not of one form, and see once whether the model fits, outside of every transform."""
        _require_one_form(tasks)
        first = tasks[0]
        trained = tuple(name for name, value in self.model.named_parameters() if value.requires_grad)
        asked = first.episode.ways, torch.is_grad_enabled(), trained, *_form(first.items)
        if asked in self._fitting:
            return
        own = modes(self.model, dropout=self.dropout, statistics=self.statistics)
        with own, torch.random.fork_rng([]):  # a look must not change what dropout draws later
            whole = _outputs(first.items, first.episode.support.flatten())
            y = first.episode.support_y.to(first.items.y.device)
            self._require_outputs(whole, first)
            self.require_fit(whole, y, first.episode.ways)
        self._fitting.add(asked)

    def _require_outputs(self, whole: Shown, task: Task) -> None:
        """Refuse a model that does not take such items, or gives no row of numbers for each."""
        what = ", ".join(str(each) for each in _form(task.items) if each is not None)
        try:
            with torch.no_grad():
                z = whole(self.call({}))
        except (IndexError, RuntimeError, TypeError) as error:
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise (TypeError if isinstance(error, TypeError) else ValueError)(
                f"`model` does not take the items ({what}): {problem}; their width, dtype and device must be its own."
            ) from error
        count = task.episode.support.numel()
        if not isinstance(z, Tensor) or z.dim() != 2 or len(z) != count or not z.is_floating_point():
            found = f"{list(z.shape)} of {z.dtype}" if isinstance(z, Tensor) else f"a {type(z).__name__}"
            raise ValueError(
                f"`model` must return one row of floating-point numbers per item ({count}), got {found} for {what}."
            )

    def shown(self, task: Task, part: str, told: Fingerprint | None = None) -> Shown:
        """Return a task's support or query as a function from models to outputs.

        Of a graph it shows the part that they see, where the model's outputs are the same there. Whether they are is
        asked once for a model, which is ``told`` by its fingerprint where that is known already.
        """
        items, index = task.items, getattr(task.episode, part).flatten()
        if self.whole or self.dropout or not isinstance(items, Nodes):
            return _outputs(items, index)
        reach = reach_of(self.model, items, task.episode.support.flatten(), told)
        if reach is None:
            return _outputs(items, index)
        there = cut(items, index, reach)
        return _outputs(there.of(items), there.at)

    def call(self, parameters: Mapping[str, Tensor]) -> Call:
        """Return the model with parameters of its own replaced."""
        own = {name: value for name, value in parameters.items() if not name.startswith("@")}

        def call(*inputs: Any) -> Tensor:
            with only_known_operations():
                return functional_call(
                    self.model, {**own, **(copied_buffers(self.model) if self.dropout else {})}, inputs
                )

        return call


def copied_buffers(model: nn.Module) -> Parameters:
    """Return copies of a model's buffers, for modules to write to that are in training mode."""
    return {name: value.clone() for name, value in model.named_buffers()}


def _outputs(items: AbstractItems, index: Tensor) -> Shown:
    """Return some items as a function from models to outputs."""
    return lambda call: items.outputs(call, index)


def _form(items: AbstractItems) -> tuple[Any, ...]:
    """Return kind, width, dtype and device of items."""
    x = getattr(items, "x", None)
    return type(items).__name__, items.channels, getattr(x, "dtype", None), getattr(x, "device", None)


def _stackable(tasks: Sequence[Task]) -> bool:
    """Tell whether tasks are of the rows of one table."""
    items = tasks[0].items
    return isinstance(items, Rows) and plain_items(items) and all(task.items is items for task in tasks)


def query_loss(logits: Tensor, tasks: Sequence[Task]) -> Tensor:
    """Return the mean cross-entropy of the query's logits ``[tasks, items, ways]``."""
    y = torch.stack([task.episode.query_y for task in tasks]).to(logits.device)
    return F.cross_entropy(logits.flatten(0, 1), y.flatten())


def _require_one_form(tasks: Sequence[Task]) -> None:
    """Refuse no task at all, and tasks of different (ways, shots, queries), whose logits are no one table."""
    if not isinstance(tasks, Sequence) or not all(isinstance(task, Task) for task in tasks):
        raise TypeError(f"`tasks` must be a list of tasks or a TaskSet, got {type(tasks).__name__}.")
    forms = [task.episode.form for task in tasks]
    if not forms:
        raise ValueError("`tasks` must hold at least one task, got none.")
    for form in forms:
        if form != forms[0]:
            (ways, shots, queries), (others, other_shots, other_queries) = forms[0], form
            raise ValueError(
                f"`tasks` must be of one form, got {ways} ways, {shots} shots, {queries} queries beside {others} ways, "
                f"{other_shots} shots, {other_queries} queries; give the tasks of each form apart."
            )

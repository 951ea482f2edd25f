"""The interface of few-shot learners: adapt to a task's support, predict its query, and the loss that trains them."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._checks import flag, instance, member
from graphkit._exports import deprecated_method
from graphkit.meta.acceleration import only_known_operations, visible_items, vmap_tasks
from graphkit.meta.acceleration.eligibility import is_unaltered, plain_items
from graphkit.meta.acceleration.model_fingerprint import ModelFingerprint, model_fingerprint
from graphkit.meta.functional import STATISTICS, adaptation_modes, clone_buffers, functional_call
from graphkit.meta.inner_loop import Parameters
from graphkit.meta.items import AbstractItems, ModelCall, Nodes, Rows
from graphkit.meta.tasks import Task

Forward: TypeAlias = Callable[[ModelCall], Tensor]
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
        self._accelerated = True
        self._checked_forms: set[tuple[Any, ...]] = set()  # numbers of classes and forms of items that the model fits

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, value in vars(cls).items():
            old = next((vars(base)[name] for base in cls.__mro__[1:] if name in vars(base)), None)
            if isinstance(old, deprecated_method) and callable(value):
                raise TypeError(f"{cls.__name__}.{name} would never be called: it is `{old.new}` now; rename it.")

    @abstractmethod
    def adapt_to_support(self, support: Forward, y: Tensor, ways: int) -> Parameters:
        """Return the parameters adapted to labelled items; ``y [items]`` from 0 to ``ways - 1``."""

    @abstractmethod
    def predict_query(self, parameters: Parameters, query: Forward) -> Tensor:
        """Return logits of items under adapted parameters, ``[items, ways]``."""

    @abstractmethod
    def meta_loss(self, tasks: Sequence[Task]) -> Tensor:
        """Return the loss whose gradient trains the learner, a number; any optimiser of its parameters will do."""

    def embed(self, parameters: Parameters, items: Forward) -> Tensor:
        """Return what distances between items are taken of under adapted parameters, ``[items, channels]``."""
        return items(self.call(parameters))

    def require_fit(self, support: Forward, y: Tensor, ways: int) -> None:
        """Refuse a model that cannot be adapted to such items; asked once for each number of classes."""

    def accelerated_logits(self, tasks: Sequence[Task]) -> Tensor | None:
        """Return the query's logits by a faster way that is the same, or ``None`` where there is none."""
        return None

    def plain(self) -> Self:
        """Return the same learner without accelerated ways: task by task over the whole graph."""
        other = copy.copy(self)
        other._accelerated = False
        return other

    def adapt(self, task: Task) -> Parameters:
        """Return the parameters adapted to a task's support.

        Raises:
            TypeError: for what is no task, such as a set of them.
        """
        instance("task", task, Task, "a task, such as `tasks[0]`")
        with self._modes():
            self._check_fit([task])
            y = task.episode.support_y.to(task.items.y.device)
            return self.adapt_to_support(self.forward_of(task, "support"), y, task.episode.ways)

    def predict(self, parameters: Parameters, task: Task) -> Tensor:
        """Return the logits of a task's query under adapted parameters, ``[ways * queries, ways]``.

        Raises:
            TypeError: for what :meth:`adapt` did not return, and what is no task.
        """
        instance("parameters", parameters, dict, "what `adapt` returned")
        instance("task", task, Task, "a task, such as `tasks[0]`")
        with self._modes():
            return self.predict_query(parameters, self.forward_of(task, "query"))

    def logits(self, tasks: Sequence[Task]) -> Tensor:
        """Return the query's logits of each task after adapting to it, ``[tasks, ways * queries, ways]``.

        Tasks go the fastest way of :mod:`graphkit.meta.acceleration` that is the same as going task by task over the
        whole graph.

        Raises:
            TypeError: for a single task.
            ValueError: for no task, tasks of different form, or a model that does not fit them.
        """

        def solve(support: Forward, query: Forward, y: Tensor, ways: int) -> Tensor:
            return self.predict_query(self.adapt_to_support(support, y, ways), query)

        with self._modes():
            self._check_fit(tasks)
            found = self.accelerated_logits(tasks)
            found = self.map_tasks(tasks, solve) if found is None else found
            if found.size(-1) != tasks[0].episode.ways:  # the model was changed since it was checked
                self._checked_forms.clear()
                self._check_fit(tasks)
            return found

    def map_tasks(self, tasks: Sequence[Task], solve: Callable[[Forward, Forward, Tensor, int], Tensor]) -> Tensor:
        """Return ``solve(support, query, support_y, ways)`` of each task, stacked."""
        with self._modes():
            self._check_fit(tasks)
            first = tasks[0]
            y, ways = first.episode.support_y.to(first.items.y.device), first.episode.ways

            def one(support: Tensor, query: Tensor) -> Tensor:
                # Each call has its own copy: a model may write into what it is given.
                return solve(lambda call: call(support.clone()), lambda call: call(query.clone()), y, ways)

            fingerprint = model_fingerprint(self.model)
            at_once = self._accelerated and _share_rows(tasks) and is_unaltered(self.model)
            if at_once and fingerprint is not None:  # nothing in it runs unseen, as TorchScript does
                x = first.items.x  # type: ignore[attr-defined]  # rows have it
                groups = ([getattr(task.episode, part).flatten() for task in tasks] for part in ("support", "query"))
                found = vmap_tasks(one, *(x[torch.stack(group)] for group in groups))
                if found is not None:
                    return found
            parts = [[self.forward_of(task, part, fingerprint) for part in ("support", "query")] for task in tasks]
            return torch.stack([solve(support, query, y, ways) for support, query in parts])

    def forward_of(self, task: Task, part: str, fingerprint: ModelFingerprint | None = None) -> Forward:
        """Return a task's "support" or "query" as a function from models to outputs.

        Of a graph it shows the part that they see, where the model's outputs are the same there. Whether they are is
        tried once for a model, which is known by its ``fingerprint`` where that is known already.
        """
        items, index = task.items, getattr(task.episode, part).flatten()
        if self._accelerated and not self.dropout and isinstance(items, Nodes):
            items, index = visible_items(self.model, items, index, task.episode.support.flatten(), fingerprint)
        return _forward_of(items, index)

    def call(self, parameters: Mapping[str, Tensor]) -> ModelCall:
        """Return the model with parameters of its own replaced."""
        own = {name: value for name, value in parameters.items() if not name.startswith("@")}

        def call(*inputs: Any) -> Tensor:
            with only_known_operations():
                return functional_call(self.model, own | (clone_buffers(self.model) if self.dropout else {}), inputs)

        return call

    def _modes(self) -> Any:
        """Return the context in which the model is called."""
        return adaptation_modes(self.model, dropout=self.dropout, statistics=self.statistics)

    def _check_fit(self, tasks: Sequence[Task]) -> None:
        """Refuse tasks that are not of one form, and see once whether the model fits, outside of every transform."""
        _require_one_form(tasks)
        first = tasks[0]
        trained = tuple(name for name, value in self.model.named_parameters() if value.requires_grad)
        form = first.episode.ways, torch.is_grad_enabled(), trained, *_form_of(first.items)
        if form in self._checked_forms:
            return
        with self._modes(), torch.random.fork_rng([]):  # a check must not change what dropout draws later
            support = _forward_of(first.items, first.episode.support.flatten())
            y = first.episode.support_y.to(first.items.y.device)
            self._require_outputs(support, first)
            self.require_fit(support, y, first.episode.ways)
        self._checked_forms.add(form)

    def _require_outputs(self, support: Forward, task: Task) -> None:
        """Refuse a model that does not take such items, or gives no row of numbers for each."""
        what = ", ".join(str(each) for each in _form_of(task.items) if each is not None)
        try:
            with torch.no_grad():
                z = support(self.call({}))
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

    adapted = deprecated_method("adapt_to_support")
    predicted = deprecated_method("predict_query")
    represented = deprecated_method("embed")
    shortcut = deprecated_method("accelerated_logits")
    each = deprecated_method("map_tasks")
    shown = deprecated_method("forward_of")


def _forward_of(items: AbstractItems, index: Tensor) -> Forward:
    return lambda call: items.outputs(call, index)


def _form_of(items: AbstractItems) -> tuple[Any, ...]:
    """Return kind, width, dtype and device of items."""
    x = getattr(items, "x", None)
    return type(items).__name__, items.channels, getattr(x, "dtype", None), getattr(x, "device", None)


def _share_rows(tasks: Sequence[Task]) -> bool:
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

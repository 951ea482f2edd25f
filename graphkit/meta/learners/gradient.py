"""Learners that take steps of gradient descent on a task: which parameters move, at which rates, from which head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._checks import at_least, fraction, not_negative, positive
from graphkit.meta.items import Nodes
from graphkit.meta.learners.abstract import AbstractLearner, Parameters, Shown, query_loss
from graphkit.meta.learners.blocked import block_logits
from graphkit.meta.learners.clone import Clone
from graphkit.meta.learners.inner import descent, require_used
from graphkit.meta.learners.prototypes import centres
from graphkit.meta.learners.span import Start, span_logits
from graphkit.meta.modes import modes
from graphkit.meta.stacks import stack_of
from graphkit.meta.tasks import Task
from graphkit.metric.distances import unit_rows

HEAD = ("@weight", "@bias")
"""A task's own head, where the model has none for it."""

STEPS = ("moving", "head", "directions", "path", "adapted", "represented", "predicted", "each", "shown", "call")
"""Methods that say how a task is adapted to, which the shortcuts write out anew."""


class AbstractGradientLearner(AbstractLearner):
    """Steps of gradient descent on the support's cross-entropy, from a start that is learnt.

    Methods that differ in which parameters move, in their rates or in how the head starts differ in these arguments.

    Args:
        model: any module.
        moved: names of the parameters that the inner steps move, or of modules with all that they have; everything
            when ``None``. What is frozen at the time does not move.
        temperature: of a head that starts as cosine prototypes; ``None`` where the model's last layer is the head.
        learnt_rates: whether the rates are parameters, one for each tensor in each step.
        inner_lr: rate of the inner steps, 0 or more.
        inner_steps: how many, 0 or more.
        order: 2 for the exact gradient through the steps, 1 to take their gradients as constants.
        dropout: whether dropout is on while adapting.
        statistics: what batch normalisation uses: "task", or "stored".
        multi_step: weight of the query's loss at the steps before the last, in [0, 1]: 0 is MAML's own, towards 1 all
            steps count alike (MAML++).
    """

    largest_logit: ClassVar[float] = 1e8
    """Cross-entropy of larger ones has no digit left in single precision: steps that lead there have diverged."""

    def __init__(
        self,
        model: nn.Module,
        *,
        moved: Sequence[str] | None = None,
        temperature: float | None = None,
        learnt_rates: bool = False,
        inner_lr: float,
        inner_steps: int,
        order: int,
        dropout: bool,
        statistics: str,
        multi_step: float = 0.0,
    ) -> None:
        super().__init__(model, dropout=dropout, statistics=statistics)
        if not isinstance(order, int) or order not in (1, 2):
            raise ValueError(f"`order` must be 1 or 2, got {order!r}.")
        self._chosen = None if moved is None else tuple(moved)
        self.temperature = None if temperature is None else positive("temperature", temperature)
        self.inner_lr, self.inner_steps = not_negative("inner_lr", inner_lr), at_least("inner_steps", inner_steps, 0)
        self.order, self.multi_step = order, fraction("multi_step", multi_step)
        self.rates: nn.ParameterDict | None = None
        if learnt_rates:
            start = torch.full((inner_steps,), self.inner_lr)
            self.rates = nn.ParameterDict({_key(name): start.clone() for name in self.moved})

    @property
    def moved(self) -> tuple[str, ...]:
        """Names of the parameters that the inner steps move: of those chosen, all that are trained now."""
        return tuple(self.moving())

    def clone(self) -> Clone:
        """Return the model with parameters of its own, to be adapted to a loss step by step, as in learn2learn.

        Raises:
            ValueError: for a learner that brings its own head, which needs a task.
        """
        return Clone(self)

    def moving(self) -> Parameters:
        """Return the model's parameters that the inner steps move."""
        return of_model(self.model, self._chosen)

    def rate(self, name: str, step: int) -> Tensor | float:
        """Return the rate of a parameter in a step.

        Raises:
            ValueError: for a step beyond those that have rates of their own, and a parameter that has none.
        """
        if self.rates is None or name in HEAD:
            return self.inner_lr
        if _key(name) not in self.rates:
            raise ValueError(
                f"`model` trains {name}, which it did not when the learner was made, so that it has no rate; make the "
                "learner anew."
            )
        learnt = self.rates[_key(name)]
        if step >= len(learnt):
            raise ValueError(
                f"`steps` must be at most {len(learnt)} for a learner that learns a rate for each step, got more; make "
                "it with a larger `inner_steps`."
            )
        return learnt[step]

    def head(self, support: Shown, y: Tensor, ways: int) -> Parameters:
        """Return the head that a task starts with: its prototypes, or none where the model's last layer is the head."""
        if self.temperature is None:
            return {}
        directions = self.directions(support, y, ways)
        return {HEAD[0]: directions / self.temperature, HEAD[1]: directions.new_zeros(ways)}

    def directions(self, support: Shown, y: Tensor, ways: int) -> Tensor:
        """Return the direction of each class's prototype, from which a task's own head starts."""
        return centres(support(self.call(self.moving())), y, ways)

    def require_fit(self, support: Shown, y: Tensor, ways: int) -> None:
        """Refuse another number of outputs than of classes, parameters that nothing depends on, too few derivatives."""
        start = {**self.moving(), **self.head(support, y, ways)}
        if not start:
            raise ValueError(
                "`model` must have a parameter that adapts, but what would is frozen; set requires_grad_(True) on some."
            )
        with torch.no_grad():
            outputs = self.predicted(start, support).size(-1)
        if outputs != ways:
            raise ValueError(
                f"`model` has {outputs} outputs, but a task has {ways} classes; make its last layer {ways} wide, or "
                "take a learner that brings its own head (ProtoMAML)."
            )
        twice = self.order == 2 and torch.is_grad_enabled()
        require_used(lambda parameters: F.cross_entropy(self.predicted(parameters, support), y), start, twice=twice)

    def path(self, support: Shown, y: Tensor, ways: int) -> list[Parameters]:
        """Return the parameters before the first step and after each."""
        start = {**self.moving(), **self.head(support, y, ways)}

        def loss(parameters: Parameters) -> Tensor:
            return F.cross_entropy(self.predicted(parameters, support), y)

        return descent(loss, start, steps=self.inner_steps, rate=self.rate, order=self.order)

    def shortcut(self, tasks: Sequence[Task]) -> Tensor | None:
        """Return the query's logits of all tasks at once, for models of one graph.

        Stacks of graph convolutions work in the span of what the support sees; of others the parts of the graph that
        the tasks see are one block-diagonal graph, on which each has parameters of its own.
        """
        items = tasks[0].items
        if any(task.items is not items for task in tasks) or self.dropout or self.whole or not isinstance(items, Nodes):
            return None
        if self._has_a_step_of_its_own():
            return None
        ways, y = tasks[0].episode.ways, tasks[0].episode.support_y

        temperature = self.temperature

        def head(outputs: Tensor) -> Parameters:
            directions = torch.stack([centres(z, y.to(z.device), ways) for z in outputs])
            return {HEAD[0]: directions / (temperature or 1.0), HEAD[1]: directions.new_zeros(len(tasks), ways)}

        def read(outputs: Tensor, parameters: Parameters) -> Tensor:
            if temperature is None:
                return outputs
            logits = unit_rows(outputs) @ parameters[HEAD[0]].transpose(1, 2)
            return logits + parameters[HEAD[1]].unsqueeze(1)

        own: Parameters = dict(self.model.named_parameters())
        start = Start(own, frozenset(self.moved), None if temperature is None else head, read)
        options: dict[str, Any] = {"steps": self.inner_steps, "rate": self.rate, "order": self.order}
        stack = stack_of(self.model, items)
        if stack is not None:
            return span_logits(stack, tasks, start, **options)
        with modes(self.model, dropout=self.dropout, statistics=self.statistics):
            return block_logits(self.model, items, tasks, start, **options)

    def _has_a_step_of_its_own(self) -> bool:
        """Tell whether somebody's subclass adapts in another way, or a method of the learner was replaced."""
        own, kind = vars(self), type(self)
        return any(name in own or getattr(kind, name) is not getattr(AbstractGradientLearner, name) for name in STEPS)

    def adapted(self, support: Shown, y: Tensor, ways: int) -> Parameters:
        """Return the parameters after the last step."""
        return self.path(support, y, ways)[-1]

    def represented(self, parameters: Parameters, shown: Shown) -> Tensor:
        """Return the model's outputs."""
        return shown(self.call(parameters))

    def predicted(self, parameters: Parameters, query: Shown) -> Tensor:
        """Return the outputs, or what the task's own head makes of their directions."""
        outputs = self.represented(parameters, query)
        if HEAD[0] not in parameters:
            return outputs
        return F.linear(unit_rows(outputs), parameters[HEAD[0]], parameters[HEAD[1]])

    def loss_after_steps(self, tasks: Sequence[Task]) -> Tensor:
        """Return the query's mean cross-entropy after adapting, differentiable through the steps."""
        if not self.multi_step or not self.inner_steps:
            return query_loss(self.logits(tasks), tasks)

        def solve(support: Shown, query: Shown, y: Tensor, ways: int) -> Tensor:
            return torch.stack([self.predicted(table, query) for table in self.path(support, y, ways)[1:]])

        logits = self.each(tasks, solve)  # [tasks, steps, items, ways]
        losses = torch.stack([query_loss(logits[:, step], tasks) for step in range(logits.size(1))])
        before = self.multi_step / len(losses)
        return before * losses[:-1].sum() + (1 - before * (len(losses) - 1)) * losses[-1]


def _key(name: str) -> str:
    """Return a parameter's name as a ``ParameterDict`` allows it."""
    return name.replace(".", "/")


def of_model(model: nn.Module, chosen: Sequence[str] | None = None) -> Parameters:
    """Return the parameters of a model that are trained.

    Args:
        model: any module.
        chosen: names of modules and parameters; those alone that are of one of them, by this name or by another.
    """
    trained: Parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if chosen is None:
        return trained
    places = model.named_parameters(remove_duplicate=False)
    within = {id(value) for name, value in places if any(f"{name}.".startswith(f"{each}.") for each in chosen)}
    return {name: value for name, value in trained.items() if id(value) in within}

"""Learners that take steps of gradient descent on a task: which parameters adapt, at which rates, from which head."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self, TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._checks import positive
from graphkit._exports import deprecated_method
from graphkit.meta.acceleration import accelerated_logits
from graphkit.meta.functional import clone_buffers, functional_call, model_lock
from graphkit.meta.inner_loop import InnerLoop, InnerProblem, Parameters, descent, require_used, twice_differentiable
from graphkit.meta.learners.abstract_learner import AbstractLearner, Forward
from graphkit.meta.learners.prototypical import prototypes
from graphkit.meta.tasks import Task
from graphkit.metric.distances import unit_rows

HEAD = ("@weight", "@bias")
"""A task's own head, where the model has none for it."""

HOOKS = (
    *("inner_parameters", "initial_head", "prototypes", "trajectory", "adapt_to_support", "embed", "predict_query"),
    *("map_tasks", "forward_of", "call"),
)
"""Methods that say how a task is adapted to, which the accelerated ways write out anew."""


class InnerOptions(TypedDict, total=False):
    """Keyword arguments that all learners with an inner loop share; see :class:`AbstractGradientLearner`."""

    inner_lr: float
    inner_steps: int
    order: int
    dropout: bool
    statistics: str
    multi_step: float


class MovedOptions(InnerOptions, total=False):
    """Those of learners that may be told which parameters the inner steps adapt."""

    moved: Sequence[str] | None


class AbstractGradientLearner(AbstractLearner):
    """Steps of gradient descent on the support's cross-entropy, from a start that is learnt.

    Methods that differ in which parameters adapt, in their rates or in how the head starts differ in these arguments.

    Args:
        model: any module.
        moved: names of the parameters that the inner steps adapt, or of modules with all that they have; everything
            when ``None``. What is frozen at the time does not adapt.
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
        inner_lr: float = 0.1,
        inner_steps: int = 5,
        order: int = 2,
        dropout: bool = False,
        statistics: str = "task",
        multi_step: float = 0.0,
    ) -> None:
        super().__init__(model, dropout=dropout, statistics=statistics)
        self._chosen = None if moved is None else _require_parameters(model, moved)
        self.temperature = None if temperature is None else positive("temperature", temperature)
        self.inner_loop = InnerLoop(lr=inner_lr, steps=inner_steps, order=order, multi_step=multi_step)
        self.rates: nn.ParameterDict | None = None
        if learnt_rates:
            start = torch.full((self.inner_steps,), self.inner_lr)
            self.rates = nn.ParameterDict({_key(name): start.clone() for name in self.moved})

    @property
    def inner_lr(self) -> float:
        """Rate of the inner steps."""
        return self.inner_loop.lr

    @property
    def inner_steps(self) -> int:
        """Number of inner steps."""
        return self.inner_loop.steps

    @property
    def order(self) -> int:
        """Order of the gradients through the inner steps."""
        return self.inner_loop.order

    @property
    def multi_step(self) -> float:
        """Weight of the query's loss at the steps before the last."""
        return self.inner_loop.multi_step

    @property
    def moved(self) -> tuple[str, ...]:
        """Names of the parameters that the inner steps adapt: of those chosen, all that are trained now."""
        return tuple(self.inner_parameters())

    def with_inner_loop(self, **changes: Any) -> Self:
        """Return the same learner, of the same model and rates, with other settings of its inner loop.

        Args:
            changes: fields of :class:`InnerLoop`.

        Example:
            >>> from graphkit.meta import MAML
            >>> learner = MAML(nn.Linear(3, 2), inner_steps=5)
            >>> longer = learner.with_inner_loop(steps=20)
            >>> learner.inner_steps, longer.inner_steps, longer.model is learner.model
            (5, 20, True)
        """
        other = copy.copy(self)
        other.inner_loop = dataclasses.replace(self.inner_loop, **changes)
        other._checked_forms = set()  # what fits first-order gradients need not fit exact ones
        return other

    def clone(self) -> Clone:
        """Return the model with parameters of its own, to be adapted to a loss step by step, as in learn2learn.

        Raises:
            ValueError: for a learner that brings its own head, which needs a task.
        """
        return Clone(self)

    def inner_parameters(self) -> Parameters:
        """Return the model's parameters that the inner steps adapt."""
        return trained_parameters(self.model, self._chosen)

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

    def initial_head(self, support: Forward, y: Tensor, ways: int) -> Parameters:
        """Return the head that a task starts with: its prototypes, or none where the model's last layer is the head."""
        if self.temperature is None:
            return {}
        directions = self.prototypes(support, y, ways)
        return {HEAD[0]: directions / self.temperature, HEAD[1]: directions.new_zeros(ways)}

    def prototypes(self, support: Forward, y: Tensor, ways: int) -> Tensor:
        """Return the direction of each class's prototype, from which a task's own head starts."""
        return prototypes(support(self.call(self.inner_parameters())), y, ways)

    def require_fit(self, support: Forward, y: Tensor, ways: int) -> None:
        """Refuse another number of outputs than of classes, parameters that nothing depends on, too few derivatives."""
        start = {**self.inner_parameters(), **self.initial_head(support, y, ways)}
        if not start:
            raise ValueError(
                "`model` must have a parameter that adapts, but what would is frozen; set requires_grad_(True) on some."
            )
        with torch.no_grad():
            outputs = self.predict_query(start, support).size(-1)
        if outputs != ways:
            raise ValueError(
                f"`model` has {outputs} outputs, but a task has {ways} classes; make its last layer {ways} wide, or "
                "take a learner that brings its own head (ProtoMAML)."
            )
        twice = self.order == 2 and torch.is_grad_enabled()
        require_used(lambda parameters: F.cross_entropy(self.predict_query(parameters, support), y), start, twice=twice)

    def trajectory(self, support: Forward, y: Tensor, ways: int) -> list[Parameters]:
        """Return the parameters before the first inner step and after each."""
        start = {**self.inner_parameters(), **self.initial_head(support, y, ways)}

        def loss(parameters: Parameters) -> Tensor:
            return F.cross_entropy(self.predict_query(parameters, support), y)

        return descent(loss, start, steps=self.inner_steps, rate=self.rate, order=self.order)

    def accelerated_logits(self, tasks: Sequence[Task]) -> Tensor | None:
        """Return the query's logits of all tasks at once, for models of one graph; ``None`` where no way is known."""
        if self.dropout or not self._accelerated or self._is_customized():
            return None
        ways, y, temperature = tasks[0].episode.ways, tasks[0].episode.support_y, self.temperature

        def head(outputs: Tensor) -> Parameters:
            directions = torch.stack([prototypes(z, y.to(z.device), ways) for z in outputs])
            return {HEAD[0]: directions / (temperature or 1.0), HEAD[1]: directions.new_zeros(len(tasks), ways)}

        def read(outputs: Tensor, parameters: Parameters) -> Tensor:
            if temperature is None:
                return outputs
            logits = unit_rows(outputs) @ parameters[HEAD[0]].transpose(1, 2)
            return logits + parameters[HEAD[1]].unsqueeze(1)

        own_head = None if temperature is None else head
        adapted = frozenset(self.moved)
        return accelerated_logits(InnerProblem(self.model, tasks, adapted, own_head, read, self.inner_loop, self.rate))

    def _is_customized(self) -> bool:
        """Tell whether somebody's subclass adapts in another way, or a method of the learner was replaced."""
        own, kind = vars(self), type(self)
        return any(name in own or getattr(kind, name) is not getattr(AbstractGradientLearner, name) for name in HOOKS)

    def adapt_to_support(self, support: Forward, y: Tensor, ways: int) -> Parameters:
        """Return the parameters after the last step."""
        return self.trajectory(support, y, ways)[-1]

    def predict_query(self, parameters: Parameters, query: Forward) -> Tensor:
        """Return the outputs, or what the task's own head makes of their directions."""
        outputs = self.embed(parameters, query)
        if HEAD[0] not in parameters:
            return outputs
        return F.linear(unit_rows(outputs), parameters[HEAD[0]], parameters[HEAD[1]])

    moving = deprecated_method("inner_parameters")
    head = deprecated_method("initial_head")
    directions = deprecated_method("prototypes")
    path = deprecated_method("trajectory")


def _key(name: str) -> str:
    """Return a parameter's name as a ``ParameterDict`` allows it."""
    return name.replace(".", "/")


def trained_parameters(model: nn.Module, chosen: Sequence[str] | None = None) -> Parameters:
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


def _require_parameters(model: nn.Module, moved: Any) -> tuple[str, ...]:
    """Return the names of what is moved, or refuse what names no parameter that is trained."""
    wanted = "`moved` must be a list of names of parameters or modules, or None"
    if isinstance(moved, str) or not isinstance(moved, Sequence) or not all(isinstance(each, str) for each in moved):
        raise TypeError(f"{wanted}, got {moved!r}.")
    known = ", ".join(trained_parameters(model)) or "none"
    if not moved:
        raise ValueError(f"{wanted}, got none. Parameters that are trained: {known}.")
    names = tuple(name.removesuffix(".") for name in moved)
    for name in names:
        if not trained_parameters(model, [name]):
            raise ValueError(f"{wanted}; {name!r} has none that is trained. Parameters that are: {known}.")
    return names


class Clone:
    """A model with parameters of its own, which :meth:`adapt` moves; the model itself is not touched.

    Calls see the model in the mode it is in; statistics that it stores then are the clone's own too. Gradients of what
    a clone returns reach the learner's parameters through all steps (order 2) or as if the steps were constants
    (order 1).

    Args:
        learner: MAML or one of its kin whose model has its own head.

    Raises:
        TypeError: for what is no learner that takes gradient steps.
        ValueError: for a learner that brings its own head, which needs a task.

    Source: the interface of learn2learn, Arnold et al. (2020), arXiv:2008.12284.

    Example:
        >>> from graphkit.meta import MAML
        >>> learner = MAML(torch.nn.Linear(3, 2), inner_lr=0.5)
        >>> clone = learner.clone()
        >>> clone.adapt(clone(torch.ones(4, 3)).square().mean())
        >>> bool((clone.parameters["bias"] != learner.model.bias).all())
        True
    """

    def __init__(self, learner: AbstractGradientLearner) -> None:
        if not isinstance(learner, AbstractGradientLearner):
            raise TypeError(f"`learner` must be MAML or one of its kin, got {type(learner).__name__}.")
        if learner.temperature is not None:
            raise ValueError("`learner` brings a head of its own for each task; call `adapt(task)` of it instead.")
        self.learner, self.steps = learner, 0
        with model_lock():
            self.parameters: Parameters = learner.inner_parameters()
            self.buffers = clone_buffers(learner.model)

    def __call__(self, *inputs: Any) -> Tensor:
        """Return the model's outputs under the clone's parameters."""
        with model_lock(), twice_differentiable(self.learner.order == 2):
            return functional_call(self.learner.model, {**self.parameters, **self.buffers}, inputs)

    def adapt(self, loss: Tensor) -> None:
        """Take one inner step on a loss of what the clone returned.

        Raises:
            ValueError: where some parameter does not move the loss.
        """
        exact = self.learner.order == 2
        gradients = torch.autograd.grad(loss, list(self.parameters.values()), create_graph=exact, allow_unused=True)
        unused = [name for name, gradient in zip(self.parameters, gradients, strict=True) if gradient is None]
        if unused:
            raise ValueError(f"`loss` does not depend on {', '.join(unused)}.")
        self.parameters = {
            name: value - self.learner.rate(name, self.steps) * gradient
            for (name, value), gradient in zip(self.parameters.items(), gradients, strict=True)
        }
        self.steps += 1

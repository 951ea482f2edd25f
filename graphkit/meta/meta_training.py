"""Meta-training: an outer optimiser's steps on batches of tasks, selected by tasks of the validation classes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from graphkit._checks import at_least, flag, fraction, instance, not_negative, positive, require_finite_logits
from graphkit._exports import deprecated_arguments
from graphkit.meta.evaluation import Evaluation, accuracies, evaluate, require_inner_loop
from graphkit.meta.inner_loop import InnerLoop
from graphkit.meta.learners.abstract_learner import AbstractLearner
from graphkit.meta.learners.gradient_learner import AbstractGradientLearner
from graphkit.meta.tasks import Task, TaskSet, require_task_set


@dataclass(frozen=True, kw_only=True)
class MetaTraining:
    """How a learner is trained on tasks.

    Args:
        steps: of the outer optimiser, Adam.
        batch: tasks in a step.
        lr: its rate at the start.
        cosine: whether the rate falls to 0 along half a cosine.
        first_order: share of the steps, from the first, in which an exact learner takes first-order gradients
            (MAML++'s annealing of derivative order).
        test_steps: inner steps when the learner is evaluated; 0 for as many as in training.
        every: steps between two looks at the validation tasks; the start is looked at too.
        margin: a later step is selected if its accuracy on the validation tasks is higher by that many standard errors
            of the paired difference. 0 selects the highest. About 2 stays where nothing is surely better, for a start
            that is good already: the highest of many looks that differ by chance is often worse on other classes.

    Source: Antoniou, Edwards & Storkey (2019), arXiv:1810.09502, for the schedule and the annealing; a margin of
    standard errors as in Breiman et al. (1984), Classification and Regression Trees, section 3.4.3, there of one.

    Example:
        >>> MetaTraining(steps=20).batch
        8
    """

    steps: int = 200
    batch: int = 8
    lr: float = 0.01
    cosine: bool = True
    first_order: float = 0.0
    test_steps: int = 0
    every: int = 20
    margin: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("steps", 0), ("batch", 1), ("every", 1), ("test_steps", 0)):
            at_least(name, getattr(self, name), least)
        positive("lr", self.lr)
        not_negative("margin", self.margin)
        fraction("first_order", self.first_order)
        flag("cosine", self.cosine)


@dataclass(frozen=True)
class MetaTrainingResult:
    """The result of a meta-training.

    Args:
        step: the selected step; 0 is the start.
        validation: mean accuracy on the validation tasks there.
        losses: the meta-loss of every step.

    Example:
        >>> MetaTrainingResult(0, 0.5, ()).step
        0
    """

    step: int
    validation: float
    losses: tuple[float, ...]


class WorldLike(Protocol):
    """The processes that train a learner together, which all go through the same steps; here, a single one.

    Example:
        >>> SingleProcess().count
        1
    """

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return 0

    @property
    def count(self) -> int:
        """How many there are."""
        return 1

    def add_gradients(self, model: nn.Module) -> None:
        """Put the sum over all processes in the place of each parameter's gradient."""
        return

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of ``value`` over all processes."""
        return value


class SingleProcess(WorldLike):
    """The only process."""


SINGLE_PROCESS = SingleProcess()

Checkpoint: TypeAlias = Callable[[Callable[[], Mapping[str, Any]]], None]
"""Is offered, after every step, a function that returns the whole state of the training."""


class MetaStep(NamedTuple):
    """The figures of a step: the meta-loss before it, and the accuracy on the validation tasks when last looked at.

    Example:
        >>> MetaStep(20, 0.7, 0.6).figure
        0.6
    """

    number: int
    train_loss: float
    validation: float

    @property
    def figure(self) -> float:
        """What progress shows."""
        return self.validation


class MetaTrainer:
    """Meta-training of one learner, step by step, with a state that can be saved between two.

    Steps take turns with the task sets; tasks are taken in their order, from the first again when they run out.
    A state is all that a training is between two steps: parameters, optimiser, the step, which says what task is next,
    the generator that dropout draws from, and what was selected so far. Gone on with from a state, a training comes
    to the same numbers.

    Several processes take the tasks of a step in turns, and those of the validation too. Gradients and accuracies are
    added up: a step is the one that a single process takes over all its tasks, up to the order of sums.

    Args:
        learner: any learner; it is trained in place.
        train: sets of tasks to train on, one for each graph.
        validation: tasks to select by.
        options: how.
        processes: those that train the learner together.

    Attributes:
        history: the figures of the steps so far.
        chosen: the selected step; 0 is the start.
        weights: the learner's parameters after that step.

    Raises:
        TypeError: for what is no learner, for task sets that are none, or a single one in place of a list.
        ValueError: if there is no task to train on; for inner steps or first-order gradients of a learner that has
            none, or no others; if the processes are more than the tasks of a step or meet a learner with dropout.

    Source: Finn, Abbeel & Levine (2017), arXiv:1703.03400; the outer optimiser is Adam.

    Example:
        >>> from graphkit.meta import FewShotProtocol, PrototypicalNetwork, Rows
        >>> items = Rows(torch.randn(60, 5, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 4)
        >>> few = FewShotProtocol(n_tasks=16, n_query=4)
        >>> train, validation = (TaskSet.draw(items, pair, few) for pair in ((0, 1), (2, 3)))
        >>> learner = PrototypicalNetwork(torch.nn.Linear(5, 3))
        >>> trainer = MetaTrainer(learner, [train], validation, MetaTraining(steps=6, every=2))
        >>> [step.number for step in trainer.steps()]
        [1, 2, 3, 4, 5, 6]
    """

    def __init__(
        self,
        learner: AbstractLearner,
        train: Sequence[TaskSet],
        validation: TaskSet,
        options: MetaTraining,
        *,
        processes: WorldLike = SINGLE_PROCESS,
    ) -> None:
        instance("learner", learner, AbstractLearner, "a learner, such as MAML(model)")
        instance("options", options, MetaTraining, "a MetaTraining")
        for given in train if isinstance(train, Iterable) else [train]:
            require_task_set("train", given, "a list of TaskSets, one for each graph")
        require_task_set("validation", validation, "a TaskSet")
        if not train:
            raise ValueError("`train` must hold at least one set of tasks.")
        _require_inner_loop(learner, options)
        _require_shareable(learner, options, processes)
        self.learner, self.train, self.validation = learner, train, validation
        self.options, self.processes = options, processes
        tasks = [each.fingerprint for each in (*train, validation)]
        self._identity = [repr(options), type(learner).__name__, repr(_settings(learner)), *tasks]
        trained = [parameter for parameter in learner.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.Adam(trained, lr=options.lr) if trained else None
        self._best: Evaluation | None = None
        self._looks = 0.0
        self.history: list[MetaStep] = []
        self.chosen = 0
        self.weights: Mapping[str, Any] = {}

    def steps(self) -> Iterator[MetaStep]:
        """Train on, one step at a time, until the end.

        Raises:
            ValueError: if a meta-loss is not finite, or logits on validation tasks are not.
        """
        learner, options = self.learner, self.options
        if self._best is None:
            self._best = _evaluate_shared(learner, self.validation, options, self.processes)
            self.weights = copy.deepcopy(learner.state_dict())
            self._looks = self._best.mean
        if self._optimizer is None:
            return
        first_order = learner
        if isinstance(learner, AbstractGradientLearner) and learner.order == 2:
            first_order = learner.with_inner_loop(order=1)
        for step in range(len(self.history), options.steps):
            # 1. A step of the outer optimiser.
            if options.cosine:
                rate = options.lr * (1 + math.cos(math.pi * step / options.steps)) / 2
                self._optimizer.param_groups[0]["lr"] = rate
            taking = first_order if step < options.first_order * options.steps else learner
            loss = _step(taking, self._optimizer, _batch(self.train, step, options.batch), step, self.processes)
            # 2. A look at the validation tasks.
            if (step + 1) % options.every == 0 or step + 1 == options.steps:
                found = _evaluate_shared(learner, self.validation, options, self.processes)
                self._looks = found.mean
                if _is_surely_better(found, self._best, options.margin):
                    self._best, self.chosen = found, step + 1
                    self.weights = copy.deepcopy(learner.state_dict())
            self.history.append(MetaStep(step + 1, loss, self._looks))
            yield self.history[-1]

    def select(self) -> MetaTrainingResult:
        """Leave the learner with the parameters of the selected step, and return what the training came to."""
        if self._best is None:
            raise ValueError("`steps` were not gone through: there is nothing to select.")
        if self._optimizer is not None:
            self.learner.load_state_dict(self.weights)
        losses = () if self._optimizer is None else tuple(each.train_loss for each in self.history)
        return MetaTrainingResult(self.chosen, self._best.mean, losses)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a continuation needs, as copies of what a step changes in place."""
        return {
            "identity": self._identity,
            "step": len(self.history),
            "losses": [each.train_loss for each in self.history],
            "looks": [each.validation for each in self.history],
            "best": None if self._best is None else self._best.accuracies,
            "chosen": self.chosen,
            "learner": copy.deepcopy(self.learner.state_dict()),
            "optimizer": None if self._optimizer is None else copy.deepcopy(self._optimizer.state_dict()),
            "weights": dict(self.weights),
            "generator": torch.get_rng_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state; the generator of this process is set to it too.

        Raises:
            ValueError: for a state of another training.
        """
        if state.get("identity") != self._identity:
            raise ValueError(
                "`state` is of a training of another learner, or with other tasks or options; start without it."
            )
        looks = state.get("looks", [0.0] * len(state["losses"]))  # version 0.1 kept none
        pairs = enumerate(zip(state["losses"], looks, strict=True), start=1)
        self.history = [MetaStep(number, loss, look) for number, (loss, look) in pairs]
        self.chosen, self.weights = state["chosen"], copy.deepcopy(state["weights"])
        self._best = None if state["best"] is None else Evaluation(tuple(state["best"]), self.validation.fingerprint)
        if self._best is not None:
            self._looks = self.history[-1].validation if self.history else self._best.mean
        self.learner.load_state_dict(state["learner"])
        if self._optimizer is not None:
            self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        torch.set_rng_state(state["generator"])


@deprecated_arguments(keep="checkpoint")
def meta_train(
    learner: AbstractLearner,
    train: Sequence[TaskSet],
    validation: TaskSet,
    options: MetaTraining,
    *,
    state: Mapping[str, Any] | None = None,
    checkpoint: Checkpoint | None = None,
    processes: WorldLike = SINGLE_PROCESS,
) -> MetaTrainingResult:
    """Train a learner in place and leave it with the parameters of the step that the validation tasks select.

    Args:
        learner, train, validation, options, processes: as for :class:`MetaTrainer`.
        state: what ``checkpoint`` was given, to go on from; the tasks and options must be the same.
        checkpoint: is offered the state after every step; what it raises ends the training.

    Raises:
        TypeError, ValueError: as :class:`MetaTrainer`; and if a meta-loss or logits are not finite, or a state is of
            another training.

    Example:
        >>> from graphkit.meta import FewShotProtocol, PrototypicalNetwork, Rows
        >>> items = Rows(torch.randn(60, 5, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 4)
        >>> protocol = FewShotProtocol(n_tasks=16, n_query=4)
        >>> train, validation = (TaskSet.draw(items, pair, protocol) for pair in ((0, 1), (2, 3)))
        >>> learner = PrototypicalNetwork(torch.nn.Linear(5, 3))
        >>> len(meta_train(learner, [train], validation, MetaTraining(steps=6, every=2)).losses)
        6
    """
    trainer = MetaTrainer(learner, train, validation, options, processes=processes)
    if state is not None:
        trainer.load_state_dict(state)
    for _ in trainer.steps():
        if checkpoint is not None:
            checkpoint(trainer.state_dict)
    return trainer.select()


def _settings(learner: AbstractLearner) -> list[tuple[str, Any]]:
    """Return the numbers, names and switches that a learner was made with.

    States hold them, so that they stand as version 0.1 wrote them: an inner loop by its four numbers, and ``whole``
    for the learner without accelerated ways.
    """
    found: list[tuple[str, Any]] = []
    for name, value in vars(learner).items():
        if name == "_accelerated":
            found.append(("whole", not value))
        elif isinstance(value, InnerLoop):
            names = ("inner_lr", "inner_steps", "order", "multi_step")
            found += [(each, getattr(learner, each)) for each in names]
        elif isinstance(value, bool | int | float | str | None) and name != "training" and not name.startswith("_"):
            found.append((name, value))
    return found


def _require_inner_loop(learner: AbstractLearner, options: MetaTraining) -> None:
    """Refuse options of an inner loop for a learner without one, or without second-order gradients."""
    if options.test_steps:
        require_inner_loop("test_steps", learner)
    if options.first_order and require_inner_loop("first_order", learner).order == 1:
        raise ValueError("`first_order` is of learners that take second-order gradients, and this one takes no others.")


def _require_shareable(learner: AbstractLearner, options: MetaTraining, processes: WorldLike) -> None:
    """Refuse what processes cannot share."""
    if processes.count > options.batch:
        raise ValueError(f"`batch` ({options.batch}) must be at least the number of processes ({processes.count}).")
    if processes.count > 1 and learner.dropout:
        raise ValueError(
            "`dropout`: tasks draw from one stream of random numbers, which processes cannot share; take one process, "
            "or none of it."
        )


def _is_surely_better(found: Evaluation, best: Evaluation, margin: float) -> bool:
    """Tell whether accuracies on the same tasks are higher, by so many standard errors of their differences."""
    gain = found.difference(best)
    return found.mean > best.mean and gain.mean >= margin * gain.standard_error


def _evaluate_shared(
    learner: AbstractLearner, tasks: TaskSet, options: MetaTraining, processes: WorldLike
) -> Evaluation:
    """Return the accuracies on all tasks, each process looking at its own."""
    if processes.count == 1:
        return evaluate(learner, tasks, steps=options.test_steps)
    found = torch.zeros(len(tasks), dtype=torch.float64)
    own = slice(processes.rank, None, processes.count)
    mine = TaskSet(tasks.items, tasks.protocol, tasks.chosen[own], tasks.classes[own])
    if len(mine):
        found[own] = torch.tensor(accuracies(learner, mine, options.test_steps), dtype=torch.float64)
    together = processes.total(found).tolist()
    require_finite_logits(together)  # here, so that all processes refuse alike
    return Evaluation(tuple(together), tasks.fingerprint)


def _step(
    learner: AbstractLearner, optimizer: torch.optim.Optimizer, tasks: list[Task], step: int, processes: WorldLike
) -> float:
    """Take a step and return the meta-loss before it."""
    mine = tasks[processes.rank :: processes.count]
    loss = learner.meta_loss(mine)
    if processes.count > 1:
        loss = loss * (len(mine) / len(tasks))
    value = processes.total(loss.detach()).item()
    if not math.isfinite(value):
        raise ValueError(f"the meta-loss is not finite in step {step + 1}; try a smaller `inner_lr` or `lr`.")
    optimizer.zero_grad()
    loss.backward()
    processes.add_gradients(learner)
    optimizer.step()
    return value


def _batch(train: Sequence[TaskSet], step: int, size: int) -> list[Task]:
    """Return the tasks of a step."""
    tasks = train[step % len(train)]
    start = (step // len(train)) * size
    return [tasks[(start + offset) % len(tasks)] for offset in range(size)]

"""Methods of few-shot classification: what rows one sees, how it is trained and evaluated."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeAlias

from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from graphkit.training.engine.options import AbstractOptions
from graphkit.training.zoo.architecture import STRICT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from graphkit.meta import AbstractLearner, Evaluation, Nodes, Rows, TaskSet
    from graphkit.training.engine.distributed import World
    from graphkit.training.engine.trainer import AbstractTrainer
    from graphkit.training.fewshot.problems import GraphEdges, Problem


class EvalOptions(NamedTuple):
    """What is asked of a method beside its accuracy.

    Args:
        calibrate: steps of calibration; 0 for none.
        steps: other numbers of inner steps.
        balanced: whether calibration knows that every class has as many query items.
    """

    calibrate: int
    steps: tuple[int, ...] = ()
    balanced: bool = False


class Evaluations(NamedTuple):
    """What a method came to on one problem: accuracy on the validation tasks, if any, and evaluations on test tasks."""

    validation: float | None
    test: Evaluation
    calibrated: Evaluation | None
    step: int
    by_steps: Mapping[str, Evaluation] | None = None


class Learnt(NamedTuple):
    """What a method learnt on a problem, by which its learner is made again.

    Args:
        weights: parameters and buffers by name.
        choices: what validation tasks chose, plain values by name.
    """

    weights: Mapping[str, Tensor] = {}
    choices: Mapping[str, Any] = {}


def known_rows(tasks: TaskSet) -> Tensor:
    """Return the rows of all items of the tasks' graph that are there: those of nodes that were taken out are 0."""
    from graphkit.training.fewshot.problems import table_of

    x = table_of(tasks.items)
    return x[x.any(-1)]


def evaluate_learner(
    learner: AbstractLearner | Callable[[TaskSet], AbstractLearner],
    problem: Problem,
    options: EvalOptions,
    *,
    calibrated: bool = True,
    steps: int = 0,
) -> Evaluations:
    """Return a learner's evaluations as it is.

    Args:
        learner: trained or not; or what makes it for tasks, of one that looks at more items of their graph.
        problem: tasks.
        options: calibration, and other numbers of inner steps after which it is tested too.
        calibrated: whether it has a calibration.
        steps: inner steps in place of the learner's own; 0 keeps those.
    """
    from graphkit.meta import AbstractGradientLearner, AbstractLearner, evaluate

    of = (lambda _: learner) if isinstance(learner, AbstractLearner) else learner
    validation = None
    if problem.validation is not None:
        validation = evaluate(of(problem.validation), problem.validation, steps=steps).mean
    learner = of(problem.test)
    after = None
    if calibrated and options.calibrate:
        after = evaluate(learner, problem.test, steps=steps, calibrate=options.calibrate, balanced=options.balanced)
    test = evaluate(learner, problem.test, steps=steps)
    if not options.steps or not isinstance(learner, AbstractGradientLearner):
        return Evaluations(validation, test, after, 0)
    by_steps = {}
    for number in options.steps:
        if learner.rates is None or number <= learner.inner_steps:  # learnt rates are of the steps they were learnt for
            by_steps[str(number)] = evaluate(learner.with_inner_loop(steps=number), problem.test)
    return Evaluations(validation, test, after, 0, by_steps)


def require_inner_steps(methods: Mapping[str, AbstractMethod], steps: Sequence[int]) -> None:
    """Refuse further numbers of inner steps that no method is tested after.

    Args:
        methods: by name.
        steps: numbers of inner steps; none refuses nothing.

    Raises:
        ValueError: where no method takes inner steps, or all have rates for fewer.
    """
    which = next(iter(methods)) if len(methods) == 1 else "any of these"
    own = [each.as_dict() for each in methods.values() if "inner_steps" in each.as_dict()]
    if steps and not own:
        raise ValueError(f"`steps` is of learners that take gradient steps on a support, not of {which}.")
    most = max((fields["inner_steps"] for fields in own), default=0)
    if steps and max(steps) > most and all(fields.get("learner") == "meta-sgd" for fields in own):
        raise ValueError(f"`steps` must be at most {most} for meta-sgd, which learns a rate for each.")


CHOSEN, CHOICES = "chosen", ("features-0", "features-2", "features-4", "centred-0", "centred-4", "weighted-4")
"""The name of rows that validation tasks choose, and what they choose from."""

COUNTS = "counts-"
"""How the names of rows begin that are of whole graphs alone."""

ENCODER = "encoder"
"""The name of rows that are embeddings of encoders trained without labels."""


def _require_rows(rows: str) -> str:
    """Return the name of a kind of rows, or refuse it."""
    if not re.fullmatch("chosen|encoder|views|(features|centred|weighted|counts)-[0-9]+", rows):
        raise ValueError(
            "must be features-K, centred-K, weighted-K or counts-K with K of 0 or more, chosen, encoder, or views"
        )
    return rows


Kind: TypeAlias = Annotated[str, AfterValidator(_require_rows)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractMethod(AbstractOptions, ABC):
    """A way of solving few-shot tasks.

    Args:
        rows: what it sees of the items: "features-K" are the features averaged K times over neighbours, "centred-K"
            the same without their mean, "weighted-K" those where rare features count more; "chosen" is the kind of
            ``CHOICES`` on which prototypes do best on validation tasks; "encoder" are embeddings of encoders that were
            trained without labels, beside the weighted features; "views" are all that
            :func:`graphkit.data.graph_views` makes of the graph, side by side; "counts-K", of whole graphs alone, are
            logarithms of the counts of Weisfeiler and Leman's colours after K rounds, without their mean.
    """

    rows: Kind = "features-2"

    @property
    def of_graphs(self) -> bool:
        """Whether its rows are of whole graphs alone."""
        return self.rows.startswith(COUNTS)

    @property
    def length(self) -> float:
        """Length of a row, which says nothing where directions are compared."""
        return 1.0

    @property
    def sees_edges(self) -> bool:
        """Whether its model sees the graph, of which the rows are nodes, and not each row alone."""
        return False

    def nodes(self, rows: Rows, edges: GraphEdges) -> Nodes:
        """Return rows as nodes of their graph, for a model that sees it.

        Raises:
            ValueError: for edge weights that its model cannot use.
        """
        raise NotImplementedError(f"{type(self).__name__} sees one row at a time")

    def require_graph(self, edges: GraphEdges, nodes: int) -> None:
        """Refuse a graph that its model cannot take; of one that sees a row at a time all will do.

        Args:
            edges: of the graph.
            nodes: how many it has.

        Raises:
            ValueError: for such a graph.
        """

    @property
    def title(self) -> str:
        """What it is called where a field is refused."""
        return "this learner"

    @property
    def trained(self) -> bool:
        """Whether it uses the labels of the training classes."""
        return False

    @property
    def needs_other_classes(self) -> bool:
        """Whether classes beside those that it is tested on train it, or choose something for it."""
        return self.trained or self.rows == CHOSEN or bool(self.selects)

    @property
    def selects(self) -> str:
        """What validation tasks select for it beside its rows, in words; nothing where they select nothing."""
        return ""

    def start(self, problem: Problem, seed: int, world: World) -> AbstractTrainer[Any] | None:
        """Return what is trained on tasks of the training classes, freshly drawn; ``None`` where nothing is.

        Args:
            problem: the tasks.
            seed: draws weights.
            world: the processes that train together.
        """
        return None

    @property
    def takes_steps(self) -> bool:
        """Whether it adapts by gradient steps."""
        return False

    def outputs(self, ways: int) -> int:
        """Return how many classes its last layer tells apart if it was trained on ``ways``; 0 where it has none."""
        return 0

    def learnt(self, problem: Problem, seed: int, trainer: Any) -> Learnt:
        """Return what it learnt on a problem that it was evaluated on, for :meth:`make_learner`."""
        return Learnt()

    @abstractmethod
    def make_learner(self, learnt: Learnt, channels: int, ways: int, known: Tensor) -> AbstractLearner:
        """Return its learner.

        Args:
            learnt: what :meth:`learnt` returned.
            channels: width of a row.
            ways: classes of the tasks that it was trained on.
            known: the rows of all items ``[items, channels]``, without labels.
        """

    @abstractmethod
    def evaluate(self, problem: Problem, seed: int, options: EvalOptions, trainer: Any) -> Evaluations:
        """Return what it comes to: the first look at test tasks.

        Args:
            problem: the tasks.
            seed: draws weights of what is not trained by the engine.
            options: what else is wanted.
            trainer: what :meth:`start` returned, trained to its end.
        """

"""Methods that are trained on tasks of the training classes: networks that compare, MAML and its kin."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic.dataclasses import dataclass

from graphkit.training.fewshot.method import (
    CHOSEN,
    AbstractMethod,
    EvalOptions,
    Evaluations,
    Learnt,
    evaluate_learner,
    known_rows,
)
from graphkit.training.fewshot.task_models import (
    OF_ROWS,
    TaskModel,
    draw_model,
    moved_parameters,
    nodes_for,
    require_graph,
    require_width,
    unused_model_fields,
)
from graphkit.training.zoo.architecture import STRICT, Count, LearningRate, NonNegative, Positive, Share, Switch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from graphkit.meta import AbstractGradientLearner, AbstractLearner, MetaTraining, Nodes, Rows, TaskSet
    from graphkit.training.engine.distributed import World
    from graphkit.training.fewshot.learner_trainer import LearnerTrainer
    from graphkit.training.fewshot.problems import GraphEdges, Problem


Gradient: TypeAlias = Literal["maml", "fomaml", "reptile", "anil", "meta-sgd", "protomaml"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractMetaTrained(AbstractMethod):
    """A model that is trained on tasks of the training classes.

    Args:
        scale: length of a row.
        model: "perceptron" of one hidden layer; "weights", one per feature, which begin by changing nothing; or a graph
            model by the name that `graphkit train` has for it, which sees the rows of a node and of its neighbours.
        hidden: width between the layers of the model.
        steps, batch, lr: of meta-training.
    """

    scale: LearningRate = 1.0
    model: TaskModel = "weights"
    hidden: Positive = 64
    steps: Count = 200
    batch: Positive = 8
    lr: LearningRate = 0.01

    def __post_init__(self) -> None:
        require_width(self.model, self.hidden)

    @abstractmethod
    def draw(self, channels: int, ways: int) -> AbstractLearner:
        """Return the learner as it is drawn.

        Args:
            channels: width of a row.
            ways: classes of a task.
        """

    @property
    def length(self) -> float:
        """Length of a row."""
        return self.scale

    @property
    def sees_edges(self) -> bool:
        """Return whether its model is a graph model."""
        return self.model not in OF_ROWS

    def nodes(self, rows: Rows, edges: GraphEdges) -> Nodes:
        """Return rows as nodes of their graph.

        Raises:
            ValueError: for edge weights that its model cannot use.
        """
        return nodes_for(self.model, rows, edges)

    def require_graph(self, edges: GraphEdges, nodes: int) -> None:
        """Refuse a graph that its model cannot take, before anything is trained.

        Raises:
            ValueError: for such a graph.
        """
        require_graph(self.model, edges, nodes)

    @property
    def trained(self) -> bool:
        """Return true."""
        return True

    @property
    def selects(self) -> str:
        """Return the step of the meta-training."""
        return "meta-training step"

    def meta_training(self) -> MetaTraining:
        """Return how it is trained."""
        from graphkit.meta import MetaTraining

        return MetaTraining(steps=self.steps, batch=self.batch, lr=self.lr)

    def start(self, problem: Problem, seed: int, world: World) -> LearnerTrainer:
        """Return the meta-training of a freshly drawn learner."""
        from graphkit.training.engine.distributed import rng_seed
        from graphkit.training.fewshot.learner_trainer import LearnerTrainer

        with rng_seed(seed):
            learner = self.draw(problem.channels, problem.ways).to(problem.device)
        return LearnerTrainer(learner, problem, self.meta_training(), world)

    def learnt(self, problem: Problem, seed: int, trainer: LearnerTrainer) -> Learnt:
        """Return the weights of the selected learner, and the rates that it learnt."""
        return Learnt(trainer.learner.state_dict(), {})


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractComparison(AbstractMetaTrained):
    """A network trained on tasks of the training classes to compare items; nothing in it changes for a new task."""

    def unused_fields(self) -> dict[str, str]:
        """Return what nothing is trained by, and the width of a perceptron that is not there."""
        found = dict.fromkeys(("batch", "lr"), "`steps` is 0") if not self.steps else {}
        return found | unused_model_fields(self.model, self.hidden, embeds=True)

    def evaluate(self, problem: Problem, seed: int, options: EvalOptions, trainer: LearnerTrainer) -> Evaluations:
        """Return the evaluations of the selected network."""
        step = trainer.select()
        return evaluate_learner(trainer.learner, problem, options)._replace(step=step)

    def make_learner(self, learnt: Learnt, channels: int, ways: int, known: Tensor) -> AbstractLearner:
        """Return the learner."""
        made = self.draw(channels, ways)
        made.load_state_dict(learnt.weights)
        return made


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PrototypicalNet(AbstractComparison):
    """A prototypical network trained on tasks of the training classes: items are compared with class means."""

    def draw(self, channels: int, ways: int) -> AbstractLearner:
        """Return the network as it is drawn."""
        from graphkit.meta import PrototypicalNetwork

        return PrototypicalNetwork(draw_model(self.model, channels, self.hidden, self.hidden))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SiameseNet(AbstractComparison):
    """A Siamese network trained on pairs of items of the training classes: items are compared with each other.

    Args:
        margin: distance from which two items of two classes are far enough apart, on a sphere of radius 1.
    """

    margin: LearningRate = 1.0

    def unused_fields(self) -> dict[str, str]:
        """Return what nothing is trained by."""
        return super().unused_fields() | ({} if self.steps else {"margin": "`steps` is 0"})

    def draw(self, channels: int, ways: int) -> AbstractLearner:
        """Return the network as it is drawn."""
        from graphkit.meta import SiameseNetwork

        return SiameseNetwork(draw_model(self.model, channels, self.hidden, self.hidden), margin=self.margin)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MetaLearnt(AbstractMetaTrained):
    """MAML or one of its kin, trained on tasks of the training classes.

    Args:
        learner: which of them.
        model: as of all that is meta-trained; "weights" are for a head made of prototypes.
        inner_lr, inner_steps: of the inner loop.
        test_steps: inner steps on validation and test tasks; 0 for as many as in training.
        temperature: of a head made of prototypes.
        multi_step: see :class:`graphkit.meta.AbstractGradientLearner`.
        first_order: share of the steps that takes first-order gradients.
        margin: standard errors by which a later step must do better on validation tasks to be selected.
        unlabelled: whether all rows, without their labels, move the prototypes from which a head made of them starts
            on validation and test tasks.
    """

    learner: Gradient = "maml"
    model: TaskModel = "perceptron"
    inner_lr: NonNegative = 0.1
    inner_steps: Count = 5
    test_steps: Count = 0
    temperature: LearningRate = 0.1
    multi_step: Share = 0.0
    first_order: Share = 0.0
    margin: NonNegative = 0.0
    unlabelled: Switch = False

    @property
    def order(self) -> int:
        """Order of the gradients through the inner loop."""
        return 1 if self.learner in ("fomaml", "reptile") else 2

    def unused_fields(self) -> dict[str, str]:
        """Return what other learners have, and what no step needs."""
        head = "only protomaml's head is made of prototypes"
        found = dict.fromkeys(("temperature", "unlabelled"), head) if self.learner != "protomaml" else {}
        found |= unused_model_fields(self.model, self.hidden, embeds=self.learner == "protomaml")
        if self.sees_edges:
            found["unlabelled"] = "a graph model sees the other nodes anyway"
        if self.order == 1:
            found["first_order"] = f"{self.learner} takes no others"
        if self.learner == "reptile":
            found["multi_step"] = "reptile looks at no query items"
        if not self.inner_steps:
            found |= dict.fromkeys(("inner_lr", "multi_step"), "`inner_steps` is 0")
        if not self.steps:
            found |= dict.fromkeys(("batch", "lr", "first_order", "multi_step", "margin"), "`steps` is 0")
        return found

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learner == "meta-sgd" and self.test_steps > self.inner_steps:
            raise ValueError(
                f"`test_steps` must be at most `inner_steps` ({self.inner_steps}) for meta-sgd, which learns a rate "
                f"for each of them, got {self.test_steps}."
            )
        if self.unlabelled and self.learner != "protomaml":
            raise ValueError(f"`unlabelled` moves the prototypes of protomaml, and {self.learner} has none.")
        if self.model == "weights" and self.learner != "protomaml":
            raise ValueError(
                f"`model` 'weights' has no outputs for classes, which {self.learner} needs; take perceptron, or a "
                "graph model."
            )
        if self.unlabelled and self.sees_edges:
            raise ValueError(f"`unlabelled` is of models that see one row at a time, and {self.model!r} sees a graph.")

    def meta_training(self) -> MetaTraining:
        """Return how it is trained."""
        return dataclasses.replace(
            super().meta_training(), first_order=self.first_order, test_steps=self.test_steps, margin=self.margin
        )

    def evaluate(self, problem: Problem, seed: int, options: EvalOptions, trainer: LearnerTrainer) -> Evaluations:
        """Return the evaluations of the selected learner; one with a head of its own has no calibration."""
        step = trainer.select()
        calibrated = self.learner == "protomaml" and not self.unlabelled
        tested = self._with_unlabelled(trainer.learner.model) if self.unlabelled else trainer.learner
        found = evaluate_learner(tested, problem, options, calibrated=calibrated, steps=self.test_steps)
        return found._replace(step=step)

    def _with_unlabelled(self, model: nn.Module) -> Callable[[TaskSet], AbstractLearner]:
        """Return what makes a learner whose prototypes the other rows of a task's graph have moved."""
        from graphkit.meta import SemiSupervisedProtoMAML

        rate, steps, temperature = self.inner_lr, self.inner_steps, self.temperature
        return lambda tasks: SemiSupervisedProtoMAML(
            model, known_rows(tasks), temperature=temperature, inner_lr=rate, inner_steps=steps
        )

    @property
    def takes_steps(self) -> bool:
        """Return true."""
        return True

    def outputs(self, ways: int) -> int:
        """Return how many classes its last layer tells apart; 0 where a head is made of prototypes."""
        return 0 if self.learner == "protomaml" else ways

    def make_learner(self, learnt: Learnt, channels: int, ways: int, known: Tensor) -> AbstractLearner:
        """Return the learner."""
        from graphkit.meta import SemiSupervisedProtoMAML

        made: AbstractGradientLearner = self.draw(channels, ways)
        made.load_state_dict(learnt.weights)
        if self.unlabelled:
            rate, steps, temperature = self.inner_lr, self.inner_steps, self.temperature
            made = SemiSupervisedProtoMAML(made.model, known, temperature=temperature, inner_lr=rate, inner_steps=steps)
        return made.with_inner_loop(steps=self.test_steps) if self.test_steps else made

    def draw(self, channels: int, ways: int) -> AbstractGradientLearner:
        """Return the learner as it is drawn."""
        from graphkit.meta import ANIL, MAML, MetaSGD, ProtoMAML, Reptile

        rate, steps, more = self.inner_lr, self.inner_steps, self.multi_step
        model = draw_model(self.model, channels, self.hidden, self.hidden if self.learner == "protomaml" else ways)
        moved = moved_parameters(self.model, model)
        if self.learner == "anil":
            # A filter behind the last linear map does not move: its map does.
            head = None if moved is None else moved[-1].rpartition(".")[0]
            return ANIL(model, head=head, inner_lr=rate, inner_steps=steps, multi_step=more)
        if self.learner == "reptile":
            return Reptile(model, moved=moved, inner_lr=rate, inner_steps=steps)
        if self.learner == "protomaml":
            return ProtoMAML(
                model, temperature=self.temperature, moved=moved, inner_lr=rate, inner_steps=steps, multi_step=more
            )
        if self.learner == "meta-sgd":
            return MetaSGD(model, moved=moved, inner_lr=rate, inner_steps=steps, multi_step=more)
        return MAML(model, moved=moved, inner_lr=rate, inner_steps=steps, order=self.order, multi_step=more)


def _perceptron(learner: Gradient, **fields: Any) -> MetaLearnt:
    return MetaLearnt(learner=learner, rows=CHOSEN, scale=36.0, **fields)


META_LEARNERS: dict[str, AbstractMethod] = {
    "protonet": PrototypicalNet(rows=CHOSEN),
    "siamese": SiameseNet(rows=CHOSEN),
    "maml": _perceptron("maml"),
    "fomaml": _perceptron("fomaml"),
    "reptile": _perceptron("reptile"),
    "anil": _perceptron("anil"),
    "meta-sgd": _perceptron("meta-sgd"),
    "protomaml": MetaLearnt(learner="protomaml", model="weights", rows=CHOSEN, inner_lr=1.0),
}
"""Named learners; :data:`graphkit.training.fewshot.METHODS` says how their fields were chosen."""

"""The learners and rivals of a few-shot study, as frozen data: which rows they see, and how they are trained."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from graphkit.training.architectures.abstract import STRICT, Count, LearningRate, NonNegative, Positive
from graphkit.training.fewshot.solved import Asked, Solved, evaluated

if TYPE_CHECKING:
    from torch import nn

    from graphkit.meta import AbstractGradientLearner, AbstractLearner, MetaTraining
    from graphkit.training.fewshot.kept import UnderWay
    from graphkit.training.fewshot.problems import Problem

Gradient: TypeAlias = Literal["maml", "fomaml", "reptile", "anil", "meta-sgd", "protomaml"]


def _known(rows: str) -> str:
    """Return the name of a kind of rows, or refuse it."""
    if not re.fullmatch("chosen|encoder|(features|centred|weighted)-[0-9]+", rows):
        raise ValueError("must be features-K, centred-K or weighted-K with K of 0 or more, chosen, or encoder")
    return rows


Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Kind: TypeAlias = Annotated[str, AfterValidator(_known)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractMethod(ABC):
    """A way of solving few-shot tasks.

    Args:
        rows: what it sees of the items: "features-K" are the features averaged K times over neighbours, "centred-K"
            the same without their mean, "weighted-K" those where rare features count more; "chosen" is the kind of
            ``CHOICES`` on which prototypes do best on validation tasks; "encoder" are embeddings of encoders that were
            trained without labels, beside the weighted features.
        scale: length of a row.
    """

    rows: Kind = "features-2"
    scale: LearningRate = 1.0

    @property
    @abstractmethod
    def trained(self) -> bool:
        """Whether it uses the labels of the training classes."""

    @abstractmethod
    def solved(self, problem: Problem, seed: int, asked: Asked, under_way: UnderWay) -> Solved:
        """Return what it comes to; ``seed`` draws weights, ``asked`` is what else is wanted.

        What is ``under_way`` keeps the state of a meta-training.
        """


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Prototypes(AbstractMethod):
    """The nearest prototype by cosine, without any training."""

    @property
    def trained(self) -> bool:
        """Return false."""
        return False

    def solved(self, problem: Problem, seed: int, asked: Asked, under_way: UnderWay) -> Solved:
        """Return its evaluations."""
        from torch import nn

        from graphkit.meta import PrototypicalNetwork

        return evaluated(PrototypicalNetwork(nn.Identity()), problem, asked)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Logistic(AbstractMethod):
    """A logistic regression on each task's support."""

    strength: LearningRate = 10.0

    @property
    def trained(self) -> bool:
        """Return false."""
        return False

    def solved(self, problem: Problem, seed: int, asked: Asked, under_way: UnderWay) -> Solved:
        """Return its evaluations."""
        from functools import partial

        from graphkit.meta import logistic_regression

        regression = partial(logistic_regression, strength=self.strength)
        again = partial(regression, calibrate=asked.calibrate, balanced=asked.balanced)
        after = again(problem.test) if asked.calibrate else None
        return Solved(regression(problem.validation).mean, regression(problem.test), after, 0)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Classifier(AbstractMethod):
    """A perceptron that told the training classes apart, then prototypes on its hidden layer, or steps on the support.

    Args:
        pretrained: whether it is trained on the training classes at all.
        adaptation: "prototypes" of the hidden layer, or "steps" of the whole model under a new head.
        hidden: width.
        epochs: of pre-training.
        inner_lr, inner_steps: of the steps on a support.
    """

    pretrained: bool = True
    adaptation: Literal["prototypes", "steps"] = "steps"
    hidden: Positive = 64
    epochs: Positive = 100
    inner_lr: LearningRate = 0.1
    inner_steps: Positive = 20

    @property
    def trained(self) -> bool:
        """Return whether it is trained at all."""
        return self.pretrained

    def solved(self, problem: Problem, seed: int, asked: Asked, under_way: UnderWay) -> Solved:
        """Return its evaluations."""
        from torch import nn

        from graphkit.meta import MAML, PrototypicalNetwork, pretrained
        from graphkit.training.devices import seeded

        with seeded(seed):
            body = nn.Sequential(nn.Linear(problem.channels, self.hidden), nn.ReLU())
            if self.pretrained:
                pretrained(body, self.hidden, problem.sources, epochs=self.epochs)
            if self.adaptation == "prototypes":
                return evaluated(PrototypicalNetwork(body), problem, asked)
            model = nn.Sequential(*body, nn.Linear(self.hidden, problem.ways))
        learner = MAML(model, inner_lr=self.inner_lr, inner_steps=self.inner_steps, order=1)
        return evaluated(learner, problem, asked, calibrated=False)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PrototypicalNet(AbstractMethod):
    """A prototypical network trained on tasks of the training classes.

    Args:
        model: "perceptron" of one hidden layer, or "weights", one per feature, which begin by changing nothing.
        hidden: width of the perceptron.
        steps, batch, lr: of meta-training.
    """

    model: Literal["perceptron", "weights"] = "weights"
    hidden: Positive = 64
    steps: Count = 200
    batch: Positive = 8
    lr: LearningRate = 0.01

    @property
    def trained(self) -> bool:
        """Return true."""
        return True

    def solved(self, problem: Problem, seed: int, asked: Asked, under_way: UnderWay) -> Solved:
        """Return its evaluations."""
        from graphkit.meta import MetaTraining, PrototypicalNetwork
        from graphkit.training.devices import seeded

        with seeded(seed):
            learner = PrototypicalNetwork(_model(self.model, problem, self.hidden, self.hidden))
        options = MetaTraining(steps=self.steps, batch=self.batch, lr=self.lr)
        step = _meta_trained(learner, problem, options, under_way)
        return evaluated(learner, problem, asked)._replace(step=step)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MetaLearnt(AbstractMethod):
    """MAML or one of its kin, trained on tasks of the training classes.

    Args:
        learner: which of them.
        model: "perceptron" of one hidden layer, or "weights", one per feature, for a head made of prototypes.
        hidden: width of the perceptron.
        steps, batch, lr: of meta-training.
        inner_lr, inner_steps: of the inner loop.
        test_steps: inner steps on validation and test tasks; 0 for as many as in training.
        temperature: of a head made of prototypes.
        multi_step: see :class:`graphkit.meta.AbstractGradientLearner`.
        first_order: share of the steps that takes first-order gradients.
    """

    learner: Gradient = "maml"
    model: Literal["perceptron", "weights"] = "perceptron"
    hidden: Positive = 64
    steps: Count = 200
    batch: Positive = 8
    lr: LearningRate = 0.01
    inner_lr: NonNegative = 0.1
    inner_steps: Count = 5
    test_steps: Count = 0
    temperature: LearningRate = 0.1
    multi_step: Share = 0.0
    first_order: Share = 0.0

    @property
    def trained(self) -> bool:
        """Return true."""
        return True

    def __post_init__(self) -> None:
        if self.learner == "meta-sgd" and self.test_steps > self.inner_steps:
            raise ValueError(
                f"`test_steps` must be at most `inner_steps` ({self.inner_steps}) for meta-sgd, which learns a rate "
                f"for each of them, got {self.test_steps}."
            )

    def solved(self, problem: Problem, seed: int, asked: Asked, under_way: UnderWay) -> Solved:
        """Return its evaluations; one with a head of its own has no calibration."""
        from graphkit.meta import MetaTraining
        from graphkit.training.devices import seeded

        with seeded(seed):
            learner = self._made(problem)
        options = MetaTraining(
            steps=self.steps, batch=self.batch, lr=self.lr, first_order=self.first_order, test_steps=self.test_steps
        )
        step = _meta_trained(learner, problem, options, under_way)
        has_prototypes = self.learner == "protomaml"
        found = evaluated(learner, problem, asked, calibrated=has_prototypes, steps=self.test_steps)
        return found._replace(step=step)

    def _made(self, problem: Problem) -> AbstractGradientLearner:
        """Return the learner as it is drawn."""
        from graphkit.meta import ANIL, MAML, MetaSGD, ProtoMAML, Reptile

        rate, steps, more = self.inner_lr, self.inner_steps, self.multi_step
        if self.learner == "protomaml":
            model = _model(self.model, problem, self.hidden, self.hidden)
            return ProtoMAML(model, temperature=self.temperature, inner_lr=rate, inner_steps=steps, multi_step=more)
        model = _model("perceptron", problem, self.hidden, problem.ways)
        if self.learner == "reptile":
            return Reptile(model, inner_lr=rate, inner_steps=steps)
        if self.learner == "anil":
            return ANIL(model, inner_lr=rate, inner_steps=steps, multi_step=more)
        if self.learner == "meta-sgd":
            return MetaSGD(model, inner_lr=rate, inner_steps=steps, multi_step=more)
        order = 1 if self.learner == "fomaml" else 2
        return MAML(model, inner_lr=rate, inner_steps=steps, order=order, multi_step=more)


def _meta_trained(learner: AbstractLearner, problem: Problem, options: MetaTraining, under_way: UnderWay) -> int:
    """Train a learner on tasks of the training classes, and return the step that validation tasks chose."""
    from graphkit.meta import meta_trained

    state, keep, team = under_way.state(), under_way.keep, under_way.processes
    train, validation = problem.train, problem.validation
    return meta_trained(learner, train, validation, options, state=state, keep=keep, processes=team).step


def _model(kind: str, problem: Problem, hidden: int, outputs: int) -> nn.Module:
    """Return a freshly drawn model of rows."""
    from torch import nn

    from graphkit.meta import FeatureWeights

    if kind == "weights":
        return FeatureWeights(problem.channels)
    return nn.Sequential(nn.Linear(problem.channels, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def _perceptron(learner: Gradient, **fields: Any) -> MetaLearnt:
    return MetaLearnt(learner=learner, rows="centred-4", scale=36.0, **fields)


CHOSEN, CHOICES = "chosen", ("features-2", "features-4", "centred-4")
"""The name of rows that validation tasks choose, and what they choose from."""

METHODS: dict[str, AbstractMethod] = {
    "prototypes-0": Prototypes(rows="features-0"),
    "prototypes-2": Prototypes(rows="features-2"),
    "prototypes-4": Prototypes(rows="features-4"),
    "prototypes-centred": Prototypes(rows="centred-4"),
    "prototypes-weighted": Prototypes(rows="weighted-4"),
    "logistic": Logistic(rows="centred-4"),
    "random-start": Classifier(rows="centred-4", scale=36.0, pretrained=False),
    "fine-tuning": Classifier(rows="centred-4", scale=36.0),
    "transfer": Classifier(rows="centred-4", scale=36.0, adaptation="prototypes"),
    "protonet": PrototypicalNet(rows="centred-4"),
    "maml": _perceptron("maml"),
    "fomaml": _perceptron("fomaml"),
    "reptile": _perceptron("reptile"),
    "anil": _perceptron("anil"),
    "meta-sgd": _perceptron("meta-sgd"),
    "protomaml": MetaLearnt(learner="protomaml", model="weights", rows="centred-4", inner_lr=1.0),
    "protomaml-chosen": MetaLearnt(learner="protomaml", model="weights", rows=CHOSEN, inner_lr=1.0),
    "encoder-prototypes": Prototypes(rows="encoder"),
    "encoder-logistic": Logistic(rows="encoder"),
    "encoder-protomaml": MetaLearnt(learner="protomaml", model="weights", rows="encoder", inner_lr=1.0),
}
"""Named methods. Those whose name begins with "encoder" stand on embeddings learnt without labels. Rates, depth, scale
and centring were chosen by accuracy on validation tasks of Cora and CiteSeer, over all pairs of classes: a class that
selects in one split is tested on in another, so that on these two data sets the choice has seen such labels."""

"""Baselines of few-shot classification: prototypes, ridge and logistic regression, fine-tuning, whitening."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

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
from graphkit.training.zoo.architecture import STRICT, LearningRate, Positive, Switch

if TYPE_CHECKING:
    from torch import Tensor

    from graphkit.meta import AbstractLearner, TaskSet, WithinClassWhitening
    from graphkit.meta.baselines import ClassifierTraining
    from graphkit.training.engine.distributed import World
    from graphkit.training.fewshot.pretraining_trainer import PretrainingTrainer
    from graphkit.training.fewshot.problems import Problem


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Prototypes(AbstractMethod):
    """The nearest prototype by cosine, without any training."""

    def evaluate(self, problem: Problem, seed: int, options: EvalOptions, trainer: None) -> Evaluations:
        """Return its evaluations."""
        from torch import nn

        from graphkit.meta import PrototypicalNetwork

        return evaluate_learner(PrototypicalNetwork(nn.Identity()), problem, options)

    def make_learner(self, learnt: Learnt, channels: int, ways: int, known: Tensor) -> AbstractLearner:
        """Return the learner."""
        from torch import nn

        from graphkit.meta import PrototypicalNetwork

        return PrototypicalNetwork(nn.Identity())


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SemiSupervised(AbstractMethod):
    """The nearest prototype by cosine, after all rows have moved the prototypes, without their labels.

    Args:
        weight: how many labelled items they are worth.
        spread: how far from a prototype a row still counts.
    """

    weight: LearningRate = 3.0
    spread: LearningRate = 0.2

    def evaluate(self, problem: Problem, seed: int, options: EvalOptions, trainer: None) -> Evaluations:
        """Return its evaluations, each with the rows that are known at its stage."""
        from torch import nn

        from graphkit.meta import SemiSupervisedPrototypes

        def learner(tasks: TaskSet) -> SemiSupervisedPrototypes:
            known = known_rows(tasks)
            return SemiSupervisedPrototypes(nn.Identity(), known, weight=self.weight, spread=self.spread)

        return evaluate_learner(learner, problem, options, calibrated=False)

    def make_learner(self, learnt: Learnt, channels: int, ways: int, known: Tensor) -> AbstractLearner:
        """Return the learner."""
        from torch import nn

        from graphkit.meta import SemiSupervisedPrototypes

        return SemiSupervisedPrototypes(nn.Identity(), known, weight=self.weight, spread=self.spread)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Ridge(AbstractMethod):
    """Kernel ridge regression on each task's support.

    Args:
        unlabelled: whether all rows take part, without their labels.
        penalty, gamma, weight, spread: see :class:`graphkit.meta.KernelRidge`.
        intercept: see there; or "chosen", if validation tasks are solved better with one.
    """

    unlabelled: Switch = False
    penalty: LearningRate = 10.0
    gamma: LearningRate = 0.5
    weight: LearningRate = 3.0
    spread: LearningRate = 0.3
    intercept: Switch | Literal["chosen"] = False

    def unused_fields(self) -> dict[str, str]:
        """Return what says how much unlabelled rows count, where they do not."""
        return {} if self.unlabelled else dict.fromkeys(("weight", "spread"), "`unlabelled` is false")

    @property
    def selects(self) -> str:
        """Return whether it has an intercept, where that is asked for."""
        return "intercept" if self.intercept == "chosen" else ""

    def evaluate(self, problem: Problem, seed: int, options: EvalOptions, trainer: None) -> Evaluations:
        """Return its evaluations, each with the rows that are known at its stage if they take part."""
        learnt = self.learnt(problem, seed, trainer)

        def learner(tasks: TaskSet) -> AbstractLearner:
            return self.make_learner(learnt, problem.channels, problem.ways, known_rows(tasks))

        return evaluate_learner(learner, problem, options, calibrated=False)

    def learnt(self, problem: Problem, seed: int, trainer: None) -> Learnt:
        """Return whether it has an intercept."""
        from graphkit.meta import evaluate

        if self.intercept != "chosen":
            return Learnt({}, {"intercept": self.intercept})
        tasks = problem.selection

        def validation(intercept: bool) -> float:
            made = self.make_learner(
                Learnt({}, {"intercept": intercept}), problem.channels, problem.ways, known_rows(tasks)
            )
            return evaluate(made, tasks).mean

        return Learnt({}, {"intercept": max((False, True), key=validation)})

    def make_learner(self, learnt: Learnt, channels: int, ways: int, known: Tensor) -> AbstractLearner:
        """Return the learner."""
        from torch import nn

        from graphkit.meta import KernelRidge

        return KernelRidge(
            nn.Identity(),
            known if self.unlabelled else None,
            penalty=self.penalty,
            gamma=self.gamma,
            weight=self.weight,
            spread=self.spread,
            intercept=learnt.choices["intercept"],
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RidgeOnViews(AbstractMethod):
    """Ridge regression on all views of the graph, mixed by their leave-one-out errors on each task's support.

    Args:
        rows: "views", the only ones that have several.
        unlabelled: whether all rows take part, without their labels, the more the more alike neighbours are
            (:meth:`graphkit.data.GraphViews.edge_similarity`).
        sharpness, weight, nearest, rounds: see :class:`graphkit.meta.ViewRidge`.
    """

    rows: Literal["views"] = "views"
    unlabelled: Switch = True
    sharpness: LearningRate = 1.0
    weight: LearningRate = 3.0
    nearest: Positive = 200
    rounds: Positive = 2

    def unused_fields(self) -> dict[str, str]:
        """Return what says how much unlabelled rows count, where they do not."""
        return {} if self.unlabelled else dict.fromkeys(("weight", "nearest", "rounds"), "`unlabelled` is false")

    def evaluate(self, problem: Problem, seed: int, options: EvalOptions, trainer: None) -> Evaluations:
        """Return its evaluations, each with the rows that are known at its stage if they take part."""

        def learner(tasks: TaskSet) -> AbstractLearner:
            return self.make_learner(Learnt(), problem.channels, problem.ways, known_rows(tasks))

        return evaluate_learner(learner, problem, options, calibrated=False)

    def make_learner(self, learnt: Learnt, channels: int, ways: int, known: Tensor) -> AbstractLearner:
        """Return the learner."""
        from torch import nn

        from graphkit.data import GraphViews
        from graphkit.data.views import VIEWS
        from graphkit.meta import ViewRidge

        views = GraphViews(VIEWS, known.unflatten(-1, (len(VIEWS), -1)))
        return ViewRidge(
            nn.Identity(),
            known if self.unlabelled else None,
            views=len(VIEWS),
            prior=views.prior(),
            sharpness=self.sharpness,
            weight=self.weight * views.edge_similarity(),
            nearest=self.nearest,
            rounds=self.rounds,
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Logistic(AbstractMethod):
    """A logistic regression on each task's support."""

    strength: LearningRate = 10.0

    def evaluate(self, problem: Problem, seed: int, options: EvalOptions, trainer: None) -> Evaluations:
        """Return its evaluations."""
        from functools import partial

        from graphkit.meta import logistic_regression

        regression = partial(logistic_regression, strength=self.strength)
        again = partial(regression, calibrate=options.calibrate, balanced=options.balanced)
        after = again(problem.test) if options.calibrate else None
        validation = None if problem.validation is None else regression(problem.validation).mean
        return Evaluations(validation, regression(problem.test), after, 0)

    def make_learner(self, learnt: Learnt, channels: int, ways: int, known: Tensor) -> AbstractLearner:
        """Return the learner."""
        from graphkit.training.trained.logistic_learner import LogisticLearner

        return LogisticLearner(strength=self.strength)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Classifier(AbstractMethod):
    """A perceptron that told the training classes apart, then prototypes on its hidden layer, or steps on the support.

    Args:
        scale: length of a row.
        pretrained: whether it is trained on the training classes at all.
        adaptation: "prototypes" of the hidden layer, or "steps" of the whole model under a new head.
        hidden: width.
        epochs: of pre-training.
        inner_lr, inner_steps: of the steps on a support.
    """

    scale: LearningRate = 1.0
    pretrained: Switch = True
    adaptation: Literal["prototypes", "steps"] = "steps"
    hidden: Positive = 64
    epochs: Positive = 100
    inner_lr: LearningRate = 0.1
    inner_steps: Positive = 20

    @property
    def length(self) -> float:
        """Length of a row."""
        return self.scale

    def unused_fields(self) -> dict[str, str]:
        """Return what is not done: the training of the classifier, or the steps on a support."""
        found = {} if self.pretrained else {"epochs": "`pretrained` is false"}
        if self.adaptation == "prototypes":
            found |= dict.fromkeys(("inner_lr", "inner_steps"), "`adaptation` is 'prototypes'")
        return found

    @property
    def trained(self) -> bool:
        """Return whether it is trained at all."""
        return self.pretrained

    def start(self, problem: Problem, seed: int, world: World) -> PretrainingTrainer | None:
        """Return the training on the training classes; ``None`` where there is none."""
        from graphkit.training.fewshot.pretraining_trainer import PretrainingTrainer

        model, training = self._draw(problem, seed, world)
        if training is None:
            return None
        return PretrainingTrainer(training, self.epochs, problem.device, "a pre-training", whole=model)

    def evaluate(
        self, problem: Problem, seed: int, options: EvalOptions, trainer: PretrainingTrainer | None
    ) -> Evaluations:
        """Return its evaluations."""
        from graphkit.meta import MAML, PrototypicalNetwork

        model: Any
        if trainer is None:
            model, _ = self._draw(problem, seed, None)
        else:
            trainer.select()
            model = trainer.whole
        if self.adaptation == "prototypes":
            return evaluate_learner(PrototypicalNetwork(model[:-1]), problem, options)
        learner = MAML(model, inner_lr=self.inner_lr, inner_steps=self.inner_steps, order=1)
        return evaluate_learner(learner, problem, options, calibrated=False)

    @property
    def takes_steps(self) -> bool:
        """Whether it takes steps of the whole model."""
        return self.adaptation == "steps"

    def outputs(self, ways: int) -> int:
        """Return how many classes its head tells apart; 0 where prototypes do."""
        return ways if self.takes_steps else 0

    def learnt(self, problem: Problem, seed: int, trainer: PretrainingTrainer | None) -> Learnt:
        """Return the weights of the classifier, and of a task's head as it was drawn."""
        model: Any = self._draw(problem, seed, None)[0] if trainer is None else trainer.whole
        return Learnt(model.state_dict(), {})

    def make_learner(self, learnt: Learnt, channels: int, ways: int, known: Tensor) -> AbstractLearner:
        """Return the learner."""
        from torch import nn

        from graphkit.meta import MAML, PrototypicalNetwork

        model = nn.Sequential(nn.Linear(channels, self.hidden), nn.ReLU(), nn.Linear(self.hidden, ways))
        model.load_state_dict(learnt.weights)
        if self.adaptation == "prototypes":
            return PrototypicalNetwork(model[:-1])
        return MAML(model, inner_lr=self.inner_lr, inner_steps=self.inner_steps, order=1)

    def _draw(self, problem: Problem, seed: int, world: World | None) -> tuple[Any, ClassifierTraining | None]:
        """Return the model as it is drawn, its last layer the head of a task, and the training of all below that."""
        from torch import nn

        from graphkit.meta.baselines import SINGLE_PROCESS, ClassifierTraining
        from graphkit.training.engine.distributed import rng_seed

        training = None
        with rng_seed(seed):
            body = nn.Sequential(nn.Linear(problem.channels, self.hidden), nn.ReLU()).to(problem.device)
            if self.pretrained:
                training = ClassifierTraining(body, self.hidden, problem.sources, processes=world or SINGLE_PROCESS)
            head = nn.Linear(self.hidden, problem.ways)
        return nn.Sequential(*body, head).to(problem.device), training


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Whitened(AbstractMethod):
    """The nearest prototype by cosine, after the training classes were made round.

    Args:
        shrinkages: from weak to strong whitening; the one that does best on validation tasks is taken, the weaker of
            two that do as well.
    """

    shrinkages: tuple[LearningRate, ...] = (10.0, 3.0, 1.0, 0.3)

    @property
    def trained(self) -> bool:
        """Return true."""
        return True

    @property
    def selects(self) -> str:
        """Return how strong the whitening is."""
        return "shrinkage"

    def evaluate(self, problem: Problem, seed: int, options: EvalOptions, trainer: None) -> Evaluations:
        """Return its evaluations."""
        from graphkit.meta import PrototypicalNetwork

        return evaluate_learner(PrototypicalNetwork(self._whitening(problem)), problem, options)

    def learnt(self, problem: Problem, seed: int, trainer: None) -> Learnt:
        """Return the directions that are shrunk, and how much."""
        whitening = self._whitening(problem)
        return Learnt(whitening.state_dict(), {"shrinkage": whitening.shrinkage})

    def make_learner(self, learnt: Learnt, channels: int, ways: int, known: Tensor) -> AbstractLearner:
        """Return the learner."""
        from graphkit.meta import PrototypicalNetwork, WithinClassWhitening

        weights = learnt.weights
        return PrototypicalNetwork(
            WithinClassWhitening.of(weights["directions"], weights["share"], learnt.choices["shrinkage"])
        )

    def _whitening(self, problem: Problem) -> WithinClassWhitening:
        """Return the whitening that does best on validation tasks."""
        from graphkit.meta import PrototypicalNetwork, WithinClassWhitening, evaluate

        whitening = WithinClassWhitening(problem.sources)
        learner = PrototypicalNetwork(whitening)

        def validation(shrinkage: float) -> float:
            whitening.shrinkage = shrinkage
            return evaluate(learner, problem.selection).mean

        whitening.shrinkage = max(self.shrinkages, key=validation)
        return whitening


BASELINE_METHODS: dict[str, AbstractMethod] = {
    "prototypes-0": Prototypes(rows="features-0"),
    "prototypes-2": Prototypes(rows="features-2"),
    "prototypes-4": Prototypes(rows="features-4"),
    "prototypes-centred": Prototypes(rows="centred-4"),
    "prototypes-weighted": Prototypes(rows="weighted-4"),
    "prototypes-counts": Prototypes(rows="counts-2"),
    "prototypes-semi": SemiSupervised(rows=CHOSEN),
    "prototypes-whitened": Whitened(rows=CHOSEN),
    "ridge": Ridge(rows=CHOSEN),
    "ridge-semi": Ridge(rows=CHOSEN, unlabelled=True),
    "ridge-semi-chosen": Ridge(rows=CHOSEN, unlabelled=True, intercept="chosen"),
    "view-ridge": RidgeOnViews(),
    "logistic": Logistic(rows=CHOSEN),
    "random-start": Classifier(rows=CHOSEN, scale=36.0, pretrained=False),
    "fine-tuning": Classifier(rows=CHOSEN, scale=36.0),
    "transfer": Classifier(rows=CHOSEN, scale=36.0, adaptation="prototypes"),
}
"""Named baselines; :data:`graphkit.training.fewshot.METHODS` says how their fields were chosen."""

"""Objectives of embeddings: metric losses with labels, and self-supervised methods without."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from pydantic.dataclasses import dataclass

from graphkit.training.zoo.architecture import (
    STRICT,
    AbstractOptions,
    LearningRate,
    NonNegative,
    Positive,
    Rate,
    Switch,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphkit.contrastive import AbstractSelfSupervision, Augmentation, Diffusion
    from graphkit.metric import Telemetry
    from graphkit.metric.losses.abstract import AbstractCriterion
    from graphkit.training.classification.tasks import LabelledItems
    from graphkit.training.embedding.embedding_task import EmbeddingTask

Temperature: TypeAlias = LearningRate


class AbstractEmbeddingObjective(AbstractOptions, ABC):
    """What a step minimises. Those that use labels derive from ``AbstractLabelled``."""

    labelled: ClassVar[bool]
    """Whether it uses labels: one that does not sees every item in every step."""
    per_class: ClassVar[bool] = False
    """Whether an embedding has one number a class."""
    solved: ClassVar[bool] = False
    """Whether the encoder is solved for in closed form, an epoch being a solution and no step being taken."""

    @abstractmethod
    def wrap(self, encoder: nn.Module, channels: int) -> nn.Module:
        """Return what is trained: the freshly drawn encoder itself, or it within what the objective needs besides.

        Called as the encoder is, it embeds.
        """

    def encoder(self, module: nn.Module) -> Any:
        """Return the encoder in what :meth:`wrap` returned, here all of it."""
        return module

    @abstractmethod
    def report(self, z: Tensor, y: Tensor) -> Telemetry:
        """Return how labelled embeddings ``[items, dim]`` lie, and what a loss with labels still acts on."""

    @abstractmethod
    def loss(self, model: nn.Module, visible: EmbeddingTask, batch: LabelledItems) -> Tensor:
        """Return the loss of one step, a number.

        Args:
            model: in training mode.
            visible: ``visible.embed(model, index)`` embeds items, with another draw of its dropout each time.
            batch: the labelled items of the step.
        """

    @abstractmethod
    def after_step(self, model: nn.Module, progress: float) -> None:
        """Do what follows a step of the optimiser; ``progress`` goes from 0 to 1 over the epochs."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractLabelled(AbstractEmbeddingObjective):
    """A loss of labelled items; on request, views of all items that agree on their classes.

    Args:
        consistency: weight of the agreement of several views of all items, labelled or not; 0 for none.
        views: passes through the encoder in a step, with other nodes and values dropped in each.
        sharpening: how much of a decision the views are asked for; 1 none, towards 0 all.
    """

    labelled: ClassVar[bool] = True
    encoder_l2: ClassVar[float] = 1e-3
    """Weight decay of the encoder in the recipe of its name."""

    consistency: NonNegative = 1.0
    views: Positive = 2
    sharpening: Temperature = 0.5

    @abstractmethod
    def loss_of(self, found: Tensor, y: Tensor) -> Tensor:
        """Return the loss of what the encoder made of labelled items ``[items, dim]``, a number."""

    @abstractmethod
    def guesses(self, found: Tensor, known: Tensor, y: Tensor) -> Tensor:
        """Return probabilities of the classes ``[items, classes]``.

        Args:
            found: what the encoder made of items ``[items, dim]``.
            known, y: likewise of labelled ones, with their labels.
        """

    def unused_fields(self) -> dict[str, str]:
        """Return what only agreement of views asks for, where it has no weight."""
        return {} if self.consistency else {"sharpening": "`consistency` is 0"}

    def wrap(self, encoder: nn.Module, channels: int) -> nn.Module:
        """Return the encoder: nothing else is trained."""
        return encoder

    def after_step(self, model: nn.Module, progress: float) -> None:
        """Do nothing."""

    def loss(self, model: nn.Module, visible: EmbeddingTask, batch: LabelledItems) -> Tensor:
        """Return the mean loss over the views, and what they disagree on."""
        import torch

        from graphkit.metric.prototypes import consistency

        encoder = self.encoder(model)
        losses, guesses = [], []
        for _ in range(self.views):
            found = visible.embed(encoder, None if self.consistency else batch.index)
            if not bool(found.isfinite().all()):
                return found.sum()  # a loss would refuse it as a wrong argument; here it is the run that went wrong
            z = found[batch.index] if self.consistency else found
            if self.consistency:
                guesses.append(self.guesses(found[visible.visible_items], z, batch.y))
            losses.append(self.loss_of(z, batch.y))
        total = torch.stack(losses).mean()
        return total + self.consistency * consistency(guesses, sharpening=self.sharpening) if guesses else total


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractMetricLoss(AbstractLabelled):
    """A metric loss; classes are guessed by the nearest prototypes.

    Args:
        unit: scale embeddings to length 1 before the loss, which gives a margin its meaning.
        temperature: of the items' guesses between the prototypes.
    """

    unit: Switch = True
    temperature: Temperature = 0.2

    @abstractmethod
    def criterion(self) -> AbstractCriterion:
        """Return the loss of embeddings and labels."""

    def unused_fields(self) -> dict[str, str]:
        """Return what only agreement of views asks for, where it has no weight."""
        return super().unused_fields() | ({} if self.consistency else {"temperature": "`consistency` is 0"})

    def report(self, z: Tensor, y: Tensor) -> Telemetry:
        """Return the criterion's report, of embeddings as it is given them."""
        return self.criterion().report(self._scale(z), y)

    def loss_of(self, found: Tensor, y: Tensor) -> Tensor:
        """Return the criterion's loss."""
        return self.criterion()(self._scale(found), y)

    def guesses(self, found: Tensor, known: Tensor, y: Tensor) -> Tensor:
        """Return a softmax over the prototypes of the known items."""
        from graphkit.metric.prototypes import class_prototypes

        return class_prototypes(known, y).logits(found, self.temperature).softmax(-1)

    def _scale(self, z: Tensor) -> Tensor:
        """Return embeddings as the loss takes them."""
        from graphkit.metric.distances import normalize_rows

        return normalize_rows(z) if self.unit else z


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Contrastive(AbstractMetricLoss):
    """Pairs of a class are pulled together, others pushed beyond a margin.

    Source: Hadsell, Chopra & LeCun (2006), "Dimensionality reduction by learning an invariant mapping".
    """

    encoder_l2: ClassVar[float] = 2e-4

    margin: NonNegative = 1.4
    positive_margin: NonNegative = 0.0
    consistency: NonNegative = 0.1

    def criterion(self) -> AbstractCriterion:
        """Return the loss over all pairs."""
        from graphkit.metric import ContrastiveLoss

        return ContrastiveLoss(self.margin, positive_margin=self.positive_margin)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Triplet(AbstractMetricLoss):
    """An item lies nearer to its class than to others, by a margin.

    Args:
        margin: by which.
        soft: take the logarithm of one and the exponential in place of the hinge.
        mining: which triplets: all, each item's hardest, or for each pair the nearest farther one, or one drawn so that
            all distances are seen alike.

    Source: Schroff, Kalenichenko & Philbin (2015), arXiv:1503.03832.
    """

    margin: NonNegative = 0.5
    consistency: NonNegative = 0.3
    soft: Switch = False
    mining: Literal["all", "hard", "semi-hard", "distance-weighted"] = "all"

    def criterion(self) -> AbstractCriterion:
        """Return the loss over all triplets, or those of the miner."""
        from graphkit.metric import BatchHardMiner, DistanceWeightedMiner, SemiHardMiner, TripletLoss

        miners = {
            "all": None,
            "hard": BatchHardMiner(),
            "semi-hard": SemiHardMiner(self.margin),
            "distance-weighted": DistanceWeightedMiner(),
        }
        return TripletLoss(self.margin, soft=self.soft, miner=miners[self.mining])


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Quadruplet(AbstractMetricLoss):
    """As triplets, and any pair of a class nearer than any pair of two others.

    Source: Chen et al. (2017), arXiv:1704.01719.
    """

    margin1: NonNegative = 0.5
    margin2: NonNegative = 0.5

    def criterion(self) -> AbstractCriterion:
        """Return the loss over all quadruplets."""
        from graphkit.metric import QuadrupletLoss

        return QuadrupletLoss(self.margin1, self.margin2)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SupCon(AbstractMetricLoss):
    """Supervised contrastive: a softmax over all other items, in which those of the class share the mass.

    Source: Khosla et al. (2020), arXiv:2004.11362.
    """

    tau: Temperature = 0.3

    def criterion(self) -> AbstractCriterion:
        """Return the loss over all items."""
        from graphkit.metric import SupervisedContrastiveLoss

        return SupervisedContrastiveLoss(self.tau)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MultiSimilarity(AbstractMetricLoss):
    """Pairs weighed by their likeness and by that of their anchor's other pairs.

    Source: Wang et al. (2019), arXiv:1904.06627.
    """

    alpha: Temperature = 2.0
    beta: Temperature = 10.0
    base: NonNegative = 0.5

    def criterion(self) -> AbstractCriterion:
        """Return the loss over all pairs."""
        from graphkit.metric import MultiSimilarityLoss

        return MultiSimilarityLoss(self.alpha, self.beta, base=self.base)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Circle(AbstractMetricLoss):
    """Pairs pulled and pushed by how far each is from its optimum.

    Source: Sun et al. (2020), arXiv:2002.10857.
    """

    margin: NonNegative = 0.25
    scale: Temperature = 8.0

    def criterion(self) -> AbstractCriterion:
        """Return the loss over all pairs."""
        from graphkit.metric import CircleLoss

        return CircleLoss(self.margin, scale=self.scale)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Prototype(AbstractMetricLoss):
    """A softmax over the means of the classes, at ``temperature``.

    Source: Snell, Swersky & Zemel (2017), arXiv:1703.05175.
    """

    def criterion(self) -> AbstractCriterion:
        """Return the cross-entropy with the prototypes."""
        from graphkit.metric.prototypes import PrototypeLoss

        return PrototypeLoss(self.temperature)

    def unused_fields(self) -> dict[str, str]:
        """Return what only agreement of views asks for, where it has no weight."""
        return {name: why for name, why in super().unused_fields().items() if name != "temperature"}


class AbstractPerClass(AbstractEmbeddingObjective):
    """Probabilities of the classes, less their mean, are the embedding: one number a class."""

    per_class: ClassVar[bool] = True

    def wrap(self, encoder: nn.Module, channels: int) -> nn.Module:
        """Return the encoder, whose outputs are logits, and what makes an embedding of them."""
        from graphkit.nn.class_probabilities import ClassProbabilities

        return ClassProbabilities(encoder)

    def encoder(self, module: Any) -> Any:
        """Return what gives the logits."""
        return module.encoder

    def report(self, z: Tensor, y: Tensor) -> Telemetry:
        """Return how classes lie, by direction."""
        from graphkit.metric import telemetry
        from graphkit.metric.distances import normalize_rows

        return telemetry(normalize_rows(z), y)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Softmax(AbstractPerClass, AbstractLabelled):
    """A classifier's cross-entropy; its probabilities, less their mean, are the embedding.

    Source: Zhai & Wu (2019), arXiv:1811.12649, for classification as metric learning.
    """

    def loss_of(self, found: Tensor, y: Tensor) -> Tensor:
        """Return the mean cross-entropy of logits."""
        import torch.nn.functional as F

        return F.cross_entropy(found, y)

    def guesses(self, found: Tensor, known: Tensor, y: Tensor) -> Tensor:
        """Return the probabilities."""
        return found.softmax(-1)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RidgeObjective(AbstractPerClass):
    """A classifier solved for by ridge regression on views of the graph; its probabilities are the embedding.

    No step is taken: an epoch is a solution, as of :class:`graphkit.nn.view_models.ViewRegression`.
    """

    labelled: ClassVar[bool] = True
    solved: ClassVar[bool] = True

    def loss(self, model: nn.Module, visible: EmbeddingTask, batch: LabelledItems) -> Tensor:
        """Return the mean cross-entropy of logits."""
        import torch.nn.functional as F

        return F.cross_entropy(visible.embed(self.encoder(model), batch.index), batch.y)

    def after_step(self, model: nn.Module, progress: float) -> None:
        """Do nothing."""


class AbstractSelfSupervised(AbstractEmbeddingObjective):
    """What views of a graph, or of its nodes, are to agree on. Those that are one supply :meth:`wrap`."""

    labelled: ClassVar[bool] = False

    @abstractmethod
    def wrap(self, encoder: nn.Module, channels: int) -> AbstractSelfSupervision:
        """Return the method around a freshly drawn encoder with ``channels`` outputs."""

    def encoder(self, module: Any) -> Any:
        """Return the encoder in a method."""
        return module.encoder

    def loss(self, model: Any, visible: EmbeddingTask, batch: LabelledItems) -> Tensor:
        """Return the loss on views of what may be seen, drawn by the process's own generator."""
        import torch

        return model.loss(visible.view, torch.default_generator)

    def report(self, z: Tensor, y: Tensor) -> Telemetry:
        """Return how classes lie that the loss knows nothing of, by direction."""
        from graphkit.metric import telemetry
        from graphkit.metric.distances import normalize_rows

        return telemetry(normalize_rows(z), y)

    def after_step(self, model: Any, progress: float) -> None:
        """Let the method do what follows a step."""
        model.after_step(progress)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CCASSGObjective(AbstractSelfSupervised):
    """Two views agree node by node, and their channels are uncorrelated: :class:`graphkit.contrastive.CCASSG`."""

    edge_drop: Rate = 0.4
    feature_mask: Rate = 0.1
    decorrelation: NonNegative = 1e-3

    def wrap(self, encoder: nn.Module, channels: int) -> AbstractSelfSupervision:
        """Return the method."""
        from graphkit import contrastive

        views = contrastive.Augmentation(edge_drop=self.edge_drop, feature_mask=self.feature_mask)
        return contrastive.CCASSG(encoder, views, decorrelation=self.decorrelation)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DGIObjective(AbstractSelfSupervised):
    """Nodes of the graph are told from those of a shuffled one: :class:`graphkit.contrastive.DGI`."""

    def wrap(self, encoder: nn.Module, channels: int) -> AbstractSelfSupervision:
        """Return the method."""
        from graphkit import contrastive

        return contrastive.DGI(encoder, channels)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractTwoViews(AbstractSelfSupervised):
    """Methods whose two views are drawn differently.

    Args:
        edge_drop_1, edge_drop_2: probability that an edge is dropped from the first, the second view.
        feature_mask_1, feature_mask_2: probability that a column of the features is zeroed.
        teleport: the second view is drawn from the graph of personalised PageRank with this chance of a restart; 0
            draws it from the edges as they are.
    """

    edge_drop_1: Rate
    edge_drop_2: Rate
    feature_mask_1: Rate
    feature_mask_2: Rate
    teleport: Rate = 0.0

    def views(self) -> tuple[Augmentation, Augmentation | Diffusion]:
        """Return what draws the first view and what draws the second."""
        from graphkit.contrastive import Augmentation, Diffusion

        first = Augmentation(edge_drop=self.edge_drop_1, feature_mask=self.feature_mask_1)
        second = Augmentation(edge_drop=self.edge_drop_2, feature_mask=self.feature_mask_2)
        return first, Diffusion(teleport=self.teleport, then=second) if self.teleport else second


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GRACEObjective(AbstractTwoViews):
    """A node against all others in two views, behind a projector: :class:`graphkit.contrastive.GRACE`."""

    edge_drop_1: Rate = 0.2
    edge_drop_2: Rate = 0.4
    feature_mask_1: Rate = 0.3
    feature_mask_2: Rate = 0.4
    tau: LearningRate = 0.4
    projector: Positive = 128

    def wrap(self, encoder: nn.Module, channels: int) -> AbstractSelfSupervision:
        """Return the method."""
        from graphkit import contrastive

        first, second = self.views()
        return contrastive.GRACE(
            encoder, channels, first=first, second=second, temperature=self.tau, projector_channels=self.projector
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BGRLObjective(AbstractTwoViews):
    """One view predicts what a slow copy of the encoder makes of the other: :class:`graphkit.contrastive.BGRL`."""

    edge_drop_1: Rate = 0.2
    edge_drop_2: Rate = 0.4
    feature_mask_1: Rate = 0.3
    feature_mask_2: Rate = 0.4
    momentum: Rate = 0.99
    predictor: Positive = 512

    def wrap(self, encoder: nn.Module, channels: int) -> AbstractSelfSupervision:
        """Return the method."""
        from graphkit import contrastive

        first, second = self.views()
        return contrastive.BGRL(
            encoder,
            channels,
            first=first,
            second=second,
            momentum=self.momentum,
            predictor_channels=self.predictor,
        )

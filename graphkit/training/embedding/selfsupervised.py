"""Objectives without labels, as frozen data: a method of ``graphkit.contrastive`` around the encoder."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic.dataclasses import dataclass

from graphkit.training.embedding.embedding_objectives import AbstractEmbeddingObjective
from graphkit.training.zoo.architecture import STRICT, LearningRate, NonNegative, Positive, Rate

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphkit.contrastive import AbstractSelfSupervision, Augmentation, Diffusion
    from graphkit.metric import Telemetry
    from graphkit.training.classification.tasks import LabelledItems
    from graphkit.training.embedding.embedding_task import EmbeddingTask


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

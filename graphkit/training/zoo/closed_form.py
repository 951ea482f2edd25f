"""Architectures that are solved for: one call fits all weights, and no step of an optimiser is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic.dataclasses import dataclass

from graphkit.training.zoo.architecture import STRICT, AbstractArchitecture, EdgeWeights, LearningRate, Positive

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ViewMixture(AbstractArchitecture):
    """Ridge regression on several views of the graph: mixed, all together, or the most useful few, an epoch each.

    The first epoch is the mixture, the second the joint fit of all, and the k-th that of k - 1 views. ``width`` are the
    directions along which features are seen, ``hops`` the steps of the longest average, and ``sharpness`` is how far
    the leave-one-out error lets one view outweigh another in the mixture.

    Source: Zhao et al. (2024), arXiv:2405.20445, for least squares on views of a graph; Allen (1974), Technometrics
    16(1), for leave-one-out errors.
    """

    edge_weights: ClassVar[EdgeWeights] = "used"
    solved: ClassVar[bool] = True

    width: Positive = 256
    hops: Positive = 16
    sharpness: LearningRate = 0.2

    def unused_fields(self) -> dict[str, str]:
        """Return what only layers have."""
        return dict.fromkeys(("hidden", "dropout"), "it has no layers")

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return the edges and their weights."""
        return edge_index, edge_weight

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the model, its weights drawn."""
        from graphkit.nn.view_models import RidgeMixture

        return RidgeMixture(in_channels, out_channels, width=self.width, hops=self.hops)

"""Architectures that are solved for: one call fits all weights, and no step of an optimiser is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic.dataclasses import dataclass

from graphkit.training.zoo.architecture import (
    STRICT,
    AbstractArchitecture,
    Count,
    EdgeWeights,
    Items,
    LearningRate,
    Positive,
)

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

    def solver(self, module: Any, task: Any) -> Any:
        """Return ridge regression on the training nodes."""
        from graphkit.nn.view_models import ViewRegression

        target, train = task.objective.target, task.train

        def loss(outputs: Tensor, rows: Tensor, columns: Tensor) -> Any:
            y = train.y[rows] if train.y.dim() == 1 else train.y[rows][:, columns]
            return target.loss(outputs, y)

        return ViewRegression(
            module,
            task.x,
            *task.graph,
            index=train.index,
            targets=target.regression_targets(train.y),
            loss=None if target.kind == "numbers" else loss,
            sharpness=self.sharpness,
        )

    def solutions(self, module: Any) -> int:
        """Return the mixture, and a joint fit of each number of views."""
        return len(module.views) + 1


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CountForest(AbstractArchitecture):
    """A random forest on counts of Weisfeiler and Leman's colours, and on sizes, features and degrees of each graph.

    The k-th epoch is a forest that looks at k - 1 rounds of refinement, to at most ``rounds``. Counts of all rounds
    share ``columns``, as those of a fingerprint do; there are ``trees``, with ``leaf`` training graphs in a leaf at
    least.

    Source: Shervashidze et al. (2011), JMLR 12; Breiman (2001), "Random forests".
    """

    edge_weights: ClassVar[EdgeWeights] = "ignored"
    edge_features: ClassVar[bool] = True
    items: ClassVar[Items] = "graphs"
    solved: ClassVar[bool] = True
    traced: ClassVar[bool] = False

    rounds: Count = 3
    columns: Positive = 2048
    trees: Positive = 300
    leaf: Positive = 1

    def unused_fields(self) -> dict[str, str]:
        """Return what only layers have."""
        return dict.fromkeys(("hidden", "dropout"), "it has no layers")

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return nothing: graphs come in batches."""
        return ()

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the model, without trees."""
        from graphkit.nn.wl_forest import WLForest

        return WLForest(out_channels, rounds=self.rounds, columns=self.columns)

    def solver(self, module: Any, task: Any) -> Any:
        """Return what grows the trees on the training graphs."""
        from graphkit.nn.wl_forest import ForestFit

        target, train = task.objective.target, task.train
        return ForestFit(
            module,
            lambda: task.map_graphs(module.rows, train.index),
            target.regression_targets(train.y) if target.kind == "numbers" else train.y,
            target.kind,
            trees=self.trees,
            leaf=self.leaf,
        )

    def solutions(self, module: Any) -> int:
        """Return one for each number of rounds, none among them."""
        return self.rounds + 1

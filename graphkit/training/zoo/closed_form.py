"""Architectures that are solved for: one call fits all weights, and no step of an optimiser is taken."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field
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

    from graphkit.nn.estimators import AbstractEstimator
    from graphkit.nn.graph_features import AbstractGraphFeatures


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


UNASKED = 10_000
"""Graphs of a set up to which such models are fitted where nobody asked for them: of more a forest takes minutes."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractGraphFeatureModel(AbstractArchitecture):
    """An estimator on features of whole graphs that take no training: each variant of either makes a solution."""

    edge_weights: ClassVar[EdgeWeights] = "ignored"
    edge_features: ClassVar[bool] = True
    items: ClassVar[Items] = "graphs"
    solved: ClassVar[bool] = True

    @abstractmethod
    def features(self) -> AbstractGraphFeatures:
        """Return what makes the features."""

    @abstractmethod
    def estimator(self, outputs: int) -> AbstractEstimator:
        """Return what is fitted to them."""

    @property
    def untraced(self) -> str:
        """That it counts."""
        return "it counts what it finds in a graph"

    def unused_fields(self) -> dict[str, str]:
        """Return what only layers have."""
        return dict.fromkeys(("hidden", "dropout"), "it has no layers")

    def graph(self, edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Any, ...]:
        """Return nothing: graphs come in batches."""
        return ()

    def module(self, in_channels: int, out_channels: int, graph: tuple[Any, ...]) -> nn.Module:
        """Return the model, not fitted yet."""
        from graphkit.nn.graph_features import GraphFeatureModel

        return GraphFeatureModel(self.features(), self.estimator(out_channels))

    def solver(self, module: Any, task: Any) -> Any:
        """Return what fits the estimator to the training graphs."""
        return _GraphSolver(module, task)

    def solutions(self, module: Any) -> int:
        """Return one for each variant of the features with each of the estimator."""
        return int(module.solutions)

    def fit_best(self, module: Any, task: Any) -> None:
        """Give a module the solution that validation graphs choose, of equal ones the first."""
        import torch

        solver, objective, validation = self.solver(module, task), task.objective, task.validation
        found: list[tuple[float, dict[str, Any]]] = []
        with torch.no_grad():
            for number in range(1, self.solutions(module) + 1):
                solver.solve(number)
                figure = float(objective.figure(task.map_graphs(module, validation.index), validation.y))
                found.append(
                    (objective.sign * figure, {name: value.clone() for name, value in module.state_dict().items()})
                )
        module.load_state_dict(max(found, key=lambda each: each[0])[1])


class _GraphSolver:
    """Fits the estimator of a model to the training graphs of a task."""

    def __init__(self, module: Any, task: Any) -> None:
        self._module, self._task = module, task
        target, y = task.objective.target, task.train.y
        self._targets = (target.regression_targets(y) if target.kind == "numbers" else y), target.kind

    def solve(self, number: int) -> None:
        """Fit it in one of its ways."""
        self._module.solve(
            number, lambda: self._task.map_graphs(self._module.rows, self._task.train.index), *self._targets
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AbstractGraphForest(AbstractGraphFeatureModel):
    """A random forest on features of whole graphs: ``trees``, with ``leaf`` training graphs in a leaf at least."""

    trees: Positive = 300
    leaf: Positive = 1

    def estimator(self, outputs: int) -> AbstractEstimator:
        """Return a forest without trees."""
        from graphkit.nn.estimators import Forest

        return Forest(outputs, trees=self.trees, leaf=self.leaf)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CountForest(AbstractGraphForest):
    """A random forest on counts of Weisfeiler and Leman's colours, and on sizes, features and degrees of each graph.

    The k-th epoch is a forest that looks at k - 1 rounds of refinement, to at most ``rounds``. Counts of all rounds
    share ``columns``, as those of a fingerprint do.

    Source: Shervashidze et al. (2011), JMLR 12; Breiman (2001), "Random forests".
    """

    rounds: Count = 3
    columns: Positive = 2048

    def features(self) -> AbstractGraphFeatures:
        """Return counts of colours."""
        from graphkit.nn.graph_features import ColourCounts

        return ColourCounts(rounds=self.rounds, columns=self.columns)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FingerprintForest(AbstractGraphForest):
    """A random forest on Morgan's fingerprints of molecules, of ``radius`` bonds, in ``columns``.

    The first epoch looks at counts, the second at what there is any of; it needs rdkit.

    Source: Rogers & Hahn (2010), "Extended-connectivity fingerprints"; Breiman (2001), "Random forests".
    """

    radius: Count = 2
    columns: Positive = 2048

    @property
    def molecules(self) -> bool:
        """Whether it is for molecules alone: it is."""
        return True

    def features(self) -> AbstractGraphFeatures:
        """Return fingerprints."""
        from graphkit.nn.graph_features import Fingerprints

        return Fingerprints(radius=self.radius, columns=self.columns)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DescriptorProcess(AbstractGraphFeatureModel):
    """A Gaussian process on rdkit's descriptors of molecules, of which at most ``most`` are kept.

    The first epoch has a smooth kernel, the second one beside a linear one; it needs rdkit.

    Source: Rasmussen & Williams (2006), "Gaussian processes for machine learning".
    """

    most: Annotated[Positive, Field(ge=2)] = 5000

    @property
    def molecules(self) -> bool:
        """Whether it is for molecules alone: it is."""
        return True

    def features(self) -> AbstractGraphFeatures:
        """Return descriptors."""
        from graphkit.nn.graph_features import Descriptors

        return Descriptors()

    def estimator(self, outputs: int) -> AbstractEstimator:
        """Return a process that knows nothing."""
        from graphkit.nn.estimators import GaussianProcess

        return GaussianProcess(outputs, most=self.most)

"""Who hears of progress: the library itself prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from graphkit.training.embedding.fit import EmbeddingEpoch
    from graphkit.training.embedding.results import EmbeddingResult
    from graphkit.training.fit import Epoch
    from graphkit.training.results import SeedResult


class Reporter(Protocol):
    """Called by the loop between epochs; an exception raised here stops the run at a point it can resume from.

    What it hears of is a named tuple whose first field is its ``number``, and a result with ``seed``, ``selected`` and
    ``logged``, whatever is trained.
    """

    def epoch(self, seed: int, epoch: Epoch | EmbeddingEpoch, best: Epoch | EmbeddingEpoch) -> None:
        """Hear the figures of one epoch, and of the best one so far."""

    def seed(self, result: SeedResult | EmbeddingResult) -> None:
        """Hear that a seed is finished."""


class Silence:
    """A reporter that says nothing."""

    def epoch(self, seed: int, epoch: Epoch | EmbeddingEpoch, best: Epoch | EmbeddingEpoch) -> None:
        """Say nothing."""

    def seed(self, result: SeedResult | EmbeddingResult) -> None:
        """Say nothing."""


class LoggerReporter:
    """A reporter that hands every figure to a Lightning Fabric logger (CSV, TensorBoard, ...).

    Args:
        logger: any object with ``log_metrics(metrics, step)``.
    """

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def epoch(self, seed: int, epoch: Epoch | EmbeddingEpoch, best: Epoch | EmbeddingEpoch) -> None:
        """Log the figures of one epoch under the seed's name."""
        measured = {name: value for name, value in epoch._asdict().items() if name != "number" and value is not None}
        self.logger.log_metrics({f"seed-{seed}/{name}": value for name, value in measured.items()}, epoch.number)

    def seed(self, result: SeedResult | EmbeddingResult) -> None:
        """Log the figures of a finished seed under their names."""
        figures = {f"seed-{result.seed}/{name}": value for name, value in result.logged().items()}
        self.logger.log_metrics(figures, result.selected)

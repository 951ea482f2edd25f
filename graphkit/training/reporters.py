"""Who hears of progress: the library itself prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from graphkit.training.fit import Epoch
    from graphkit.training.results import SeedResult


class Reporter(Protocol):
    """Called by the loop between epochs; an exception raised here stops the run at a point it can resume from."""

    def epoch(self, seed: int, epoch: Epoch, best: Epoch) -> None:
        """Hear the figures of one epoch, and of the best one so far."""

    def seed(self, result: SeedResult) -> None:
        """Hear that a seed is finished."""


class Silence:
    """A reporter that says nothing."""

    def epoch(self, seed: int, epoch: Epoch, best: Epoch) -> None:
        """Say nothing."""

    def seed(self, result: SeedResult) -> None:
        """Say nothing."""


class LoggerReporter:
    """A reporter that hands every figure to a Lightning Fabric logger (CSV, TensorBoard, ...).

    Args:
        logger: any object with ``log_metrics(metrics, step)``.
    """

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def epoch(self, seed: int, epoch: Epoch, best: Epoch) -> None:
        """Log the figures of one epoch under the seed's name."""
        figures = {f"seed-{seed}/{name}": value for name, value in epoch._asdict().items() if name != "number"}
        self.logger.log_metrics(figures, epoch.number)

    def seed(self, result: SeedResult) -> None:
        """Log the test accuracy of a finished seed."""
        self.logger.log_metrics({f"seed-{result.seed}/test_accuracy": result.test}, result.selected)

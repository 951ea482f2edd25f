"""Reporters: who hears of progress. The library itself prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from graphkit.training.engine.records import Unit, UnitResult


class Reporter(Protocol):
    """Called by the engine; a ``KeyboardInterrupt`` raised here stops the run at a point it can resume from.

    The figures of an epoch are a named tuple whose first field is its ``number``; a result has ``scalars``, whatever
    the study.
    """

    def on_epoch(self, unit: Unit, epoch: Any, best: Any) -> None:
        """Hear the figures of one epoch of a unit, and of the best one so far."""

    def on_unit(self, unit: Unit, result: UnitResult) -> None:
        """Hear what a unit came to."""


class Silence:
    """A reporter that says nothing."""

    def on_epoch(self, unit: Unit, epoch: Any, best: Any) -> None:
        """Say nothing."""

    def on_unit(self, unit: Unit, result: UnitResult) -> None:
        """Say nothing."""


class LoggerReporter:
    """A reporter that hands every figure to a Lightning Fabric logger (CSV, TensorBoard, ...), of any study.

    Args:
        logger: any object with ``log_metrics(metrics, step)``.
    """

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def on_epoch(self, unit: Unit, epoch: Any, best: Any) -> None:
        """Log the figures of one epoch under the unit's name."""
        measured = {name: value for name, value in epoch._asdict().items() if name != "number" and value is not None}
        self.logger.log_metrics({f"{unit.key}/{name}": value for name, value in measured.items()}, epoch.number)

    def on_unit(self, unit: Unit, result: UnitResult) -> None:
        """Log the figures of a finished unit under their names, at its selected epoch."""
        figures = {f"{unit.key}/{name}": value for name, value in result.scalars().items()}
        self.logger.log_metrics(figures, result.selected)


class Several:
    """A reporter that hands everything on to several.

    Args:
        reporters: in the order in which they hear.
    """

    def __init__(self, *reporters: Reporter) -> None:
        self.reporters = reporters

    def on_epoch(self, unit: Unit, epoch: Any, best: Any) -> None:
        """Tell all of them."""
        for each in self.reporters:
            each.on_epoch(unit, epoch, best)

    def on_unit(self, unit: Unit, result: UnitResult) -> None:
        """Tell all of them."""
        for each in self.reporters:
            each.on_unit(unit, result)


SILENCE = Silence()

"""Runs that are stopped half-way, as Ctrl-C would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class StopAfter:
    """A reporter that stops the run after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.left = epochs

    def on_epoch(self, unit: Any, epoch: Any, best: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    def on_unit(self, unit: Any, result: Any) -> None:
        pass


class Meanwhile(StopAfter):
    """Does something during the first epoch, and stops after it."""

    def __init__(self, what: Callable[[], Any]) -> None:
        super().__init__(1)
        self.what = what

    def on_epoch(self, unit: Any, epoch: Any, best: Any) -> None:
        self.what()
        super().on_epoch(unit, epoch, best)

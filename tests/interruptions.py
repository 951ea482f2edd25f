"""Runs that are stopped half-way, as Ctrl-C would."""

from __future__ import annotations

from typing import Any


class StopAfter:
    """A reporter that stops the run after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.left = epochs

    def epoch(self, seed: int, epoch: Any, best: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    def seed(self, result: Any) -> None:
        pass

"""What one seed of a study came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphkit.training.fit import Epoch


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """What one seed came to.

    Args:
        seed: drew the weights and the dropout.
        validation: the figure on the validation items at the selected epoch.
        test: the figure on the test items with that epoch's weights.
        selected: the selected epoch, from 1.
        history: the figures of all epochs.
        seconds: training time.
        name: of the figure.
    """

    seed: int
    validation: float
    test: float
    selected: int
    history: tuple[Epoch, ...]
    seconds: float
    name: str = "accuracy"

    def logged(self) -> dict[str, float]:
        """Return the figures of the test items by name."""
        return {f"test_{self.name}": self.test}

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers and tuples, for a checkpoint."""
        return {**vars(self), "history": [tuple(epoch) for epoch in self.history]}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> SeedResult:
        """Return what :meth:`as_dict` wrote."""
        return cls(**{**fields, "history": tuple(Epoch(*figures) for figures in fields["history"])})

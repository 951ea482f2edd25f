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
        validation: accuracy on the validation nodes at the selected epoch.
        test: accuracy on the test nodes with that epoch's weights.
        selected: the selected epoch, from 1.
        history: the figures of all epochs.
        seconds: training time.
    """

    seed: int
    validation: float
    test: float
    selected: int
    history: tuple[Epoch, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers and tuples, for a checkpoint."""
        return {**vars(self), "history": [tuple(epoch) for epoch in self.history]}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> SeedResult:
        """Return what :meth:`as_dict` wrote."""
        return cls(**{**fields, "history": tuple(Epoch(*figures) for figures in fields["history"])})

"""What every forecaster has: moments that it looks at, and forecasts of those that come."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphkit import _checks
from graphkit.nn.fused import AbstractModel


class AbstractForecaster(AbstractModel):
    """What says, of some moments, what comes after them.

    Args:
        length: moments that it looks at, at least 1.
        horizon: moments that it forecasts, at least 1.
    """

    entries: ClassVar[int] = 2**24
    """Numbers of windows that are taken from signals at a time, where all moments are forecast from."""

    def __init__(self, length: int, horizon: int) -> None:
        super().__init__()
        self.length = _checks.at_least("length", length, 1)
        self.horizon = _checks.at_least("horizon", horizon, 1)

    @property
    def first(self) -> Any:
        """The module whose parameters alone are decayed where a recipe says "first": all there is."""
        return self

    @abstractmethod
    def forward(self, seen: Tensor, clock: Tensor | None = None, *graph: Any) -> Tensor:
        """Return what comes after ``seen [moments, length, nodes, features]``, NaN where nothing was measured.

        Args:
            seen: as above.
            clock: where the last moment of each stands in day, week and year, ``[moments, columns]``.
            graph: edges and weights, or what was prepared from them.

        Returns:
            forecasts ``[moments, horizon, nodes, features]``.
        """

    def forecast(self, signals: Tensor, clock: Tensor | None = None, *graph: Any) -> Tensor:
        """Return what comes after each moment that has ``length - 1`` before it; nothing later is seen.

        Args:
            signals: ``[time, nodes, features]``.
            clock: ``[time, columns]``.
            graph: as for :meth:`forward`.

        Returns:
            forecasts ``[time - length + 1, horizon, nodes, features]``.

        Raises:
            ValueError: for fewer moments than it looks at.
        """
        parts = []
        for begin, windows in self._windows(signals):
            ends = slice(begin + self.length - 1, begin + self.length - 1 + len(windows))
            parts.append(self(windows, None if clock is None else clock[ends], *graph))
        return torch.cat(parts)

    def _windows(self, signals: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield the first moment and the windows of some moments at a time, ``[moments, length, nodes, columns]``."""
        if signals.dim() != 3 or len(signals) < self.length:
            raise ValueError(
                f"`signals` must have shape [time, nodes, features] with {self.length:,} moments at least, got "
                f"{list(signals.shape)}."
            )
        seen = signals.unfold(0, self.length, 1).permute(0, 3, 1, 2)
        block = max(1, self.entries // max(1, seen[0].numel()))
        for begin in range(0, len(seen), block):
            yield begin, seen[begin : begin + block]

"""Forecasts for which nothing is learnt: the last value, the mean of the last ones, the same time of a period ago."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from graphkit import _checks
from graphkit.nn.temporal.abstract_forecaster import AbstractForecaster


class AbstractRule(AbstractForecaster):
    """A rule of what is seen; where nothing was measured, the mean of all that was stands in.

    Args:
        length, horizon: as of every forecaster.
        features: of a node.
    """

    usual: Tensor

    def __init__(self, length: int, horizon: int, features: int = 1) -> None:
        super().__init__(length, horizon)
        self.register_buffer("usual", torch.zeros(_checks.at_least("features", features, 1)))

    def fit_scale(self, signals: Tensor) -> None:
        """Take the mean of each feature of ``signals [time, nodes, features]``."""
        self.usual.copy_(signals.double().nanmean((0, 1)).nan_to_num(0.0))

    def forward(self, seen: Tensor, clock: Tensor | None = None, *graph: Any) -> Tensor:
        """Return what the rule says."""
        found = self.apply_rule(seen)
        return torch.where(found.isnan(), self.usual.to(found.dtype), found)

    @abstractmethod
    def apply_rule(self, seen: Tensor) -> Tensor:
        """Return forecasts ``[moments, horizon, nodes, features]``, NaN where the rule has none."""


def last_measured(seen: Tensor) -> Tensor:
    """Return the last number that was measured, ``[moments, 1, nodes, features]``, NaN where none was."""
    there = ~seen.isnan()
    place = (there * torch.arange(1, seen.size(1) + 1, device=seen.device)[:, None, None]).argmax(1, keepdim=True)
    return seen.gather(1, place)


class LastValue(AbstractRule):
    """The last number that was measured.

    Example:
        >>> LastValue(2, 2)(torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)).flatten().tolist()
        [5.0, 5.0]
    """

    def apply_rule(self, seen: Tensor) -> Tensor:
        """Return it for each moment ahead."""
        return last_measured(seen).expand(-1, self.horizon, -1, -1)


class WindowMean(AbstractRule):
    """The mean of the last ``length`` moments, of what was measured.

    Example:
        >>> WindowMean(2, 1)(torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)).item()
        4.0
    """

    def apply_rule(self, seen: Tensor) -> Tensor:
        """Return it for each moment ahead."""
        return seen.nanmean(1, keepdim=True).expand(-1, self.horizon, -1, -1)


class LastPeriod(AbstractRule):
    """What was there at the same time of the last period, such as a day or a week, that is over: ``length`` moments.

    Where nothing was measured then, what was measured last stands in.

    Example:
        >>> LastPeriod(2, 3)(torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)).flatten().tolist()
        [3.0, 5.0, 3.0]
    """

    def apply_rule(self, seen: Tensor) -> Tensor:
        """Return it for each moment ahead."""
        found = seen[:, torch.arange(self.horizon, device=seen.device) % self.length]
        return torch.where(found.isnan(), last_measured(seen), found)

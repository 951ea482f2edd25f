"""Figures of forecasts for each horizon: of all moments up to it together, and of the one moment alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

NAMES = ("rmse", "mae", "mape", "correlation")
"""What is measured: root of the mean square error, mean error, mean share of what came, where that is not 0, and
Pearson's correlation."""

WAYS = ("to", "at")
"""Whether moments up to a horizon are taken together, or the one at it alone."""


def horizon_figures(outputs: Tensor, y: Tensor, horizons: Sequence[int]) -> dict[str, float]:
    """Return figures such as "rmse to 3" and "mae at 12" of forecasts, over what was measured; NaN ones are left out.

    Args:
        outputs: forecasts ``[moments, horizon, nodes, features]``.
        y: what came, of the same shape, NaN where nothing was measured.
        horizons: numbers of moments ahead.

    Example:
        >>> y = torch.tensor([[1.0, 2.0], [2.0, 3.0]]).view(2, 2, 1, 1)
        >>> horizon_figures(y + torch.tensor([1.0, 2.0]).view(1, 2, 1, 1), y, [2])["mae to 2"]
        1.5
    """
    steps = torch.stack([_sums(outputs[:, step], y[:, step]) for step in range(max(horizons))])
    found = {}
    for way in WAYS:
        for horizon in horizons:
            sums = steps[:horizon].sum(0) if way == "to" else steps[horizon - 1]
            for name, value in zip(NAMES, _of_sums(*sums.tolist()), strict=True):
                if math.isfinite(value):
                    found[f"{name} {way} {horizon}"] = value
    return found


def _sums(outputs: Tensor, y: Tensor) -> Tensor:
    """Return sums over the moments of one step, of which figures are made."""
    there = ~y.isnan()
    p, t = outputs[there].double(), y[there].double()
    apart, known = (p - t).abs(), t != 0
    share = apart[known] / t[known].abs()
    parts = [apart.square().sum(), apart.sum(), share.sum(), known.sum(), p.sum(), t.sum()]
    parts += [p.square().sum(), t.square().sum(), (p * t).sum()]
    return torch.stack([torch.as_tensor(len(p), dtype=torch.float64), *(each.double().cpu() for each in parts)])


def _of_sums(
    many: float,
    squares: float,
    errors: float,
    shares: float,
    known: float,
    p: float,
    t: float,
    pp: float,
    tt: float,
    pt: float,
) -> tuple[float, ...]:
    """Return the figures, NaN for those that there are not."""
    if not many:
        return (math.nan,) * 4
    spread = max(pp / many - (p / many) ** 2, 0.0), max(tt / many - (t / many) ** 2, 0.0)
    together = pt / many - p * t / many**2
    least = [1e-12 * each / many for each in (pp, tt)]
    usual = spread[0] > least[0] and spread[1] > least[1]
    correlation = together / math.sqrt(spread[0] * spread[1]) if usual else math.nan
    return math.sqrt(squares / many), errors / many, shares / known if known else math.nan, correlation

"""Recipes of what learns across graphs: networks that belong to none, and how they are learnt day by day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.dataclasses import dataclass

from graphkit._checks import member
from graphkit.training.engine.options import fields_of
from graphkit.training.zoo.architecture import STRICT, Count, LearningRate, Positive, Switch
from graphkit.training.zoo.forecast_architectures import LagForecast, RecurrentForecast
from graphkit.training.zoo.recipes import ModelRecipe


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AcrossRecipe(ModelRecipe):
    """A network that belongs to no graph, and how it is learnt across several.

    Args:
        length: moments that a forecast is made from.
        first: moments that are known when the first forecast is made.
        every: moments between two trainings; a network goes on from where it was.
        steps: of the first training.
        more_steps: of each further one.
        batch: windows of a graph in a step.
        inner_lr, inner_steps: of the steps on what one graph showed last.
        support: how many of its last windows these look at.
        query: windows after these that the start is judged by.
        mix: whether what ridge regression or a network says is mixed with the mean of what is seen, by the weight of
            the least error of the forecasts before, as far as what they were of has come.

    All other fields are those of ``ModelRecipe`` and of the model.
    """

    length: Positive = 7
    first: Positive = 15
    every: Positive = 7
    steps: Positive = 150
    more_steps: Count = 50
    batch: Positive = 8
    inner_lr: LearningRate = 0.05
    inner_steps: Positive = 3
    support: Positive = 10
    query: Positive = 7
    mix: Switch = True

    def unused_fields(self) -> dict[str, str]:
        """Return which fields decide nothing while the others are as they are: name -> why."""
        found = super().unused_fields()
        return found | {"calendar": "days of the week are few"} | ({"l2_on": "`l2` is 0"} if self.l2 == 0 else {})


ACROSS_RECIPES: dict[str, AcrossRecipe] = {
    made.name: made
    for made in (
        AcrossRecipe(
            name="shared-lag-network",
            model=LagForecast(hidden=32, dropout=0.0, hops=1, embedding=0, adaptive=0, calendar=False, base="mean"),
            lr=0.003,
            l2=0.0,
        ),
        AcrossRecipe(
            name="shared-graph-gru",
            model=RecurrentForecast(hidden=16, dropout=0.0, conv="diffusion", order=1, calendar=False, base="mean"),
            lr=0.003,
            l2=0.0,
        ),
    )
}
"""Networks that belong to no graph, by name."""


def across_recipe(name: str, overrides: Mapping[str, Any] | None = None) -> AcrossRecipe:
    """Return a named recipe with some fields replaced.

    Args:
        name: such as "shared-lag-network".
        overrides: fields and values.

    Raises:
        ValueError: for an unknown name or field, or a value out of its range.

    Example:
        >>> across_recipe("shared-lag-network", {"inner_steps": 5}).inner_steps
        5
    """
    return ACROSS_RECIPES[member("model", name, ACROSS_RECIPES)].with_(fields_of("overrides", overrides))

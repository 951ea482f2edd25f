"""Figures over seeds: the interval of their mean says something, or is not there."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from graphkit.cli.fewshot import _figure
from graphkit.training.embedding.embedding_trainer import EmbeddingEpoch
from graphkit.training.engine.records import BOUNDS, metric
from tests.training.studies import STUDIES


def test_the_interval_is_students_as_scipy_has_it():
    values = [0.7, 0.74, 0.69, 0.75, 0.71]
    expected = stats.t.interval(0.95, 4, loc=sum(values) / 5, scale=stats.sem(values))
    assert metric("accuracy", values).ci95 == pytest.approx(expected)


@pytest.mark.parametrize(("values", "printed"), [
    ((0.34, 0.82), "58.00 ± 33.94 % (two seeds)"),
    ((0.5,), "50.00 % (one seed)"),
    ((1.0, 0.0, 0.02), "34.00 ± 57.17 % (three seeds)"),
    ((1.0, 1.0, 1.0, 1.0), "100.00 ± 0.00 % (four seeds)"),
    ((1.0, 0.0, 0.0, 0.0, 0.02), "20.40 ± 44.51 % (95 % interval 0.00 to 75.66)"),
    ((1.0, 1.0, 1.0, 1.0, 1.0), "100.00 ± 0.00 % (95 % interval 100.00 to 100.00)"),
])  # fmt: skip
def test_it_stays_in_what_the_figure_can_be_and_few_seeds_have_none(values, printed):
    """Two seeds of 34 and 82 % once had an interval from -247 to 363 %."""
    assert str(metric("accuracy", values)) == printed
    assert (metric("accuracy", values).ci95 is None) == (len(values) < 5)


@pytest.mark.parametrize("name", ["accuracy", *BOUNDS])
def test_every_figure_has_bounds_that_its_interval_keeps_to(name):
    low, high = BOUNDS.get(name, (0.0, 1.0))
    start = low if math.isfinite(low) else high - 50.0
    ends = metric(name, [start, start + 0.1, start, start + 0.1, min(high, start + 50.0)]).ci95
    assert low <= ends[0] <= ends[1] <= high
    for wrong in ([], [math.nan], [math.inf], [low - 0.5], [high + 0.5]):
        with pytest.raises(ValueError, match=f"`values` of {name.split()[0]}"):
            metric(name, wrong)


def test_what_is_watched_in_training_has_bounds_and_a_unit_of_its_own():
    assert {"positives", "negatives", "effective_rank"} < set(EmbeddingEpoch._fields)
    watched = STUDIES["embed"]().record.telemetry["selected"]
    assert watched["effective_rank"].unit == watched["positives"].unit == "number"
    assert watched["overlapping"].unit == "fraction"


@pytest.mark.parametrize(("accuracies", "printed"), [
    ([1.0, 0.9, 1.0, 1.0], "97.5 +2.5 -4.9"),
    ([0.5, 0.6, 0.4, 0.5], "50.0 ± 8.0"),
    ([0.0, 0.0, 0.1], "3.3 +6.5 -3.3"),
    ([0.7], "70.0"),
])  # fmt: skip
def test_intervals_over_tasks_keep_to_what_an_accuracy_can_be(accuracies, printed):
    mean = torch.tensor(accuracies, dtype=torch.float64)
    spread = 1.96 * float(mean.std()) / len(mean) ** 0.5 if len(mean) > 1 else 0.0
    assert _figure({"mean": float(mean.mean()), "interval": spread}, len(accuracies)) == printed


def test_what_is_no_fraction_has_no_bounds_but_its_own():
    assert metric("epoch: ratio of seconds", [0.5, 3.0, 9.0, 0.5, 3.0], unit="ratio").ci95[0] < 0
    assert metric("rmse", [0.5, 3.0, 9.0, 0.5, 3.0], unit="as the labels").ci95[0] == 0

"""Reporters: who hears of progress hears all of it, in every study that has epochs."""

from __future__ import annotations

import csv
import inspect
import math

import pytest
from lightning_fabric.loggers import CSVLogger

from graphkit.cli import output
from graphkit.training import LoggerReporter, Silence, recipe, train
from graphkit.training.engine import reporters
from graphkit.training.engine.reporters import Several
from tests.training.studies import STUDIES, communities


class Heard:
    """A logger that remembers."""

    def __init__(self):
        self.steps = []

    def log_metrics(self, metrics, step=None):
        self.steps.append((metrics, step))


REPORTERS = {
    "silence": Silence,
    "logger": lambda: LoggerReporter(Heard()),
    "several": lambda: Several(Silence(), LoggerReporter(Heard())),
    "lines": output.Lines,
    "bar": lambda: output.Bar(3),
    "bar of unknown length": output.Bar,
}


def test_every_reporter_is_tried_here():
    of_rooms = [
        each
        for room in (reporters, output)
        for name, each in inspect.getmembers(room, inspect.isclass)
        if each.__module__ == room.__name__ and hasattr(each, "on_epoch") and hasattr(each, "on_unit")
    ]
    assert {each.__name__ for each in of_rooms} - {"Reporter"} == {
        *("Silence", "LoggerReporter", "Several", "Lines", "Bar")
    }


@pytest.mark.parametrize("reporter", REPORTERS)
@pytest.mark.parametrize("study", STUDIES)
def test_every_reporter_hears_of_every_study(study, reporter, monkeypatch):
    monkeypatch.setattr(output.Lines, "EVERY", -1.0)
    monkeypatch.setattr(output.Bar, "EVERY", -1.0)
    STUDIES[study](reporter=REPORTERS[reporter]())


@pytest.mark.parametrize("study", STUDIES)
def test_a_logger_gets_numbers_under_the_names_of_their_figures(study):
    logger = Heard()
    outcome = STUDIES[study](reporter=LoggerReporter(logger))
    values = [value for metrics, _ in logger.steps for value in metrics.values()]
    assert values
    assert all(isinstance(value, float) and math.isfinite(value) for value in values)
    tested = logger.steps[-1][0]
    if study.startswith(("nested", "fewshot")):
        assert any(name.endswith("/test_accuracy") for name in tested)
        return
    last = outcome.seeds[-1]
    if study.startswith("embed"):
        name = f"{outcome.record.record.config['loss']}/map@r (test)"
        assert tested[f"seed-1/{name}"] == last.figures[outcome.record.record.config["loss"]]["map@r (test)"]
    else:
        others = {f"seed-1/test_{name}": value for name, value in last.figures.items()}
        assert tested == {f"seed-1/test_{last.name}": last.test} | others


def test_a_figure_that_is_no_accuracy_is_not_logged_as_one():
    from types import SimpleNamespace

    data, logger = communities(), Heard()
    data.card = SimpleNamespace(name="own", metric="roc_auc", target_kind="", classes=2, row_normalise=False)
    train(data, recipe("gcn", {"epochs": 1}), device="cpu", reporter=LoggerReporter(logger))
    assert list(logger.steps[-1][0]) == ["seed-0/test_roc_auc"]


def test_a_logger_of_fabric_gets_every_figure(data, tmp_path):
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=1)
    outcome = train(data, recipe("gcn", {"epochs": 3}), device="cpu", reporter=LoggerReporter(logger))
    logger.finalize("success")
    with next(tmp_path.rglob("metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    logged = [float(row["seed-0/train_loss"]) for row in rows if row["seed-0/train_loss"]]
    assert logged == [epoch.train_loss for epoch in outcome.seeds[0].history]
    assert any(row.get("seed-0/test_accuracy") for row in rows)

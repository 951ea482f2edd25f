"""Reporters: who hears of progress hears all of it."""

from __future__ import annotations

import csv

from lightning_fabric.loggers import CSVLogger

from graphkit.training import LoggerReporter, recipe, train


def test_a_logger_of_fabric_gets_every_figure(data, tmp_path):
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=1)
    outcome = train(data, recipe("gcn", {"epochs": 3}), device="cpu", reporter=LoggerReporter(logger))
    logger.finalize("success")
    with next(tmp_path.rglob("metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    logged = [float(row["seed-0/train_loss"]) for row in rows if row["seed-0/train_loss"]]
    assert logged == [epoch.train_loss for epoch in outcome.seeds[0].history]
    assert any(row.get("seed-0/test_accuracy") for row in rows)

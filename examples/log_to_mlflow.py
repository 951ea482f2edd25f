"""Log a study to MLflow: figures of every epoch, fields and record of a run, by a reporter of your own.

Any object with ``log_metrics(metrics, step)`` is a logger, and ``LoggerReporter`` hands it the figures of any study:
``train``, ``embed`` or ``fewshot``.

    pip install mlflow
    python examples/log_to_mlflow.py --tracking sqlite:///mlflow.db
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any

from graphkit.data import load
from graphkit.training import LoggerReporter, recipe, train


class MlflowLogger:
    """Figures under names that MLflow takes: letters, digits and ``_-. :/``."""

    def __init__(self, mlflow: Any) -> None:
        self.mlflow = mlflow

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log the figures of an epoch, or those that a seed came to at its selected epoch."""
        self.mlflow.log_metrics({re.sub(r"[^\w\-. :/]", "_", name): value for name, value in metrics.items()}, step)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--tracking", default="sqlite:///mlflow.db", help="Where MLflow keeps its runs.")
    options = parser.parse_args(arguments)
    try:
        import mlflow
    except ImportError:
        parser.error("this example needs MLflow: pip install mlflow")

    mlflow.set_tracking_uri(options.tracking)
    mlflow.set_experiment("graphkit")
    with mlflow.start_run(run_name=f"gcn on {options.dataset}"):
        reporter = LoggerReporter(MlflowLogger(mlflow))
        chosen = recipe("gcn", {"epochs": options.epochs})
        outcome = train(load(options.dataset), chosen, seeds=range(3), reporter=reporter)
        mlflow.log_params(outcome.record.config)
        mlflow.log_dict(outcome.record.as_dict(), "record.json")
    print(f"test accuracy {outcome.record.metric}, logged to {options.tracking}")


if __name__ == "__main__":
    main()

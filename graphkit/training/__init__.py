"""Recipes, the loop, checkpoints and result records.

Example:
    >>> from graphkit.training import recipe, train
    >>> import torch
    >>> from torch_geometric.datasets import FakeDataset
    >>> data = FakeDataset(num_graphs=1, avg_num_nodes=60, num_classes=3, task="node")[0]
    >>> data.train_mask, data.val_mask, data.test_mask = (torch.arange(data.num_nodes) % 3 == part for part in range(3))
    >>> outcome = train(data, recipe("gcn", {"epochs": 3}), seeds=[0, 1], device="cpu")
    >>> outcome.record.seeds
    (0, 1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphkit._exports import deprecated_names, lazy

if TYPE_CHECKING:
    from graphkit.training.classification.classification_trainer import ClassificationTrainer, Epoch
    from graphkit.training.classification.nested import nested_cross_validation
    from graphkit.training.classification.run_training import Outcome, SeedResult, train
    from graphkit.training.classification.tasks import LabelledItems, NodeTask, SignalTask
    from graphkit.training.classification.tuning import tune
    from graphkit.training.engine.experiment import Experiment, RunResult, run_experiment
    from graphkit.training.engine.interrupts import Interrupted, StopRequest, TrainingError, stop_request
    from graphkit.training.engine.records import DatasetFacts, Metric, Protocol, Record, Unit, metric
    from graphkit.training.engine.reporters import LoggerReporter, Reporter, Silence
    from graphkit.training.engine.store import RunStore, require_writable
    from graphkit.training.engine.trainer import AbstractTrainer, Trainer
    from graphkit.training.trained.classifier import TrainedModel
    from graphkit.training.trained.explanation import explain_item
    from graphkit.training.trained.export import export_model
    from graphkit.training.trained.predictions import Predictions
    from graphkit.training.trained.read_record import read_record
    from graphkit.training.trained.runs import Run, load_run
    from graphkit.training.zoo import GAT, GCN, GIN, MLP, SAGE, Cheb
    from graphkit.training.zoo.portfolio import Portfolio, portfolio
    from graphkit.training.zoo.recipes import RECIPES, Recipe, read_overrides, recipe
    from graphkit.training.zoo.space import Choices, Range, space_of

__getattr__ = deprecated_names(
    __name__,
    {
        "Checkpoint": "graphkit.training.engine.store.RunStore",
        "Rows": "graphkit.training.classification.tasks.LabelledItems",
        "Fit": "graphkit.training.classification.classification_trainer.ClassificationTrainer",
    },
    lazy(
        __name__,
        {
            "classification.nested": ["nested_cross_validation"],
            "classification.run_training": ["Outcome", "SeedResult", "train"],
            "classification.tasks": ["LabelledItems", "NodeTask", "SignalTask"],
            "classification.tuning": ["tune"],
            "classification.classification_trainer": ["ClassificationTrainer", "Epoch"],
            "engine.experiment": ["Experiment", "RunResult", "run_experiment"],
            "engine.interrupts": ["Interrupted", "StopRequest", "TrainingError", "stop_request"],
            "engine.records": ["DatasetFacts", "Metric", "Protocol", "Record", "Unit", "metric"],
            "engine.reporters": ["LoggerReporter", "Reporter", "Silence"],
            "engine.store": ["RunStore", "require_writable"],
            "engine.trainer": ["AbstractTrainer", "Trainer"],
            "trained.classifier": ["TrainedModel"],
            "trained.predictions": ["Predictions"],
            "trained.read_record": ["read_record"],
            "trained.explanation": ["explain_item"],
            "trained.export": ["export_model"],
            "trained.runs": ["Run", "load_run"],
            "zoo": ["GAT", "GCN", "GIN", "MLP", "SAGE", "Cheb"],
            "zoo.portfolio": ["Portfolio", "portfolio"],
            "zoo.recipes": ["RECIPES", "Recipe", "read_overrides", "recipe"],
            "zoo.space": ["Choices", "Range", "space_of"],
        },
    ),
)

__all__ = [
    "GAT",
    "GCN",
    "GIN",
    "MLP",
    "RECIPES",
    "SAGE",
    "AbstractTrainer",
    "Cheb",
    "Choices",
    "ClassificationTrainer",
    "DatasetFacts",
    "Epoch",
    "Experiment",
    "Interrupted",
    "LabelledItems",
    "LoggerReporter",
    "Metric",
    "NodeTask",
    "Outcome",
    "Portfolio",
    "Predictions",
    "Protocol",
    "Range",
    "Recipe",
    "Record",
    "Reporter",
    "Run",
    "RunResult",
    "RunStore",
    "SeedResult",
    "SignalTask",
    "Silence",
    "StopRequest",
    "TrainedModel",
    "Trainer",
    "TrainingError",
    "Unit",
    "explain_item",
    "export_model",
    "load_run",
    "metric",
    "nested_cross_validation",
    "portfolio",
    "read_overrides",
    "read_record",
    "recipe",
    "require_writable",
    "run_experiment",
    "space_of",
    "stop_request",
    "train",
    "tune",
]

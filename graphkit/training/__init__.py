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

from graphkit._lazy import lazy

if TYPE_CHECKING:
    from graphkit.training.architectures import GAT, GCN, GIN, MLP, SAGE, Cheb
    from graphkit.training.checkpoints import Checkpoint
    from graphkit.training.files import require_writable
    from graphkit.training.fit import Epoch, Fit
    from graphkit.training.interrupts import Interrupted, StopRequest, stop_request
    from graphkit.training.named import RECIPES, recipe
    from graphkit.training.nested import nested_cross_validation
    from graphkit.training.protocol import DatasetFacts, Protocol
    from graphkit.training.recipes import Recipe, read_overrides
    from graphkit.training.records import Metric, Record, metric
    from graphkit.training.reporters import LoggerReporter, Reporter, Silence
    from graphkit.training.results import SeedResult
    from graphkit.training.study import Outcome, train
    from graphkit.training.tasks import NodeTask, Rows, SignalTask
    from graphkit.training.validity import TrainingError

__getattr__ = lazy(
    __name__,
    {
        "architectures": ["GAT", "GCN", "GIN", "MLP", "SAGE", "Cheb"],
        "checkpoints": ["Checkpoint"],
        "files": ["require_writable"],
        "fit": ["Epoch", "Fit"],
        "interrupts": ["Interrupted", "StopRequest", "stop_request"],
        "nested": ["nested_cross_validation"],
        "protocol": ["DatasetFacts", "Protocol"],
        "named": ["RECIPES", "recipe"],
        "recipes": ["Recipe", "read_overrides"],
        "records": ["Metric", "Record", "metric"],
        "reporters": ["LoggerReporter", "Reporter", "Silence"],
        "results": ["SeedResult"],
        "study": ["Outcome", "train"],
        "tasks": ["NodeTask", "Rows", "SignalTask"],
        "validity": ["TrainingError"],
    },
)

__all__ = [
    "GAT",
    "GCN",
    "GIN",
    "MLP",
    "RECIPES",
    "SAGE",
    "Cheb",
    "Checkpoint",
    "DatasetFacts",
    "Epoch",
    "Fit",
    "Interrupted",
    "LoggerReporter",
    "Metric",
    "NodeTask",
    "Outcome",
    "Protocol",
    "Recipe",
    "Record",
    "Reporter",
    "Rows",
    "SeedResult",
    "SignalTask",
    "Silence",
    "StopRequest",
    "TrainingError",
    "metric",
    "nested_cross_validation",
    "read_overrides",
    "recipe",
    "require_writable",
    "stop_request",
    "train",
]

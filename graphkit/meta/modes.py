"""What dropout and batch normalisation do while a model adapts, and the model left as it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from graphkit._torch_internals import BatchNorm

STATISTICS = ("task", "stored")

_turn = threading.RLock()


def model_lock() -> threading.RLock:
    """Return the lock under which a model is called in modes or with parameters that are not its own.

    Both are put into the model itself for the while. There is one for the process, not one for each model: models of
    several learners may share modules, and how attention is taken is a setting of the process.
    """
    return _turn


@contextmanager
def modes(model: nn.Module, *, dropout: bool, statistics: str) -> Iterator[None]:
    """Set every module's mode for adaptation, and set it back; other threads wait for their turn.

    Args:
        model: the model.
        dropout: whether anything is dropped: modules other than batch normalisation are in training mode then.
        statistics: "task": batch normalisation uses the mean and variance of what it is shown and stores nothing;
            "stored": those it has stored.

    Example:
        >>> model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(2)).train()
        >>> with modes(model, dropout=False, statistics="stored"):
        ...     [module.training for module in model]
        [False, False]
        >>> [module.training for module in model]
        [True, True]
    """
    with model_lock():
        before = [(module, module.training) for module in model.modules()]
        tracking = [(module, module.track_running_stats) for module, _ in before if isinstance(module, BatchNorm)]
        try:
            for module, _ in before:
                module.training = dropout
            for norm, tracked in tracking:
                norm.training = statistics == "task"
                norm.track_running_stats = tracked and statistics == "stored"
            yield
        finally:
            for module, training in before:
                module.training = training
            for norm, tracked in tracking:
                norm.track_running_stats = tracked

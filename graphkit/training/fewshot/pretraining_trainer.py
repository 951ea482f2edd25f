"""The trainer of what is trained before any task: encoders without labels, classifiers of the training classes."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import nn

from graphkit.training.engine.trainer import ModuleTrainer


class PretrainingEpoch(NamedTuple):
    """The figures of one epoch: the loss of its only step, before it."""

    number: int
    train_loss: float


class StepByStep(Protocol):
    """A training whose whole state between two steps is that of a module, an optimiser and the random generators."""

    @property
    def module(self) -> nn.Module:
        """What is trained."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimiser of its parameters."""

    def take_step(self, number: int) -> float:
        """Take the step of the epoch of this number, from 1, and return the loss before it."""


class PretrainingTrainer(ModuleTrainer[PretrainingEpoch]):
    """Takes a step an epoch for as many epochs as are wanted, and selects the last.

    Args:
        training: what takes the steps.
        epochs: how many.
        device: where its module is.
        what: what the training is called where it comes to nothing.
        whole: what the trained module becomes a part of, drawn with it; nothing when left out.
    """

    figures = PretrainingEpoch

    def __init__(
        self, training: StepByStep, epochs: int, device: torch.device, what: str, *, whole: nn.Module | None = None
    ) -> None:
        super().__init__(training.module, training.optimizer, device, what)
        self.training, self.wanted, self.whole = training, epochs, whole

    @property
    def finished(self) -> bool:
        """Whether all epochs have run."""
        return len(self.history) >= self.wanted

    def take_steps(self, number: int) -> float:
        """Take the step of an epoch, and return its loss."""
        return self.training.take_step(number)

    def validate(self, number: int, loss: float) -> PretrainingEpoch:
        """Return the figures of the epoch: there is nothing to validate."""
        return PretrainingEpoch(number, loss)

    def losses(self, epoch: PretrainingEpoch) -> float:
        """Return the loss."""
        return epoch.train_loss

    def better(self, epoch: PretrainingEpoch, best: PretrainingEpoch) -> bool:
        """Return true: the last epoch is selected."""
        return True

"""The trainer of models that are solved for: an epoch is a solution, and validation items choose among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graphkit.training.classification.classification_trainer import ClassificationTrainer, Epoch
from graphkit.training.classification.tasks import AbstractTask
from graphkit.training.engine.distributed import ALONE, World

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from graphkit.training.zoo.recipes import Recipe


class ClosedFormTrainer(ClassificationTrainer):
    """Solves for the weights of a model: the k-th epoch is its k-th solution.

    Solutions do not depend on each other: a training that goes on needs the number, and the state of the generator.

    Args:
        module: as it was drawn, on the CPU.
        task: labelled items.
        recipe: how many solutions, and how one is selected.
        fabric: puts the model on its device and in its precision.
        world: the processes of the job; each solves by itself.
    """

    def __init__(
        self, module: nn.Module, task: AbstractTask, recipe: Recipe, fabric: Fabric, world: World = ALONE
    ) -> None:
        super().__init__(module, task, recipe, fabric, world)
        self._module = module
        self._solver: Any = None
        self._outputs: Tensor | None = None

    @property
    def finished(self) -> bool:
        """Whether all solutions there are were looked at, all epochs have run, or patience has."""
        return super().finished or len(self.history) >= self.recipe.model.solutions(self._module)

    def take_steps(self, number: int) -> Tensor:
        """Solve, and return the mean loss of the training items."""
        task, (train, validation) = self.task, (self.task.train, self.task.validation)
        with torch.autocast(self.device.type, enabled=False):
            self._solver = self._solver or self.recipe.model.solver(self._module, task)
            self._solver.solve(number)
        # Both losses of one pass through the graph, or the graphs.
        self._outputs = self._logits(torch.cat((train.index, validation.index)))
        return task.objective.loss(self._outputs[: len(train.index)], train.y)

    def repeated_epochs(self, selected: int) -> Sequence[int]:
        """Return the number of the selected solution, which depends on no other."""
        return [selected]

    def validate(self, number: int, loss: Tensor) -> Epoch:
        """Return the figures of a solution."""
        assert self._outputs is not None
        validation, objective = self.task.validation, self.task.objective
        logits, self._outputs = self._outputs[len(self.task.train.index) :], None
        figures = loss.double(), objective.loss(logits, validation.y).double(), objective.figure(logits, validation.y)
        return Epoch(number, *torch.stack(figures).tolist())


def classification_trainer(
    module: nn.Module, task: AbstractTask, recipe: Recipe, fabric: Fabric, world: World = ALONE
) -> ClassificationTrainer:
    """Return the trainer that a recipe's model needs: one that solves, or one that takes steps.

    Args:
        module: a freshly drawn model, on the CPU.
        task: features, graph, training and validation labels.
        recipe: what trains and selects.
        fabric: puts the model on its device and in its precision.
        world: the processes that train the model together.
    """
    kind: Any = ClosedFormTrainer if recipe.model.solved else ClassificationTrainer
    trainer: ClassificationTrainer = kind(module, task, recipe, fabric, world)
    recipe.model.begin(module, task)
    return trainer

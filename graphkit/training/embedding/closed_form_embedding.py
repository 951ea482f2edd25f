"""The trainer of encoders that are solved for: an epoch is a solution, and validation items choose among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from graphkit.training.embedding.embedding_task import EmbeddingTask
from graphkit.training.embedding.embedding_trainer import EmbeddingTrainer

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from graphkit.training.embedding.embedding_recipes import EmbeddingRecipe


class ClosedFormEmbedding(EmbeddingTrainer):
    """Solves for the weights of the encoder within a module: the k-th epoch is its k-th solution.

    Args:
        module: as it was drawn, on the CPU.
        visible: items, training and validation labels.
        recipe: how many solutions, and how one is selected.
        fabric: puts the model on its device and in its precision.
    """

    def __init__(self, module: nn.Module, visible: EmbeddingTask, recipe: EmbeddingRecipe, fabric: Fabric) -> None:
        super().__init__(module, visible, recipe, fabric)
        self._solved: Any = recipe.objective.encoder(module)
        self._solver: Any = None

    @property
    def finished(self) -> bool:
        """Whether all solutions there are were looked at, all epochs have run, or patience has."""
        return super().finished or len(self.history) >= self.recipe.encoder.model.solutions(self._solved)

    def take_steps(self, number: int) -> float:
        """Solve, and return the mean loss of the training items."""
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            self._solver = self._solver or self.recipe.encoder.model.solver(self._solved, self.visible.task)
            self._solver.solve(number)
            self.model.eval()
            return float(self.recipe.objective.loss(self.model, self.visible, self.visible.train))


def embedding_trainer(
    module: nn.Module, visible: EmbeddingTask, recipe: EmbeddingRecipe, fabric: Fabric
) -> EmbeddingTrainer:
    """Return the trainer that a recipe's objective needs: one that solves, or one that takes steps.

    Args:
        module: freshly drawn, on the CPU.
        visible: items, training and validation labels.
        recipe: objective, rates, selection.
        fabric: puts the model on its device and in its precision.
    """
    kind = ClosedFormEmbedding if recipe.objective.solved else EmbeddingTrainer
    return kind(module, visible, recipe, fabric)

"""The trainer of classifiers and regressions: steps over training items, selection on validation items."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.metric import consistency
from graphkit.training.classification.microbatches import RunningStatistics
from graphkit.training.classification.tasks import AbstractTask, LabelledItems, NodeTask
from graphkit.training.engine.distributed import ALONE, World
from graphkit.training.engine.trainer import Trainer
from graphkit.training.engine.validity import TrainingError, require_finite

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from graphkit.training.zoo.recipes import Recipe


class Epoch(NamedTuple):
    """The figures of one epoch: mean losses, and the task's figure (accuracy, ROC-AUC, RMSE) on validation items."""

    number: int
    train_loss: float
    validation_loss: float
    figure: float


class ClassificationTrainer(Trainer[Epoch]):
    """One classifier, or regression, on its way from drawn to selected.

    It never sees a test label: ``task`` holds none.

    Args:
        module: a freshly drawn model, on the CPU.
        task: features, graph, training and validation labels.
        recipe: learning rate, decay, patience, selection rule.
        fabric: puts model and optimiser on their device and in their precision.
        world: the processes that train the model together.
    """

    figures = Epoch

    def __init__(
        self, module: nn.Module, task: AbstractTask, recipe: Recipe, fabric: Fabric, world: World = ALONE
    ) -> None:
        self.task, self.recipe, self.world = task, recipe, world
        module = module.to(fabric.device)
        super().__init__(module, recipe.parameter_groups(module), recipe.lr, fabric)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self._parts = list(self.model.modules())
        self._statistics = RunningStatistics(self.model)
        self.improved = 0
        self._records = (-math.inf, math.inf)

    @property
    def finished(self) -> bool:
        """Whether all epochs have run or patience has."""
        done, patience = len(self.history), self.recipe.patience
        return done >= self.recipe.epochs or (patience > 0 and done - self.improved >= patience)

    def logits(self, index: Tensor) -> Tensor:
        """Return the selected model's logits for some items, and leave the model with the selected weights.

        Raises:
            TrainingError: if weights or logits are not finite: a figure of them would be one of nothing.
        """
        self.select()
        logits = self._logits(index)
        require_finite("the model's outputs", [logits])
        return logits

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state; the generators of this process are set to it too."""
        self.improved, self._records = 0, (-math.inf, math.inf)
        super().load_state_dict(state)

    def losses(self, epoch: Epoch) -> float:
        """Return the sum of both losses."""
        return epoch.train_loss + epoch.validation_loss

    def better(self, epoch: Epoch, best: Epoch) -> bool:
        """Return whether selection prefers an epoch; of equal ones the earlier stays."""
        return self._key(epoch) < self._key(best)

    def on_epoch_end(self, epoch: Epoch) -> None:
        """Add an epoch to the history, and note it if figure or loss on the validation items was never better.

        A figure equal to the best counts, as it does for GAT's authors: on 500 nodes it often is.
        """
        super().on_epoch_end(epoch)
        good, loss = self._records
        figure = self.task.objective.sign * epoch.figure
        if figure >= good or epoch.validation_loss <= loss:
            self.improved = epoch.number
        self._records = max(good, figure), min(loss, epoch.validation_loss)

    def take_steps(self, number: int) -> Tensor:
        """Take the optimiser's steps of an epoch over the training items, and return their mean loss."""
        self._set_rates(number)
        task, many = self.task, len(self.task.train.y)
        losses: list[Tensor] = []
        for batch in task.batches(self.recipe.batch):
            if batch.first:
                self.optimizer.zero_grad()
            shared = self.recipe.microbatches > 1
            if shared:
                self._statistics.begin(first=batch.first)
            # Forward: the logits of the batch's own items, or of all nodes in several views.
            self._set_mode(training=True)
            with torch.enable_grad():
                if self.recipe.views > 1:
                    loss = self._loss_of_views(batch)
                else:
                    logits = task.logits(self.model, batch.index) if batch.logits is None else batch.logits(self.model)
                    loss = task.objective.loss(logits, batch.y)
            # Backward: of a microbatch its part of the step's gradient.
            self.fabric.backward(loss if batch.share == 1 else loss * batch.share)
            if shared:
                self._statistics.end(batch.share, self.world, last=batch.last)
            if batch.last:
                self.world.add_gradients(self.model)
                self.optimizer.step()
            losses.append(loss.detach() * (batch.share and len(batch.y) / many))
        if not losses:
            raise TrainingError(f"epoch {number} has no batch to learn from; take a larger `batch`, or 0.")
        return self.world.total(torch.as_tensor(sum(losses)))

    def validate(self, number: int, loss: Tensor) -> Epoch:
        """Return the figures of an epoch whose steps had this mean loss."""
        validation, objective = self.task.validation, self.task.objective
        logits = self._logits(validation.index)
        validation_loss, figure = objective.loss(logits, validation.y), objective.figure(logits, validation.y)
        figures = loss.double(), validation_loss.double(), figure
        return Epoch(number, *torch.stack(figures).tolist())

    def _set_rates(self, number: int) -> None:
        """Set the learning rates of an epoch; its number alone decides, so that a continuation needs no state."""
        if self.recipe.schedule == "cosine":
            share = (1 + math.cos(math.pi * (number - 1) / self.recipe.epochs)) / 2
            for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate * share

    def _set_mode(self, *, training: bool) -> None:
        """Do what ``Module.train`` does, which walks the tree and its setters anew: a tenth of an epoch on Cora."""
        for module in self._parts:
            vars(module)["training"] = training

    def _loss_of_views(self, batch: LabelledItems) -> Tensor:
        """Return the mean loss of several views, and how far all nodes are from agreeing on their classes in them."""
        recipe = self.recipe
        if not isinstance(self.task, NodeTask):
            raise ValueError(f"`views` must be 1: only the nodes of one graph have several, got {recipe.views}.")
        everything = torch.arange(self.task.x.size(0), device=batch.index.device)
        views = [self.task.logits(self.model, everything) for _ in range(recipe.views)]
        loss = torch.stack([F.cross_entropy(logits[batch.index], batch.y) for logits in views]).mean()
        guesses = [logits.softmax(-1) for logits in views]
        weight = recipe.consistency * min(1.0, (len(self.history) + 1) / max(recipe.warm_up, 1))
        return loss + weight * consistency(guesses, sharpening=recipe.sharpening)

    def _logits(self, index: Tensor) -> Tensor:
        """Return logits for some items, without dropout and gradient."""
        self._set_mode(training=False)
        with torch.no_grad():
            return self.task.logits(self.model, index)

    def _key(self, epoch: Epoch) -> tuple[float, ...]:
        """Return what selection minimises; of equal keys the earlier epoch stays."""
        if self.recipe.select == "last":
            return (-epoch.number,)
        if self.recipe.select == "loss":
            return (epoch.validation_loss,)
        return (-self.task.objective.sign * epoch.figure, epoch.validation_loss)

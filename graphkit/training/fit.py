"""The loop of one seed: epochs, selection on validation items, a state that can be saved between epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.metric import consistency
from graphkit.training.abstract_fit import AbstractFit
from graphkit.training.processes import Processes
from graphkit.training.shares import RunningStatistics
from graphkit.training.tasks import AbstractTask, NodeTask, Rows
from graphkit.training.validity import TrainingError, require_finite

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from graphkit.training.recipes import Recipe


Way: TypeAlias = Callable[[Callable[..., Tensor]], Tensor]
"""Takes logits from a model."""


ALONE = Processes()
"""The process of a job that has only one."""


class Epoch(NamedTuple):
    """The figures of one epoch: mean losses, and the task's figure (accuracy, ROC-AUC, RMSE) on validation items."""

    number: int
    train_loss: float
    validation_loss: float
    figure: float


class Fit(AbstractFit[Epoch]):
    """One classifier, or regression, on its way from drawn to selected.

    It never sees a test label: ``task`` holds none.

    Args:
        module: a freshly drawn model, on the CPU.
        task: features, graph, training and validation labels.
        recipe: learning rate, decay, patience, selection rule.
        fabric: puts model and optimiser on their device and in their precision.
        processes: those that train the model together.
    """

    figures = Epoch

    def __init__(
        self, module: nn.Module, task: AbstractTask, recipe: Recipe, fabric: Fabric, processes: Processes = ALONE
    ) -> None:
        self.task, self.recipe, self.processes = task, recipe, processes
        module = module.to(fabric.device)
        super().__init__(module, recipe.parameter_groups(module), recipe.lr, fabric)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self._modules = list(self.model.modules())
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
        logits = self._logits(index, training=False)
        require_finite("the model's outputs", [logits])
        return logits

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state; the generators of this process are set to it too."""
        self.improved, self._records = 0, (-math.inf, math.inf)
        super().load_state_dict(state)

    def losses(self, epoch: Epoch) -> float:
        """Return the sum of both losses."""
        return epoch.train_loss + epoch.validation_loss

    def better(self, epoch: Epoch, best: Epoch) -> bool:
        """Return whether selection prefers an epoch; of equal ones the earlier stays."""
        return self._key(epoch) < self._key(best)

    def hear(self, epoch: Epoch) -> None:
        """Add an epoch to the history, and note it if figure or loss on the validation items was never better.

        A figure equal to the best counts, as it does for GAT's authors: on 500 nodes it often is.
        """
        super().hear(epoch)
        good, loss = self._records
        figure = self.task.objective.sign * epoch.figure
        if figure >= good or epoch.validation_loss <= loss:
            self.improved = epoch.number
        self._records = max(good, figure), min(loss, epoch.validation_loss)

    def run(self, number: int) -> Epoch:
        """Take the optimiser's steps over the training items and look at the validation items."""
        validation = self.task.validation
        self._pace(number)
        many = len(self.task.train.y)
        loss = sum(self._step(batch) * (batch.share and len(batch.y) / many) for batch in self._batches())
        if not isinstance(loss, Tensor):
            raise TrainingError(f"epoch {number} has no batch to learn from; take a larger `batch`, or 0.")
        if self.processes.count > 1:
            loss = self.processes.total(torch.as_tensor(loss))
        logits = self._logits(validation.index, training=False)
        objective = self.task.objective
        validation_loss, figure = objective.loss(logits, validation.y), objective.figure(logits, validation.y)
        figures = torch.as_tensor(loss).double(), validation_loss.double(), figure
        return Epoch(number, *torch.stack(figures).tolist())

    def _pace(self, number: int) -> None:
        """Set the learning rates of an epoch; its number alone decides, so that a continuation needs no state."""
        if self.recipe.schedule == "cosine":
            share = (1 + math.cos(math.pi * (number - 1) / self.recipe.epochs)) / 2
            for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate * share

    def _batches(self) -> Iterator[Rows]:
        """Yield the training items of each step of an epoch."""
        return self.task.batches(self.recipe.batch)

    def _step(self, batch: Rows) -> Tensor:
        """Take one optimiser step, or a part of one, and return the loss before it."""
        if batch.first:
            self.optimizer.zero_grad()
        if shared := self.recipe.shares > 1:
            self._statistics.begin(first=batch.first)
        loss = self._loss(batch)
        self.fabric.backward(loss if batch.share == 1 else loss * batch.share)
        if shared:
            self._statistics.end(batch.share, self.processes, last=batch.last)
        if batch.last:
            self.processes.add_gradients(self.model)
            self.optimizer.step()
        return loss.detach()

    def _loss(self, batch: Rows) -> Tensor:
        """Return the task's loss; with several views, the mean of theirs and how far all nodes are from agreeing."""
        recipe = self.recipe
        if recipe.views == 1:
            return self.task.objective.loss(self._logits(batch.index, training=True, way=batch.logits), batch.y)
        if not isinstance(self.task, NodeTask):
            raise ValueError(f"`views` must be 1: only the nodes of one graph have several, got {recipe.views}.")
        everything = torch.arange(self.task.x.size(0), device=batch.index.device)
        views = [self._logits(everything, training=True) for _ in range(recipe.views)]
        loss = torch.stack([F.cross_entropy(logits[batch.index], batch.y) for logits in views]).mean()
        guesses = [logits.softmax(-1) for logits in views]
        weight = recipe.consistency * min(1.0, (len(self.history) + 1) / max(recipe.warm_up, 1))
        return loss + weight * consistency(guesses, sharpening=recipe.sharpening)

    def _logits(self, index: Tensor, *, training: bool, way: Way | None = None) -> Tensor:
        """Return logits for some items."""
        for module in self._modules:  # `Module.train` walks the tree and its setters anew: a tenth of an epoch on Cora
            vars(module)["training"] = training
        with torch.set_grad_enabled(training):
            return way(self.model) if way else self.task.logits(self.model, index)

    def _key(self, epoch: Epoch) -> tuple[float, ...]:
        """Return what selection minimises; of equal keys the earlier epoch stays."""
        if self.recipe.select == "last":
            return (-epoch.number,)
        if self.recipe.select == "loss":
            return (epoch.validation_loss,)
        return (-self.task.objective.sign * epoch.figure, epoch.validation_loss)

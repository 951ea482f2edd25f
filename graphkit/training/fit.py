"""The loop of one seed: epochs, selection on validation items, a state that can be saved between epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.metric import consistency
from graphkit.training.processes import Processes
from graphkit.training.tasks import AbstractTask, NodeTask, Rows

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from graphkit.training.recipes import Recipe


Way: TypeAlias = Callable[[Callable[..., Tensor]], Tensor]
"""Takes logits from a model."""


ALONE = Processes()
"""The process of a job that has only one."""


class TrainingError(RuntimeError):
    """A run that cannot go on, with what is left of it in the message."""


class Epoch(NamedTuple):
    """The figures of one epoch: mean losses, and the task's figure (accuracy, ROC-AUC, RMSE) on validation items."""

    number: int
    train_loss: float
    validation_loss: float
    figure: float


class Fit:
    """One model on its way from drawn to selected.

    Iterating :meth:`epochs` trains; between two epochs the object may be saved, and continued later to the same bits.
    It never sees a test label: ``task`` holds none.

    Args:
        module: a freshly drawn model, on the CPU.
        task: features, graph, training and validation labels.
        recipe: learning rate, decay, patience, selection rule.
        fabric: puts model and optimiser on their device and in their precision.
        processes: those that train the model together.
    """

    def __init__(
        self, module: nn.Module, task: AbstractTask, recipe: Recipe, fabric: Fabric, processes: Processes = ALONE
    ) -> None:
        self.task, self.recipe, self.fabric, self.processes = task, recipe, fabric, processes
        module = module.to(fabric.device)
        fused = fabric.device.type in ("cpu", "cuda")
        optimizer = torch.optim.Adam(recipe.parameter_groups(module), lr=recipe.lr, fused=fused)
        self._rates = [group["lr"] for group in optimizer.param_groups]
        self.model, self.optimizer = fabric.setup(module, optimizer)
        self._modules = list(self.model.modules())
        self.history: list[Epoch] = []
        self.improved = 0
        self._records = (-math.inf, math.inf)
        self.best: Epoch | None = None
        self.best_weights: dict[str, Tensor] = {}

    @property
    def finished(self) -> bool:
        """Whether all epochs have run or patience has."""
        done, patience = len(self.history), self.recipe.patience
        return done >= self.recipe.epochs or (patience > 0 and done - self.improved >= patience)

    def epochs(self) -> Iterator[Epoch]:
        """Train on, one epoch at a time, until :attr:`finished`.

        Raises:
            TrainingError: if a loss is not finite.
        """
        while not self.finished:
            epoch = self._epoch(len(self.history) + 1)
            if not math.isfinite(epoch.train_loss + epoch.validation_loss):
                kept = f"the best before it was epoch {self.best.number}" if self.best else "no epoch was good"
                raise TrainingError(f"the loss is not finite in epoch {epoch.number} ({kept}); try a smaller `lr`.")
            self._hear(epoch)
            if self.best is None or self._key(epoch) < self._key(self.best):
                self.best = epoch
                self._remember()
            yield epoch

    def logits(self, index: Tensor) -> Tensor:
        """Return the selected model's logits for some items, and leave the model with the selected weights."""
        self.model.load_state_dict(self.best_weights)
        return self._logits(index, training=False)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a continuation needs, the random number generators' states among it."""
        device = self.fabric.device
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": [tuple(epoch) for epoch in self.history],
            "best": None if self.best is None else tuple(self.best),
            "best_weights": self.best_weights,
            "cpu_generator": torch.get_rng_state(),
            "cuda_generator": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state; the generators of this process are set to it too."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.history, self.improved, self._records = [], 0, (-math.inf, math.inf)
        for figures in state["history"]:
            self._hear(Epoch(*figures))
        self.best = None if state["best"] is None else Epoch(*state["best"])
        self.best_weights = state["best_weights"]
        torch.set_rng_state(state["cpu_generator"])
        if state["cuda_generator"] is not None and self.fabric.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_generator"], self.fabric.device)

    def _epoch(self, number: int) -> Epoch:
        """Take the optimiser's steps over the training items and look at the validation items."""
        validation = self.task.validation
        self._pace(number)
        many = len(self.task.train.y)
        loss = sum(self._step(batch) * (batch.share and len(batch.y) / many) for batch in self._batches())
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
        loss = self._loss(batch)
        self.fabric.backward(loss if batch.share == 1 else loss * batch.share)
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
        return loss + recipe.consistency * consistency(guesses, sharpening=recipe.sharpening)

    def _logits(self, index: Tensor, *, training: bool, way: Way | None = None) -> Tensor:
        """Return logits for some items, in float32 or float64."""
        for module in self._modules:  # `Module.train` walks the tree and its setters anew: a tenth of an epoch on Cora
            vars(module)["training"] = training
        with torch.set_grad_enabled(training):
            logits = way(self.model) if way else self.task.logits(self.model, index)
        return logits if logits.dtype == torch.float64 else logits.float()

    def _hear(self, epoch: Epoch) -> None:
        """Add an epoch to the history, and note it if figure or loss on the validation items was never better.

        A figure equal to the best counts, as it does for GAT's authors: on 500 nodes it often is.
        """
        self.history.append(epoch)
        good, loss = self._records
        figure = self.task.objective.sign * epoch.figure
        if figure >= good or epoch.validation_loss <= loss:
            self.improved = epoch.number
        self._records = max(good, figure), min(loss, epoch.validation_loss)

    def _key(self, epoch: Epoch) -> tuple[float, ...]:
        """Return what selection minimises; of equal keys the earlier epoch stays."""
        if self.recipe.select == "last":
            return (-epoch.number,)
        if self.recipe.select == "loss":
            return (epoch.validation_loss,)
        return (-self.task.objective.sign * epoch.figure, epoch.validation_loss)

    def _remember(self) -> None:
        """Copy the weights of the best epoch, into the same memory each time."""
        weights = self.model.state_dict()
        if not self.best_weights:
            self.best_weights = {name: value.clone() for name, value in weights.items()}
            return
        for name, value in weights.items():
            self.best_weights[name].copy_(value)

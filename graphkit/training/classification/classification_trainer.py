"""The trainer of classifiers and regressions: steps over training items, whole or in microbatches, and selection."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit._torch_internals import BatchNorm
from graphkit.metric import consistency
from graphkit.training.classification.metrics import KIND_NAMES
from graphkit.training.classification.tasks import AbstractTask, LabelledItems, NodeTask
from graphkit.training.engine.distributed import ALONE, World
from graphkit.training.engine.interrupts import TrainingError
from graphkit.training.engine.trainer import Trainer, require_finite

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
        if recipe.views > 1 and task.objective.target.kind != "classes":
            raise ValueError(
                f"`views` must be 1 for {KIND_NAMES[task.objective.target.kind]}: views agree on classes, got "
                f"{recipe.views}."
            )
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

    def repeat(self, selected: Epoch) -> None:
        """Train for as many epochs as another training selected, and select the last, whatever it comes to.

        Raises:
            TrainingError: if a loss is not finite.
        """
        for number in self.repeated_epochs(selected.number):
            loss = self.take_steps(number)
            if not math.isfinite(float(loss)):
                raise TrainingError(f"the loss is not finite in epoch {number} of training anew; try a smaller `lr`.")
        self._initial.has_changed()
        self.best, self.history = selected, [selected] * selected.number
        self._remember()

    def repeated_epochs(self, selected: int) -> Sequence[int]:
        """Return the numbers of the epochs that lead to a selected one: all up to it."""
        return range(1, selected + 1)

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


class MicrobatchSlot(NamedTuple):
    """Number of a part in the epoch, its share of a step, and whether this process begins or ends the step with it."""

    number: int
    share: float
    first: bool
    last: bool


def take_turns(parts: Sequence[Tensor], world: World) -> list[tuple[int, Tensor]]:
    """Return the parts of a batch that this process takes, each with its number; a nameless empty one if none is left.

    Example:
        >>> from graphkit.training.engine.distributed import World
        >>> halves = torch.arange(5).tensor_split(2)
        >>> [(number, part.tolist()) for number, part in take_turns(halves, World(1, 2))]
        [(1, [3, 4])]
    """
    rank, count = world.rank, world.count
    return list(enumerate(parts))[rank::count] or [(rank, parts[0][:0])]


def microbatch_slots(
    parts: Sequence[tuple[int, Tensor]], items: int, before: int
) -> Iterator[tuple[MicrobatchSlot, Tensor]]:
    """Yield a process's parts of a batch, each with where it stands.

    Args:
        parts: with their numbers in the batch.
        items: of the whole batch.
        before: parts of the epoch that stand before the batch's.
    """
    for number, part in parts:
        ends = number == parts[0][0], number == parts[-1][0]
        yield MicrobatchSlot(before + number, len(part) / items, *ends), part


class RunningStatistics:
    r"""What batch norms remember of a step that is taken in microbatches, the same whatever the number of processes.

    Each share is normalised by its own mean and variance, and starts from the running ones :math:`r` before the step;
    after it they are the mean of what the microbatches :math:`s` with weights :math:`w_s` came to,

    .. math::
        r' = \sum_s w_s\, \big((1 - m)\, r + m\, r_s\big),

    which does not depend on who takes which share when. PyTorch's ``SyncBatchNorm`` normalises by the statistics of
    the whole batch instead, with a message between processes in every layer, and runs on accelerators alone.

    The same up to rounding, which is more than a last digit here: the gradient of a bias before a batch norm is 0 but
    for rounding, and Adam makes whole steps of that in float32. Losses of training do not see them, for the norm takes
    the bias away; what is measured by running means does, which lag behind. In float64 they vanish below Adam's eps.

    Args:
        model: with any number of batch norms, perhaps none.
    """

    def __init__(self, model: nn.Module) -> None:
        norms = [norm for norm in model.modules() if isinstance(norm, BatchNorm) and norm.track_running_stats]
        self._means: list[Tensor] = [each for norm in norms for each in (norm.running_mean, norm.running_var)]  # type: ignore[misc]
        self._counts: list[Tensor] = [norm.num_batches_tracked for norm in norms]  # type: ignore[misc]
        self._before: list[Tensor] = []
        self._sum = torch.zeros(0)

    def begin(self, *, first: bool) -> None:
        """Go back to the statistics before the step, where the share is not the first of this process."""
        if first:
            self._before = [each.clone() for each in (*self._means, *self._counts)]
            self._sum = torch.zeros_like(self._flat())
            return
        for now, before in zip((*self._means, *self._counts), self._before, strict=True):
            now.copy_(before)

    def end(self, share: float, world: World, *, last: bool) -> None:
        """Add what the share came to; at the end of the step take the sum over all processes."""
        self._sum += share * self._flat()
        if last and self._means:
            mean = world.total(self._sum)
            for now, part in zip(self._means, mean.split([each.numel() for each in self._means]), strict=True):
                now.copy_(part.view_as(now))

    def _flat(self) -> Tensor:
        return torch.cat([each.reshape(-1) for each in self._means]) if self._means else torch.zeros(0)

"""Trainers: one model on its way from drawn to selected, epoch by epoch, with a state that can be saved between two.

What tells the result of a training from that of none: parameters that moved, numbers that are finite.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from graphkit.training.engine.distributed import in_precision
from graphkit.training.engine.interrupts import TrainingError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


E = TypeVar("E", bound=tuple[Any, ...])
"""The figures of an epoch, a named tuple; the number of the epoch is the first."""


class AbstractTrainer(ABC, Generic[E]):
    """What the engine trains: iterating :meth:`epochs` does it, and between two epochs the state may be saved.

    Attributes:
        history: the figures of the epochs so far.
        best: those of the selected epoch, ``None`` before there is one.
        best_weights: the model's parameters and buffers after that epoch.
    """

    epoch_name: ClassVar[str] = "epoch"
    """What people call an epoch of it."""

    def __init__(self) -> None:
        self.history: list[E] = []
        self.best: E | None = None
        self.best_weights: dict[str, Tensor] = {}

    @abstractmethod
    def epochs(self) -> Iterator[E]:
        """Train on, one epoch at a time, until the end."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return all that a continuation needs, the random number generators' states among it."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state; the generators of this process are set to it too."""

    def train(self) -> None:
        """Train to the end, where nobody follows."""
        for _ in self.epochs():
            pass


class ModuleTrainer(AbstractTrainer[E]):
    """Trains one module by the steps of an optimiser, and remembers its weights after the best epoch.

    Args:
        model: freshly drawn, on its device.
        optimizer: of its parameters.
        device: where it is, whose generator is a part of the state.
        what: what the training is called where it comes to nothing.
    """

    figures: type[E]
    """The named tuple of an epoch."""

    def __init__(self, model: Any, optimizer: Any, device: torch.device, what: str = "a training") -> None:
        super().__init__()
        self.model, self.optimizer, self.device, self.what = model, optimizer, device, what
        self._initial = InitialParameters(model)

    @property
    def selected(self) -> E:
        """The best epoch.

        Raises:
            TrainingError: before there is one.
        """
        if self.best is None:
            raise TrainingError("no epoch was run.")
        return self.best

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether all epochs have run or patience has."""

    @abstractmethod
    def take_steps(self, number: int) -> Any:
        """Take the optimiser's steps of the epoch of this number, and return their mean loss."""

    @abstractmethod
    def validate(self, number: int, loss: Any) -> E:
        """Look at the validation items and return the figures of the epoch, whose steps had this mean loss."""

    @abstractmethod
    def losses(self, epoch: E) -> float:
        """Return the sum of what must be finite."""

    @abstractmethod
    def better(self, epoch: E, best: E) -> bool:
        """Return whether an epoch is selected in place of the best before it."""

    def on_epoch_end(self, epoch: E) -> None:
        """Add an epoch to the history."""
        self.history.append(epoch)

    def epochs(self) -> Iterator[E]:
        """Train on, one epoch at a time, until :attr:`finished`.

        Raises:
            TrainingError: if a loss is not finite.
        """
        while not self.finished:
            number = len(self.history) + 1
            epoch = self.validate(number, self.take_steps(number))
            if not math.isfinite(self.losses(epoch)):
                kept = f"the best before it was epoch {self.best[0]}" if self.best else "no epoch was good"
                raise TrainingError(f"the loss is not finite in epoch {number} ({kept}); try a smaller `lr`.")
            self._initial.has_changed()  # lets go of its copies as soon as it can
            self.on_epoch_end(epoch)
            if self.best is None or self.better(epoch, self.best):
                self.best = epoch
                self._remember()
            yield epoch

    def select(self) -> None:
        """Leave the model with the weights of the best epoch: every result of a training goes through here.

        Raises:
            TrainingError: if no epoch has changed a parameter, or the weights are not finite.
        """
        self._initial.require_change(f"{self.what} over {len(self.history)} epochs")
        require_finite("the weights", self.best_weights.values())
        self.model.load_state_dict(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a continuation needs, the random number generators' states among it."""
        device = self.device
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": [tuple(epoch) for epoch in self.history],
            "best": None if self.best is None else tuple(self.best),
            "best_weights": self.best_weights,
            "cpu_generator": torch.get_rng_state(),
            "cuda_generator": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state; the generators of this process are set to it too."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.history = []
        for epoch in state["history"]:
            self.on_epoch_end(self.figures(*epoch))
        self.best = None if state["best"] is None else self.figures(*state["best"])
        self.best_weights = state["best_weights"]
        torch.set_rng_state(state["cpu_generator"])
        if state["cuda_generator"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_generator"], self.device)

    def _remember(self) -> None:
        """Copy the weights of the best epoch, into the same memory each time where they are of the same size."""
        for name, value in self.model.state_dict().items():
            kept = self.best_weights.get(name)
            if kept is not None and kept.shape == value.shape:
                kept.copy_(value)
            else:
                self.best_weights[name] = value.clone()


class Trainer(ModuleTrainer[E]):
    """Trains one module with Adam, on Fabric's device and in its precision.

    Args:
        module: a freshly drawn model, on the CPU.
        groups: its parameters, as an optimiser takes them.
        lr: rate where a group has none.
        fabric: puts model and optimiser on their device and in their precision.
    """

    def __init__(self, module: nn.Module, groups: list[dict[str, Any]], lr: float, fabric: Fabric) -> None:
        fused = fabric.device.type in ("cpu", "cuda")
        # What is solved for may have no parameter, and PyTorch's optimisers want one.
        groups = groups or [{"params": [nn.Parameter(torch.empty(0, device=fabric.device))]}]
        _, optimizer = fabric.setup(module, torch.optim.Adam(groups, lr=lr, fused=fused))
        super().__init__(in_precision(module, fabric), optimizer, fabric.device)
        self.fabric = fabric


class InitialParameters:
    """The trainable parameters of a model before its training, to tell whether it learnt anything.

    Args:
        module: freshly drawn.
    """

    def __init__(self, module: nn.Module) -> None:
        self._pairs = [(now, now.detach().clone()) for now in module.parameters() if now.requires_grad]

    def has_changed(self) -> bool:
        """Return whether some parameter has changed since; a model that has none counts as moved."""
        if any(not torch.equal(now, before) for now, before in self._pairs):
            self._pairs = []  # the answer stays, the copies need not
        return not self._pairs

    def require_change(self, training: str) -> None:
        """Refuse to call it a training where no parameter changed.

        Raises:
            TrainingError: naming the training.
        """
        if not self.has_changed():
            raise TrainingError(
                f"{training} changed no parameter of the model, so there is no result; look at `lr`, `batch` and the "
                "training items."
            )


def require_finite(what: str, numbers: Iterable[Tensor]) -> None:
    """Refuse numbers of a training that are NaN or infinite.

    Raises:
        TrainingError: naming what they are.
    """
    if not all(bool(each.isfinite().all()) for each in numbers if each.is_floating_point()):
        raise TrainingError(f"the training diverged: {what} are not all finite; try a smaller `lr`.")

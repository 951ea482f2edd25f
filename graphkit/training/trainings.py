"""Trainings of a nested cross-validation: a number for each, and what it came to."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any, Protocol

import torch

from graphkit.data import GraphSet, Split
from graphkit.training.checkpoints import Checkpoint
from graphkit.training.devices import seeded
from graphkit.training.fit import Fit
from graphkit.training.graphs import prepare_graphs
from graphkit.training.interrupts import Interrupted, StopRequest
from graphkit.training.processes import Processes
from graphkit.training.validity import TrainingError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from graphkit.training.recipes import Recipe

LOGGER = logging.getLogger(__name__)

STRIDE = 1000
"""Between the numbers of two folds' first trainings."""

FIGURES = ("validation", "loss", "test", "selected", "epochs", "seconds")
"""What a training comes to."""


class Listener(Protocol):
    """Hears of each finished training."""

    def run(self, done: int, total: int, said: str) -> None:
        """Hear that ``done`` of ``total`` trainings are over, and what the last one came to."""


class Trainings:
    """The trainings of one nested cross-validation, those that are finished and the next.

    Args:
        graphs: all graphs.
        fabric: device and precision.
        kept: where finished ones go.
        listener: hears of those of this process.
        total: how many there will be, in all processes.
        seed: with the number of a training it decides its weights and dropout.
        dtype: of features.
        processes: those that take the folds in turns.
    """

    def __init__(
        self,
        graphs: GraphSet,
        fabric: Fabric,
        kept: Checkpoint | None,
        listener: Listener | None,
        *,
        total: int,
        seed: int,
        dtype: torch.dtype,
        processes: Processes,
    ) -> None:
        self.graphs, self.fabric, self.kept, self.listener, self.total = graphs, fabric, kept, listener, total
        self.seed, self.done = seed, 0
        self.dtype, self.processes = dtype, processes
        self.finished: dict[Any, dict[str, Any]] = {}
        self.stop: StopRequest | None = None

    def __call__(self, fold: int, place: int, recipe: Recipe, split: Split) -> dict[str, Any]:
        """Return the figures of training ``place`` of a fold, trained now unless it is finished already."""
        number = fold * STRIDE + place
        if number not in self.finished:
            LOGGER.info("%s, fold %d, training %d, after %d of %d", recipe.name, fold, place, self.done, self.total)
            self.finished[number] = self._trained(number, recipe, split)
            if self.kept is not None:
                self.kept.write(self.finished, None)
        self.done += 1
        found = self.finished[number]
        if self.listener is not None:
            figures = {name: f"{100 * found[name]:.1f} %" for name in ("validation", "test") if found[name] is not None}
            said = ", ".join(f"{name} {value}" for name, value in figures.items())
            self.listener.run(self.done, self.total, f"{recipe.name}, fold {fold}, training {place}: {said}")
        return found

    def share(self, folds: range, places: int) -> None:
        """Give the figures of a round of folds, of which each process took one, to all."""
        if self.processes.count == 1:
            return
        own = folds.start + self.processes.rank
        told = torch.zeros(len(folds), places, len(FIGURES), dtype=torch.float64)
        if own in folds:
            for place in range(places):
                mine = (self.finished[own * STRIDE + place][name] for name in FIGURES)
                told[self.processes.rank, place] = torch.tensor(
                    [math.nan if f is None else f for f in mine], dtype=torch.float64
                )
        try:
            told = self.processes.total(told.to(self.fabric.device)).cpu()
        except TrainingError:
            if self.stop:  # the other process was asked to stop too, and has done so
                self._leave(own * STRIDE)
            raise
        before = len(self.finished)
        for fold, of_fold in zip(folds, told.tolist(), strict=True):
            for place, values in enumerate(of_fold):
                figures = dict(zip(FIGURES, values, strict=True))
                whole = {name: int(figures[name]) for name in ("selected", "epochs")}
                test = None if math.isnan(figures["test"]) else figures["test"]
                self.finished.setdefault(fold * STRIDE + place, {**figures, **whole, "test": test})
        self.done += len(self.finished) - before
        if self.kept is not None:
            self.kept.write(self.finished, None)

    def _trained(self, number: int, recipe: Recipe, split: Split) -> dict[str, Any]:
        start, device = time.perf_counter(), self.fabric.device
        task, test = prepare_graphs(self.graphs, recipe, device, self.dtype, split)
        with seeded(self.seed * 1_000_000 + number, device):
            fit = Fit(recipe.module(task.channels, task.classes, task.graph), task, recipe, self.fabric)
            for _ in fit.epochs():
                if self.stop:
                    self._leave(number)
            figure: float | None = None
            if len(test.y):
                figure = float(task.objective.figure(fit.logits(test.index), test.y))
        best = fit.best
        if best is None:
            raise ValueError("`epochs` must be at least 1.")
        return {
            "validation": best.figure,
            "loss": best.validation_loss,
            "test": figure,
            "selected": best.number,
            "epochs": len(fit.history),
            "seconds": time.perf_counter() - start,
        }

    def _leave(self, number: int) -> None:
        if self.kept is None:
            return
        self.kept.write(self.finished, {"training": number})
        left = self.kept.faults.get(self.kept.path) or f"resume from {str(self.kept.path)!r}."
        raise Interrupted(f"stopped after {self.done} of {self.total} trainings; {left}")

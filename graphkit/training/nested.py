"""Nested cross-validation of a set of graphs: the choice is made anew in every fold, on what the fold does not test."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from graphkit.data import GraphSet, Split
from graphkit.data.splits import NestedFolds
from graphkit.training.checkpoints import Checkpoint
from graphkit.training.devices import fabric_on, seeded
from graphkit.training.fit import Fit
from graphkit.training.graphs import graph_facts, prepare_graphs
from graphkit.training.interrupts import Interrupted, StopRequest, stop_request
from graphkit.training.processes import JobError, stated
from graphkit.training.protocol import Protocol as MeasuredUnder
from graphkit.training.records import Record, environment, metric
from graphkit.training.study import Outcome

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from graphkit.training.recipes import Recipe

GRIDS: dict[str, tuple[dict[str, Any], ...]] = {
    "gin": (
        {"readout": "sum", "hidden": 32},
        {"readout": "sum", "hidden": 64},
        {"readout": "mean", "hidden": 32},
        {"readout": "mean", "hidden": 64},
    ),
    "structure-free": (
        {"hidden": 32},
        {"hidden": 128},
        {"hidden": 32, "l2": 1e-3},
        {"hidden": 128, "l2": 1e-3},
    ),
}
"""What is chosen from in each fold, beside the fields that are given; other recipes have the sizes of ``gin``."""

SETTINGS: dict[str, Any] = {
    "lr": 0.01,
    "schedule": "constant",
    "epochs": 200,
    "patience": 40,
    "batch": 32,
    "dropout": 0.0,
    "layers": 4,
    "residual": False,
    "l2_on": "all",
}
"""Fields that are the same for all choices unless given."""

RUNS = 3
"""Final runs in a fold, as in Errica et al."""


class Listener(Protocol):
    """Hears of each finished training."""

    def run(self, done: int, total: int, said: str) -> None:
        """Hear that ``done`` of ``total`` trainings are over, and what the last one came to."""


def nested_cross_validation(
    graphs: GraphSet,
    recipe: Recipe,
    *,
    given: Mapping[str, Any] | None = None,
    beside: Sequence[Recipe] = (),
    folds: int = 10,
    seed: int = 0,
    device: str = "auto",
    precision: str = "32-true",
    checkpoint: Path | str | None = None,
    resume: bool = False,
    listener: Listener | None = None,
    command: str = "graphkit.training.nested_cross_validation",
) -> Outcome:
    """Return the record of a recipe under the fair protocol: mean and deviation over folds of the mean of three runs.

    In every fold each choice of the grid is trained on 90 % of what the fold does not test and judged on the other
    10 %; the best one is trained three times anew, stopped by a hold-out, and tested. No choice sees a test graph.

    Args:
        graphs: a set with classes.
        recipe: for graphs; its fields are replaced by ``SETTINGS``, then by a choice of ``GRIDS``.
        given: fields that are not chosen but given: they win over both.
        beside: other recipes, measured after it in the same folds and in the same way; the record has their figures.
        folds: outer folds.
        seed: draws the folds, and with the number of the training its weights.
        device, precision: as for ``train``.
        checkpoint: folder for the figures of finished trainings; those of ``beside`` have folders of their own in it.
        resume: go on from them; the training that was under way begins anew, to the same numbers.
        listener: hears of finished trainings.
        command: what the record names as its origin.

    Raises:
        ValueError: for a set without classes, a recipe that is not for graphs, or several processes.
        Interrupted: on SIGINT or SIGTERM, if there is a ``checkpoint``.

    Source: Errica, Podda, Bacciu & Micheli (2020), arXiv:1912.09893, for the protocol; the grid is smaller.
    """
    if resume and checkpoint is None:
        raise ValueError("`resume` needs `checkpoint`, the folder to continue from.")
    if (many := stated().count) > 1:
        raise JobError(f"nested cross-validation runs in one process, but {many} were started; take no `torchrun`.")
    fabric = fabric_on(device, precision)
    divided = NestedFolds(folds=folds)
    parts = divided.splits(graphs.items, torch.Generator().manual_seed(seed))
    choices = choices_of(recipe, given or {})
    facts = graph_facts(graphs)
    selection = "in each fold: choice, then epoch, of highest hold-out accuracy; ties: lower loss, then the earlier"
    protocol = MeasuredUnder(
        dataset=facts.name,
        dataset_sha256=facts.sha256,
        split=f"nested-folds(folds={folds}, inner=1, val={divided.val}, seed={seed}, runs={RUNS})",
        split_sha256=divided.fingerprint(parts),
        train=int(parts[0].outer.train.sum()),
        validation=int(parts[0].outer.val.sum()),
        test=int(parts[0].outer.test.sum()),
        setting="inductive",
        selection=selection,
    )
    config = {"choices": [choice.as_dict() for choice in choices], "runs": RUNS}
    kept = None
    if checkpoint is not None:
        kept = Checkpoint(Path(checkpoint), {**config, "protocol": protocol.fingerprint, "precision": precision})
    dtype = torch.float64 if precision == "64-true" else torch.float32
    total = folds * (len(choices) + RUNS)
    runs = _Trainings(graphs, fabric, kept, listener, total=total, seed=seed, dtype=dtype)
    aside = None
    tests, validations, chosen = [], [], []
    with nullcontext() if kept is None else kept.alone(), stop_request() as stop:
        if kept is not None and resume:
            runs.finished = dict(kept.read()["finished"])
        elif kept is not None:
            aside = kept.put_aside()
        runs.stop = stop if kept is not None else None
        for number, fold in enumerate(parts):
            judged = [runs(number, place, choice, fold.inner[0]) for place, choice in enumerate(choices)]
            best = max(range(len(choices)), key=lambda k: (judged[k]["validation"], -judged[k]["loss"], -k))
            final = [runs(number, len(choices) + run, choices[best], fold.outer) for run in range(RUNS)]
            tests.append(statistics.fmean(each["test"] for each in final))
            validations.append(statistics.fmean(each["validation"] for each in final))
            chosen.append({"selected": best, "run": round(statistics.fmean(each["epochs"] for each in final))})
    record = Record(
        command=command,
        dataset=facts,
        protocol=protocol,
        metric=metric("accuracy", tests),
        validation=metric("accuracy", validations),
        selection=selection,
        config={"model": recipe.name, **config},
        seeds=(seed,),
        epochs=tuple(chosen),
        seconds=sum(each["seconds"] for each in runs.finished.values()),
        environment=environment(str(fabric.device), precision),
    )
    faults = [] if kept is None else list(kept.faults.values())
    figures = {}
    for other in beside:
        folder = None if checkpoint is None else Path(checkpoint) / other.name
        outcome = nested_cross_validation(
            graphs,
            other,
            given=given,
            folds=folds,
            seed=seed,
            device=device,
            precision=precision,
            checkpoint=folder,
            resume=resume and folder is not None and (folder / "checkpoint.pt").exists(),
            listener=listener,
            command=command,
        )
        figures[other.name] = outcome.record.metric
        faults += outcome.faults
    return Outcome(replace(record, beside=figures), (), tuple(faults), aside)


def choices_of(recipe: Recipe, given: Mapping[str, Any]) -> list[Recipe]:
    """Return what a fold chooses from: each entry of the recipe's grid, fields that are given left as they are.

    Example:
        >>> from graphkit.training import recipe
        >>> [each.hidden for each in choices_of(recipe("structure-free", items="graphs"), {"l2": 0.0})]
        [32, 128]
    """
    own = recipe.as_dict()
    found: list[Recipe] = []
    for choice in GRIDS.get(recipe.name, GRIDS["gin"]):
        fields = {**SETTINGS, **choice, **given}
        made = recipe.with_({name: value for name, value in fields.items() if name in own})
        if made not in found:
            found.append(made)
    return found


class _Trainings:
    """The trainings of one nested cross-validation, those that are finished and the next."""

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
    ) -> None:
        self.graphs, self.fabric, self.kept, self.listener, self.total = graphs, fabric, kept, listener, total
        self.seed, self.done = seed, 0
        self.dtype = dtype
        self.finished: dict[Any, dict[str, Any]] = {}
        self.stop: StopRequest | None = None

    def __call__(self, fold: int, place: int, recipe: Recipe, split: Split) -> dict[str, Any]:
        """Return the figures of training ``place`` of a fold, trained now unless it is finished already."""
        number = fold * 1000 + place
        if number not in self.finished:
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

"""Nested cross-validation of a set of graphs: the choice is made anew in every fold, on what the fold does not test."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from graphkit._checks import at_least, instance
from graphkit.data import GraphSet
from graphkit.data.splits import NestedFolds
from graphkit.training.arguments import fields_of, hearer, require_run, sequence
from graphkit.training.arguments import seed as known_seed
from graphkit.training.checkpoints import Checkpoint
from graphkit.training.devices import fabric_on, own_device
from graphkit.training.graphs import graph_facts
from graphkit.training.interrupts import stop_request
from graphkit.training.processes import Processes, connected
from graphkit.training.protocol import Protocol as MeasuredUnder
from graphkit.training.recipes import Recipe
from graphkit.training.records import Record, environment, metric
from graphkit.training.study import Outcome
from graphkit.training.trainings import STRIDE, Listener, Trainings

if TYPE_CHECKING:
    from lightning_fabric import Fabric


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

PATIENCE = datetime.timedelta(days=1)
"""How long processes wait for the one whose fold takes longest."""


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

    The processes that ``torchrun`` started take the folds in turns, to the figures of one process: a training draws
    from its own number alone. After each round they tell each other what theirs came to.

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
        ValueError: for a set without classes, or a recipe that is not for graphs.
        TrainingError: if another process of the job is gone.
        Interrupted: on SIGINT or SIGTERM, if there is a ``checkpoint``.

    Source: Errica, Podda, Bacciu & Micheli (2020), arXiv:1912.09893, for the protocol; the grid is smaller.
    """
    instance("graphs", graphs, GraphSet, "a GraphSet")
    instance("recipe", recipe, Recipe, "a Recipe, such as `graphkit.training.recipe('gin', items='graphs')`")
    given, beside = fields_of("given", given), sequence("beside", beside, Recipe, "recipes")
    if at_least("folds", folds, 2) > len(graphs):
        raise ValueError(f"`folds` must be at most the number of graphs ({len(graphs):,}), got {folds:,}.")
    known_seed("seed", seed)
    require_run(checkpoint, resume)
    hearer("listener", listener, ("run",))
    instance("command", command, str, "text")
    fabric = fabric_on(own_device(device), precision)
    with connected(fabric.device, patience=PATIENCE) as processes:
        every = []
        for each in (recipe, *beside):
            folder = None if checkpoint is None else Path(checkpoint) / ("" if each is recipe else each.name)
            begun = each is recipe or (folder is not None and (folder / "checkpoint.pt").exists())
            made = _Nested(graphs, each, choices_of(each, given), folds, seed, fabric, precision, processes)
            every.append(made.measured(folder, resume=resume and begun, listener=listener, command=command))
    first, *others = every
    figures = {other.name: outcome.record.metric for other, outcome in zip(beside, others, strict=True)}
    faults = tuple(fault for outcome in every for fault in outcome.faults)
    return Outcome(replace(first.record, beside=figures), (), faults, first.put_aside)


@dataclass(frozen=True)
class _Nested:
    """One recipe under the protocol, its folds spread over the processes of the job."""

    graphs: GraphSet
    recipe: Recipe
    choices: list[Recipe]
    folds: int
    seed: int
    fabric: Fabric
    precision: str
    processes: Processes

    def measured(self, folder: Path | None, *, resume: bool, listener: Listener | None, command: str) -> Outcome:
        """Return the outcome; the checkpoint goes to ``folder``."""
        choices, seed = self.choices, self.seed
        divided = NestedFolds(folds=self.folds)
        parts = divided.splits(self.graphs.items, torch.Generator().manual_seed(seed))
        facts = graph_facts(self.graphs)
        selection = "in each fold: choice, then epoch, of highest hold-out accuracy; ties: lower loss, then the earlier"
        protocol = MeasuredUnder(
            dataset=facts.name,
            dataset_sha256=facts.sha256,
            split=f"nested-folds(folds={self.folds}, inner=1, val={divided.val}, seed={seed}, runs={RUNS})",
            split_sha256=divided.fingerprint(parts),
            train=int(parts[0].outer.train.sum()),
            validation=int(parts[0].outer.val.sum()),
            test=int(parts[0].outer.test.sum()),
            setting="inductive",
            selection=selection,
        )
        config = {"choices": [choice.as_dict() for choice in choices], "runs": RUNS}
        kept = None
        if folder is not None:
            identity = {**config, "protocol": protocol.fingerprint, "precision": self.precision}
            kept = Checkpoint(folder, identity, writes=self.processes.rank == 0)
        dtype = torch.float64 if self.precision == "64-true" else torch.float32
        each = len(choices) + RUNS
        runs = Trainings(
            self.graphs,
            self.fabric,
            kept,
            listener,
            total=self.folds * each,
            seed=seed,
            dtype=dtype,
            processes=self.processes,
        )
        aside = None
        tests, validations, chosen = [], [], []
        with nullcontext() if kept is None else kept.alone(), stop_request() as stop:
            if kept is not None and resume:
                runs.finished = dict(kept.read()["finished"])
            elif kept is not None:
                aside = kept.put_aside()
            runs.stop = stop if kept is not None else None
            for start in range(0, self.folds, self.processes.count):
                if (number := start + self.processes.rank) < self.folds:
                    fold = parts[number]
                    for place, choice in enumerate(choices):
                        runs(number, place, choice, fold.inner[0])
                    best = self._best(runs, number)
                    for run in range(RUNS):
                        runs(number, len(choices) + run, choices[best], fold.outer)
                runs.share(range(start, min(start + self.processes.count, self.folds)), each)
        for number in range(self.folds):
            final = [runs.finished[number * STRIDE + len(choices) + run] for run in range(RUNS)]
            tests.append(statistics.fmean(run["test"] for run in final))
            validations.append(statistics.fmean(run["validation"] for run in final))
            epochs = round(statistics.fmean(run["epochs"] for run in final))
            chosen.append({"selected": self._best(runs, number), "run": epochs})
        record = Record(
            command=command,
            dataset=facts,
            protocol=protocol,
            metric=metric("accuracy", tests),
            validation=metric("accuracy", validations),
            selection=selection,
            config={"model": self.recipe.name, **config},
            seeds=(seed,),
            epochs=tuple(chosen),
            seconds=sum(run["seconds"] for run in runs.finished.values()),
            environment=environment(str(self.fabric.device), self.precision, self.processes.count),
        )
        return Outcome(record, (), () if kept is None else tuple(kept.faults.values()), aside)

    def _best(self, runs: Trainings, number: int) -> int:
        """Return the choice of a fold, whose choices have all been judged."""
        judged = [runs.finished[number * STRIDE + place] for place in range(len(self.choices))]
        return max(range(len(judged)), key=lambda k: (judged[k]["validation"], -judged[k]["loss"], -k))


def choices_of(recipe: Recipe, given: Mapping[str, Any]) -> list[Recipe]:
    """Return what a fold chooses from: each entry of the recipe's grid, fields that are given left as they are.

    Example:
        >>> from graphkit.training import recipe
        >>> [each.model.hidden for each in choices_of(recipe("structure-free", items="graphs"), {"l2": 0.0})]
        [32, 128]
    """
    own = recipe.options()
    found: list[Recipe] = []
    for choice in GRIDS.get(recipe.name, GRIDS["gin"]):
        fields = {**SETTINGS, **choice, **given}
        made = recipe.merged({name: value for name, value in fields.items() if name in own}).decided(on_disk=False)
        if made not in found:
            found.append(made)
    return found

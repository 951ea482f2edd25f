"""Training with several seeds under one protocol, to one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch_geometric.data.data import BaseData

from graphkit._checks import at_least, instance
from graphkit.data import GraphSet, Partitions
from graphkit.training.arguments import require_reporter, require_run, require_splits
from graphkit.training.checkpoints import Checkpoint
from graphkit.training.devices import fabric_on, own_device
from graphkit.training.fit import Fit
from graphkit.training.graphs import graph_facts, graph_protocol, prepare_graphs
from graphkit.training.interrupts import StopRequest
from graphkit.training.partitioned import part_records, prepare_part
from graphkit.training.processes import JobError, Processes, joined, stated
from graphkit.training.protocol import DatasetFacts, Protocol, dataset_facts, protocol_of
from graphkit.training.recipes import Recipe
from graphkit.training.records import Record, environment, metric
from graphkit.training.reporters import Reporter, Silence
from graphkit.training.results import SeedResult
from graphkit.training.sampled import sampled, sampled_parts
from graphkit.training.seeds import AbstractSeeds, require_seeds
from graphkit.training.tasks import AbstractTask, Rows, prepare, resplit

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch_geometric.data import Data

    from graphkit.data import Split


@dataclass(frozen=True)
class Outcome:
    """The record of a run, and behind it the results of each seed.

    Args:
        record: what was measured, and how.
        seeds: the results.
        faults: what could not be kept on the disk.
        put_aside: the folder into which an earlier run was put that lay there, unfinished or with other settings.
    """

    record: Record
    seeds: tuple[SeedResult, ...]
    faults: tuple[str, ...] = ()
    put_aside: Path | None = None


def train(
    data: Data | GraphSet | Partitions,
    recipe: Recipe,
    *,
    seeds: Sequence[int] = (0,),
    splits: Sequence[Split] | None = None,
    device: str = "auto",
    precision: str = "32-true",
    checkpoint: Path | str | None = None,
    resume: bool = False,
    checkpoint_every: float = 30.0,
    workers: int = 0,
    reporter: Reporter | None = None,
    command: str = "graphkit.training.train",
) -> Outcome:
    """Return the record of classification on ``data``, of nodes, of signals on it or of graphs, one run for each seed.

    A seed decides weights and dropout and nothing else: seed 3 gives the same result alone and among others. The
    global random generators are left as they were found. Test labels are first touched when a seed's epoch has been
    selected.

    Args:
        data: a graph with ``x``, ``edge_index``, ``y`` and boolean ``train_mask``, ``val_mask``, ``test_mask``; with
            ``signals [signals, nodes, features]`` in place of ``x``, labels and masks are those of the signals. Or a
            set of graphs with a split. Or a graph in parts, one for each process that ``torchrun`` starts.
        recipe: model, optimiser, selection rule.
        seeds: at least one, all different.
        splits: one for each seed, in place of the masks of ``data``.
        device: "auto", "cpu", "cuda" or "cuda:1".
        precision: a Lightning Fabric precision: "32-true", "64-true", "bf16-mixed", "16-mixed".
        checkpoint: folder for the run's state and the selected weights; ``None`` keeps nothing. The state of an
            unfinished run that lies there already, or of one with other settings, is put aside, not overwritten.
        resume: continue from the state in ``checkpoint``; on a CPU with as many threads, to the same bits.
        checkpoint_every: seconds between two periodic writes of the state.
        workers: processes that draw neighbours ahead, where the recipe has a ``fan_out``; the result is the same with
            any number.
        reporter: hears of progress.
        command: what the record names as its origin.

    Raises:
        ValueError: for data, seeds or a checkpoint that cannot be used.
        TypeError: for data that are none, such as a list, and a recipe that is none, such as its name.
        TrainingError: if a loss is not finite; the last good state stays in ``checkpoint``.
        Interrupted: on SIGINT, SIGTERM or a ``KeyboardInterrupt`` of the reporter, if there is a ``checkpoint``.
    """
    if not isinstance(data, BaseData | GraphSet | Partitions):
        raise TypeError(f"`data` must be a Data, a GraphSet or Partitions, got {type(data).__name__}.")
    if not isinstance(recipe, Recipe):
        raise TypeError(f"`recipe` must be a Recipe, such as `graphkit.training.recipe('gcn')`, got {recipe!r}.")
    seeds = require_seeds(seeds)
    require_run(checkpoint, resume, every=checkpoint_every)
    require_splits(splits, len(seeds))
    require_reporter(reporter)
    at_least("workers", workers, 0)
    instance("command", command, str, "text")
    if isinstance(data, Partitions):
        try:
            data.require_processes(stated().count)
        except ValueError as error:
            raise JobError(str(error)) from None
        if splits is not None or workers:
            raise ValueError(
                "`splits`, `workers`: a graph in parts has its split, and is drawn from in step; give none."
            )
    recipe = recipe.decided(on_disk=_on_disk(data))
    fabric = fabric_on(own_device(device), precision)
    with joined(recipe, fabric.device) as processes:
        dtype = torch.float64 if precision == "64-true" else torch.float32
        tasks, facts, protocol = _prepared(data, recipe, splits, fabric.device, dtype, workers, processes)
        tasks = tasks if splits is not None else tasks * len(seeds)
        objective = tasks[0][0].objective
        kept = None
        if checkpoint is not None:
            identity = {**recipe.as_dict(), "protocol": protocol.fingerprint, "precision": precision}
            kept = Checkpoint(Path(checkpoint), identity, every=checkpoint_every, writes=processes.rank == 0)
        run = _Seeds(recipe, dict(zip(seeds, tasks, strict=True)), fabric, kept, reporter or Silence(), processes)
        results, aside = run.all(seeds, resume=resume)
        record = Record(
            command=command,
            dataset=facts,
            protocol=protocol,
            metric=metric(objective.name, [result.test for result in results], unit=objective.unit),
            validation=metric(objective.name, [result.validation for result in results], unit=objective.unit),
            selection=protocol.selection,
            config=recipe.as_dict(),
            seeds=seeds,
            epochs=tuple({"selected": result.selected, "run": len(result.history)} for result in results),
            seconds=sum(result.seconds for result in results),
            environment=environment(str(fabric.device), precision, processes.count),
        )
        return Outcome(record, results, () if kept is None else tuple(kept.faults.values()), aside)


def _on_disk(data: Data | GraphSet | Partitions) -> bool:
    """Return whether features stay on the disk."""
    if isinstance(data, Partitions):
        return bool(data.about["stored"])
    return not isinstance(data, GraphSet) and data.get("store") is not None


class _Seeds(AbstractSeeds[Fit, SeedResult]):
    """The seeds of one call, each on the task of its split."""

    def __init__(
        self,
        recipe: Recipe,
        tasks: dict[int, tuple[AbstractTask, Rows]],
        fabric: Fabric,
        kept: Checkpoint | None,
        reporter: Reporter,
        processes: Processes,
    ) -> None:
        super().__init__(fabric, kept, reporter, SeedResult)
        self.recipe, self.tasks, self.processes = recipe, tasks, processes

    def stopping(self, stop: StopRequest) -> bool:
        """Return whether any process is asked to stop."""
        return self.processes.any(bool(stop), self.fabric.device)

    def begin(self, seed: int) -> Fit:
        """Return a freshly drawn classifier."""
        task, _ = self.tasks[seed]
        module = self.recipe.module(task.channels, task.classes, task.graph)
        return Fit(module, task, self.recipe, self.fabric, self.processes)

    def conclude(self, seed: int, fit: Fit, seconds: float) -> SeedResult:
        """Look at the test items, now that the epoch is selected."""
        rows, best = self.tasks[seed][1], fit.selected
        test = float(fit.task.objective.figure(fit.logits(rows.index), rows.y))
        if self.kept is not None:
            self.kept.write_weights(seed, fit.best_weights)
        return SeedResult(
            seed=seed,
            validation=best.figure,
            test=test,
            name=fit.task.objective.name,
            selected=best.number,
            history=tuple(fit.history),
            seconds=seconds,
        )


def _prepared(
    data: Data | GraphSet | Partitions,
    recipe: Recipe,
    splits: Sequence[Split] | None,
    device: torch.device,
    dtype: torch.dtype,
    workers: int,
    processes: Processes,
) -> tuple[list[tuple[AbstractTask, Rows]], DatasetFacts, Protocol]:
    """Return the task of each split with the items to test on, what the data are, and the protocol."""
    tasks: list[tuple[AbstractTask, Rows]]
    if isinstance(data, GraphSet):
        several, there = [data.split] if splits is None else splits, data.to(device)
        tasks = [prepare_graphs(there, recipe, device, dtype, split, processes=processes) for split in several]
        if not all(len(test.y) for _, test in tasks):
            raise ValueError("`test` of the split is empty; choose another split.")
        objective, facts = tasks[0][0].objective, graph_facts(data)
        named = [split for split in several if split is not None]
        return tasks, facts, graph_protocol(named, facts, recipe.rule(objective.best), objective.name)
    if isinstance(data, Partitions):
        part, test, stores = prepare_part(data, recipe, device, dtype, processes)
        records = part_records(data, recipe.rule(part.objective.best), part.objective.name)
        return [(sampled_parts(part, stores, recipe, processes=processes), test)], *records
    divided = [data] if splits is None else [split.apply(data) for split in splits]
    first = prepare(divided[0], recipe, device, dtype)
    tasks = [first, *(resplit(first[0], each, device) for each in divided[1:])]
    if recipe.fan_out:
        parts = zip(tasks, divided, strict=True)
        tasks = [
            (sampled(task, each, recipe, workers=workers, processes=processes), test) for (task, test), each in parts
        ]
    objective, facts = first[0].objective, dataset_facts(data)
    return tasks, facts, protocol_of(divided, facts, recipe.rule(objective.best), objective.name)

"""Experiments: a study as units that are trained and measured, and the one loop under all studies."""

from __future__ import annotations

import itertools
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import torch

from graphkit.training.engine.distributed import ALONE, CPU, Lost, World, rng_seed
from graphkit.training.engine.interrupts import Interrupted, StopRequest, TrainingError, stop_request
from graphkit.training.engine.records import Unit, UnitResult
from graphkit.training.engine.reporters import SILENCE, Reporter
from graphkit.training.engine.store import RunStore, tensors_from_bytes, tensors_to_bytes, weights_content, weights_name
from graphkit.training.engine.trainer import AbstractTrainer

LOGGER = logging.getLogger(__name__)


U = TypeVar("U", bound=Unit)
R = TypeVar("R", bound=UnitResult)


class Seconds(NamedTuple):
    """What a training took, before an interruption and after it: seconds of the clock, and of the CPU."""

    wall: float = 0.0
    cpu: float = 0.0


class Experiment(ABC, Generic[U, R]):
    """A study, as the engine runs it.

    Attributes:
        identity: what a run that goes on must have in common with the one that began.
        device: whose random generators are each unit's own.
        done: results so far by the key of their unit; the engine fills it.
    """

    result: type[R]
    """The class of a unit's result."""

    together: bool = True
    """Whether all processes of a job work on each unit; else they take groups of units in turns."""

    def __init__(self, identity: Mapping[str, Any], device: torch.device = CPU) -> None:
        self.identity, self.device = identity, device
        self.done: dict[str, R] = {}

    @abstractmethod
    def units(self) -> Sequence[U]:
        """Return the units in their order."""

    @abstractmethod
    def start(self, unit: U) -> AbstractTrainer[Any] | None:
        """Return what trains a unit, freshly drawn; ``None`` where there is nothing to train."""

    @abstractmethod
    def finish(self, unit: U, trainer: Any, seconds: Seconds) -> R:
        """Return what a unit came to, now that its epoch is selected: the first look at test labels."""

    def is_shared(self, unit: U) -> bool:
        """Return whether all processes of a job work on a unit; else they take groups of such units in turns."""
        return self.together

    def read_result(self, fields: Mapping[str, Any]) -> R:
        """Return what a unit came to, from the plain values that its result was written as."""
        return self.result.from_dict(fields)

    def files(self, unit: U) -> Mapping[str, bytes]:
        """Return what is kept of a unit that has just been finished, beside its result: name of a file -> content."""
        return {}

    def recall(self, unit: U, read: Callable[[str], bytes | None]) -> bool:
        """Take up what a finished unit left in ``files``, and return whether it is all there."""
        return True


@dataclass(frozen=True)
class RunResult(Generic[R]):
    """What all units came to.

    Args:
        results: in the order of the units.
        store: where the run lies, ``None`` where nothing is kept.
    """

    results: tuple[R, ...]
    store: RunStore | None

    @property
    def faults(self) -> tuple[str, ...]:
        """What could not be kept on the disk."""
        return () if self.store is None else self.store.faults

    @property
    def folder(self) -> Path | None:
        """Where the run lies, ``None`` where nothing is kept."""
        return None if self.store is None else self.store.folder

    @property
    def put_aside(self) -> Path | None:
        """The folder into which another run was moved that lay in the same folder."""
        return None if self.store is None else self.store.aside

    def keep(self, record: Any) -> None:
        """Write the record of the run into its folder, if it has one."""
        if self.store is not None:
            self.store.write_file("record.json", (record.to_json() + "\n").encode())


def run_experiment(
    experiment: Experiment[U, R],
    *,
    store: RunStore | None = None,
    reporter: Reporter = SILENCE,
    world: World = ALONE,
    resume: bool = False,
) -> RunResult[R]:
    """Run the units of an experiment, each under random generators of its own, and return what they came to.

    Args:
        experiment: what to run.
        store: finished units and the one under way go there; ``None`` keeps nothing, and catches no signal.
        reporter: hears of epochs and finished units.
        world: this process among those of the job.
        resume: go on from what lies in ``store``, to the same bits.

    Raises:
        ValueError: where there is nothing to resume, or another process holds the folder.
        TrainingError: if a training cannot go on; its last good state stays in ``store``.
        Interrupted: on SIGINT, SIGTERM or a ``KeyboardInterrupt`` of the reporter, if there is a ``store``.
    """
    session = _Session(experiment, store, reporter, world)
    with session.open_run(resume=resume):
        for units in session.rounds():
            for unit in units:
                if session.recall_unit(unit):
                    continue
                with rng_seed(unit.seed, experiment.device):
                    trainer = session.start(unit)
                    with session.named_errors(unit):
                        for epoch in trainer.epochs() if trainer is not None else ():
                            session.on_epoch(unit, epoch)
                    session.finish(unit)
            session.exchange(units)
    return session.result()


class _Session(Generic[U, R]):
    """One call of :func:`run_experiment`: its state, and what happens between two steps of its loops."""

    def __init__(self, experiment: Experiment[U, R], store: RunStore | None, reporter: Reporter, world: World) -> None:
        self.experiment, self.store, self.reporter, self.world = experiment, store, reporter, world
        units = experiment.units()
        self.units = [replace(unit, number=place, total=len(units)) for place, unit in enumerate(units, start=1)]
        self.stop: StopRequest | None = None
        self._spread = False
        self._trainer: AbstractTrainer[Any] | None = None
        self._unit: U | None = None
        self._files: dict[str, Mapping[str, bytes]] = {}
        self._before, self._began = Seconds(), Seconds()

    @contextmanager
    def open_run(self, *, resume: bool) -> Iterator[None]:
        """Hold the folder in a block and take up what lies there; hear of signals, unless nothing is kept."""
        if self.store is None:
            yield
            return
        store, make = self.store, self.experiment.read_result
        with store.open(resume=resume), stop_request() as self.stop:
            self.experiment.done.update({key: make(fields) for key, fields in store.finished.items()})
            try:
                self.world.any(False, CPU)  # none writes before all have read
                yield
            except (Lost, ConnectionError):
                if not self.stop:
                    raise
                # The other process was asked to stop too and has done so, or does not answer.
                place = "" if self._unit is None else f" in {self._unit.label}"
                raise self._interruption(f"stopped{place} where another process does not go on") from None

    def rounds(self) -> Iterator[list[U]]:
        """Yield the units that this process runs, until all processes have run as many groups."""
        for shared, successive in itertools.groupby(self.units, key=self.experiment.is_shared):
            self._spread = self.world.count > 1 and not shared
            if not self._spread:
                yield list(successive)
                continue
            groups = [list(units) for _, units in itertools.groupby(successive, key=lambda unit: unit.group)]
            for start in range(0, len(groups), self.world.count):
                place = start + self.world.rank
                yield groups[place] if place < len(groups) else []

    def recall_unit(self, unit: U) -> bool:
        """Return whether a unit is finished already, and tell of it."""
        if unit.key not in self.experiment.done or not self.experiment.recall(unit, self._read):
            return False
        self.reporter.on_unit(unit, self.experiment.done[unit.key])
        return True

    def start(self, unit: U) -> AbstractTrainer[Any] | None:
        """Return the trainer of a unit, where it stopped if it is the one that was under way."""
        LOGGER.info("%s (%d of %d)", unit.label, unit.number, unit.total)
        self._unit, self._trainer = unit, None
        with self._at_once(f"stopped before {unit.label}"):
            trainer = self.experiment.start(unit)
        self._trainer, self._before = trainer, Seconds()
        state = None if self.store is None else self.store.running
        if trainer is not None and state is not None and state["unit"] == unit.key:
            trainer.load_state_dict(state["trainer"])
            self._before = Seconds(*state["seconds"])
            self.store.running = None  # type: ignore[union-attr]  # it was just read from there
        self._began = Seconds(time.perf_counter(), time.process_time())
        if trainer is not None:
            self._write()  # who sees the file may ask us to stop at once, and shall be told where it lies
        return trainer

    def on_epoch(self, unit: U, epoch: Any) -> None:
        """Report an epoch, and write the state where it is time; if we are asked to stop, write it and do.

        Only here, between two epochs, is the state whole: an interrupt from inside an epoch (a second Ctrl-C) is not
        caught, and leaves the last written state alone.
        """
        assert self._trainer is not None
        try:
            self.reporter.on_epoch(unit, epoch, self._trainer.best or epoch)
            if self._stop_requested():
                raise KeyboardInterrupt
        except (KeyboardInterrupt, Lost) as reason:
            if self.store is None or (isinstance(reason, Lost) and not self.stop):
                raise
            self._write()
            said = f"stopped after {self._trainer.epoch_name} {epoch.number} of {unit.label}"
            raise self._interruption(said) from None
        if self.store is not None and self.store.is_due:
            self._write()

    @contextmanager
    def named_errors(self, unit: U) -> Iterator[None]:
        """Let an error of a training name its unit, and the weights that are kept of it."""
        try:
            yield
        except TrainingError as error:
            if self.store is None or isinstance(error, Lost):
                raise
            weights = {} if self._trainer is None else self._trainer.best_weights
            where = self.store.write_file(weights_name(unit.key), weights_content(weights)) if weights else None
            left = "No weights are kept." if where is None else self.store.fault(where) or f"Weights kept: {where}"
            raise TrainingError(f"{unit.label}: {error} {left}") from None

    def finish(self, unit: U) -> None:
        """Measure a unit, keep what it came to, and tell of it; if we are asked to stop, do."""
        LOGGER.info("measuring what %s came to", unit.label)
        trainer, seconds = self._trainer, self._seconds()
        with self._at_once(f"stopped while measuring {unit.label}"):
            result = self.experiment.finish(unit, trainer, seconds)
        self.experiment.done[unit.key] = result
        files = dict(self.experiment.files(unit))
        if self.store is not None:
            for name, content in files.items():
                self.store.write_file(name, content)
        if self._spread:
            self._files[unit.key] = files
        self._trainer = None
        self._write()
        try:
            self.reporter.on_unit(unit, result)
            last = unit is self.units[-1]
            if self.store is not None and not self._spread and not last and self._stop_requested():
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            if self.store is None:
                raise
            raise self._interruption(f"stopped after {unit.label}") from None

    def exchange(self, units: Sequence[U]) -> None:
        """Give what the units of a round came to to all processes, and take what those of the others did."""
        if not self._spread:
            return
        mine = {unit.key: self.experiment.done[unit.key].as_dict() for unit in units}
        files = {key: self._files.pop(key, {}) for key in mine}
        if self.stop:
            self._write()
            raise self._interruption("stopped between two units")
        everything = self.world.gather(tensors_to_bytes({"finished": mine, "files": files}))
        by_key = {unit.key: unit for unit in self.units}
        for rank, content in enumerate(everything):
            if rank == self.world.rank:
                continue
            told = tensors_from_bytes(content)
            for key, fields in told["finished"].items():
                self.experiment.done[key] = self.experiment.read_result(fields)
                sent = told["files"][key]
                self.experiment.recall(by_key[key], sent.get if sent else self._read)
                for name, file in sent.items():
                    if self.store is not None:
                        self.store.write_file(name, file)
                self.reporter.on_unit(by_key[key], self.experiment.done[key])
        self._write()

    def result(self) -> RunResult[R]:
        """Return what all units came to."""
        return RunResult(tuple(self.experiment.done[unit.key] for unit in self.units), self.store)

    def _stop_requested(self) -> bool:
        """Return whether this process is asked to stop, or any of those that work on the unit together."""
        here = bool(self.stop)
        return here if self._spread or self.store is None else self.world.any(here, CPU)

    @contextmanager
    def _at_once(self, said: str) -> Iterator[None]:
        """Let a request end a block that is long and has no state of its own between its beginning and its end.

        Several processes end theirs together, between two epochs.
        """
        if self.stop is None or (self.world.count > 1 and not self._spread):
            yield
            return
        try:
            with self.stop.at_once():
                yield
        except KeyboardInterrupt:
            self._write()
            raise self._interruption(said) from None

    def _seconds(self) -> Seconds:
        """Return what the training of the unit has taken so far."""
        wall, cpu = self._before
        return Seconds(wall + time.perf_counter() - self._began.wall, cpu + time.process_time() - self._began.cpu)

    def _write(self) -> None:
        """Write what is finished and the state of the unit under way, if they are kept."""
        if self.store is None:
            return
        running = self.store.running
        if self._trainer is not None and self._unit is not None:
            state = self._trainer.state_dict()
            running = {"unit": self._unit.key, "seconds": tuple(self._seconds()), "trainer": state}
        done = self.experiment.done
        finished = {key: result.as_dict() for key, result in done.items()}
        complete = running is None and all(unit.key in done for unit in self.units)
        self.store.write(finished, running, complete=complete)

    def _read(self, name: str) -> bytes | None:
        """Return the content of a file of the run's folder, ``None`` where there is none."""
        path = None if self.store is None else self.store.folder / name
        return path.read_bytes() if path is not None and path.exists() else None

    def _interruption(self, said: str) -> Interrupted:
        """Return the exception that says where to go on."""
        assert self.store is not None
        if self.store.writes and not self.store.path.exists():
            self.store.write({}, None)
        return Interrupted(f"{said}; {self.store.left}")

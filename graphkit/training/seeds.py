"""The seeds of one call: those that are finished, the one under way, and what a checkpoint keeps of them."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from graphkit.training.abstract_fit import AbstractFit
from graphkit.training.checkpoints import Checkpoint
from graphkit.training.devices import seeded
from graphkit.training.interrupts import Interrupted, StopRequest, stop_request
from graphkit.training.processes import Lost
from graphkit.training.validity import TrainingError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LOGGER = logging.getLogger(__name__)

F = TypeVar("F", bound=AbstractFit[Any])
R = TypeVar("R")


class AbstractSeeds(ABC, Generic[F, R]):
    """Runs one seed after the other, each under random generators of its own.

    Args:
        fabric: device and precision.
        kept: what is finished and the one under way go there; ``None`` keeps nothing.
        reporter: hears of epochs and finished seeds.
        result: the class of a seed's result, with ``as_dict`` and ``from_dict``.
    """

    def __init__(self, fabric: Fabric, kept: Checkpoint | None, reporter: Any, result: Any) -> None:
        self.fabric, self.kept, self.reporter, self._result = fabric, kept, reporter, result
        self.finished: dict[int, R] = {}
        self._begun: dict[str, Any] | None = None

    @abstractmethod
    def begin(self, seed: int) -> F:
        """Return a freshly drawn fit; the generators are the seed's."""

    @abstractmethod
    def conclude(self, seed: int, fit: F, seconds: float) -> R:
        """Return the result of a fit whose epoch is selected: the first look at test labels."""

    def done(self, seed: int) -> bool:
        """Return whether nothing is left to do for a seed."""
        return seed in self.finished

    def stopping(self, stop: StopRequest) -> bool:
        """Return whether to stop after the epoch that has just ended."""
        return bool(stop)

    def all(self, seeds: Sequence[int], *, resume: bool) -> tuple[tuple[R, ...], Path | None]:
        """Return the results of all seeds, and where another run that lay there was put aside."""
        with nullcontext() if self.kept is None else self.kept.alone():
            aside = None
            if resume:
                self.resume()
            elif self.kept is not None:
                aside = self.kept.put_aside()
            return tuple(self.seed(seed) for seed in seeds), aside

    def resume(self) -> None:
        """Take up finished seeds, and the state of the one that was under way."""
        if self.kept is not None:
            state = self.kept.read()
            self.finished = {seed: self._result.from_dict(fields) for seed, fields in state["finished"].items()}
            self._begun = state["running"]

    def seed(self, seed: int) -> R:
        """Return the result of one seed, trained now unless it is finished already."""
        if self.done(seed):
            self.reporter.seed(self.finished[seed])
            return self.finished[seed]
        with seeded(seed, self.fabric.device):
            LOGGER.info("training with seed %d", seed)
            fit = self.begin(seed)
            before = 0.0
            if self._begun is not None and self._begun["seed"] == seed:
                fit.load_state_dict(self._begun["fit"])
                before = self._begun["seconds"]
            self._begun = None
            seconds = self._train(seed, fit, before)
            LOGGER.info("measuring what seed %d came to", seed)
            result = self.conclude(seed, fit, seconds)
        self.finished[seed] = result
        self._write(None)
        self.reporter.seed(result)
        return result

    def _train(self, seed: int, fit: F, before: float) -> float:
        """Run the epochs and return the seconds they took, those before an interruption included."""
        start = time.perf_counter() - before
        if self.kept is None:
            for epoch in fit.epochs():
                self.reporter.epoch(seed, epoch, fit.best or epoch)
            return time.perf_counter() - start
        kept = self.kept

        def write() -> None:
            self._write({"seed": seed, "seconds": time.perf_counter() - start, "fit": fit.state_dict()})

        with stop_request() as stop:
            write()  # under the request already: who sees the file may ask at once, and shall be told where it lies
            try:
                for epoch in fit.epochs():
                    self._tell(seed, epoch, fit, stop, kept, write)
                    if kept.due:
                        write()
            except (TrainingError, ConnectionError) as error:
                lost = isinstance(error, Lost | ConnectionError)
                if lost and stop:  # the other process was asked too and has stopped, or does not answer
                    said = f"stopped in an epoch of seed {seed} that another process does not end"
                    raise Interrupted(f"{said}; {_left(kept)}") from None
                if isinstance(error, ConnectionError):
                    raise
                where = kept.write_weights(seed, fit.best_weights) if fit.best_weights else None
                left = kept.faults.get(where) or f"Weights kept: {where}" if where else "No weights are kept."
                raise TrainingError(f"seed {seed}: {error} {left}") from None
        return time.perf_counter() - start

    def _tell(
        self, seed: int, epoch: Any, fit: F, stop: StopRequest, kept: Checkpoint, write: Callable[[], None]
    ) -> None:
        """Report an epoch; if we are asked to stop, write the state and do.

        Only here, between two epochs, is the state whole: an interrupt from inside an epoch (a second Ctrl-C) is not
        caught, and leaves the last written state alone.
        """
        try:
            self.reporter.epoch(seed, epoch, fit.best or epoch)
            if self.stopping(stop):
                raise KeyboardInterrupt
        except (KeyboardInterrupt, Lost) as reason:
            if isinstance(reason, Lost) and not stop:
                raise
            write()
            raise Interrupted(f"stopped after epoch {epoch.number} of seed {seed}; {_left(kept)}") from None

    def _write(self, running: dict[str, Any] | None) -> None:
        """Write the checkpoint, if one is kept."""
        if self.kept is not None:
            finished: dict[int, Any] = dict(self.finished)
            self.kept.write({seed: result.as_dict() for seed, result in finished.items()}, running)


def _left(kept: Checkpoint) -> str:
    """Return where a run goes on, or why it does not."""
    return kept.faults.get(kept.path) or f"resume from {str(kept.path)!r}."


def require_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Return the seeds, or refuse what cannot be one."""
    given, seeds = seeds, tuple(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, bytes | Mapping) else ()
    whole = all(isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**63 for seed in seeds)
    if not seeds or not whole or len(set(seeds)) < len(seeds):
        raise ValueError(
            "`seeds` must be at least one and all different, whole numbers from 0 to 2**63 - 1, "
            f"got {list(seeds) or given}."
        )
    return seeds

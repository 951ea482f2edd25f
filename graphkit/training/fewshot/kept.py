"""What a few-shot study has finished, on the disk."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graphkit.training.fewshot.results import ProblemResult
from graphkit.training.files import Writer, held, put_aside
from graphkit.training.interrupts import Interrupted, StopRequest
from graphkit.training.processes import Processes
from graphkit.training.protocol import fingerprint
from graphkit.training.sealed import Damaged, read_fields, read_tensors, saved_fields, saved_tensors

ALONE = Processes()
KEPT, UNDER_WAY = "results.json", "training.pt"


class Kept:
    """Finished results in one file, replaced as a whole after each; of several processes the first writes it."""

    def __init__(self, folder: Path | None, identity: str, resume: bool, *, processes: Processes = ALONE) -> None:
        self.processes = processes
        self.path = None if folder is None else folder / KEPT
        self.identity = identity
        self.resumed = resume
        self.results: dict[str, Any] = {}
        self.writer = Writer()
        self.put_aside: Path | None = None
        if not resume or self.path is None:
            return
        try:
            content = read_fields(self.path)
        except FileNotFoundError:
            raise ValueError(f"`resume`: there is no {str(self.path)!r} to go on from.") from None
        except Damaged as error:
            raise ValueError(f"`resume`: {error}; start again without it.") from None
        if content.get("identity") != identity:
            raise ValueError(
                f"`resume`: {str(self.path)!r} is of another study; give the same data, tasks, seed and kind of device."
            )
        self.results = content["results"]

    @classmethod
    @contextmanager
    def alone(cls, folder: Path | None, identity: str, resume: bool, *, processes: Processes = ALONE) -> Iterator[Kept]:
        """Hold the folder until the block ends, if this process writes there, and give what lies in it.

        Raises:
            ValueError: where another process holds it, or there is nothing of this study to go on from.
        """
        if folder is None or processes.rank:
            yield cls(folder, identity, resume, processes=processes)
            return
        folder.mkdir(parents=True, exist_ok=True)
        with held("folder", folder):
            kept = cls(folder, identity, resume, processes=processes)
            if not resume and (folder / KEPT).exists() and _identity(folder / KEPT) != identity:
                kept.put_aside = put_aside(folder, (KEPT, UNDER_WAY))
            yield kept

    def get(self, name: str, problem: str, config: Mapping[str, Any]) -> ProblemResult | None:
        """Return a result, if a method of this name and these fields has finished the problem."""
        found = self.results.get(f"{name} {fingerprint(config)} {problem}")
        return None if found is None else ProblemResult.from_dict(found)

    def put(self, name: str, result: ProblemResult, config: Mapping[str, Any]) -> None:
        """Keep a result."""
        self.results[f"{name} {fingerprint(config)} {result.problem}"] = dataclasses.asdict(result)
        self.put_down()

    def put_down(self) -> None:
        """Write what is finished, be it nothing yet."""
        if self.path is not None and self.processes.rank == 0:
            self.writer.write(self.path, saved_fields({"identity": self.identity, "results": self.results}))

    def interrupted(self, what: str) -> Interrupted:
        """Return the exception that says where to go on, or that there is no such place."""
        lost = " ".join(self.writer.faults.values())
        return Interrupted(f"{what}; {lost or f'resume from {str(self.path and self.path.parent)!r}.'}")


def _identity(path: Path) -> str | None:
    """Return what study a file is of, nothing where it is damaged or of another version."""
    try:
        found: str | None = read_fields(path).get("identity")
    except Damaged:
        return None
    return found


class UnderWay:
    """The state of one meta-training on the disk, written now and then and when the run is asked to stop.

    Args:
        kept: the study it belongs to.
        task: method and problem.
        stop: whether somebody asked to stop.
        every: seconds between two writes.

    Attributes:
        before: CPU seconds that the training took before it was resumed.
        processes: those that train together; the first writes, and a request to one stops all.
    """

    def __init__(self, kept: Kept, task: str, stop: StopRequest | None, *, every: float = 30.0) -> None:
        self.kept, self.task, self.stop, self.every = kept, task, stop, every
        self.processes = kept.processes
        self.path = None if kept.path is None else kept.path.with_name(UNDER_WAY)
        self.before = 0.0
        self._written, self._began = time.monotonic(), time.process_time()

    def state(self) -> Mapping[str, Any] | None:
        """Return the state to go on from, if there is one of this very training.

        Raises:
            ValueError: for a file that cannot be read.
        """
        if self.path is None or not self.kept.resumed or not self.path.exists():
            return None
        try:
            content = read_tensors(self.path)
        except Damaged as error:
            raise ValueError(f"`resume`: {error}; remove it to train anew.") from None
        if (content["identity"], content["task"]) != (self.kept.identity, self.task):
            return None
        self.before = content["seconds"]
        return content["state"]

    def keep(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Write the state where it is time; after a request to stop, write it and stop.

        Raises:
            Interrupted: after a request to stop.
        """
        if self.path is None:
            return
        import torch

        stop = self.processes.any(bool(self.stop), torch.device("cpu"))
        if stop or (self.processes.rank == 0 and time.monotonic() - self._written >= self.every):
            self._write(state)
        if stop:
            self.kept.put_down()
            raise self.kept.interrupted(f"stopped in the meta-training of {self.task.split()[0]}")

    def _write(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Write the state, if this is the process that does."""
        if self.path is None or self.processes.rank:
            return
        seconds = self.before + time.process_time() - self._began
        content = {"identity": self.kept.identity, "task": self.task, "seconds": seconds, "state": state()}
        self.kept.writer.write(self.path, saved_tensors(content))
        self._written = time.monotonic()

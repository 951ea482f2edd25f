"""The folder of a run: what is finished, the state under way, weights, the record; tied to what the run is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from graphkit._checks import flag, instance
from graphkit.training.engine.arguments import require_run
from graphkit.training.engine.files import (
    Damaged,
    Writer,
    lock_folder,
    pack_tensors,
    read_tensors,
    require_writable,
    rotate,
)

FORM = 3
"""Counts changes of the file's form; another form is refused."""

OF_A_RUN = ("checkpoint.pt", "*.safetensors", "record.json", *("scatter.png", "distances.png", "neighbours.png"))
"""What a run leaves in its folder, the pictures of an embedding among it."""


def weights_name(unit: str) -> str:
    """Return the name of the file with a unit's selected weights."""
    return f"{unit}.safetensors"


def weights_content(weights: Mapping[str, Tensor]) -> bytes:
    """Return weights as the content of such a file."""
    from safetensors.torch import save

    content: bytes = save({name: value.detach().cpu().contiguous() for name, value in weights.items()})
    return content


def weights_from(content: bytes | None) -> dict[str, Tensor] | None:
    """Return weights from the content of such a file; ``None`` where there is none, or it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return None if content is None else load(content)
    except SafetensorError:
        return None


class RunStore:
    """One folder a run: finished units and the one under way in one file, which is replaced as a whole each time.

    Args:
        folder: where ``checkpoint.pt``, the selected weights of each unit, ``seed-0.safetensors``, and ``record.json``
            go.
        identity: what the run is (recipe, protocol, precision); a file of another identity is not continued.
        every: seconds between two periodic writes.
        writes: whether this process of a job is the one that writes; the others read only.

    Attributes:
        finished: unit -> what it came to, as plain fields.
        running: the state of the unit under way, ``None`` between two.
        aside: the folder into which another run was moved that lay in this one.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], *, every: float = 30.0, writes: bool = True) -> None:
        require_run(folder, False, every=every)
        instance("run_dir", folder, Path, "a Path")
        instance("identity", identity, Mapping, "a mapping")
        self.writes = flag("writes", writes)
        self.folder, self.identity, self.every = folder, dict(identity), every
        self.path = folder / "checkpoint.pt"
        self.finished: dict[str, Mapping[str, Any]] = {}
        self.running: Mapping[str, Any] | None = None
        self.aside: Path | None = None
        if writes:
            require_writable("run_dir", self.path)
        self._writer = Writer()
        self._written = time.monotonic()

    @property
    def faults(self) -> tuple[str, ...]:
        """What could not be written; a later write that succeeds takes its file out."""
        return tuple(self._writer.faults.values())

    @property
    def is_due(self) -> bool:
        """Whether the last write is more than ``every`` seconds ago."""
        return time.monotonic() - self._written >= self.every

    @property
    def left(self) -> str:
        """Where the run goes on, in words, or why it does not."""
        return self._writer.faults.get(self.path) or f"resume from {str(self.path)!r}."

    @contextmanager
    def open(self, *, resume: bool) -> Iterator[None]:
        """Hold the folder in a block, and begin it with what lies there or with nothing.

        What an unfinished run, or one of another identity, left there is moved into a folder of its own: else a new run
        would overwrite a part of it. To go on with it after all, resume from that folder.

        Raises:
            ValueError: where another process holds the folder; on resuming, if there is no checkpoint, it cannot be
                read, or it belongs to another run.
        """
        if not self.writes:
            if resume:
                self.read()
            yield
            return
        with lock_folder("run_dir", self.folder):
            if resume:
                self.read()
            elif self.path.exists() and not self._replaceable():
                self.aside = rotate(self.folder, OF_A_RUN)
            yield

    def write(self, finished: Mapping[str, Any], running: Mapping[str, Any] | None, *, complete: bool = False) -> None:
        """Write beside the file and rename: whoever is killed here leaves the previous one whole.

        A disk that is full must not cost a training its result: what went wrong is kept in ``faults``.

        Args:
            finished: unit -> what it came to.
            running: the state of the one under way.
            complete: whether nothing is left to do.
        """
        if not self.writes:
            return
        content = {"form": FORM, "identity": self.identity, "complete": complete}
        self.write_file(self.path.name, pack_tensors({**content, "finished": finished, "running": running}))
        self._written = time.monotonic()

    def write_file(self, name: str, content: bytes) -> Path:
        """Write a file of the folder, or remember why it could not be written."""
        path = self.folder / name
        if self.writes:
            self._writer.write(path, content)
        return path

    def fault(self, path: Path) -> str | None:
        """Return why a file could not be written, ``None`` where it was."""
        return self._writer.faults.get(path)

    def read(self) -> None:
        """Take up ``finished`` and ``running`` as they were written; nothing in the file is executed.

        Raises:
            ValueError: if there is no checkpoint, it cannot be read, or it belongs to another run.
        """
        if not self.path.exists():
            raise ValueError(f"`resume`: there is no checkpoint in {str(self.folder)!r}; start without it.")
        try:
            content = read_tensors(self.path)
        except Damaged as error:
            raise ValueError(f"`resume`: {error}; start without it.") from None
        form, identity = content["form"], content["identity"]
        if form != FORM:
            raise ValueError(f"`resume`: {str(self.path)!r} has form {form}, this version of graphkit reads {FORM}.")
        differences = [
            f"{name} was {identity.get(name, 'absent')!r} and is {self.identity.get(name, 'absent')!r}"
            for name in sorted(identity.keys() | self.identity.keys())
            if identity.get(name) != self.identity.get(name)
        ]
        if differences:
            raise ValueError(
                f"`resume`: {str(self.path)!r} belongs to another run: {'; '.join(differences[:3])}; "
                "start without it, or give what that run was given."
            )
        self.finished, self.running = content["finished"], content["running"]

    def _replaceable(self) -> bool:
        """Return whether what lies there is a finished run of the same identity."""
        try:
            content = read_tensors(self.path)
        except Damaged:
            return False  # or of another version: not ours to throw away
        return content.get("complete", False) and content["identity"] == self.identity

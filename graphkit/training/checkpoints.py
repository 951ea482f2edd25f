"""Checkpoints: the state of a run on disk, tied to what the run was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from torch import Tensor

from graphkit._checks import flag, instance
from graphkit.training.arguments import require_run
from graphkit.training.files import Writer, held, put_aside, require_writable
from graphkit.training.sealed import Damaged, read_tensors, saved_tensors

FORM = 2
"""Counts changes of the file's form; another form is refused."""


OF_A_RUN = (
    "checkpoint.pt",
    "seed-*.safetensors",
    "embeddings-*.safetensors",
    "record.json",
    *("scatter.png", "distances.png", "neighbours.png"),
)
"""What a run leaves in its folder, pictures and record of an embedding among it."""


class Checkpoint:
    """One file that holds finished seeds and the one under way, replaced as a whole each time.

    Args:
        folder: where ``checkpoint.pt`` and the selected weights of each seed, ``seed-N.safetensors``, go.
        identity: what the run is (recipe, protocol, precision); a file of another identity is not continued.
        every: seconds between two periodic writes.
        writes: whether this process of a job is the one that writes; the others read only.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], *, every: float = 30.0, writes: bool = True) -> None:
        require_run(folder, False, every=every, name="folder")
        instance("folder", folder, Path, "a Path")
        instance("identity", identity, Mapping, "a mapping")
        self.writes = flag("writes", writes)
        self.folder, self.identity, self.every = folder, dict(identity), every
        self.path = folder / "checkpoint.pt"
        if writes:
            require_writable("checkpoint", self.path)
        self._writer = Writer()
        self._written = time.monotonic()

    @property
    def faults(self) -> dict[Path, str]:
        """File -> why it could not be written; a later write that succeeds takes its file out."""
        return self._writer.faults

    @property
    def due(self) -> bool:
        """Whether the last write is more than ``every`` seconds ago."""
        return time.monotonic() - self._written >= self.every

    def alone(self) -> AbstractContextManager[None]:
        """Hold the folder until a block ends, if this process writes, or refuse what another process holds."""
        return held("checkpoint", self.folder) if self.writes else nullcontext()

    def put_aside(self) -> Path | None:
        """Move what lies there of an unfinished run, or one of another identity, into a folder of its own.

        Else a new run would overwrite a part of it. To go on with it after all, resume from that folder.
        """
        if not self.writes or not self.path.exists():
            return None
        try:
            content = read_tensors(self.path)
            done = content["running"] is None and content["identity"] == self.identity
        except Damaged:
            done = False  # or of another version: not ours to throw away
        return None if done else put_aside(self.folder, OF_A_RUN)

    def write(self, finished: Mapping[int, Mapping[str, Any]], running: Mapping[str, Any] | None) -> None:
        """Write beside the file and rename: whoever is killed here leaves the previous one whole.

        A disk that is full must not cost a training its result: what went wrong is kept in ``faults``.
        """
        if not self.writes:
            return
        content = {"form": FORM, "identity": self.identity, "finished": finished, "running": running}
        self.write_content(self.path, saved_tensors(content))
        self._written = time.monotonic()

    def write_weights(self, seed: int, weights: Mapping[str, Tensor]) -> Path:
        """Write the selected weights of one seed and return where they are."""
        from safetensors.torch import save

        path = self.folder / f"seed-{seed}.safetensors"
        self.write_content(path, save({name: value.detach().cpu().contiguous() for name, value in weights.items()}))
        return path

    def write_content(self, path: Path, content: bytes) -> None:
        """Write a file, or remember why it could not be written."""
        if self.writes:
            self._writer.write(path, content)

    def read(self) -> dict[str, Any]:
        """Return ``{"finished", "running"}`` as it was written; nothing in the file is executed.

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
        return {"finished": content["finished"], "running": content["running"]}

"""The folder of a run: what is finished, the state under way, weights, the record; tied to what the run is.

Its files are either whole or not there, and one process at a time writes to it. Those that a run reads back carry a
checksum of all they hold, which is looked at before anything is used: a disk or a copy that changes a bit would else
change weights in silence. The checksum tells accidents, not forgers.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphkit._checks import flag, instance
from graphkit.data.disk.checked_files import file_lock
from graphkit.training.engine.options import require_run

if TYPE_CHECKING:
    from torch import Tensor

FORM = 3
"""Counts changes of the file's form; another form is refused."""

CHECKPOINT = "checkpoint.pt"
"""The file of finished units and the one under way."""

JOURNAL = "journal.log"
"""The file of the trials of a search."""

OF_A_RUN = (CHECKPOINT, JOURNAL, "*.safetensors", "record.json", *("scatter.png", "distances.png", "neighbours.png"))
"""What a run leaves in its folder, the pictures of an embedding among it."""


LOCK = ".lock"
"""A file in the folder of a run, by whose lock its process is known to live."""

MARK = b"\ngraphkit-sha256:"
SEAL = len(MARK) + 64
"""Bytes that stand behind a file's content; PyTorch, which looks for the end of an archive, reads on over them."""


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
        self.path = folder / CHECKPOINT
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


def require_writable(argument: str, path: Path) -> None:
    """Make the folder of ``path`` and see that a file can be written there, before anything is computed for it.

    Raises:
        ValueError: if it cannot, or if ``path`` is a folder, a device or a pipe, in whose place no file may be put.
    """
    instance("argument", argument, str, "text")
    instance("path", path, Path, "a Path")
    # /dev/stdout may lead to a file, and putting another in its place would take what is printed there with it.
    if path.absolute().parent in (Path("/dev"), Path("/dev/fd")) or (path.exists() and not path.is_file()):
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        raise ValueError(f"`{argument}` must name a file, but {str(path)!r} is {kind}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(13, "Permission denied")
        with tempfile.TemporaryFile(dir=path.parent) as file:
            file.write(b"\n")
    except OSError as error:
        raise ValueError(f"`{argument}` {str(path)!r} cannot be written: {error.strerror}.") from None


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, flush it to the disk, and rename it; on failure leave nothing behind.

    Where ``path`` is a link, the file it leads to is replaced and the link stays.
    """
    path = path.resolve()
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a full disk does not say of what file
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def rotate(folder: Path, patterns: Iterable[str]) -> Path:
    """Move the files of a run into a new folder inside of its own, so that none stands among those of another run.

    Args:
        folder: where both runs write.
        patterns: names of files, with ``*`` in them.

    Returns:
        the new folder: what a run that was stopped goes on from.
    """
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    numbers = itertools.count(1)
    aside = next(place for number in numbers if not (place := folder / f"aside-{number}").exists())
    aside.mkdir()
    for path in files:
        path.rename(aside / path.name)
    return aside


class Writer:
    """Writes files whole; a disk that is full must not cost a training its result.

    Attributes:
        faults: file -> why it could not be written; a later write that succeeds takes its file out.
    """

    def __init__(self) -> None:
        self.faults: dict[Path, str] = {}

    def write(self, path: Path, content: bytes) -> None:
        """Write a file, or remember why it could not be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
            self.faults.pop(path, None)
        except OSError as error:
            self.faults[path] = f"{str(path)!r} could not be written ({error.strerror})."


@contextmanager
def lock_folder(argument: str, folder: Path) -> Iterator[None]:
    """Hold a folder until the block ends, or the process does, in whatever way.

    Raises:
        ValueError: where another process holds it, such as one of a job that was killed and is not yet gone.
    """
    from filelock import Timeout

    with ExitStack() as held:
        try:
            held.enter_context(file_lock(folder / LOCK))
        except Timeout:
            raise ValueError(
                f"`{argument}`: another process trains into {str(folder)!r}; wait until it ends or end it, or "
                "name another folder."
            ) from None
        except (OSError, NotImplementedError):
            pass  # some file systems of networks have no locks
        yield


class Damaged(ValueError):
    """A file that does not hold what was written: its checksum differs, or it has none."""


def add_checksum(content: bytes) -> bytes:
    """Return a file's content with its checksum behind it.

    Example:
        >>> len(add_checksum(b"content")) - len(b"content") == SEAL
        True
    """
    return content + MARK + hashlib.sha256(content).hexdigest().encode()


def verify_checksum(path: Path) -> bytes:
    """Return the content that :func:`add_checksum` was given.

    Raises:
        Damaged: naming the file.
        FileNotFoundError: where there is none.
    """
    whole = path.read_bytes()
    content, seal = whole[:-SEAL], whole[-SEAL:]
    if not seal.startswith(MARK):
        raise Damaged(damage_message(path, sealed=MARK in whole))
    if add_checksum(content)[-SEAL:] != seal:
        raise Damaged(damage_message(path, sealed=True))
    return content


def pack_tensors(fields: Mapping[str, Any]) -> bytes:
    """Return fields, of tensors and plain values, as the content of a file with a checksum."""
    return add_checksum(tensors_to_bytes(fields))


def read_tensors(path: Path) -> dict[str, Any]:
    """Return what :func:`pack_tensors` was given; nothing in the file is executed.

    Raises:
        Damaged: naming the file.
        FileNotFoundError: where there is none.
    """
    return tensors_from_bytes(verify_checksum(path))


def tensors_to_bytes(fields: Mapping[str, Any]) -> bytes:
    """Return fields, of tensors and plain values, as bytes."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(fields), buffer)
    return buffer.getvalue()


def tensors_from_bytes(content: bytes) -> dict[str, Any]:
    """Return what :func:`tensors_to_bytes` was given; nothing in it is executed."""
    import torch

    found: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return found


def pack_fields(fields: Mapping[str, Any]) -> bytes:
    """Return plain fields as a JSON file's content, with the checksum as one field more."""
    return json.dumps({**fields, "sha256": _digest(fields)}).encode()


def read_fields(path: Path) -> dict[str, Any]:
    """Return what :func:`pack_fields` was given.

    Raises:
        Damaged: naming the file.
        FileNotFoundError: where there is none.
    """
    try:
        fields = json.loads(path.read_bytes())
    except ValueError:
        raise Damaged(damage_message(path, sealed=True)) from None
    if not isinstance(fields, dict) or "sha256" not in fields:
        raise Damaged(damage_message(path, sealed=False))
    if fields.pop("sha256") != _digest(fields):
        raise Damaged(damage_message(path, sealed=True))
    return fields


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def damage_message(path: Path, *, sealed: bool) -> str:
    """Say that a file, with a checksum or without, is not what was written."""
    if sealed:
        return f"{str(path)!r} is damaged: it is not what was written (its checksum differs)"
    return f"{str(path)!r} has no checksum: it is damaged, or of an older version of graphkit"

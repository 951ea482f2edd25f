"""Files that are either whole or not there, in folders that one process at a time writes to.

Those that a run reads back carry a checksum of all they hold, which is looked at before anything is used: a disk or a
copy that changes a bit would else change weights in silence. The checksum tells accidents, not forgers.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from graphkit._checks import instance
from graphkit.data.disk.checked_files import file_lock

LOCK = ".lock"
"""A file in the folder of a run, by whose lock its process is known to live."""


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


MARK = b"\ngraphkit-sha256:"
SEAL = len(MARK) + 64
"""Bytes that stand behind a file's content; PyTorch, which looks for the end of an archive, reads on over them."""


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

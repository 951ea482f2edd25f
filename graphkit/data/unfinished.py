"""An import under way: the folder that one process claims, and what in it is finished and still what it was."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graphkit.data.errors import DataError
from graphkit.data.files import sealed, sha256, unsealed
from graphkit.data.storage import MANIFEST

JOB = "job.json"

SUM = ".sha256"
"""Ending of the file beside a finished one that has its checksum: what was damaged meanwhile is made anew."""


def seen(path: Path) -> list[Any]:
    """Return by what a file is known again."""
    if not path.exists():
        raise DataError(f"{path} is missing.")
    about = path.stat()
    return [str(path.absolute()), about.st_size, about.st_mtime_ns]


@contextmanager
def claimed(partial: Path, job: dict[str, Any]) -> Iterator[None]:
    """Hold the folder of an unfinished import alone, having looked that it is of the same job."""
    partial.mkdir(exist_ok=True)
    with (partial / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"another process is importing to {str(partial)!r}.") from None
        told = partial / JOB
        if not told.exists() or (partial / MANIFEST).exists():
            _emptied(partial)  # killed before it began, or at the very end, when its traces were being removed
        if told.exists() and _read(told) != job:
            raise DataError(
                f"an unfinished import of other files, or with other options, lies in {str(partial)!r}; remove it, or "
                "import as it was begun."
            )
        beside = partial / f"{JOB}.part"
        beside.write_text(sealed(job), encoding="utf-8")
        os.replace(beside, told)
        try:
            yield
        except DataError:
            shutil.rmtree(partial)  # a mistake in the input: what was made of it is of no use
            raise


def _read(told: Path) -> Any:
    """Return what an unfinished import was asked for."""
    try:
        return unsealed(told)
    except ValueError as error:
        raise DataError(f"{told} cannot be read ({error}); remove {str(told.parent)!r} and import anew.") from None


def keep(done: Path) -> None:
    """Write the checksum of a finished file beside it."""
    beside = done.with_name(f"{done.name}{SUM}")
    beside.write_text(sha256(done), encoding="ascii")


def kept(done: Path) -> bool:
    """Return whether a file is finished, and what it was then."""
    beside = done.with_name(f"{done.name}{SUM}")
    return done.is_file() and beside.is_file() and beside.read_bytes() == sha256(done).encode()


def _emptied(partial: Path) -> None:
    """Remove all from the folder of an unfinished import but its lock."""
    for path in partial.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()

"""An import under way: what it was asked for, that it is alone, and what of it is finished."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import Timeout

from graphkit.data.disk.checked_files import LOCK, DataError, file_lock, read_sealed_json, sealed_json, sha256
from graphkit.data.disk.manifest import MANIFEST

JOB = "job.json"

CHECKSUM_SUFFIX = ".sha256"
"""Ending of the file beside a finished one that has its checksum: what was damaged meanwhile is made anew."""


def file_stamp(path: Path) -> list[Any]:
    """Return by what a file is known again."""
    if not path.exists():
        raise DataError(f"{path} is missing.")
    about = path.stat()
    return [str(path.absolute()), about.st_size, about.st_mtime_ns]


@contextmanager
def lock_job(partial: Path, job: dict[str, Any]) -> Iterator[None]:
    """Hold the folder of an unfinished import alone, having looked that it is of the same job."""
    partial.mkdir(exist_ok=True)
    try:
        held = file_lock(partial / LOCK).acquire()
    except Timeout:
        raise DataError(f"another process is importing to {str(partial)!r}.") from None
    with held:
        told = partial / JOB
        if not told.exists() or (partial / MANIFEST).exists():
            # Killed before it began, or at the very end, when its traces were being removed.
            for path in partial.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != LOCK:
                    path.unlink()
        if told.exists() and _read_job(told) != job:
            raise DataError(
                f"an unfinished import of other files, or with other options, lies in {str(partial)!r}; remove it, or "
                "import as it was begun."
            )
        beside = partial / f"{JOB}.part"
        beside.write_text(sealed_json(job), encoding="utf-8")
        os.replace(beside, told)
        try:
            yield
        except DataError:
            shutil.rmtree(partial)  # a mistake in the input: what was made of it is of no use
            raise


def _read_job(told: Path) -> Any:
    """Return what an unfinished import was asked for."""
    try:
        return read_sealed_json(told)
    except ValueError as error:
        raise DataError(f"{told} cannot be read ({error}); remove {str(told.parent)!r} and import anew.") from None


def mark_done(done: Path) -> None:
    """Write the checksum of a finished file beside it."""
    beside = done.with_name(f"{done.name}{CHECKSUM_SUFFIX}")
    beside.write_text(sha256(done), encoding="ascii")


def is_done(done: Path) -> bool:
    """Return whether a file is finished, and what it was then."""
    beside = done.with_name(f"{done.name}{CHECKSUM_SUFFIX}")
    return done.is_file() and beside.is_file() and beside.read_bytes() == sha256(done).encode()

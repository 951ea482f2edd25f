"""Files that are whole or not there, and that know their own checksum."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filelock import FileLock


class DataError(ValueError):
    """A data set cannot be had as its card describes it; the message names the file and the way out."""


STALE = 24 * 3600
"""Seconds after which a working folder that nobody ever held is swept away."""

UNFINISHED = ".unfinished"
"""What the names of working folders end in."""

LOCK, HOLDER = "lock", "holder"
"""The files in a working folder that its process holds as long as it lives, and that says which one has held it."""


def sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_lock(path: Path) -> FileLock:
    """Return a lock that is taken at once or not at all, and is free when its process is gone, however it went."""
    from filelock import FileLock

    return FileLock(path, blocking=False, fallback_to_soft=False)  # a soft lock would stay of a process that was killed


@contextmanager
def working_folder(home: Path, prefix: str) -> Iterator[Path]:
    """Give an empty folder inside ``home`` that is gone afterwards; what is finished in it is renamed out of it.

    A process that is killed leaves its folder. The next one that works here under this prefix sweeps it: the folder's
    lock tells whether its process lives, and one that lives is never touched.
    """
    remove_abandoned(home, prefix)
    with tempfile.TemporaryDirectory(prefix=prefix, suffix=UNFINISHED, dir=home) as name, ExitStack() as held:
        with suppress(OSError):  # on a disk without locks nothing is swept
            held.enter_context(file_lock(Path(name) / LOCK))
        holder = Path(name) / HOLDER
        try:
            holder.write_text(str(os.getpid()))  # not before the lock is held: without it, it is about to be
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(holder)) from error  # a full disk does not say where
        folder = Path(name) / "whole"
        folder.mkdir()
        yield folder


def remove_abandoned(home: Path, prefix: str, suffix: str = UNFINISHED) -> None:
    """Remove the working folders in ``home`` whose processes are gone."""
    for left in home.iterdir():
        if left.name.startswith(prefix) and left.name.endswith(suffix):
            lock = left / LOCK
            with suppress(OSError), file_lock(lock) if lock.exists() else nullcontext():  # an error: it is held
                if _was_held(left) or time.time() - left.stat().st_mtime > STALE:
                    shutil.rmtree(left, ignore_errors=True)


def _was_held(folder: Path) -> bool:
    """Tell whether a process has held a working folder; versions before 0.2 wrote so into the lock itself."""
    return any(path.exists() and path.stat().st_size for path in (folder / HOLDER, folder / LOCK))


def write_cache(content: bytes, path: Path) -> None:
    """Write a file beside ``path`` and rename it into place; on a disk that refuses, nothing is written.

    Whichever of two writers renames last wins. What is put so can be made again: a full or read-only disk costs time at
    the next call, nothing else.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError:
        return


def sealed_json(content: Mapping[str, Any]) -> str:
    """Return JSON text of ``content`` with a checksum of itself."""
    return json.dumps({**content, "seal": _seal(content)}, indent=1)


def read_sealed_json(path: Path) -> dict[str, Any]:
    """Return what :func:`sealed_json` wrote to a file; text from before there were seals has none.

    Raises:
        ValueError: if the text is not what was written.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError("no table")
    seal = found.pop("seal", None)
    if seal is not None and seal != _seal(found):
        raise ValueError("its seal is broken")
    return found


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@contextmanager
def open_manifest(path: Path, version: int, *, absent: str, again: str) -> Iterator[dict[str, Any]]:
    """Give what a sealed manifest says, to take its fields from.

    Raises:
        DataError: where there is none (``absent``), or it is of another ``version``, damaged or short of a field.
    """
    try:
        found = read_sealed_json(path)
        if found["format"] != version:
            raise DataError(f"{path} is of format {found['format']}, not {version}.")
        yield found
    except FileNotFoundError:
        raise DataError(absent) from None
    except DataError:
        raise
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error or type(error).__name__}); {again}.") from None


def file_facts(path: Path) -> dict[str, Any]:
    """Return what a manifest says of a file: its bytes and its sha256."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def files_sha256(files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the sha256 over the checksums of all files of a manifest, in the order of their names."""
    lines = "".join(f"{name} {each['sha256']}\n" for name, each in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def check_length(path: Path, expected: int, again: str) -> None:
    """Refuse a file that is missing or has another length than its manifest says."""
    length = path.stat().st_size if path.is_file() else None
    if length != expected:
        held = "is missing" if length is None else f"has {length:,} bytes instead of {expected:,}"
        raise DataError(f"{path} {held}; copy it anew, or {again}.")


def check_sha256(path: Path, expected: str, again: str) -> None:
    """Refuse a file that has another content than its manifest says."""
    if sha256(path) != expected:
        raise DataError(f"{path} is not what was written (its sha256 differs); copy it anew, or {again}.")

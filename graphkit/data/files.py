"""Files: where those of a data set lie, and whether they are the right ones.

They are looked for in the mirror (``$GRAPHKIT_MIRROR``, never written to), then in the data folder
(``$GRAPHKIT_DATA``, by default in the user's cache), and downloaded into the latter if neither has them. Both are laid
out alike, as PyG lays out the roots of its classes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from graphkit.data.cards import Card
from graphkit.data.errors import DataError

STALE = 24 * 3600
"""Seconds after which what a killed process left in a staging folder is swept away."""


def data_home() -> Path:
    """Return the folder where data sets live: ``$GRAPHKIT_DATA``, or one in the user's cache."""
    named = os.environ.get("GRAPHKIT_DATA")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("graphkit") / "data"


def mirror() -> Path | None:
    """Return the read-only folder that ``$GRAPHKIT_MIRROR`` names, if it does.

    Raises:
        DataError: if it names something that is not a folder.
    """
    named = os.environ.get("GRAPHKIT_MIRROR")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise DataError(f"$GRAPHKIT_MIRROR must name a folder, but there is none at {folder}.")
    return folder


def located(card: Card) -> Path | None:
    """Return the first of mirror and data folder that holds every file of ``card``, or ``None``.

    Files are not gathered from both: what lies in one place was put there together.
    """
    if not card.files:
        return data_home()
    roots = [root for root in (mirror(), data_home()) if root is not None]
    return next((root for root in roots if not missing(card, root)), None)


def missing(card: Card, root: Path) -> list[str]:
    """Return the files of ``card`` that do not lie below ``root``."""
    return [path for path in card.files if not (root / path).is_file()]


def sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def strangers(card: Card, root: Path) -> dict[str, str]:
    """Return path -> sha256 of the files of ``card`` below ``root`` whose checksum is not the card's."""
    found = {path: sha256(root / path) for path in card.files}
    return {path: digest for path, digest in found.items() if digest != card.files[path]}


def refusal(card: Card, root: Path, path: str, found: str, why: str = "") -> DataError:
    """Return the error for a file that is not the one its card describes; ``why`` says what its content told."""
    expected, size = card.files[path], (root / path).stat().st_size
    length = f"{size:,} bytes instead of {card.sizes[path]:,}, " if card.sizes[path] not in (None, size) else ""
    return DataError(
        f"`{card.name}`: {root / path} is not the file its card describes: {length}expected sha256 "
        f"{expected or 'not known'}, found {found}{why}. Delete it and fetch the data set again."
    )


def absence(card: Card, reason: str) -> DataError:
    """Return the error for files that are nowhere to be had."""
    absent = missing(card, data_home())
    shown = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more (see its card)" if len(absent) > 3 else "")
    return DataError(
        f"`{card.name}` is not on this machine and was not downloaded ({reason}). "
        f"Put {shown} below {data_home()}, or below a folder that $GRAPHKIT_MIRROR names."
    )


@contextmanager
def staging(home: Path) -> Iterator[Path]:
    """Give a folder of our own inside ``home``, so that what is complete in it can be renamed into place."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        for left in home.glob(".staging-*"):
            if left.exists() and time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left, ignore_errors=True)
        tempfile.TemporaryDirectory(prefix=".staging-", dir=home).cleanup()
    except OSError as error:
        raise DataError(
            f"the data folder {home} cannot be written to ({error.strerror}); set $GRAPHKIT_DATA."
        ) from error
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=home) as folder:
        yield Path(folder)


def place(card: Card, staged: Path, home: Path) -> None:
    """Rename the files of ``card`` from ``staged`` into ``home``; each is whole or not there."""
    for path in card.files:
        target = home / path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staged / path, target)


def put(content: bytes, path: Path) -> None:
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

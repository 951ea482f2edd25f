"""Files: where those of a data set lie, and whether they are the right ones.

They are looked for in the mirror (``$GRAPHKIT_MIRROR``, never written to), then in the data folder
(``$GRAPHKIT_DATA``, by default in the user's cache), and downloaded into the latter if neither has them. Both are laid
out alike, as PyG lays out the roots of its classes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs

from graphkit.data.cards import Card
from graphkit.data.errors import DataError

STALE = 24 * 3600
"""Seconds after which a working folder that nobody ever held is swept away."""

UNFINISHED = ".unfinished"
"""What the names of working folders end in."""

LOCK = "lock"
"""The file in a working folder that its process holds as long as it lives."""


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


def seal_of(card: Card) -> Path:
    """Return where the checksums are kept of the files of ``card`` that were seen first."""
    return data_home() / "seals" / f"{card.name}.json"


def unknown(card: Card, root: Path) -> dict[str, str]:
    """Return path -> sha256 of the files of ``card`` below ``root`` whose checksum the card does not know.

    Nobody can say whether they were the publishers' when they came. That they have not changed since is seen from the
    checksums that :func:`remember` kept when they were first read.

    Raises:
        DataError: if a file is another than it was, or what was kept cannot be read.
    """
    found = {path: sha256(root / path) for path, digest in card.files.items() if digest is None}
    kept = seal_of(card)
    if not found or not kept.is_file():
        return found
    try:
        before = dict(unsealed(kept)["files"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{kept} cannot be read ({error}), which says what the files of {card.name!r} were; delete it to take them "
            "as they are."
        ) from None
    for path, digest in found.items():
        if before.get(path) != digest:
            raise DataError(
                f"`{card.name}`: {root / path} is not what it was when it was first read (sha256 {digest}); delete it "
                f"and fetch the data set again, or delete {kept} if another file is meant."
            )
    return found


def remember(card: Card, found: Mapping[str, str]) -> None:
    """Keep the checksums of :func:`unknown` files that were read for the first time."""
    if found and not seal_of(card).is_file():
        put(sealed({"files": dict(found)}).encode(), seal_of(card))


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
        tempfile.TemporaryDirectory(prefix=".staging-", dir=home).cleanup()
    except OSError as error:
        raise DataError(
            f"the data folder {home} cannot be written to ({error.strerror}); set $GRAPHKIT_DATA."
        ) from error
    sweep(home, ".staging-", "")
    with working_folder(home, ".staging-") as folder:
        yield folder


@contextmanager
def working_folder(home: Path, prefix: str) -> Iterator[Path]:
    """Give an empty folder inside ``home`` that is gone afterwards; what is finished in it is renamed out of it.

    A process that is killed leaves its folder. The next one that works here under this prefix sweeps it: the folder's
    lock tells whether its process lives, and one that lives is never touched.

    Args:
        home: a folder.
        prefix: what the names of such folders begin with.
    """
    sweep(home, prefix)
    made = tempfile.TemporaryDirectory(prefix=prefix, suffix=UNFINISHED, dir=home)
    with made as name, (Path(name) / LOCK).open("w") as lock:
        with suppress(OSError):  # on a disk without locks nothing is swept
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            lock.write(str(os.getpid()))  # not before it is held: an empty lock is of one that is about to be
            lock.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, lock.name) from error  # a full disk does not say where
        folder = Path(name) / "whole"
        folder.mkdir()
        yield folder


def sweep(home: Path, prefix: str, suffix: str = UNFINISHED) -> None:
    """Remove the working folders in ``home`` whose processes are gone."""
    for left in home.iterdir():
        if left.name.startswith(prefix) and left.name.endswith(suffix):
            with _unheld(left) as free:
                if free:
                    shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _unheld(folder: Path) -> Iterator[bool]:
    """Say whether the process of a working folder is gone, and keep others from it meanwhile."""
    try:
        with (folder / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield bool(lock.read()) or _old(folder)
    except FileNotFoundError:
        yield _old(folder)
    except OSError:
        yield False


def _old(folder: Path) -> bool:
    return folder.exists() and time.time() - folder.stat().st_mtime > STALE


def place(card: Card, staged: Path, home: Path) -> None:
    """Rename the files of ``card`` from ``staged`` into ``home``; each is whole or not there.

    Raises:
        DataError: if one cannot be put there.
    """
    for path in card.files:
        target = home / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staged / path, target)
        except OSError as error:
            raise DataError(f"{target} cannot be written: {error.strerror or error}.") from error


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


def sealed(content: Mapping[str, Any]) -> str:
    """Return JSON text of ``content`` with a checksum of itself."""
    return json.dumps({**content, "seal": _seal(content)}, indent=1)


def unsealed(path: Path) -> dict[str, Any]:
    """Return what :func:`sealed` wrote to a file; text from before there were seals has none.

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

"""Files: where those of a data set lie, and whether they are the right ones.

They are looked for in the mirror (``$GRAPHKIT_MIRROR``, never written to), then in the data folder
(``$GRAPHKIT_DATA``, by default in the user's cache), and downloaded into the latter if neither has them. Both are laid
out alike, as PyG lays out the roots of its classes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from graphkit.data.catalog.cards import Card
from graphkit.data.disk.checked_files import (
    DataError,
    read_sealed_json,
    remove_abandoned,
    sealed_json,
    sha256,
    working_folder,
    write_cache,
)


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


def find_root(card: Card) -> Path | None:
    """Return the first of mirror and data folder that holds every file of ``card``, or ``None``.

    Files are not gathered from both: what lies in one place was put there together.
    """
    if not card.files:
        return data_home()
    roots = [root for root in (mirror(), data_home()) if root is not None]
    return next((root for root in roots if not missing_files(card, root)), None)


def missing_files(card: Card, root: Path) -> list[str]:
    """Return the files of ``card`` that do not lie below ``root``."""
    return [path for path in card.files if not (root / path).is_file()]


def mismatched_files(card: Card, root: Path) -> dict[str, str]:
    """Return path -> sha256 of the files of ``card`` below ``root`` whose checksum is not the card's."""
    found = {path: sha256(root / path) for path in card.files}
    return {path: digest for path, digest in found.items() if digest != card.files[path]}


def checksum_error(card: Card, root: Path, path: str, found: str, why: str = "") -> DataError:
    """Return the error for a file that is not the one its card describes; ``why`` says what its content told."""
    expected, size = card.files[path], (root / path).stat().st_size
    length = f"{size:,} bytes instead of {card.sizes[path]:,}, " if card.sizes[path] not in (None, size) else ""
    return DataError(
        f"`{card.name}`: {root / path} is not the file its card describes: {length}expected sha256 "
        f"{expected or 'not known'}, found {found}{why}. Delete it and fetch the data set again."
    )


def first_checksums_path(card: Card) -> Path:
    """Return where the checksums are kept of the files of ``card`` that were seen first."""
    return data_home() / "seals" / f"{card.name}.json"


def unlisted_checksums(card: Card, root: Path) -> dict[str, str]:
    """Return path -> sha256 of the files of ``card`` below ``root`` whose checksum the card does not know.

    Nobody can say whether they were the publishers' when they came. That they have not changed since is seen from the
    checksums that :func:`record_checksums` kept when they were first read.

    Raises:
        DataError: if a file is another than it was, or what was kept cannot be read.
    """
    found = {path: sha256(root / path) for path, digest in card.files.items() if digest is None}
    kept = first_checksums_path(card)
    if not found or not kept.is_file():
        return found
    try:
        before = dict(read_sealed_json(kept)["files"])
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


def record_checksums(card: Card, found: Mapping[str, str]) -> None:
    """Keep the checksums of :func:`unlisted_checksums` files that were read for the first time."""
    if found and not first_checksums_path(card).is_file():
        write_cache(sealed_json({"files": dict(found)}).encode(), first_checksums_path(card))


def missing_error(card: Card, reason: str) -> DataError:
    """Return the error for files that are nowhere to be had."""
    absent = missing_files(card, data_home())
    shown = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more (see its card)" if len(absent) > 3 else "")
    return DataError(
        f"`{card.name}` is not on this machine and was not downloaded ({reason}). "
        f"Put {shown} below {data_home()}, or below a folder that $GRAPHKIT_MIRROR names."
    )


@contextmanager
def staging_folder(home: Path) -> Iterator[Path]:
    """Give a folder of our own inside ``home``, so that what is complete in it can be renamed into place."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(prefix=".staging-", dir=home).cleanup()
    except OSError as error:
        raise DataError(
            f"the data folder {home} cannot be written to ({error.strerror}); set $GRAPHKIT_DATA."
        ) from error
    remove_abandoned(home, ".staging-", "")
    with working_folder(home, ".staging-") as folder:
        yield folder


def move_into_place(card: Card, staged: Path, home: Path) -> None:
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

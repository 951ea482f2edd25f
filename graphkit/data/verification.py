"""Verification: whether the files of a data set, or of a folder, are what they should be, all of them read anew."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from graphkit.data import files
from graphkit.data.cards import Card, card
from graphkit.data.loading import on_disk, unknown_files
from graphkit.data.reading import fingerprint, read
from graphkit.data.sources import SOURCES, StoredSource
from graphkit.data.storage import graph_store


@dataclass(frozen=True)
class Verification:
    """What ``verify`` found in order.

    Args:
        name: the data set.
        root: the folder below which its files lie.
        files: number of files whose sha256 is the card's; of a graph that was drawn here, its manifest's.
        others: path -> sha256 of the other files, told by what they hold.
        content: sha256 of the loaded tensors.
        content_known: whether the card knows that sha256; if not, only the counts could be compared.
    """

    name: str
    root: Path
    files: int
    others: dict[str, str]
    content: str
    content_known: bool

    def text(self) -> str:
        """Return the findings as one line."""
        held = f"content sha256 {self.content}" if self.content_known else "the published counts"
        counted = f"{self.files} of {self.files + len(self.others)} files by their sha256" if self.files else "no file"
        return f"{self.name}: in order; {counted}, {held}; below {self.root}"


def verify(name: str | Path) -> Verification:
    """Check every file of a data set against its card, read it anew and compare what it holds.

    Of files whose checksum the card does not know, what they hold is compared with the published counts, and they with
    what they were when they were first read here. The files of a stored graph, or of a graph in parts, are compared
    with the checksums that were written with them.

    Args:
        name: a name from ``names()``, or the ``Path`` of a folder of :func:`store`, ``graphkit data import`` or
            :func:`partition`.

    Raises:
        ValueError: if the name is not known.
        DataError: if a file is missing or wrong, or what it holds is not what the card says.

    Example:
        >>> verify("karate").content == card("karate").content
        True
    """
    if isinstance(name, Path):
        return _verified_folder(name)
    known = card(name)
    if known.members:
        return _together(known, [verify(member) for member in known.members])
    root = files.located(known)
    if root is None:
        raise files.absence(known, "to verify is not to download")
    if isinstance(source := SOURCES[name], StoredSource):
        about = on_disk(known, source, root, verify=True).store
        return Verification(name, root, len(about.files), {}, about.fingerprint, True)
    others, found = files.strangers(known, root), unknown_files(known, root)
    content = fingerprint(read(known, root))
    files.remember(known, found)
    return Verification(name, root, len(known.files) - len(others), others, content, known.content is not None)


def _verified_folder(folder: Path) -> Verification:
    """Check the files of a stored graph, or of a graph in parts."""
    from graphkit.data.partitions import Partitions

    if (folder / "owner.npy").is_file():
        parts = Partitions(folder)
        parts.verify()
        return Verification(parts.about["name"], folder, len(parts.files), {}, parts.fingerprint, True)
    about = graph_store(folder)
    about.verify()
    return Verification(about.name, folder, len(about.files), {}, about.fingerprint, True)


def _together(known: Card, found: list[Verification]) -> Verification:
    """Return what was found of the members of a family as one."""
    return Verification(
        known.name,
        found[0].root,
        sum(one.files for one in found),
        {path: digest for one in found for path, digest in one.others.items()},
        hashlib.sha256(" ".join(one.content for one in found).encode()).hexdigest(),
        all(one.content_known for one in found),
    )

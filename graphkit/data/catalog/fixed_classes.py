"""Few-shot class splits that others fixed: which classes train, select and test, or how many."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass

from graphkit import _checks
from graphkit.data.catalog import cards, files
from graphkit.data.catalog.cards import card, names
from graphkit.data.disk.checked_files import DataError


@dataclass(frozen=True)
class FixedClasses:
    """The classes of a data set, divided by others.

    Args:
        train: classes to train on.
        val: classes to select on.
        test: classes to test on.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("train", "val", "test"):
            _checks.instance(name, getattr(self, name), tuple, "a tuple of classes")


def few_shot_counts(name: str) -> tuple[int, int, int]:
    """Return how many classes of the data set ``name`` train, select and test in the few-shot literature.

    Only the counts are fixed there: each run shuffles the classes.

    Raises:
        ValueError: if there is no such data set, or its card names no counts.

    Source: the tables of COSMIC (github.com/SongW-SW/COSMIC) and TLP (github.com/Zhen-Tan-dmml/TLP-FSNC).

    Example:
        >>> few_shot_counts("coauthor-cs")
        (5, 5, 5)
    """
    counts = card(name).few_shot
    if not counts:
        known = [other for other in names() if card(other).few_shot]
        raise ValueError(f"the card of {name!r} names no few-shot counts; {', '.join(known)} have some.")
    train, val, test = counts
    return train, val, test


def fixed_classes(name: str) -> FixedClasses:
    """Return the classes of the data set ``name`` as TENT divides them, from the file in the mirror or data folder.

    Raises:
        ValueError: if there is no fixed division of this data set.
        DataError: if the file is not on this machine, or is not the right one.

    Source: TENT's files, as github.com/jypcj/awesome-dm-project at b9d4712 has them under ``dataset/``.
    """
    _checks.instance("name", name, str, "the name of a data set")
    fixed = tomllib.loads((cards.folder() / "fixed_classes.toml").read_text(encoding="utf-8"))
    if name not in fixed:
        raise ValueError(
            f"`name`: nobody fixed a division of the classes of {name!r}; of {', '.join(sorted(fixed))} there is one."
        )
    path, expected = fixed[name]["file"], fixed[name]["sha256"]
    root = next((root for root in (files.mirror(), files.data_home()) if root and (root / path).is_file()), None)
    if root is None:
        raise DataError(
            f"the fixed classes of {name!r} are not on this machine. Put {path} below {files.data_home()}, "
            "or below a folder that $GRAPHKIT_MIRROR names."
        )
    raw = (root / path).read_bytes()
    found = hashlib.sha256(raw).hexdigest()
    if found != expected:
        raise DataError(f"{root / path} is not the file of TENT's classes: expected sha256 {expected}, found {found}.")
    train, val, test = (tuple(int(label) for label in part) for part in json.loads(raw))
    return FixedClasses(train, val, test)

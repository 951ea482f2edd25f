"""Descriptions of trained models that are not as this version writes them, though their checksums are right."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from graphkit.training.trained.model_file import ModelFile

CHANGES: tuple[Any, ...] = ("left out", None, 7, "nonsense", ["a"], {"a": 1})
"""What becomes of a field; and what it becomes."""


def places(about: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the place of every field, those of fields inside it too."""
    for name, value in about.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from places(value, (*above, name))


def unrefused(file: ModelFile, read: Callable[[ModelFile], Any]) -> list[str]:
    """Return what ends in no line of ours when a model is read whose description was changed in one field."""
    found = []
    for place in places(file.about):
        for change in CHANGES:
            about = copy.deepcopy(dict(file.about))
            inside = about
            for name in place[:-1]:
                inside = inside[name]
            if change == "left out":
                del inside[place[-1]]
            else:
                inside[place[-1]] = change
            try:
                read(ModelFile(file.study, about, file.weights))
            except ValueError as error:
                if len(str(error).splitlines()) == 1:
                    continue
                found.append(f"{'.'.join(place)} = {change!r}: {error}")
            except Exception as error:
                found.append(f"{'.'.join(place)} = {change!r}: {type(error).__name__}: {error}")
    return found

"""The law of settings: a field that is taken changes what is trained and stands in the record, or it is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from graphkit.training.engine.options import AbstractOptions


def fault_of(
    made: AbstractOptions, field: str, values: Iterable[Any], outcome: Callable[[Any], Any], before: Any
) -> str | None:
    """Return what is wrong with a field, ``None`` where nothing is.

    Args:
        made: what has the field.
        values: others that it may take; one out of its range says nothing.
        outcome: what a training comes to, or the error that refuses it.
        before: the outcome of ``made`` itself.
    """
    taken = []
    for value in values:
        if value == made.options()[field]:
            continue
        try:
            changed = made.with_({field: value})
        except ValueError as error:
            if "decides nothing" in str(error):
                idle = made.unused_fields().keys() | made.merge_fields({field: value}).unused_fields().keys()
                return None if field in idle else "refused for nothing"
            continue
        found = outcome(changed)
        if isinstance(found, ValueError):
            if not any(f"`{name}`" in str(found) for name in made.options()):
                return f"{field}={value}: {found}"
            continue
        taken.append(value)
        if repr(found) != repr(before):
            return None if field in changed.as_dict() else f"{field}={value} acts and is not recorded"
    return f"{field} changes nothing: {taken}" if taken else None

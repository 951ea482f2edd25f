"""What is overridden on the command line: a file first, then settings, then flags."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click


def overrides_of(config: Path | None, settings: Sequence[str], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return field -> value from a TOML file, ``FIELD=VALUE`` settings and flags that were given, in this order.

    Raises:
        click.UsageError: for a setting without an equals sign.
        ValueError: for a file that is no flat TOML table.
    """
    from graphkit.training.recipes import read_overrides

    overrides = read_overrides(config) if config else {}
    for setting in settings:
        field, equals, text = setting.partition("=")
        if not equals or not field.strip():
            raise click.UsageError(f"`--set` takes FIELD=VALUE, got {setting!r}.")
        overrides[field.strip()] = value(text.strip())
    return overrides | {field: given for field, given in flags.items() if given is not None}


def value(text: str) -> Any:
    """Return a value as TOML reads it, or the text itself: ``0.02`` is a number, ``relu`` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text

"""What options of several commands mean: files that will be written, seeds, threads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from graphkit.cli.preload import preload

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
SEED = click.IntRange(0, 2**32 - 1)
SPLIT = (
    "Such as public, random-per-class:20, stratified or files:3; dense is that of the spectral papers, which trains on "
    "round(0.6 nodes / classes) of every class.  [default: the card's]"
)
PICTURES = ("picture", "wavelets")
"""Options that name a picture."""

SMALL_EDGES = 100_000
"""Edges below which one thread is the default: an epoch of some milliseconds is lost where threads wait for each other,
and is ten times as long where the machine has other work."""


def require_places(**asked: Path | None) -> None:
    """Refuse files that cannot be written, before anything is computed for them; each by the option that names it.

    Raises:
        ValueError: for a place that cannot be written to, or a picture of an unknown form.
    """
    from graphkit.training.files import require_writable

    given = {option: path for option, path in asked.items() if path is not None}
    for option, path in given.items():
        require_writable(option, path)
    for option in PICTURES:
        if option in given:
            preload("graphkit.viz")
            from graphkit.viz import require_format

            require_format(given[option], option)


def require_drawn(data: Any, seed: int | None) -> None:
    """Refuse a seed that was given for a split which is not drawn.

    Raises:
        click.UsageError: naming the split.
    """
    one = next(iter(data.values())) if isinstance(data, Mapping) else data
    drawn = getattr(one, "protocol", None)
    if seed is not None and drawn is not None and "seed" not in drawn["parameters"]:
        raise click.UsageError(f"`--split-seed` draws a random split, but {drawn['split']!r} is given as it is.")


@contextmanager
def said_of_options(options: Mapping[str, str]) -> Iterator[None]:
    """Let a ``ValueError`` about an argument of a function speak of the option that it comes from."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        for argument, option in options.items():
            text = text.replace(f"`{argument}`", f"`{option}`")
        if type(error) is not ValueError or text == str(error):
            raise
        raise ValueError(text) from error


def use_threads(asked: int | None, edges: int) -> None:
    """Compute with so many threads; if none are asked for, with one on a small graph, else with PyTorch's choice."""
    import torch

    if asked is None and edges < SMALL_EDGES:
        asked = 1
    if asked is not None:
        torch.set_num_threads(asked)

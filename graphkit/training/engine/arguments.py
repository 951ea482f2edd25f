"""What all studies are called with, looked at once before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from graphkit._checks import at_least, flag, instance


def sequence(argument: str, values: object, kinds: type | tuple[type, ...], required: str) -> tuple[Any, ...]:
    """Return what a list, a tuple or a range holds, all of some classes, named in words."""
    if not isinstance(values, list | tuple | range) or not all(isinstance(each, kinds) for each in values):
        raise TypeError(f"`{argument}` must be a list of {required}, got {values!r}.")
    return tuple(values)


def require_methods(argument: str, value: object, methods: Iterable[str]) -> None:
    """Require an object with some methods, or none."""
    if lacking := [name for name in methods if value is not None and not callable(getattr(value, name, None))]:
        raise TypeError(f"`{argument}` must have the methods {', '.join(lacking)}, got {value!r}.")


def require_seed(argument: str, value: int) -> int:
    """Return a seed, or refuse what is no whole number from 0 to 2**63 - 1."""
    if at_least(argument, value, 0) >= 2**63:
        raise ValueError(f"`{argument}` must be a whole number from 0 to 2**63 - 1, got {value!r}.")
    return int(value)


def require_run(run_dir: object, resume: Any, *, every: Any = 30.0) -> None:
    """Refuse what says nothing of where a run is kept, and whether it goes on.

    Raises:
        TypeError: for a folder that is no path, a switch that is neither true nor false.
        ValueError: for seconds that are none, and a run that is to go on from nowhere.
    """
    if run_dir is not None:
        from graphkit.training.engine.run_folder import RunFolder

        instance("run_dir", run_dir, (str, Path, RunFolder), "the path of a folder, or None")
    if flag("resume", resume) and run_dir is None:
        raise ValueError("`resume` needs `run_dir`, the folder to continue from.")
    if isinstance(every, bool) or not isinstance(every, int | float) or not 0 <= every < math.inf:
        raise ValueError(f"`checkpoint_every` must be seconds of 0 or more, got {every!r}.")


def require_reporter(reporter: object) -> None:
    """Refuse who cannot hear of epochs and units.

    Raises:
        TypeError: naming the methods that are lacking.
    """
    require_methods("reporter", reporter, ("on_epoch", "on_unit"))


def require_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Return the seeds, or refuse what cannot be one."""
    given, seeds = seeds, tuple(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, bytes | Mapping) else ()
    whole = all(isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**63 for seed in seeds)
    if not seeds or not whole or len(set(seeds)) < len(seeds):
        raise ValueError(
            "`seeds` must be at least one and all different, whole numbers from 0 to 2**63 - 1, "
            f"got {list(seeds) or given}."
        )
    return seeds


def require_splits(splits: object, seeds: int) -> None:
    """Refuse what is not one split for each seed, or none at all.

    Raises:
        TypeError: for anything but splits.
        ValueError: for another number of them.
    """
    from graphkit.data import Split

    if splits is None:
        return
    many = len(sequence("splits", splits, Split, "splits"))
    if many != seeds:
        raise ValueError(f"`splits` must have one split per seed ({seeds}), got {many}.")


def fields_of(argument: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return fields by name, none where none are given.

    Raises:
        TypeError: for anything but a mapping from names.
    """
    if given is None:
        return {}
    instance(argument, given, Mapping, "a mapping from fields to values")
    require_names(argument, given)
    return dict(given)


def require_names(argument: str, names: Iterable[object]) -> None:
    """Refuse names that are no text.

    Raises:
        TypeError: naming the first.
    """
    for name in names:
        instance(argument, name, str, "names")

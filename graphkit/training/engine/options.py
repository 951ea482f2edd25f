"""What studies are called with: options, frozen fields that are set by name, and arguments, each checked once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ValidationError

from graphkit._checks import at_least, flag, instance, suggestion
from graphkit._exports import renamed_fields

REQUIRED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
}
"""What a value must be, by pydantic's name of the fault."""


class AbstractOptions:
    """Frozen fields that decide something together; every kind is a dataclass."""

    renamed: ClassVar[dict[str, str]] = {}
    """Old names of fields that were renamed, and the new ones; each is taken for one release more."""

    @property
    def title(self) -> str:
        """What it is called where a field is refused."""
        return type(self).__name__

    def options(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)  # type: ignore[call-overload]

    def unused_fields(self) -> dict[str, str]:
        """Return which fields decide nothing while the others are as they are: name -> why."""
        return {}

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that decide something: what a record says and a file of settings may hold."""
        idle = self.unused_fields()
        return {name: value for name, value in self.options().items() if name not in idle}

    def replace_fields(self, overrides: Mapping[str, Any]) -> Self:
        """Return these with fields replaced that are there.

        Raises:
            pydantic.ValidationError: for a value out of its range.
        """
        return type(self)(**{**self.options(), **overrides})

    def merge_fields(self, overrides: Mapping[str, Any]) -> Self:
        """Return what ``with_`` does; fields that decide nothing are let be."""
        overrides, known = renamed_fields(self.title, fields_of("overrides", overrides), self.renamed), self.options()
        for name in overrides:
            if name not in known:
                deciding = [each for each in known if each not in self.unused_fields()]
                raise ValueError(f"`{name}` is no field of {self.title}. {suggestion(name, deciding)}")
        try:
            return self.replace_fields(overrides)
        except ValidationError as error:
            raise ValueError(first_fault(error)) from None

    def with_(self, overrides: Mapping[str, Any]) -> Self:
        """Return these with some fields replaced.

        Args:
            overrides: names of fields and values; text is read as the field's type.

        Raises:
            ValueError: for a field that does not exist, one that decides nothing while the others are as they are, or a
                value out of its range.

        Example:
            >>> from graphkit.training import recipe
            >>> recipe("gat").with_({"lr": "0.02", "heads": 4}).as_dict()["heads"]
            4
            >>> recipe("jacobi").with_({"hidden": 7})
            Traceback (most recent call last):
            ValueError: `hidden` decides nothing in the recipe 'jacobi': `perceptron` is false.
        """
        made = self.merge_fields(overrides)
        given = {self.renamed.get(name, name) for name in overrides}
        for name, why in made.unused_fields().items():
            if name in given:
                raise ValueError(f"`{name}` decides nothing in {made.title}: {why}.")
        return made


def first_fault(error: ValidationError) -> str:
    """Return pydantic's first complaint in one line of our form."""
    faults = error.errors()
    first = faults[0]
    if first["type"] == "value_error" and not first["loc"]:
        return str(first["ctx"]["error"])  # of several fields, which it names
    name = first["loc"][0] if first["loc"] else "recipe"
    # Where a field takes one thing or another, each of them has a fault of its own.
    of_field = [_requirement(fault) for fault in faults if fault["loc"][:1] == (name,)] or [_requirement(first)]
    required = " or ".join([of_field[0], *(each.removeprefix("must be ") for each in of_field[1:])])
    return f"`{name}` {required}, got {first['input']!r}."


def _requirement(fault: Any) -> str:
    """Return what a value must be, by one of pydantic's complaints."""
    about = fault.get("ctx", {})
    if fault["type"] == "value_error":
        return str(about["error"])
    if fault["type"] in REQUIRED:
        return f"must be {REQUIRED[fault['type']].format(**about)}"
    return f"cannot be used: {fault['msg'][0].lower()}{fault['msg'][1:]}"


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
        instance("run_dir", run_dir, (str, Path), "the path of a folder, or None")
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
    from graphkit.data.splits.links import LinkSplit

    if splits is None:
        return
    many = len(sequence("splits", splits, (Split, LinkSplit), "splits"))
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

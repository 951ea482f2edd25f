"""Options: frozen fields that decide something together, each set by its name and checked against its range."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import ValidationError

from graphkit._checks import suggestion
from graphkit._deprecated import renamed_fields
from graphkit.training.engine.arguments import fields_of

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

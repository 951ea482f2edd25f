"""Spaces: which fields of a recipe are searched, each over a range of numbers or a list of choices."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from graphkit._checks import instance
from graphkit.training.engine.options import fields_of, require_names
from graphkit.training.zoo.recipes import Recipe, read_overrides

if TYPE_CHECKING:
    from optuna import Trial


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones where both ends are.

    Args:
        low, high: the ends.
        scale: "linear", or "log" where ratios count, not differences.

    Raises:
        ValueError: for ends in the wrong order, an unknown scale, or a logarithm of what is not positive.
    """

    low: float
    high: float
    scale: str = "linear"

    def __post_init__(self) -> None:
        if self.scale not in ("linear", "log"):
            raise ValueError(f"the scale of a range must be 'linear' or 'log', got {self.scale!r}.")
        if not (-math.inf < self.low < self.high < math.inf) or (self.scale == "log" and self.low <= 0):
            positive = " above 0" if self.scale == "log" else ""
            raise ValueError(f"a range needs two numbers{positive}, the lower one first, got {self.low}..{self.high}.")

    def __str__(self) -> str:
        """Return the range as one writes it."""
        return f"{self.low}..{self.high}" + (":log" if self.scale == "log" else "")

    @property
    def ends(self) -> tuple[Any, ...]:
        """What must be values of the field."""
        return self.low, self.high

    def contains(self, value: Any) -> bool:
        """Return whether it may be drawn."""
        return self.low <= value <= self.high

    def including(self, value: Any) -> Range:
        """Return a range that holds a value too, if it can."""
        if self.scale == "log" and value <= 0:
            return self
        return Range(min(self.low, value), max(self.high, value), self.scale)

    def suggest(self, trial: Trial, field: str) -> Any:
        """Return the value of a field in a trial."""
        log = self.scale == "log"
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(field, self.low, self.high, log=log)
        return trial.suggest_float(field, self.low, self.high, log=log)


@dataclass(frozen=True)
class Choices:
    """A few values.

    Args:
        values: two or more, all different.

    Raises:
        ValueError: for fewer, or equal ones.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len(set(self.values)) < max(2, len(self.values)):
            raise ValueError(f"choices must be two or more, all different, got {list(self.values)}.")

    def __str__(self) -> str:
        """Return the choices as one writes them."""
        return ",".join(map(_as_text, self.values))

    @property
    def ends(self) -> tuple[Any, ...]:
        """What must be values of the field."""
        return self.values

    def contains(self, value: Any) -> bool:
        """Return whether it may be drawn."""
        return value in self.values

    def including(self, value: Any) -> Choices:
        """Return choices with one more value."""
        return self if value in self.values else Choices(tuple(sorted((*self.values, value))))

    def suggest(self, trial: Trial, field: str) -> Any:
        """Return the value of a field in a trial."""
        return trial.suggest_categorical(field, self.values)


Values: TypeAlias = Range | Choices

_RATE = Range(0.0, 0.9)
_LEARNING_RATE = Range(1e-3, 1e-1, "log")
_DECAY = Range(1e-6, 1e-2, "log")

SPACE: dict[str, Values] = {
    "layers": Range(1, 4),
    "hidden": Choices((16, 32, 64, 128, 256)),
    "order": Range(2, 10),
    "hops": Range(4, 32),
    "rounds": Range(0, 5),
    "radius": Range(0, 4),
    "leaf": Range(1, 8),
    "sharpness": Range(0.01, 2.0, "log"),
    "dropout": _RATE,
    "attention_dropout": _RATE,
    "propagation_dropout": _RATE,
    "input_dropout": _RATE,
    "node_dropout": _RATE,
    "lr": _LEARNING_RATE,
    "filter_lr": _LEARNING_RATE,
    "factor_lr": _LEARNING_RATE,
    "response_lr": _LEARNING_RATE,
    "l2": _DECAY,
    "filter_l2": _DECAY,
    "factor_l2": _DECAY,
}
"""What is searched of a recipe that has these fields, in this order: what a field decides may hang on those before."""


def space_of(recipe: Recipe, given: Mapping[str, Any] | None = None, *, fixed: Iterable[str] = ()) -> dict[str, Values]:
    """Return the fields that are searched, each with its values.

    Those of ``SPACE`` that decide something in the recipe, widened to its own values, and those that are given.

    Args:
        recipe: where the search begins.
        given: field -> its values, which win over ``SPACE``: text as the command line takes it, a list of choices, or
            what this function returns.
        fixed: fields that are not searched.

    Raises:
        ValueError: for a field that the recipe lacks or in which it decides nothing, values that are none of it, or a
            space without a field.

    Example:
        >>> from graphkit.training import recipe
        >>> {field: str(values) for field, values in space_of(recipe("gcn"), {"hidden": "8,16"}).items()}
        {'layers': '1..4', 'hidden': '8,16', 'dropout': '0.0..0.9', 'lr': '0.001..0.1:log', 'l2': '1e-06..0.01:log'}
        >>> space_of(recipe("gcn"), {"lr": "0.1"})
        Traceback (most recent call last):
        ValueError: `space`: `lr` takes LOW..HIGH, LOW..HIGH:log or a list of values A,B,C, got '0.1'.
    """
    instance("recipe", recipe, Recipe, "a Recipe, such as `graphkit.training.recipe('gcn')`")
    if isinstance(fixed, str) or not isinstance(fixed, Iterable):
        raise TypeError(f"`fixed` must be names of fields, got {fixed!r}.")
    fixed = set(fixed)
    require_names("fixed", fixed)
    own, found = recipe.as_dict(), {}
    written = {field: _values(field, values) for field, values in fields_of("space", given).items()}
    for field, values in written.items():
        for value in values.ends:
            recipe.with_({field: value})  # says what is wrong with a field or a value
    for field in (*SPACE, *(name for name in written if name not in SPACE)):
        if field in written:
            found[field] = written[field]
        elif field in own and field not in fixed:
            found[field] = _within(recipe, field, SPACE[field].including(own[field]))
    if not found:
        raise ValueError("`space` has no field that could be searched; give one, such as lr=0.001..0.1:log.")
    return found


def _within(recipe: Recipe, field: str, values: Values) -> Values:
    """Return values without those that a field of a recipe does not take, such as too many hops."""
    if not isinstance(values, Range) or not isinstance(values.high, int) or values.scale != "linear":
        return values
    taken = [value for value in range(int(values.low), values.high + 1) if _takes(recipe, field, value)]
    return Range(taken[0], taken[-1], values.scale) if len(taken) > 1 else values


def _takes(recipe: Recipe, field: str, value: Any) -> bool:
    """Return whether a field takes a value."""
    try:
        recipe.with_({field: value})
    except ValueError:
        return False
    return True


def read_space(written: Iterable[str]) -> dict[str, Any]:
    """Return field -> values, of ``FIELD=VALUES`` or of TOML files that hold such fields.

    Args:
        written: each of them; later ones win.

    Raises:
        ValueError: for neither a setting nor a file.

    Example:
        >>> read_space(["lr=1e-3..1e-1", "activation=relu,elu"])
        {'lr': '1e-3..1e-1', 'activation': 'relu,elu'}
    """
    found: dict[str, Any] = {}
    for each in written:
        field, equals, values = each.partition("=")
        if equals:
            found[field.strip()] = values.strip()
        elif each.endswith(".toml"):
            found |= read_overrides(Path(each))
        else:
            raise ValueError(f"`space` takes FIELD=LOW..HIGH, FIELD=A,B,C or a TOML file of such fields, got {each!r}.")
    return found


def _values(field: str, given: Any) -> Values:
    """Return the values of a field, of text or a list."""
    try:
        if isinstance(given, Range | Choices):
            return given
        if isinstance(given, list | tuple):
            return Choices(tuple(given))
        ends = re.fullmatch(r"(.+?)\.\.([^:]+)(?::(\w+))?", given) if isinstance(given, str) else None
        if ends is not None and all(isinstance(_value(end), int | float) for end in ends.groups()[:2]):
            low, high, scale = ends.groups()
            usual = SPACE.get(field)
            return Range(_value(low), _value(high), scale or (usual.scale if isinstance(usual, Range) else "linear"))
        if isinstance(given, str) and "," in given:
            return Choices(tuple(_value(each) for each in given.split(",")))
    except ValueError as error:
        raise ValueError(f"`space`: `{field}`: {error}") from None
    raise ValueError(f"`space`: `{field}` takes LOW..HIGH, LOW..HIGH:log or a list of values A,B,C, got {given!r}.")


def _value(text: str) -> Any:
    """Return a value as TOML reads it, or the text itself."""
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _as_text(value: Any) -> str:
    """Return a value as one writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)

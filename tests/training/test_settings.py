"""Every field of every recipe and method takes what it is meant to, and refuses all else in our words."""

from __future__ import annotations

import dataclasses
import functools
import math

import pytest

from graphkit.training import recipe
from graphkit.training.embedding.embedding_recipes import EMBEDDINGS, embedding_recipe
from graphkit.training.fewshot import METHODS
from graphkit.training.zoo.recipes import GRAPH_RECIPES, RECIPES, SIGNAL_RECIPES, AbstractRecipe

HOSTILE = {
    "true": True,
    "false": False,
    "NaN": math.nan,
    "infinity": math.inf,
    "1e400": 1e400,
    "10**30": 10**30,
    "-1": -1,
    "-0.5": -0.5,
    "half": 2.5,
    "text": "fast",
    "nothing": "",
    "text of NaN": "nan",
    "None": None,
    "list": [1, 2],
    "table": {"a": 1},
    "bytes": b"1",
    "complex": 1j,
}
"""What no number, switch or name of a field is; some are for one of them."""


def set_field(made, field, given):
    return made.with_({field: given}).as_dict()[field]


def set_field_of_method(method, field, given):
    """Set it as ``--set`` does, but for the reading of the text."""
    return getattr(method.with_({field: given}), field)


def settings():
    """Yield what has fields, each kind once: a way to set one, and its fields with their values."""
    seen = set()
    named = [
        *((name, made) for name, made in RECIPES.items()),
        *((f"signals {name}", made) for name, made in SIGNAL_RECIPES.items()),
        *((f"graphs {name}", made) for name, made in GRAPH_RECIPES.items()),
        *((f"embed {name}", made) for name, made in EMBEDDINGS.items()),
        ("sampled gcn", recipe("gcn", {"fan_out": "10,10"})),
        ("agreeing gcn", recipe("gcn", {"views": 2})),
        ("drawn triplet", embedding_recipe("triplet", {"ways": 2})),
    ]
    for name, made in named:
        parts = [made, *made.parts.values()]
        parts += [each for part in made.parts.values() for each in getattr(part, "parts", {}).values()]
        for part in parts:
            for field, value in (part.own_fields() if isinstance(part, AbstractRecipe) else part.options()).items():
                if (type(part), field) not in seen and field not in made.unused_fields():
                    seen.add((type(part), field))
                    yield f"{name} {field}", value, functools.partial(set_field, made, field)
    for name, method in METHODS.items():
        for field in dataclasses.fields(method):
            if (type(method), field.name) in seen or field.name in method.unused_fields():
                continue
            seen.add((type(method), field.name))
            put = functools.partial(set_field_of_method, method, field.name)
            yield f"fewshot {name} {field.name}", getattr(method, field.name), put


SETTINGS = {name: (value, put) for name, value, put in settings()}


def test_there_are_fields():
    assert len(SETTINGS) > 120


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_field_takes_its_own_kind_and_refuses_the_others_by_name(setting):
    value, put = SETTINGS[setting]
    field = setting.split()[-1]
    assert put(value) == value
    for given in HOSTILE.values():
        try:
            found = put(given)
        except ValueError as error:
            said = str(error)
            told = f"`{field}`" in said and len(said.splitlines()) == 1
            if not told:
                raise
            continue
        if isinstance(value, bool) or value == "auto":
            assert isinstance(found, bool) or found in ("auto", "chosen")
        elif isinstance(value, int | float):
            assert isinstance(found, type(value)), f"{given!r} became {found!r}"
            assert not isinstance(given, bool)
            assert math.isfinite(found)
            assert float(found) == float(given)
        else:
            assert type(found) is type(value)
            assert not isinstance(given, bool), f"{given!r} became {found!r}"


@pytest.mark.parametrize("given", [True, "yes", "on", 1, 0.0])
def test_a_number_is_no_switch_and_a_switch_no_number(given):
    with pytest.raises(ValueError, match=r"`hidden` must be a (whole )?number|`residual` must be true or false"):
        recipe("gcn", {"hidden": given} if given is True else {"residual": given})


def test_text_is_read_as_the_fields_type():
    found = recipe("gcn", {"hidden": "32", "lr": "0.5", "residual": "true", "row_normalise": "auto"})
    assert (found.model.hidden, found.lr, found.model.residual, found.row_normalise) == (32, 0.5, True, "auto")


def test_a_field_that_takes_one_thing_or_another_names_both():
    with pytest.raises(ValueError, match=r"^`row_normalise` must be true or false or 'auto', got 3\.$"):
        recipe("gcn", {"row_normalise": 3})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("hidden=true", "`hidden` must be a number, got True."),
        ("lr=nan", "`lr` must be a finite number, got nan."),
        ("hidden=1e400", "`hidden` must be a finite number, got inf."),
        ("residual=3", "`residual` must be true or false, got 3."),
    ],
)
def test_the_command_line_says_so(call, wrong, said):
    assert call("train", "karate", "--set", wrong) == (2, "", f"Error: {said}\n")

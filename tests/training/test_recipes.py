"""Settings belong to someone: changing any field of any recipe changes what is trained, or is refused by name.

What a training comes to is its history and what it selects, from one seed. A field that leaves all of that as it was
must be one that the recipe calls idle, which nobody can set and no record has.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from graphkit.data import RandomLinks
from graphkit.training import TrainingError, recipe, train
from graphkit.training.embedding import embed
from graphkit.training.embedding.embedding_recipes import EMBEDDINGS, EmbeddingRecipe, embedding_recipe
from graphkit.training.zoo.recipes import (
    FORECAST_RECIPES,
    GRAPH_RECIPES,
    LINK_RECIPES,
    RECIPES,
    SIGNAL_RECIPES,
    AbstractRecipe,
)
from tests.training.acting import fault_of
from tests.training.studies import communities, embedding_fields, graphs_for, signals, waves

TABLES = {
    "nodes": RECIPES,
    "signals": SIGNAL_RECIPES,
    "graphs": GRAPH_RECIPES,
    "links": LINK_RECIPES,
    "moments": FORECAST_RECIPES,
}
SAMPLED = {"fan_out": "3,3", "batch": 8}

BASES: dict[str, dict[str, Any]] = {
    "specformer": {"whole": 10, "pairs": 20},  # a graph of 60 nodes is one of the large ones then
    "spectral": {"pairs": 20},
    "deep-gcn": {"layers": 2, "l2": 1e-3},
    "stgcn": {"blocks": 1},
    "last-week": {"steps": 7},
    "last-year": {"steps": 9},
}
"""What recipes are tried with, so that small data tell."""

VARIANTS = {
    "gcn, sampled": ("gcn", SAMPLED),
    "gcn, agreeing": ("gcn", {"views": 2}),
    "gcn, all layers": ("gcn", {"jumping_knowledge": "cat", "layers": 1}),
    "sage, sampled": ("sage", SAMPLED),
    "gat, one layer": ("gat", {"layers": 1}),
}
EMBEDDED = {
    "triplet, batches": ("triplet", {"ways": 2}),
    "supcon, alone": ("supcon", {"consistency": 0.0, "views": 1}),
    "ccassg, patient": ("ccassg", {"select": "map"}),
}


def tried() -> dict[str, AbstractRecipe]:
    """Return every registered recipe, and some with fields set on which others depend."""
    found: dict[str, AbstractRecipe] = {}
    for items, table in TABLES.items():
        for name in table:
            base = BASES.get(name, {}) if items in ("nodes", "moments") else {}
            made = recipe(name, items=items)
            epochs = {"epochs": 6} if "epochs" in made.as_dict() else {}  # some have one solution
            found[f"{items}: {name}"] = made.with_({**epochs, **base})
    for called, (name, fields) in VARIANTS.items():
        found[f"nodes: {called}"] = recipe(name, {"epochs": 6, **fields})
    for level, name in [*(("node", name) for name in EMBEDDINGS), ("graph", "triplet"), ("graph", "supcon")]:
        fields = embedding_fields(name, {"epochs": 3, "dim": 4}, level)
        found[f"embed {level}: {name}"] = embedding_recipe(name, fields, level=level)
    for called, (name, fields) in EMBEDDED.items():
        found[f"embed node: {called}"] = embedding_recipe(name, {"epochs": 3, "dim": 4, **fields})
    return found


TRIED = tried()


@functools.cache
def data(kind: str) -> Any:
    """Return small data; a third of the labels is of no use, so that validation figures go up and down."""
    if kind in ("graphs", "molecules"):
        return graphs_for("gin" if kind == "graphs" else "descriptor-gp", classes=4)
    if kind == "moments":
        return waves(steps=150)
    if kind == "links":
        made = communities(classes=4)
        made.x = made.x * (made.x > 0.5)
        return RandomLinks()(made, torch.Generator().manual_seed(0)).apply(made)
    made = signals(nodes=24) if kind == "signals" else communities(classes=4)
    if kind == "nodes":
        made.x = made.x * (made.x > 0.5)  # some of them zeros, so that `sparse_below` has something to say
    drawn = torch.randperm(len(made.y), generator=torch.Generator().manual_seed(1))[: len(made.y) // 3]
    made.y[drawn] = made.y[drawn].flip(0)
    return made


def outcome(made: AbstractRecipe) -> Any:
    """Return what a training of a recipe comes to, or what refuses it."""
    try:
        if isinstance(made, EmbeddingRecipe):
            given = data("graphs" if made.level == "graph" else "nodes")
            found = embed(given, made, device="cpu", probes=False, beside=[])
            return [dataclasses.replace(result, seconds=0.0) for result in found.seeds]
        found = train(data("molecules" if made.model.molecules else made.model.items), made, seeds=[0], device="cpu")
        return [dataclasses.replace(result, seconds=0.0) for result in found.seeds]
    except (ValueError, TrainingError) as error:
        return error


RESTLESS = [{"lr": lr, "epochs": epochs} for lr, epochs in ((0.5, 12), (0.02, 25), (3.0, 12))]
"""With one of which validation figures go up and down, so that it matters whose weights are taken and when it ends."""


def restless(name: str, base: int) -> AbstractRecipe:
    made = TRIED[name] if base < 0 else TRIED[name].merge_fields(RESTLESS[base])
    return made.merge_fields({"batch": 4}) if base >= 0 and name.startswith("graphs") else made


@functools.cache
def usual(name: str, base: int = -1) -> Any:
    return outcome(restless(name, base))


def others(made: AbstractRecipe, field: str) -> Iterator[Any]:
    """Yield other values of a field, those of a choice all of them."""
    value = made.options()[field]
    holders = [
        made,
        *made.parts.values(),
        *(p for part in made.parts.values() for p in getattr(part, "parts", {}).values()),
    ]
    holder = next(each for each in holders if field in {f.name for f in dataclasses.fields(each)})
    hint = typing.get_type_hints(type(holder))[field]
    choices = [
        each for part in (hint, *typing.get_args(hint)) for each in typing.get_args(part) if isinstance(each, str)
    ]
    if field == "fan_out":
        yield from ("2,4", "3,3")
    elif isinstance(value, bool) or value == "auto":
        yield from (True, False)
    elif choices:
        yield from choices
    elif isinstance(value, int):
        yield from (value + 1, 1, 2, 0, 2 * value, 10 * value)
    else:
        yield from (value / 2, value + 0.3, 0.9, 0.0, 2 * value + 1)


def fields() -> list[tuple[str, str]]:
    return [(name, field) for name, made in TRIED.items() for field in made.options()]


def fault(name: str, field: str) -> str | None:
    """Return what is wrong with a field: that it is taken, and changes nothing."""
    found: str | None = None
    for base in range(len(RESTLESS)) if field in ("patience", "select") else [-1]:
        made = restless(name, base)
        found = fault_of(made, field, others(made, field), outcome, usual(name, base))
        if found is None:
            break
    return found


def test_every_registered_recipe_is_tried():
    names = {name.partition(": ")[2] for name in TRIED}
    assert names >= {name for table in (*TABLES.values(), EMBEDDINGS) for name in table}


def test_trainings_are_told_apart_by_nothing_but_what_is_set():
    for name in ("nodes: gcn", "embed node: triplet", "graphs: gin", "signals: cheb"):
        assert repr(outcome(TRIED[name])) == repr(usual(name))


@pytest.mark.parametrize("name", TRIED)
def test_what_is_idle_is_refused_and_not_recorded(name):
    made = TRIED[name]
    assert not made.unused_fields().keys() & made.as_dict().keys()
    assert made.unused_fields().keys() <= made.options().keys()
    for field, why in made.unused_fields().items():
        with pytest.raises(ValueError, match=f"`{field}` decides nothing in the recipe") as caught:
            made.with_({field: made.options()[field]})
        assert why in str(caught.value)
    again = made.with_({key: value for key, value in made.as_dict().items() if key not in ("model", "loss")})
    assert again == made


@pytest.mark.parametrize(("name", "field"), fields()[::12])
def test_a_field_acts_or_is_refused(name, field):
    """A chosen twelfth."""
    assert fault(name, field) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIED)
def test_every_field_acts_or_is_refused(name):
    faults = {field: fault(name, field) for field in TRIED[name].options()}
    assert {field: why for field, why in faults.items() if why} == {}

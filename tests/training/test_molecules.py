"""Recipes of molecules: refused in words where there are none, or no rdkit, and left out of what is tried."""

from __future__ import annotations

import importlib.util

import pytest

from graphkit.training import portfolio, recipe, train
from graphkit.training.zoo.graph_architectures import BESIDE
from graphkit.training.zoo.recipes import GRAPH_RECIPES
from tests.training.studies import molecules, rings_and_stars

OF_MOLECULES = [name for name, made in GRAPH_RECIPES.items() if made.model.molecules]


def test_they_are_those_that_look_at_fingerprints_or_descriptors():
    assert {"fingerprint-forest", "descriptor-gp"} < set(OF_MOLECULES)
    assert not {"gin", "wl-forest", "gin-forest"} & set(OF_MOLECULES)
    for name, beside in BESIDE.items():
        assert recipe("gin", {"ensemble": name}, items="graphs").model.molecules == beside.molecules


@pytest.mark.parametrize("name", OF_MOLECULES)
def test_other_graphs_are_refused_in_words(name):
    with pytest.raises(
        ValueError, match=f"the recipe '{name}', as it is set, looks at OGB's atoms and bonds, and these"
    ):
        train(rings_and_stars(), recipe(name, items="graphs"), device="cpu")


@pytest.mark.parametrize("name", OF_MOLECULES)
def test_without_rdkit_the_extra_is_named(name, monkeypatch):
    pytest.importorskip("rdkit")
    given, usual = molecules(), importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda of, *more: None if of == "rdkit" else usual(of, *more))
    with pytest.raises(ValueError, match=r"needs rdkit: pip install 'graphkit\[molecules\]'"):
        train(given, recipe(name, {"epochs": 1}, items="graphs"), device="cpu")


def test_a_portfolio_tries_them_on_molecules_alone(monkeypatch):
    pytest.importorskip("rdkit")
    tried = portfolio(items="graphs")
    on_others = [each.name for each in tried.fitting(rings_and_stars()).recipes]
    on_molecules = [each.name for each in tried.fitting(molecules()).recipes]
    assert [name for name in on_molecules if name not in on_others] == ["fingerprint-forest", "descriptor-gp"]
    monkeypatch.setattr("graphkit.training.zoo.portfolio.UNASKED", 10)
    assert not any(each.model.solved for each in tried.fitting(molecules()).recipes)

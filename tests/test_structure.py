"""What the code promises about itself: floors, light imports; a test, an example, a source for what is public."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
import torch
import torch_geometric.nn
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

import graphkit
import graphkit.nn

CHECKOUT = Path(__file__).parent.parent
ROOMS = {
    name: importlib.import_module(f"graphkit.{name}")
    for name in ("operators", "metric", "data", "nn", "contrastive", "meta", "training", "viz")
    if (CHECKOUT / "graphkit" / name).is_dir()
}
MATHEMATICS = {"operators", "metric", "nn", "contrastive", "meta"}
"""Rooms of methods; the others hold records, errors and files."""
COMPOSED = {"Encoder"}
"""Modules that stack others and implement no paper of their own; nor do abstract ones."""
RECORDS = {"contrastive", "meta"}
"""Rooms whose methods are modules; their other classes are records."""


def public(room: ModuleType) -> dict[str, type | FunctionType]:
    """Return the classes and functions that a room shows."""
    shown = {name: getattr(room, name) for name in getattr(room, "__all__", [])}
    return {name: thing for name, thing in shown.items() if inspect.isclass(thing) or inspect.isfunction(thing)}


PUBLIC = {f"{room}.{name}": thing for room, module in ROOMS.items() for name, thing in public(module).items()}
METHODS = {name: thing for name, thing in PUBLIC.items() if name.partition(".")[0] in MATHEMATICS}
PAPERS = {
    name: thing
    for name, thing in METHODS.items()
    if inspect.isclass(thing) and not inspect.isabstract(thing)
    if not name.startswith("operators.") and thing.__name__ not in COMPOSED
    if name.partition(".")[0] not in RECORDS or issubclass(thing, torch.nn.Module)
}


def documentation(thing: object) -> str:
    return inspect.getdoc(thing) or "" if "__doc__" in vars(thing) or inspect.isfunction(thing) else ""


def test_the_rooms_show_what_these_rules_are_about():
    assert {"operators.SparseOperator", "operators.laplacian", "nn.GCNConv", "data.load"} <= PUBLIC.keys()
    assert {"nn.GCNConv", "nn.ChebConv"} <= PAPERS.keys()
    assert "nn.Encoder" not in PAPERS


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_public_says_what_it_is_in_one_sentence(name):
    first = documentation(PUBLIC[name]).split("\n\n")[0]
    assert first.endswith((".", ":")), f"{name}: {first!r}"


@pytest.mark.parametrize("name", [name for name, thing in METHODS.items() if not inspect.isabstract(thing)])
def test_every_method_has_an_example_that_runs(name):
    """The doctests run with the suite; here they only have to be there."""
    assert "Example:" in documentation(METHODS[name])
    assert ">>> " in documentation(METHODS[name])


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_named_by_a_test_of_its_room(name):
    room, _, own = name.partition(".")
    texts = (path.read_text(encoding="utf-8") for path in (CHECKOUT / "tests" / room).rglob("test_*.py"))
    assert any(re.search(rf"\b{own}\b", text) for text in texts)


@pytest.mark.parametrize("name", PAPERS)
def test_what_implements_a_paper_names_it(name):
    source = documentation(PAPERS[name]).partition("Source: ")[2]
    assert re.search(r"\(\d{4}\)", source), f"{name} names no author and year under `Source:`"


@pytest.mark.parametrize("name", [name for name in graphkit.nn.__all__ if hasattr(torch_geometric.nn, name)])
def test_a_layer_with_a_name_of_pyg_has_its_signature(name):
    """The same arguments in the same order with the same defaults."""
    ours, theirs = getattr(graphkit.nn, name), getattr(torch_geometric.nn, name)
    for method in ("__init__", "forward"):
        found, expected = (
            [(p.name, p.kind, p.default) for p in inspect.signature(getattr(part, method)).parameters.values()]
            for part in (ours, theirs)
        )
        assert found == expected


def test_every_file_of_the_package_has_a_test_file_or_a_room_of_tests():
    """``tests/`` mirrors ``graphkit/``: no room of the package is without its folder of tests."""
    rooms = {path.parent.name for path in (CHECKOUT / "graphkit").glob("*/__init__.py")} - {"cli", "datasets"}
    assert {room for room in rooms if not any((CHECKOUT / "tests" / room).rglob("test_*.py"))} == set()


def test_floors_import_only_lower_floors(monkeypatch):
    monkeypatch.chdir(CHECKOUT)
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == EXIT_STATUS_SUCCESS


@pytest.mark.parametrize("module", ["graphkit", "graphkit._checks", "graphkit._kernels", "graphkit.cli"])
def test_importing_it_loads_nothing_heavy(module):
    heavy = {"torch", "torch_geometric", "numpy", "scipy", "numba", "sklearn", "matplotlib", "networkx"}
    script = f"import sys, {module}; print(*sorted({heavy!r} & sys.modules.keys()))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert loaded.stdout.split() == []


def test_the_package_itself_imports_none_of_its_rooms():
    script = "import sys, graphkit; print(*[name for name in sys.modules if name.startswith('graphkit.')])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
    assert graphkit.__version__

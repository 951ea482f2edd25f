"""Rules that hold for the repository as a whole, not for any one room."""

from __future__ import annotations

import ast
import random
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

CHECKOUT = Path(__file__).parent.parent
ROOMS = sorted({path.parent for path in (CHECKOUT / "graphkit").rglob("*.py")})
LINES = 600
"""A file above 300 lines asks for a second look; one above this gets none."""


def committed() -> list[Path]:
    """Return the files that git knows, or skip where there is no git."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [CHECKOUT / name for name in listed.stdout.split("\0") if name and (CHECKOUT / name).is_file()]


def docstring(path: Path) -> str:
    """Return the docstring of a module without importing it."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def test_no_committed_file_names_a_folder_of_this_machine():
    generic = {Path("/"), Path(tempfile.gettempdir())}
    places = {str(place).encode() for place in {CHECKOUT, CHECKOUT.parent, Path.home()} - generic}
    followed = re.compile(b"(?<![\\w.])(?:" + b"|".join(map(re.escape, places)) + b")(?![\\w-])")
    assert [path.name for path in committed() if followed.search(path.read_bytes())] == []


def test_no_file_of_the_package_is_long():
    lengths = {
        path.name: path.read_text(encoding="utf-8").count("\n") for path in (CHECKOUT / "graphkit").rglob("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > LINES} == {}


PACKAGE = CHECKOUT / "graphkit"
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
STANDARD = {
    # Context managers and terms of the field that end like participles, and verbs and nouns that only look like them.
    *("cached", "unlabelled", "undirected", "seed", "embed", "build", "put", "adapt", "clone", "reset", "forget"),
    *(
        "readout",
        "dropout",
        "corrupt",
        "flatten",
        "unflatten",
        "coarsen",
        "sharpen",
        "shorten",
        "open",
        "listen",
        "run",
        "own",
    ),
}
"""Names of functions that the rule about participles does not mean."""


def names_of(path: Path) -> str:
    """Return the dotted name of a file of the package."""
    return ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__")


def test_no_class_name_stands_twice():
    places: dict[str, list[str]] = {}
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(names_of(path))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_no_function_is_named_by_a_participle():
    """A function is a verb where it acts and a noun where it returns something; properties may say how something is."""
    found = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef) or any("property" in ast.unparse(d) for d in node.decorator_list):
                continue
            name = node.name.strip("_")
            ends = re.fullmatch(r"[a-z]+(ed|wn|pt|ld|en|un|ought|aid|ung|ut|ade|one|et)", name)
            if ends and not node.name.startswith("__") and name not in STANDARD:
                found.append(f"{names_of(path)}.{node.name}")
    assert found == []


def test_no_file_is_imported_in_a_circle_annotations_included():
    modules = {names_of(path): path for path in TREES}

    def imported(path: Path) -> set[str]:
        found = set()
        for node in ast.walk(TREES[path]):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("graphkit"):
                full = {f"{node.module}.{each.name}" for each in node.names}
                found |= {name if name in modules else node.module for name in full}
        return {name for name in found if name in modules and modules[name].name != "__init__.py"} - {names_of(path)}

    graph = {name: imported(path) for name, path in modules.items() if path.name != "__init__.py"}
    while leaves := [name for name, needs in graph.items() if not needs & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert graph == {}, "these files import each other"


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(CHECKOUT)))
def test_every_room_says_what_it_is_for(room):
    assert docstring(room / "__init__.py").splitlines()[0].rstrip().endswith((".", ":"))


def test_the_map_of_the_package_names_every_room():
    rooms = {room.name for room in ROOMS if room.parent == CHECKOUT / "graphkit"}
    written = docstring(CHECKOUT / "graphkit" / "__init__.py")
    assert {room for room in rooms if f"``{room}``" not in written} == set()


def test_every_make_target_the_readme_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)\b", (CHECKOUT / "README.md").read_text(encoding="utf-8")))
    assert {"demo", "test"} <= named <= targets


def test_what_starts_several_processes_runs_one_at_a_time():
    """Such tests want the machine for themselves, also where ``pytest -n`` runs others beside them."""
    import conftest

    starts = re.compile(r"^from tests\.jobs import [^\n]*\bjob\b|torch\.distributed\.run", re.MULTILINE)
    found = {
        str(path.relative_to(CHECKOUT))
        for path in (CHECKOUT / "tests").rglob("test_*.py")
        if starts.search(path.read_text(encoding="utf-8"))
    }
    assert found <= set(conftest.ONE_AT_A_TIME)
    assert all((CHECKOUT / name).is_file() for name in conftest.ONE_AT_A_TIME)


def test_the_version_heads_the_changelog():
    from graphkit import __version__

    headings = re.findall(r"^## \[([^\]]+)\]", (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert __version__ in headings[:2]


@pytest.mark.parametrize("turn", range(2))
def test_every_test_starts_from_the_same_random_numbers(turn):
    drawn = random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002
    random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
    assert drawn == (random.random(), np.random.rand(), torch.rand(()).item())  # noqa: NPY002

"""The wheel, installed where there is no checkout, is the whole package, with its cards and benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import graphkit
from graphkit.data import card, names

CHECKOUT = Path(__file__).parent.parent


def call(*command: str | Path, cwd: Path) -> str:
    """Return what a command prints to standard output; nothing of this process leads it to the checkout."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "VIRTUAL_ENV"))
    }
    environment = {**kept, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, CHECKOUT, cwd=folder)
    return next(folder.glob("graphkit-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """Install it into a new environment that sees our dependencies, and return the folder of its commands.

    A line in a ``.pth`` file puts the dependencies on the path; the ``.pth`` files in that folder, the editable
    install's among them, are not read again.
    """
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    commands = home / ("Scripts" if os.name == "nt" else "bin")
    python = commands / "python"
    site = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "--quiet")
    call(*pip, "install", "--no-deps", "--no-index", wheel, cwd=home)
    folders = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (site / "dependencies.pth").write_text("".join(f"{folder}\n" for folder in folders), encoding="utf-8")
    return commands


def test_the_wheel_holds_cards_benchmarks_and_licence_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = archive.namelist()
    assert {f"graphkit/datasets/{name}/card.toml" for name in names()} <= set(held)
    assert {"graphkit/benchmarks/gcn_epoch.py", "graphkit/benchmarks/_measure.py"} <= set(held)
    assert any(name.endswith("licenses/LICENSE") for name in held)
    assert {name.split("/")[0].split("-")[0] for name in held} == {"graphkit"}
    assert not [name for name in held if "__pycache__" in name]


def test_the_module_comes_from_the_wheel(installed, tmp_path):
    found = call(installed / "python", "-c", "import graphkit; print(graphkit.__file__)", cwd=tmp_path).strip()
    assert Path(found).is_relative_to(installed.parent)
    assert not Path(found).is_relative_to(CHECKOUT)


def test_the_version_is_known(installed, tmp_path):
    assert call(installed / "graphkit", "--version", cwd=tmp_path).strip().endswith(graphkit.__version__)


def test_all_cards_are_found(installed, tmp_path):
    listed = call(installed / "graphkit", "data", "list", cwd=tmp_path)
    assert [name for name in names() if name not in listed] == []
    assert card("cora").citation[:20] in call(installed / "graphkit", "data", "card", "cora", cwd=tmp_path)


def test_the_benchmarks_are_listed(installed, tmp_path):
    listed = call(installed / "graphkit", "bench", "--list", cwd=tmp_path)
    assert "gcn-epoch" in listed
    assert "layers" in listed


def test_a_model_is_trained(installed, tmp_path):
    told = call(installed / "graphkit", "train", "karate", "--seeds", "1", "--epochs", "2", cwd=tmp_path)
    assert "test accuracy" in told

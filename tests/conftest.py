"""Fixtures that several rooms share; what holds for doctests too is in the ``conftest.py`` above."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from graphkit.cli import main
from graphkit.cli.output import Stages
from graphkit.data.catalog import cards
from tests import raw_arxiv

# Kernels compile at their first call, which is no fault of the example that happens to make it; and what fails for one
# must fail for all, so examples are drawn from a fixed seed.
settings.register_profile("graphkit", deadline=None, derandomize=True, database=None)
settings.load_profile("graphkit")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Run on one thread: the same sums in the same order on every machine, and room for others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def generator() -> torch.Generator:
    """Return a seeded generator."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def mirror(own_data_home: Path) -> Path:
    """Return the folder of real raw files, or skip; ``load`` finds them without being told.

    A folder that is named but is not one is a failure: nothing is skipped by mistake.
    """
    named = os.environ.get("GRAPHKIT_MIRROR")
    if named is None:
        pytest.skip("no real files: $GRAPHKIT_MIRROR is not set and ../shared/data does not exist")
    if not (Path(named) / "planetoid").is_dir():
        pytest.fail(f"$GRAPHKIT_MIRROR is {named}, which holds no data sets")
    return Path(named)


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let a test work in an empty folder of its own, with no switch of the caller's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRAPHKIT_DEBUG", raising=False)
    return tmp_path


@pytest.fixture
def call(
    own_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Return a function from the command line's arguments to exit code, standard output and standard error.

    However slow the machine, no stage is said.
    """
    monkeypatch.setattr(Stages, "LOG", 1e6)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty data folder of this test's own."""
    home = tmp_path / "data-home"
    monkeypatch.setenv("GRAPHKIT_DATA", str(home))
    return home


@pytest.fixture
def arxiv(tmp_path: Path, data_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a made-up ogbn-arxiv in exactly the raw format of the real one, with a card of its counts."""
    monkeypatch.delenv("GRAPHKIT_MIRROR", raising=False)
    raw_arxiv.written(tmp_path / "upstream/arxiv")
    raw_arxiv.carded(tmp_path / "cards")
    monkeypatch.setattr(cards, "folder", lambda: tmp_path / "cards")
    return tmp_path / "upstream/arxiv"

"""The cache has a bound, and what a killed process left is swept, but nothing that is in use."""

from __future__ import annotations

import errno
import inspect
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import graphkit.data
from graphkit.data import (
    DataError,
    Synthetic,
    cached_fourier_basis,
    fetch,
    import_graph,
    import_graph_set,
    import_series,
    load,
    open_stored,
    partition,
    store,
    synthesize,
    synthesize_ogb,
)
from graphkit.data.catalog import cache
from graphkit.data.catalog.sources.pyg import TUSource
from graphkit.data.disk import checked_files
from graphkit.data.disk.checked_files import working_folder

SMALL = Synthetic(nodes=100, edges=400, features=8, classes=4)
RING = torch.tensor([[0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]])


class TestTheBound:
    @pytest.mark.parametrize(
        ("text", "bytes_"),
        [("", 1e10), ("500MB", 5e8), ("2 gb", 2e9), ("1.5G", 1.5e9), ("0", 0), ("4096", 4096), ("none", float("inf"))],
    )
    def test_it_is_a_size(self, monkeypatch, text, bytes_):
        monkeypatch.setenv("GRAPHKIT_CACHE_LIMIT", text)
        assert cache.cache_limit() == bytes_

    @pytest.mark.parametrize("text", ["much", "-1", "10XB", "GB", "1e9"])
    def test_what_is_no_size_is_refused_by_its_name(self, monkeypatch, text):
        monkeypatch.setenv("GRAPHKIT_CACHE_LIMIT", text)
        with pytest.raises(DataError, match=r"\$GRAPHKIT_CACHE_LIMIT must be a size such as 500MB or 20GB"):
            cache.cache_limit()

    def test_what_was_not_used_for_longest_goes_first(self, data_home, monkeypatch):
        folder = data_home / "cache"
        for number in range(4):
            cache.write_bounded(bytes(1000), folder / f"{number}")
            os.utime(folder / f"{number}", (number, number))
        cache.touch(folder / "0")
        monkeypatch.setenv("GRAPHKIT_CACHE_LIMIT", "3000")
        cache.write_bounded(bytes(1000), folder / "bases/new")
        assert {path.name for path in folder.rglob("*") if path.is_file()} == {"0", "3", "new"}
        cache.write_bounded(bytes(3001), folder / "larger")
        assert {entry.path.name for entry in cache.cache_entries()} == {"0", "3", "new"}, "what exceeds all is not kept"

    def test_another_folder_has_none(self, data_home, tmp_path, monkeypatch):
        monkeypatch.setenv("GRAPHKIT_CACHE_LIMIT", "0")
        cached_fourier_basis(RING, num_nodes=3, cache_dir=tmp_path / "mine")
        cached_fourier_basis(RING, num_nodes=3)
        assert len(list((tmp_path / "mine").iterdir())) == 1
        assert cache.cache_entries() == []

    def test_sets_and_bases_are_used_when_they_are_read(self, data_home):
        cached_fourier_basis(RING, num_nodes=3)
        load("karate")
        for entry in cache.cache_entries():
            os.utime(entry.path, (1, 1))
        assert len(cache.cache_entries()) == 2
        cached_fourier_basis(RING, num_nodes=3)
        load("karate")
        assert all(entry.last_used > time.time() - 60 for entry in cache.cache_entries())

    def test_half_written_files_of_the_dead_are_swept_and_those_of_today_are_not(self, data_home):
        folder = data_home / "cache"
        folder.mkdir(parents=True)
        for name, age in ((".old.1f", 2 * checked_files.STALE), (".new.2e", 60)):
            (folder / name).write_bytes(bytes(10))
            os.utime(folder / name, (time.time() - age,) * 2)
        cache.write_bounded(b"1", folder / "x")
        assert {path.name for path in folder.iterdir()} == {".new.2e", "x"}

    def test_the_command_shows_and_clears(self, call, data_home, monkeypatch):
        load("karate")
        code, out, _ = call("data", "cache")
        assert code == 0
        assert "karate-" in out
        assert f"at most 10,000.0 MB: {data_home / 'cache'}" in out
        assert call("data", "cache", "--clear")[0] == 0
        assert cache.cache_entries() == []
        monkeypatch.setenv("GRAPHKIT_CACHE_LIMIT", "x")
        assert call("data", "cache")[0] == 1


def two_tables(folder: Path) -> tuple[Path, Path]:
    series, edges = (folder.parent.with_name(f"{folder.parent.name}-{name}.csv") for name in ("series", "roads"))
    series.write_text("time,a,b\n0,1,2\n60,3,4\n")
    edges.write_text("from,to\na,b\n")
    return series, edges


def in_sets(folder: Path) -> Path:
    """Return a table of the edges of several graphs, which lies beside the folder of the test."""
    table = folder.parent.with_name(f"{folder.parent.name}-edges.csv")
    table.write_text("graph,source,target\n1,1,2\n1,2,1\n")
    return table


WRITERS = {
    "synthesize": lambda folder: synthesize(folder, SMALL),
    "synthesize_ogb": lambda folder: synthesize_ogb(folder, SMALL),
    "store": lambda folder: store(load("karate"), folder),
    "import_graph_set": lambda folder: import_graph_set(in_sets(folder), folder),
    "import_series": lambda folder: import_series(*two_tables(folder), folder),
    "partition": lambda folder: partition(load("karate"), folder, parts=2, by="contiguous"),
}
"""What writes a folder beside its place and renames it."""

KILLED = """
import os, sys
from graphkit.data import Synthetic, synthesize
from graphkit.data.disk.arrays import ArrayWriter
append = ArrayWriter.append
def dying(self, rows):
    append(self, rows)
    if self.path.name == "x.npy":
        os.kill(os.getpid(), 9)
ArrayWriter.append = dying
synthesize(sys.argv[1], Synthetic(nodes=100, edges=400, features=8, classes=4))
"""


def test_every_public_writer_is_among_them():
    named = set()
    for name in graphkit.data.__all__:
        made = getattr(graphkit.data, name)
        if {"folder", "to"} & set(inspect.signature(made.__init__ if inspect.isclass(made) else made).parameters):
            named.add(name)
    readers = {"StoredGraph", "Partitions", "open_stored"}
    assert named - readers == {*WRITERS, "import_graph"}  # an import goes on where it was killed


class TestWhatIsLeft:
    def test_what_a_killed_writer_left_is_swept_by_the_next_one(self, tmp_path):
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "graph")], check=False)
        assert done.returncode == -signal.SIGKILL
        (left,) = tmp_path.iterdir()
        assert left.name.startswith(".graph-")
        assert sum(path.stat().st_size for path in left.rglob("*")) > 1000
        store(load("karate"), tmp_path / "graph")
        assert [path.name for path in tmp_path.iterdir()] == ["graph"]

    def test_what_a_killed_writer_of_version_0_1_left_is_swept_too(self, tmp_path):
        left = tmp_path / ".graph-x.unfinished"
        left.mkdir()
        (left / "lock").write_text("4711")
        store(load("karate"), tmp_path / "graph")
        assert [path.name for path in tmp_path.iterdir()] == ["graph"]

    @pytest.mark.parametrize("writer", WRITERS)
    def test_what_is_in_use_is_left_alone(self, tmp_path, writer):
        with working_folder(tmp_path, ".graph-") as working:
            (working / "half").write_text("mine")
            WRITERS[writer](tmp_path / "graph")
            assert (working / "half").read_text() == "mine"
        assert [path.name for path in tmp_path.iterdir()] == ["graph"]

    def test_nothing_but_working_folders_is_swept(self, tmp_path):
        mine = [".graph-original", ".graph-x.unfinished.txt", ".graph.partial", "graph-x.unfinished"]
        for name in mine:
            (tmp_path / name).mkdir()
            os.utime(tmp_path / name, (1, 1))
        young = tmp_path / ".graph-young.unfinished"
        young.mkdir()
        old = tmp_path / ".graph-old.unfinished"
        old.mkdir()
        os.utime(old, (1, 1))
        store(load("karate"), tmp_path / "graph")
        assert {path.name for path in tmp_path.iterdir()} == {*mine, young.name, "graph"}

    @pytest.mark.parametrize("writer", WRITERS)
    def test_a_full_disk_names_the_place_and_leaves_nothing_but_what_was_there(self, tmp_path, monkeypatch, writer):
        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        load("karate")
        (tmp_path / "before").write_text("kept")
        for broken in ("graphkit.data.disk.arrays.ArrayWriter.append", "os.fsync", "pathlib.Path.mkdir"):
            with monkeypatch.context() as patch:
                patch.setattr(broken, full)
                with pytest.raises(DataError, match="graph' cannot be written: No space left on device"):
                    WRITERS[writer](tmp_path / "graph")
            assert [path.name for path in tmp_path.iterdir()] == ["before"]
        WRITERS[writer](tmp_path / "graph")

    def test_an_import_on_a_full_disk_goes_on_when_there_is_room(self, tmp_path, monkeypatch):
        (tmp_path / "edges.csv").write_text("0,1\n1,2\n")

        def full(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(
                DataError, match=r"graph' cannot be written: No space left on device.*goes on from there"
            ):
                import_graph(tmp_path / "edges.csv", tmp_path / "graph")
        assert open_stored(import_graph(tmp_path / "edges.csv", tmp_path / "graph").folder).num_edges == 2

    def test_a_download_that_finds_no_room_names_the_file_and_comes_again(self, mirror, data_home, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        def copied(_, root):
            shutil.copytree(mirror / "tu/MUTAG/raw", root / "tu/MUTAG/raw", copy_function=shutil.copyfile)

        monkeypatch.delenv("GRAPHKIT_MIRROR")
        monkeypatch.setattr(TUSource, "download", copied)
        with monkeypatch.context() as patch:
            patch.setattr("os.replace", full)
            with pytest.raises(DataError, match=r"MUTAG_A\.txt cannot be written: No space left on device"):
                fetch("mutag")
        assert not list(data_home.glob(".staging-*"))
        assert fetch("mutag") == data_home

    def test_a_full_disk_keeps_no_cache_and_loses_no_graph(self, data_home, monkeypatch):
        def full(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        assert load("karate").num_nodes == 34
        assert cache.cache_entries() == []

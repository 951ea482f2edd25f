"""Where files come from, and what is refused: no wrong byte is opened, no half-written one is left behind."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
import torch

from graphkit.data import DataError, card, fetch, load, names, verify
from graphkit.data.catalog import files
from graphkit.data.catalog.sources import source_of
from graphkit.data.catalog.sources.pyg import PlanetoidSource, PyGSource
from graphkit.data.disk import checked_files


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.rglob("*"))}


def leftovers(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file() or path.name.startswith(".")]


class Attack:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def holds_the_standin(data, standin) -> bool:
    order = data.edge_index[0].argsort(stable=True)
    edges = data.edge_index[:, order]
    order = (edges[0] * data.num_nodes + edges[1]).argsort()
    same = torch.equal(data.x, standin.x) and torch.equal(data.y, standin.y)
    return same and torch.equal(edges[:, order], standin.edge_index)


def test_a_data_set_is_downloaded_checked_and_loaded(standin, network, data_home):
    data = load("pubmed")
    assert holds_the_standin(data, standin)
    assert [int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test")] == [6, 500, 40]
    assert len(network) == 8
    assert files.missing_files(data.card, data_home) == []
    assert not [path for path in data_home.iterdir() if path.name.startswith(".")]


def test_what_was_downloaded_once_is_not_asked_for_again(standin, network, data_home):
    assert fetch("pubmed") == data_home
    asked = len(network)
    assert fetch("pubmed") == data_home
    load("pubmed")
    verify("pubmed")
    assert len(network) == asked


def test_the_mirror_comes_first_and_is_never_written_to(standin, network, data_home, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_MIRROR", str(standin.root))
    before = everything(standin.root)
    assert fetch("pubmed") == standin.root
    assert holds_the_standin(load("pubmed"), standin)
    assert verify("pubmed").files == 8
    assert everything(standin.root) == before
    assert network == []


def test_the_data_folder_is_used_where_the_mirror_lacks_a_file(standin, network, data_home, tmp_path, monkeypatch):
    shutil.copytree(standin.root, data_home)
    standin.file("allx").unlink()
    monkeypatch.setenv("GRAPHKIT_MIRROR", str(standin.root))
    assert fetch("pubmed") == data_home
    assert network == []


@pytest.mark.parametrize("place", ["mirror", "data folder", "download"])
@pytest.mark.parametrize("name", ["x", "graph", "test.index"])
def test_a_truncated_file_is_refused_with_its_name_and_both_checksums(
    standin, network, data_home, monkeypatch, place, name
):
    expected = files.sha256(standin.file(name))
    standin.file(name).write_bytes(standin.file(name).read_bytes()[:-10])
    if place == "mirror":
        monkeypatch.setenv("GRAPHKIT_MIRROR", str(standin.root))
    elif place == "data folder":
        shutil.copytree(standin.root, data_home)
    for action in (load, fetch) if place == "download" else (load, fetch, verify):
        with pytest.raises(DataError) as refused:
            action("pubmed")
        message = str(refused.value)
        assert f"ind.pubmed.{name}" in message
        assert expected in message
        assert files.sha256(standin.file(name)) in message
        assert "\n" not in message
    if place == "download":
        assert leftovers(data_home) == []


@pytest.mark.parametrize("place", ["mirror", "data folder", "download"])
def test_a_pickle_with_another_checksum_is_never_opened(standin, network, data_home, tmp_path, monkeypatch, place):
    marker = tmp_path / "executed"
    attack = pickle.dumps(Attack(marker))
    pickle.loads(attack)
    assert marker.exists(), "the attack must work where it is let in, or this test shows nothing"
    marker.unlink()

    standin.file("x").write_bytes(attack)
    if place == "mirror":
        monkeypatch.setenv("GRAPHKIT_MIRROR", str(standin.root))
    elif place == "data folder":
        shutil.copytree(standin.root, data_home)
    for action in (load, fetch, verify):
        with pytest.raises(DataError):
            action("pubmed")
    assert not marker.exists()


@pytest.mark.parametrize("checked_by", ["content", "counts"])
def test_a_pickle_is_not_opened_even_if_its_card_asks_for_it(standin, network, tmp_path, checked_by):
    marker = tmp_path / "executed"
    standin.file("x").write_bytes(pickle.dumps(Attack(marker)))
    standin.card.write_text(standin.card.read_text().replace('checked_by = "files"', f'checked_by = "{checked_by}"'))
    with pytest.raises(DataError):
        load("pubmed")
    assert not marker.exists()


def test_a_pickle_whose_checksum_nobody_knows_is_not_opened(standin, network, tmp_path):
    marker = tmp_path / "executed"
    standin.file("x").write_bytes(pickle.dumps(Attack(marker)))
    lines = standin.card.read_text().splitlines()
    lines = [line.partition(" = ")[0] + " = {}" if "ind.pubmed.x" in line else line for line in lines]
    standin.card.write_text("\n".join(lines))
    with pytest.raises(DataError, match="not known"):
        load("pubmed")
    assert not marker.exists()


def test_only_pickled_formats_are_not_plain():
    single = [known for known in map(card, names()) if not known.members]
    assert {known.name for known in single if not source_of(known).pickle_free} == {"cora", "citeseer", "pubmed"}


@pytest.mark.parametrize("failure", [OSError("Network is unreachable"), TimeoutError(), RuntimeError("a\nb")])
def test_without_network_and_mirror_one_line_says_what_is_missing_and_where_it_goes(
    standin, data_home, monkeypatch, failure
):
    from torch_geometric.io import fs

    def fail(url: str, folder: str) -> None:
        raise failure

    monkeypatch.setattr(fs, "cp", fail)
    with pytest.raises(DataError) as refused:
        load("pubmed")
    message = str(refused.value)
    assert "\n" not in message
    for part in ("ind.pubmed.allx", "5 more", str(data_home), "$GRAPHKIT_MIRROR"):
        assert part in message
    assert leftovers(data_home) == []


def test_the_real_download_stops_at_the_closed_network(data_home, monkeypatch):
    monkeypatch.delenv("GRAPHKIT_MIRROR", raising=False)
    for name in ("chameleon", "texas", "citation-full-cora"):
        with pytest.raises(DataError, match="must not use the network"):
            fetch(name)
    assert leftovers(data_home) == []


def test_a_download_that_is_killed_leaves_nothing(standin, data_home, monkeypatch):
    from torch_geometric.io import fs

    asked = []

    def interrupted(url: str, folder: str) -> None:
        name = url.rpartition("/")[2]
        if len(asked) == 3:
            (Path(folder) / name).write_bytes(b"half")
            raise KeyboardInterrupt
        asked.append(shutil.copy(standin.file(name.removeprefix("ind.pubmed.")), folder))

    monkeypatch.setattr(fs, "cp", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load("pubmed")
    assert len(asked) == 3
    assert leftovers(data_home) == []


def test_a_file_the_download_did_not_bring_is_named(standin, network, data_home, monkeypatch):
    monkeypatch.setattr(PlanetoidSource, "download", lambda self, root: None)
    with pytest.raises(DataError, match=r"did not bring planetoid/PubMed/raw/ind\.pubmed\.allx"):
        fetch("pubmed")


def test_what_a_killed_process_left_is_swept_away_a_day_later(standin, network, data_home, monkeypatch):
    old = data_home / ".staging-old"
    old.mkdir(parents=True)
    (old / "half").touch()
    fetch("pubmed")
    assert not (old.exists() and checked_files.STALE < 0)
    monkeypatch.setattr(checked_files, "STALE", -1)
    with files.staging_folder(data_home):
        assert not old.exists()


def test_verify_does_not_download(standin, network):
    with pytest.raises(DataError, match="is not on this machine"):
        verify("pubmed")
    assert network == []


def test_a_mirror_that_is_no_folder_is_named(data_home, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"\$GRAPHKIT_MIRROR must name a folder"):
        fetch("cora")


def test_a_data_folder_that_cannot_be_made_is_named(standin, network, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRAPHKIT_DATA", str(tmp_path / "file" / "below"))
    with pytest.raises(DataError, match="cannot be written to"):
        fetch("pubmed")


class TestPlainArraysPackedDifferently:
    """Files of arrays whose bytes the card does not know: what they hold decides."""

    @pytest.fixture
    def photo(self, mirror, data_home, tmp_path, monkeypatch) -> Path:
        path = tmp_path / "root" / "amazon" / "Photo" / "raw" / "amazon_electronics_photo.npz"
        path.parent.mkdir(parents=True)
        shutil.copyfile(mirror / path.relative_to(tmp_path / "root"), path)
        monkeypatch.setenv("GRAPHKIT_MIRROR", str(tmp_path / "root"))
        return path

    @staticmethod
    def repack(path: Path, **changes) -> None:
        import numpy as np

        with np.load(path) as file:
            arrays = {name: file[name] for name in file}
        np.savez(path, **{**arrays, **changes})

    def test_the_same_content_is_accepted_and_named(self, photo):
        self.repack(photo)
        assert load("amazon-photo").num_nodes == 7650
        found = verify("amazon-photo")
        assert list(found.others.values()) == [files.sha256(photo)]
        assert found.files == 0
        assert found.content_known

    def test_other_content_is_refused(self, photo):
        import numpy as np

        with np.load(photo) as file:
            labels = file["labels"].copy()
        labels[0] = (labels[0] + 1) % 8
        self.repack(photo, labels=labels)
        for action in (load, fetch, verify):
            with pytest.raises(DataError, match=r"amazon_electronics_photo\.npz .* content sha256 .* instead of"):
                action("amazon-photo")

    def test_other_counts_are_refused(self, photo):
        import numpy as np

        self.repack(photo, adj_data=np.zeros(0), adj_indices=np.zeros(0, int), adj_indptr=np.zeros(7651, int))
        with pytest.raises(DataError, match=r"\(7650, 0, 745, 8\) instead of \(7650, 238162, 745, 8\)"):
            load("amazon-photo")

    @pytest.mark.parametrize("length", [0, 100, 500_000, -1])
    def test_a_truncated_file_is_refused(self, photo, length):
        photo.write_bytes(photo.read_bytes()[:length])
        with pytest.raises(
            DataError, match=r"amazon_electronics_photo\.npz .* bytes instead of .*expected sha256 .*found"
        ):
            load("amazon-photo")

    def test_a_pickle_inside_is_not_opened(self, photo, tmp_path):
        import numpy as np

        marker = tmp_path / "executed"
        self.repack(photo, labels=np.array([Attack(marker)], dtype=object))
        with pytest.raises(DataError, match="cannot be read"):
            load("amazon-photo")
        assert not marker.exists()


def test_a_set_known_by_its_counts_alone_is_told_by_them(mirror, data_home, tmp_path, monkeypatch):
    import tomllib

    from graphkit.data import card
    from graphkit.data.catalog import cards

    folder = tmp_path / "cards"
    shutil.copytree(cards.folder(), folder)
    text = (folder / "citation-full-citeseer" / "card.toml").read_text()
    text = text.partition("[files]")[0] + '[files]\n"citation_full/citeseer/raw/citeseer.npz" = {}\n'
    text = "\n".join(line for line in text.splitlines() if not line.startswith("content ="))
    text = text.replace('checked_by = "content"', 'checked_by = "counts"')
    assert tomllib.loads(text)["checked_by"] == "counts"
    (folder / "citation-full-citeseer" / "card.toml").write_text(text)
    monkeypatch.setattr(cards, "folder", lambda: folder)
    monkeypatch.setenv("GRAPHKIT_MIRROR", str(mirror))

    assert load("citation-full-citeseer").num_nodes == 4230
    assert not verify("citation-full-citeseer").content_known
    assert card("citation-full-citeseer").content is None
    (folder / "citation-full-citeseer" / "card.toml").write_text(text.replace("nodes = 4230", "nodes = 4231"))
    with pytest.raises(DataError, match="not known"):
        verify("citation-full-citeseer")


def test_pyg_classes_are_stopped_before_they_store_anything(mirror, tmp_path):
    for path in (mirror / "webkb" / "texas" / "raw").iterdir():
        target = tmp_path / "webkb" / "texas" / "raw" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    before = everything(tmp_path)
    assert PyGSource("WebKB", "webkb", "texas").read(tmp_path).num_nodes == 183
    assert everything(tmp_path) == before


def test_a_temporary_folder_without_room_is_named(standin, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("GRAPHKIT_MIRROR", str(standin.root))
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(DataError, match=r"`pubmed`: .* could not be copied to .* \(No space left .*set \$TMPDIR"):
        verify("pubmed")

"""Whatever a run reads back is what was written, to the last bit, or the run says which file is not."""

from __future__ import annotations

import json
import re

import pytest
import torch

from graphkit.training import Interrupted
from graphkit.training.embedding import SavedEmbeddings
from graphkit.training.engine.store import (
    Damaged,
    add_checksum,
    pack_fields,
    pack_tensors,
    read_fields,
    read_tensors,
    verify_checksum,
)
from tests.interruptions import StopAfter
from tests.training.studies import STUDIES

READ_BACK = r"checkpoint\.pt|(embeddings|seed)-\d+\.safetensors|learner-.+\.safetensors"
WRITTEN_ONLY = {
    r"record\.json": "the result, for the user",
}
PLACES = 10


def flipped(content, number, of):
    """Return content with one bit the other way round; places are spread evenly, the seal's among them."""
    place = number * (len(content) - 1) // (of - 1)
    changed = bytearray(content)
    changed[place] ^= 1 << (number * 5 % 8)
    return bytes(changed)


def interrupted(study, folder):
    """Run a study half-way, so that a state is there beside what is finished."""
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        study(folder, reporter=StopAfter(2))


@pytest.mark.parametrize("name", STUDIES)
def test_one_bit_that_changed_in_a_file_that_is_read_back_is_told(name, tmp_path):
    study, folder = STUDIES[name], tmp_path / "run"
    interrupted(study, folder)
    files = {path: path.read_bytes() for path in sorted(folder.glob("[!.]*"))}
    unknown = [p.name for p in files if not re.fullmatch("|".join([READ_BACK, *WRITTEN_ONLY]), p.name)]
    assert not unknown, "say of each file whether a run reads it back"
    tried = 0
    for path, content in files.items():
        if not re.fullmatch(READ_BACK, path.name):
            continue
        for number in range(PLACES):
            path.write_bytes(flipped(content, number, PLACES))
            with pytest.raises(ValueError, match=re.escape(path.name)) as told:
                study(folder, resume=True)
            assert "checksum" in str(told.value) or "cannot be read" in str(told.value)
            tried += 1
        path.write_bytes(content)
    assert tried >= PLACES
    study(folder, resume=True)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"rubbish" * 20])
def test_what_was_never_sealed_is_damaged(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    for read in (verify_checksum, read_tensors, read_fields):
        with pytest.raises(Damaged, match=re.escape(repr(str(path)))):
            read(path)


def test_a_file_of_an_older_version_is_refused_in_words(tmp_path):
    torch.save({"form": 1}, tmp_path / "old.pt")
    (tmp_path / "old.json").write_text('{"identity": "x", "results": {}}')
    for read, name in ((read_tensors, "old.pt"), (read_fields, "old.json")):
        with pytest.raises(Damaged, match="has no checksum: it is damaged, or of an older version"):
            read(tmp_path / name)


def test_every_bit_of_a_small_file_counts(tmp_path):
    path = tmp_path / "file"
    forms = {
        verify_checksum: add_checksum(b"some content"),
        read_fields: pack_fields({"a": [1, 2.5], "b": {"c": None}}),
    }
    for read, content in forms.items():
        for place in range(8 * len(content)):
            changed = bytearray(content)
            changed[place // 8] ^= 1 << place % 8
            path.write_bytes(changed)
            with pytest.raises(Damaged):
                read(path)
        path.write_bytes(content[:-1])
        with pytest.raises(Damaged):
            read(path)


def test_what_was_sealed_is_read_as_it_was_and_torch_reads_over_the_seal(tmp_path):
    fields = {"weights": torch.arange(3.0), "step": 2, "none": None}
    (tmp_path / "file.pt").write_bytes(pack_tensors(fields))
    for found in (read_tensors(tmp_path / "file.pt"), torch.load(tmp_path / "file.pt", weights_only=True)):
        assert torch.equal(found.pop("weights"), fields["weights"])
        assert found == {"step": 2, "none": None}
    (tmp_path / "file.json").write_bytes(pack_fields({"a": 1}))
    assert read_fields(tmp_path / "file.json") == {"a": 1}
    assert json.loads((tmp_path / "file.json").read_text())["a"] == 1


def test_embeddings_whose_bits_changed_are_not_searched(tmp_path):
    path = tmp_path / "embeddings-0.safetensors"
    SavedEmbeddings(torch.randn(4, 3), torch.arange(4), {"loss": "triplet"}).write(path)
    whole = path.read_bytes()
    for place in range(0, 8 * len(whole), 7):  # coprime to 8, so that each bit of a byte has its turn
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"embeddings-0\.safetensors"):
            SavedEmbeddings.read(path)

"""What version 0.1 left on a disk is found and read: names of cached files and checksums of stored graphs stay."""

from __future__ import annotations

import json

from graphkit.data import card, load, open_stored, partition, store, verify
from graphkit.data.catalog.cached_graphs import cached_path
from graphkit.data.disk.checked_files import read_sealed_json, sealed_json

KARATE = "64e4e5fcfbff8e546dbe14d4cee1421dc201ea877f5e6ba51a90f56c9a209a98"
"""The fingerprint of the karate club as version 0.1 stored it."""


def test_a_cached_file_has_the_name_it_had():
    assert cached_path(card("karate"), {}).name == "karate-3ee20546a9acdc4f.safetensors"


def test_a_stored_graph_and_its_parts_have_the_checksums_they_had(tmp_path):
    assert store(load("karate"), tmp_path / "graph").fingerprint == KARATE
    assert partition(load("karate"), tmp_path / "parts", parts=2, by="contiguous").fingerprint == "6f3b729ce5e208d4"


def test_a_manifest_from_before_there_were_seals_is_read(tmp_path):
    manifest = store(load("karate"), tmp_path / "graph").folder / "manifest.json"
    about = read_sealed_json(manifest)
    manifest.write_text(json.dumps(about))
    assert open_stored(tmp_path / "graph").num_edges == 156
    assert verify(tmp_path / "graph").content == KARATE
    assert json.loads(sealed_json(about))["seal"]

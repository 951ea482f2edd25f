"""Class splits that others fixed: disjoint, whole, and from the file they are said to be from."""

from __future__ import annotations

import json

import pytest

from graphkit.data import DataError, card, few_shot_counts, fixed_classes


@pytest.mark.parametrize(
    ("name", "counts"),
    [("citation-full-cora", (25, 20, 25)), ("dblp", (80, 27, 30)), ("amazon-electronics", (91, 36, 40))],
)
def test_tents_classes_are_disjoint_and_all_there(mirror, name, counts):
    fixed = fixed_classes(name)
    parts = fixed.train, fixed.val, fixed.test
    assert tuple(map(len, parts)) == counts
    assert sorted(label for part in parts for label in part) == list(range(sum(counts)))


def test_the_counts_of_the_cards_are_those_of_the_file_and_no_more_than_there_are_classes(mirror):
    told = json.loads((mirror / "few_shot_class_splits/class_counts.json").read_text())
    theirs = {
        "citation-full-cora": "CoraFull",
        "ogbn-arxiv": "ogbn-arxiv",
        "coauthor-cs": "Coauthor-CS",
        "amazon-computers": "Amazon-Computer",
        "cora": "Cora",
        "citeseer": "CiteSeer",
    }
    for name, key in theirs.items():
        assert few_shot_counts(name) == (told[key]["train"], told[key]["dev"], told[key]["test"])
        assert sum(few_shot_counts(name)) == card(name).classes
        assert "few-shot" in card(name).text()


def test_a_wrong_or_missing_file_is_refused(mirror, tmp_path, data_home, monkeypatch):
    folder = tmp_path / "mirror/few_shot_class_splits"
    folder.mkdir(parents=True)
    monkeypatch.setenv("GRAPHKIT_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(DataError, match="are not on this machine"):
        fixed_classes("dblp")
    whole = (mirror / "few_shot_class_splits/dblp_class_split.json").read_bytes()
    (folder / "dblp_class_split.json").write_bytes(whole[:-1])
    with pytest.raises(DataError, match="expected sha256 9e50a2"):
        fixed_classes("dblp")


def test_what_has_none_says_what_has_some():
    with pytest.raises(ValueError, match="'karate' names no few-shot counts; amazon-computers, "):
        few_shot_counts("karate")
    with pytest.raises(ValueError, match=r"nobody fixed a division of the classes of 'cora'; of amazon-electronics"):
        fixed_classes("cora")

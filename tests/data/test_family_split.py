"""Splits of graphs by family: nothing that is tested on has a relative among what is learnt from."""

from __future__ import annotations

import dataclasses
import pickle
import re

import pytest

from graphkit.data import FamilySplit, families

FAMILIES = families()
FAMILY_OF = {name: family for family, of_family in FAMILIES.items() for name in of_family}


def test_a_name_that_is_both_a_data_set_and_a_family_means_the_same_graphs():
    assert {name for name, family in FAMILY_OF.items() if name in FAMILIES and family != name} == set()


@pytest.mark.parametrize("name", sorted({*FAMILIES, *FAMILY_OF}))
def test_whatever_is_left_out_no_family_is_on_both_sides_and_every_graph_on_one(name):
    split = FamilySplit.leave_out(name)
    sides = [{FAMILY_OF[each] for each in side} for side in (split.train, split.test)]
    assert not sides[0] & sides[1]
    assert sides[1] == set(split.left_out) == {FAMILY_OF.get(name, name)}
    assert sorted(split.train + split.test) == sorted(FAMILY_OF)


def test_all_splits_leave_out_each_family_once_and_test_each_graph_once():
    splits = FamilySplit.all()
    assert [split.left_out for split in splits] == [(family,) for family in FAMILIES]
    assert sorted(name for split in splits for name in split.test) == sorted(FAMILY_OF)
    assert splits == [FamilySplit.leave_out(family) for family in FAMILIES]


def test_only_graphs_that_take_part_are_on_a_side_in_their_order():
    graphs = ["texas", "pubmed", "cora", "cornell", "citation-full-cora"]
    assert FamilySplit.all(iter(graphs)) == [
        FamilySplit(("pubmed", "cora", "citation-full-cora"), ("texas", "cornell")),
        FamilySplit(("texas", "cora", "cornell", "citation-full-cora"), ("pubmed",)),
        FamilySplit(("texas", "pubmed", "cornell"), ("cora", "citation-full-cora")),
    ]
    # Of a family whose data set does not take part, its name leaves out what does.
    assert FamilySplit.leave_out("wisconsin", graphs).test == ("texas", "cornell")


def test_texas_and_cornell_are_one_family_and_so_is_cora_in_its_three_files():
    assert {"texas", "cornell"} <= set(FamilySplit.leave_out("texas").test)
    assert set(FamilySplit.leave_out("cora").test) == {"cora", "citation-full-cora", "citation-full-cora-ml"}


def test_several_families_may_be_tested_on_together():
    split = FamilySplit(["cora"], ["texas", "actor"])
    assert split.left_out == ("actor", "webkb")
    assert pickle.loads(pickle.dumps(split)) == split
    assert len({split, FamilySplit(("cora",), ("texas", "actor"))}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        split.train = ("texas",)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (["cora"], ["citation-full-cora-ml"], "'cora' and 'citation-full-cora-ml' are both of 'cora'."),
        (["actor", "texas"], ["cornell"], "no family in common, but 'texas' and 'cornell' are both of 'webkb'."),
        (["texas", "cora"], ["texas"], "no family in common, but 'texas' is on both sides."),
        (["corra"], ["texas"], "`train` 'corra' is not known. Did you mean 'cora'"),
        (["cora"], ["teksas"], "`test` 'teksas' is not known. Did you mean 'texas'"),
        (["cora"], ["zzz"], "`test` 'zzz' is not known. `graphkit.data.families()` lists all."),
        (["cora"], ["mutag"], "`test` 'mutag' is not known."),  # a set of graphs
        ([], ["texas"], "`train` must name at least one graph, got none."),
        (["cora"], [], "`test` must name at least one graph, got none."),
        (["cora", "cora"], ["texas"], "`train` must name each graph once, got 'cora' more often."),
    ],
)
def test_a_split_that_is_none_is_refused(train, test, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        FamilySplit(train, test)


def test_one_text_is_not_several_names():
    with pytest.raises(TypeError, match=re.escape("`train` must be a list such as ['cora', 'texas'], got 'cora'.")):
        FamilySplit("cora", ["texas"])
    with pytest.raises(TypeError, match="`graphs` must be a name, got 3"):
        FamilySplit.all(["cora", 3])


@pytest.mark.parametrize(
    ("name", "graphs", "message"),
    [
        ("webkp", None, "`name` 'webkp' is not known. Did you mean 'webkb'?"),
        ("webkb", ["cora", "actor"], "`graphs` must name graphs of family 'webkb' and of others, got none of it."),
        ("texas", ["cornell"], "`graphs` must name graphs of family 'webkb' and of others, got none of another."),
        ("texas", [], "`graphs` must name at least one graph, got none."),
        ("texas", ["texas", "kora"], "`graphs` 'kora' is not known. Did you mean 'cora'"),
    ],
)
def test_a_family_that_cannot_be_left_out_is_refused(name, graphs, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        FamilySplit.leave_out(name, graphs)


def test_all_of_one_family_cannot_be_split():
    with pytest.raises(ValueError, match="got none of another"):
        FamilySplit.all(["texas", "cornell"])

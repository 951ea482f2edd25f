"""Folds: every item is tested once, every class is everywhere, and no choice sees what is tested."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Data

from graphkit.data import NestedFolds, load, split_from_name
from graphkit.data.splits import Folds, stratified_folds

sizes = st.lists(st.integers(1, 40), min_size=2, max_size=5)


def rng_seed(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def labels(counts: list[int], without: int = 3) -> torch.Tensor:
    """Return classes of these sizes and some items without a label, in mixed order."""
    y = torch.cat([torch.full((many,), label) for label, many in enumerate([without, *counts], start=-1)])
    return y[torch.randperm(len(y), generator=rng_seed(1))]


@given(counts=sizes, folds=st.integers(2, 10), seed=st.integers(0, 99))
def test_folds_differ_by_one_at_most_in_size_and_in_each_class(counts, folds, seed):
    y = labels(counts)
    fold = stratified_folds(y, folds, generator=rng_seed(seed))
    assert torch.equal(fold < 0, y < 0)
    for chosen in (y >= 0, *(y == label for label in range(len(counts)))):
        found = fold[chosen].bincount(minlength=folds)
        assert int(found.max() - found.min()) <= 1


@given(counts=st.lists(st.integers(8, 40), min_size=2, max_size=4), folds=st.integers(2, 10), seed=st.integers(0, 99))
def test_the_folds_of_a_seed_test_every_item_once(counts, folds, seed):
    data = Data(y=labels(counts))
    splits = [Folds(folds, fold)(data, rng_seed(seed)) for fold in range(folds)]
    assert torch.equal(sum(split.test.int() for split in splits), (data.y >= 0).int())
    for split in splits:
        assert torch.equal(split.train | split.val | split.test, data.y >= 0)
        rest = data.y[~split.test]
        for label, many in enumerate(rest[rest >= 0].bincount()):
            assert abs(int((data.y[split.val] == label).sum()) - 0.1 * int(many)) < 1 + 1e-9
    assert splits[1].parameters == {"folds": folds, "fold": 1, "val": 0.1, "seed": seed}


def test_the_same_seed_gives_the_same_folds_and_another_others():
    data = Data(y=labels([30, 30]))
    one, same, other = (Folds(5, 2)(data, rng_seed(seed)).fingerprint for seed in (0, 0, 1))
    assert one == same != other
    assert str(Folds(5, 2)) == "folds:5,2,0.1"
    assert split_from_name("folds:5,2") == Folds(5, 2)


@pytest.mark.parametrize("inner", [1, 2, 5])
def test_no_inner_split_sees_what_its_outer_one_tests(inner):
    data = Data(y=labels([40, 25, 12]))
    protocol = NestedFolds(folds=4, inner=inner)
    nested = protocol.splits(data, rng_seed())
    assert torch.equal(sum(fold.outer.test.int() for fold in nested), (data.y >= 0).int())
    for number, fold in enumerate(nested):
        assert len(fold.inner) == inner
        assert fold.outer.parameters["fold"] == number
        for split in fold.inner:
            assert not split.test.any()
            assert not ((split.train | split.val) & fold.outer.test).any()
            assert torch.equal(split.train | split.val, fold.outer.train | fold.outer.val)
        if inner > 1:
            chosen = sum(split.val.int() for split in fold.inner)
            assert torch.equal(chosen, (fold.outer.train | fold.outer.val).int())


def test_nested_folds_have_one_fingerprint_that_every_draw_changes():
    data, protocol = Data(y=labels([40, 25, 12])), NestedFolds(folds=3, inner=2)
    one, same, other = (protocol.fingerprint(protocol.splits(data, rng_seed(seed))) for seed in (0, 0, 1))
    assert one == same != other
    nested = protocol.splits(data, rng_seed())
    nested[0], nested[1] = nested[1], nested[0]
    assert protocol.fingerprint(nested) != one


def test_the_outer_folds_of_a_seed_are_those_of_folds():
    data = Data(y=labels([40, 25]))
    nested = NestedFolds(folds=5).splits(data, rng_seed(7))
    for number, fold in enumerate(nested):
        assert torch.equal(fold.outer.test, Folds(5, number)(data, rng_seed(7)).test)


def test_what_cannot_be_divided_is_refused():
    with pytest.raises(ValueError, match="`folds` must be a whole number of at least 2"):
        Folds(1)
    with pytest.raises(ValueError, match="`fold` must lie in 0 to 9, got 10"):
        Folds(10, 10)
    with pytest.raises(ValueError, match="`val` must lie between 0 and 1"):
        NestedFolds(val=0.0)
    with pytest.raises(ValueError, match="`folds` must be at most 4"):
        Folds(5)(Data(y=labels([2, 2])), rng_seed())
    with pytest.raises(ValueError, match="leaves no item to select on"):
        Folds(2)(Data(y=labels([2, 2])), rng_seed())
    with pytest.raises(ValueError, match="`y` holds real numbers"):
        Folds(2)(Data(y=torch.rand(9)), rng_seed())
    with pytest.raises(ValueError, match="`y` holds several labels"):
        NestedFolds(2).splits(Data(y=torch.ones(9, 2, dtype=torch.long)), rng_seed())


def test_folds_of_a_set_of_graphs_divide_its_graphs(mirror):
    graphs = load("mutag")
    nested = NestedFolds(folds=10, inner=1).splits(graphs.items, rng_seed())
    assert len(nested) == 10
    shares = [float(graphs.y[fold.outer.test].float().mean()) for fold in nested]
    assert np.ptp(shares) < 0.06
    assert len(graphs.with_split(nested[3].outer).part("test")) in (18, 19)

"""Laws of splits: disjoint, sized as promised, the same from the same generator."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch_geometric.data import Data

from graphkit.data.splits import (
    DENSE_SEEDS,
    PROTOCOLS,
    Dense,
    FileMasks,
    Public,
    RandomPerClass,
    RandomPlanetoid,
    RandomSplit,
    Split,
    Stratified,
    split_from_name,
)


def labelled(counts: list[int], seed: int = 0) -> Data:
    """Return a graph without edges whose classes have these sizes, in mixed order."""
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]
    return Data(x=torch.ones(len(y), 1), edge_index=torch.zeros(2, 0, dtype=torch.long), y=y)


def rng_seed(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def per_class(data: Data, mask: torch.Tensor) -> list[int]:
    return data.y[mask].bincount(minlength=int(data.y.max()) + 1).tolist()


def assert_disjoint(split: Split) -> None:
    assert (split.train.int() + split.val.int() + split.test.int()).max() <= 1


sizes = st.lists(st.integers(4, 40), min_size=2, max_size=5)
seeds = st.integers(0, 2**31)
random_protocols = st.sampled_from(
    [RandomPerClass(1, 1), RandomPlanetoid(1, 2, 3), Stratified(0.5, 0.25, 0.25), Dense(0.3)]
)


@given(counts=sizes, seed=seeds, protocol=random_protocols)
def test_parts_are_disjoint_and_the_generator_decides(counts, seed, protocol):
    data = labelled(counts)
    one, same = protocol(data, rng_seed(seed)), protocol(data, rng_seed(seed))
    assert_disjoint(one)
    assert one.fingerprint == same.fingerprint
    assert one.record() == same.record()
    generator = rng_seed(seed)
    protocol(data, generator)
    assert not torch.equal(generator.get_state(), rng_seed(seed).get_state()), "a second call must draw anew"


@given(counts=sizes, seed=seeds, train=st.integers(1, 3), val=st.integers(1, 3), test=st.integers(1, 3))
def test_random_per_class_takes_what_it_promises_of_every_class(counts, seed, train, val, test):
    data = labelled(counts)
    if min(counts) < train + val + test:
        with pytest.raises(ValueError, match=r"class \d has \d+; ask for fewer"):
            RandomPerClass(train, val, test)(data, rng_seed(seed))
        return
    split = RandomPerClass(train, val, test)(data, rng_seed(seed))
    assert per_class(data, split.train) == [train] * len(counts)
    assert per_class(data, split.val) == [val] * len(counts)
    assert per_class(data, split.test) == [test] * len(counts)
    rest = RandomPerClass(train, val)(data, rng_seed(seed))
    assert (rest.train | rest.val | rest.test).all()
    assert min(per_class(data, rest.test)) >= 1


@given(counts=sizes, seed=seeds, train=st.integers(1, 3), val=st.integers(1, 20), test=st.integers(1, 20))
def test_random_planetoid_takes_what_it_promises(counts, seed, train, val, test):
    data = labelled(counts)
    if sum(counts) - train * len(counts) < val + test:
        with pytest.raises(ValueError, match="are left after training"):
            RandomPlanetoid(train, val, test)(data, rng_seed(seed))
        return
    split = RandomPlanetoid(train, val, test)(data, rng_seed(seed))
    assert per_class(data, split.train) == [train] * len(counts)
    assert (int(split.val.sum()), int(split.test.sum())) == (val, test)


@given(counts=sizes, seed=seeds, fractions=st.tuples(*[st.floats(0.3, 0.33)] * 3))
def test_stratified_is_within_one_node_of_its_fraction_in_every_class(counts, seed, fractions):
    data = labelled(counts)
    split = Stratified(*fractions)(data, rng_seed(seed))
    for fraction, mask in zip(fractions, split.masks.values(), strict=True):
        for count, taken in zip(counts, per_class(data, mask), strict=True):
            assert abs(taken - fraction * count) <= 1
            assert taken >= 1


def test_stratified_fractions_of_one_use_every_node():
    split = Stratified()(labelled([5, 17, 101]), rng_seed())
    assert (split.train | split.val | split.test).all()


def dense_slowly(y: list[int], train: float, val: float, seed: int) -> tuple[set[int], set[int], set[int]]:
    """The dense split as the public codes describe it, node by node, with NumPy's legacy generator."""
    state = np.random.RandomState(seed)
    classes = max(y) + 1
    quota = round(train * len(y) / classes)
    chosen: list[int] = []
    for label in range(classes):
        members = [node for node in range(len(y)) if y[node] == label]
        if len(members) < quota:
            chosen.extend(members)
        else:
            chosen.extend(int(node) for node in state.choice(members, quota, replace=False))
    rest = [node for node in range(len(y)) if node not in chosen]
    selected = {int(node) for node in state.choice(rest, round(val * len(y)), replace=False)}
    return set(chosen), selected, set(rest) - selected


@given(counts=st.lists(st.integers(1, 30), min_size=2, max_size=5), seed=st.sampled_from(DENSE_SEEDS))
def test_dense_with_a_published_seed_is_the_published_split(counts, seed):
    data = labelled(counts)
    try:
        split = Dense(seed=seed)(data)
    except ValueError:
        assume(False)
    expected = dense_slowly(data.y.tolist(), 0.6, 0.2, seed)
    for mask, nodes in zip(split.masks.values(), expected, strict=True):
        assert set(mask.nonzero().flatten().tolist()) == nodes
    assert split.parameters["seed"] == seed


def test_dense_uses_up_small_classes():
    data = labelled([351, 217, 418, 818, 426, 298, 180])  # the classes of Cora
    split = Dense()(data, rng_seed())
    assert per_class(data, split.train) == [232, 217, 232, 232, 232, 232, 180]
    assert int(split.val.sum()) == 542
    assert [label for label, tested in enumerate(per_class(data, split.test)) if tested == 0] == [1, 6]


def test_files_and_public_take_the_masks_of_the_data():
    data = labelled([10, 10])
    many = torch.nn.functional.one_hot(torch.arange(20) % 3, 3).bool()
    data.train_masks, data.val_masks, data.test_masks = many, many.roll(1, 1), many.roll(2, 1)
    for index in range(3):
        assert torch.equal(FileMasks(index)(data).train, many[:, index])
    with pytest.raises(ValueError, match=r"`index` must lie in 0 to 2, .* got 3"):
        FileMasks(3)(data)
    with pytest.raises(ValueError, match="no public split"):
        Public()(data)
    data.train_mask, data.val_mask, data.test_mask = many.t()
    assert torch.equal(Public()(data).val, many[:, 1])
    assert Public()(data).apply(data).protocol["split"] == "public"
    with pytest.raises(ValueError, match="no public split"):
        Public()(FileMasks(1)(data).apply(data))


def test_a_split_is_refused_unless_it_is_three_disjoint_boolean_vectors():
    mask = torch.tensor([True, False, False])
    Split(mask, mask.roll(1), mask.roll(2))
    with pytest.raises(ValueError, match="disjoint, but 1 nodes"):
        Split(mask, mask, mask.roll(2))
    for wrong in (mask.int(), mask[:2], mask[:, None]):
        with pytest.raises(ValueError, match="boolean vectors of one length"):
            Split(mask, wrong, mask)
    with pytest.raises(ValueError, match="does not fit"):
        Split(mask, mask.roll(1), mask.roll(2)).apply(labelled([2, 2]))


def test_applying_a_split_leaves_the_data_alone():
    data = labelled([10, 10])
    split = Stratified()(data, rng_seed()).apply(data)
    assert "train_mask" not in data
    assert split.protocol["train"] == int(split.train_mask.sum()) == 12
    assert split.x is data.x


def test_the_fingerprint_tells_masks_apart_and_nothing_else():
    data = labelled([10, 10])
    one, other = Stratified()(data, rng_seed(0)), Stratified()(data, rng_seed(1))
    assert one.fingerprint != other.fingerprint
    assert Split(one.train, one.val, one.test).fingerprint == one.fingerprint
    assert Split(one.train, one.test, one.val).fingerprint != one.fingerprint
    assert pickle.loads(pickle.dumps(one)).fingerprint == one.fingerprint


@pytest.mark.parametrize(
    ("text", "protocol"),
    [
        ("public", Public()),
        ("files", FileMasks(0)),
        ("files:3", FileMasks(3)),
        ("random-per-class", RandomPerClass(20, 30)),
        ("random-per-class:5", RandomPerClass(5)),
        ("random-per-class:5,7,9", RandomPerClass(5, 7, 9)),
        ("random-planetoid:20,500,1000", RandomPlanetoid()),
        ("stratified:0.5,0.25,0.25", Stratified(0.5, 0.25, 0.25)),
        ("dense", Dense()),
        ("dense:0.6,0.2,1941488137", Dense(seed=1941488137)),
    ],
)
def test_text_and_protocol_are_two_forms_of_one(text, protocol):
    assert split_from_name(text) == protocol
    assert split_from_name(str(protocol)) == protocol
    assert hash(protocol) == hash(split_from_name(text))


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_every_protocol_is_read_from_its_name(name):
    assert str(split_from_name(name)) == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("publik", "`split` 'publik' is not known. Did you mean 'public'"),
        ("files:x", r"must have numbers after the colon; its form is 'files:index'"),
        ("files:1,2", r"has 2 values, but its form is 'files:index'"),
        ("public:1", r"has 1 values, but its form is 'public'"),
        ("files:-1", "`index` must be a whole number of at least 0, got -1"),
        ("files:0.5", "`index` must be a whole number of at least 0, got 0.5"),
        ("random-per-class:0", "`per_class` must be a whole number of at least 1, got 0"),
        ("random-planetoid:20,1.5", "`val` must be a whole number of at least 1, got 1.5"),
        ("stratified:0.9,0.2,0.2", "at most 1 together"),
        ("stratified:0,0.2,0.2", "above 0"),
        ("dense:0.9,0.2", "below 1 together"),
        ("dense:0.6,0.2,0.5", "`seed` must be a whole number"),
    ],
)
def test_a_wrong_text_says_what_is_wrong(text, message):
    with pytest.raises(ValueError, match=message):
        split_from_name(text)


def test_a_class_that_is_too_small_is_named():
    with pytest.raises(ValueError, match="needs a node of each class in each part, but class 1 has 2 nodes"):
        Stratified()(labelled([30, 2]), rng_seed())
    with pytest.raises(ValueError, match="'random-per-class' needs 51 nodes of each class, but class 1 has 50"):
        RandomPerClass()(labelled([60, 50]), rng_seed())
    with pytest.raises(ValueError, match="too few for"):
        Dense()(labelled([1, 1, 1]), rng_seed())


@pytest.mark.parametrize(
    "draw", [lambda: Stratified(float("nan"), 0.2, 0.2), lambda: Dense(float("nan"), 0.2)], ids=["stratified", "dense"]
)
def test_a_fraction_that_is_no_number_is_refused(draw):
    with pytest.raises(ValueError, match=r"`train` must (lie in|be finite)"):
        draw()


def test_a_generator_that_was_used_before_gives_no_seed_to_the_record():
    data, generator = labelled([20, 20]), rng_seed(5)
    first, second = (Stratified()(data, generator) for _ in range(2))
    assert first.parameters["seed"] == 5
    assert second.parameters["seed"] is None, "seed 5 would give the first split, not this one"
    assert first.fingerprint != second.fingerprint


def test_a_dense_split_is_drawn_again_from_the_seed_it_records():
    data, generator = labelled([20, 20, 30]), rng_seed(5)
    torch.rand(3, generator=generator)
    drawn = Dense()(data, generator)
    assert Dense(seed=drawn.parameters["seed"])(data).fingerprint == drawn.fingerprint


@pytest.mark.parametrize(
    "protocol", [RandomPerClass(2, 2), RandomPlanetoid(2, 4, 4), Stratified(), Dense(0.3), RandomSplit()]
)
def test_items_without_a_label_are_in_no_part(protocol):
    data = labelled([20, 20, 30])
    unlabelled = torch.rand(70, generator=rng_seed()) < 0.2
    data.y[unlabelled] = -1
    split = protocol(data, rng_seed())
    assert not (unlabelled & (split.train | split.val | split.test)).any()


def test_labels_that_are_no_classes_are_refused():
    data = labelled([20, 20])
    data.y = data.y.float()
    for protocol in (RandomPerClass(2, 2), RandomPlanetoid(2, 4, 4), Stratified(), Dense(0.3)):
        with pytest.raises(ValueError, match="goes by class, but `y` holds real numbers"):
            protocol(data, rng_seed())


class TestRandomSplit:
    @given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.sampled_from([(0.6, 0.2, 0.2), (0.5, 0.1, 0.2)]))
    def test_every_class_is_trained_on_and_the_shares_are_those_of_all_items(self, sizes, shares):
        y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        y = torch.cat([y, torch.full((3,), -1)])
        if sum(sizes) < 3:
            with pytest.raises(ValueError, match="needs 3 items with a label"):
                RandomSplit(*shares)(Data(y=y))
            return
        split = RandomSplit(*shares)(Data(y=y), torch.Generator().manual_seed(0))
        parts = split.train, split.val, split.test
        assert all(int(part.sum()) for part in parts)
        assert not any(bool(part[y < 0].any()) for part in parts)
        if sum(sizes) > len(sizes) + 1:
            assert set(y[split.train].tolist()) == set(range(len(sizes)))
        if len(sizes) <= 0.2 * sum(sizes):  # no class is rare: the shares are met
            wanted = [max(1, round(share * sum(sizes))) for share in shares]
            assert [int(part.sum()) for part in parts[1:]] == wanted[1:]
            assert abs(int(split.train.sum()) - wanted[0]) <= 1

    @pytest.mark.parametrize("y", [torch.rand(20, 1), torch.rand(20), torch.randint(2, (20, 3)).float()])
    def test_labels_that_are_no_classes_are_split_too(self, y):
        y[3] = torch.nan
        split = RandomSplit()(Data(y=y), torch.Generator().manual_seed(0))
        assert [int(part.sum()) for part in (split.train, split.val, split.test)] == [11, 4, 4]
        assert not bool(split.train[3] or split.val[3] or split.test[3])

    def test_shares_that_are_none_are_refused(self):
        with pytest.raises(ValueError, match="above 0 and at most 1 together"):
            split_from_name("random:0.6,0.6,0.1")
        assert str(split_from_name("random:0.5,0.25,0.25")) == "random:0.5,0.25,0.25"

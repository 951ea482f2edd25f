"""Batches of classes: counts, seeds, loaders."""

from __future__ import annotations

import collections

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from graphkit.data.sampling.class_batches import ClassBatches

Y = torch.tensor([0] * 9 + [1] * 3 + [2] * 6 + [3] + [-1] * 4)


def test_each_batch_has_so_many_classes_and_items_of_each(generator):
    drawn = ClassBatches(Y, ways=2, shots=4, batches=20, generator=generator)
    assert len(drawn) == 20
    for batch in drawn:
        counts = collections.Counter(Y[batch].tolist())
        assert sorted(counts.values()) == [4, 4]
        assert not counts.keys() & {3, -1}  # a single item makes no pair, an unlabelled one neither


def test_a_small_class_gives_all_it_has_before_it_repeats(generator):
    for batch in ClassBatches(Y, ways=3, shots=5, batches=10, generator=generator):
        counts = collections.Counter(batch)
        ones = [counts[item] for item in (9, 10, 11)]
        assert sorted(ones) == [1, 2, 2]
        assert max(counts[item] for item in range(9)) == 1


def test_a_generator_decides_alone():
    def drawn(seed):
        return list(ClassBatches(Y, ways=2, shots=2, batches=5, generator=torch.Generator().manual_seed(seed)))

    before = torch.get_rng_state()
    assert drawn(1) == drawn(1) != drawn(2)
    assert torch.equal(before, torch.get_rng_state())


def test_a_loader_of_pyg_takes_it(generator):
    graphs = [Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]), y=label) for label in Y]
    sampler = ClassBatches(Y, ways=2, shots=3, batches=4, generator=generator)
    batches = list(DataLoader(graphs, batch_sampler=sampler))
    assert [batch.num_graphs for batch in batches] == [6] * 4


@pytest.mark.parametrize(
    ("y", "kind", "message"),
    [
        (torch.arange(3), ValueError, "class of two items"),
        (torch.ones(4), TypeError, "must hold integers"),
        (torch.tensor([-1, -1]), ValueError, "class of two items"),
    ],
)
def test_what_makes_no_pair_is_refused(y, kind, message):
    with pytest.raises(kind, match=message):
        ClassBatches(y, ways=2, shots=2, batches=1)


def test_one_shot_is_refused():
    with pytest.raises(ValueError, match="`shots` must be an integer of at least 2"):
        ClassBatches(Y, ways=2, shots=1, batches=1)

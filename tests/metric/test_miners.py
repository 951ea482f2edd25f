"""Miners against loops that look at every tuple."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chisquare

from graphkit.metric import (
    BatchHardMiner,
    DistanceWeightedMiner,
    HardQuadrupletMiner,
    MultiSimilarityMiner,
    SemiHardMiner,
    pairwise_distances,
)

MINERS = [BatchHardMiner, SemiHardMiner, DistanceWeightedMiner, MultiSimilarityMiner, HardQuadrupletMiner]


@pytest.fixture
def batch(generator):
    """Embeddings, labels of which one is unknown and one is alone, and positives and negatives of each item."""
    z, y = torch.randn(14, 3, generator=generator).double(), torch.tensor([0, 1, 2] * 4 + [-1, 3])
    same = [[j for j in range(14) if j != i and y[i] == y[j] and y[i] >= 0] for i in range(14)]
    different = [[j for j in range(14) if y[i] != y[j] and y[i] >= 0 and y[j] >= 0] for i in range(14)]
    return z, y, same, different


def rows(tuples):
    return list(zip(*(part.tolist() for part in tuples), strict=True))


@pytest.mark.parametrize("distance", ["euclidean", "squared", "cosine", "dot"])
def test_the_hardest_are_the_farthest_of_the_class_and_the_nearest_of_another(batch, distance):
    z, y, same, different = batch
    d = pairwise_distances(z, distance=distance)
    truth = [
        (i, max(same[i], key=lambda j, i=i: d[i, j]), min(different[i], key=lambda j, i=i: d[i, j]))
        for i in range(14)
        if same[i] and different[i]
    ]
    assert rows(BatchHardMiner(distance)(z, y)) == truth


@pytest.mark.parametrize("margin", [0.0, 0.3, 5.0])
def test_semi_hard_negatives_are_the_nearest_beyond_the_positive(batch, margin):
    z, y, same, different = batch
    d = pairwise_distances(z)
    truth = []
    for i in range(14):
        for p in same[i]:
            between = [n for n in different[i] if d[i, p] < d[i, n] < d[i, p] + margin]
            truth += [(i, p, min(between, key=lambda n, i=i: d[i, n]))] if between else []
    assert rows(SemiHardMiner(margin)(z, y)) == truth


def test_hard_pairs_are_those_of_the_paper(batch):
    z, y, same, different = batch
    likeness = 1 - pairwise_distances(z, distance="cosine")
    near, far = [], []
    for i in range(14):
        for p in same[i]:
            if different[i] and likeness[i, p] - 0.1 < max(likeness[i, n] for n in different[i]):
                near.append((i, p))
        for n in different[i]:
            if same[i] and likeness[i, n] + 0.1 > min(likeness[i, p] for p in same[i]):
                far.append((i, n))
    found = MultiSimilarityMiner(0.1)(z, y)
    assert (rows(found[:2]), rows(found[2:])) == (near, far)


def test_hard_quadruplets_end_at_the_nearest_item_of_a_third_class(batch):
    z, y, _, different = batch
    d = pairwise_distances(z)
    found = rows(HardQuadrupletMiner()(z, y))
    assert [each[:3] for each in found] == rows(BatchHardMiner()(z, y))
    for a, _, n, second in found:
        assert second == min((k for k in different[n] if y[k] != y[a]), key=lambda k, n=n: d[n, k])


def test_negatives_are_drawn_by_the_inverse_density_of_their_distance(generator):
    z = torch.nn.functional.normalize(torch.randn(12, 4, generator=generator).double(), dim=1)
    y = torch.tensor([0, 0] + [1] * 10)
    miner, drawn = DistanceWeightedMiner(generator=generator), torch.zeros(12)
    for _ in range(3_000):
        triplets = miner(z, y)
        drawn[triplets.negative[triplets.anchor == 0]] += 1
    d = pairwise_distances(z)[0]
    weights = [0.0 if y[n] == 0 or d[n] > 1.4 else density(max(float(d[n]), 0.5), 4) ** -1 for n in range(12)]
    kept = [n for n in range(12) if weights[n]]
    assert drawn.sum() == drawn[kept].sum() == 3_000
    expected = [3_000 * weights[n] / sum(weights) for n in kept]
    assert chisquare(drawn[kept].tolist(), expected).pvalue > 0.001


def density(d, n):
    return d ** (n - 2) * (1 - d * d / 4) ** ((n - 3) / 2)


@pytest.mark.parametrize("make", MINERS)
def test_where_there_is_no_tuple_none_is_returned_and_losses_are_zero(make):
    for y in ([], [0, 0, 0], [0, 1, 2], [-1, -1, -1]):
        found = make()(torch.randn(len(y), 3), torch.tensor(y, dtype=torch.int64))
        assert [len(part) for part in found] == [0] * len(found)


@pytest.mark.parametrize("make", MINERS)
def test_many_blocks_give_what_one_gives_and_no_gradient_flows(batch, monkeypatch, make):
    z, y, *_ = batch

    def mined():
        miner = make(generator=torch.Generator().manual_seed(0)) if make is DistanceWeightedMiner else make()
        return miner(z.requires_grad_(), y)

    whole = mined()
    monkeypatch.setattr("graphkit.metric.miners.BLOCK", 5 * 14)
    parts = mined()
    if make is not DistanceWeightedMiner:  # whose draws come block by block
        assert all(map(torch.equal, whole, parts))
    assert torch.equal(whole[0], parts[0])
    assert not any(part.requires_grad for part in parts)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SemiHardMiner(-1.0), "`margin` must be a finite number of at least 0"),
        (lambda: MultiSimilarityMiner(math.nan), "`margin` must be a finite number"),
        (lambda: DistanceWeightedMiner(cutoff=0.0), "`cutoff` must be a finite number above 0"),
        (lambda: BatchHardMiner("manhattan"), "`distance` 'manhattan' is not known"),
        (lambda: BatchHardMiner()(torch.eye(2), torch.tensor([0])), "`y` must have shape"),
        (
            lambda: BatchHardMiner()(torch.eye(2), torch.tensor([0, 1]), torch.eye(2)),
            "`labels` must hold those of `others`",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""What training is watched by, against loops."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from graphkit.metric import (
    BatchHardMiner,
    ContrastiveLoss,
    QuadrupletLoss,
    Telemetry,
    TripletLoss,
    pairwise_distances,
    telemetry,
)


@pytest.mark.parametrize("block", [10, 2**20])
@pytest.mark.parametrize("distance", ["euclidean", "squared", "cosine", "dot"])
def test_figures_are_those_of_loops(generator, monkeypatch, distance, block):
    monkeypatch.setattr("graphkit.metric.monitoring.BLOCK", block)
    z, y = torch.randn(15, 3, generator=generator).double(), torch.tensor([0, 1, 2] * 4 + [-1, 3, 0])
    z[3] = z[0]
    d, known = pairwise_distances(z, distance=distance), [i for i in range(15) if y[i] >= 0]
    pairs = list(itertools.permutations(known, 2))
    near, far = ([float(d[i, j]) for i, j in pairs if (y[i] == y[j]) == same] for same in (True, False))
    over = []
    for label in (0, 1, 2):
        inside = [float(d[i, j]) for i, j in pairs if y[i] == y[j] == label]
        outside = [float(d[i, j]) for i, j in pairs if y[i] == label != y[j]]
        over.append(max(inside) > min(outside))
    found = telemetry(z, y, distance=distance)
    assert isinstance(found, Telemetry)
    assert (found.items, found.classes, found.active) == (14, 4, None)
    assert found.positives == pytest.approx(sum(near) / len(near))
    assert found.negatives == pytest.approx(sum(far) / len(far))
    assert found.overlapping == sum(over) / 3
    assert found.collapsed == pytest.approx(2 / len(pairs))


def test_the_effective_rank_counts_directions():
    corners = torch.cat([torch.eye(4), -torch.eye(4)])
    assert telemetry(corners, torch.arange(8) % 2).effective_rank == pytest.approx(4)
    assert telemetry(corners[:, :1], torch.arange(8) % 2).effective_rank == pytest.approx(1)
    assert telemetry(torch.ones(8, 4), torch.arange(8) % 2).effective_rank == 0


def test_a_collapsed_space_is_seen():
    found = telemetry(torch.ones(6, 3) + 1e-6 * torch.eye(6, 3), torch.arange(6) % 2)
    assert found.collapsed == 1
    assert telemetry(3 * torch.eye(6), torch.arange(6) % 2).collapsed == 0


def test_nothing_to_measure_is_nan():
    found = telemetry(torch.empty(0, 3), torch.empty(0, dtype=torch.int64))
    assert (found.items, found.classes, found.effective_rank) == (0, 0, 0.0)
    assert all(math.isnan(value) for value in (found.positives, found.negatives, found.overlapping, found.collapsed))


def test_a_loss_reports_the_share_it_still_acts_on(generator):
    z, y = torch.randn(12, 3, generator=generator).double(), torch.arange(12) % 3
    for loss in (TripletLoss(0.2), ContrastiveLoss(1.0), TripletLoss(0.2, miner=BatchHardMiner()), QuadrupletLoss()):
        total, twice = (type(loss)(reduction=each, miner=loss.miner)(z, y).item() for each in ("mean", "active"))
        if not isinstance(loss, QuadrupletLoss):  # the sum of two means
            assert loss.report(z, y).active == pytest.approx(total / twice)
        assert loss.report(z, y).with_active(0.0) == telemetry(z, y).with_active(0.0)
    assert 0 < QuadrupletLoss().report(z, y).active <= 1
    assert TripletLoss(0.0).report(torch.eye(3)[y] + 0.01 * z, y).active == 0
    assert TripletLoss().report(z, torch.zeros(12, dtype=torch.int64)).active == 0


def test_others_are_measured_in_place_of_each_other(generator):
    z, y = torch.randn(6, 3, generator=generator).double(), torch.arange(6) % 2
    others, labels = torch.randn(5, 3, generator=generator).double(), torch.arange(5) % 3
    d, same = pairwise_distances(z, others), y[:, None] == labels
    assert telemetry(z, y, reference=(others, labels)).positives == pytest.approx(d[same].mean().item())
    assert TripletLoss().report(z, y, reference=(others, labels)).negatives == pytest.approx(d[~same].mean().item())


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="`distance` 'euclid' is not known"):
        telemetry(torch.eye(2), torch.tensor([0, 1]), distance="euclid")
    with pytest.raises(TypeError, match="`y` must hold integers"):
        telemetry(torch.eye(2), torch.ones(2))

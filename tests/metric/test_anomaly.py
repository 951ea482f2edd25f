"""Anomaly scores against loops and scikit-learn; a held-out class is found."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphkit.metric import AnomalyScorer
from graphkit.metric.anomaly import METHODS


@pytest.fixture
def items(generator):
    z = torch.randn(40, 3, generator=generator).double()
    return z, torch.arange(40) % 3, torch.randn(7, 3, generator=generator).double()


def test_prototypes_are_class_means(items):
    z, y, asked = items
    means = torch.stack([z[y == label].mean(0) for label in range(3)])
    expected = torch.stack([(row - means).norm(dim=1).min() for row in asked])
    torch.testing.assert_close(AnomalyScorer(distance="euclidean").fit(z, y)(asked), expected)


def test_the_neighbour_is_the_kth(items):
    z, _, asked = items
    scorer = AnomalyScorer("neighbour", neighbours=4, distance="euclidean").fit(z)
    expected = torch.cdist(asked, z).sort(dim=1).values[:, 3]
    torch.testing.assert_close(scorer(asked), expected)


def test_mahalanobis_is_that_of_numpy(items):
    z, y, asked = items
    scorer = AnomalyScorer("mahalanobis", shrinkage=0.2, distance="euclidean").fit(z, y)
    means = np.stack([z[y == label].mean(0) for label in range(3)])
    inside = z.numpy() - means[y.numpy()]
    covariance = inside.T @ inside / 40
    mixed = 0.8 * covariance + 0.2 * np.diag(covariance).mean() * np.eye(3)
    inverse = np.linalg.inv(mixed)
    expected = [min((row - m) @ inverse @ (row - m) for m in means) for row in asked.numpy()]
    np.testing.assert_allclose(scorer(asked).numpy(), expected)


@pytest.mark.parametrize("method", ["prototype", "neighbour", "mahalanobis"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_a_class_that_lies_elsewhere_is_found(method, distance, generator):
    y = torch.arange(90) % 3
    z = 4 * torch.eye(3)[y] + 0.3 * torch.randn(90, 3, generator=generator)
    scorer = AnomalyScorer(method, distance=distance).fit(z[:45], torch.where(y == 2, -1, y)[:45])
    found = scorer.detection(z[45:], y[45:] == 2)
    assert found.auroc == found.average_precision == 1.0


def test_scores_do_not_change_with_the_order_of_normal_items(items, generator):
    z, y, asked = items
    order = torch.randperm(40, generator=generator)
    for method in ("prototype", "neighbour", "mahalanobis"):
        first, second = AnomalyScorer(method).fit(z, y)(asked), AnomalyScorer(method).fit(z[order], y[order])(asked)
        torch.testing.assert_close(first, second, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("method", ["prototype", "neighbour", "mahalanobis"])
def test_no_items_have_no_scores(items, method):
    z, y, _ = items
    assert AnomalyScorer(method).fit(z, y)(z[:0]).shape == (0,)


@pytest.mark.parametrize("method", ["prototype", "mahalanobis"])
def test_items_are_scored_a_few_at_a_time_whatever_their_number(items, method, monkeypatch):
    z, y, asked = items
    scorer, seen = AnomalyScorer(method).fit(z, y), []
    whole, block = scorer(asked), scorer._scores
    monkeypatch.setattr("graphkit.metric.anomaly.BLOCK", 20)
    scorer._scores = lambda values: (seen.append(len(values)), block(values))[1]
    torch.testing.assert_close(scorer(asked), whole)
    assert seen == [2, 2, 2, 1]  # of three classes and three features


def test_items_in_one_place_have_a_score():
    scorer = AnomalyScorer("mahalanobis", distance="euclidean").fit(torch.ones(5, 2))
    assert scorer(torch.tensor([[1.0, 1.0], [2.0, 1.0]])).isfinite().all()


Z, Y = torch.eye(4), torch.tensor([0, 0, 1, 1])
WRONG = {
    "method": (lambda: AnomalyScorer("prototypes"), ValueError, "Did you mean 'prototype'"),
    "shrinkage": (lambda: AnomalyScorer(shrinkage=0.0), ValueError, "`shrinkage` must lie in"),
    "not fitted": (lambda: AnomalyScorer()(Z), ValueError, "`fit` the scorer"),
    "too few": (lambda: AnomalyScorer("neighbour").fit(Z), ValueError, "at least 5 normal items, got 4"),
    "nothing normal": (lambda: AnomalyScorer().fit(Z, Y * 0 - 1), ValueError, "at least 1 normal items, got 0"),
    "float labels": (lambda: AnomalyScorer().fit(Z, Y.float()), TypeError, "`y` must hold integers"),
    "NaN": (lambda: AnomalyScorer().fit(Z * torch.nan), ValueError, "`z` must be finite"),
    "width": (lambda: AnomalyScorer().fit(Z)(Z[:, :2]), ValueError, "`z` must have 4 features"),
    "mask": (lambda: AnomalyScorer().fit(Z).detection(Z, Y), ValueError, "`anomalous` must be a boolean mask"),
    "one kind": (lambda: AnomalyScorer().fit(Z).detection(Z, Y < 5), ValueError, "mark some rows and leave others"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_refused(case):
    call, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        call()


def test_the_score_is_chosen_by_classes_that_play_the_unknown(generator):
    """The loop over classes left out; items without a class, and those of a class never seen, decide nothing."""
    y = torch.arange(120) % 4
    z = torch.eye(5)[y] * torch.linspace(0.5, 3, 5) + 0.6 * torch.randn(120, 5, generator=generator)
    y[::7] = -1
    known, others = slice(0, 60), slice(60, 120)
    found = AnomalyScorer.choose(z[known], y[known], z[others], y[others], shrinkage=0.3)
    means = {}
    for method in METHODS:
        told = []
        for out in range(4):
            rest, asked = (y[known] != out) & (y[known] >= 0), y[others] >= 0
            scorer = AnomalyScorer(method, shrinkage=0.3).fit(z[known][rest], y[known][rest])
            told.append(scorer.detection(z[others][asked], y[others][asked] == out).auroc)
        means[method] = sum(told) / 4
    assert found.method == max(means, key=means.get)
    assert found.shrinkage == 0.3
    expected = AnomalyScorer(found.method, shrinkage=0.3).fit(z[known], y[known])
    assert torch.equal(found(z[others]), expected(z[others]))


@pytest.mark.parametrize("y", [[0, 0, 0, 0, 0, 0], [0, 0, 0, -1, -1, -1]])
def test_of_one_class_alone_the_first_score_is_taken(generator, y):
    z, y = torch.randn(6, 2, generator=generator), torch.tensor(y)
    assert AnomalyScorer.choose(z, y, z, y, methods=["mahalanobis", "prototype"]).method == "mahalanobis"
    with pytest.raises(ValueError, match="`methods` 'nearest' is not known"):
        AnomalyScorer.choose(z, y, z, y, methods=["nearest"])

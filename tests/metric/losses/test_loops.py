"""Every loss against an explicit loop over all its tuples, values and gradients to 1e-12."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from graphkit.metric import (
    ContrastiveLoss,
    InfoNCELoss,
    QuadrupletLoss,
    SupervisedContrastiveLoss,
    TripletLoss,
)

LABELS = {
    "three classes": [0, 1, 2, 0, 1, 2, 0],
    "unlabelled": [0, -1, 1, 0, 1, -1, 2],
    "one class": [4, 4, 4, 4, 4, 4, 4],
    "all singletons": [0, 1, 2, 3, 4, 5, 6],
    "two classes": [9, 9, 3, 3, 3, 9, 9],
    "nobody": [-1] * 7,
}


def distance_of(kind, a, b):
    if kind == "cosine":
        return 1 - a @ b / (a.norm() * b.norm())
    if kind == "dot":
        return -(a @ b)
    squares = ((a - b) ** 2).sum()
    if kind == "squared":
        return squares
    return squares.sqrt() if squares > 0 else squares


def pairs(y):
    known = [i for i in range(len(y)) if y[i] >= 0]
    ordered = list(itertools.permutations(known, 2))
    return [(i, j) for i, j in ordered if y[i] == y[j]], [(i, j) for i, j in ordered if y[i] != y[j]]


def reduced(terms, reduction):
    total = sum(terms) if terms else torch.zeros(()).double()
    if reduction == "sum":
        return total
    return total / max(1, len(terms) if reduction == "mean" else sum(bool(term > 0) for term in terms))


def hinge(value):
    return value if value > 0 else 0 * value


def contrastive(loss, d, y):
    same, different = pairs(y)
    terms = [hinge(d(*pair) - loss.positive_margin) ** 2 / 2 for pair in same]
    return reduced(terms + [hinge(loss.margin - d(*pair)) ** 2 / 2 for pair in different], loss.reduction)


def triplet(loss, d, y, margin=None):
    same, different = pairs(y)
    margin = loss.margin if margin is None else margin
    terms = [hinge(d(a, p) - d(a, n) + margin) for a, p in same for b, n in different if a == b]
    return reduced(terms, loss.reduction)


def quadruplet(loss, d, y):
    same, different = pairs(y)
    terms = [hinge(d(a, p) - d(k, n) + loss.margin2) for a, p in same for k, n in different if y[a] not in (y[k], y[n])]
    return triplet(loss, d, y, loss.margin1) + reduced(terms, loss.reduction)


def info_nce(loss, d, y):
    same, different = pairs(y)
    terms = []
    for a, p in same:
        negatives = [(-d(a, n) / loss.temperature).exp() for b, n in different if a == b]
        own = (-d(a, p) / loss.temperature).exp()
        if negatives:
            terms.append(-(own / (own + sum(negatives))).log())
    return reduced(terms, loss.reduction)


def supervised(loss, d, y):
    same, different = pairs(y)
    terms = []
    for a in range(len(y)):
        positives = [p for b, p in same if a == b]
        others = positives + [n for b, n in different if a == b]
        if positives and len(others) > len(positives):
            mass = sum((-d(a, k) / loss.temperature).exp() for k in others)
            terms.append(-sum(((-d(a, p) / loss.temperature).exp() / mass).log() for p in positives) / len(positives))
    return reduced(terms, loss.reduction)


CASES = {
    "contrastive": (contrastive, lambda **options: ContrastiveLoss(1.5, positive_margin=0.3, **options)),
    "triplet": (triplet, lambda **options: TripletLoss(0.4, **options)),
    "quadruplet": (quadruplet, lambda **options: QuadrupletLoss(0.4, 0.2, **options)),
    "infonce": (info_nce, lambda **options: InfoNCELoss(0.7, **options)),
    "supcon": (supervised, lambda **options: SupervisedContrastiveLoss(0.7, **options)),
}


def embedded(generator):
    """Seven items, of which the first two are the same."""
    z = torch.randn(7, 3, generator=generator).double()
    z[1] = z[0]
    return z.requires_grad_()


@pytest.mark.parametrize("reduction", ["mean", "active", "sum"])
@pytest.mark.parametrize("distance", ["euclidean", "squared", "cosine", "dot"])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("case", CASES)
def test_a_loss_is_the_loop_over_all_its_tuples(generator, case, labels, distance, reduction):
    loop, make = CASES[case]
    loss, y, z = make(distance=distance, reduction=reduction), LABELS[labels], embedded(generator)
    expected = loop(loss, lambda i, j: distance_of(distance, z[i], z[j]), y)
    found = loss(z, torch.tensor(y))
    assert found.item() == pytest.approx(expected.item(), abs=1e-12, rel=1e-12)
    gradient = torch.autograd.grad(found, z)[0]
    truth = torch.autograd.grad(expected, z)[0] if expected.requires_grad else torch.zeros_like(z)
    torch.testing.assert_close(gradient, truth, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_right_twice(generator, case):
    loss, y = CASES[case][1](differentiable="twice"), torch.tensor([0, 0, 1, 1, 2, -1])
    z = torch.randn(6, 3, generator=generator).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, y), z)
    assert torch.autograd.gradgradcheck(lambda z: loss(z, y), z)


def test_the_contrastive_loss_by_hand():
    """Distances 0.6 (one class), 1 and 0.4 (two classes), margin 1: (0.36 + 0 + 0.36) / 2 over three pairs."""
    z = torch.tensor([[0.0], [0.6], [1.0]], dtype=torch.float64)
    assert ContrastiveLoss(1.0)(z, torch.tensor([0, 0, 1])).item() == pytest.approx(0.72 / 2 / 3)
    assert ContrastiveLoss(1.0, positive_margin=0.5)(z, torch.tensor([0, 0, 1])).item() == pytest.approx(0.37 / 2 / 3)


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf, "1"])
@pytest.mark.parametrize("make", [ContrastiveLoss, TripletLoss, QuadrupletLoss])
def test_a_margin_is_a_finite_number_of_at_least_zero(make, margin):
    with pytest.raises(ValueError, match=r"`margin1?` must be a finite number of at least 0"):
        make(margin)

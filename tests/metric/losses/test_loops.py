"""Every loss against an explicit loop over all its tuples, values and gradients to 1e-12."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from graphkit.metric import (
    CircleLoss,
    ContrastiveLoss,
    InfoNCELoss,
    MultiSimilarityLoss,
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
    if hasattr(y, "items"):
        ordered = [(i, j) for i, j in ordered if i < y.items <= j]
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


def soft(loss, d, y):
    same, different = pairs(y)
    terms = [(1 + (d(a, p) - d(a, n) + loss.margin).exp()).log() for a, p in same for b, n in different if a == b]
    return reduced(terms, loss.reduction)


def rows_of(y):
    """Each item with its positives and its negatives."""
    same, different = pairs(y)
    return [([p for b, p in same if a == b], [n for b, n in different if a == b], a) for a in range(len(y))]


def alike(loss, d, a, b):
    return 1 - d(a, b) if loss.distance == "cosine" else -d(a, b)


def multi_similarity(loss, d, y):
    terms = []
    for positives, negatives, a in rows_of(y):
        pulled = sum((-loss.alpha * (alike(loss, d, a, p) - loss.base)).exp() for p in positives)
        pushed = sum((loss.beta * (alike(loss, d, a, n) - loss.base)).exp() for n in negatives)
        if positives or negatives:
            one = torch.ones(()).double()
            terms.append((one + pulled).log() / loss.alpha + (one + pushed).log() / loss.beta)
    return reduced(terms, loss.reduction)


def circle(loss, d, y):
    terms = []
    for positives, negatives, a in rows_of(y):
        if positives and negatives:
            near = [alike(loss, d, a, p) for p in positives]
            far = [alike(loss, d, a, n) for n in negatives]
            m = loss.margin
            pulled = sum((-loss.scale * hinge(1 + m - s.detach()) * (s - 1 + m)).exp() for s in near)
            pushed = sum((loss.scale * hinge(s.detach() + m) * (s - m)).exp() for s in far)
            terms.append((1 + pulled * pushed).log())
    return reduced(terms, loss.reduction)


def adaptive(loss, d, y):
    same, different = pairs(y)
    if not same or not different:
        return torch.zeros(()).double()
    means = [sum(float(d(*pair).detach()) for pair in each) / len(each) for each in (same, different)]
    scale = max(0.0, means[1] - means[0])
    return quadruplet(QuadrupletLoss(loss.margin1 * scale, loss.margin2 * scale, reduction=loss.reduction), d, y)


CASES = {
    "multi-similarity": (multi_similarity, lambda **options: MultiSimilarityLoss(2.0, 5.0, **options)),
    "circle": (circle, lambda **options: CircleLoss(0.3, scale=2.0, **options)),
    "soft triplet": (soft, lambda **options: TripletLoss(0.4, soft=True, **options)),
    "adaptive quadruplet": (adaptive, lambda **options: QuadrupletLoss(0.4, 0.2, adaptive=True, **options)),
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


ALL = ["euclidean", "squared", "cosine", "dot"]
MEASURED = [
    (case, distance) for case in CASES for distance in (ALL[2:] if case in ("multi-similarity", "circle") else ALL)
]


@pytest.mark.parametrize("reduction", ["mean", "active", "sum"])
@pytest.mark.parametrize(("case", "distance"), MEASURED)
@pytest.mark.parametrize("labels", LABELS)
def test_a_loss_is_the_loop_over_all_its_tuples_in_both_its_modes(generator, case, labels, distance, reduction):
    loop, make = CASES[case]
    y, z = LABELS[labels], embedded(generator)
    known = {(i, j): distance_of(distance, z[i], z[j]) for i in range(len(y)) for j in range(len(y))}
    expected = loop(make(distance=distance, reduction=reduction), lambda i, j: known[i, j], y)
    truth = torch.autograd.grad(expected, z)[0] if expected.requires_grad else torch.zeros_like(z)
    for mode in ("once", "twice"):
        loss = make(distance=distance, reduction=reduction, differentiable=mode)
        found = loss(z, torch.tensor(y))
        assert found.item() == pytest.approx(expected.item(), abs=1e-12, rel=1e-12), mode
        torch.testing.assert_close(torch.autograd.grad(found, z)[0], truth, atol=1e-12, rtol=1e-12)


TIES = {
    "contrastive": (contrastive, lambda **options: ContrastiveLoss(1.0, positive_margin=1.0, **options)),
    "triplet": (triplet, lambda **options: TripletLoss(1.0, **options)),
    "triplet without margin": (triplet, lambda **options: TripletLoss(0.0, **options)),
    "quadruplet": (quadruplet, lambda **options: QuadrupletLoss(1.0, 0.0, **options)),
}


@pytest.mark.parametrize("distance", ["euclidean", "squared", "dot"])
@pytest.mark.parametrize("mode", ["once", "twice"])
@pytest.mark.parametrize("case", TIES)
def test_a_term_that_is_exactly_zero_counts_for_nothing(generator, case, mode, distance):
    """Whole numbers, whose distances along an axis and squares are whole too: most terms tie with the margin."""
    loop, make = TIES[case]
    z = torch.zeros(13, 4, dtype=torch.float64)
    z[:, 2] = torch.randint(0, 4, (13,), generator=generator).double()
    z.requires_grad_()
    y = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, -1]
    known = {(i, j): distance_of(distance, z[i], z[j]) for i in range(13) for j in range(13)}
    loss = make(distance=distance, reduction="active", differentiable=mode)
    expected, found = loop(loss, lambda i, j: known[i, j], y), loss(z, torch.tensor(y))
    assert found.item() == pytest.approx(expected.item(), abs=1e-12)
    ours, truth = (torch.autograd.grad(each, z)[0] for each in (found, expected))
    torch.testing.assert_close(ours, truth, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("distance", ["euclidean", "squared", "cosine", "dot"])
def test_the_same_item_in_two_classes_ties_wherever_it_stands(generator, distance):
    """With a margin of zero an item and its copy in another class are equally near, and have no slope."""
    z = torch.randn(20, 7, generator=generator).repeat(2, 1)[torch.randperm(40, generator=generator)]
    loss = TripletLoss(0.0, distance=distance, reduction="sum")
    d = torch.zeros(40, 40)
    loss_of = loss.block_gradients

    def watched(distances, masks, out):
        d[masks.diagonal : masks.diagonal + len(distances)] = distances
        return loss_of(distances, masks, out)

    loss.block_gradients = watched
    loss(z, torch.arange(40) % 3)
    same = (z[:, None] == z).all(-1)
    assert all(torch.equal(d[:, i], d[:, j]) for i, j in same.nonzero().tolist())


@pytest.mark.parametrize("case", CASES)
def test_with_others_a_loss_is_its_part_of_the_loop(generator, case):
    """Items against others: the loop over both together, in which only pairs from the one to the other are known."""
    loop, make = CASES[case]
    z, others = (torch.randn(size, 3, generator=generator).double().requires_grad_() for size in (5, 6))
    y, labels = [0, 1, 1, 2, -1], [1, 0, 2, 2, 0, -1]
    distance = "cosine" if case in ("multi-similarity", "circle") else "euclidean"
    expected = loop(make(distance=distance), Across(z, others, distance), Split(y, labels))
    for mode in ("once", "twice"):
        loss = make(distance=distance, differentiable=mode)
        found = loss(z, torch.tensor(y), reference=(others, torch.tensor(labels)))
        assert found.item() == pytest.approx(expected.item(), abs=1e-12), mode
        ours, truth = (torch.autograd.grad(each, (z, others), retain_graph=True) for each in (found, expected))
        torch.testing.assert_close(ours, truth, atol=1e-12, rtol=1e-12)


class Split(list):
    """Labels of items, then of others: a pair is an item and one of the others."""

    def __init__(self, y, labels):
        super().__init__([*y, *labels])
        self.items = len(y)


class Across:
    """Distances from items to others, rows of the two numbered through."""

    def __init__(self, z, others, distance):
        self.rows, self.distance = torch.cat([z, others]), distance

    def __call__(self, i, j):
        return distance_of(self.distance, self.rows[i], self.rows[j])


@pytest.mark.parametrize("case", ["contrastive", "triplet", "quadruplet"])
def test_copies_in_other_classes_leave_second_derivatives_finite_and_right(generator, case):
    """34 items of 64 features are too many to write all differences down, of 5 features they are not."""
    loss = CASES[case][1](differentiable="twice", reduction="sum")

    def product(z, features):
        z = torch.nn.functional.pad(z, (0, features - z.shape[1])).requires_grad_()
        y = torch.arange(len(z)) % 3
        along = torch.ones_like(z) * torch.arange(len(z)).unsqueeze(1).double().cos()
        return torch.autograd.functional.hvp(lambda z: loss(z, y), z, along)[1]

    z = torch.randn(17, 4, generator=generator).double().repeat(2, 1)
    many = product(z, 64)  # 34 * 34 * 64 differences, most of them zero
    torch.testing.assert_close(many[:, :4], product(z, 5)[:, :4], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("case", [case for case in CASES if case != "circle"])
def test_gradients_are_right_twice(generator, case):
    loss, y = CASES[case][1](differentiable="twice"), torch.tensor([0, 0, 1, 1, 2, -1])
    z = torch.randn(6, 3, generator=generator).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, y), z)
    assert torch.autograd.gradgradcheck(lambda z: loss(z, y), z)


def test_the_circle_loss_has_the_second_derivatives_of_the_loop_whose_weights_are_constants(generator):
    """Its weights count as constants, so finite differences of its gradient are not its second derivative."""
    loop, make = CASES["circle"]
    y, along = [0, 0, 1, 1, 2, -1], torch.randn(6, 3, generator=generator).double()
    z = torch.randn(6, 3, generator=generator).double().requires_grad_()
    loss = make(differentiable="twice")
    expected = loop(loss, lambda i, j: distance_of("cosine", z[i], z[j]), y)
    twice = []
    for value in (loss(z, torch.tensor(y)), expected):
        slope = torch.autograd.grad(value, z, create_graph=True)[0]
        twice.append(torch.autograd.grad((slope * along).sum(), z)[0])
    torch.testing.assert_close(*twice, atol=1e-12, rtol=1e-10)


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

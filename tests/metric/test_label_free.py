"""Objectives without labels against sums written out."""

from __future__ import annotations

import math

import pytest
import torch

from graphkit.metric import barlow_twins, canonical_correlation, vicreg


@pytest.fixture
def views(generator):
    return tuple(torch.randn(7, 3, generator=generator).double().requires_grad_() for _ in range(2))


def standard(z, f):
    column = [float(value) for value in z[:, f]]
    mean = sum(column) / len(column)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in column) / len(column))
    return [(value - mean) / deviation for value in column]


def product(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))


def test_barlow_twins_is_the_papers_sum(views):
    views = [view.detach() for view in views]
    a, b = ([standard(view, f) for f in range(3)] for view in views)
    correlation = [[product(a[i], b[j]) / 7 for j in range(3)] for i in range(3)]
    total = sum(
        (1 - correlation[i][j]) ** 2 if i == j else 0.1 * correlation[i][j] ** 2 for i in range(3) for j in range(3)
    )
    assert barlow_twins(*views, off_diagonal=0.1).item() == pytest.approx(total, abs=1e-12)


def test_canonical_correlation_is_the_papers_sum(views):
    views = [view.detach() for view in views]
    a, b = ([standard(view, f) for f in range(3)] for view in views)
    total = sum((x - y) ** 2 for i in range(3) for x, y in zip(a[i], b[i], strict=True)) / 7
    for view in (a, b):
        total += 0.1 * sum((product(view[i], view[j]) / 7 - (i == j)) ** 2 for i in range(3) for j in range(3))
    assert canonical_correlation(*views, decorrelation=0.1).item() == pytest.approx(total, abs=1e-12)


def test_vicreg_is_the_papers_sum(views):
    views = [view.detach() for view in views]
    total = 5.0 * sum(float((x - y) ** 2) for x, y in zip(*(view.flatten() for view in views), strict=True)) / 21
    for view in views:
        columns = [[float(x) - float(view[:, f].mean()) for x in view[:, f]] for f in range(3)]
        covariance = [[product(p, q) / 6 for q in columns] for p in columns]
        total += 4.0 / 2 * sum(max(0.0, 1 - math.sqrt(covariance[f][f] + 1e-4)) for f in range(3)) / 3
        total += 3.0 * sum(covariance[i][j] ** 2 for i in range(3) for j in range(3) if i != j) / 3
    found = vicreg(*views, invariance=5.0, variance=4.0, covariance=3.0)
    assert found.item() == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("objective", [barlow_twins, vicreg, canonical_correlation])
class TestAll:
    def test_gradients_are_right_twice(self, objective, views):
        assert torch.autograd.gradcheck(objective, views)
        assert torch.autograd.gradgradcheck(objective, views)

    def test_collapsed_views_have_a_loss_and_a_finite_gradient(self, objective):
        z = torch.ones(4, 3, requires_grad=True)
        loss = objective(z, z)
        loss.backward()
        assert loss.item() > 0.0
        assert z.grad.isfinite().all()

    def test_bad_input_is_refused(self, objective):
        with pytest.raises(ValueError, match="views of the same items"):
            objective(torch.ones(4, 3), torch.ones(4, 2))
        with pytest.raises(ValueError, match="two at least"):
            objective(torch.ones(1, 3), torch.ones(1, 3))
        with pytest.raises(ValueError, match="`second` must be finite"):
            objective(torch.ones(4, 3), torch.ones(4, 3) / 0)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: barlow_twins(x, x, off_diagonal=0.0), "off_diagonal"),
        (lambda x: canonical_correlation(x, x, decorrelation=-1.0), "decorrelation"),
        (lambda x: vicreg(x, x, variance=math.nan), "variance"),
    ],
)
def test_a_weight_is_above_zero(call, name):
    with pytest.raises(ValueError, match=f"`{name}` must be a finite number above 0"):
        call(torch.eye(3))

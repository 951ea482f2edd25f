"""Ridge regression in closed form against scikit-learn, fitted anew without each item."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import Ridge

from graphkit.metric.ridge import RidgePursuit, RidgeSystem, leave_one_out, view_shares

PENALTIES = torch.tensor([0.1, 2.0], dtype=torch.float64)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def refit(z, y, penalty):
    made = Ridge(alpha=float(penalty), fit_intercept=False).fit(z.numpy(), y.numpy())
    return torch.from_numpy(made.coef_).reshape(y.size(1), -1).T


@pytest.mark.parametrize(("items", "numbers"), [(12, 4), (5, 9), (6, 6), (1, 3)])
def test_every_fit_and_what_it_says_of_items_left_out_is_that_of_a_refit(items, numbers):
    z, y = drawn(items, numbers), drawn(items, 3, seed=1)
    system = RidgeSystem(z)
    weights, left_out = system.fit(y, PENALTIES)
    assert torch.allclose(system.rows, z)
    for place, penalty in enumerate(PENALTIES):
        assert torch.allclose(weights[place], refit(z, y, penalty))
        for item in range(items if items > 1 else 0):
            others = torch.arange(items) != item
            assert torch.allclose(left_out[place, item], z[item] @ refit(z[others], y[others], penalty))


@pytest.mark.parametrize(("items", "numbers"), [(12, 6), (4, 9)])
def test_leading_directions_keep_most_of_the_inner_products(items, numbers):
    z = drawn(items, numbers)
    kernel = z @ z.T
    whole = RidgeSystem(z).leading(numbers)
    assert torch.allclose(whole @ whole.T, kernel)
    values, vectors = torch.linalg.eigh(kernel)
    part = RidgeSystem(z).leading(2)
    assert torch.allclose(part @ part.T, vectors[:, -2:] * values[-2:] @ vectors[:, -2:].T)


def test_leave_one_out_of_a_mean_is_the_mean_of_the_others():
    y = drawn(7, 2)
    found = leave_one_out(y.mean(0).expand(7, 2), torch.full((7,), 1 / 7, dtype=y.dtype), y)
    assert torch.allclose(found, (y.sum(0) - y) / 6)


def test_view_shares_are_a_softmax_that_counts_what_is_known_before():
    errors = torch.tensor([0.5, 0.6, torch.inf])
    found = view_shares(errors, 10, 0.7, torch.tensor([0.0, 1.0, 5.0]))
    assert torch.allclose(found, torch.tensor([-3.5, -4.2 + 1, -torch.inf]).softmax(0))
    assert view_shares(torch.full((3,), torch.inf), 5, 1.0).tolist() == pytest.approx([1 / 3] * 3)


def test_a_mixture_is_led_by_the_view_that_knows_and_leaves_out_what_is_empty():
    y = drawn(40, 2)
    fit = RidgePursuit([torch.zeros_like(y), drawn(40, 3, seed=2), y + 0.1 * drawn(40, 2, seed=3)], y, PENALTIES)
    mixture = fit.mixture(1.0)
    assert list(mixture.weights) == [2]
    assert float((mixture.left_out + fit.offset - y).square().mean()) < 0.1


def test_a_joint_fit_takes_the_views_that_complete_each_other():
    """Two views each know one half; a third repeats the first with less noise than the second has."""
    first, second = drawn(60, 1), drawn(60, 1, seed=1)
    y = torch.cat((3 * first + second, first), 1)
    views = [first + 0.01 * drawn(60, 1, seed=2), second + 0.2 * drawn(60, 1, seed=3), first, drawn(60, 4, seed=4)]
    fit = RidgePursuit(views, y, PENALTIES)
    assert sorted(fit.joint(2).weights) == [1, 2]
    assert list(fit.joint(1).weights) == [2]
    assert len(fit.joint(9).weights) == len(views)
    both = torch.cat((views[2], views[1]), 1)
    expected = refit(both, y - y.mean(0), PENALTIES[0])
    found = fit.joint(2).weights
    assert torch.allclose(torch.cat((found[2], found[1])), expected)


@pytest.mark.parametrize("width", [3, 30])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_joint_fit_of_all_is_that_of_each_view_along_its_leading_directions(width, dtype):
    """Views with fewer numbers than items and with more, one of few directions and one of none."""
    y = drawn(12, 2).to(dtype)
    flat = drawn(12, 2, seed=4) @ drawn(2, 20, seed=5)
    views = [z.to(dtype) for z in (drawn(12, 4, seed=1), drawn(12, 20, seed=2), flat, torch.zeros(12, 3))]
    fit = RidgePursuit(views, y, PENALTIES, leading=width)
    found, centred, projected = fit.joint_of_all(), y - y.mean(0), []
    for z in views:
        right = torch.linalg.svd(z, full_matrices=False).Vh[:width]
        projected.append(z @ right.T @ right)
    together = torch.cat(projected, 1)
    said = sum(z @ found.weights[n] for n, z in enumerate(projected))
    assert any(torch.allclose(said, together @ refit(together, centred, penalty), atol=1e-4) for penalty in PENALTIES)
    assert torch.allclose(said, sum(z @ found.weights[n] for n, z in enumerate(views)), atol=1e-4)
    if width > 20:
        assert torch.allclose(found.left_out, fit.joint(4).left_out, atol=1e-3)


def test_the_loss_that_is_given_decides_which_view_is_first():
    y = drawn(30, 1)
    views = [y + 0.1 * drawn(30, 1, seed=1), -y]
    assert list(RidgePursuit(views, y, PENALTIES).joint(1).weights) == [1]
    worst = RidgePursuit(views, y, PENALTIES, loss=lambda outputs: -float((outputs - y).square().mean()))
    assert list(worst.joint(1).weights) == [0]


def test_targets_that_are_all_alike_leave_an_offset():
    fit = RidgePursuit([drawn(5, 2)], torch.ones(5, 1, dtype=torch.float64), PENALTIES)
    for found in (fit.mixture(1.0), fit.joint(1)):
        assert float(found.left_out.abs().max()) < 1e-9
    assert fit.offset.tolist() == [1.0]

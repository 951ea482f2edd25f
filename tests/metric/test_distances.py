"""Distances against differences written down in float64."""

from __future__ import annotations

import pytest
import torch

from graphkit.metric import pairwise_distances
from graphkit.metric.relations import NOBODY
from graphkit.metric.streaming import block_distances, sides

DISTANCES = ["euclidean", "squared", "cosine", "dot"]


def truth(z, others, distance):
    z, others = z.double(), others.double()
    if distance == "dot":
        return -z @ others.T
    if distance == "cosine":
        return 1 - (z / z.norm(dim=1, keepdim=True)) @ (others / others.norm(dim=1, keepdim=True)).T
    squares = (z[:, None] - others).square().sum(-1)
    return squares if distance == "squared" else squares.sqrt()


@pytest.mark.parametrize("far", [0.0, 1e4])
@pytest.mark.parametrize("items", [5, 80])
def test_distances_are_those_of_the_differences_even_far_from_the_origin(generator, items, far):
    z = torch.randn(items, 16, generator=generator) + far
    for distance in ("euclidean", "squared"):
        found, expected = pairwise_distances(z, distance=distance), truth(z, z, distance).float()
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        streamed = block_distances(sides(z, None, distance), 0, items, 0, distance)
        torch.testing.assert_close(streamed, expected, rtol=1e-4, atol=1e-6)
        assert found.diagonal().eq(0).all()
        assert streamed.diagonal().eq(0).all()


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("items", [4, 80])
def test_others_may_be_measured_to(generator, items, distance):
    z, others = (torch.randn(size, 16, generator=generator).double() for size in (items, items + 3))
    expected = truth(z, others, distance)
    torch.testing.assert_close(pairwise_distances(z, others, distance=distance), expected)
    if distance != "cosine":  # whose blocks are given unit vectors
        found = block_distances(sides(z, others, distance), 1, items, NOBODY, distance)
        torch.testing.assert_close(found, expected[1:])


@pytest.mark.parametrize("items", [6, 80])
def test_equal_rows_are_exactly_zero_apart_and_near_ones_keep_their_digits(generator, items):
    z = torch.randn(items, 16, generator=generator)
    z[1], z[2] = z[0], z[0] + 1e-3
    streamed = block_distances(sides(z, None, "euclidean"), 0, items, 0, "euclidean")
    assert streamed[0, 1] == 0
    torch.testing.assert_close(streamed[0, 2], truth(z, z, "euclidean")[0, 2].float(), rtol=1e-3, atol=0)
    torch.testing.assert_close(pairwise_distances(z)[0, 2], truth(z, z, "euclidean")[0, 2].float(), rtol=1e-3, atol=0)
    assert pairwise_distances(z)[0, 1] < 1e-6


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("items", [3, 27, 80])
def test_gradients_are_right_twice_for_few_rows_and_many(generator, items, distance):
    """``torch.cdist`` has no second derivative for 25 rows or fewer."""
    z = torch.randn(items, 12 if items == 80 else 2, generator=generator).double().requires_grad_()
    pick = torch.randn(items, items, generator=generator).double() * (torch.rand(items, items) < 40 / items**2)

    def chosen(z):
        return (pairwise_distances(z, distance=distance) * pick).sum()

    fast = items == 80
    assert torch.autograd.gradcheck(chosen, z, fast_mode=fast)
    assert torch.autograd.gradgradcheck(chosen, z, fast_mode=fast)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("items", [4, 80])
def test_equal_and_zero_rows_have_a_finite_gradient_of_any_order(items, distance):
    z = torch.zeros(items, 16, requires_grad=True)
    first = torch.autograd.grad(pairwise_distances(z, distance=distance).sum(), z, create_graph=True)[0]
    assert first.eq(0).all()
    if first.requires_grad:
        second = torch.autograd.grad(first.square().sum(), z, allow_unused=True)[0]
        assert second is None or second.isfinite().all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="`distance` 'euclid' is not known"):
        pairwise_distances(torch.eye(2), distance="euclid")
    with pytest.raises(ValueError, match="`reference` must have 2 features"):
        pairwise_distances(torch.eye(2), torch.eye(3))
    with pytest.raises(ValueError, match="`z` must be finite"):
        pairwise_distances(torch.eye(2) / 0)

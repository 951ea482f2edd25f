"""Distances against differences written down in float64."""

from __future__ import annotations

import pytest
import torch

from graphkit.metric import pairwise_distances
from graphkit.metric.blockwise import block_distances, block_operands
from graphkit.metric.distances import distance_matrix

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
        by_blocks = block_distances(block_operands(z, None, distance), 0, items)
        torch.testing.assert_close(by_blocks, expected, rtol=1e-4, atol=1e-6)
        assert found.diagonal().eq(0).all()
        assert by_blocks.diagonal().eq(0).all()


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("items", [4, 80])
def test_others_may_be_measured_to(generator, items, distance):
    z, others = (torch.randn(size, 16, generator=generator).double() for size in (items, items + 3))
    expected = truth(z, others, distance)
    torch.testing.assert_close(pairwise_distances(z, others, distance=distance), expected)
    if distance != "cosine":  # whose blocks are given unit vectors
        found = block_distances(block_operands(z, others, distance), 1, items)
        torch.testing.assert_close(found, expected[1:])


@pytest.mark.parametrize("items", [6, 80])
def test_equal_rows_are_exactly_zero_apart_and_near_ones_keep_their_digits(generator, items):
    z = torch.randn(items, 16, generator=generator)
    z[1], z[2] = z[0], z[0] + 1e-3
    by_blocks = block_distances(block_operands(z, None, "euclidean"), 0, items)
    assert by_blocks[0, 1] == 0
    torch.testing.assert_close(by_blocks[0, 2], truth(z, z, "euclidean")[0, 2].float(), rtol=1e-3, atol=0)
    torch.testing.assert_close(pairwise_distances(z)[0, 2], truth(z, z, "euclidean")[0, 2].float(), rtol=1e-3, atol=0)
    assert pairwise_distances(z)[0, 1] == 0
    assert pairwise_distances(z, z.clone()).diagonal().eq(0).all()


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("dtype", "near", "far"), [(torch.float64, 1e-3, 1e5), (torch.float32, 1e-2, 1e3)])
def test_two_narrow_clusters_far_apart_keep_their_digits(generator, monkeypatch, compiled, dtype, near, far):
    if not compiled:
        monkeypatch.setattr("graphkit.metric.blockwise.KERNEL_DEVICES", ())
    z = near * torch.randn(300, 8, generator=generator, dtype=torch.float64)
    z[150:] += far
    z = z.to(dtype)
    for distance in ("euclidean", "squared"):
        expected = truth(z, z, distance).to(dtype)
        for found in (
            pairwise_distances(z, distance=distance),
            block_distances(block_operands(z, None, distance), 0, 300),
        ):
            torch.testing.assert_close(found, expected, rtol=16 * torch.finfo(dtype).eps, atol=0)  # eight sums, a root


@pytest.mark.parametrize("apart", [0.0, 1e-7])
@pytest.mark.parametrize("distance", ["euclidean", "squared"])
def test_second_derivatives_are_right_where_rows_coincide(generator, distance, apart):
    """34 rows of 64 features are too many to write all differences down; a loop does it here."""
    half = torch.randn(17, 64, generator=generator).double()
    step = apart * torch.randn(17, 64, generator=generator).double()
    z = torch.cat([half, half + step]).requires_grad_()
    weights, along = (torch.randn(*shape, generator=generator).double() for shape in ((34, 34), (34, 64)))

    def written_down(z):
        squares = (z[:, None] - z).square().sum(-1)
        if distance == "squared":
            return squares
        return torch.where(squares > 0, torch.where(squares > 0, squares, 1).sqrt(), 0)

    found, expected = (
        torch.autograd.functional.hvp(lambda z, call=call: (call(z).tanh() * weights).sum(), z, along)[1]
        for call in (lambda z: pairwise_distances(z, distance=distance), written_down)
    )
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7 * expected.abs().max().item())
    if not apart and distance == "squared":
        assert torch.autograd.gradgradcheck(lambda z: pairwise_distances(z, distance=distance), z, fast_mode=True)


def test_transforms_see_through_many_distances(generator):
    z, others = (torch.randn(*shape, 40, 64, generator=generator).double() for shape in ((2,), ()))

    def total(z):
        return distance_matrix(z, others, "euclidean").sin().sum()

    def written_down(z):
        return (z[:, None] - others).norm(dim=-1).sin().sum()

    expected = torch.stack([torch.func.grad(written_down)(each) for each in z])
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(total))(z), expected)
    ours, theirs = (torch.func.jvp(call, (z[0],), (z[1],))[1] for call in (total, written_down))
    torch.testing.assert_close(ours, theirs)


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

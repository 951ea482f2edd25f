"""Relevant components against dense formulas, and what they leave alone."""

from __future__ import annotations

import pytest
import torch

from graphkit.metric import RelevantComponents


@pytest.fixture
def items(generator):
    y = torch.arange(60) % 3
    spread = torch.tensor([5.0, 1.0, 0.2, 0.1])
    return torch.randn(3, 4, generator=generator).double()[y] + spread * torch.randn(60, 4, generator=generator), y


@pytest.mark.parametrize("shrinkage", [0.01, 1.0, 30.0])
def test_distances_are_those_of_the_inverse_covariance(items, shrinkage):
    z, y = items
    inside = torch.cat([z[y == label] - z[y == label].mean(0) for label in range(3)])
    covariance = inside.T @ inside / 60
    mean = covariance.trace() / 4
    inverse = torch.linalg.inv(covariance / mean + shrinkage * torch.eye(4))
    difference = z[:, None] - z
    expected = torch.einsum("ijk,kl,ijl->ij", difference, inverse, difference).sqrt()
    found = RelevantComponents(shrinkage=shrinkage).fit(z, y)(z)
    torch.testing.assert_close(torch.cdist(found, found), expected, atol=1e-6, rtol=1e-9)


def test_endless_shrinkage_leaves_distances_alone(items):
    z, y = items
    found = RelevantComponents(shrinkage=float("inf")).fit(z, y)(z)
    torch.testing.assert_close(found @ found.T, (z - z.mean(0)) @ (z - z.mean(0)).T)


def test_fewer_components_are_the_principal_ones(items):
    z, y = items
    _, _, turned = torch.linalg.svd(z - z.mean(0))
    expected = (z - z.mean(0)) @ turned[:2].T
    found = RelevantComponents(2, shrinkage=float("inf")).fit(z, y)(z)
    torch.testing.assert_close(found @ found.T, expected @ expected.T)


def test_a_wide_matrix_is_solved_to_the_same_components(generator):
    z, y = torch.randn(30, 200, generator=generator).double(), torch.arange(30) % 2
    _, scales, _ = torch.linalg.svd(z - z.mean(0), full_matrices=False)
    found = RelevantComponents(5, shrinkage=float("inf")).fit(z, y)(z)
    torch.testing.assert_close(torch.linalg.svdvals(found), scales[:5])


def test_items_without_a_class_do_not_bend_the_metric(items):
    z, y = items
    known = torch.where(y == 2, -1, y)
    moved = torch.where((y == 2)[:, None], 3 * z.flip(1), z)
    here, there = (RelevantComponents().fit(each, known)(z[y < 2]) for each in (z, moved))
    here, there = here - here.mean(0), there - there.mean(0)
    torch.testing.assert_close(here @ here.T, there @ there.T)


def test_the_dtype_is_kept(items):
    z, y = items
    assert RelevantComponents().fit(z.float(), y)(z.float()).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda z, y: RelevantComponents(shrinkage=0.0), "above 0"),
        (lambda z, y: RelevantComponents(0), "components"),
        (lambda z, y: RelevantComponents().fit(z, torch.full_like(y, -1)), "some items a class"),
        (lambda z, y: RelevantComponents()(z), "fit"),
        (lambda z, y: RelevantComponents().fit(z, y)(z[:, :2]), "4 features"),
    ],
)
def test_bad_input_is_refused(items, call, said):
    with pytest.raises(ValueError, match=said):
        call(*items)

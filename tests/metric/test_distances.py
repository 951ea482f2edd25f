"""Distances against differences written down in float64."""

from __future__ import annotations

import pytest
import torch

from graphkit.metric import pairwise_distances


@pytest.mark.parametrize("far", [0.0, 1e4])
@pytest.mark.parametrize("items", [5, 80])
def test_distances_are_those_of_the_differences_even_far_from_the_origin(generator, items, far):
    z = torch.randn(items, 16, generator=generator) + far
    truth = (z[:, None].double() - z.double()).square().sum(-1)
    torch.testing.assert_close(pairwise_distances(z, distance="squared"), truth.float(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(pairwise_distances(z), truth.sqrt().float(), rtol=1e-5, atol=1e-6)
    assert pairwise_distances(z).diagonal().eq(0).all()

"""Models of rows: whitening against the dense inverse square root of a covariance."""

from __future__ import annotations

import pytest
import torch

from graphkit.meta import Rows, WithinClassWhitening, baselines

KNOWN = (0, 2, 5)


def written_out(rows, shrinkage):
    around = torch.cat([rows.x[rows.y == label] - rows.x[rows.y == label].mean(0) for label in KNOWN])
    covariance = around.T @ around / len(around)
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * (values / values[-1] / shrinkage + 1).rsqrt() @ vectors.T


@pytest.mark.parametrize("shrinkage", [0.01, 1.0, 30.0])
def test_whitening_is_the_inverse_root_of_the_covariance_within_classes(shrinkage, rows):
    found = WithinClassWhitening([(rows, KNOWN)], shrinkage=shrinkage)(rows.x)
    torch.testing.assert_close(found, rows.x @ written_out(rows, shrinkage), rtol=0, atol=1e-12)


def test_known_classes_become_round(rows):
    found = WithinClassWhitening([(rows, KNOWN)], shrinkage=1e-9)(rows.x)
    around = torch.cat([found[rows.y == label] - found[rows.y == label].mean(0) for label in KNOWN])
    spread = torch.linalg.svdvals(around)
    torch.testing.assert_close(spread, spread[:1].expand_as(spread))


def test_items_of_several_graphs_are_around_their_own_means(rows):
    """A class that lies elsewhere in another graph is no wider for that."""
    there = Rows(rows.x + 100, rows.y)
    one, both = (
        WithinClassWhitening(sources)(rows.x) for sources in ([(rows, KNOWN)], [(rows, KNOWN), (there, KNOWN)])
    )
    torch.testing.assert_close(one, both, rtol=0, atol=1e-9)


def test_of_many_directions_those_that_differ_most_are_changed(monkeypatch):
    """Eight of thirty; the others differ by a thousandth of that. What is drawn elsewhere stays the same."""
    scale = torch.cat([torch.linspace(3.0, 1.0, 8), torch.full((22,), 0.003)]).double()
    rows = Rows(torch.randn(200, 30, dtype=torch.float64) * scale, torch.arange(200) % 6)
    exact = WithinClassWhitening([(rows, KNOWN)])(rows.x)
    monkeypatch.setattr(baselines, "MAX_DIRECTIONS", 8)
    before = torch.get_rng_state()
    found = WithinClassWhitening([(rows, KNOWN)])
    assert torch.equal(torch.get_rng_state(), before)
    assert found.directions.shape == (8, 30)
    torch.testing.assert_close(found(rows.x), exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize("labels", [(), (7,)])
def test_nothing_known_is_refused(labels, rows):
    with pytest.raises(ValueError, match="two items that differ"):
        WithinClassWhitening([(rows, labels)])


def test_a_shrinkage_of_nothing_is_refused(rows):
    with pytest.raises(ValueError, match="`shrinkage` must be a finite number above 0"):
        WithinClassWhitening([(rows, KNOWN)], shrinkage=0.0)

"""Returns of random walks: powers of each graph's matrix by itself, whatever stands beside it."""

from __future__ import annotations

import pytest
import torch

from graphkit.operators import walks
from graphkit.operators.walks import heat_kept, return_probabilities

SIZES = torch.tensor([3, 0, 7, 30, 1, 2, 64, 65, 5, 0])


def graphs(seed=0):
    """Return random graphs of many sizes, with loops, edges that stand twice, and nodes that no edge leaves."""
    batch = torch.arange(len(SIZES)).repeat_interleave(SIZES)
    pairs = torch.randint(0, len(batch), (2, 4000), generator=torch.Generator().manual_seed(seed))
    return pairs[:, batch[pairs[0]] == batch[pairs[1]]], batch


def by_powers(edge_index, batch, steps):
    """Return what the docstring says, one graph after the other."""
    found = torch.zeros(len(batch), steps, dtype=torch.float64)
    for number in range(len(SIZES)):
        nodes = (batch == number).nonzero().squeeze(1)
        if not len(nodes):
            continue
        counts = torch.zeros(len(nodes), len(nodes), dtype=torch.float64)
        for source, target in edge_index[:, batch[edge_index[0]] == number].T.tolist():
            counts[source - nodes[0], target - nodes[0]] += 1
        matrix = counts / counts.sum(1, keepdim=True).clamp(min=1)
        power = torch.eye(len(nodes), dtype=torch.float64)
        for step in range(steps):
            power = power @ matrix
            found[nodes, step] = power.diagonal()
    return found


@pytest.mark.parametrize("steps", [1, 2, 7, 20])
def test_they_are_the_diagonals_of_powers(steps):
    edge_index, batch = graphs()
    found = return_probabilities(edge_index, batch, len(SIZES), steps=steps)
    torch.testing.assert_close(found.double(), by_powers(edge_index, batch, steps), atol=1e-6, rtol=1e-5)


def test_it_does_not_matter_how_many_graphs_are_multiplied_together(monkeypatch):
    edge_index, batch = graphs()
    together = return_probabilities(edge_index, batch, len(SIZES), steps=6)
    monkeypatch.setattr(walks, "AT_ONCE", 1)
    torch.testing.assert_close(return_probabilities(edge_index, batch, len(SIZES), steps=6), together)


def test_no_graph_and_no_edge_are_zeros():
    nothing = torch.zeros(2, 0, dtype=torch.long)
    assert return_probabilities(nothing, torch.zeros(0, dtype=torch.long), 3, steps=4).shape == (0, 4)
    assert return_probabilities(nothing, torch.tensor([0, 0, 2]), 3, steps=2).abs().max() == 0
    with pytest.raises(ValueError, match="`steps`"):
        return_probabilities(nothing, torch.tensor([0]), 1, steps=0)


def test_heat_is_the_diagonal_of_an_exponential():
    edge_index, batch = graphs(1)
    found = heat_kept(edge_index, batch, len(SIZES), times=6)
    for number in range(len(SIZES)):
        nodes = (batch == number).nonzero().squeeze(1)
        if not len(nodes):
            continue
        own = edge_index[:, batch[edge_index[0]] == number] - nodes[0]
        weights = torch.zeros(len(nodes), len(nodes), dtype=torch.float64)
        weights.index_put_(tuple(own), torch.ones(own.size(1), dtype=torch.float64), accumulate=True)
        weights = (weights + weights.T) / 2
        degree = weights.sum(1)
        scale = torch.where(degree > 0, degree.clamp(min=1e-9) ** -0.5, 0.0)
        laplacian = torch.diag((degree > 0).double()) - scale[:, None] * weights * scale
        for place, time in enumerate((0.25, 0.5, 1, 2, 4, 8)):
            expected = torch.linalg.matrix_exp(-time * laplacian).diagonal()
            torch.testing.assert_close(found[nodes, place].double(), expected, atol=1e-5, rtol=1e-5)


def test_heat_does_not_depend_on_the_order_of_nodes():
    """Of a ring all eigenvalues but two stand twice: eigenvectors have no order, and no sign."""
    ring = torch.stack([torch.arange(6), (torch.arange(6) + 1) % 6])
    found = heat_kept(torch.cat([ring, ring.flip(0)], 1), torch.zeros(6, dtype=torch.long), 1, times=4)
    torch.testing.assert_close(found, found[:1].expand(6, -1))
    alone = heat_kept(ring[:, :0], torch.tensor([0, 0, 2]), 3, times=2)
    assert torch.equal(alone, torch.ones(3, 2))
    with pytest.raises(ValueError, match="`times`"):
        heat_kept(ring, torch.zeros(6, dtype=torch.long), 1, times=0)

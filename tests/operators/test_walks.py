"""Returns of random walks: powers of each graph's matrix by itself, whatever stands beside it."""

from __future__ import annotations

import pytest
import torch

from graphkit.operators import walks
from graphkit.operators.walks import return_probabilities

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

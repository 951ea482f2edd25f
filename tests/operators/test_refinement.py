"""Colour refinement: the partition of a slow one on tuples, whatever the order, and the same bits everywhere."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from graphkit.operators.refinement import hash_rows, mix_bits, refine_colours


def slow(x, edge_index, edge_attr, rounds):
    """Return nested tuples in place of hashes."""
    colours = [tuple(row) for row in x.tolist()]
    features = [()] * edge_index.size(1) if edge_attr is None else [tuple(row) for row in edge_attr.tolist()]
    found = [colours]
    for _ in range(rounds):
        around = [[] for _ in colours]
        for (source, target), own in zip(edge_index.T.tolist(), features, strict=True):
            around[target].append((colours[source], own))
        colours = [(own, tuple(sorted(near, key=repr))) for own, near in zip(colours, around, strict=True)]
        found.append(colours)
    return found


@pytest.mark.parametrize("edge_features", [None, 2])
@pytest.mark.parametrize("seed", range(4))
def test_nodes_are_told_apart_as_by_nested_tuples(seed, edge_features):
    drawn = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (60, 2), generator=drawn).float()
    edge_index = torch.randint(0, 60, (2, 90), generator=drawn)
    attr = None if edge_features is None else torch.randint(0, 2, (90, edge_features), generator=drawn).float()
    fast, expected = refine_colours(x, edge_index, attr, rounds=3), slow(x, edge_index, attr, 3)
    for colours, nested in zip(fast, expected, strict=True):
        same = torch.tensor([[a == b for a in nested] for b in nested])
        assert torch.equal(colours[:, None] == colours, same)
    counts = [len(colours.unique()) for colours in fast]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_no_order_of_nodes_or_edges_decides(generator):
    x = torch.randn(30, 3, generator=generator)
    edge_index = torch.randint(0, 30, (2, 70), generator=generator)
    attr = torch.rand(70, generator=generator)
    order, edges = torch.randperm(30, generator=generator), torch.randperm(70, generator=generator)
    place = order.argsort()
    moved = refine_colours(x[order], place[edge_index][:, edges], attr[edges], rounds=2)
    for colours, others in zip(refine_colours(x, edge_index, attr, rounds=2), moved, strict=True):
        assert torch.equal(colours[order], others)


def test_numbers_are_known_by_their_value(generator):
    rows = torch.randint(-9, 9, (20, 3), generator=generator)
    assert torch.equal(hash_rows(rows), hash_rows(rows.double()))
    assert torch.equal(hash_rows(rows.float()), hash_rows(torch.where(rows == 0, -0.0, rows.float())))
    assert len(hash_rows(torch.zeros(3, 0)).unique()) == 1
    found = hash_rows(torch.tensor([[1.0, 2.0], [2.0, 1.0], [1.0, 0.0], [0.0, 1.0], [3.0, 0.0]]))
    assert len(found.unique()) == 5


def test_the_last_bits_are_as_even_as_drawn_ones():
    found = Counter((mix_bits(torch.arange(64_000)) % 64).tolist())
    assert sum((count - 1000) ** 2 / 1000 for count in found.values()) < 120  # chi square, 63 degrees of freedom


def test_less_than_no_round_is_refused():
    with pytest.raises(ValueError, match="`rounds`"):
        refine_colours(torch.ones(2, 1), torch.zeros(2, 0, dtype=torch.long), rounds=-1)

"""Sums of rectified messages from a table of edge features: truth, derivatives, the two ways."""

from __future__ import annotations

import pytest
import torch

from graphkit.operators import SparseOperator
from graphkit.operators.messages import EdgeTable, edge_table_sum, edge_table_sum_reference


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(7, (2, 20), generator=generator)
    pattern = SparseOperator.from_edge_index(edge_index, num_nodes=7).pattern
    x, table = (torch.randn(rows, 3, dtype=torch.float64, generator=generator) for rows in (7, 4))
    row = torch.randint(4, (20,), generator=generator)
    scale = torch.rand(7, dtype=torch.float64, generator=generator) + 0.5
    return edge_index, pattern, x, EdgeTable(table, row), scale


def test_it_is_the_sum_written_as_a_loop(case):
    edge_index, pattern, x, edges, scale = case
    expected = torch.zeros(7, 3, dtype=torch.float64)
    for (j, i), row in zip(edge_index.T.tolist(), edges.row.tolist(), strict=True):
        expected[i] += scale[j] * (x[j] + edges.table[row]).relu()
    torch.testing.assert_close(edge_table_sum(pattern, x, edges, scale), expected)
    row_of_entry = edges.row[pattern.perm]
    torch.testing.assert_close(edge_table_sum_reference(x, edges.table, row_of_entry, scale, pattern), expected)


def test_a_table_stands_for_the_features_of_its_edges(case):
    _, pattern, x, edges, _ = case
    dense = EdgeTable(edges.to_dense(), torch.arange(20))
    torch.testing.assert_close(edge_table_sum(pattern, x, edges), edge_table_sum(pattern, x, dense))


@pytest.mark.parametrize("scaled", [False, True])
def test_first_and_second_derivatives_are_right(case, scaled):
    _, pattern, x, edges, scale = case

    def function(x, table):
        return edge_table_sum(pattern, x, EdgeTable(table, edges.row), scale if scaled else None)

    inputs = (x.requires_grad_(), edges.table.requires_grad_())
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_a_functional_transform_gives_the_same_gradient(case):
    _, pattern, x, edges, _ = case
    found = torch.func.grad(lambda x: edge_table_sum(pattern, x, edges).square().sum())(x)
    x = x.clone().requires_grad_()
    edge_table_sum(pattern, x, edges).square().sum().backward()
    torch.testing.assert_close(found, x.grad)

"""Blocks that somebody made by hand reach kernels only through operators, which look at what they are handed."""

from __future__ import annotations

import pytest
import torch

from graphkit.meta.acceleration.blocks import TaskBlocks, block_diagonal_graph
from graphkit.meta.acceleration.subgraph import ReceptiveField
from graphkit.meta.items import Nodes
from graphkit.operators import SparseOperator

PATH = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])


@pytest.fixture
def made() -> TaskBlocks:
    whole = Nodes(torch.eye(6, 20), torch.cat([PATH, PATH.flip(0)], 1), torch.zeros(6, dtype=torch.long))
    return block_diagonal_graph(whole, [torch.tensor([0]), torch.tensor([3])], ReceptiveField(1, degrees=True))


def test_the_right_ones_multiply_each_part_by_its_own_matrix(made):
    assert made.sparse is not None
    weight = torch.randn(2, 20, 3)
    found = made.matmul(made.nodes.x, weight)
    x = made.nodes.x.make().view(2, made.size, 20)
    torch.testing.assert_close(found, (x @ weight).flatten(0, 1))


@pytest.mark.parametrize("columns", [1, 39, 41, 10**6])
def test_features_of_another_width_are_refused(made, columns):
    wrong = SparseOperator.from_edge_index(torch.tensor([[0], [0]]), num_nodes=(columns, len(made.nodes.x)))
    with pytest.raises(ValueError, match=f"`x` must have {columns:,} rows"):
        made._replace(sparse=wrong).matmul(made.nodes.x, torch.randn(2, 20, 3))


@pytest.mark.parametrize("node", [-1, 8, 2**40])
def test_edges_to_nodes_that_are_not_there_are_refused(made, node):
    edges = made.nodes.edge_index.clone()
    edges[0, 0] = node
    with pytest.raises(ValueError, match="`edge_index`"):
        SparseOperator.from_edge_index(edges, num_nodes=len(made.nodes.x)) @ torch.ones(len(made.nodes.x), 40)

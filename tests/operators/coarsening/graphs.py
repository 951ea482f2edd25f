"""Weighted graphs for clustering, and dense truths about them."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.graphs import ZOO, Graph, large

UNDIRECTED = [graph for graph in ZOO if graph.symmetric]
GRAPHS = [*UNDIRECTED, large(60, 6)]


def distinct(graph: Graph) -> Tensor:
    """Return positive weights that hardly two pairs of nodes share, the same in both directions."""
    source, target = graph.edge_index
    low, high = torch.minimum(source, target), torch.maximum(source, target)
    return 1 + torch.sin(1.0 + 3.7 * low + 11.3 * high).double() ** 2


def matrix(graph: Graph, weight: Tensor) -> Tensor:
    """Return the dense weights without loops."""
    return graph.dense(weight).fill_diagonal_(0)


def dense(level) -> Tensor:
    """Return the dense weights of a level."""
    return Graph("", level.edge_index, level.num_nodes).dense(level.edge_weight)


def membership(cluster: Tensor, clusters: int) -> Tensor:
    """Return the matrix P whose entry (i, c) is 1 where node i is in cluster c."""
    return torch.eye(clusters, dtype=torch.float64)[cluster]

"""Graph diffusion: the graph of those that a random walk with restarts visits most."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphkit._checks import at_least, teleport_probability
from graphkit.operators.edges import edges_of
from graphkit.operators.graph_cache import cached
from graphkit.operators.normalization import gcn_adjacency

BLOCK = 256
"""Restart nodes at a time, which bounds memory by nodes x 256 numbers."""

TOLERANCE = 1e-4
"""Where the series ends: what is left out has at most this norm."""


def pagerank_graph(
    graph: Any, edge_weight: Tensor | None = None, *, num_nodes: int, teleport: float = 0.15, neighbours: int = 32
) -> tuple[Tensor, Tensor]:
    r"""Return the edges ``[2, edges]`` and weights ``[edges]`` of personalised PageRank, the strongest for each node.

    .. math::
        S = \alpha\,(I - (1 - \alpha)\,\hat D^{-1/2} \hat A \hat D^{-1/2})^{-1}

    summed as a series until at most 1e-4 (in the spectral norm) is missing. The weights are a preparation, through
    which no gradient flows. The result is cached with the graph, as long as neither is edited in place. Time grows
    with nodes x edges: it is meant for graphs of thousands of nodes.

    Args:
        graph: any form that ``edges_of`` takes; undirected, or the norm of what is missing is not bounded so.
        edge_weight: ``[edges]``; ones when left out.
        num_nodes: number of nodes.
        teleport: :math:`\alpha`, the chance of a teleport_probability, in (0, 1).
        neighbours: edges kept into each node, its own loop among them, at least 1; nodes that are not reached give
            none.

    Raises:
        ValueError: for a ``teleport`` outside (0, 1), or fewer than one neighbour.

    Source: Gasteiger, Weißenberger & Günnemann (2019), arXiv:1911.05485, with the coefficients of personalised
    PageRank and the strongest edges of each node; Hassani & Khasahmadi (2020), arXiv:2006.05582, for its use as a
    view.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> edges, weight = pagerank_graph(path, num_nodes=4, teleport=0.5, neighbours=2)
        >>> edges.tolist()
        [[0, 1, 1, 0, 2, 3, 3, 2], [0, 0, 1, 1, 2, 2, 3, 3]]
    """
    at_least("num_nodes", num_nodes, 0)
    teleport_probability(teleport)
    at_least("neighbours", neighbours, 1)
    edges = edges_of(graph, edge_weight, num_nodes=num_nodes)
    form = ("pagerank", num_nodes, teleport, neighbours)

    def build() -> tuple[Tensor, Tensor]:
        return _strongest_edges(edges.index, edges.weight, num_nodes, teleport, min(neighbours, num_nodes))

    return cached(build, form, edges.index, edges.weight, exposed=True)


@torch.no_grad()
def _strongest_edges(
    index: Tensor, weight: Tensor | None, nodes: int, teleport: float, neighbours: int
) -> tuple[Tensor, Tensor]:
    """Sum the series for some nodes at a time, and keep the strongest of each."""
    weight = None if weight is None else weight.detach()
    step = gcn_adjacency(index, weight, num_nodes=nodes, dtype=torch.float32).T
    terms = math.ceil(math.log(TOLERANCE) / math.log1p(-teleport))
    sources, targets, values = [], [], []
    for start in range(0, nodes, BLOCK):
        block = torch.arange(start, min(start + BLOCK, nodes), device=index.device)
        teleport_probability = torch.zeros(nodes, len(block), device=index.device)
        teleport_probability[block, block - start] = teleport
        # The series of walks of every length, for a block of teleport_probability nodes.
        reached = teleport_probability.clone()
        for _ in range(terms):
            reached = (1 - teleport) * (step @ reached) + teleport_probability
        # The strongest sources of each.
        value, source = reached.sort(dim=0, descending=True, stable=True)
        value, source = value[:neighbours].T, source[:neighbours].T
        positive = value > 0
        sources.append(source[positive])
        targets.append(block[:, None].expand_as(source)[positive])
        values.append(value[positive])
    return torch.stack([torch.cat(sources), torch.cat(targets)]), torch.cat(values)

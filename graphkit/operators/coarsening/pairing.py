"""One round of clustering: a maximal matching along heavy edges."""

from __future__ import annotations

import numpy as np

from graphkit._kernels import matching
from graphkit.operators.coarsening.contraction import Weights

SCORES = ("graclus", "heavy-edge")


def paired(weights: Weights, volumes: np.ndarray, *, score: str, shuffled: np.ndarray | None) -> tuple[np.ndarray, int]:
    r"""Return the cluster of each node, ``[nodes]``, one or two nodes each, and how many clusters there are.

    Nodes are visited by ascending degree, so that those with few choices come first (on Cora this leaves fewer nodes
    alone than a random order); each takes its free neighbour of the highest score. Clusters are numbered by their
    first node.

    Args:
        weights: between nodes.
        volumes: degree of each node in the graph, what is inside a cluster counted, ``[nodes]``.
        score: "graclus" for :math:`w_{ij} (1/d_i + 1/d_j)`, "heavy-edge" for :math:`w_{ij}`.
        shuffled: a permutation that settles ties, ``[nodes]``; the lower number first when left out.
    """
    nodes = weights.nodes
    ties = np.arange(nodes) if shuffled is None else shuffled
    order = np.lexsort((ties, volumes))
    rank = np.empty(nodes, np.int64)
    rank[order] = np.arange(nodes)
    scores = weights.values
    if score == "graclus":
        inverse = 1 / np.where(volumes > 0, volumes, 1)
        scores = scores * (inverse[weights.rows] + inverse[weights.columns])
    partner = np.full(nodes, -1, np.int64)
    matching.match(0, nodes, order, weights.pointers, weights.columns, scores, rank, partner)
    first = np.minimum(np.arange(nodes), partner)
    leads = first == np.arange(nodes)
    return (np.cumsum(leads) - 1)[first], int(leads.sum())

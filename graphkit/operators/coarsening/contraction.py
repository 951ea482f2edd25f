"""Clusters of nodes, by matching or METIS, and the graph of clusters."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import cluster_vector, edge_index_in_range, nonnegative_edge_weights, to_numpy, undirected
from graphkit._kernels import csr_layout, matching
from graphkit.operators.autograd import outside_transforms
from graphkit.operators.edges import edges_of
from graphkit.operators.pattern import INT32_LIMIT

ROUNDING = 1e-6
"""By how much, as a share of the largest weight, the two directions of an edge may differ: sums in another order do."""


@dataclass(frozen=True)
class Weights:
    """A symmetric matrix in compressed rows, in double precision, without diagonal: what clustering works on."""

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray

    @property
    def nodes(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    @property
    def rows(self) -> np.ndarray:
        """Row of each entry."""
        return np.repeat(np.arange(self.nodes), np.diff(self.indptr))

    @property
    def degrees(self) -> np.ndarray:
        """Sum of each row."""
        return np.bincount(self.rows, self.values, self.nodes)


def graph_weights(edge_index: Any, edge_weight: Tensor | None, num_nodes: int | None) -> tuple[Weights, torch.device]:
    """Return the weights of an undirected graph, duplicates summed, loops and zeros left out, and where it lies.

    Raises:
        ValueError: where the graph is directed, or a weight negative or not finite.
    """
    with outside_transforms():
        edges = edges_of(edge_index, edge_weight, num_nodes=num_nodes)
        given = None if edges.index is edge_index else edge_index.shape[0]
        index = to_numpy(edges.index)
        nodes = edge_index_in_range(edges.index, num_nodes if num_nodes is not None else given)[0]
        values = np.ones(index.shape[1]) if edges.weight is None else to_numpy(edges.weight).astype(np.float64)
        nonnegative_edge_weights(values)
        kept = values > 0
        if not kept.all():
            index, values = index[:, kept], values[kept]
        kind = np.int32 if max(nodes, index.shape[1]) < INT32_LIMIT else np.int64
        indptr, indices, order = csr_layout.coo_to_csr(index[1], index[0], (nodes, nodes), kind)
        merged = _sum_clusters(Weights(indptr, indices, values[order]), np.arange(nodes), nodes)
        transposed = _transpose(merged)
        same = np.array_equal(transposed.indptr, merged.indptr) and np.array_equal(transposed.indices, merged.indices)
        limit = ROUNDING * merged.values.max(initial=0)
        undirected(same and bool(np.abs(transposed.values - merged.values).max(initial=0) <= limit))
        return Weights(merged.indptr, merged.indices, _mean(merged, transposed)), edges.index.device


def contract_weights(weights: Weights, cluster: np.ndarray, clusters: int) -> Weights:
    """Return the weights between ``clusters`` clusters of nodes, the same in both directions to the last bit."""
    transposed = _transpose(
        _sum_clusters(weights, cluster, clusters)
    )  # turned once and again, the columns of a row are sorted
    back = _transpose(transposed)
    return Weights(back.indptr, back.indices, _mean(back, transposed))


def _mean(one: Weights, other: Weights) -> np.ndarray:
    """Return the mean of both directions, which is symmetric in whatever order the sums were taken."""
    return (one.values + other.values) / 2


def _transpose(weights: Weights) -> Weights:
    indptr, indices, order = csr_layout.transpose_csr(weights.indptr, weights.indices, weights.nodes)
    return Weights(indptr, indices, weights.values[order])


def _sum_clusters(weights: Weights, cluster: np.ndarray, clusters: int) -> Weights:
    """Return the weights between clusters, the columns of a row in the order of first sight."""
    starts, members, seen = (
        _cluster_starts(cluster, clusters),
        np.argsort(cluster, kind="stable"),
        np.full(clusters, -1),
    )
    indptr = np.zeros(clusters + 1, weights.indptr.dtype)
    indices, values = np.empty_like(weights.indices), np.empty_like(weights.values)
    rows = weights.indptr, weights.indices, weights.values
    matching.contract(0, clusters, starts, members, cluster, *rows, seen, indptr, indices, values)
    return Weights(indptr, indices[: indptr[-1]], values[: indptr[-1]])


def _cluster_starts(cluster: np.ndarray, clusters: int) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(np.bincount(cluster, minlength=clusters))))


def edges_of_weights(
    weights: Weights, device: torch.device, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Return ``edge_index`` ``[2, edges]`` and ``edge_weight`` ``[edges]``."""
    index = torch.from_numpy(np.stack([weights.indices.astype(np.int64), weights.rows]))
    return index.to(device), torch.from_numpy(weights.values).to(device, dtype)


def coarse_graph(
    edge_index: Any, cluster: Tensor, edge_weight: Tensor | None = None, *, num_clusters: int | None = None
) -> tuple[Tensor, Tensor]:
    r"""Return ``edge_index`` and ``edge_weight`` of the graph of clusters, the off-diagonal part of :math:`P^T W P`.

    The weight between two clusters is the sum of all weights between their nodes; what lies inside a cluster is left
    out, as are self-loops and edges of weight 0. For a batch of graphs whose clusters do not cross graphs this is the
    batch of their coarse graphs.

    Args:
        edge_index: an undirected graph in any form that ``laplacian`` takes.
        cluster: of each node, ``[nodes]``, integers from 0.
        edge_weight: ``[edges]``, 0 or above; ones when left out. No gradient flows.
        num_clusters: how many there are; the largest number plus one when left out.

    Raises:
        ValueError: for a directed graph, negative or infinite weights, or numbers of clusters out of range.

    Source: Bruna, Zaremba, Szlam & LeCun (2014), arXiv:1312.6203, section 2.3: coarse weights are sums over clusters.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> edge_index, edge_weight = coarse_graph(path, torch.tensor([0, 0, 1, 1]))
        >>> edge_index.tolist(), edge_weight.tolist()
        ([[1, 0], [0, 1]], [1.0, 1.0])
    """
    with outside_transforms():
        count = cluster_vector(cluster, num_clusters)
        weights, device = graph_weights(edge_index, edge_weight, len(cluster))
        dtype = torch.float32 if edge_weight is None else edge_weight.dtype
        return edges_of_weights(contract_weights(weights, to_numpy(cluster).astype(np.int64), count), device, dtype)


SCORES = ("graclus", "heavy-edge")


def match_nodes(
    weights: Weights, volumes: np.ndarray, *, score: str, shuffled: np.ndarray | None
) -> tuple[np.ndarray, int]:
    """Return the cluster of each node, ``[nodes]``, one or two nodes each, and how many clusters there are.

    Nodes are visited by ascending degree ``volumes`` (what is inside a cluster counted), so that those with few choices
    come first: on Cora this leaves fewer nodes alone than a random order. Each takes its free neighbour of the highest
    ``score``: "graclus" for :math:`w_{ij} (1/d_i + 1/d_j)`, "heavy-edge" for :math:`w_{ij}`. Ties are settled by the
    permutation ``shuffled``, or by the lower number. Clusters are numbered by their first node.
    """
    nodes = weights.nodes
    ties = np.arange(nodes) if shuffled is None else shuffled
    order = np.lexsort((ties, volumes))
    rank = np.empty(nodes, np.int64)
    rank[order] = np.arange(nodes)
    scores = weights.values
    if score == "graclus":
        inverse = 1 / np.where(volumes > 0, volumes, 1)
        scores = scores * (inverse[weights.rows] + inverse[weights.indices])
    partner = np.full(nodes, -1, np.int64)
    matching.match(0, nodes, order, weights.indptr, weights.indices, scores, rank, partner)
    first = np.minimum(np.arange(nodes), partner)
    leads = first == np.arange(nodes)
    return (np.cumsum(leads) - 1)[first], int(leads.sum())


STEPS = 1_000
"""METIS wants whole numbers: weights are rounded to so many steps of the largest."""


def metis_partition(weights: Weights, sizes: np.ndarray, *, cluster_size: int, seed: int) -> tuple[np.ndarray, int]:
    """Return the cluster of each node, ``[nodes]``, and how many clusters there are, about nodes / ``cluster_size``.

    METIS is made for parts of many nodes: on large graphs take at least 8, of fewer it complains itself, on standard
    output. It balances the numbers of original nodes, ``sizes``, so that clusters may hold more or fewer nodes of this
    level, and may join nodes that no edge joins. Clusters are numbered by their first node.

    Raises:
        ValueError: where pymetis is not installed.
    """
    if importlib.util.find_spec("pymetis") is None:
        raise ValueError("`method` 'metis' needs pymetis: pip install 'graphkit[metis]'; 'graclus' needs nothing.")
    import pymetis

    parts = math.ceil(weights.nodes / cluster_size)
    if parts < 2 or not len(weights.indices):
        # Without edges there is nothing to cut: METIS crashes on some such graphs.
        part = np.arange(weights.nodes) // cluster_size
    else:
        kind = pymetis.zero_copy_dtype()
        steps = np.maximum(1, np.rint(STEPS * weights.values / weights.values.max()))
        starts, adjacent, vertices, edges = (
            np.ascontiguousarray(array, kind) for array in (weights.indptr, weights.indices, sizes, steps)
        )
        graph, options = pymetis.CSRAdjacency(starts, adjacent), pymetis.Options(seed=seed)
        found = pymetis.part_graph(parts, graph, vweights=vertices, eweights=edges, options=options)
        part = np.asarray(found.vertex_part)
    _, first, number = np.unique(part, return_index=True, return_inverse=True)
    renumbered = np.argsort(np.argsort(first))
    return renumbered[number].astype(np.int64), len(first)

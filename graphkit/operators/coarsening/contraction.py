"""The graph of clusters: weights between them summed, weights inside them left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import cluster_vector, edge_index_in_range, nonnegative_edge_weights, to_numpy, undirected
from graphkit._kernels import matching, ordering
from graphkit.operators.pattern import INT32_LIMIT, outside_transforms
from graphkit.operators.prepared import edges_of

ROUNDING = 1e-6
"""By how much, as a share of the largest weight, the two directions of an edge may differ: sums in another order do."""


@dataclass(frozen=True)
class Weights:
    """A symmetric matrix in compressed rows, in double precision, without diagonal: what clustering works on."""

    pointers: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    @property
    def nodes(self) -> int:
        """Number of rows."""
        return len(self.pointers) - 1

    @property
    def rows(self) -> np.ndarray:
        """Row of each entry."""
        return np.repeat(np.arange(self.nodes), np.diff(self.pointers))

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
        pointers, columns, order = ordering.compressed_rows(index[1], index[0], (nodes, nodes), kind)
        merged = _summed(Weights(pointers, columns, values[order]), np.arange(nodes), nodes)
        turned = _turned(merged)
        same = np.array_equal(turned.pointers, merged.pointers) and np.array_equal(turned.columns, merged.columns)
        limit = ROUNDING * merged.values.max(initial=0)
        undirected(same and bool(np.abs(turned.values - merged.values).max(initial=0) <= limit))
        return Weights(merged.pointers, merged.columns, _mean(merged, turned)), edges.index.device


def contracted(weights: Weights, cluster: np.ndarray, clusters: int) -> Weights:
    """Return the weights between clusters, the same in both directions to the last bit.

    Args:
        weights: between nodes.
        cluster: of each node, ``[nodes]``.
        clusters: how many there are.
    """
    turned = _turned(_summed(weights, cluster, clusters))  # turned once and again, the columns of a row are sorted
    back = _turned(turned)
    return Weights(back.pointers, back.columns, _mean(back, turned))


def _mean(one: Weights, other: Weights) -> np.ndarray:
    """Return the mean of both directions, which is symmetric in whatever order the sums were taken."""
    return (one.values + other.values) / 2


def _turned(weights: Weights) -> Weights:
    pointers, columns, order = ordering.transposed_rows(weights.pointers, weights.columns, weights.nodes)
    return Weights(pointers, columns, weights.values[order])


def _summed(weights: Weights, cluster: np.ndarray, clusters: int) -> Weights:
    """Return the weights between clusters, the columns of a row in the order of first sight."""
    starts, members, seen = _members(cluster, clusters), np.argsort(cluster, kind="stable"), np.full(clusters, -1)
    pointers = np.zeros(clusters + 1, weights.pointers.dtype)
    columns, values = np.empty_like(weights.columns), np.empty_like(weights.values)
    rows = weights.pointers, weights.columns, weights.values
    matching.contract(0, clusters, starts, members, cluster, *rows, seen, pointers, columns, values)
    return Weights(pointers, columns[: pointers[-1]], values[: pointers[-1]])


def _members(cluster: np.ndarray, clusters: int) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(np.bincount(cluster, minlength=clusters))))


def edges_of_weights(
    weights: Weights, device: torch.device, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Return ``edge_index`` ``[2, edges]`` and ``edge_weight`` ``[edges]``."""
    index = torch.from_numpy(np.stack([weights.columns.astype(np.int64), weights.rows]))
    return index.to(device), torch.from_numpy(weights.values).to(device, dtype)


def coarse_graph(
    edge_index: Any,
    cluster: Tensor,
    edge_weight: Tensor | None = None,
    *,
    num_clusters: int | None = None,
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
        return edges_of_weights(contracted(weights, to_numpy(cluster).astype(np.int64), count), device, dtype)

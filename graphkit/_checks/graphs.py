"""Graphs: edges, their weights, clusters of nodes, spectra."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from graphkit._checks.tensors import integer_vector, min_and_max, tensor, to_numpy
from graphkit._checks.values import at_least, integer_between, member

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


MAX_NODES = 2**40
"""Nodes, or clusters, beyond which no machine has room for a number of each."""


class GraphWarning(UserWarning):
    """A graph is not what a model is made for, which computes all the same."""


def node_count(num_nodes: int | tuple[int, int] | None) -> None:
    """Refuse what is no number of nodes, nor one of source and one of target nodes."""
    if num_nodes is None:
        return
    given = num_nodes if isinstance(num_nodes, tuple) else (num_nodes, num_nodes)
    if len(given) != 2:
        raise ValueError(f"`num_nodes` must be one number or a pair, of source and target nodes, got {num_nodes!r}.")
    for count in given:
        if at_least("num_nodes", count, 0) > MAX_NODES:
            raise ValueError(f"`num_nodes` must be at most 2**40, for which no memory has room, got {count:,}.")


def node_ids(argument: str, nodes: Tensor, num_nodes: int) -> None:
    """Require ids of nodes that are there, ``[ids]`` of integers."""
    if nodes.is_floating_point() or nodes.is_complex() or nodes.dim() != 1:
        raise ValueError(f"`{argument}` must be integers of shape [ids], got {nodes.dtype} {list(nodes.shape)}.")
    wrong = nodes[(nodes < 0) | (nodes >= num_nodes)]
    if len(wrong):
        raise ValueError(f"`{argument}` must hold node ids from 0 to {num_nodes - 1:,}, got {int(wrong[0]):,}.")


def node_counts(argument: str, counts: Tensor) -> None:
    """Refuse what does not hold one count for each node, an integer of 0 or more."""
    if tensor(argument, counts).is_floating_point() or counts.is_complex():
        raise TypeError(f"`{argument}` must hold integers, got {counts.dtype}.")
    if counts.dim() != 1 or min_and_max(counts)[0] < 0:
        raise ValueError(f"`{argument}` must hold one number of 0 or more for each node, got {list(counts.shape)}.")


def edge_index_shape(edge_index: Tensor) -> None:
    """Refuse what is no ``[2, edges]`` of integers."""
    import torch

    if tensor("edge_index", edge_index).dtype not in (torch.int64, torch.int32):
        raise TypeError(
            f"`edge_index` must hold integers (torch.int64), got {edge_index.dtype}; convert it with "
            "`edge_index.long()` if its values are node ids."
        )
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise ValueError(f"`edge_index` must have shape [2, edges], got {list(edge_index.shape)}.")


def edge_index_in_range(edge_index: Tensor, num_nodes: int | tuple[int, int] | None) -> tuple[int, int]:
    """Return the numbers of source and target nodes, or refuse an ``edge_index`` that does not fit them.

    Raises:
        TypeError: where ``edge_index`` does not hold integers.
        ValueError: for another shape than ``[2, edges]``, and for ids below 0 or beyond ``num_nodes``.
    """
    import torch

    edge_index_shape(edge_index)
    given = num_nodes if num_nodes is None or isinstance(num_nodes, tuple) else (num_nodes, num_nodes)
    if edge_index.shape[1] == 0:
        return given or (0, 0)
    if edge_index.device.type == "cpu":
        ids = to_numpy(edge_index)
        lowest, highest = ids.min(axis=1).tolist(), ids.max(axis=1).tolist()
    else:
        lowest, highest = torch.stack(edge_index.detach().aminmax(dim=1)).tolist()
    if min(lowest) < 0:
        raise ValueError(f"`edge_index` must hold node ids from 0 upwards, got {min(lowest)}.")
    if max(highest) >= MAX_NODES:
        raise ValueError(f"`edge_index` has node {max(highest):,}, but no memory has room for so many.")
    sizes = given or (max(highest) + 1, max(highest) + 1)
    for end, top, size in zip(("source", "target"), highest, sizes, strict=True):
        if top >= size:
            raise ValueError(
                f"`edge_index` has {end} node {top}, but there are only {size} {end} nodes (0 to {size - 1})."
            )
    return sizes


def sources_in_range(sources: np.ndarray, num_nodes: int) -> None:
    """Refuse edges out of nodes that are not there, as a damaged file has them."""
    low, high = min_and_max(sources)
    if low < 0 or high >= num_nodes:
        raise ValueError(
            f"`edge_index` has an edge from node {low if low < 0 else high}, but nodes go from 0 to {num_nodes - 1}; a "
            "stored graph is damaged then: `stored(folder, verify=True)` compares its checksums."
        )


def valid_indptr(argument: str, pointers: np.ndarray | Tensor, rows: int, entries: int) -> None:
    """Refuse pointers of compressed rows that do not lead from 0 to the number of entries without a step back."""
    integer_vector(argument, pointers)
    if not len(pointers) or len(pointers) != rows + 1:
        raise ValueError(
            f"`{argument}` must have {max(rows, 0) + 1:,} numbers, one more than rows, got {len(pointers):,}."
        )
    first, last = int(pointers[0]), int(pointers[-1])
    if first != 0 or last != entries or bool((pointers[1:] < pointers[:-1]).any()):
        raise ValueError(
            f"`{argument}` must rise from 0 to {entries:,}, the number of entries, got "
            f"{'a step back' if (first, last) == (0, entries) else f'{first:,} to {last:,}'}."
        )


def one_value_per_edge(argument: str, values: Tensor | None, edges: int) -> None:
    """Refuse edge values whose first axis is not the number of edges, or weights with further axes."""
    if values is None:
        return
    if tensor(argument, values).dim() == 0 or values.shape[0] != edges:
        raise ValueError(f"`{argument}` must have one value per edge ({edges:,}), got {list(values.shape)}.")
    if argument == "edge_weight" and values.numel() != edges:
        raise ValueError(f"`edge_weight` must have shape [edges] = [{edges}], got {list(values.shape)}.")


FLOWS = ("source_to_target", "target_to_source")


def message_flow(flow: str) -> None:
    """Refuse any other direction of messages than PyG's two."""
    if not isinstance(flow, str) or flow not in FLOWS:
        member("flow", flow, FLOWS)


def undirected(symmetric: bool) -> None:
    """Refuse a graph whose edges do not have the same weight in both directions."""
    if not symmetric:
        raise ValueError(
            "`edge_index` must be undirected, every edge in both directions with one weight; "
            "use `--undirected`, or torch_geometric.utils.to_undirected."
        )


def finite_weights(values: Tensor | None) -> None:
    """Refuse edge weights that are infinite or NaN."""
    if values is not None and not bool(values.detach().isfinite().all()):
        raise ValueError("`edge_weight` must be finite, but some weights are NaN or infinite; leave such edges out.")


def nonnegative_edge_weights(values: np.ndarray) -> None:
    """Refuse weights that cannot say how near two nodes are: negative, infinite or NaN."""
    import numpy as np

    if not np.isfinite(values).all():
        raise ValueError("`edge_weight` must be finite, but some weights are NaN or infinite.")
    if values.size and values.min() < 0:
        raise ValueError(f"`edge_weight` must be 0 or above to cluster by, got {values.min():.4g}.")


def laplacian_weights(values: Tensor) -> bool:
    """Return true, or refuse edge weights that give a Laplacian no frequencies: negative, infinite or NaN."""
    finite_weights(values)
    values = values.detach()
    if values.numel() and float(values.min()) < 0:
        raise ValueError(
            f"`edge_weight` must be 0 or above for a Laplacian to have frequencies, got {float(values.min()):.4g}; "
            "leave negative edges out: signed graphs need a signed Laplacian."
        )
    return True


def degree_weights(values: Tensor) -> None:
    """Refuse edge weights below 0 where nodes are scaled by the roots of their degrees, which are sums of weights."""
    if values.numel() and float(values.min()) < 0:
        raise ValueError(
            f"`edge_weight` must be 0 or above, got {float(values.min()):.4g}: what is learnt is scaled by the root of "
            "a node's degree, its sum of weights; leave negative edges out, or write the loop with a signed layer."
        )


def nonnegative_degrees(degree: Tensor) -> None:
    """Refuse degrees below 0, of which a symmetric normalisation takes roots."""
    if degree.numel() and float(degree.min()) < 0:
        node = int(degree.argmin())
        raise ValueError(
            f"`edge_weight` must give every node a degree of 0 or above, whose root divides, but node {node} has "
            f"{float(degree[node]):.4g}; leave negative edges out, or take no symmetric normalisation."
        )


def batch_vector(argument: str, batch: Tensor | None, nodes: int) -> None:
    """Refuse what does not give each node the number of its graph; numbers themselves are looked at where they lie."""
    if batch is None:
        return
    if tensor(argument, batch).is_floating_point() or batch.is_complex() or batch.dtype.itemsize < 4:
        raise TypeError(f"`{argument}` must hold integers, got {batch.dtype}.")
    if batch.shape != (nodes,):
        raise ValueError(f"`{argument}` must have shape [nodes] = [{nodes}], got {list(batch.shape)}.")


def scalar_or_per_graph(argument: str, value: Tensor, batch: Tensor | None) -> None:
    """Refuse another shape than one number, or one for each graph of a ``batch`` that is given."""
    fits = value.numel() == 1 or (batch is not None and value.dim() == 1 and len(value) >= min(1, len(batch)))
    if not fits:
        raise ValueError(
            f"`{argument}` must be one number, or [graphs] numbers beside `batch`, got {list(value.shape)}."
        )


def largest_eigenvalues(argument: str, value: Any, graphs: int = 1) -> None:
    """Refuse what is not the largest eigenvalue of a Laplacian, of each of so many graphs: NaN, infinite, negative."""
    import torch

    found = torch.as_tensor(value).detach().reshape(-1)
    if 1 < len(found) < graphs:
        raise ValueError(f"`{argument}` must have a number for each of {graphs} graphs, got {len(found)}.")
    if len(found) and not bool(((found >= 0) & (found < math.inf)).all()):
        wrong = found[~((found >= 0) & (found < math.inf))][0]
        raise ValueError(f"`{argument}` must be finite and 0 or above, got {float(wrong):.4g}.")


def symmetric_operator(argument: str, symmetric: bool) -> None:
    """Refuse an operator that does not equal its transpose, where frequencies are asked for."""
    if not symmetric:
        raise ValueError(
            f"`{argument}` must be symmetric to have frequencies; make the graph undirected (`--undirected`, or "
            "torch_geometric.utils.to_undirected) and do not take normalization='rw'."
        )


def eigenvalue_in_range(found: float, largest: float) -> None:
    """Refuse an operator with an eigenvalue beyond the interval on which polynomials stand for the kernels."""
    if found > largest * (1 + 1e-3):
        raise ValueError(
            f"`operator` has the eigenvalue {found:.4g}, but the bank was made for [0, {largest:.4g}]; make it with "
            f"`largest={found * 1.001:.4g}` or more, or normalise the Laplacian."
        )


def same_graph(argument: str, parameters: int, nodes: int, same: bool) -> None:
    """Refuse a graph other than the one that a layer's free parameters, one per node, belong to."""
    if parameters != nodes or not same:
        what = f"{nodes:,} nodes" if parameters != nodes else f"another graph of {nodes:,} nodes"
        raise ValueError(
            f"`{argument}` has {parameters:,} parameters tied to the graph it was built on and cannot be used on "
            f"{what}; choose a form that is a function of the eigenvalue, such as 'bands'."
        )


def same_graph_as_weights(layer: str, parameters: int, nodes: int, given: int, same: bool) -> None:
    """Refuse a graph other than the one whose neighbourhoods have the weights of a layer."""
    if nodes != given or not same:
        what = f"{given:,} nodes" if nodes != given else f"another graph of {nodes:,} nodes"
        raise ValueError(
            f"`{layer}` has {parameters:,} weights tied to the {nodes:,} nodes of the graph it was built on and cannot "
            f"be used on {what}; build it anew there, or take a convolution whose weights all nodes share (ChebConv)."
        )


def cluster_vector(cluster: Tensor, clusters: int | None) -> int:
    """Return the number of clusters, or refuse what does not give each node the number of its cluster.

    Raises:
        TypeError: for numbers that are not integers.
        ValueError: for another shape than ``[nodes]``, and for numbers below 0 or beyond ``clusters``.
    """
    import torch

    if clusters is not None:
        integer_between("num_clusters", clusters, 0, MAX_NODES)
    if tensor("cluster", cluster).dtype not in (torch.int64, torch.int32):
        raise TypeError(f"`cluster` must hold integers (torch.int64), got {cluster.dtype}; convert it with `.long()`.")
    if cluster.dim() != 1:
        raise ValueError(f"`cluster` must have shape [nodes], got {list(cluster.shape)}.")
    lowest, highest = (int(cluster.min()), int(cluster.max())) if cluster.numel() else (0, -1)
    if lowest < 0 or (clusters is not None and highest >= clusters):
        most = "upwards" if clusters is None else f"to {clusters - 1}"
        raise ValueError(f"`cluster` must hold numbers from 0 {most}, got {lowest if lowest < 0 else highest}.")
    return highest + 1 if clusters is None else clusters


def no_empty_cluster(cluster: Tensor, clusters: int) -> None:
    """Refuse numbers of clusters of which some have no node."""
    counts = cluster.bincount(minlength=clusters)
    if clusters and int(counts.min()) == 0:
        number = int((counts == 0).nonzero()[0])
        raise ValueError(f"`cluster` must use every number from 0 to {clusters - 1}, but no node has {number}.")


def clusters_within_graphs(crossing: Tensor) -> None:
    """Refuse clusters that hold nodes of two graphs; ``crossing`` is a mask over nodes."""
    if bool(crossing.any()):
        node = int(crossing.nonzero()[0])
        raise ValueError(f"`cluster` must not join nodes of two graphs of the batch, but that of node {node} does.")

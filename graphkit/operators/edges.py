"""The one border where every form of a graph becomes edges, and the cached patterns of edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.utils import to_undirected

from graphkit._checks import (
    edge_index_in_range,
    edge_index_shape,
    message_flow,
    node_count,
    not_vmapped,
    one_value_per_edge,
)
from graphkit._torch_internals import inside_transform, is_vmapped
from graphkit.operators.graph_cache import cached
from graphkit.operators.pattern import Pattern
from graphkit.operators.sparse import SparseOperator


@dataclass(frozen=True)
class Edges:
    """A graph as PyG passes it: ``edge_index`` ``[2, edges]`` from sources to targets and perhaps a weight per edge."""

    index: Tensor
    weight: Tensor | None


def edges_of(
    graph: Any,
    edge_weight: Tensor | None = None,
    *,
    flow: str = "source_to_target",
    num_nodes: int | tuple[int, int] | None = None,
) -> Edges:
    """Return the edges of a graph in any form that PyG's users pass.

    Args:
        graph: ``edge_index`` ``[2, edges]``, PyG's ``EdgeIndex``, a ``torch.sparse`` matrix (COO, CSR or CSC) whose
            rows are targets as in PyG's ``adj_t``, or a ``SparseOperator``.
        edge_weight: ``[edges]``, only beside an ``edge_index``: a matrix has its own values.
        flow: ``"target_to_source"`` exchanges the ends of an ``edge_index``; a matrix cannot be exchanged so.
        num_nodes: number of nodes, or of source and target nodes, which a matrix must have; anything when left out.

    Raises:
        ValueError: for weights beside a matrix, a matrix with ``flow="target_to_source"`` or of another size.
        TypeError: for anything else than a graph.
    """
    message_flow(flow)
    node_count(num_nodes)
    if isinstance(graph, Tensor) and graph.layout == torch.strided:
        not_vmapped("edge_index", inside_transform() and is_vmapped(graph))
        edge_index_shape(graph)
        index = graph if type(graph) is Tensor or not hasattr(graph, "as_tensor") else graph.as_tensor()
        one_value_per_edge("edge_weight", edge_weight, index.shape[-1])
        if flow == "target_to_source":
            index = cached(lambda: index.flip(0), "flipped", index)
        return Edges(index, edge_weight)
    if not isinstance(graph, Tensor | SparseOperator):
        raise TypeError(
            "`edge_index` must be a tensor [2, edges], a torch.sparse matrix or a SparseOperator, "
            f"got {type(graph).__name__}."
        )
    if edge_weight is not None:
        raise ValueError("`edge_weight` cannot stand beside a sparse matrix, which has its own values.")
    if flow == "target_to_source":
        raise ValueError(
            "`flow='target_to_source'` is invalid for message propagation via a sparse matrix; pass its transpose "
            "and keep `flow='source_to_target'`."
        )
    sources, targets = (num_nodes, num_nodes) if isinstance(num_nodes, int) else num_nodes or graph.shape[:2][::-1]
    if tuple(graph.shape[:2]) != (targets, sources):
        raise ValueError(
            f"`edge_index` is a matrix of {graph.shape[0]} x {graph.shape[1]}, but there are {targets} target and "
            f"{sources} source nodes."
        )
    if isinstance(graph, Tensor) and graph.requires_grad:
        return _edges_of_operator(SparseOperator.from_torch(graph))
    if isinstance(graph, SparseOperator):
        traced = torch.compiler.is_compiling()
        index = graph.edge_index() if traced else cached(graph.edge_index, "edges", graph.pattern)
        return Edges(index, graph._store.values)
    return cached(lambda: _edges_of_operator(SparseOperator.from_torch(graph)), "edges", graph)


def _edges_of_operator(operator: SparseOperator) -> Edges:
    return Edges(operator.edge_index(), operator._store.values)


def pattern_of(edge_index: Tensor, num_nodes: int | tuple[int, int]) -> Pattern:
    """Return the cached pattern of the edges ``[2, edges]`` as they are: entry (i, j) for each edge j -> i."""

    def build() -> Pattern:
        sources, targets = edge_index_in_range(edge_index, num_nodes)
        return Pattern.from_coo(edge_index[1], edge_index[0], (targets, sources))

    return cached(build, ("pattern", num_nodes), edge_index)


def pattern_with_loops(edge_index: Tensor, num_nodes: int | tuple[int, int], *, loops: str) -> Pattern:
    """Return the cached pattern of the edges with exactly one self-loop at every node, or with none.

    The pattern's ``order`` points into the list of all edge values followed by one value per node, for the loops.

    Args:
        edge_index: ``[2, edges]``.
        num_nodes: number of nodes, or of source and target nodes, where node k is the same on both sides for as many
            as both sides have.
        loops: ``"none"``, ``"new"`` (a loop the graph has already is dropped for the new one) or ``"own"`` (it takes
            its value from the edge list; the last one, where there are several).
    """

    def build() -> Pattern:
        sources, targets = edge_index_in_range(edge_index, num_nodes)
        source, target = edge_index.detach().long()
        loop = source == target
        others, own = (~loop).nonzero().squeeze(1), loop.nonzero().squeeze(1)
        nodes = torch.arange(0 if loops == "none" else min(sources, targets), device=edge_index.device)
        added = len(source) + nodes
        if loops == "own":
            last = torch.full_like(nodes, -1).scatter_reduce(0, source[own], own, "amax")
            added = torch.where(last < 0, added, last)
        rows, columns = (torch.cat((end[others], nodes)) for end in (target, source))
        pattern = Pattern.from_coo(rows, columns, (targets, sources))
        order = torch.cat((others, added))
        order = order.index_select(0, pattern._perm)
        return Pattern._from_csr(pattern._indptr, pattern._indices, order, pattern.shape)

    return cached(build, ("looped", num_nodes, loops), edge_index)


def with_both_ways(edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int) -> tuple[Tensor, Tensor | None]:
    """Return every edge in both directions, once, with the mean of the weights of those that it is made of.

    Example:
        >>> with_both_ways(torch.tensor([[0], [1]]), torch.tensor([2.0]), 2)
        (tensor([[0, 1],
                [1, 0]]), tensor([2., 2.]))
    """
    if edge_weight is None:
        return to_undirected(edge_index, num_nodes=num_nodes), None
    both: tuple[Tensor, Tensor] = to_undirected(edge_index, edge_weight, num_nodes=num_nodes, reduce="mean")
    return both

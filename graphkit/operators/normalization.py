"""Adjacencies scaled by degrees: the symmetric one of GCN, and the mean over neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphkit._checks import at_least, flag, floating_dtype, nonnegative_degrees, one_value_per_edge
from graphkit._torch_internals import inside_transform
from graphkit.operators.autograd import is_cacheable
from graphkit.operators.edges import edges_of, pattern_of, pattern_with_loops
from graphkit.operators.graph_cache import cached
from graphkit.operators.pattern import Pattern
from graphkit.operators.products import columns_to_entries, row_sums, rows_to_entries
from graphkit.operators.sparse import SparseOperator


def gcn_adjacency(
    graph: Any,
    edge_weight: Tensor | None = None,
    *,
    num_nodes: int,
    improved: bool = False,
    add_self_loops: bool = True,
    normalize: bool = True,
    flow: str = "source_to_target",
    dtype: torch.dtype = torch.float32,
) -> SparseOperator:
    r"""Return :math:`\hat D^{-1/2} \hat A \hat D^{-1/2}` with :math:`\hat A = A + I`, cached with the graph.

    A self-loop that the graph has already keeps its weight and gets no second one. Degrees are row sums (weights of
    incoming edges); a node of degree 0 gets zeros. Gradients flow to ``edge_weight``.

    Args:
        graph: any form that ``edges_of`` takes.
        edge_weight: ``[edges]``; ones when left out.
        num_nodes: number of nodes.
        improved: :math:`\hat A = A + 2I` instead.
        add_self_loops: whether :math:`I` is added at all.
        normalize: whether the degrees divide.
        flow: direction of the messages along an ``edge_index``.
        dtype: type of the values.

    Returns:
        The operator ``[num_nodes, num_nodes]``.

    Raises:
        ValueError: where the degree of a node is negative and divides: PyG's root of it is NaN.

    Source: Kipf & Welling (2017), arXiv:1609.02907, equation 2; PyG's ``gcn_norm`` for loops and ``improved``. Unlike
    PyG, a dense list of edges and a sparse matrix with the same loops give the same result.

    Example:
        >>> path = torch.tensor([[0, 1], [1, 0]])
        >>> gcn_adjacency(path, num_nodes=2, dtype=torch.float64).to_dense().round(decimals=6).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    for name, value in (("improved", improved), ("add_self_loops", add_self_loops), ("normalize", normalize)):
        flag(name, value)
    floating_dtype("dtype", dtype)
    at_least("num_nodes", num_nodes, 0)
    edges = edges_of(graph, edge_weight, flow=flow, num_nodes=num_nodes)

    def build() -> SparseOperator:
        if add_self_loops:
            pattern = pattern_with_loops(edges.index, num_nodes, loops="own")
            loop = torch.full((num_nodes,), 2.0 if improved else 1.0, dtype=dtype, device=edges.index.device)
            values = entry_values(pattern, edges.weight, edges.index.shape[1], loop)
        else:
            pattern = pattern_of(edges.index, num_nodes)
            values = entry_values(pattern, edges.weight, edges.index.shape[1], dtype=dtype)
        return SparseOperator._wrap(pattern, scale_by_degree(pattern, values, "sym" if normalize else "none"))

    return cached_operator(
        build, ("gcn", num_nodes, improved, add_self_loops, normalize, dtype), edges.index, edges.weight
    )


def mean_adjacency(
    graph: Any, *, num_nodes: int | tuple[int, int], flow: str = "source_to_target", dtype: torch.dtype = torch.float32
) -> SparseOperator:
    """Return the operator that averages over incoming edges, weights ignored; a node without any gets 0.

    Args:
        graph: any form that ``edges_of`` takes.
        num_nodes: number of nodes, or of source and target nodes.
        flow: direction of the messages along an ``edge_index``.
        dtype: type of the values.

    Example:
        >>> mean_adjacency(torch.tensor([[0, 1], [2, 2]]), num_nodes=3).to_dense()[2].tolist()
        [0.5, 0.5, 0.0]
    """
    floating_dtype("dtype", dtype)
    edges = edges_of(graph, flow=flow, num_nodes=num_nodes)

    def build() -> SparseOperator:
        pattern = pattern_of(edges.index, num_nodes)
        counts = pattern._indptr.diff().clamp(min=1).to(dtype)
        return SparseOperator._wrap(pattern, counts.reciprocal().index_select(0, pattern.rows()))

    return cached_operator(build, ("mean", num_nodes, dtype), edges.index)


def walk_adjacency(
    graph: Any,
    edge_weight: Tensor | None = None,
    *,
    num_nodes: int,
    flow: str = "source_to_target",
    dtype: torch.dtype = torch.float32,
) -> SparseOperator:
    """Return the operator that averages over incoming edges by their weights; a node without any gets 0.

    Args:
        graph: any form that ``edges_of`` takes.
        edge_weight: ``[edges]``; ones when left out. Gradients flow to it.
        num_nodes: number of nodes.
        flow: direction of the messages along an ``edge_index``.
        dtype: type of the values.

    Example:
        >>> edges, weight = torch.tensor([[0, 1], [2, 2]]), torch.tensor([1.0, 3.0])
        >>> walk_adjacency(edges, weight, num_nodes=3).to_dense()[2].tolist()
        [0.25, 0.75, 0.0]
    """
    floating_dtype("dtype", dtype)
    at_least("num_nodes", num_nodes, 0)
    edges = edges_of(graph, edge_weight, flow=flow, num_nodes=num_nodes)

    def build() -> SparseOperator:
        pattern = pattern_of(edges.index, num_nodes)
        values = entry_values(pattern, edges.weight, edges.index.shape[1], dtype=dtype)
        return SparseOperator._wrap(pattern, scale_by_degree(pattern, values, "rw"))

    return cached_operator(build, ("walk", num_nodes, dtype), edges.index, edges.weight)


def sum_adjacency(graph: Any, *, num_nodes: int | tuple[int, int], flow: str = "source_to_target") -> SparseOperator:
    """Return the operator that sums over incoming edges, weights ignored: the 0/1 adjacency with its duplicates.

    Args:
        graph: any form that ``edges_of`` takes.
        num_nodes: number of nodes, or of source and target nodes.
        flow: direction of the messages along an ``edge_index``.

    Example:
        >>> sum_adjacency(torch.tensor([[0, 1, 1], [2, 2, 2]]), num_nodes=3).to_dense()[2].tolist()
        [1.0, 2.0, 0.0]
    """
    edges = edges_of(graph, flow=flow, num_nodes=num_nodes)
    return cached_operator(
        lambda: SparseOperator._wrap(pattern_of(edges.index, num_nodes), None), ("sum", num_nodes), edges.index
    )


def entry_values(
    pattern: Pattern,
    edge_values: Tensor | None,
    edges: int,
    loop_values: Tensor | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return the value of each of the pattern's entries, ``[entries]``, from those of the edges and of the loops.

    Args:
        pattern: made by ``pattern_of`` or ``pattern_with_loops``.
        edge_values: ``[edges]`` or ``[edges, 1]``; ones when left out.
        edges: number of edges.
        loop_values: ``[nodes]``, for a pattern with loops; their type is the result's where ``dtype`` is left out.
        dtype: type of the result.
    """
    if loop_values is not None:
        dtype = dtype or loop_values.dtype
        edge_values = loop_values.new_ones(edges) if edge_values is None else edge_values.reshape(edges)
        edge_values = torch.cat((edge_values.to(dtype), loop_values.to(dtype)))
    elif edge_values is None:
        return torch.ones(pattern.entries, dtype=dtype, device=pattern.device)
    return edge_values.reshape(-1).to(dtype).index_select(0, pattern._perm)


def inverse_power(degree: Tensor, power: float) -> Tensor:
    """Return ``degree ** -power`` with 0 where the degree is 0; its gradient there is 0 too, not NaN."""
    empty = degree == 0
    return torch.where(empty, 0, torch.where(empty, 1, degree) ** -power)


def scale_by_degree(pattern: Pattern, values: Tensor, kind: str) -> Tensor:
    """Return the values divided by row sums: both ends' roots (``"sym"``), the row's (``"rw"``) or not (``"none"``)."""
    if kind == "none":
        return values
    degree = row_sums(pattern, values)
    if kind == "rw":
        return values * rows_to_entries(pattern, inverse_power(degree, 1.0))
    if not inside_transform() and (is_cacheable(degree) or degree.device.type == "cpu"):  # else to look is to wait
        nonnegative_degrees(degree.detach())
    scale = inverse_power(degree, 0.5)
    # The scales are multiplied first: their product is the same at (i, j) and (j, i), to the last bit.
    return values * (rows_to_entries(pattern, scale) * columns_to_entries(pattern, scale))


def cached_operator(
    build: Callable[[], SparseOperator], form: tuple[Any, ...], edge_index: Tensor, *others: Tensor | None
) -> SparseOperator:
    """Return the operator, cached with ``edge_index`` unless a gradient flows to its weights; then only its pattern is.

    ``form`` is everything but tensors that it depends on; ``others`` are the edge weights, and further tensors.
    """
    if others:
        one_value_per_edge("edge_weight", others[0], edge_index.shape[-1])
    if not all(is_cacheable(other) for other in others):
        return build()

    def without_gradient() -> SparseOperator:
        with torch.no_grad():
            return build()

    return cached(without_gradient, form, edge_index, *others)._shared_copy()

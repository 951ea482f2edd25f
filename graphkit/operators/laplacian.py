"""Graph Laplacians, bounds on their spectra, and the rescaling that Chebyshev polynomials need."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor

from graphkit._checks import (
    at_least,
    batch_vector,
    edge_index_in_range,
    finite_weights,
    floating_dtype,
    instance,
    laplacian_weights,
    member,
    number,
    positive,
)
from graphkit._torch_internals import inside_transform
from graphkit.operators.autograd import is_cacheable, outside_transforms
from graphkit.operators.edges import edges_of, pattern_with_loops
from graphkit.operators.normalization import cached_operator, entry_values, inverse_power, scale_by_degree
from graphkit.operators.products import row_sums, rows_to_entries
from graphkit.operators.sparse import Degrees, SparseOperator

NORMALIZATIONS = ("none", "sym", "rw")

DENSE_NODES = 256
"""Graphs up to this size have their largest eigenvalue taken from a dense matrix."""


def laplacian(
    edge_index: Any,
    edge_weight: Tensor | None = None,
    num_nodes: int | None = None,
    *,
    normalization: str | None = None,
    isolated: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> SparseOperator:
    r"""Return the Laplacian :math:`L` of a graph, cached with it; self-loops are left out.

    ========  ==============================================
    ``None``  combinatorial, :math:`D - A`
    ``sym``   symmetric, :math:`I - D^{-1/2} A D^{-1/2}`
    ``rw``    random-walk, :math:`I - D^{-1} A`
    ========  ==============================================

    :math:`A_{ij}` is the weight of edge j -> i and :math:`D` its row sums, so that rows of the first and the last sum
    to 0 on directed graphs also. On a directed graph the symmetric one is not a symmetric matrix. An isolated node has
    the diagonal ``isolated``: with 0 every connected component has the eigenvalue 0 once, as in Chung, SciPy and
    NetworkX; PyG writes 1 there.

    Args:
        edge_index: any form that ``edges_of`` takes.
        edge_weight: ``[edges]``, 0 or above; ones when left out. Gradients flow to it.
        num_nodes: number of nodes; the largest id plus one when left out.
        normalization: ``None``, ``"sym"`` or ``"rw"``.
        isolated: diagonal of an isolated node under ``"sym"`` and ``"rw"``.
        dtype: type of the values.

    Returns:
        The operator ``[num_nodes, num_nodes]`` with every diagonal entry stored; it knows the graph's degrees.

    Raises:
        ValueError: for an unknown normalisation, and weights that are negative, infinite or NaN.

    Source: Chung (1997), Spectral Graph Theory, section 1.2. PyG 2.8.1's ``get_laplacian`` sums outgoing weights
    instead, so that its ``rw`` applied to a signal is the transpose.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> laplacian(path).to_dense().tolist()
        [[1.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 1.0]]
    """
    kind = _check_normalization(normalization)
    number("isolated", isolated)
    floating_dtype("dtype", dtype)
    edges = edges_of(edge_index, edge_weight, num_nodes=num_nodes)
    if num_nodes is None:
        with outside_transforms():
            given = edge_index.shape[0] if edges.index is not edge_index else None
            num_nodes = edge_index_in_range(edges.index, given)[0]

    def build() -> SparseOperator:
        if edges.weight is not None and not inside_transform():
            laplacian_weights(edges.weight)
        return _build_laplacian(edges.index, edges.weight, num_nodes, kind, isolated, dtype)

    return cached_operator(build, ("laplacian", num_nodes, kind, isolated, dtype), edges.index, edges.weight)


def _check_normalization(normalization: str | None) -> str:
    """Return the name of a normalisation, or refuse it."""
    return member("normalization", "none" if normalization is None else normalization, NORMALIZATIONS)


def _check_largest(largest: Tensor | float | None, batch: Tensor | None) -> None:
    """Refuse what is no largest eigenvalue, nor one for each graph."""
    if largest is None:
        return
    if not isinstance(largest, Tensor):
        if number("largest", largest) < 0:
            raise ValueError(f"`largest` must be 0 or above, got {largest!r}.")
    elif largest.is_complex() or largest.dim() > 1 or not 1 <= largest.numel() <= (1 if batch is None else len(batch)):
        graphs = "one number" if batch is None else "one number, or one for each graph of the batch"
        raise ValueError(f"`largest` must be {graphs}, got {largest.dtype} {list(largest.shape)}.")


def _build_laplacian(
    edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int, kind: str, isolated: float, dtype: torch.dtype
) -> SparseOperator:
    """Return the Laplacian, whatever the weights."""
    pattern = pattern_with_loops(edge_index, num_nodes, loops="new")
    nothing = torch.zeros(num_nodes, dtype=dtype, device=edge_index.device)
    weights = entry_values(pattern, edge_weight, edge_index.shape[1], nothing)
    degree = row_sums(pattern, weights)
    weights = scale_by_degree(pattern, weights, kind)
    diagonal = degree if kind == "none" else torch.where(degree == 0, isolated, torch.ones_like(degree))
    on_diagonal = pattern.rows() == pattern._indices
    values = torch.where(on_diagonal, rows_to_entries(pattern, diagonal), -weights)
    return SparseOperator._wrap(pattern, values, Degrees(kind, degree.detach()))


def rescaled_laplacian(
    edge_index: Any,
    edge_weight: Tensor | None = None,
    *,
    num_nodes: int,
    normalization: str | None = "sym",
    largest: Tensor | float | None = None,
    batch: Tensor | None = None,
    flow: str = "source_to_target",
    dtype: torch.dtype = torch.float32,
) -> SparseOperator:
    r"""Return :math:`2 L / \lambda_{max} - I`, whose spectrum lies in [-1, 1], cached with the graph.

    An isolated node has :math:`L_{ii} = 1` under ``"sym"`` and ``"rw"`` here, as in PyG: Chebyshev terms of odd order
    leave it out.

    Args:
        edge_index: any form that ``edges_of`` takes.
        edge_weight: ``[edges]``; ones when left out. Gradients flow to it. Negative ones are taken, as PyG takes them,
            while no degree is negative under ``"sym"``; the spectrum may then leave [-1, 1].
        num_nodes: number of nodes.
        normalization: ``None``, ``"sym"`` or ``"rw"``.
        largest: largest eigenvalue, of all graphs or of each, ``[graphs]``. Left out: 2 with a normalisation, and twice
            the largest degree of each graph without.
        batch: graph of each node, ``[nodes]``; one graph when left out.
        flow: direction of the messages along an ``edge_index``.
        dtype: type of the values.

    Raises:
        ValueError: for weights that are infinite or NaN, a ``batch`` of another length, and under ``"sym"`` for a node
            whose degree is negative: PyG's root of it is NaN.

    Source: Defferrard, Bresson & Vandergheynst (2016), arXiv:1606.09375, section 2.1. PyG 2.8.1 takes twice the largest
    entry of the whole batch, so that a graph's result depends on its batch mates.

    Example:
        >>> edge = torch.tensor([[0, 1], [1, 0]])  # its Laplacian's eigenvalues are 0 and 2, here -1 and 1
        >>> rescaled_laplacian(edge, num_nodes=2).to_dense().tolist()
        [[0.0, -1.0], [-1.0, 0.0]]
    """
    kind = _check_normalization(normalization)
    floating_dtype("dtype", dtype)
    at_least("num_nodes", num_nodes, 0)
    batch_vector("batch", batch, num_nodes)
    _check_largest(largest, batch)
    edges = edges_of(edge_index, edge_weight, flow=flow, num_nodes=num_nodes)
    plain = kind != "none" and largest is None

    def build() -> SparseOperator:
        if not inside_transform():
            finite_weights(edges.weight)
        if plain:  # 2 L / 2 - I: the diagonal vanishes, and is not stored
            pattern = pattern_with_loops(edges.index, num_nodes, loops="none")
            weights = entry_values(pattern, edges.weight, edges.index.shape[1], dtype=dtype)
            return SparseOperator._wrap(pattern, -scale_by_degree(pattern, weights, kind))
        operator = _build_laplacian(edges.index, edges.weight, num_nodes, kind, 1.0, dtype)
        pattern = operator.pattern
        scale = eigenvalue_bound(operator, batch) if largest is None else torch.as_tensor(largest, dtype=dtype)
        if batch is not None and scale.numel() > 1:
            scale = scale.index_select(0, batch)
        scale = 2 * inverse_power(scale.to(edges.index.device).reshape(-1), 1.0).expand(num_nodes)
        on_diagonal = (pattern.rows() == pattern._indices).to(dtype)
        return SparseOperator._wrap(
            pattern, operator._store.dense_values() * rows_to_entries(pattern, scale) - on_diagonal
        )

    given = largest if isinstance(largest, Tensor) else None
    if not is_cacheable(given):
        return build()
    form = ("rescaled", num_nodes, kind, None if given is not None else largest, dtype)
    return cached_operator(build, form, edges.index, edges.weight, given, batch)


def eigenvalue_bound(laplacian: SparseOperator, batch: Tensor | None = None) -> Tensor:
    r"""Return :math:`\max_i (L_{ii} + \sum_{j \ne i} |L_{ij}|)` for each graph, an upper bound on its eigenvalues.

    For a combinatorial Laplacian with positive weights this is twice the largest degree. It depends on no other graph
    of the batch.

    Args:
        laplacian: ``[nodes, nodes]``.
        batch: graph of each node, ``[nodes]``; one graph when left out.

    Returns:
        ``[graphs]``; 0 for a graph without edges.

    Source: Gershgorin's circles.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])  # its largest eigenvalue is 3
        >>> eigenvalue_bound(laplacian(path)).tolist()
        [4.0]
    """
    instance("laplacian", laplacian, SparseOperator, "a SparseOperator")
    batch_vector("batch", batch, laplacian.shape[0])
    radii = row_sums(laplacian.pattern, laplacian._store.dense_values().abs())
    if batch is None:
        batch = torch.zeros(len(radii), dtype=torch.long, device=radii.device)
    graphs = int(batch.max()) + 1 if batch.numel() else 1
    return radii.new_zeros(graphs).scatter_reduce(0, batch, radii, "amax")


def largest_eigenvalue(laplacian: SparseOperator, batch: Tensor | None = None, *, tolerance: float = 1e-6) -> Tensor:
    """Return the largest eigenvalue of each graph's symmetric Laplacian, ``[graphs]``.

    Small graphs are solved densely, large ones by Lanczos iteration from a fixed start, so that it is reproducible. No
    gradient flows.

    Args:
        laplacian: symmetric, ``[nodes, nodes]``; no edge may join two graphs.
        batch: graph of each node, ``[nodes]``, ascending; one graph when left out.
        tolerance: relative accuracy of the iteration.

    Raises:
        ValueError: where the operator is not symmetric.

    Example:
        >>> from graphkit.operators import laplacian
        >>> edge_index = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
        >>> largest_eigenvalue(laplacian(edge_index), torch.tensor([0, 0, 1, 1])).tolist()
        [2.0, 2.0]
    """
    instance("laplacian", laplacian, SparseOperator, "a SparseOperator")
    batch_vector("batch", batch, laplacian.shape[0])
    positive("tolerance", tolerance)
    if not laplacian.symmetric:
        raise ValueError("`laplacian` must be symmetric to have a largest eigenvalue; make the graph undirected first.")
    with outside_transforms():
        matrix = laplacian.to_scipy().astype(np.float64)
        graph = np.zeros(matrix.shape[0], int) if batch is None else batch.cpu().numpy()
    graphs = int(graph.max(initial=0)) + 1
    bounds = np.searchsorted(graph, np.arange(graphs + 1))
    largest = [_largest(matrix[a:b, a:b], tolerance) for a, b in itertools.pairwise(bounds)]
    return torch.tensor(largest, dtype=laplacian.dtype, device=laplacian.device)


def _largest(matrix: Any, tolerance: float) -> float:
    nodes = matrix.shape[0]
    if nodes == 0:
        return 0.0
    if nodes <= DENSE_NODES:
        return float(np.linalg.eigvalsh(matrix.toarray())[-1])
    start = np.random.default_rng(0).standard_normal(nodes)
    return float(eigsh(matrix, k=1, which="LA", v0=start, tol=tolerance, return_eigenvectors=False)[0])

"""The Laplacian moved and stretched so that its spectrum lies in [-1, 1], where Chebyshev polynomials live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphkit.operators.autograd import is_cacheable, outside_transforms
from graphkit.operators.edges import edges_of
from graphkit.operators.laplacian import laplacian, rescaled_laplacian
from graphkit.operators.normalization import cached_operator, inverse_power
from graphkit.operators.sparse import SparseOperator


def is_symmetric(operator: SparseOperator) -> bool:
    """Tell whether an operator is symmetric, where a gradient flows to its values too."""
    if operator.constant:
        return operator.symmetric
    values = operator._store.dense_values().detach()
    if is_cacheable(values):
        return operator.with_values(values).symmetric
    return operator.pattern.symmetric  # under a transform its numbers cannot be read


def shift_operator(operator: SparseOperator, largest: float) -> SparseOperator | Callable[[Tensor], Tensor]:
    r"""Return :math:`2L/\lambda_{max} - I`, as an operator where :math:`L` stores every diagonal entry once."""
    pattern = operator.pattern
    with outside_transforms():
        on_diagonal = pattern.rows() == pattern._indices
        full = int(on_diagonal.sum()) == pattern.shape[0] == int(pattern._indices[on_diagonal].unique().numel())
    if not full:
        return lambda v: 2 / largest * (operator @ v) - v
    values = operator._store.dense_values()
    return SparseOperator._wrap(pattern, 2 / largest * values - on_diagonal.to(values.dtype))


def shifted_laplacian(
    edge_index: Any,
    edge_weight: Tensor | None = None,
    *,
    num_nodes: int,
    normalization: str = "sym",
    flow: str = "source_to_target",
    dtype: torch.dtype = torch.float32,
) -> SparseOperator:
    r"""Return :math:`L - I` of a normalised Laplacian, cached with the graph.

    Isolated nodes have the eigenvalue 0 here, so -1 on the diagonal: wavelets of low frequency leave their signal as it
    is. Where there are none, the diagonal vanishes and is not stored.

    Args:
        edge_index: any form that ``edges_of`` takes.
        edge_weight: ``[edges]``; ones when left out. Gradients flow to it.
        num_nodes: number of nodes.
        normalization: ``"sym"`` or ``"rw"``.
        flow: direction of the messages along an ``edge_index``.
        dtype: type of the values.

    Example:
        >>> edge = torch.tensor([[0, 1], [1, 0]])
        >>> shifted_laplacian(edge, num_nodes=3).to_dense().tolist()
        [[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]]
    """
    edges = edges_of(edge_index, edge_weight, flow=flow, num_nodes=num_nodes)
    index, weight = edges.index, edges.weight

    def build() -> SparseOperator:
        whole = laplacian(index, weight, num_nodes, normalization=normalization, dtype=dtype)
        with outside_transforms():
            pattern = whole.pattern
            isolated = bool((whole._store.dense_values()[pattern.rows() == pattern._indices] == 0).any())
        if not isolated:
            return rescaled_laplacian(index, weight, num_nodes=num_nodes, normalization=normalization, dtype=dtype)
        on_diagonal = (pattern.rows() == pattern._indices).to(dtype)
        return SparseOperator._wrap(pattern, whole._store.dense_values() - on_diagonal)

    return cached_operator(build, ("shifted", num_nodes, normalization, dtype), index, weight)


def shifted_edges(
    edge_index: Tensor, weight: Tensor, num_nodes: int, normalization: str, flow: str
) -> tuple[Tensor, Tensor]:
    """Return the entries of :math:`L - I` edge by edge, ``[edges]``, and where its diagonal is -1, ``[nodes, 1]``.

    The same as :func:`shifted_laplacian` without self-loops, in operations that can be traced.
    """
    target = edge_index[1 if flow == "source_to_target" else 0]
    weight = torch.where(edge_index[0] == edge_index[1], 0, weight.flatten())
    degree = weight.new_zeros(num_nodes).index_add(0, target, weight)
    if normalization == "sym":
        root = inverse_power(degree, 0.5)
        entries = -weight * root[edge_index[0]] * root[edge_index[1]]
    else:
        entries = -weight * inverse_power(degree, 1.0)[target]
    return entries, (degree == 0).to(weight.dtype).unsqueeze(-1)

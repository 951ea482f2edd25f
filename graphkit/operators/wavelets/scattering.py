"""Geometric scattering: moments of cascades of wavelets and absolute values, for nodes and for whole graphs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit._checks import batch_vector, instance, integer_between, one_row_per_column
from graphkit.operators.laplacian import laplacian
from graphkit.operators.operand_checks import check_shape
from graphkit.operators.sparse import SparseOperator

MOST_SCALES = 24
"""Scales of diffusion wavelets at most: one more doubles the products."""

MOST_MOMENTS = 100
"""Moments at most: numbers raised to higher powers overflow."""


def lazy_random_walk(
    edge_index: Any, edge_weight: Tensor | None = None, *, num_nodes: int, dtype: torch.dtype = torch.float32
) -> SparseOperator:
    r"""Return :math:`P = \tfrac12 (I + A D^{-1})`, cached with the graph: half of what a node has stays with it.

    Columns sum to 1, so that the sum of a signal over the nodes is kept. A walker on an isolated node stays there; the
    authors' code loses half of it at each step. Self-loops are left out.

    Args:
        edge_index: any form that ``edges_of`` takes, undirected.
        edge_weight: ``[edges]``; ones when left out.
        num_nodes: number of nodes.
        dtype: type of the values.

    Source: Gao, Wolf & Hirn (2019), arXiv:1810.03068, section 3.1.

    Example:
        >>> lazy_random_walk(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3).to_dense().tolist()
        [[0.5, 0.25, 0.0], [0.5, 0.5, 0.5], [0.0, 0.25, 0.5]]
    """
    walk = laplacian(edge_index, edge_weight, num_nodes, normalization="rw", dtype=dtype).T
    on_diagonal = walk.pattern.rows() == walk.pattern._indices
    return SparseOperator._wrap(walk.pattern, on_diagonal.to(dtype) - walk._store.dense_values() / 2)


def diffusion_wavelets(walk: SparseOperator, x: Tensor, *, scales: int = 4) -> Tensor:
    r"""Return :math:`\Psi_j x` for :math:`\Psi_0 = I - P` and :math:`\Psi_j = P^{2^{j-1}} - P^{2^j}`.

    With the low-pass :math:`P^{2^J} x`, which comes last, they add up to :math:`x`.

    Args:
        walk: :math:`P`, ``[nodes, nodes]``.
        x: ``[nodes, features]``.
        scales: :math:`J`, at least 1; :math:`2^J` products are taken.

    Returns:
        ``[scales + 2, nodes, features]``: ``scales + 1`` wavelets and the low-pass.

    Source: Gao, Wolf & Hirn (2019), arXiv:1810.03068, equation 2; their code leaves out :math:`\Psi_0`.

    Example:
        >>> walk = lazy_random_walk(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> diffusion_wavelets(walk, torch.tensor([[1.0], [0.0]]), scales=1).squeeze(2).tolist()
        [[0.5, -0.5], [0.0, 0.0], [0.5, 0.5]]
    """
    instance("walk", walk, SparseOperator, "a SparseOperator")
    integer_between("scales", scales, 1, MOST_SCALES)
    one_row_per_column(x, walk.shape[1])
    parts, low = [], x
    for scale in range(scales + 1):
        further = low
        for _ in range(max(1, 2 ** (scale - 1)) if scale else 1):
            further = walk @ further
        parts.append(low - further)
        low = further
    return torch.stack([*parts, low])


def node_scattering(walk: SparseOperator, x: Tensor, *, scales: int = 4, layers: int = 2) -> Tensor:
    r"""Return :math:`x`, :math:`|\Psi_j x|` and :math:`|\Psi_{j'} |\Psi_j x||` with :math:`j < j'` at every node.

    Paths run to coarser scales only: absolute values move energy to low frequencies, so that the others hold little.

    Args:
        walk: :math:`P`, of :func:`lazy_random_walk`.
        x: ``[nodes, features]``. Gradients flow to it.
        scales: :math:`J`, at least 1.
        layers: how many wavelets a path holds at most: 0, 1 or 2.

    Returns:
        ``[nodes, paths, features]``, where ``paths`` is 1, :math:`1 + (J + 1)` or
        :math:`1 + (J + 1) + J (J + 1) / 2`.

    Source: Gao, Wolf & Hirn (2019), arXiv:1810.03068, section 3.2.

    Example:
        >>> walk = lazy_random_walk(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> node_scattering(walk, torch.tensor([[1.0], [0.0]]), scales=1).squeeze(2).tolist()
        [[1.0, 0.5, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0]]
    """
    instance("walk", walk, SparseOperator, "a SparseOperator")
    integer_between("layers", layers, 0, 2)
    integer_between("scales", scales, 1, MOST_SCALES)
    check_shape("x", x, nodes=walk.shape[1], features=None)
    paths = [x.unsqueeze(0)]
    if layers > 0:
        first = diffusion_wavelets(walk, x, scales=scales)[:-1].abs()
        paths.append(first)
    if layers > 1:
        nodes, features = x.shape
        side_by_side = first[:-1].movedim(0, 1).reshape(nodes, -1)  # one cascade for all scales of the first layer
        second = diffusion_wavelets(walk, side_by_side, scales=scales)[:-1].abs()
        second = second.view(scales + 1, nodes, scales, features)
        paths += [second[j + 1 :, :, j] for j in range(scales)]
    return torch.cat(paths).movedim(0, 1)


def graph_scattering(
    walk: SparseOperator, x: Tensor, batch: Tensor | None = None, *, scales: int = 4, layers: int = 2, moments: int = 4
) -> Tensor:
    r"""Return the moments :math:`\sum_i u_i^q`, :math:`q = 1, \dots, Q`, of every scattering path over each graph.

    They do not depend on the order of the nodes, and no parameter is learnt.

    Args:
        walk: :math:`P`, of :func:`lazy_random_walk`; no edge may join two graphs.
        x: ``[nodes, features]``. Gradients flow to it.
        batch: graph of each node, ``[nodes]``; one graph when left out.
        scales: :math:`J`, at least 1.
        layers: how many wavelets a path holds at most: 0, 1 or 2.
        moments: :math:`Q`, at least 1.

    Returns:
        ``[graphs, moments * paths * features]``, the moment running slowest and the feature fastest.

    Source: Gao, Wolf & Hirn (2019), arXiv:1810.03068, equations 3 to 5. Their code takes mean, variance, skewness and
    kurtosis instead.

    Example:
        >>> walk = lazy_random_walk(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> graph_scattering(walk, torch.tensor([[1.0], [0.0]]), scales=1, moments=2).tolist()
        [[1.0, 1.0, 0.0, 0.0, 1.0, 0.5, 0.0, 0.0]]
    """
    instance("walk", walk, SparseOperator, "a SparseOperator")
    integer_between("moments", moments, 1, MOST_MOMENTS)
    batch_vector("batch", batch, walk.shape[0])
    paths = node_scattering(walk, x, scales=scales, layers=layers).flatten(1)
    if batch is None:
        batch = torch.zeros(len(x), dtype=torch.long, device=x.device)
    graphs = int(batch.max()) + 1 if batch.numel() else 1
    powers = torch.cat([paths**q for q in range(1, moments + 1)], 1)
    return powers.new_zeros(graphs, powers.shape[1]).index_add(0, batch, powers)

"""Random changes of a graph that should not change its nodes: edges dropped, features masked, parts cut out."""

from __future__ import annotations

import numbers
from typing import Any

import torch
from torch import Tensor

from graphkit._checks import at_least, dense, edge_index_in_range, flag, random_generator, within
from graphkit.operators import SparseOperator


def kept_edges(edge_index: Tensor, p: float, *, generator: torch.Generator, undirected: bool = False) -> Tensor:
    """Return which edges stay when each is dropped with probability ``p``, a boolean mask ``[edges]``.

    Args:
        edge_index: ``[2, edges]``.
        p: in [0, 1).
        generator: draws the edges.
        undirected: whether both directions of an edge stay or go together. The published codes drop each direction by
            itself, which leaves a directed graph.

    Raises:
        ValueError: for a probability outside [0, 1), or edges of another shape or below 0.
        TypeError: for edges that are not integers, or no generator.

    Example:
        >>> ring = torch.tensor([[0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]])
        >>> kept_edges(ring, 0.5, generator=torch.Generator().manual_seed(1), undirected=True).tolist()
        [True, True, False, False, False, False]
    """
    within("p", p, 0.0, 1.0)
    edge_index_in_range(dense("edge_index", edge_index), None)
    random_generator("generator", generator)
    edges = edge_index.shape[1]
    if not flag("undirected", undirected):
        return _uniform((edges,), edge_index.device, generator) >= p
    low, high = edge_index.min(0).values, edge_index.max(0).values
    pairs, pair = torch.unique(torch.stack([low, high]), dim=1, return_inverse=True)
    return (_uniform((pairs.shape[1],), edge_index.device, generator) >= p)[pair]


def masked_features(x: Any, p: float, *, generator: torch.Generator) -> Any:
    """Return features of which each column is zeroed, for all nodes together, with probability ``p``.

    What stays is not scaled up, as in the published codes.

    Args:
        x: ``[nodes, features]``, dense or a ``SparseOperator``, which stays sparse.
        p: in [0, 1).
        generator: draws the columns.

    Raises:
        ValueError: for a probability outside [0, 1), or features of another shape.
        TypeError: for features that are not floating-point numbers, or no generator.

    Example:
        >>> masked_features(torch.ones(2, 5), 0.5, generator=torch.Generator().manual_seed(2))
        tensor([[1., 0., 1., 0., 1.],
                [1., 0., 1., 0., 1.]])
    """
    within("p", p, 0.0, 1.0)
    random_generator("generator", generator)
    keep = _uniform((node_features("x", x).size(-1),), x.device, generator) >= p
    if isinstance(x, SparseOperator):
        return x.with_values(x._store.filled() * keep[x.pattern._indices.long()])
    return x * keep


def kept_nodes(
    edge_index: Tensor, share: float, *, num_nodes: int, generator: torch.Generator, steps: int = 10
) -> Tensor:
    """Return the nodes of a part of the graph, ``[nodes]``, that random walks reach.

    Walkers start together at random nodes and walk ``steps`` steps each; new ones start until ``share`` of the nodes
    are reached.

    Args:
        edge_index: ``[2, edges]``.
        share: of the nodes, in (0, 1].
        num_nodes: number of nodes.
        generator: draws starts and steps.
        steps: length of a walk.

    Raises:
        ValueError: for a share outside (0, 1], less than one node or step, or edges to nodes that are not there.
        TypeError: for edges that are not integers, or no generator.

    Source: You et al. (2020), arXiv:2010.13902 ("subgraph"), here with several walkers.

    Example:
        >>> ring = torch.stack([torch.arange(8), torch.arange(1, 9) % 8])
        >>> int(kept_nodes(ring, 0.5, num_nodes=8, generator=torch.Generator().manual_seed(0)).sum())
        4
    """
    if isinstance(share, bool) or not isinstance(share, numbers.Real) or not 0 < share <= 1:
        raise ValueError(f"`share` must lie in (0, 1], got {share!r}.")
    edge_index_in_range(dense("edge_index", edge_index), at_least("num_nodes", num_nodes, 1))
    at_least("steps", steps, 1)
    random_generator("generator", generator)
    order = edge_index[0].argsort(stable=True)
    neighbours, degree = edge_index[1][order], torch.bincount(edge_index[0], minlength=num_nodes)
    first = degree.cumsum(0) - degree
    wanted = max(1, round(share * num_nodes))
    reached = torch.zeros(num_nodes, dtype=torch.bool, device=edge_index.device)
    while (missing := wanted - int(reached.sum())) > 0:
        walkers = max(1, missing // steps)
        at = torch.randint(num_nodes, (walkers,), generator=generator, device=generator.device).to(edge_index.device)
        for _ in range(steps):
            fresh = at[~reached[at]].unique()
            reached[fresh[: wanted - int(reached.sum())]] = True
            drawn = (_uniform((walkers,), edge_index.device, generator) * degree[at]).long()
            moves = degree[at] > 0
            at[moves] = neighbours[(first[at] + drawn)[moves]]
    return reached


def node_features(argument: str, x: Any) -> Any:
    """Return ``x`` if it holds floating-point numbers ``[nodes, features]``, dense or as a ``SparseOperator``."""
    if isinstance(x, SparseOperator):
        return x
    if not dense(argument, x).is_floating_point():
        raise TypeError(f"`{argument}` must hold floating-point numbers, got {x.dtype}.")
    if x.dim() != 2:
        raise ValueError(f"`{argument}` must have shape [nodes, features], got {list(x.shape)}.")
    return x


def _uniform(shape: tuple[int, ...], device: torch.device, generator: torch.Generator) -> Tensor:
    """Return numbers in [0, 1), drawn where the generator lives."""
    return torch.rand(shape, generator=generator, device=generator.device).to(device)

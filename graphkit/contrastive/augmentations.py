"""Augmentations: random changes of a graph that should not change its nodes, and the views they draw."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit._checks import (
    at_least,
    dense,
    edge_index_in_range,
    flag,
    one_value_per_edge,
    random_generator,
    teleport_probability,
    within,
)
from graphkit.operators import SparseOperator, pagerank_graph


def drop_edges(edge_index: Tensor, p: float, *, generator: torch.Generator, undirected: bool = False) -> Tensor:
    """Drop each edge with probability ``p``, as DropEdge does; return which stay, a boolean mask ``[edges]``.

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
        >>> drop_edges(ring, 0.5, generator=torch.Generator().manual_seed(1), undirected=True).tolist()
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


def mask_features(x: Any, p: float, *, generator: torch.Generator) -> Any:
    """Mask features: zero each column, for all nodes together, with probability ``p``.

    What stays is not scaled up, as in the published codes.

    Args:
        x: ``[nodes, features]``, dense or a ``SparseOperator``, which stays sparse.
        p: in [0, 1).
        generator: draws the columns.

    Raises:
        ValueError: for a probability outside [0, 1), or features of another shape.
        TypeError: for features that are not floating-point numbers, or no generator.

    Example:
        >>> mask_features(torch.ones(2, 5), 0.5, generator=torch.Generator().manual_seed(2))
        tensor([[1., 0., 1., 0., 1.],
                [1., 0., 1., 0., 1.]])
    """
    within("p", p, 0.0, 1.0)
    random_generator("generator", generator)
    keep = _uniform((check_node_features("x", x).size(-1),), x.device, generator) >= p
    if isinstance(x, SparseOperator):
        return x.with_values(x._store.dense_values() * keep[x.pattern._indices.long()])
    return x * keep


def subgraph_nodes(
    edge_index: Tensor, share: float, *, num_nodes: int, generator: torch.Generator, steps: int = 10
) -> Tensor:
    """Return the nodes of a subgraph that random walks reach, a boolean mask ``[nodes]``.

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
        >>> int(subgraph_nodes(ring, 0.5, num_nodes=8, generator=torch.Generator().manual_seed(0)).sum())
        4
    """
    if isinstance(share, bool) or not isinstance(share, numbers.Real) or not 0 < share <= 1:
        raise ValueError(f"`share` must lie in (0, 1], got {share!r}.")
    edge_index_in_range(dense("edge_index", edge_index), at_least("num_nodes", num_nodes, 1))
    at_least("steps", steps, 1)
    random_generator("generator", generator)
    # Neighbours in compressed rows: those of node i begin at first[i].
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


def check_node_features(argument: str, x: Any) -> Any:
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


class View(NamedTuple):
    """Features ``[nodes, features]``, edges ``[2, edges]`` and their weights, ``[edges]`` or ``None``.

    Example:
        >>> View(torch.eye(2), torch.tensor([[0, 1], [1, 0]])).edge_weight is None
        True
    """

    x: Any
    edge_index: Tensor
    edge_weight: Tensor | None = None


def check_view(view: View) -> View:
    """Return a view whose parts fit each other and that has something to compare, two nodes at least, else raise."""
    if not isinstance(view, View):
        raise TypeError(f"`view` must be a View(x, edge_index, edge_weight), got {type(view).__name__}.")
    nodes = check_node_features("x", view.x).size(0)
    if nodes < 2:
        raise ValueError(f"`x` must have at least two nodes, which views are compared by, got {nodes}.")
    edge_index_in_range(dense("edge_index", view.edge_index), nodes)
    if view.edge_weight is not None:
        if not dense("edge_weight", view.edge_weight).is_floating_point():
            raise TypeError(f"`edge_weight` must hold floating-point numbers, got {view.edge_weight.dtype}.")
        one_value_per_edge("edge_weight", view.edge_weight, view.edge_index.shape[1])
    return view


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Draw a view of a graph at random; all numbers are probabilities, and what is 0 is not done.

    Args:
        edge_drop: probability that an edge is dropped.
        feature_mask: probability that a column of the features is zeroed.
        node_drop: share of nodes that lose all their edges, those that random walks do not reach.
        undirected: whether the two directions of an edge stay or go together.

    Example:
        >>> whole = View(torch.ones(8, 3), torch.stack([torch.arange(8), torch.arange(1, 9) % 8]))
        >>> view = Augmentation(edge_drop=0.5)(whole, torch.Generator().manual_seed(0), weighted=True)
        >>> view.edge_weight.tolist()
        [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0]
    """

    edge_drop: float = 0.0
    feature_mask: float = 0.0
    node_drop: float = 0.0
    undirected: bool = False

    def __post_init__(self) -> None:
        for name in ("edge_drop", "feature_mask", "node_drop"):
            within(name, getattr(self, name), 0.0, 1.0)
        flag("undirected", self.undirected)

    def __call__(self, view: View, generator: torch.Generator, *, weighted: bool) -> View:
        """Return a view drawn from a view.

        With ``weighted``, for encoders that use edge weights, a dropped edge is one of weight 0, and the sorted form of
        the graph that the layers remember serves all views; else it is taken out.

        Raises:
            ValueError: for a view whose parts do not fit each other, or of fewer than two nodes.
            TypeError: for parts of another type.
        """
        view = check_view(view)
        random_generator("generator", generator)
        flag("weighted", weighted)
        x = mask_features(view.x, self.feature_mask, generator=generator) if self.feature_mask else view.x
        keep = None
        if self.edge_drop:
            keep = drop_edges(view.edge_index, self.edge_drop, generator=generator, undirected=self.undirected)
        if self.node_drop:
            nodes = subgraph_nodes(view.edge_index, 1 - self.node_drop, num_nodes=x.size(0), generator=generator)
            inside = nodes[view.edge_index].all(0)
            keep = inside if keep is None else keep & inside
        if keep is None:
            return View(x, view.edge_index, view.edge_weight)
        if weighted:
            ones = torch.ones(keep.shape, dtype=x.dtype, device=keep.device)
            return View(x, view.edge_index, (ones if view.edge_weight is None else view.edge_weight) * keep)
        weight = None if view.edge_weight is None else view.edge_weight[keep]
        return View(x, view.edge_index[:, keep], weight)


@dataclass(frozen=True, kw_only=True)
class Diffusion:
    """Graph diffusion: the graph of personalised PageRank in place of the edges, from which a view is then drawn.

    Args:
        teleport: chance of a restart, in (0, 1).
        neighbours: edges kept into each node.
        then: draws the view from the diffused graph.

    Raises:
        ValueError: for a ``teleport`` outside (0, 1), or fewer than one neighbour.

    Source: Hassani & Khasahmadi (2020), arXiv:2006.05582.

    Example:
        >>> path = View(torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> view = Diffusion(neighbours=2)(path, torch.Generator(), weighted=True)
        >>> view.edge_index.shape
        torch.Size([2, 6])
    """

    teleport: float = 0.15
    neighbours: int = 32
    then: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        teleport_probability(self.teleport)
        at_least("neighbours", self.neighbours, 1)
        check_drawer("then", self.then)

    def __call__(self, view: View, generator: torch.Generator, *, weighted: bool) -> View:
        """Return a view of the diffused graph; an encoder that uses no weights sees its edges alone.

        Raises:
            ValueError: as :class:`Augmentation` does.
            TypeError: likewise.
        """
        view = check_view(view)
        flag("weighted", weighted)
        edges, weight = pagerank_graph(
            view.edge_index,
            view.edge_weight,
            num_nodes=view.x.size(0),
            teleport=self.teleport,
            neighbours=self.neighbours,
        )
        return self.then(
            View(view.x, edges, weight.to(view.x.dtype) if weighted else None), generator, weighted=weighted
        )


def check_drawer(argument: str, draw: Any) -> Any:
    """Return what draws a view from a view, else raise ``TypeError``."""
    if not callable(draw):
        raise TypeError(f"`{argument}` must draw a view, such as Augmentation(edge_drop=0.2), got {draw!r}.")
    return draw

"""Views: what an encoder is shown in place of the graph, and the augmentation that draws them."""

from __future__ import annotations

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
from graphkit.contrastive.augmentations import kept_edges, kept_nodes, masked_features, node_features
from graphkit.operators import pagerank_graph


class View(NamedTuple):
    """Features ``[nodes, features]``, edges ``[2, edges]`` and their weights, ``[edges]`` or ``None``.

    Example:
        >>> View(torch.eye(2), torch.tensor([[0, 1], [1, 0]])).edge_weight is None
        True
    """

    x: Any
    edge_index: Tensor
    edge_weight: Tensor | None = None


def checked(view: View) -> View:
    """Return a view whose parts fit each other and that has something to compare, two nodes at least, else raise."""
    if not isinstance(view, View):
        raise TypeError(f"`view` must be a View(x, edge_index, edge_weight), got {type(view).__name__}.")
    nodes = node_features("x", view.x).size(0)
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
    """How a view is drawn; all its numbers are probabilities, and what is 0 is not done.

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

        Args:
            view: what is augmented.
            generator: draws what is dropped.
            weighted: whether the encoder uses edge weights. Then a dropped edge is one of weight 0, and the sorted
                form of the graph that the layers remember serves all views; else it is taken out.

        Raises:
            ValueError: for a view whose parts do not fit each other, or of fewer than two nodes.
            TypeError: for parts of another type.
        """
        view = checked(view)
        random_generator("generator", generator)
        flag("weighted", weighted)
        x = masked_features(view.x, self.feature_mask, generator=generator) if self.feature_mask else view.x
        keep = None
        if self.edge_drop:
            keep = kept_edges(view.edge_index, self.edge_drop, generator=generator, undirected=self.undirected)
        if self.node_drop:
            nodes = kept_nodes(view.edge_index, 1 - self.node_drop, num_nodes=x.size(0), generator=generator)
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
    """The graph of personalised PageRank in place of the edges, from which a view is then drawn.

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
        view_drawer("then", self.then)

    def __call__(self, view: View, generator: torch.Generator, *, weighted: bool) -> View:
        """Return a view of the diffused graph; an encoder that uses no weights sees its edges alone.

        Raises:
            ValueError: as :class:`Augmentation` does.
            TypeError: likewise.
        """
        view = checked(view)
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


def view_drawer(argument: str, draw: Any) -> Any:
    """Return what draws a view from a view, else raise ``TypeError``."""
    if not callable(draw):
        raise TypeError(f"`{argument}` must draw a view, such as Augmentation(edge_drop=0.2), got {draw!r}.")
    return draw

"""The balanced tree of a hierarchy: nodes in an order in which pooling is that of a sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from graphkit._checks import at_least, integer_between, integer_vector, list_of, min_and_max, one_row_per_node
from graphkit.operators.coarsening.hierarchy import Hierarchy, Level


@dataclass(frozen=True, eq=False)
class BalancedTree:
    """The levels of a hierarchy with fake nodes added and all nodes reordered, so that siblings stand side by side.

    On level l place p holds a node or a fake, and the places ``arity * p`` to ``arity * (p + 1) - 1`` of the level
    below hold its children. A cluster with too few members is filled up with fakes; a fake has fakes only. Fakes have
    no edges and size 0. The coarsest level has none. With a matching, two children everywhere, the finest level has
    ``2 ** num_levels`` places for each node of the coarsest one.

    Args:
        levels: graphs on the places, ``num_nodes`` being the number of places, from the finest to the coarsest.
        orders: for every level the node at each place, -1 for a fake, ``[places]``, int64.
        places: for every level the place of each node, ``[nodes]``, int64.
        arities: for every level but the last the number of children of each place of the next.

    Source: Defferrard, Bresson & Vandergheynst (2016), arXiv:1606.09375, section 2.3. Their code numbers fakes behind
    the nodes; here they are -1, and clusters of METIS, which are of several sizes, make a tree of larger arity.

    Example:
        >>> from graphkit.operators import coarsen
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> tree = coarsen(path, levels=2).tree
        >>> [order.tolist() for order in tree.orders]
        [[0, 1, 2, -1], [0, 1], [0]]
        >>> tree.spread(torch.tensor([[5.0], [6.0], [7.0]])).flatten().tolist()
        [5.0, 6.0, 7.0, 0.0]
    """

    levels: tuple[Level, ...]
    orders: tuple[Tensor, ...]
    places: tuple[Tensor, ...]
    arities: tuple[int, ...]

    def __post_init__(self) -> None:
        list_of("levels", self.levels, Level)
        list_of("orders", self.orders, Tensor)
        list_of("places", self.places, Tensor)
        counts = len(self.levels), len(self.orders), len(self.places)
        if not isinstance(self.arities, list | tuple) or {*counts} != {len(self.arities) + 1}:
            raise ValueError(f"`arities` must have one number less than levels, orders and places, {counts} of them.")
        for arity in self.arities:
            at_least("arities", arity, 1)
        for level, order, place in zip(self.levels, self.orders, self.places, strict=True):
            _fits("orders", order, level.num_nodes, least=-1, most=len(place))
            _fits("places", place, None, least=0, most=level.num_nodes)

    @property
    def num_levels(self) -> int:
        """How often the graph was clustered."""
        return len(self.arities)

    @cached_property
    def full(self) -> tuple[bool, ...]:
        """Whether each level has no fakes, so that nothing need be masked there."""
        return tuple(len(order) == len(place) for order, place in zip(self.orders, self.places, strict=True))

    def fake(self, level: int) -> Tensor:
        """Return which places of ``level`` hold a fake, ``[places]``, boolean."""
        return self.orders[self._known(level)] < 0

    def factor(self, level: int, levels: int) -> int:
        """Return how many places of ``level`` are one place ``levels`` levels on."""
        if self._known(level) + at_least("levels", levels, 0) > self.num_levels:
            raise ValueError(
                f"`levels` {levels} from level {level} on leads beyond the tree, which has {self.num_levels} levels; "
                "coarsen the graph to more levels or pool less."
            )
        return math.prod(self.arities[level : level + levels])

    def spread(self, x: Tensor, *, level: int = 0) -> Tensor:
        """Return the signal in the order of the places, 0 at fakes.

        Args:
            x: ``[..., nodes, features]``.
            level: on whose nodes the signal is.

        Returns:
            ``[..., places, features]``.
        """
        order = self.orders[self._known(level)]
        one_row_per_node(x, len(self.places[level]))
        return x.index_select(-2, order.clamp(min=0)) * (order >= 0).to(x.dtype).unsqueeze(-1)

    def gather(self, x: Tensor, *, level: int = 0) -> Tensor:
        """Return the signal in the order of the nodes, fakes left out: ``spread`` undone.

        Args:
            x: ``[..., places, features]``.
            level: on whose places the signal is.

        Returns:
            ``[..., nodes, features]``.
        """
        one_row_per_node(x, len(self.orders[self._known(level)]))
        return x.index_select(-2, self.places[level])

    def _known(self, level: int) -> int:
        return integer_between("level", level, 0, self.num_levels)

    def to(self, *args: Any, **kwargs: Any) -> BalancedTree:
        """Return the tree on another device, with the arguments of ``Tensor.to``."""
        levels = tuple(level.to(*args, **kwargs) for level in self.levels)
        device = levels[0].sizes.device
        orders, places = (tuple(part.to(device) for part in parts) for parts in (self.orders, self.places))
        return BalancedTree(levels, orders, places, self.arities)

    def __repr__(self) -> str:
        return f"BalancedTree({' > '.join(f'{level.num_nodes:,}' for level in self.levels)} places)"


def _fits(argument: str, numbers: Tensor, length: int | None, *, least: int, most: int) -> None:
    """Refuse numbers of nodes or places that are not as many as asked for, or out of range."""
    integer_vector(argument, numbers)
    low, high = min_and_max(numbers)
    if length not in (None, len(numbers)) or low < least or high >= most:
        raise ValueError(
            f"`{argument}` must number the nodes and places of its level, from {least} to {most - 1}, got "
            f"{len(numbers)} numbers from {low} to {high}."
        )


def balanced_tree(hierarchy: Hierarchy) -> BalancedTree:
    """Return the balanced tree of a hierarchy, made from the coarsest level down."""
    device = hierarchy.levels[0].sizes.device
    arities: list[int] = []
    orders = [torch.arange(hierarchy.levels[-1].num_nodes, device=device)]
    for cluster in reversed(hierarchy.clusters):
        above = orders[0]
        places = _places(above)
        counts = torch.bincount(cluster, minlength=len(places))
        arity = max(2, int(counts.max())) if len(cluster) else 2
        members = cluster.argsort(stable=True)
        first = counts.cumsum(0) - counts
        rank = torch.arange(len(cluster), device=device) - first[cluster[members]]
        order = torch.full((len(above), arity), -1, device=device)
        order[places[cluster[members]], rank] = members
        orders.insert(0, order.flatten())
        arities.insert(0, arity)
    every = tuple(_places(order) for order in orders)
    levels = tuple(_placed(*parts) for parts in zip(hierarchy.levels, orders, every, strict=True))
    return BalancedTree(levels, tuple(orders), every, tuple(arities))


def _places(order: Tensor) -> Tensor:
    """Return the place of each node."""
    real = (order >= 0).nonzero().squeeze(-1)
    places = torch.empty_like(real)
    places[order[real]] = real
    return places


def _placed(level: Level, order: Tensor, places: Tensor) -> Level:
    """Return the graph of a level on its places."""
    if torch.equal(order, torch.arange(len(order), device=order.device)):
        return Level(level.edge_index.clone(), level.edge_weight.clone(), level.sizes.clone())
    sizes = level.sizes.new_zeros(len(order)).index_copy(0, places, level.sizes)
    return Level(places[level.edge_index], level.edge_weight.clone(), sizes)

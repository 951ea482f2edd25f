"""Multiscale clustering: a graph, the graph of its clusters, the graph of theirs, and the balanced tree of them."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import (
    at_least,
    cluster_vector,
    edge_index_in_range,
    instance,
    integer_between,
    integer_vector,
    list_of,
    member,
    min_and_max,
    node_counts,
    one_row_per_node,
    one_value_per_edge,
    tensor,
    to_numpy,
)
from graphkit._kernels.csr_layout import fingerprint
from graphkit.operators.coarsening.contraction import (
    SCORES,
    Weights,
    contract_weights,
    edges_of_weights,
    graph_weights,
    match_nodes,
    metis_partition,
)
from graphkit.operators.graph_cache import cached
from graphkit.operators.laplacian import laplacian
from graphkit.operators.spectrum import FourierBasis, fourier_basis

MOST_LEVELS = 1000
"""Levels that are made at most: after a few dozen nothing is left to cluster."""

METHODS = (*SCORES, "metis")


@dataclass(frozen=True, eq=False)
class Level:
    """The graph of one level of a hierarchy: undirected, without self-loops and duplicates.

    Args:
        edge_index: ``[2, edges]``.
        edge_weight: weights summed over the original edges between two clusters, ``[edges]``.
        sizes: original nodes in each node, ``[nodes]``, int64; 0 at a fake node of a balanced tree.

    Raises:
        TypeError: for parts that are not tensors, and ids or sizes that are not integer_vector.
        ValueError: for ids of nodes that are not there, or weights of another length.

    Example:
        >>> from graphkit.operators import coarsen
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> coarsen(path, levels=1).levels[1].sizes.tolist()
        [2, 1]
    """

    edge_index: Tensor
    edge_weight: Tensor
    sizes: Tensor

    def __post_init__(self) -> None:
        node_counts("sizes", self.sizes)
        edge_index_in_range(tensor("edge_index", self.edge_index), len(self.sizes))
        one_value_per_edge("edge_weight", tensor("edge_weight", self.edge_weight), self.edge_index.shape[1])

    @property
    def num_nodes(self) -> int:
        """Number of nodes."""
        return len(self.sizes)

    @property
    def num_edges(self) -> int:
        """Number of edges, both directions counted."""
        return self.edge_index.shape[1]

    @property
    def fingerprint(self) -> int:
        """A number that other nodes, edges or weights change: it tells one graph from another."""

        def build() -> int:
            parts = (to_numpy(part) for part in (self.edge_index, self.edge_weight.double(), self.sizes))
            return fingerprint(np.concatenate([part.reshape(-1).view(np.int64) for part in parts]))

        return cached(build, "fingerprint", self)

    @property
    def basis(self) -> FourierBasis:
        """The complete Fourier basis of the symmetric Laplacian, made when it is first asked for; a copy."""
        return copy.deepcopy(self._basis)

    @property
    def _basis(self) -> FourierBasis:
        def build() -> FourierBasis:
            dtype = torch.float64 if self.edge_weight.dtype == torch.float64 else torch.float32
            operator = laplacian(self.edge_index, self.edge_weight, self.num_nodes, normalization="sym", dtype=dtype)
            return fourier_basis(operator)

        return cached(build, "basis", self)

    def to(self, *args: Any, **kwargs: Any) -> Level:
        """Return the level on another device, with the arguments of ``Tensor.to``; a type is taken by the weights."""
        weight = self.edge_weight.to(*args, **kwargs)
        return Level(self.edge_index.to(weight.device), weight, self.sizes.to(weight.device))


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """A graph clustered again and again.

    Args:
        levels: graphs from the finest, the original one without loops and duplicates, to the coarsest,
            ``num_levels + 1`` of them.
        clusters: for every level but the last the number of each node's cluster, its node on the next level,
            ``[nodes]``, int64.

    Example:
        >>> from graphkit.operators import coarsen
        >>> ring = torch.tensor([[0, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 0], [1, 2, 3, 4, 5, 0, 0, 1, 2, 3, 4, 5]])
        >>> hierarchy = coarsen(ring, levels=2)
        >>> [level.num_nodes for level in hierarchy.levels]
        [6, 3, 2]
        >>> hierarchy.assignment(2).tolist()
        [0, 0, 0, 0, 1, 1]
    """

    levels: tuple[Level, ...]
    clusters: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        list_of("levels", self.levels, Level)
        if not isinstance(self.clusters, list | tuple) or len(self.clusters) != len(self.levels) - 1:
            raise ValueError(f"`clusters` must hold one tensor for each of {len(self.levels) - 1} steps up.")
        for cluster, level, above in zip(self.clusters, self.levels, self.levels[1:], strict=False):
            cluster_vector(cluster, above.num_nodes)
            if len(cluster) != level.num_nodes:
                raise ValueError(f"`clusters` must have a number for each of {level.num_nodes} nodes of its level.")

    @property
    def num_levels(self) -> int:
        """How often the graph was clustered."""
        return len(self.clusters)

    def assignment(self, level: int) -> Tensor:
        """Return the node of ``level`` that each original node belongs to, ``[nodes]``."""
        found = torch.arange(self.levels[0].num_nodes, device=self.levels[0].sizes.device)
        for cluster in self.clusters[: integer_between("level", level, 0, self.num_levels)]:
            found = cluster[found]
        return found

    @property
    def tree(self) -> BalancedTree:
        """The balanced tree, in which every cluster has as many members, some of them fake; made once."""
        return cached(lambda: balanced_tree(self), "tree", self, exposed=True)

    def to(self, *args: Any, **kwargs: Any) -> Hierarchy:
        """Return the hierarchy on another device, with the arguments of ``Tensor.to``."""
        levels = tuple(level.to(*args, **kwargs) for level in self.levels)
        return Hierarchy(levels, tuple(cluster.to(levels[0].sizes.device) for cluster in self.clusters))

    def __repr__(self) -> str:
        return f"Hierarchy({' > '.join(f'{level.num_nodes:,}' for level in self.levels)} nodes)"


def coarsen(
    edge_index: Any,
    edge_weight: Tensor | None = None,
    num_nodes: int | None = None,
    *,
    levels: int,
    method: str = "graclus",
    cluster_size: int = 2,
    generator: torch.Generator | None = None,
) -> Hierarchy:
    r"""Return the graph clustered ``levels`` times, each level about half the size of the one before.

    ================  =================================================================================
    ``"graclus"``     a maximal matching that greedily takes the largest :math:`w_{ij}(1/d_i + 1/d_j)`
    ``"heavy-edge"``  a maximal matching that greedily takes the largest :math:`w_{ij}`
    ``"metis"``       METIS's partition into nodes / ``cluster_size`` balanced parts, on every level
    ================  =================================================================================

    A matching never joins nodes of two components, so that an isolated node stays alone on every level and a graph
    without edges is its own coarse graph; as many levels as asked for are returned all the same. Clusters are numbered
    by their first node, so that a batch of graphs is clustered as its graphs are one by one. METIS looks at sizes
    too: its clusters may join nodes of different components.

    Equal scores, of which a plain grid is full, are settled by the numbers of the nodes, or by ``generator``: another
    numbering then gives another, equally good clustering.

    Args:
        edge_index: an undirected graph in any form that ``laplacian`` takes; loops and zero weights are left out.
        edge_weight: ``[edges]``, 0 or above; ones when left out. No gradient flows.
        num_nodes: number of nodes; the largest id plus one when left out.
        levels: how often to cluster, at least 0.
        method: "graclus", "heavy-edge" or "metis" (needs ``graphkit[metis]``).
        cluster_size: nodes to a cluster, of "metis" only.
        generator: settles ties; for "metis" it draws METIS's seed.

    Raises:
        ValueError: for a directed graph, weights below 0 or not finite, an unknown method, or a ``cluster_size``
            other than 2 for a matching.

    Source: Defferrard, Bresson & Vandergheynst (2016), arXiv:1606.09375, section 2.3. Their code visits nodes in a
    random order on the first level; we go by degree on all levels, as it does on the later ones.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
        >>> coarsen(path, levels=2)
        Hierarchy(4 > 2 > 1 nodes)
    """
    integer_between("levels", levels, 0, MOST_LEVELS)
    if generator is not None:
        instance("generator", generator, torch.Generator, "a torch.Generator")
    member("method", method, METHODS)
    at_least("cluster_size", cluster_size, 2)
    if cluster_size != 2 and method != "metis":
        raise ValueError(f"`cluster_size` is 2 in a matching ({method!r}), got {cluster_size}; take method='metis'.")
    weights, device = graph_weights(edge_index, edge_weight, num_nodes)
    dtype = torch.float32 if edge_weight is None else edge_weight.dtype
    sizes, volumes = np.ones(weights.nodes, np.int64), weights.degrees
    graphs, clusters = [_level(weights, sizes, device, dtype)], []
    for _ in range(levels):
        # Cluster the nodes of this level.
        if method == "metis":
            seed = 0 if generator is None else int(torch.randint(2**31 - 1, (), generator=generator))
            cluster, count = metis_partition(weights, sizes, cluster_size=cluster_size, seed=seed)
        else:
            drawn = None if generator is None else torch.randperm(weights.nodes, generator=generator).numpy()
            cluster, count = match_nodes(weights, volumes, score=method, shuffled=drawn)
        # The graph of clusters is the next level.
        weights = contract_weights(weights, cluster, count)
        sizes = np.bincount(cluster, sizes, count).astype(np.int64)
        volumes = np.bincount(cluster, volumes, count)
        clusters.append(torch.from_numpy(cluster).to(device))
        graphs.append(_level(weights, sizes, device, dtype))
    return Hierarchy(tuple(graphs), tuple(clusters))


def _level(weights: Weights, sizes: np.ndarray, device: torch.device, dtype: torch.dtype) -> Level:
    return Level(*edges_of_weights(weights, device, dtype), torch.from_numpy(sizes).to(device))


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
            _check_numbering("orders", order, level.num_nodes, least=-1, most=len(place))
            _check_numbering("places", place, None, least=0, most=level.num_nodes)

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
        return self.orders[self._check_level(level)] < 0

    def factor(self, level: int, levels: int) -> int:
        """Return how many places of ``level`` are one place ``levels`` levels on."""
        if self._check_level(level) + at_least("levels", levels, 0) > self.num_levels:
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
        order = self.orders[self._check_level(level)]
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
        one_row_per_node(x, len(self.orders[self._check_level(level)]))
        return x.index_select(-2, self.places[level])

    def _check_level(self, level: int) -> int:
        return integer_between("level", level, 0, self.num_levels)

    def to(self, *args: Any, **kwargs: Any) -> BalancedTree:
        """Return the tree on another device, with the arguments of ``Tensor.to``."""
        levels = tuple(level.to(*args, **kwargs) for level in self.levels)
        device = levels[0].sizes.device
        orders, places = (tuple(part.to(device) for part in parts) for parts in (self.orders, self.places))
        return BalancedTree(levels, orders, places, self.arities)

    def __repr__(self) -> str:
        return f"BalancedTree({' > '.join(f'{level.num_nodes:,}' for level in self.levels)} places)"


def _check_numbering(argument: str, numbers: Tensor, length: int | None, *, least: int, most: int) -> None:
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
        places = _invert_order(above)
        counts = torch.bincount(cluster, minlength=len(places))
        arity = max(2, int(counts.max())) if len(cluster) else 2
        members = cluster.argsort(stable=True)
        first = counts.cumsum(0) - counts
        rank = torch.arange(len(cluster), device=device) - first[cluster[members]]
        order = torch.full((len(above), arity), -1, device=device)
        order[places[cluster[members]], rank] = members
        orders.insert(0, order.flatten())
        arities.insert(0, arity)
    every = tuple(_invert_order(order) for order in orders)
    levels = tuple(_place_level(*parts) for parts in zip(hierarchy.levels, orders, every, strict=True))
    return BalancedTree(levels, tuple(orders), every, tuple(arities))


def _invert_order(order: Tensor) -> Tensor:
    """Return the place of each node."""
    real = (order >= 0).nonzero().squeeze(-1)
    places = torch.empty_like(real)
    places[order[real]] = real
    return places


def _place_level(level: Level, order: Tensor, places: Tensor) -> Level:
    """Return the graph of a level on its places."""
    if torch.equal(order, torch.arange(len(order), device=order.device)):
        return Level(level.edge_index.clone(), level.edge_weight.clone(), level.sizes.clone())
    sizes = level.sizes.new_zeros(len(order)).index_copy(0, places, level.sizes)
    return Level(places[level.edge_index], level.edge_weight.clone(), sizes)

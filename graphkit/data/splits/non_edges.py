"""Pairs of nodes that are no edges, drawn uniformly and without repetition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from graphkit._kernels import pair_paths
from graphkit._kernels.resources import over_range

ENUMERABLE = 2**24
"""Pairs up to which all that are no edges are listed, where more than a quarter of them are asked for."""


class PairSpace(NamedTuple):
    """Pairs of two sets of nodes.

    Args:
        first, second: the nodes; None for all.
        edges: how many of the pairs are edges.
        size: how many pairs there are.
        directed: whether a pair is ordered.
    """

    first: Tensor | None
    second: Tensor | None
    edges: int
    size: int
    directed: bool


def pair_keys(pairs: Tensor, nodes: int, *, directed: bool) -> Tensor:
    """Return a number for each pair ``[2, ...]`` of nodes, the same for both orders unless ``directed``.

    Example:
        >>> pairs = torch.tensor([[0, 2], [2, 0]])
        >>> pair_keys(pairs, 3, directed=False).tolist(), pair_keys(pairs, 3, directed=True).tolist()
        ([2, 2], [2, 6])
    """
    one, other = (pairs.as_tensor() if isinstance(pairs, EdgeIndex) else pairs).long()
    return one * nodes + other if directed else torch.minimum(one, other) * nodes + torch.maximum(one, other)


def pair_spaces(kinds: Tensor | None, keys: Tensor, nodes: int, *, directed: bool) -> list[PairSpace]:
    """Return the pairs among which non-edges are drawn.

    Args:
        kinds: type of each node, ``[nodes]``, or None where they have none. Pairs are of types that some edge joins: of
            users and items none is of two users.
        keys: of the edges, each once.
        nodes: how many.
        directed: whether pairs are ordered.

    Example:
        >>> kinds = torch.tensor([0, 0, 1, 1, 1])
        >>> [space.size for space in pair_spaces(kinds, torch.tensor([2]), 5, directed=False)]
        [6]
    """
    keys = keys[keys // max(nodes, 1) != keys % max(nodes, 1)]
    if kinds is None:
        ordered = nodes * (nodes - 1)
        return [PairSpace(None, None, len(keys), ordered if directed else ordered // 2, directed)]
    ends = torch.stack([kinds[keys // nodes], kinds[keys % nodes]])
    ends = ends if directed else ends.sort(0).values
    found = []
    for (one, other), count in zip(*_unique_columns(ends), strict=True):
        first, second = ((kinds == kind).nonzero().squeeze(-1) for kind in (one, other))
        size = len(first) * (len(second) - (one == other))
        found.append(PairSpace(first, second, count, size // 2 if one == other and not directed else size, directed))
    return found


def non_edges(
    keys: Tensor, spaces: Sequence[PairSpace], nodes: int, count: int, generator: torch.Generator | None = None
) -> Tensor:
    """Return different pairs that are no edges and no loops, ``[2, count]``, in random order.

    Each of a space is equally likely; of several spaces each gives in proportion to its edges.

    Args:
        keys: of the edges by :func:`pair_keys`, ascending, each once.
        spaces: of :func:`pair_spaces`.
        nodes: of the graph.
        count: how many.
        generator: draws them.

    Raises:
        ValueError: where a space has fewer.

    Example:
        >>> path = torch.tensor([1, 5])
        >>> non_edges(path, pair_spaces(None, path, 3, directed=False), 3, 1).tolist()
        [[0], [2]]
    """
    shares = _shares(count, [space.edges for space in spaces])
    drawn = [_draw(keys, space, nodes, many, generator) for space, many in zip(spaces, shares, strict=True)]
    found = torch.cat(drawn) if drawn else torch.empty(0, dtype=torch.long)
    if len(drawn) > 1:
        found = found[torch.randperm(len(found), generator=generator)]
    return torch.stack([found // max(nodes, 1), found % max(nodes, 1)])


TRIES = 200
"""Pairs that are drawn in place of one, at most, where edges are met."""


class NonEdgeSampler:
    """Draws pairs that are no edges again and again, each by itself: two of a call may be the same.

    Args:
        edge_index: of the edges, in both directions where pairs have no order.
        spaces: of :func:`pair_spaces`.
        nodes: of the graph.
        kinds: type of each node, ``[nodes]``, or None where they have none.
        anchored: whether a pair that is drawn beside a link has its first node.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> keys = pair_keys(path, 3, directed=False).unique()
        >>> NonEdgeSampler(path, pair_spaces(None, keys, 3, directed=False), 3)(2, key=0).sort(0).values.tolist()
        [[0, 0], [2, 2]]
    """

    def __init__(
        self,
        edge_index: Tensor,
        spaces: Sequence[PairSpace],
        nodes: int,
        *,
        kinds: Tensor | None = None,
        anchored: bool = False,
    ) -> None:
        if not spaces or any(space.edges >= space.size for space in spaces):
            raise ValueError("`data` has no pair of nodes that could be joined and is not.")
        keys = pair_keys(edge_index.cpu(), nodes, directed=True).unique()
        counts = torch.bincount(keys // max(nodes, 1), minlength=nodes)
        indptr = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
        self._csr = indptr.numpy(), (keys % max(nodes, 1)).contiguous().numpy()
        every = torch.arange(nodes)
        self._sides = [
            tuple((every if ids is None else ids).contiguous().numpy() for ids in (space.first, space.second))
            for space in spaces
        ]
        self._weights = [space.edges for space in spaces]
        self.anchored = anchored
        self._kinds = torch.zeros(nodes, dtype=torch.long) if kinds is None else kinds.cpu()

    def __call__(self, count: int, *, key: int) -> Tensor:
        """Return pairs ``[2, count]``, which ``key`` decides, with any number of threads.

        Raises:
            ValueError: where hardly a pair is no edge.
        """
        parts = []
        for number, many in enumerate(_shares(count, self._weights)):
            pairs = np.empty((2, many), np.int64)
            word = np.uint64((key + number * 0x9E3779B97F4A7C15) % 2**64)
            over_range(pair_paths.non_edge_pairs, many, word, *self._sides[number], self._csr, TRIES, False, pairs)
            parts.append(torch.from_numpy(pairs))
        found = torch.cat(parts, 1)
        if bool((found < 0).any()):
            raise ValueError("hardly a pair of nodes of `data` is no edge: there is nothing to learn links beside.")
        return found

    def beside(self, links: Tensor, *, key: int) -> Tensor:
        """Return for each of ``links [2, links]`` a pair that is none, ``[2, links]``.

        Where it is ``anchored`` it has the link's first node, and another one of the type of its other node; for a node
        that is joined with all any pair stands in.

        Raises:
            ValueError: where hardly a pair is no edge.
        """
        if not self.anchored:
            return self(links.size(1), key=key)
        found = torch.empty_like(links)
        of_kind = self._kinds[links[1]]
        for number, kind in enumerate(of_kind.unique().tolist()):
            chosen = (of_kind == kind).nonzero().squeeze(-1)
            pairs = np.empty((2, len(chosen)), np.int64)
            word = np.uint64((key + number * 0x9E3779B97F4A7C15) % 2**64)
            ends = links[0, chosen].contiguous().numpy(), (self._kinds == kind).nonzero().squeeze(-1).numpy()
            over_range(pair_paths.non_edge_pairs, len(chosen), word, *ends, self._csr, TRIES, True, pairs)
            found[:, chosen] = torch.from_numpy(pairs)
        full = found[0] < 0
        if bool(full.any()):
            found[:, full] = self(int(full.sum()), key=key)
        return found


def _draw(keys: Tensor, space: PairSpace, nodes: int, count: int, generator: torch.Generator | None) -> Tensor:
    """Return the keys of different non-edges of a space, in random order."""
    there = space.size - space.edges
    if count > there:
        raise ValueError(
            f"`data` has {there:,} pairs of nodes that could be joined and are not, and {count:,} are asked for; hold "
            "fewer links out, or take fewer negatives a link."
        )
    if 4 * count > there and space.size <= ENUMERABLE:
        every = _every_key(space, nodes)
        left = every[~torch.isin(every, keys)]
        return left[torch.randperm(len(left), generator=generator)[:count]]
    found = torch.empty(0, dtype=torch.long)
    while len(found) < count:
        many = 16 + int(1.2 * (count - len(found)) * max(1.0, space.size / there))
        ends = [
            torch.randint(nodes if ids is None else len(ids), (many,), generator=generator)
            for ids in (space.first, space.second)
        ]
        one, other = (at if ids is None else ids[at] for at, ids in zip(ends, (space.first, space.second), strict=True))
        pairs = torch.stack([one, other])[:, one != other]
        drawn = pair_keys(pairs, nodes, directed=space.directed)
        drawn = drawn[~_among(drawn, keys)]
        found = _first_of_each(torch.cat([found, drawn]))
    return found[:count]


def _every_key(space: PairSpace, nodes: int) -> Tensor:
    """Return the key of every pair of a space."""
    first = torch.arange(nodes) if space.first is None else space.first
    second = torch.arange(nodes) if space.second is None else space.second
    pairs = torch.cartesian_prod(first, second).T
    return pair_keys(pairs[:, pairs[0] != pairs[1]], nodes, directed=space.directed).unique()


def _among(values: Tensor, ascending: Tensor) -> Tensor:
    """Return which values stand in an ascending vector."""
    if not len(ascending):
        return torch.zeros(len(values), dtype=torch.bool)
    slots = torch.searchsorted(ascending, values).clamp(max=len(ascending) - 1)
    return ascending[slots] == values


def _first_of_each(keys: Tensor) -> Tensor:
    """Return each value once, in the order in which it first stands."""
    values, slots = keys.unique(return_inverse=True)
    first = torch.full((len(values),), len(keys)).scatter_reduce(0, slots, torch.arange(len(keys)), "amin")
    return keys[first.sort().values]


def _shares(count: int, weights: Sequence[int]) -> list[int]:
    """Return whole numbers in proportion to weights, of the given sum: what is left goes to the largest remainders."""
    total = sum(weights)
    if not total:
        return [count] + [0] * (len(weights) - 1) if weights else []
    exact = [count * weight / total for weight in weights]
    found = [int(share) for share in exact]
    for place in sorted(range(len(weights)), key=lambda at: found[at] - exact[at])[: count - sum(found)]:
        found[place] += 1
    return found


def _unique_columns(ends: Tensor) -> tuple[list[list[int]], list[int]]:
    """Return the different columns of a matrix, and how often each is there."""
    columns, counts = ends.unique(dim=1, return_counts=True)
    return columns.T.tolist(), counts.tolist()

"""Hard negatives: for each link pairs that are none and look as if they were."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from scipy.sparse import csr_array, diags_array
from torch import Tensor
from torch_geometric.data import Data

from graphkit import _checks
from graphkit.data.splits.links import LinkPart, LinkSplit, node_kinds, with_plain_edges
from graphkit.operators.pair_scores import PairScores

ENTRIES = 2**23
"""Scores of nodes with all others that are held at a time."""


def hard_negatives(
    split: LinkSplit, data: Data, count: int = 500, *, generator: torch.Generator | None = None
) -> LinkSplit:
    """Return a split whose links are each ranked among ``count`` pairs of their own that rules rank high.

    Half of the pairs keep a link's first node and half its second one. The other node is one of those that come first
    by resource allocation, by personalised PageRank or by the cosine of features averaged twice, where there are any:
    what counts is the best of its places. The rules see the edges that a model sees. No pair is a link of the graph, in
    either direction, and where nodes have types all are of types that some edge joins.

    Args:
        split: of the links of ``data``.
        data: the graph.
        count: pairs of each link, at least 2.
        generator: orders nodes that a rule does not tell apart.

    Raises:
        ValueError: where a node has fewer pairs that are no links.

    Source: Li et al. (2023), arXiv:2306.10453 (HeaRT), section 4; its own code counts common neighbours' resources,
    PageRank and raw features.

    Example:
        >>> from graphkit.data import RandomLinks
        >>> ring = torch.arange(12)
        >>> edges = torch.stack([ring, (ring + 1) % 12])
        >>> data = Data(edge_index=torch.cat([edges, edges.flip(0)], 1), num_nodes=12)
        >>> hard = hard_negatives(RandomLinks()(data), data, count=4)
        >>> hard.test.negative.shape
        torch.Size([2, 2, 4])
    """
    _checks.instance("split", split, LinkSplit, "a LinkSplit")
    _checks.instance("data", data, Data, "a torch_geometric.data.Data")
    _checks.optional_generator("generator", generator)
    half = _checks.at_least("count", count, 2) // 2
    if half > split.num_nodes:
        raise ValueError(f"`count` must be smaller: there are {split.num_nodes:,} nodes.")
    seen, directed = split.message_data(data), split.directed  # refuses what is no graph
    data = with_plain_edges(data)
    parts = {"val": split.val.positive, "test": split.test.positive}
    ends = torch.cat(list(parts.values()), 1).cpu()
    every = torch.cat([data.edge_index.cpu(), split.train.cpu(), ends], 1)
    links = csr_array(
        (np.ones(every.size(1)), (every[0].numpy(), every[1].numpy())), shape=(split.num_nodes, split.num_nodes)
    )
    links = (links + links.T).tocsr()
    order = torch.randperm(split.num_nodes, generator=generator)
    kinds = node_kinds(data)
    joined = None if kinds is None else {tuple(each) for each in kinds[data.edge_index.cpu()].T.tolist()}
    types = None if kinds is None or joined is None else (kinds, joined)
    first = _hardest(seen, links, ends[0].unique(), half, order, types, ahead=True)
    second = _hardest(seen, links, ends[1].unique(), half, order, types, ahead=not directed)
    made = {}
    for name, pairs in parts.items():
        u, v = (each.cpu() for each in pairs)
        ahead, back = first[u], second[v]
        one = torch.cat([u[:, None].expand_as(ahead), back], 1)
        other = torch.cat([ahead, v[:, None].expand_as(back)], 1)
        made[name] = LinkPart(pairs, torch.stack([one, other]))
    about = {**split.parameters, "hard": 2 * half}
    return dataclasses.replace(split, val=made["val"], test=made["test"], parameters=about)


def _hardest(
    seen: Data,
    links: csr_array,
    nodes: Tensor,
    half: int,
    order: Tensor,
    types: tuple[Tensor, set[tuple[int, ...]]] | None,
    *,
    ahead: bool,
) -> Tensor:
    """Return the nodes that come first with each of ``nodes``, ``[all nodes, half]``; rows of others are 0."""
    from graphkit.data.pairs import averaged_rows

    total = links.shape[0]
    both = torch.cat([seen.edge_index, seen.edge_index.flip(0)], 1).cpu()
    scores = PairScores(both, total)
    indptr, indices = scores.csr
    adjacency = csr_array((np.ones(len(indices)), indices, indptr), shape=(total, total))
    passed = diags_array(1 / scores.degree.clamp(min=1).numpy()) @ adjacency
    rows = averaged_rows(seen, 2)[order] if seen.get("x") is not None else None
    found = torch.zeros(total, half, dtype=torch.long)
    for block in nodes.split(max(1, ENTRIES // max(total, 1))):
        near = torch.from_numpy((adjacency[block.numpy()] @ passed).toarray()).float()[:, order]
        walks = scores.pagerank_rows(block)[:, order]
        several = [near, walks] if rows is None else [near, walks, rows[order.argsort()[block]] @ rows.T]
        taken = torch.from_numpy((links[block.numpy()].toarray() != 0)[:, order.numpy()])
        taken[torch.arange(len(block)), order.argsort()[block]] = True
        if types is not None:
            kinds, joined = types
            taken |= ~_fitting(kinds[block], kinds[order], joined, ahead=ahead)
        if total - int(taken.sum(1).max()) < half:
            raise ValueError(f"`count` must be smaller: a node has fewer than {half:,} pairs that are no links.")
        # The best place that a rule gives among those that are left; the drawn order decides among equals.
        best = torch.stack([_places(each.masked_fill(taken, -torch.inf)) for each in several]).amin(0)
        best = best.masked_fill(taken, total)
        found[block] = order[best.argsort(dim=1, stable=True)[:, :half]]
    return found


def _places(scores: Tensor) -> Tensor:
    """Return the place of each column in the descending order of its row, from 0 on; equal ones in their order."""
    order = scores.argsort(dim=1, descending=True, stable=True)
    places = torch.empty_like(order)
    return places.scatter_(1, order, torch.arange(scores.size(1)).expand_as(order))


def _fitting(own: Tensor, others: Tensor, joined: set[tuple[int, ...]], *, ahead: bool) -> Tensor:
    """Return which pairs are of types that an edge joins, ``[own, others]``."""
    fits = torch.zeros(len(own), len(others), dtype=torch.bool)
    for pair in joined:
        one, other = pair if ahead else pair[::-1]
        fits |= (own == one)[:, None] & (others == other)[None]
    return fits

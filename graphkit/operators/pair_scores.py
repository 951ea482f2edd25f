"""Scores of pairs of nodes without training: common neighbours, paths, PageRank, and how alike rows are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import at_least, edge_index_in_range, fraction, node_ids, positive, tensor
from graphkit._kernels import pair_paths
from graphkit._kernels.csr_layout import coo_to_csr, group_order, transpose_csr
from graphkit._kernels.resources import over_range
from graphkit.operators.sparse import SparseOperator

ENTRIES = 2**24
"""Numbers of a dense block of rows that are made at a time."""

ROUNDING = 1e-5
"""By which two inner products of rows of length 1 differ at least where one of them is larger."""

NEIGHBORS = 64
"""Neighbours of a node that are looked at, at most, where each is compared with another node."""


class PairScores:
    r"""Scores of pairs of nodes of one graph, for which nothing is trained.

    With :math:`A_{uv}` 1 where an edge leads from u to v, and :math:`d_w` the number of edges that leave or enter w, of
    an undirected graph its degree. Several edges between two nodes count once, self-loops not at all. Of a directed
    graph paths are followed along their edges: a score of (u, v) is not that of (v, u).

    Args:
        edge_index: ``[2, edges]``; of an undirected graph both directions are there.
        num_nodes: how many nodes there are.

    Raises:
        ValueError: for edges of nodes that are not there.

    Source: Liben-Nowell & Kleinberg (2007), "The link-prediction problem for social networks", section 3; Zhou, Lü &
    Zhang (2009), arXiv:0901.0553, for the allocation of resources.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> scores = PairScores(path, 3)
        >>> scores.common_neighbors(torch.tensor([[0, 0], [2, 1]])).tolist()
        [1.0, 0.0]
    """

    def __init__(self, edge_index: Tensor, num_nodes: int) -> None:
        edge_index_in_range(edge_index, num_nodes)
        self.num_nodes = num_nodes
        self.csr = indptr, indices = _simple_csr(edge_index.detach().cpu().numpy(), num_nodes)
        rows = np.repeat(np.arange(num_nodes), np.diff(indptr))
        self.edge_index = torch.from_numpy(np.stack([rows, indices.astype(np.int64)]))
        back = transpose_csr(indptr, indices, num_nodes)[:2]
        self.undirected = all(np.array_equal(one, other) for one, other in zip(self.csr, back, strict=True))
        self.csr_t = self.csr if self.undirected else back
        ends = torch.bincount(self.edge_index.flatten(), minlength=num_nodes)
        self.degree = ends // 2 if self.undirected else ends

    def common_neighbors(self, pairs: Tensor) -> Tensor:
        r"""Return :math:`\sum_w A_{uw} A_{wv}` for pairs ``[2, pairs]``."""
        return self._common(pairs, torch.ones(self.num_nodes))

    def adamic_adar(self, pairs: Tensor) -> Tensor:
        r"""Return :math:`\sum_w A_{uw} A_{wv} / \log d_w` for pairs ``[2, pairs]``."""
        return self._common(pairs, 1 / self.degree.clamp(min=2).log())

    def resource_allocation(self, pairs: Tensor) -> Tensor:
        r"""Return :math:`\sum_w A_{uw} A_{wv} / d_w` for pairs ``[2, pairs]``."""
        return self._common(pairs, 1 / self.degree.clamp(min=1))

    def _common(self, pairs: Tensor, weights: Tensor) -> Tensor:
        """Return the sum of ``weights [nodes]`` over common neighbours."""
        first, second = (ends.contiguous().numpy() for ends in self._pairs(pairs))
        many, index = len(first), self.csr[0].dtype if len(first) < 2**31 else np.int64
        starts, targets, order = (np.empty(size, index) for size in (self.num_nodes + 1, many, many))
        # Of an undirected graph the neighbours of the node that has fewer are looked up among those of the other.
        degree = self.degree.numpy() if self.undirected else np.zeros(self.num_nodes, np.int64)
        pair_paths.group_pairs(first, second, degree, starts, targets, order)
        sources = np.flatnonzero(np.diff(starts)).astype(index)
        bounds, sums = np.append(starts[sources], many).astype(index), np.empty(many, np.float32)
        given, graph = weights.double().contiguous().numpy(), (self.csr, self.csr_t)
        over_range(pair_paths.common_sums, len(sources), bounds, sources, targets, order, *graph, given, sums)
        return torch.from_numpy(sums)

    def paths(self, pairs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return weighted numbers of paths of two and of three edges, each ``[pairs, kinds]`` in float32.

        :math:`\sum_w A_{uw} f_w A_{wv}` and :math:`\sum_{wx} A_{uw} f_w A_{wx} f_x A_{xv}`, the second with paths that
        pass an end of the pair again. For one source the cost is that of the edges within two steps, and nothing is as
        large as nodes by nodes.

        Args:
            pairs: ``[2, pairs]``.
            weights: :math:`f`, several beside each other, ``[nodes, kinds]``.
        """
        ends = self._pairs(pairs)
        if weights.dim() != 2 or weights.size(0) != self.num_nodes:
            raise ValueError(f"`weights` must have shape [{self.num_nodes}, kinds], got {list(weights.shape)}.")
        sources, bounds, order = _groups(ends[0], self.num_nodes)
        targets = ends[1][order].numpy()
        shape = len(order), weights.size(1)
        two, three = np.zeros(shape), np.zeros(shape)
        given = weights.double().cpu().contiguous().numpy()
        over_range(
            pair_paths.path_sums, len(sources), bounds, sources, targets, self.csr, self.csr_t, given, two, three
        )
        found = torch.empty(2, *shape)
        found[:, order] = torch.from_numpy(np.stack([two, three])).float()
        return found[0], found[1]

    def common_nodes(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nodes that lie on paths of two edges: of which pair each is, and which node, ``[found]`` twice."""
        ends = self._pairs(pairs)
        sources, bounds, order = _groups(ends[0], self.num_nodes)
        targets = ends[1][order].numpy()
        counts = np.zeros(len(order), np.int64)
        over_range(pair_paths.path_counts, len(sources), bounds, sources, targets, self.csr, self.csr_t, counts)
        offsets = np.concatenate([[0], counts.cumsum()])
        nodes = np.empty(offsets[-1], np.int64)
        over_range(pair_paths.path_nodes, len(sources), bounds, sources, targets, self.csr, self.csr_t, offsets, nodes)
        return order.repeat_interleave(torch.from_numpy(counts)), torch.from_numpy(nodes)

    def nodes_within(self, nodes: Tensor, most: int, *, steps: int = 2) -> Tensor:
        """Return pairs of some nodes with those that paths of two, ..., ``steps`` edges lead to, ``[2, pairs]``.

        Of each length at most so many are taken for a node, those over which most comes where a node passes on what it
        has in equal parts; of them alone longer paths go on. A pair may occur more than once, and may be an edge.

        Args:
            nodes: ``[nodes]``.
            most: of each node and length.
            steps: at least 2.
        """
        from scipy.sparse import csr_array, diags_array

        node_ids("nodes", nodes, self.num_nodes)
        at_least("steps", steps, 2)
        indptr, indices = self.csr
        adjacency = csr_array((np.ones(len(indices)), indices, indptr), shape=(self.num_nodes, self.num_nodes))
        passed = diags_array(1 / self.degree.clamp(min=1).numpy()) @ adjacency
        come, found = adjacency[nodes.numpy()], []
        for _ in range(steps - 1):
            come = (come @ passed).tocsr()
            row = np.repeat(np.arange(len(nodes)), np.diff(come.indptr))
            order = np.lexsort((come.indices, -come.data, row))
            kept = order[np.arange(len(order)) - come.indptr[row[order]] < most]
            found.append(np.stack([nodes.numpy()[row[kept]], come.indices[kept]]))
            come = csr_array((come.data[kept], (row[kept], come.indices[kept])), shape=come.shape)
        return torch.from_numpy(np.concatenate(found, 1)).long()

    def katz(self, pairs: Tensor, *, beta: float = 0.005, steps: int = 5) -> Tensor:
        r"""Return :math:`\sum_{l=1}^{s} \beta^l (A^l)_{uv}` for pairs ``[2, pairs]``, walks at most ``steps`` long."""
        positive("beta", beta)
        at_least("steps", steps, 1)
        adjacency = SparseOperator.from_edge_index(self.edge_index, num_nodes=self.num_nodes)

        def follow(start: Tensor) -> Tensor:
            walk, total = start, torch.zeros_like(start)
            for _ in range(steps):
                walk = beta * (adjacency @ walk)
                total += walk
            return total

        return self._from_sources(pairs, follow)

    def pagerank(self, pairs: Tensor, *, teleport: float = 0.15, steps: int = 10) -> Tensor:
        r"""Return personalised PageRank of v as seen from u, and of u as seen from v, added up, for ``[2, pairs]``.

        :math:`\pi_u = \sum_{k=0}^{s} \alpha (1 - \alpha)^k (P^\top)^k e_u` with :math:`P = D^{-1} A`. The cost is
        that of ``steps`` sparse products with a column for each node that stands first in a pair.

        Args:
            pairs: ``[2, pairs]``.
            teleport: :math:`\alpha`, above 0 and at most 1.
            steps: after which walks end.
        """
        follow = self._walks(teleport, steps)
        ahead = self._from_sources(pairs, follow)
        if self.undirected:  # detailed balance: walks from v to u are those from u to v, by the degrees of their ends
            u, v = self._pairs(pairs)
            ratio = self.degree[u].float() / self.degree[v].clamp(min=1)
            back = torch.where(self.degree[v] > 0, ahead * ratio, ahead)
            return ahead + back
        return ahead + self._from_sources(pairs.flip(0), follow)

    def pagerank_rows(self, nodes: Tensor, *, teleport: float = 0.15, steps: int = 10) -> Tensor:
        """Return personalised PageRank of all nodes as seen from some, ``[nodes, all nodes]``."""
        node_ids("nodes", nodes, self.num_nodes)
        start = torch.zeros(self.num_nodes, len(nodes))
        start[nodes, torch.arange(len(nodes))] = 1
        return self._walks(teleport, steps)(start).T

    def _walks(self, teleport: float, steps: int) -> Callable[[Tensor], Tensor]:
        """Return what follows walks that end with a probability at each step, a column each."""
        fraction("teleport", positive("teleport", teleport))
        at_least("steps", steps, 1)
        out = torch.bincount(self.edge_index[0], minlength=self.num_nodes).clamp(min=1)
        values = (1 - teleport) / out[self.edge_index[0]].float()
        step = SparseOperator.from_edge_index(self.edge_index, values, num_nodes=self.num_nodes)

        def follow(start: Tensor) -> Tensor:
            walk = teleport * start
            total = walk.clone()
            for _ in range(steps):
                walk = step @ walk
                total += walk
            return total

        return follow

    def neighbor_similarity(self, pairs: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return how alike u is to the neighbour of v that is most like it, and v to one of u, each ``[pairs]``.

        Args:
            pairs: ``[2, pairs]``.
            rows: of length 1, ``[nodes, width]``; 0 is returned where there is no neighbour.
        """
        if rows.dim() != 2 or rows.size(0) != self.num_nodes:
            raise ValueError(f"`rows` must have shape [{self.num_nodes}, width], got {list(rows.shape)}.")
        ends, given = self._pairs(pairs), rows.detach().float().cpu().contiguous().numpy()
        found = []
        for (one, other), csr in ((ends, self.csr_t), (ends.flip(0), self.csr)):
            out = np.zeros(ends.size(1), np.float32)
            over_range(pair_paths.neighbor_maxima, len(out), one.numpy(), other.numpy(), *csr, given, NEIGHBORS, out)
            found.append(torch.from_numpy(out))
        return found[0], found[1]

    def _from_sources(self, pairs: Tensor, follow: Callable[[Tensor], Tensor]) -> Tensor:
        """Return what reaches the second node of each pair of what starts in the first one."""
        ends = self._pairs(pairs)
        found = torch.empty(ends.size(1))
        sources, slots = ends[0].unique(return_inverse=True)
        order = slots.argsort(stable=True)
        width = max(1, min(len(sources), ENTRIES // max(self.num_nodes, 1)))
        bounds = torch.searchsorted(slots[order], torch.arange(0, len(sources) + width, width)).tolist()
        for block, first in enumerate(range(0, len(sources), width)):
            several = sources[first : first + width]
            start = torch.zeros(self.num_nodes, len(several))
            start[several, torch.arange(len(several))] = 1
            chosen = order[bounds[block] : bounds[block + 1]]
            found[chosen] = follow(start)[ends[1][chosen], slots[chosen] - first]
        return found

    def _pairs(self, pairs: Tensor) -> Tensor:
        return checked_pairs(pairs, self.num_nodes)


def checked_pairs(pairs: Tensor, num_nodes: int) -> Tensor:
    """Return pairs of nodes ``[2, pairs]`` on the CPU, or refuse what are none."""
    if tensor("pairs", pairs).dim() != 2 or pairs.size(0) != 2:
        raise ValueError(f"`pairs` must have shape [2, pairs], got {list(pairs.shape)}.")
    node_ids("pairs", pairs.flatten(), num_nodes)
    return pairs.detach().cpu().long()


def row_products(rows: Tensor, pairs: Tensor, others: Tensor | None = None) -> Tensor:
    """Return the inner product of two rows for each of ``pairs`` ``[2, pairs]``, so many at a time as memory allows.

    Args:
        rows: ``[nodes, width]``.
        pairs: the first node's row is of ``rows``, the second's of ``others`` where they are given.
        others: ``[nodes, width]``.

    Example:
        >>> row_products(torch.eye(2), torch.tensor([[0, 0], [0, 1]])).tolist()
        [1.0, 0.0]
    """
    ends = checked_pairs(pairs, rows.size(0)).to(rows.device)
    second = rows if others is None else others
    block = max(1, ENTRIES // max(rows.size(1), 1))
    parts = [(rows[some[0]] * second[some[1]]).sum(-1) for some in ends.split(block, 1)]
    return torch.cat(parts) if parts else rows.new_empty(0)


def similarity_ranks(rows: Tensor, pairs: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return the share of ``reference`` nodes that are more like u than v is, and more like v than u, ``[pairs]``.

    Two nodes may be as alike as others and yet be the nearest that there are: what is high differs between nodes.

    Args:
        rows: of length 1, ``[nodes, width]``.
        pairs: ``[2, pairs]``.
        reference: nodes, ``[nodes]``; of a large graph some of them.

    Example:
        >>> rows = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
        >>> near, far = similarity_ranks(rows, torch.tensor([[0], [1]]), torch.arange(3))
        >>> round(near.item(), 2), round(far.item(), 2)
        (0.33, 0.33)
    """
    ends, own = checked_pairs(pairs, rows.size(0)), row_products(rows, pairs)
    there, found = rows[reference].T, []
    for one in ends:
        nodes, slots = one.unique(return_inverse=True)
        order = slots.argsort(stable=True)
        share = torch.empty(len(one))
        width = max(1, ENTRIES // max(len(reference), 1))
        bounds = torch.searchsorted(slots[order], torch.arange(0, len(nodes) + width, width)).tolist()
        for block, first in enumerate(range(0, len(nodes), width)):
            alike = rows[nodes[first : first + width]] @ there
            chosen = order[bounds[block] : bounds[block + 1]]
            for some in chosen.split(width):
                above = own[some][:, None] + ROUNDING  # v itself is not more alike than v
                share[some] = (alike[slots[some] - first] > above).sum(1) / alike.size(1)
        found.append(share)
    return found[0], found[1]


def _simple_csr(ends: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return edges as starts of rows and ascending columns, each once and no loops."""
    index = np.int32 if max(ends.shape[1], nodes) < 2**31 else np.int64  # half the memory to look up
    indptr, columns, _ = coo_to_csr(ends[0], ends[1], (nodes, nodes), index)
    kept = columns != np.repeat(np.arange(nodes, dtype=index), np.diff(indptr))
    copies = columns[1:] == columns[:-1]
    starts = indptr[1:-1]
    copies[starts[(starts > 0) & (starts < len(columns))] - 1] = False  # of another row
    kept[1:] &= ~copies
    return np.concatenate([[0], kept.cumsum()]).astype(index)[indptr], columns[kept]


def _groups(sources: Tensor, nodes: int) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """Return the different sources, the bounds of their groups, and the order that groups pairs so."""
    if nodes > 4 * len(sources):
        order = sources.argsort(stable=True)
        values, counts = sources[order].unique_consecutive(return_counts=True)
        bounds = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
        return values.numpy(), bounds.numpy(), order
    starts, grouped = group_order(sources.contiguous().numpy(), nodes)
    there = np.flatnonzero(np.diff(starts))
    return there, np.append(starts[there], len(sources)).astype(np.int64), torch.from_numpy(grouped).long()

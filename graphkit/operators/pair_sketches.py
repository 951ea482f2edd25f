"""Numbers of nodes by their distances from both nodes of a pair, estimated from sketches of what is around each."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphkit import _checks
from graphkit._kernels import sketches
from graphkit._kernels.resources import over_range, over_rows
from graphkit.operators.pair_scores import PairScores, checked_pairs

BUCKETS = {16: 0.673, 32: 0.697, 64: 0.709}
"""Corrections of small numbers of registers."""


class PairSketches:
    r"""Sketches of the nodes around each node, from which numbers of nodes around pairs are estimated.

    With :math:`N_i(u)` the nodes at most :math:`i` steps from u, their sizes come from registers of HyperLogLog and
    :math:`|N_i(u) \cap N_j(v)|` from the share of hashes whose minima are equal. The cost of a pair does not depend on
    how many neighbours its nodes have.

    Args:
        edge_index: ``[2, edges]``; directions are not looked at, nor are self-loops and copies.
        num_nodes: how many nodes there are.
        hops: steps, from 1 to 4.
        permutations: hashes of which minima are kept, at least 1; the error of a share s is
            :math:`\sqrt{s (1 - s) / n}`.
        precision: :math:`2^p` registers, p from 4 to 12; the error of a size is about :math:`1.04 \cdot 2^{-p/2}`.
        seed: of the hashes.

    Raises:
        ValueError: for edges of nodes that are not there, and numbers out of their range.

    Source: Chamberlain et al. (2023), arXiv:2209.15486, section 4, equations 6 to 8; Broder (1997) for minima; Flajolet
    et al. (2007) for registers, with linear counting of small sets, where the authors' code interpolates biases.

    Example:
        >>> path = torch.tensor([[0, 1, 2], [1, 2, 3]])
        >>> sketches = PairSketches(path, 4, hops=1)
        >>> sketches.counts(torch.tensor([[0], [2]])).round().tolist()  # 1 is near both, 0 one, 2 and 3 the other
        [[1.0, 1.0, 2.0]]
    """

    def __init__(
        self,
        edge_index: Tensor,
        num_nodes: int,
        *,
        hops: int = 2,
        permutations: int = 128,
        precision: int = 8,
        seed: int = 0,
    ) -> None:
        self.hops = _checks.integer_between("hops", hops, 1, 4)
        count = _checks.integer_between("permutations", permutations, 1, 2**16)
        width = 2 ** _checks.integer_between("precision", precision, 4, 12)
        key = np.uint64(_checks.seed("seed", seed) % 2**64)
        _checks.edge_index_in_range(edge_index, num_nodes)
        graph = PairScores(torch.cat([edge_index, edge_index.flip(0)], 1), num_nodes)
        self.num_nodes = num_nodes
        self._correction = BUCKETS.get(width, 0.7213 / (1 + 1.079 / width))
        minima, registers = np.empty((num_nodes, count), np.uint32), np.empty((num_nodes, width), np.uint8)
        over_range(sketches.node_sketches, num_nodes, key, minima, registers)
        self._minima, self._registers, self._sizes = [], [], []
        indptr, indices = graph.csr
        for _ in range(hops):
            near = np.empty_like(minima), np.empty_like(registers)
            over_rows(sketches.merge_sketches, indptr, count, indices, minima, registers, *near)
            minima, registers = near
            sizes = np.empty(num_nodes)
            over_range(sketches.sketch_sizes, num_nodes, registers, self._correction, sizes)
            self._minima.append(minima)
            self._registers.append(registers)
            self._sizes.append(torch.from_numpy(sizes))

    def overlaps(self, pairs: Tensor) -> Tensor:
        r"""Return :math:`|N_i(u) \cap N_j(v)|` for ``pairs [2, pairs]``, ``[pairs, hops, hops]`` in float64."""
        u, v = checked_pairs(pairs, self.num_nodes)
        first, second = u.contiguous().numpy(), v.contiguous().numpy()
        found = np.empty((self.hops, self.hops, len(first)))
        for i in range(self.hops):
            for j in range(self.hops):
                tables = self._minima[i], self._registers[i], self._minima[j], self._registers[j]
                over_range(sketches.sketch_overlaps, len(first), first, second, *tables, self._correction, found[i, j])
        return torch.from_numpy(found).permute(2, 0, 1)

    def counts(self, pairs: Tensor) -> Tensor:
        """Return numbers of nodes by their distances from both nodes of each pair, ``[pairs, columns]`` in float32.

        First those of nodes i steps from one and j from the other, i at most j: (1, 1), (1, 2), (2, 2); then of nodes i
        steps from one and more than ``hops`` from the other, for each i the smaller number and the larger one. A node
        is at most one step from itself. The order of a pair says nothing.
        """
        u, v = checked_pairs(pairs, self.num_nodes).sort(0).values
        within = self.overlaps(torch.stack([u, v]))
        exact = within.clone()
        exact[:, 1:] -= within[:, :-1]
        exact[:, :, 1:] -= within[:, :, :-1]
        exact[:, 1:, 1:] += within[:, :-1, :-1]
        columns = [
            exact[:, i, j] if i == j else exact[:, i, j] + exact[:, j, i]
            for j in range(self.hops)
            for i in range(j + 1)
        ]
        for i in range(self.hops):
            shell = self._sizes[i] - self._sizes[i - 1] if i else self._sizes[i]
            alone = shell[u] - exact[:, i].sum(1), shell[v] - exact[:, :, i].sum(1)
            columns += [torch.minimum(*alone), torch.maximum(*alone)]
        return torch.stack(columns, 1).clamp(min=0).float()

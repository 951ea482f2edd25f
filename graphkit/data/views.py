"""Views of a graph: the ways in which rows of nodes can be seen, computed once, without labels and without training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import coalesce

from graphkit import _checks
from graphkit.data.validation import validate
from graphkit.operators import SparseOperator, gcn_adjacency, mean_adjacency
from graphkit.operators.edges import edges_of
from graphkit.operators.views import canonical_map, leading_directions, unit_view, view_rows, weighted_rows

VIEWS = (
    "raw",
    "raw-centred",
    "averaged-1-centred",
    "averaged-2",
    "averaged-2-centred",
    "averaged-4",
    "averaged-4-centred",
    "averaged-8-centred",
    "averaged-16-centred",
    "pagerank-centred",
    "neighbours-1",
    "neighbours-1-centred",
    "neighbours-2-centred",
    "high-pass",
    "adjacency-1",
    "adjacency-2",
    "adjacency-4",
    "degrees",
    "canonical",
    "canonical-2",
    "canonical-4",
    "canonical-8",
)
"""The views, in the order in which :func:`graph_views` stacks them."""

CANONICAL = {
    "canonical": "raw",
    "canonical-2": "averaged-2",
    "canonical-4": "averaged-4",
    "canonical-8": "averaged-8",
}
"""Views along the directions that neighbours share, and the rows that are seen so; their mean is taken away."""

OWN = ("raw", "raw-centred", "high-pass")
"""Those in which a node's own features stand out."""

ALIKE = 1.3
"""Standard deviations above chance at which neighbours count as half alike."""

WIDTH = 128
"""Numbers of a row: wider features, and rows of the adjacency, are brought to their leading directions."""

WIDEST = 2**16
"""What a width can be."""

LARGEST = 2**32
"""Bytes that all rows take at most; on graphs of some 500,000 nodes and more they are narrower for it."""

WAVES = 64
"""Frequencies that tell degrees apart, half of the numbers in a row of the degrees."""


@dataclass(frozen=True)
class GraphViews:
    """Unit rows of each node in each view.

    Args:
        names: of the views.
        rows: ``[nodes, views, width]``, float32; a view that a graph has not is zero, as is a row that is.
    """

    names: tuple[str, ...]
    rows: Tensor

    def __getitem__(self, name: str) -> Tensor:
        """Return the rows of one view, ``[nodes, width]``.

        Raises:
            ValueError: for a view that is not there.
        """
        return self.rows[:, self.names.index(_checks.member("name", name, self.names))]

    def edge_similarity(self) -> float:
        r"""Return how much neighbours' features are alike beyond chance, from 0 to 1; 1 where no two nodes share any.

        With :math:`c` the mean inner product of a node's centred features with what its neighbours have in the mean,
        less that of all pairs, over the deviation of the pairs, it is :math:`c^4 / (1.3^4 + c^4)`. Where it is near 0,
        nodes that lie together need not be of a class, and what unlabelled nodes say of one is worth little.

        Example:
            >>> pairs = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
            >>> alike, unlike = torch.eye(2)[[0, 0, 1, 1]], torch.eye(2)[[0, 1, 0, 1]]
            >>> [round(graph_views(Data(x=x, edge_index=pairs), width=2).edge_similarity(), 1) for x in (alike, unlike)]
            [0.3, 0.0]
        """
        own, near = self["raw-centred"].double(), self["neighbours-1-centred"].double()
        if not own.any():
            return 1.0
        there = own.any(-1) & near.any(-1)
        own, near = own[there], near[there]
        chance = float(own.mean(0) @ near.mean(0))
        spread = float(((own.T @ own) * (near.T @ near)).sum()) / max(1, len(own)) ** 2 - chance**2
        if spread <= 0:
            return 0.0
        alike = (float((own * near).sum(-1).mean()) - chance) / math.sqrt(spread)
        return alike**4 / (ALIKE**4 + alike**4) if alike > 0 else 0.0

    def prior(self) -> tuple[float, ...]:
        """Return the logarithm of how much each view weighs before anything is known of labels.

        The less neighbours are alike, the more a node's own features weigh, for there averages are of nodes that need
        not be of its class: by a factor of 7 at most, and of a third where neighbours are as alike as can be. The
        directions that neighbours share weigh the more, the more alike these are: from a third to three.

        Example:
            >>> pairs = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
            >>> unlike = graph_views(Data(x=torch.eye(2)[[0, 1, 0, 1]], edge_index=pairs), width=2)
            >>> dict(zip(unlike.names, unlike.prior(), strict=True))["raw"]
            2.0
        """
        alike = self.edge_similarity()
        by_name = dict.fromkeys(OWN, 2 - 3 * alike) | dict.fromkeys(CANONICAL, 2 * alike - 1)
        return tuple(by_name.get(name, 0.0) for name in self.names)


def graph_views(data: Data, *, width: int | None = None) -> GraphViews:
    r"""Return what few-shot learners may choose from: features, what neighbours make of them, structure without them.

    With :math:`X` the features, of which rare ones weigh more, :math:`\hat A` the adjacency of GCN and :math:`P` the
    mean over neighbours, both of the graph with every edge in both directions and without weights, rows are those of

    ========================  =================================================================
    ``raw``                   :math:`X`
    ``averaged-K``            :math:`\hat A^K X`
    ``pagerank``              :math:`\sum_k \alpha (1 - \alpha)^k \hat A^k X`, to 16 steps
    ``neighbours-K``          :math:`P^K X`: a node itself takes no part
    ``high-pass``             :math:`X - \hat A X`
    ``adjacency-K``           :math:`\hat A^{K-1} D^{-1/2} A D^{-1/2}`: who is near whom
    ``degrees``               own degree, mean and spread of the neighbours', two steps away
    ``canonical-K``           :math:`\hat A^K X Q`, :math:`Q` the directions that neighbours share, all centred
    ========================  =================================================================

    and the same "centred": the mean over all nodes is taken away, as what all have in common tells no class from
    another. Rows have length 1. Where features are wider than ``width`` they are seen along their leading singular
    directions, which keeps inner products as well as so many numbers can, and :math:`D^{-1/2} A D^{-1/2}` always is.
    :math:`Q` is the :func:`graphkit.operators.views.canonical_map` of :math:`X` and :math:`PX`: what a node's features
    say that those of its neighbours never do is left out.
    Features that no two nodes share, as the identity, have no ``raw``: they say something by neighbours alone.

    Args:
        data: a graph with ``edge_index``; ``x`` may be dense, sparse or not there.
        width: numbers of a row, 2 to 65,536; by default 128, or fewer where all rows would take more than 4 GiB.

    Raises:
        TypeError: if ``data`` is no ``Data``.
        ValueError: for features that are no matrix, or not finite.

    Source: Wu et al. (2019), arXiv:1902.07153, for averaged features; Zhao et al. (2024), arXiv:2405.20445, for several
    of these views beside each other; scikit-learn's smoothed inverse document frequency for the weights of features.

    Example:
        >>> path = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> views = graph_views(path, width=4)
        >>> views.rows.shape, (2 * views["neighbours-1"][1] ** 2).round().tolist()
        (torch.Size([3, 22, 4]), [1.0, 0.0, 1.0, 0.0])
    """
    _checks.instance("data", data, Data, "a torch_geometric.data.Data")
    nodes = (data.num_nodes or 0) if data.keys() else 0
    validate(Data(edge_index=data.get("edge_index"), num_nodes=nodes))
    width = min(WIDTH, max(16, LARGEST // (4 * len(VIEWS) * max(nodes, 1)))) if width is None else width
    _checks.integer_between("width", width, 2, WIDEST)
    edge_index = _both_directions(data)
    rows = torch.zeros(nodes, len(VIEWS), width, device=edge_index.device)
    made: dict[str, Tensor] = {}
    for name, found in _structure_rows(edge_index, nodes, width):
        made[name] = found
    x = data.get("x")
    if x is not None:
        if not isinstance(x, Tensor | SparseOperator) or x.dim() != 2 or x.size(0) != nodes:
            shape = list(x.shape) if hasattr(x, "shape") else type(x).__name__
            raise ValueError(f"`x` must be a matrix of features, [{nodes}, features], got {shape}.")
        known, shared = leading_features(x, width)
        smooth, mean = gcn_adjacency(edge_index, num_nodes=nodes), mean_adjacency(edge_index, num_nodes=nodes)
        for name, found in view_rows(known, smooth.__matmul__, mean.__matmul__):
            if shared or name != "raw":
                made[name] = found
        shares = canonical_map(known, made["neighbours-1"])
        made |= {name: made[plain] @ shares for name, plain in CANONICAL.items() if plain in made}
    for place, name in enumerate(VIEWS):
        plain = name.removesuffix("-centred")
        if plain in made:
            found = made[plain]
            found = unit_view(found, found.mean(0) if name != plain or name in CANONICAL else None)
            rows[:, place, : found.size(1)] = found
    return GraphViews(VIEWS, rows)


def _both_directions(data: Data) -> Tensor:
    """Return the edges in both directions, each once, without self-loops."""
    edge_index = edges_of(data.edge_index, num_nodes=data.num_nodes).index
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    return coalesce(torch.cat((edge_index, edge_index.flip(0)), 1), num_nodes=data.num_nodes)


def _structure_rows(edge_index: Tensor, nodes: int, width: int) -> Iterator[tuple[str, Tensor]]:
    """Yield rows that look at edges alone, by name."""
    smooth, mean = gcn_adjacency(edge_index, num_nodes=nodes), mean_adjacency(edge_index, num_nodes=nodes)
    scaled = gcn_adjacency(edge_index, num_nodes=nodes, add_self_loops=False)
    who = leading_directions(scaled.to_scipy(), width)[0].to(edge_index.device)
    yield "adjacency-1", who
    who = smooth @ who
    yield "adjacency-2", who
    yield "adjacency-4", smooth @ (smooth @ who)
    degree = torch.zeros(nodes, 1, device=edge_index.device).index_add(
        0, edge_index[0], torch.ones(edge_index.size(1), 1, device=edge_index.device)
    )
    near = mean @ degree
    spread = (mean @ degree.square() - near.square()).clamp(min=0).sqrt()
    looks = torch.cat((degree, near, mean @ near, spread), 1).log1p()
    looks = (looks - looks.mean(0)) / looks.std(0, correction=0).clamp(min=1e-9)
    waves = min(WAVES, width // 2)
    frequencies = torch.randn(looks.size(1), waves, generator=torch.Generator().manual_seed(0)).to(looks.device)
    yield "degrees", torch.cat(((looks @ frequencies).cos(), (looks @ frequencies).sin()), 1)


def leading_features(x: Any, width: int) -> tuple[Tensor, bool]:
    """Return unit rows of features, the rare of which weigh more, and whether two nodes have one in common."""
    device = x.device
    if not x.size(1):
        return torch.zeros(x.size(0), 1, device=device), False
    weighted = weighted_features(x)
    return leading_directions(weighted, width)[0].to(device), bool((np.bincount(weighted.indices) > 1).any())


def weighted_features(x: Any) -> Any:
    """Return unit rows of features, the rare of which weigh more, as a SciPy matrix ``[nodes, features]``."""
    if isinstance(x, Tensor):
        x = SparseOperator.from_torch(x) if x.layout != torch.strided else csr_array(x.detach().cpu().numpy())
    return weighted_rows(x.to_scipy().tocsr() if isinstance(x, SparseOperator) else x)[0]

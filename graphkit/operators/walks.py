"""Walks and heat on many small graphs: how likely a walk is to be back, and how much heat a node has kept."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from graphkit._checks import at_least
from graphkit.operators.autograd import outside_transforms

AT_ONCE = 1 << 22
"""Entries of dense matrices that are multiplied together."""


@torch.no_grad()
def return_probabilities(edge_index: Tensor, batch: Tensor, graphs: int, *, steps: int) -> Tensor:
    r"""Return the probability of a walk to be where it began after 1, 2, ..., ``steps`` steps, ``[nodes, steps]``.

    A walk takes one of the edges that leave a node, each as likely as any other; where none leaves, it ends. Graphs of
    about one size are multiplied together as dense matrices, half as often as there are steps:
    :math:`(P^{a+b})_{ii} = \sum_j (P^a)_{ij} (P^b)_{ji}`.

    Args:
        edge_index: edges of all graphs, ``[2, edges]``; one that stands there twice is taken twice as often.
        batch: graph of each node, ``[nodes]``, ascending.
        graphs: how many.
        steps: at least 1.

    Source: Dwivedi et al. (2022), arXiv:2110.07875, section 4.1.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> return_probabilities(path, torch.zeros(3, dtype=torch.long), 1, steps=2).tolist()
        [[0.0, 0.5], [0.0, 1.0], [0.0, 0.5]]
    """
    at_least("steps", steps, 1)
    found = torch.zeros(len(batch), steps, device=batch.device)
    for nodes, places, counts in _blocks(edge_index, batch, graphs):
        found[nodes] = _diagonals(counts / counts.sum(2, keepdim=True).clamp(min=1), steps)[places]
    return found


@torch.no_grad()
def heat_kept(edge_index: Tensor, batch: Tensor, graphs: int, *, times: int) -> Tensor:
    r"""Return how much heat each node has kept of its own at several times, ``[nodes, times]``.

    That is the diagonal of :math:`\exp(-t L)` at :math:`t = 1/4, 1/2, 1, 2, 4, \ldots` for the symmetric normalised
    Laplacian :math:`L`, the edges of each graph being taken in both directions. Unlike eigenvectors it depends on no
    sign and on no choice of a basis. A node without edges keeps all.

    Args:
        edge_index: edges of all graphs, ``[2, edges]``.
        batch: graph of each node, ``[nodes]``, ascending.
        graphs: how many.
        times: how many times, at least 1.

    Source: Sun, Ovsjanikov & Guibas (2009), "A concise and provably informative multi-scale signature based on heat
    diffusion", equation 4, on surfaces.

    Example:
        >>> pair = torch.tensor([[0, 1], [1, 0]])
        >>> heat_kept(pair, torch.zeros(2, dtype=torch.long), 1, times=3).round(decimals=2)
        tensor([[0.8000, 0.6800, 0.5700],
                [0.8000, 0.6800, 0.5700]])
    """
    time = 2.0 ** (torch.arange(at_least("times", times, 1), device=batch.device) - 2)
    found = torch.zeros(len(batch), times, device=batch.device)
    for nodes, places, counts in _blocks(edge_index, batch, graphs):
        weights = (counts + counts.mT) / 2
        degree = weights.sum(2)
        scale = torch.where(degree > 0, degree.clamp(min=1e-12).rsqrt(), 0.0)
        laplacian = torch.diag_embed((degree > 0).float()) - scale[:, :, None] * weights * scale[:, None, :]
        values, vectors = torch.linalg.eigh(laplacian)
        kept = vectors.square() @ torch.exp(-values[:, :, None] * time)
        found[nodes] = kept[places]
    return found


def _blocks(edge_index: Tensor, batch: Tensor, graphs: int) -> Iterator[tuple[Tensor, tuple[Tensor, Tensor], Tensor]]:
    """Yield nodes of graphs of about one size, a mask; where they stand; and dense counts of edges of these graphs."""
    with outside_transforms():
        sizes = torch.bincount(batch, minlength=graphs)
        place = torch.arange(len(batch), device=batch.device) - (sizes.cumsum(0) - sizes)[batch]
        classes = (sizes.clamp(min=1) * 2 - 1).log2().floor().long()  # of sizes: up to 1, 2, 4, 8, ... nodes
        for size in classes.unique().tolist():
            here = ((classes == size) & (sizes > 0)).nonzero().squeeze(1)
            width = int(sizes[here].max()) if len(here) else 1
            for chosen in here.split(max(AT_ONCE // width**2, 1)):
                row = torch.full_like(sizes, -1)
                row[chosen] = torch.arange(len(chosen), device=batch.device)
                source, target = edge_index[:, row[batch[edge_index[0]]] >= 0]
                number = (row[batch[source]] * width + place[source]) * width + place[target]
                counts = torch.bincount(number, minlength=len(chosen) * width**2).view(-1, width, width).float()
                nodes = row[batch] >= 0
                yield nodes, (row[batch[nodes]], place[nodes]), counts


def _diagonals(matrix: Tensor, steps: int) -> Tensor:
    """Return the diagonals of the powers 1, 2, ..., ``steps`` of matrices, ``[matrices, width, steps]``."""
    power, found = matrix, [matrix.diagonal(dim1=1, dim2=2)]
    while len(found) < steps:
        found.append((power * power.mT).sum(2))
        if len(found) < steps:
            following = power @ matrix
            found.append((power * following.mT).sum(2))
            power = following
    return torch.stack(found, 2)

"""Random walks on many small graphs: how likely each node is to be back after so many steps."""

from __future__ import annotations

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
    with outside_transforms():
        sizes = torch.bincount(batch, minlength=graphs)
        place = torch.arange(len(batch), device=batch.device) - (sizes.cumsum(0) - sizes)[batch]
        found = torch.zeros(len(batch), steps, device=batch.device)
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
                diagonals = _diagonals(counts / counts.sum(2, keepdim=True).clamp(min=1), steps)
                found[nodes] = diagonals[row[batch[nodes]], place[nodes]]
    return found


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

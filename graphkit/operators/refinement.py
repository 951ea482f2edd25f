"""Colour refinement: what the surroundings of a node look like, as a number of 64 bits that no order decides."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit._checks import at_least


def refine_colours(x: Tensor, edge_index: Tensor, edge_attr: Tensor | None = None, *, rounds: int) -> list[Tensor]:
    r"""Return the colours of nodes ``[nodes]``, int64, before the first round and after each.

    A colour is first a hash of a node's features, and then one of its colour and of the multiset of its neighbours'
    colours, each with the features of its edge: :math:`c' = h(h(\bar c) + \sum_{u \to v} h(c_u + 3 e_{uv}))`, all in
    integers modulo :math:`2^{64}`; the bits of a node's own colour are turned over (:math:`\bar c`), for else two
    neighbours could change places. Nodes of one colour see the same; others are told apart but for a chance of one in
    :math:`2^{64}` for a pair. Colours of different graphs can be compared, on any device.

    Args:
        x: features ``[nodes, features]``, numbers or integers; those that are equal in single precision are the same.
        edge_index: ``[2, edges]``.
        edge_attr: features of edges ``[edges]`` or ``[edges, features]``.
        rounds: at least 0.

    Source: Weisfeiler & Leman (1968); Shervashidze et al. (2011), JMLR 12, for the form with node labels.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> start, after = refine_colours(torch.ones(3, 1), path, rounds=1)
        >>> start.unique().numel(), after.unique().numel()
        (1, 2)
    """
    colour = hash_rows(x)
    found = [colour]
    source, target = edge_index
    edge = 0 if edge_attr is None else 3 * hash_rows(edge_attr[:, None] if edge_attr.dim() == 1 else edge_attr)
    for _ in range(at_least("rounds", rounds, 0)):
        around = torch.zeros_like(colour).index_add_(0, target, mix_bits(colour[source] + edge))
        colour = mix_bits(mix_bits(~colour) + around)
        found.append(colour)
    return found


def hash_rows(x: Tensor) -> Tensor:
    """Return a hash of each row of numbers ``[rows, columns]``, ``[rows]``, int64; zeros cost nothing.

    Example:
        >>> found = hash_rows(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -0.0]]))
        >>> found[0] == found[2], found[0] == found[1]
        (tensor(True), tensor(False))
    """
    x = x.float()
    row, column = x.nonzero().unbind(1)
    bits = x[row, column].view(torch.int32).long()
    sums = torch.zeros(len(x), dtype=torch.long, device=x.device).index_add_(0, row, mix_bits(mix_bits(bits) + column))
    return mix_bits(sums)


def mix_bits(z: Tensor) -> Tensor:
    """Return integers of 64 bits that look drawn, one for each of ``z``; different ones stay different.

    Source: Steele, Lea & Flood (2014), "Fast splittable pseudorandom number generators", the output of SplitMix64.

    Example:
        >>> mix_bits(torch.tensor([0])).item() == 0xE220A8397B1DCDAF - 2**64
        True
    """
    z = z + _as_int64(0x9E3779B97F4A7C15)
    z = (z ^ _shift(z, 30)) * _as_int64(0xBF58476D1CE4E5B9)
    z = (z ^ _shift(z, 27)) * _as_int64(0x94D049BB133111EB)
    return z ^ _shift(z, 31)


def _shift(z: Tensor, by: int) -> Tensor:
    """Return 64 bits moved to the right, with zeros from the left: a signed shift copies its sign."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _as_int64(value: int) -> int:
    """Return 64 bits as a signed number, as PyTorch has them."""
    return value - (1 << 64) if value >> 63 else value

"""Pairs, triplets and quadruplets of items by their rows, as miners return them and losses take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from graphkit._checks import dense


class Pairs(NamedTuple):
    """Pairs that belong together, ``(anchor, positive)``, and pairs that do not, ``(other, negative)``: all rows.

    Anchors are rows of ``z``; positives and negatives are rows of the reference where there is one.
    """

    anchor: Tensor
    positive: Tensor
    other: Tensor
    negative: Tensor


class Triplets(NamedTuple):
    """An anchor, an item that belongs to it and one that does not: rows ``[triplets]``."""

    anchor: Tensor
    positive: Tensor
    negative: Tensor


class Quadruplets(NamedTuple):
    """A pair that belongs together, and two items of two further classes: rows ``[quadruplets]``."""

    anchor: Tensor
    positive: Tensor
    negative: Tensor
    second: Tensor


Tuples: TypeAlias = Pairs | Triplets | Quadruplets | Sequence[Tensor]
"""Plain sequences are those of pytorch-metric-learning: three tensors are triplets, four are pairs."""


def check_tuples(given: Tuples, items: int, others: int) -> Pairs | Triplets | Quadruplets:
    """Return tuples by name, or refuse rows that do not exist, of another type or shape."""
    if not isinstance(given, Pairs | Triplets | Quadruplets):
        if not isinstance(given, tuple | list) or len(given) not in (3, 4):
            got = len(given) if isinstance(given, tuple | list) else type(given).__name__
            raise ValueError(f"`pairs` must hold 3 tensors (triplets) or 4 (pairs), got {got}.")
        given = Triplets(*given) if len(given) == 3 else Pairs(*given)
    firsts = (0, 2) if isinstance(given, Pairs) else (0,)
    for place, rows in enumerate(given):
        if dense("pairs", rows).is_floating_point() or rows.is_complex() or rows.dtype == torch.bool:
            raise TypeError(f"`pairs` must hold integers, the rows of items, got {rows.dtype}.")
        if rows.dim() != 1 or len(rows) != len(given[place // 2 * 2 if isinstance(given, Pairs) else 0]):
            raise ValueError(f"`pairs` must hold tensors of one axis and of one length, got {list(rows.shape)}.")
        limit = items if place in firsts else others
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < limit:
            raise ValueError(f"`pairs` must name rows from 0 to {limit - 1}, got {int(rows.min())}, {int(rows.max())}.")
    return given


def as_pairs(given: Pairs | Triplets | Quadruplets) -> Pairs:
    """Return the pairs of triplets, each once for every triplet it is in; pairs as they are."""
    if isinstance(given, Pairs):
        return given
    if isinstance(given, Triplets):
        return Pairs(given.anchor, given.positive, given.anchor, given.negative)
    raise ValueError("`pairs` must be pairs or triplets for this loss, got quadruplets.")


def as_triplets(given: Pairs | Triplets | Quadruplets) -> Triplets:
    """Return every pair of one class with every pair of two classes of the same anchor; triplets as they are."""
    if isinstance(given, Triplets):
        return given
    if isinstance(given, Quadruplets):
        return Triplets(given.anchor, given.positive, given.negative)
    order = given.other.argsort(stable=True)
    sorted_others = given.other[order]
    first = torch.searchsorted(sorted_others, given.anchor)
    counts = torch.searchsorted(sorted_others, given.anchor, right=True) - first
    pair = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    within = torch.arange(len(pair), device=counts.device) - (counts.cumsum(0) - counts)[pair]
    negative = given.negative[order[first[pair] + within]]
    return Triplets(given.anchor[pair], given.positive[pair], negative)

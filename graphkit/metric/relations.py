"""Who is compared with whom: which pairs are of one class, and which of two."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

ABSENT = -(2**40)
"""The place of an item that is not among the others."""


@dataclass(frozen=True, eq=False)
class PairMasks:
    """The labels of items and of the others they are compared with.

    Args:
        y: integer labels of the items ``[items]``; -1 takes no part.
        labels: those of the others ``[others]``.
        diagonal: column of the first item itself, the next item's follows; ``ABSENT`` where items are not there.
    """

    y: Tensor
    labels: Tensor
    diagonal: int = ABSENT

    @cached_property
    def positives(self) -> Tensor:
        """Pairs of one class, oneself left out, a mask ``[items, others]``."""
        equal = (self.y.unsqueeze(1) == self.labels) & (self.y >= 0).unsqueeze(1)
        if self.diagonal == ABSENT:
            return equal
        places = torch.arange(len(self.y), device=self.y.device) + self.diagonal
        return equal & (places.unsqueeze(1) != torch.arange(len(self.labels), device=self.y.device))

    @cached_property
    def negatives(self) -> Tensor:
        """Pairs of two classes, a mask ``[items, others]``."""
        return (self.y.unsqueeze(1) != self.labels) & (self.y >= 0).unsqueeze(1) & (self.labels >= 0)

    def rows(self, start: int, stop: int) -> PairMasks:
        """Return the relations of some items in a row."""
        diagonal = self.diagonal if self.diagonal == ABSENT else self.diagonal + start
        return PairMasks(self.y[start:stop], self.labels, diagonal)


class ExplicitPairMasks(PairMasks):
    """Masks in which only some pairs count: masks, in place of what labels say."""

    def __init__(self, positives: Tensor, negatives: Tensor) -> None:
        nothing = torch.full(positives.shape[:1], -1, device=positives.device)
        super().__init__(nothing, torch.full(positives.shape[1:], -1, device=positives.device))
        self.__dict__.update(positives=positives, negatives=negatives)

"""Who is compared with whom: which pairs are of one class, and which of two."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

NOBODY = -(2**40)
"""The place of an item that is not among the others."""


@dataclass(frozen=True, eq=False)
class Relations:
    """The labels of items and of the others they are compared with.

    Args:
        y: integer labels of the items ``[items]``; -1 takes no part.
        labels: those of the others ``[others]``.
        own: place of the first item among the others, the next item's follows; ``NOBODY`` where they are not there.
    """

    y: Tensor
    labels: Tensor
    own: int = NOBODY

    @cached_property
    def same(self) -> Tensor:
        """Pairs of one class, oneself left out, a mask ``[items, others]``."""
        equal = (self.y.unsqueeze(1) == self.labels) & (self.y >= 0).unsqueeze(1)
        if self.own == NOBODY:
            return equal
        places = torch.arange(len(self.y), device=self.y.device) + self.own
        return equal & (places.unsqueeze(1) != torch.arange(len(self.labels), device=self.y.device))

    @cached_property
    def different(self) -> Tensor:
        """Pairs of two classes, a mask ``[items, others]``."""
        return (self.y.unsqueeze(1) != self.labels) & (self.y >= 0).unsqueeze(1) & (self.labels >= 0)

    def rows(self, start: int, stop: int) -> Relations:
        """Return the relations of some items in a row."""
        own = self.own if self.own == NOBODY else self.own + start
        return Relations(self.y[start:stop], self.labels, own)


class NamedPairs(Relations):
    """Relations in which only some pairs count: masks, in place of what labels say."""

    def __init__(self, same: Tensor, different: Tensor) -> None:
        nothing = torch.full(same.shape[:1], -1, device=same.device)
        super().__init__(nothing, torch.full(same.shape[1:], -1, device=same.device))
        self.__dict__.update(same=same, different=different)

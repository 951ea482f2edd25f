"""What the losses share: how they are called, who is compared with whom, and what is averaged."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from graphkit._checks import embeddings, integer_labels, member
from graphkit.metric.distances import distance_matrix
from graphkit.metric.gallery import DISTANCES

REDUCTIONS = ("mean", "active", "sum")

Reference = tuple[Tensor, Tensor]


class Relations(NamedTuple):
    """Which pairs are of one class and which of two, masks ``[items, others]``, oneself left out; and both labels."""

    same: Tensor
    different: Tensor
    y: Tensor
    labels: Tensor


class Terms(NamedTuple):
    """The sum of a loss's terms, how many there are, and how many are above zero."""

    total: Tensor
    tuples: Tensor
    active: Tensor


def margin_of(argument: str, value: float) -> float:
    """Return a margin if it is a finite number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"`{argument}` must be a finite number of at least 0, got {value!r}.")
    return float(value)


class AbstractLoss(ABC):
    """A loss of embeddings and labels."""

    def __init__(self, *, distance: str, reduction: str) -> None:
        self.distance = member("distance", distance, DISTANCES)
        self.reduction = member("reduction", reduction, REDUCTIONS)

    def __call__(self, z: Tensor, y: Tensor, *, reference: Reference | None = None) -> Tensor:
        """Return the loss, a number.

        Args:
            z: embeddings ``[items, features]``.
            y: integer labels ``[items]``; rows of -1 take no part.
            reference: embeddings and labels of others that the items are compared with, in place of each other.

        Raises:
            ValueError: where shapes do not fit, or an entry is not finite.
            TypeError: for labels that are not integers.
        """
        integer_labels("y", y, len(embeddings("z", z)))
        if reference is None:
            others, labels = None, y
        else:
            if not isinstance(reference, tuple | list) or len(reference) != 2 or reference[1] is None:
                raise ValueError("`reference` must be (embeddings, labels).")
            others, labels = reference
            integer_labels("reference labels", labels, len(embeddings("reference", others)))
        relations = _relations(y, labels, itself=reference is None)
        parts = self.terms(distance_matrix(z, others, self.distance), relations)
        return torch.stack([self._reduced(part) for part in parts]).sum()

    def _reduced(self, part: Terms) -> Tensor:
        if self.reduction == "sum":
            return part.total
        return part.total / (part.tuples if self.reduction == "mean" else part.active).clamp(min=1)

    @abstractmethod
    def terms(self, distances: Tensor, relations: Relations) -> list[Terms]:
        """Return the loss's sums, each to be reduced by itself, from all distances ``[items, others]``."""


def _relations(y: Tensor, labels: Tensor, *, itself: bool) -> Relations:
    known = (y >= 0).unsqueeze(1) & (labels >= 0)
    same = y.unsqueeze(1) == labels
    apart = ~torch.eye(len(y), dtype=torch.bool, device=y.device) if itself else torch.ones_like(same)
    return Relations(same & known & apart, ~same & known, y, labels)

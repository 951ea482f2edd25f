"""How every loss is called: embeddings and labels, of one attribute or of several."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from graphkit.metric.monitoring import Telemetry
from graphkit.metric.pair_inputs import Reference, no_autocast, split_by_attribute
from graphkit.metric.tuples import Tuples


class AbstractCriterion(ABC):
    """A loss of embeddings and labels. Those that are one supply :meth:`attribute_loss` and :meth:`report`."""

    def __call__(
        self,
        z: Tensor,
        y: Tensor | None = None,
        *,
        pairs: Tuples | None = None,
        reference: Reference | None = None,
        condition: int | None = None,
    ) -> Tensor:
        """Return the loss, a number; zero, with a gradient of zero, where there is nothing to compare.

        It is computed in single precision at least, under ``torch.autocast`` too.

        Args:
            z: embeddings ``[items, features]``; with several attributes also ``[attributes, items, features]``, one for
                each condition, such as ``ConditionalSimilarity.all`` returns.
            y: integer labels ``[items]``, or of several attributes ``[items, attributes]``; -1 takes no part.
            pairs: the tuples to look at, in place of all that ``y`` allows and of the miner's; a loss that compares
                with the means of classes has none.
            reference: embeddings and labels of others that the items are compared with, in place of each other.
            condition: which attribute to look at; all, and the mean of their losses, when left out.

        Raises:
            ValueError: where shapes do not fit, an entry is not finite, a reference has no labels, or lacks a class
                that is compared by its mean, or the condition is unknown.
            TypeError: for what are no tensors, and labels that are not integers.
        """
        parts = split_by_attribute(z, y, pairs=pairs, reference=reference, condition=condition)
        with no_autocast(z):
            if parts is None:
                return self.attribute_loss(z, y, pairs, reference)
            losses = [self.attribute_loss(seen, labels, None, others) for seen, labels, others in parts]
            return torch.stack(losses).mean() if losses else z.sum() * 0

    @abstractmethod
    def attribute_loss(self, z: Tensor, y: Tensor | None, pairs: Tuples | None, reference: Reference | None) -> Tensor:
        """Return the loss under one attribute, of arguments that are yet to be looked at."""

    @abstractmethod
    def report(self, z: Tensor, y: Tensor, *, reference: Reference | None = None) -> Telemetry:
        """Return how the classes lie, and what share of its tuples or items the loss still acts on.

        Raises:
            ValueError: as a call does.
        """

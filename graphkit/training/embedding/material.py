"""What embedding training sees: items, how they are embedded, and the labels it may use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit.training.tasks import AbstractTask, Rows


@dataclass(frozen=True)
class Material:
    """Items with the labels of the training and validation items; the labels of the test items are not in it.

    Args:
        task: embeds items and holds labels.
        items: number of items.
        seen: the items that a loss without labels may look at, ``[seen]``: all of them in the transductive setting.
    """

    task: AbstractTask
    items: int
    seen: Tensor

    @property
    def train(self) -> Rows:
        """The items the loss may use the labels of."""
        return self.task.train

    @property
    def validation(self) -> Rows:
        """The items the selection looks at."""
        return self.task.validation

    def embed(self, model: Callable[..., Tensor], index: Tensor | None = None) -> Tensor:
        """Return the embeddings of some items, or of all, ``[items, dim]``."""
        every = torch.arange(self.items, device=self.seen.device) if index is None else index
        return self.task.logits(model, every)

    def without(self, classes: Tensor) -> Material:
        """Return the same items without the labels of some classes, for a class-disjoint protocol."""
        train, validation = (_without(rows, classes) for rows in (self.train, self.validation))
        task = dataclasses.replace(self.task, train=train, validation=validation)  # type: ignore[type-var]
        return dataclasses.replace(self, task=task)


def _without(rows: Rows, classes: Tensor) -> Rows:
    """Return the rows of other classes."""
    kept = ~torch.isin(rows.y, classes.to(rows.y.device))
    return Rows(rows.index[kept], rows.y[kept])

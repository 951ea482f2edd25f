"""What embedding training sees: items, how they are embedded, and the labels it may use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch_geometric.utils import subgraph

from graphkit.contrastive import View
from graphkit.operators import SparseOperator, sparse_features
from graphkit.training.classification.tasks import AbstractTask, NodeTask, Rows


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

    @cached_property
    def view(self) -> View:
        """The part of the graph that may be seen, as a loss without labels takes it."""
        if not isinstance(self.task, NodeTask):
            raise ValueError("views are drawn of the nodes of one graph; a set of graphs has none.")
        whole = View(self.task.x, *self.task.graph)
        if len(self.seen) == self.items:
            return whole
        edge_index, edge_weight = subgraph(
            self.seen, whole.edge_index, whole.edge_weight, relabel_nodes=True, num_nodes=self.items
        )
        x = whole.x
        x = sparse_features(x.to_dense()[self.seen]) if isinstance(x, SparseOperator) else x[self.seen]
        return View(x, edge_index, edge_weight)

    def without(self, classes: Tensor) -> Material:
        """Return the same items without the labels of some classes, for a class-disjoint protocol."""
        train, validation = (_without(rows, classes) for rows in (self.train, self.validation))
        task = dataclasses.replace(self.task, train=train, validation=validation)  # type: ignore[type-var]
        return dataclasses.replace(self, task=task)


def _without(rows: Rows, classes: Tensor) -> Rows:
    """Return the rows of other classes."""
    kept = ~torch.isin(rows.y, classes.to(rows.y.device))
    return Rows(rows.index[kept], rows.y[kept])

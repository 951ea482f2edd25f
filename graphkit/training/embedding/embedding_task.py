"""The task of embedding training: items, how they are embedded, and the labels it may use."""

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
from graphkit.training.classification.tasks import AbstractTask, LabelledItems, NodeTask


@dataclass(frozen=True)
class EmbeddingTask:
    """Items with the labels of the training and validation items; the labels of the test items are not in it.

    Args:
        task: embeds items and holds labels.
        items: number of items.
        visible_items: those that a loss without labels may look at, ``[visible]``: all if transductive.
    """

    task: AbstractTask
    items: int
    visible_items: Tensor

    @property
    def train(self) -> LabelledItems:
        """The items the loss may use the labels of."""
        return self.task.train

    @property
    def validation(self) -> LabelledItems:
        """The items the selection looks at."""
        return self.task.validation

    def embed(self, model: Callable[..., Tensor], index: Tensor | None = None) -> Tensor:
        """Return the embeddings of some items, or of all, ``[items, dim]``."""
        every = torch.arange(self.items, device=self.visible_items.device) if index is None else index
        return self.task.logits(model, every)

    @cached_property
    def view(self) -> View:
        """The part of the graph that may be seen, as a loss without labels takes it."""
        if not isinstance(self.task, NodeTask):
            raise ValueError("views are drawn of the nodes of one graph; a set of graphs has none.")
        whole = View(self.task.x, *self.task.graph)
        if len(self.visible_items) == self.items:
            return whole
        edge_index, edge_weight = subgraph(
            self.visible_items, whole.edge_index, whole.edge_weight, relabel_nodes=True, num_nodes=self.items
        )
        x = whole.x
        x = (
            sparse_features(x.to_dense()[self.visible_items])
            if isinstance(x, SparseOperator)
            else x[self.visible_items]
        )
        return View(x, edge_index, edge_weight)

    def drop_classes(self, classes: Tensor) -> EmbeddingTask:
        """Return the same items without the labels of some classes, for a class-disjoint protocol."""
        train, validation = (_drop_classes(rows, classes) for rows in (self.train, self.validation))
        task = dataclasses.replace(self.task, train=train, validation=validation)  # type: ignore[type-var]
        return dataclasses.replace(self, task=task)


def _drop_classes(rows: LabelledItems, classes: Tensor) -> LabelledItems:
    """Return the rows of other classes."""
    kept = ~torch.isin(rows.y, classes.to(rows.y.device))
    return LabelledItems(rows.index[kept], rows.y[kept])

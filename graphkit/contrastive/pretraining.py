"""The loop of self-supervised pre-training: full-batch steps on a loss without labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from graphkit._checks import at_least, positive, random_generator, within
from graphkit.contrastive.method import AbstractMethod
from graphkit.contrastive.views import View, checked


def pretraining(
    method: AbstractMethod,
    x: Any,
    edge_index: Tensor,
    edge_weight: Tensor | None = None,
    *,
    epochs: int,
    lr: float,
    weight_decay: float = 0.0,
    generator: torch.Generator,
) -> Iterator[float]:
    """Train a method in place, with Adam, and yield the loss of each epoch.

    Args:
        method: what is trained.
        x: features ``[nodes, features]``, dense or a ``SparseOperator``.
        edge_index: ``[2, edges]``.
        edge_weight: ``[edges]``, for encoders that use it.
        epochs: one step each, at least 1.
        lr: learning rate.
        weight_decay: of Adam, in the gradient.
        generator: draws the views.

    Raises:
        ValueError: for a graph whose parts do not fit each other, or of fewer than two nodes; while it runs, if a loss
            is not finite.
        TypeError: for what is no method, no generator, or parts of the graph of another type.

    Example:
        >>> from graphkit.contrastive import CCASSG, Augmentation
        >>> from graphkit.nn import Encoder, GCNConv
        >>> ring, x = torch.stack([torch.arange(8), torch.arange(1, 9) % 8]), torch.eye(8)
        >>> method = CCASSG(Encoder(8, 4, 4, conv=GCNConv, dropout=0.0), Augmentation(edge_drop=0.2))
        >>> drawn = torch.Generator().manual_seed(0)
        >>> losses = list(pretraining(method, x, ring, epochs=20, lr=0.01, generator=drawn))
        >>> losses[-1] < losses[0]
        True
    """
    if not isinstance(method, AbstractMethod):
        raise TypeError(f"`method` must be a self-supervised method, such as CCASSG, got {type(method).__name__}.")
    at_least("epochs", epochs, 1)
    positive("lr", lr)
    within("weight_decay", weight_decay, 0.0, math.inf)
    random_generator("generator", generator)
    view = checked(View(x, edge_index, edge_weight))
    return _losses(method, view, epochs, torch.optim.Adam(_wanted(method), lr=lr, weight_decay=weight_decay), generator)


def _wanted(method: AbstractMethod) -> list[Tensor]:
    """Return the parameters that are trained."""
    return [parameter for parameter in method.parameters() if parameter.requires_grad]


def _losses(
    method: AbstractMethod, view: View, epochs: int, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> Iterator[float]:
    """Take one step after the other and yield their losses."""
    method.train()
    for epoch in range(epochs):
        optimizer.zero_grad()
        loss = method.loss(view, generator)
        loss.backward()
        optimizer.step()
        method.stepped((epoch + 1) / epochs)
        value = loss.item()
        if not math.isfinite(value):
            raise ValueError(f"the loss is not finite in epoch {epoch + 1}; try a smaller `lr`.")
        yield value

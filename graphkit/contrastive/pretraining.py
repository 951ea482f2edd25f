"""The loop of self-supervised pre-training: full-batch steps on a loss without labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from graphkit._checks import at_least, positive
from graphkit.contrastive.method import AbstractMethod
from graphkit.contrastive.views import View


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
        ValueError: if a loss is not finite.

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
    at_least("epochs", epochs, 1)
    positive("lr", lr)
    wanted = [parameter for parameter in method.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(wanted, lr=lr, weight_decay=weight_decay)
    view = View(x, edge_index, edge_weight)
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

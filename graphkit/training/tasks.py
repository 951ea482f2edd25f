"""What a run may see: training and validation labels in one object, test labels in another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.data.soundness import validate
from graphkit.operators import sparse_features

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphkit.operators import SparseOperator
    from graphkit.training.recipes import Recipe


MASKS = ("train_mask", "val_mask", "test_mask")


@dataclass(frozen=True)
class Rows:
    """Some nodes and their labels, ``index [rows]`` and ``y [rows]``."""

    index: Tensor
    y: Tensor

    def accuracy(self, logits: Tensor) -> float:
        """Return the share of these nodes whose largest logit is their label; ``logits`` covers all nodes."""
        return int((logits[self.index].argmax(dim=-1) == self.y).sum()) / len(self.y)


@dataclass(frozen=True)
class Task:
    """All that training and selection see. The labels of the test nodes are not in it.

    Args:
        x: features ``[nodes, features]``, a tensor or a sparse operator.
        edge_index: ``[2, edges]``.
        edge_weight: ``[edges]`` or ``None``.
        train: the nodes the loss is taken over.
        validation: the nodes the selection looks at.
        classes: number of classes.
    """

    x: Tensor | SparseOperator
    edge_index: Tensor
    edge_weight: Tensor | None
    train: Rows
    validation: Rows
    classes: int


def prepare(data: Data, recipe: Recipe, device: torch.device, dtype: torch.dtype) -> tuple[Task, Rows]:
    """Return the task and, apart from it, the test nodes.

    Raises:
        ValueError: for a graph that is not sound (``graphkit.data.validate``), labels that are not integers, and masks
            that are missing, hold several splits, or leave nothing to train on, to select by or to test on.
    """
    validate(data)
    for name in ("x", "y", *MASKS):
        if data.get(name) is None:
            raise ValueError(f"`{name}` is missing: training needs features, labels and the masks of a split.")
    if data.y.dim() != 1 or data.y.is_floating_point():
        raise ValueError(f"`y` must hold one integer label per node, got {data.y.dtype} {list(data.y.shape)}.")
    train, validation, test = (_rows(data, name, device) for name in MASKS)
    for name, rows in zip(MASKS, (train, validation, test), strict=True):
        if not len(rows.y):
            raise ValueError(f"`{name}` is empty; choose another split.")
    weight = data.get("edge_weight")
    return Task(
        x=_features(data.x.to(device, dtype), recipe),
        edge_index=data.edge_index.to(device),
        edge_weight=None if weight is None else weight.to(device, dtype),
        train=train,
        validation=validation,
        classes=int(data.y.max()) + 1,
    ), test


def _features(x: Tensor, recipe: Recipe) -> Tensor | SparseOperator:
    """Return features as the recipe wants them: scaled or not, sparse or dense."""
    x = x.to_dense()
    if recipe.row_normalise:
        x = F.normalize(x, p=1.0, dim=-1)
    filled = int(torch.count_nonzero(x)) / max(x.numel(), 1)
    return sparse_features(x) if filled < recipe.sparse_below else x


def _rows(data: Data, name: str, device: torch.device) -> Rows:
    """Return the nodes of one mask and their labels."""
    mask = data[name].cpu()
    if mask.dim() != 1:
        raise ValueError(f"`{name}` holds {mask.size(-1)} splits: choose one of them.")
    index = mask.nonzero().squeeze(-1)
    y = data.y.cpu()[index].long()
    if bool((y < 0).any()):
        raise ValueError(f"`y` must be 0 or above on the nodes of `{name}`, found {int(y.min())}.")
    return Rows(index.to(device), y.to(device))

"""Probabilities of the classes as an embedding, around any classifier."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class ClassProbabilities(nn.Module):
    r"""The probabilities that a classifier gives the classes, less their mean: :math:`\mathrm{softmax}(f) - 1 / C`.

    Rows of nodes that are told apart with certainty have a cosine of :math:`-1 / (C - 1)`, as the corners of a simplex
    have; of a node that may be anything the row is 0, and near to none.

    Args:
        encoder: returns logits ``[..., C]``.

    Example:
        >>> import torch
        >>> ClassProbabilities(nn.Identity())(torch.tensor([[0.0, 0.0], [9.9, -9.9]])).round(decimals=2)
        tensor([[ 0.0000,  0.0000],
                [ 0.5000, -0.5000]])
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, *inputs: Any, **options: Any) -> Tensor:
        """Return one row of ``C`` numbers, which sum to 0, for what the classifier takes."""
        logits: Tensor = self.encoder(*inputs, **options)
        return logits.softmax(-1) - 1 / logits.size(-1)

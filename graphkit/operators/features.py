"""Where an operator stands for a feature matrix: sparse features stay sparse through dropout and the first map.

``torch.nn.functional.linear`` and ``dropout``, and so ``torch.nn.Linear`` and ``torch.nn.Dropout``, take an operator in
place of a tensor. Dropout acts on the stored values alone: a dropped zero is a zero.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.operators.arguments import matrix
from graphkit.operators.pattern import rememberable
from graphkit.operators.prepared import remembered
from graphkit.operators.sparse import STANDS_IN, SparseOperator


def sparse_features(x: Tensor | SparseOperator) -> SparseOperator:
    """Return a feature matrix ``[nodes, features]``, dense or ``torch.sparse``, as an operator over its non-zeros.

    Example:
        >>> x = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
        >>> sparse_features(x)
        SparseOperator(2 x 2, 1 entries, float32)
        >>> torch.nn.functional.linear(sparse_features(x), torch.ones(3, 2)).tolist()
        [[2.0, 2.0, 2.0], [0.0, 0.0, 0.0]]
    """
    if isinstance(x, SparseOperator):
        return x
    matrix("x", x)
    return SparseOperator.from_dense(x) if x.layout == torch.strided else SparseOperator.from_torch(x)


def features_of(x: Any) -> Any:
    """Return node features as layers multiply them: a ``torch.sparse`` matrix as a remembered operator, else as is."""
    if not isinstance(x, Tensor) or x.layout == torch.strided:
        return x
    if not rememberable(x):
        return SparseOperator.from_torch(x)
    return remembered(lambda: SparseOperator.from_torch(x), "features", x)


def _linear(input: SparseOperator, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if torch.is_autocast_enabled(weight.device.type):
        weight = weight.to(torch.get_autocast_dtype(weight.device.type))
    out = input @ weight.t()
    return out if bias is None else out + bias


def _dropout(input: SparseOperator, p: float = 0.5, training: bool = True, inplace: bool = False) -> SparseOperator:
    return input.dropout(p, training)


def _matmul(input: Any, other: Any) -> Tensor:
    if isinstance(input, SparseOperator):
        return input.__matmul__(other)  # under `torch.compile` the sign would come back here
    return other.T.__matmul__(input.mT).mT


STANDS_IN.update({F.linear: _linear, F.dropout: _dropout})
STANDS_IN.update(dict.fromkeys((torch.matmul, torch.mm, Tensor.matmul, Tensor.mm, Tensor.__matmul__), _matmul))

"""Sparse features on their way through a network: sums that wait for the linear map which makes them narrow."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.operators import SparseOperator
from graphkit.operators.feature_matrix import linear


class SparseSum:
    r"""The sum :math:`A X + c X'` of sparse feature matrices, kept unevaluated until a linear map is applied.

    ``F.linear`` maps :math:`X` and :math:`X'` first and adds up what is then dense and narrow; any other function of
    PyTorch is given the dense sum.

    Args:
        adjacency: :math:`A`, ``[targets, sources]``.
        x: :math:`X`, ``[sources, features]``.
        factor: :math:`c`, one number.
        own: :math:`X'`, ``[targets, features]``; nothing is added when ``None``.
    """

    def __init__(self, adjacency: SparseOperator, x: SparseOperator, factor: Tensor, own: Any) -> None:
        self.adjacency = adjacency
        self.x = x
        self.factor = factor
        self.own = own

    def size(self, dim: int) -> int:
        """Return the length of one axis, as tensors do."""
        return (self.adjacency.size(0), self.x.size(1))[dim]

    def to_dense(self) -> Tensor:
        """Return the sum, ``[targets, features]``."""
        out = self.adjacency @ self.x.to_dense()
        if self.own is None:
            return out
        own = self.own.to_dense() if isinstance(self.own, SparseOperator) else self.own
        return out + self.factor * own

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the linear map of the sum, ``[targets, out]``."""
        mapped = linear(self.x, weight)
        out = self.adjacency @ mapped
        if self.own is not None:
            out = out + self.factor * (mapped if self.own is self.x else linear(self.own, weight))
        return out if bias is None else out + bias

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is F.linear:
            waiting, *rest = args
            return waiting.linear(*rest, **(kwargs or {}))
        dense = (arg.to_dense() if isinstance(arg, SparseSum) else arg for arg in args)
        with torch.DisableTorchFunctionSubclass():
            return function(*dense, **(kwargs or {}))

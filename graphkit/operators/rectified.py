"""Sums over neighbours of rectified source and edge features."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from graphkit._kernels import rectified, threads
from graphkit._kernels.memory import fresh
from graphkit.operators.arguments import rows_of_list, shaped
from graphkit.operators.functions import (
    AbstractFunction,
    compiled,
    differentiable_gradients,
    kernel_arrays,
    side_by_side,
)
from graphkit.operators.pattern import Pattern


def rectified_sum(pattern: Pattern, x: Tensor, edge: Tensor) -> Tensor:
    r"""Return :math:`\sum_j \mathrm{ReLU}(x_j + e_{ij})` for every row, ``[rows, features]``; twice differentiable.

    No array of messages is kept beside the edge features that are given.

    Args:
        pattern: places of the entries, ``[rows, columns]``.
        x: features of the columns, ``[columns, features]``.
        edge: features of the edges in the order the pattern was made from, ``[edges, features]``.

    Raises:
        ValueError: for shapes that do not fit the pattern or each other.

    Source: Hu et al. (2020), arXiv:1905.12265, appendix A.
    """
    shaped("x", x, columns=pattern.shape[1], features=None)
    shaped("edge", edge, edges=None, features=x.shape[1])
    rows_of_list("edge", edge, pattern.listed)
    if not compiled(x, edge):
        return rectified_sum_composed(pattern, x, edge)
    return _RectifiedSum.apply(x, edge, pattern)


def rectified_sum_composed(pattern: Pattern, x: Tensor, edge: Tensor) -> Tensor:
    """Return what ``rectified_sum`` returns, through an array of messages."""
    messages = (x.index_select(0, pattern._columns) + edge.index_select(0, pattern._order)).relu()
    return messages.new_zeros(pattern.shape[0], messages.shape[1]).index_add(0, pattern.rows(), messages)


class _RectifiedSum(AbstractFunction):
    @staticmethod
    def forward(x: Tensor, edge: Tensor, pattern: Pattern) -> Tensor:
        out = fresh((pattern.shape[0], x.shape[1]), x.dtype)
        pointers, columns = pattern._arrays
        arrays = kernel_arrays(pattern._order, x, edge, out)
        threads.over_rows(rectified.rectified_sum, pointers, x.shape[1], columns, *arrays)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.pattern = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, edge = ctx.saved_tensors
        if torch.is_grad_enabled():
            composed = partial(rectified_sum_composed, ctx.pattern)
            return (*differentiable_gradients(composed, [x, edge], grad), None)
        dedge, dx = torch.zeros(edge.shape, dtype=x.dtype), fresh(x.shape, x.dtype)
        pointers, columns = ctx.pattern._arrays
        arrays = kernel_arrays(ctx.pattern._order, x, edge, grad, dedge)
        threads.over_rows(rectified.rectified_sum_backward_edges, pointers, x.shape[1], columns, *arrays)
        transpose, position = ctx.pattern._transpose
        pointers, columns = transpose._arrays
        arrays = kernel_arrays(ctx.pattern._order.index_select(0, position), dedge, dx)
        threads.over_rows(rectified.rectified_sum_backward_sources, pointers, x.shape[1], columns, *arrays)
        return dx, dedge, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], x: Tensor, edge: Tensor, pattern: Pattern) -> tuple[Any, int]:
        out = _RectifiedSum.apply(*side_by_side((x, edge), in_dims[:2], info.batch_size), pattern)
        return out.unflatten(1, (info.batch_size, -1)), 1

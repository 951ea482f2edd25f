"""Sums over neighbours of rectified messages, where the features of an edge are a row of a small table."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit._kernels import tabled, threads
from graphkit._kernels.memory import fresh
from graphkit.operators.arguments import rows_of_list, rows_of_table, shaped
from graphkit.operators.functions import (
    AbstractFunction,
    compiled,
    differentiable_gradients,
    forward_mode,
    inside_transform,
    kernel_arrays,
)
from graphkit.operators.pattern import Pattern


class EdgeTable(NamedTuple):
    """Features of edges that repeat: what a molecule's bonds are made of are at most 60 different rows.

    Args:
        table: the rows that occur, ``[rows, features]``; gradients flow to it.
        row: which of them each edge has, ``[edges]``, int64.

    Example:
        >>> edges = EdgeTable(torch.tensor([[1.0], [2.0]]), torch.tensor([0, 1, 1]))
        >>> edges.to_dense().flatten().tolist()
        [1.0, 2.0, 2.0]
    """

    table: Tensor
    row: Tensor

    def to_dense(self) -> Tensor:
        """Return the features of every edge, ``[edges, features]``."""
        return self.table.index_select(0, self.row)


def tabled_sum(pattern: Pattern, x: Tensor, edges: EdgeTable, scale: Tensor | None = None) -> Tensor:
    r"""Return :math:`\sum_j s_j \mathrm{ReLU}(x_j + e_{ij})` for every row, ``[rows, features]``; twice differentiable.

    Neither messages nor features of single edges are ever laid out.

    Args:
        pattern: places of the entries, ``[rows, columns]``.
        x: features of the columns, ``[columns, features]``.
        edges: features of the edges, in the order the pattern was made from.
        scale: a constant for each column, ``[columns]``; ones when left out. No gradient flows to it.

    Raises:
        ValueError: for shapes that do not fit the pattern or each other, and rows that the table does not have.
        TypeError: for rows that are not integers.

    Source: Hu et al. (2020), arXiv:1905.12265, appendix A.

    Example:
        >>> from graphkit.operators import SparseOperator
        >>> pattern = SparseOperator.from_edge_index(torch.tensor([[0, 1], [1, 0]])).pattern
        >>> edges = EdgeTable(torch.tensor([[1.0], [-5.0]]), torch.tensor([0, 1]))
        >>> tabled_sum(pattern, torch.tensor([[2.0], [4.0]]), edges).flatten().tolist()
        [0.0, 3.0]
    """
    shaped("x", x, columns=pattern.shape[1], features=None)
    shaped("table", edges.table, rows=None, features=x.shape[1])
    rows_of_list("row", edges.row, pattern.listed)
    if scale is not None:
        shaped("scale", scale, columns=pattern.shape[1])
    if not compiled(x, edges.table) or inside_transform() or forward_mode():
        return tabled_sum_composed(pattern, x, edges, scale)
    rows_of_table(edges.row, edges.table)  # PyTorch's own look-ups, of which the other way is made, refuse them
    scale = x.new_empty(0) if scale is None else scale.detach().to(x.dtype)
    return _TabledSum.apply(x, edges.table, edges.row.index_select(0, pattern._order), scale, pattern)


def tabled_sum_composed(pattern: Pattern, x: Tensor, edges: EdgeTable, scale: Tensor | None = None) -> Tensor:
    """Return what ``tabled_sum`` returns, through an array of messages."""
    return _composed(pattern, x, edges.table, edges.row.index_select(0, pattern._order), scale)


def _composed(pattern: Pattern, x: Tensor, table: Tensor, row_of_entry: Tensor, scale: Tensor | None) -> Tensor:
    messages = (x.index_select(0, pattern._columns) + table.index_select(0, row_of_entry)).relu()
    if scale is not None and scale.numel():
        messages = messages * scale.index_select(0, pattern._columns).unsqueeze(1)
    return messages.new_zeros(pattern.shape[0], messages.shape[1]).index_add(0, pattern.rows(), messages)


class _TabledSum(AbstractFunction):
    @staticmethod
    def forward(x: Tensor, table: Tensor, row_of_entry: Tensor, scale: Tensor, pattern: Pattern) -> Tensor:
        out = fresh((pattern.shape[0], x.shape[1]), x.dtype)
        pointers, columns = pattern._arrays
        arrays = kernel_arrays(row_of_entry, x, table, scale, out)
        threads.over_rows(tabled.tabled_sum, pointers, x.shape[1], columns, *arrays)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.pattern = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, table, row_of_entry, scale = ctx.saved_tensors
        if torch.is_grad_enabled():
            composed = partial(_composed, ctx.pattern, row_of_entry=row_of_entry, scale=scale)
            return (*differentiable_gradients(composed, [x, table], grad), None, None, None)
        dx, dtable = None, None
        if ctx.needs_input_grad[0]:
            dx = fresh(x.shape, x.dtype)
            transpose, position = ctx.pattern._transpose
            pointers, columns = transpose._arrays
            arrays = kernel_arrays(row_of_entry.index_select(0, position), x, table, scale, grad, dx)
            threads.over_rows(tabled.tabled_sum_backward_sources, pointers, x.shape[1], columns, *arrays)
        if ctx.needs_input_grad[1]:
            dtable = torch.zeros(table.shape, dtype=x.dtype)
            pointers, columns = ctx.pattern._arrays
            arrays = kernel_arrays(row_of_entry, x, table, scale, grad, dtable)
            tabled.tabled_sum_backward_table(0, len(pointers) - 1, pointers, columns, *arrays)
        return dx, dtable, None, None, None

"""Message passing in one pass: the largest neighbour value, and sums of ReLU messages with edge features."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit._kernels import csr_messages as kernels
from graphkit._kernels.resources import empty_recycled
from graphkit._torch_internals import forward_mode, inside_transform
from graphkit.operators.autograd import AbstractFunction, AbstractKernelFunction, has_kernel
from graphkit.operators.operand_checks import check_edge_rows, check_shape, check_table_rows
from graphkit.operators.pattern import Pattern


def neighbor_max(pattern: Pattern, x: Tensor) -> Tensor:
    r"""Return :math:`y_i = \max_j x_j` over the entries of each row, ``[rows, features]``; 0 for an empty row.

    Where several neighbours reach the maximum its gradient is shared evenly among them, so that it does not depend on
    the order of the edges. Twice differentiable.

    Args:
        pattern: places of the entries, ``[rows, columns]``.
        x: ``[columns, features]``; what is not float32 or float64 on the CPU makes an ``[entries, features]`` array.

    Example:
        >>> pattern = Pattern.from_coo(torch.tensor([0, 0]), torch.tensor([0, 1]), (2, 2))
        >>> neighbor_max(pattern, torch.tensor([[1.0, -2.0], [0.5, -1.0]])).tolist()
        [[1.0, -1.0], [0.0, 0.0]]
    """
    check_shape("x", x, columns=pattern.shape[1], features=None)
    if not has_kernel(x):
        rows = pattern.rows().unsqueeze(1).expand(-1, x.shape[1])
        # Not `include_self=False`: its gradient takes the 0 that is not included for one more of the largest.
        least = x.new_full((pattern.shape[0], x.shape[1]), -torch.inf)
        largest = least.scatter_reduce(0, rows, x.index_select(0, pattern._indices), "amax")
        return torch.where(pattern._indptr.diff().unsqueeze(1) > 0, largest, 0.0)
    return _NeighborMax.apply(x, pattern)[0]


class _NeighborMax(AbstractFunction):
    as_heads = 1

    @staticmethod
    def forward(x: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor]:
        out = empty_recycled((pattern.shape[0], x.shape[1]), x.dtype)
        ties = torch.empty(out.shape, dtype=torch.int32)
        pattern._run(kernels.neighbor_max, x.shape[1], x, out, ties)
        return out, ties

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, ctx.pattern = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(x, *output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None]:
        x, out, ties = ctx.saved_tensors
        return _MaxRouting.apply(grad, x.detach(), out.detach(), ties, False, ctx.pattern), None


class _MaxRouting(AbstractFunction):
    """Carries values of rows to the entries that reach the row's maximum, summed by column, or of columns back to rows.

    Each way is the adjoint of the other.
    """

    as_heads = 4

    @staticmethod
    def forward(values: Tensor, x: Tensor, out: Tensor, ties: Tensor, to_rows: bool, pattern: Pattern) -> Tensor:
        result = empty_recycled((out if to_rows else x).shape, x.dtype)
        kernel = kernels.gather_from_maxima if to_rows else kernels.scatter_to_maxima
        pattern = pattern if to_rows else pattern._transpose[0]
        pattern._run(kernel, x.shape[1], x, out, ties, values, result)
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, *tensors, ctx.to_rows, ctx.pattern = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        result = _MaxRouting.apply(grad, *ctx.saved_tensors, not ctx.to_rows, ctx.pattern)
        return result, None, None, None, None, None


def relu_message_sum(pattern: Pattern, x: Tensor, edge: Tensor) -> Tensor:
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
    check_shape("x", x, columns=pattern.shape[1], features=None)
    check_shape("edge", edge, edges=None, features=x.shape[1])
    check_edge_rows("edge", edge, pattern.list_length)
    if not has_kernel(x, edge):
        return relu_message_sum_reference(x, edge, pattern)
    return _ReluMessageSum.apply(x, edge, pattern)


def relu_message_sum_reference(x: Tensor, edge: Tensor, pattern: Pattern) -> Tensor:
    """Return what ``relu_message_sum`` returns, through an array of messages."""
    return edge_table_sum_reference(x, edge, pattern._perm, None, pattern)


class _ReluMessageSum(AbstractKernelFunction):
    as_heads = differentiable = 2
    reference = staticmethod(relu_message_sum_reference)

    @staticmethod
    def forward(x: Tensor, edge: Tensor, pattern: Pattern) -> Tensor:
        out = empty_recycled((pattern.shape[0], x.shape[1]), x.dtype)
        pattern._run(kernels.relu_message_sum, x.shape[1], pattern._perm, x, edge, out)
        return out

    @staticmethod
    def gradients(grad: Tensor, wanted: Any, x: Tensor, edge: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor]:
        dedge, dx = torch.zeros(edge.shape, dtype=x.dtype), empty_recycled(x.shape, x.dtype)
        pattern._run(kernels.relu_message_sum_backward_edges, x.shape[1], pattern._perm, x, edge, grad, dedge)
        transpose, position = pattern._transpose
        perm = pattern._perm.index_select(0, position)
        transpose._run(kernels.relu_message_sum_backward_sources, x.shape[1], perm, dedge, dx)
        return dx, dedge


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


def edge_table_sum(pattern: Pattern, x: Tensor, edges: EdgeTable, scale: Tensor | None = None) -> Tensor:
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
        >>> pattern = Pattern.from_coo(torch.tensor([0, 1]), torch.tensor([1, 0]), (2, 2))
        >>> edges = EdgeTable(torch.tensor([[1.0], [-5.0]]), torch.tensor([1, 0]))
        >>> edge_table_sum(pattern, torch.tensor([[2.0], [4.0]]), edges).flatten().tolist()
        [0.0, 3.0]
    """
    check_shape("x", x, columns=pattern.shape[1], features=None)
    check_shape("table", edges.table, rows=None, features=x.shape[1])
    check_edge_rows("row", edges.row, pattern.list_length)
    if scale is not None:
        check_shape("scale", scale, columns=pattern.shape[1])
    if not has_kernel(x, edges.table) or inside_transform() or forward_mode():
        row_of_entry = edges.row.index_select(0, pattern._perm)
        return edge_table_sum_reference(x, edges.table, row_of_entry, scale, pattern)
    check_table_rows(edges.row, edges.table)  # PyTorch's own look-ups, of which the other way is made, refuse them
    scale = x.new_empty(0) if scale is None else scale.detach().to(x.dtype)
    return _EdgeTableSum.apply(x, edges.table, edges.row.index_select(0, pattern._perm), scale, pattern)


def edge_table_sum_reference(
    x: Tensor, table: Tensor, row_of_entry: Tensor, scale: Tensor | None, pattern: Pattern
) -> Tensor:
    """Return what ``edge_table_sum`` returns, through an array of messages; an empty ``scale`` stands for ones."""
    messages = (x.index_select(0, pattern._indices) + table.index_select(0, row_of_entry)).relu()
    if scale is not None and scale.numel():
        messages = messages * scale.index_select(0, pattern._indices).unsqueeze(1)
    return messages.new_zeros(pattern.shape[0], messages.shape[1]).index_add(0, pattern.rows(), messages)


class _EdgeTableSum(AbstractKernelFunction):
    differentiable = 2
    reference = staticmethod(edge_table_sum_reference)

    @staticmethod
    def forward(x: Tensor, table: Tensor, row_of_entry: Tensor, scale: Tensor, pattern: Pattern) -> Tensor:
        out = empty_recycled((pattern.shape[0], x.shape[1]), x.dtype)
        pattern._run(kernels.edge_table_sum, x.shape[1], row_of_entry, x, table, scale, out)
        return out

    @staticmethod
    def gradients(
        grad: Tensor, wanted: Any, x: Tensor, table: Tensor, row_of_entry: Tensor, scale: Tensor, pattern: Pattern
    ) -> tuple[Tensor | None, Tensor | None]:
        dx, dtable = None, None
        if wanted[0]:
            dx = empty_recycled(x.shape, x.dtype)
            transpose, position = pattern._transpose
            rows = row_of_entry.index_select(0, position)
            kernel = kernels.edge_table_sum_backward_sources
            transpose._run(kernel, x.shape[1], rows, x, table, scale, grad, dx)
        if wanted[1]:  # by one thread: all rows add to the same table
            dtable = torch.zeros(table.shape, dtype=x.dtype)
            indptr, indices = pattern._arrays
            arrays = [each.detach().contiguous().numpy() for each in (row_of_entry, x, table, scale, grad, dtable)]
            kernels.edge_table_sum_backward_table(0, len(indptr) - 1, indptr, indices, *arrays)
        return dx, dtable

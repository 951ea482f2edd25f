"""The additive attention of GAT: scores, softmax and weighted sum in one pass over the entries.

No ``entries x features`` array is kept. Where a gradient is itself differentiated the plain composition takes over; it
is the definition, and the test's oracle.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit._kernels import attention as kernels
from graphkit._kernels import threads
from graphkit._kernels.memory import fresh
from graphkit.operators.arguments import shaped
from graphkit.operators.functions import (
    AbstractFunction,
    compiled,
    differentiable_gradients,
    kernel_arrays,
    side_by_side,
)
from graphkit.operators.pattern import Pattern
from graphkit.operators.products import along_columns, along_rows, multiply, sample
from graphkit.operators.softmax import entry_softmax


def attend(
    pattern: Pattern,
    score_row: Tensor,
    score_column: Tensor,
    x: Tensor,
    *,
    score_entry: Tensor | None = None,
    slope: float = 0.2,
    keep: Tensor | None = None,
) -> Tensor:
    r"""Return :math:`\sum_j k_{ij} \alpha_{ij} x_j`, the additive attention of GAT, in one pass over the entries.

    :math:`\alpha_{ij} = \mathrm{softmax}_j(\mathrm{LeakyReLU}(r_i + c_j + e_{ij}))`.

    Args:
        pattern: places of the entries, ``[rows, columns]``.
        score_row: :math:`r`, ``[rows, heads]``.
        score_column: :math:`c`, ``[columns, heads]``.
        x: features, ``[columns, heads, features]``.
        score_entry: :math:`e`, ``[entries, heads]``; zeros when left out.
        slope: of the leaky ReLU below zero.
        keep: dropout's factors :math:`k` (0 or 1 / (1 - p)), ``[entries, heads]``; ones when left out.

    Returns:
        ``[rows, heads, features]``; zeros for a node without neighbours.

    Raises:
        ValueError: for shapes that do not fit the pattern or each other.

    Source: Veličković et al. (2018), arXiv:1710.10903, equations 1 to 4.
    """
    rows, columns = pattern.shape
    shaped("x", x, columns=columns, heads=None, features=None)
    shaped("score_row", score_row, rows=rows, heads=x.shape[1])
    shaped("score_column", score_column, columns=columns, heads=x.shape[1])
    for name, part in (("score_entry", score_entry), ("keep", keep)):
        if part is not None:
            shaped(name, part, entries=pattern.entries, heads=x.shape[1])
    if not compiled(x):
        return attend_composed(pattern, score_row, score_column, x, score_entry, keep, slope)
    return _Attend.apply(score_row, score_column, x, score_entry, keep, slope, pattern)[0]


def attend_composed(
    pattern: Pattern,
    score_row: Tensor,
    score_column: Tensor,
    x: Tensor,
    score_entry: Tensor | None,
    keep: Tensor | None,
    slope: float,
) -> Tensor:
    """Return what ``attend`` returns, composed of differentiable steps."""
    alpha = attention_weights(pattern, score_row, score_column, score_entry, slope)
    return multiply(pattern, alpha if keep is None else alpha * keep, x)


def attention_weights(
    pattern: Pattern, score_row: Tensor | None, score_column: Tensor, score_entry: Tensor | None, slope: float
) -> Tensor:
    """Return the attention that ``attend`` gives each entry, before dropout, ``[entries, heads]``."""
    scores = along_columns(pattern, score_column)
    if score_row is not None:
        scores = scores + along_rows(pattern, score_row)
    if score_entry is not None:
        scores = scores + score_entry
    return entry_softmax(pattern, F.leaky_relu(scores, slope))


class _Attend(AbstractFunction):
    @staticmethod
    def forward(
        score_row: Tensor,
        score_column: Tensor,
        x: Tensor,
        score_entry: Tensor | None,
        keep: Tensor | None,
        slope: float,
        pattern: Pattern,
    ) -> tuple[Tensor, Tensor]:
        heads, features = x.shape[1:]
        alpha = fresh((pattern.entries, heads), x.dtype)
        out = fresh((pattern.shape[0], heads, features), x.dtype)
        rows, columns, entry, factors = kernel_arrays(score_row, score_column, score_entry, keep)
        pointers, places = pattern._arrays
        threads.over_rows(
            kernels.attend,
            pointers,
            heads * features,
            *(places, rows, columns, entry, rows.dtype.type(slope), factors),
            *kernel_arrays(x, alpha, out),
        )
        return out, alpha

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        *tensors, ctx.slope, ctx.pattern = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # zeros for the attention would be as large as it is
        ctx.save_for_backward(*tensors, output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * 7
        *inputs, alpha = ctx.saved_tensors
        if torch.is_grad_enabled():
            composed = partial(attend_composed, ctx.pattern, slope=ctx.slope)
            return (*differentiable_gradients(composed, inputs, grad), None, None)
        score_row, score_column, x, score_entry, _ = inputs
        rows, columns, entry, factors = kernel_arrays(*inputs[:2], *inputs[3:])
        features, weights, upstream = kernel_arrays(x, alpha, grad)
        dentry, drow = fresh(alpha.shape, x.dtype), fresh(score_row.shape, x.dtype)
        pointers, places = ctx.pattern._arrays
        threads.over_rows(
            kernels.attend_backward_rows,
            pointers,
            x.shape[1:].numel(),
            *(places, rows, columns, entry, rows.dtype.type(ctx.slope), factors),
            *(features, weights, upstream, dentry.numpy(), drow.numpy()),
        )
        dx = fresh(x.shape, x.dtype)
        dcolumn = fresh(score_column.shape, x.dtype)
        transpose, position = ctx.pattern._transpose
        pointers, places = transpose._arrays
        threads.over_rows(
            kernels.attend_backward_columns,
            pointers,
            x.shape[1:].numel(),
            *(places, position.numpy(), factors, weights, upstream, dentry.numpy(), dx.numpy(), dcolumn.numpy()),
        )
        dkeep = alpha * sample(ctx.pattern, grad, x) if ctx.needs_input_grad[4] else None
        return drow, dcolumn, dx, None if score_entry is None else dentry, dkeep, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        *tensors, slope, pattern = inputs
        stacked = side_by_side(tensors, in_dims[:5], info.batch_size)
        out, alpha = _Attend.apply(*stacked, slope, pattern)
        return tuple(result.unflatten(1, (info.batch_size, -1)) for result in (out, alpha)), (1, 1)

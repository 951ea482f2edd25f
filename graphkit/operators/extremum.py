"""The largest value among each node's neighbours, feature by feature."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit._kernels import extremum, threads
from graphkit._kernels.memory import fresh
from graphkit.operators.arguments import shaped
from graphkit.operators.functions import AbstractFunction, compiled, kernel_arrays, side_by_side
from graphkit.operators.pattern import Pattern


def neighbour_maximum(pattern: Pattern, x: Tensor) -> Tensor:
    r"""Return :math:`y_i = \max_j x_j` over the entries of each row, ``[rows, features]``; 0 for an empty row.

    Where several neighbours reach the maximum its gradient is shared evenly among them, so that it does not depend on
    the order of the edges. Twice differentiable.

    Args:
        pattern: places of the entries, ``[rows, columns]``.
        x: ``[columns, features]``; what is not float32 or float64 on the CPU makes an ``[entries, features]`` array.

    Example:
        >>> import numpy as np
        >>> pattern = Pattern.from_coordinates(np.array([0, 0]), np.array([0, 1]), (2, 2))
        >>> neighbour_maximum(pattern, torch.tensor([[1.0, -2.0], [0.5, -1.0]])).tolist()
        [[1.0, -1.0], [0.0, 0.0]]
    """
    shaped("x", x, columns=pattern.shape[1], features=None)
    if not compiled(x):
        rows = pattern.rows().unsqueeze(1).expand(-1, x.shape[1])
        # Not `include_self=False`: its gradient takes the 0 that is not included for one more of the largest.
        least = x.new_full((pattern.shape[0], x.shape[1]), -torch.inf)
        largest = least.scatter_reduce(0, rows, x.index_select(0, pattern._columns), "amax")
        return torch.where(pattern._pointers.diff().unsqueeze(1) > 0, largest, 0.0)
    return _Maximum.apply(x, pattern)[0]


def _run(kernel: Any, pattern: Pattern, tensors: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
    pointers, columns = pattern._arrays
    threads.over_rows(kernel, pointers, tensors[0].shape[1], columns, *kernel_arrays(*tensors, *outputs))


class _Maximum(AbstractFunction):
    @staticmethod
    def forward(x: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor]:
        out = fresh((pattern.shape[0], x.shape[1]), x.dtype)
        ties = torch.empty(out.shape, dtype=torch.int32)
        _run(extremum.maximum, pattern, (x,), (out, ties))
        return out, ties

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, ctx.pattern = inputs
        out, ties = output
        ctx.mark_non_differentiable(ties)
        ctx.save_for_backward(x, out, ties)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None]:
        x, out, ties = ctx.saved_tensors
        return _BetweenMaxima.apply(grad, x.detach(), out.detach(), ties, False, ctx.pattern), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, ...], x: Tensor, pattern: Pattern) -> tuple[Any, tuple[int, int]]:
        stacked = x.movedim(in_dims[0], 1)
        out, ties = _Maximum.apply(stacked.flatten(1), pattern)
        return (out.unflatten(1, stacked.shape[1:]), ties.unflatten(1, stacked.shape[1:])), (1, 1)


class _BetweenMaxima(AbstractFunction):
    """Carries values of rows to the entries that reach the row's maximum, summed by column, or of columns back to rows.

    Each way is the adjoint of the other.
    """

    @staticmethod
    def forward(values: Tensor, x: Tensor, out: Tensor, ties: Tensor, to_rows: bool, pattern: Pattern) -> Tensor:
        result = fresh((out if to_rows else x).shape, x.dtype)
        kernel = extremum.gather_from_maxima if to_rows else extremum.scatter_to_maxima
        _run(kernel, pattern if to_rows else pattern._transpose[0], (x, out, ties, values), (result,))
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, *tensors, ctx.to_rows, ctx.pattern = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        result = _BetweenMaxima.apply(grad, *ctx.saved_tensors, not ctx.to_rows, ctx.pattern)
        return result, None, None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        *tensors, to_rows, pattern = inputs
        result = _BetweenMaxima.apply(*side_by_side(tensors, in_dims[:4], info.batch_size), to_rows, pattern)
        return result.unflatten(1, (info.batch_size, -1)), 1

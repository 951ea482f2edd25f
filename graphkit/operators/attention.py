"""Attention over the neighbours of each node: scores, their softmax, and the weighted sum.

Scores are ``[entries, heads]`` in the pattern's order. The fused forms keep no ``entries x features`` array. Where a
gradient is itself differentiated, the plain composition below each fused form takes over; it is the definition, and
the test's oracle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit._kernels import attention, threads
from graphkit.operators.pattern import Pattern
from graphkit.operators.products import along_columns, along_rows, multiply, row_sums, sample, stacked_tasks


def entry_softmax(pattern: Pattern, scores: Tensor) -> Tensor:
    r"""Return :math:`\alpha_{ij} = e^{s_{ij}} / \sum_k e^{s_{ik}}`, ``[entries, heads]``; an empty row has no entries.

    Example:
        >>> pattern = Pattern.from_coordinates(np.array([0, 0, 1]), np.array([0, 1, 1]), (2, 2))
        >>> entry_softmax(pattern, torch.zeros(3, 1)).flatten().tolist()
        [0.5, 0.5, 1.0]
    """
    return _EntrySoftmax.apply(scores, pattern)


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

    Source: Veličković et al. (2018), arXiv:1710.10903, equations 1 to 4.
    """
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return attend_composed(pattern, score_row, score_column, x, score_entry, slope, keep)
    return _Attend.apply(score_row, score_column, x, score_entry, keep, slope, pattern)[0]


def attend_composed(
    pattern: Pattern,
    score_row: Tensor,
    score_column: Tensor,
    x: Tensor,
    score_entry: Tensor | None,
    slope: float,
    keep: Tensor | None,
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


def pair_scores(
    pattern: Pattern, left: Tensor, right: Tensor, att: Tensor, *, entry_term: Tensor | None = None, slope: float = 0.2
) -> Tensor:
    r"""Return :math:`s_{ij} = a^\top \mathrm{LeakyReLU}(l_i + r_j + e_{ij})`, the dynamic attention score of GATv2.

    Args:
        pattern: places of the entries, ``[rows, columns]``.
        left: :math:`l`, ``[rows, heads, features]``.
        right: :math:`r`, ``[columns, heads, features]``.
        att: :math:`a`, ``[heads, features]``.
        entry_term: :math:`e`, ``[entries, heads, features]``.
        slope: of the leaky ReLU below zero.

    Returns:
        ``[entries, heads]``.

    Source: Brody, Alon & Yahav (2022), arXiv:2105.14491, equation 7.
    """
    if left.device.type != "cpu" or left.dtype not in (torch.float32, torch.float64):
        return pair_scores_composed(pattern, left, right, att, entry_term, slope)
    return _PairScores.apply(left, right, att, entry_term, slope, pattern)


def pair_scores_composed(
    pattern: Pattern, left: Tensor, right: Tensor, att: Tensor, entry_term: Tensor | None, slope: float
) -> Tensor:
    """Return what ``pair_scores`` returns, through an ``entries x features`` array."""
    z = left.index_select(0, pattern.rows()) + right.index_select(0, pattern.columns)
    if entry_term is not None:
        z = z + entry_term
    return (F.leaky_relu(z, slope) * att).sum(-1)


def _array(tensor: Tensor | None, dimensions: int, dtype: torch.dtype) -> np.ndarray:
    """Return the tensor for a kernel; an array without rows stands for ``None``."""
    tensor = torch.empty((0,) * dimensions, dtype=dtype) if tensor is None else tensor
    return tensor.detach().contiguous().numpy()


class _EntrySoftmax(torch.autograd.Function):
    @staticmethod
    def forward(scores: Tensor, pattern: Pattern) -> Tensor:
        if scores.device.type != "cpu" or scores.dtype not in (torch.float32, torch.float64):
            rows = pattern.rows().unsqueeze(1).expand_as(scores)
            top = scores.new_full((pattern.shape[0], scores.shape[1]), -torch.inf)
            shifted = (scores - top.scatter_reduce(0, rows, scores, "amax").gather(0, rows)).exp()
            total = torch.zeros_like(top).scatter_add(0, rows, shifted)
            return shifted / total.gather(0, rows)
        out = torch.empty_like(scores, memory_format=torch.contiguous_format)
        pointers, _ = pattern.arrays
        threads.over_rows(attention.softmax_rows, pointers, 4 * scores.shape[1], _array(scores, 2, scores.dtype), out.numpy())
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.pattern = inputs[1]
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (alpha,) = ctx.saved_tensors
        if torch.is_grad_enabled() or grad.device.type != "cpu" or grad.dtype not in (torch.float32, torch.float64):
            weighted = alpha * grad
            return weighted - alpha * along_rows(ctx.pattern, row_sums(ctx.pattern, weighted)), None
        out = torch.empty_like(alpha)
        pointers, _ = ctx.pattern.arrays
        arrays = (_array(side, 2, alpha.dtype) for side in (alpha, grad, out))
        threads.over_rows(attention.softmax_rows_backward, pointers, 4 * alpha.shape[1], *arrays)
        return out, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], scores: Tensor, pattern: Pattern) -> tuple[Tensor, int]:
        stacked = scores.movedim(in_dims[0], 1)
        return _EntrySoftmax.apply(stacked.flatten(1), pattern).view(stacked.shape), 1


def _differentiable_pull(function: Any, inputs: list[Tensor | None], grad: Tensor) -> list[Tensor | None]:
    """Return the gradients of a composed function at those inputs that are tensors, themselves differentiable."""
    given = [k for k, value in enumerate(inputs) if value is not None]

    def of_given(*tensors: Tensor) -> Tensor:
        full = list(inputs)
        for k, tensor in zip(given, tensors, strict=True):
            full[k] = tensor
        return function(*full)

    _, pull = torch.func.vjp(of_given, *(inputs[k] for k in given))
    gradients: list[Tensor | None] = [None] * len(inputs)
    for k, gradient in zip(given, pull(grad), strict=True):
        gradients[k] = gradient
    return gradients


class _Attend(torch.autograd.Function):
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
        alpha = torch.empty(pattern.entries, heads, dtype=x.dtype)
        out = torch.empty(pattern.shape[0], heads, features, dtype=x.dtype)
        rows, columns, entry, factors = (_array(t, 2, x.dtype) for t in (score_row, score_column, score_entry, keep))
        pointers, places = pattern.arrays
        threads.over_rows(
            attention.attend,
            pointers,
            heads * features,
            *(places, rows, columns, entry, rows.dtype.type(slope), factors),
            *(_array(x, 3, x.dtype), alpha.numpy(), out.numpy()),
        )
        return out, alpha

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        *tensors, ctx.slope, ctx.pattern = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*tensors, output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, alpha = ctx.saved_tensors
        if torch.is_grad_enabled():

            def composed(r: Tensor, c: Tensor, x: Tensor, e: Tensor | None, k: Tensor | None) -> Tensor:
                return attend_composed(ctx.pattern, r, c, x, e, ctx.slope, k)

            return (*_differentiable_pull(composed, inputs, grad), None, None)
        score_row, score_column, x, score_entry, keep = inputs
        rows, columns, entry, factors = (_array(t, 2, x.dtype) for t in inputs[:2] + inputs[3:])
        features, weights, upstream = _array(x, 3, x.dtype), alpha.numpy(), _array(grad, 3, x.dtype)
        dentry, drow = torch.empty_like(alpha), torch.empty_like(score_row, memory_format=torch.contiguous_format)
        pointers, places = ctx.pattern.arrays
        threads.over_rows(
            attention.attend_backward_rows,
            pointers,
            x.shape[1:].numel(),
            *(places, rows, columns, entry, rows.dtype.type(ctx.slope), factors),
            *(features, weights, upstream, dentry.numpy(), drow.numpy()),
        )
        dx = torch.empty_like(x, memory_format=torch.contiguous_format)
        dcolumn = torch.empty_like(score_column, memory_format=torch.contiguous_format)
        transpose, position = ctx.pattern.transpose
        pointers, places = transpose.arrays
        threads.over_rows(
            attention.attend_backward_columns,
            pointers,
            x.shape[1:].numel(),
            *(places, position.numpy(), factors, weights, upstream, dentry.numpy(), dx.numpy(), dcolumn.numpy()),
        )
        dkeep = alpha * sample(ctx.pattern, grad, x) if ctx.needs_input_grad[4] else None
        return drow, dcolumn, dx, None if score_entry is None else dentry, dkeep, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        *tensors, slope, pattern = inputs
        stacked = [stacked_tasks(t, dim, info.batch_size) for t, dim in zip(tensors, in_dims[:5], strict=True)]
        out, alpha = _Attend.apply(*(t if t is None else t.flatten(1, 2) for t in stacked), slope, pattern)
        heads = stacked[2].shape[1:3]
        return (out.unflatten(1, heads), alpha.unflatten(1, heads)), (1, 1)


class _PairScores(torch.autograd.Function):
    @staticmethod
    def forward(
        left: Tensor, right: Tensor, att: Tensor, entry_term: Tensor | None, slope: float, pattern: Pattern
    ) -> Tensor:
        out = torch.empty(pattern.entries, att.shape[0], dtype=left.dtype)
        rows, columns, entry = (_array(t, 3, left.dtype) for t in (left, right, entry_term))
        pointers, places = pattern.arrays
        threads.over_rows(
            attention.pair_scores,
            pointers,
            att.numel(),
            *(places, rows, columns, entry, _array(att, 2, left.dtype), rows.dtype.type(slope), out.numpy()),
        )
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.slope, ctx.pattern = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        left, right, att, entry_term = inputs = ctx.saved_tensors
        if torch.is_grad_enabled():

            def composed(left: Tensor, right: Tensor, att: Tensor, entry: Tensor | None) -> Tensor:
                return pair_scores_composed(ctx.pattern, left, right, att, entry, ctx.slope)

            return (*_differentiable_pull(composed, list(inputs), grad), None, None)
        rows, columns, entry = (_array(t, 3, left.dtype) for t in (left, right, entry_term))
        weights, upstream = _array(att, 2, left.dtype), _array(grad, 2, left.dtype)
        slope, nothing = rows.dtype.type(ctx.slope), _array(None, 3, left.dtype)
        dleft, dright, datt = (torch.empty_like(t, memory_format=torch.contiguous_format) for t in (left, right, left))
        dentry = None if entry_term is None else torch.empty_like(entry_term, memory_format=torch.contiguous_format)
        pointers, places = ctx.pattern.arrays
        own = np.arange(len(places), dtype=places.dtype)
        given = entry, weights, slope, upstream
        outputs = dleft.numpy(), datt.numpy(), nothing if dentry is None else dentry.numpy()
        run = attention.pair_scores_backward
        threads.over_rows(run, pointers, 2 * att.numel(), places, own, rows, columns, *given, *outputs)
        transpose, position = ctx.pattern.transpose
        pointers, places = transpose.arrays
        outputs = dright.numpy(), nothing, nothing
        threads.over_rows(run, pointers, 2 * att.numel(), places, position.numpy(), columns, rows, *given, *outputs)
        return dleft, dright, datt.sum(0), dentry, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        left, right, att, entry_term, slope, pattern = inputs
        tasks = info.batch_size
        att = att.expand(tasks, *att.shape) if in_dims[2] is None else att.movedim(in_dims[2], 0)
        sides = [stacked_tasks(t, d, tasks) for t, d in zip((left, right, entry_term), in_dims[:2] + in_dims[3:4], strict=True)]
        left, right, entry_term = (t if t is None else t.flatten(1, 2) for t in sides)
        out = _PairScores.apply(left, right, att.flatten(0, 1), entry_term, slope, pattern)
        return out.unflatten(1, (tasks, att.shape[1])), 1

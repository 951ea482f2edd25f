"""Attention over the entries of a sparse matrix (GAT, GATv2), its softmax, and dense self-attention.

No ``entries x features`` array is kept. Where a gradient is itself differentiated the plain composition takes over; it
is the definition, and the test's oracle.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit._kernels import csr_attention as kernels
from graphkit._kernels import threads
from graphkit._kernels.memory import empty_recycled
from graphkit.operators.autograd import (
    AbstractFunction,
    differentiable_gradients,
    forward_mode,
    has_kernel,
    inside_transform,
    kernel_arrays,
    tasks_as_heads,
)
from graphkit.operators.operand_checks import check_shape
from graphkit.operators.pattern import Pattern
from graphkit.operators.products import columns_to_entries, row_sums, rows_to_entries, sddmm, spmm


def entry_softmax(pattern: Pattern, scores: Tensor) -> Tensor:
    r"""Return :math:`\alpha_{ij} = e^{s_{ij}} / \sum_k e^{s_{ik}}`, ``[entries, heads]``; an empty row has no entries.

    Example:
        >>> import numpy as np
        >>> pattern = Pattern.from_coo(np.array([0, 0, 1]), np.array([0, 1, 1]), (2, 2))
        >>> entry_softmax(pattern, torch.zeros(3, 1)).flatten().tolist()
        [0.5, 0.5, 1.0]
    """
    check_shape("scores", scores, entries=pattern.entries, heads=None)
    return _EntrySoftmax.apply(scores, pattern)


class _EntrySoftmax(AbstractFunction):
    @staticmethod
    def forward(scores: Tensor, pattern: Pattern) -> Tensor:
        if not has_kernel(scores):
            rows = pattern.rows().unsqueeze(1).expand_as(scores)
            top = scores.new_full((pattern.shape[0], scores.shape[1]), -torch.inf)
            shifted = (scores - top.scatter_reduce(0, rows, scores, "amax").gather(0, rows)).exp()
            total = torch.zeros_like(top).scatter_add(0, rows, shifted)
            return shifted / total.gather(0, rows)
        out = empty_recycled(scores.shape, scores.dtype)
        indptr, _ = pattern._arrays
        threads.over_rows(kernels.softmax_rows, indptr, 4 * scores.shape[1], *kernel_arrays(scores, out))
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.pattern = inputs[1]
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (alpha,) = ctx.saved_tensors
        if torch.is_grad_enabled() or not has_kernel(grad):
            weighted = alpha * grad
            return weighted - alpha * rows_to_entries(ctx.pattern, row_sums(ctx.pattern, weighted)), None
        out = empty_recycled(alpha.shape, alpha.dtype)
        indptr, _ = ctx.pattern._arrays
        threads.over_rows(kernels.softmax_rows_backward, indptr, 4 * alpha.shape[1], *kernel_arrays(alpha, grad, out))
        return out, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, ...], scores: Tensor, pattern: Pattern) -> tuple[Tensor, int]:
        stacked = scores.movedim(in_dims[0], 1)
        return _EntrySoftmax.apply(stacked.flatten(1), pattern).view(stacked.shape), 1


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
    check_shape("x", x, columns=columns, heads=None, features=None)
    check_shape("score_row", score_row, rows=rows, heads=x.shape[1])
    check_shape("score_column", score_column, columns=columns, heads=x.shape[1])
    for name, part in (("score_entry", score_entry), ("keep", keep)):
        if part is not None:
            check_shape(name, part, entries=pattern.entries, heads=x.shape[1])
    if not has_kernel(x):
        return attend_reference(pattern, score_row, score_column, x, score_entry, keep, slope)
    return _Attend.apply(score_row, score_column, x, score_entry, keep, slope, pattern)[0]


def attend_reference(
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
    return spmm(pattern, alpha if keep is None else alpha * keep, x)


def attention_weights(
    pattern: Pattern, score_row: Tensor | None, score_column: Tensor, score_entry: Tensor | None, slope: float
) -> Tensor:
    """Return the attention that ``attend`` gives each entry, before dropout, ``[entries, heads]``."""
    scores = columns_to_entries(pattern, score_column)
    if score_row is not None:
        scores = scores + rows_to_entries(pattern, score_row)
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
        alpha = empty_recycled((pattern.entries, heads), x.dtype)
        out = empty_recycled((pattern.shape[0], heads, features), x.dtype)
        rows, columns, entry, factors = kernel_arrays(score_row, score_column, score_entry, keep)
        indptr, places = pattern._arrays
        threads.over_rows(
            kernels.attend,
            indptr,
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
            composed = partial(attend_reference, ctx.pattern, slope=ctx.slope)
            return (*differentiable_gradients(composed, inputs, grad), None, None)
        score_row, score_column, x, score_entry, _ = inputs
        rows, columns, entry, factors = kernel_arrays(*inputs[:2], *inputs[3:])
        features, weights, upstream = kernel_arrays(x, alpha, grad)
        dentry, drow = empty_recycled(alpha.shape, x.dtype), empty_recycled(score_row.shape, x.dtype)
        indptr, places = ctx.pattern._arrays
        threads.over_rows(
            kernels.attend_backward_rows,
            indptr,
            x.shape[1:].numel(),
            *(places, rows, columns, entry, rows.dtype.type(ctx.slope), factors),
            *(features, weights, upstream, dentry.numpy(), drow.numpy()),
        )
        dx = empty_recycled(x.shape, x.dtype)
        dcolumn = empty_recycled(score_column.shape, x.dtype)
        transpose, position = ctx.pattern._transpose
        indptr, places = transpose._arrays
        threads.over_rows(
            kernels.attend_backward_columns,
            indptr,
            x.shape[1:].numel(),
            *(places, position.numpy(), factors, weights, upstream, dentry.numpy(), dx.numpy(), dcolumn.numpy()),
        )
        dkeep = alpha * sddmm(ctx.pattern, grad, x) if ctx.needs_input_grad[4] else None
        return drow, dcolumn, dx, None if score_entry is None else dentry, dkeep, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        *tensors, slope, pattern = inputs
        stacked = tasks_as_heads(tensors, in_dims[:5], info.batch_size)
        out, alpha = _Attend.apply(*stacked, slope, pattern)
        return tuple(result.unflatten(1, (info.batch_size, -1)) for result in (out, alpha)), (1, 1)


def gatv2_scores(
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

    Raises:
        ValueError: for shapes that do not fit the pattern or each other.

    Source: Brody, Alon & Yahav (2022), arXiv:2105.14491, equation 7.
    """
    check_shape("att", att, heads=None, features=None)
    heads, features = att.shape
    check_shape("left", left, rows=pattern.shape[0], heads=heads, features=features)
    check_shape("right", right, columns=pattern.shape[1], heads=heads, features=features)
    if entry_term is not None:
        check_shape("entry_term", entry_term, entries=pattern.entries, heads=heads, features=features)
    if not has_kernel(left):
        return gatv2_scores_reference(pattern, left, right, att, entry_term, slope)
    return _Gatv2Scores.apply(left, right, att, entry_term, slope, pattern)


def gatv2_scores_reference(
    pattern: Pattern, left: Tensor, right: Tensor, att: Tensor, entry_term: Tensor | None, slope: float
) -> Tensor:
    """Return what ``gatv2_scores`` returns, through an ``entries x features`` array."""
    z = left.index_select(0, pattern.rows()) + right.index_select(0, pattern._indices)
    if entry_term is not None:
        z = z + entry_term
    return (F.leaky_relu(z, slope) * att).sum(-1)


class _Gatv2Scores(AbstractFunction):
    @staticmethod
    def forward(
        left: Tensor, right: Tensor, att: Tensor, entry_term: Tensor | None, slope: float, pattern: Pattern
    ) -> Tensor:
        out = empty_recycled((pattern.entries, att.shape[0]), left.dtype)
        rows, columns, entry = kernel_arrays(left, right, entry_term)
        weights, scores = kernel_arrays(att, out)
        indptr, places = pattern._arrays
        given = places, rows, columns, entry, weights, rows.dtype.type(slope)
        threads.over_rows(kernels.gatv2_scores, indptr, att.numel(), *given, scores)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.slope, ctx.pattern = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        left, right, att, entry_term = inputs = ctx.saved_tensors
        if torch.is_grad_enabled():
            composed = partial(gatv2_scores_reference, ctx.pattern, slope=ctx.slope)
            return (*differentiable_gradients(composed, list(inputs), grad), None, None)
        rows, columns, entry, nothing = kernel_arrays(left, right, entry_term, None)
        weights, upstream = kernel_arrays(att, grad)
        slope = rows.dtype.type(ctx.slope)
        dleft, dright, datt = (empty_recycled(t.shape, left.dtype) for t in (left, right, left))
        dentry = None if entry_term is None else empty_recycled(entry_term.shape, left.dtype)
        indptr, places = ctx.pattern._arrays
        own = np.arange(len(places), dtype=places.dtype)
        given = entry, weights, slope, upstream
        outputs = dleft.numpy(), datt.numpy(), nothing if dentry is None else dentry.numpy()
        run = kernels.gatv2_scores_backward
        threads.over_rows(run, indptr, 2 * att.numel(), places, own, rows, columns, *given, *outputs)
        transpose, position = ctx.pattern._transpose
        indptr, places = transpose._arrays
        outputs = dright.numpy(), nothing, nothing
        threads.over_rows(run, indptr, 2 * att.numel(), places, position.numpy(), columns, rows, *given, *outputs)
        return dleft, dright, datt.sum(0), dentry, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        left, right, att, entry_term, slope, pattern = inputs
        tasks = info.batch_size
        att = att.expand(tasks, *att.shape) if in_dims[2] is None else att.movedim(in_dims[2], 0)
        left, right, entry_term = tasks_as_heads((left, right, entry_term), (*in_dims[:2], in_dims[3]), tasks)
        out = _Gatv2Scores.apply(left, right, att.flatten(0, 1), entry_term, slope, pattern)
        return out.unflatten(1, (tasks, att.shape[1])), 1


def self_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Return :math:`\mathrm{softmax}(Q K^\top / \sqrt{d})\,V`, differentiable any number of times.

    Its value and its first gradient are ``torch.nn.functional.scaled_dot_product_attention``'s, which keep no square
    matrix; a gradient that is differentiated again, forward mode and ``torch.func`` go through the composition.

    Args:
        query: :math:`Q`, ``[..., places, width]``.
        key: :math:`K`, like ``query``.
        value: :math:`V`, like ``query``.
        mask: true where a place may be looked at, ``[..., 1, places]``; everywhere when left out.

    Source: Vaswani et al. (2017), arXiv:1706.03762, equation 1.

    Example:
        >>> same = torch.ones(1, 2, 4)
        >>> self_attention(same, same, torch.tensor([[[1.0] * 4, [3.0] * 4]]))[0, :, 0].tolist()
        [2.0, 2.0]
    """
    if inside_transform() or forward_mode():
        return self_attention_reference(query, key, value, mask=mask)
    inputs = (query, key, value)
    if torch.compiler.is_compiling() or not (torch.is_grad_enabled() and any(x.requires_grad for x in inputs)):
        return F.scaled_dot_product_attention(*inputs, attn_mask=mask)
    q, k, v = leaves = [x.detach().requires_grad_() for x in inputs]
    return _SelfAttention.apply(*inputs, mask, (leaves, F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))


def self_attention_reference(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return what ``self_attention`` returns, through an array of ``places x places``."""
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(-1) @ value


class _SelfAttention(AbstractFunction):
    """Carries a result that was recorded apart, and its gradients, into the graph of what it was made from."""

    @staticmethod
    def forward(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, recorded: Any) -> Tensor:
        return recorded[1].detach()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.recorded = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, mask = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *differentiable_gradients(partial(self_attention_reference, mask=mask), inputs, grad), None, None
        leaves, out = ctx.recorded
        return *torch.autograd.grad(out, leaves, grad, retain_graph=True), None, None

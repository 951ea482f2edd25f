"""Attention over the entries of a sparse matrix (GAT, GATv2), its softmax, and dense self-attention.

No ``entries x features`` array is kept.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit._kernels import csr_attention as kernels
from graphkit._kernels.resources import empty_recycled
from graphkit._torch_internals import forward_mode, inside_transform
from graphkit.operators.autograd import (
    AbstractFunction,
    AbstractKernelFunction,
    has_kernel,
    kernel_arrays,
    tasks_as_heads,
)
from graphkit.operators.operand_checks import check_shape
from graphkit.operators.pattern import Pattern
from graphkit.operators.products import columns_to_entries, row_sums, rows_to_entries, sddmm, spmm


def entry_softmax(pattern: Pattern, scores: Tensor) -> Tensor:
    r"""Return :math:`\alpha_{ij} = e^{s_{ij}} / \sum_k e^{s_{ik}}`, ``[entries, heads]``; an empty row has no entries.

    Example:
        >>> pattern = Pattern.from_coo(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), (2, 2))
        >>> entry_softmax(pattern, torch.zeros(3, 1)).flatten().tolist()
        [0.5, 0.5, 1.0]
    """
    check_shape("scores", scores, entries=pattern.entries, heads=None)
    return _EntrySoftmax.apply(scores, pattern)


class _EntrySoftmax(AbstractFunction):
    as_heads = 1

    @staticmethod
    def forward(scores: Tensor, pattern: Pattern) -> Tensor:
        if not has_kernel(scores):
            rows = pattern.rows().unsqueeze(1).expand_as(scores)
            top = scores.new_full((pattern.shape[0], scores.shape[1]), -torch.inf)
            shifted = (scores - top.scatter_reduce(0, rows, scores, "amax").gather(0, rows)).exp()
            total = torch.zeros_like(top).scatter_add(0, rows, shifted)
            return shifted / total.gather(0, rows)
        out = empty_recycled(scores.shape, scores.dtype)
        pattern._run(kernels.softmax_rows, 4 * scores.shape[1], scores, out)
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
        ctx.pattern._run(kernels.softmax_rows_backward, 4 * alpha.shape[1], alpha, grad, out)
        return out, None


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
        return attend_reference(score_row, score_column, x, score_entry, keep, slope, pattern)
    return _Attend.apply(score_row, score_column, x, score_entry, keep, slope, pattern)[0]


def attend_reference(
    score_row: Tensor,
    score_column: Tensor,
    x: Tensor,
    score_entry: Tensor | None,
    keep: Tensor | None,
    slope: float,
    pattern: Pattern,
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


class _Attend(AbstractKernelFunction):
    as_heads = differentiable = 5
    reference = staticmethod(attend_reference)

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
        scores = rows, columns, entry, rows.dtype.type(slope)
        pattern._run(kernels.attend, heads * features, *scores, factors, x, alpha, out)
        return out, alpha

    @staticmethod
    def gradients(
        grad: Tensor, wanted: Any, alpha: Tensor, *inputs: Any
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
        score_row, score_column, x, score_entry, keep, slope, pattern = inputs
        width = x.shape[1:].numel()
        rows, columns, entry, factors = kernel_arrays(score_row, score_column, score_entry, keep)
        dentry, drow = empty_recycled(alpha.shape, x.dtype), empty_recycled(score_row.shape, x.dtype)
        scores = rows, columns, entry, rows.dtype.type(slope)
        pattern._run(kernels.attend_backward_rows, width, *scores, factors, x, alpha, grad, dentry, drow)
        dx, dcolumn = empty_recycled(x.shape, x.dtype), empty_recycled(score_column.shape, x.dtype)
        transpose, position = pattern._transpose
        arguments = position, factors, alpha, grad, dentry
        transpose._run(kernels.attend_backward_columns, width, *arguments, dx, dcolumn)
        dkeep = alpha * sddmm(pattern, grad, x) if wanted[4] else None
        return drow, dcolumn, dx, None if score_entry is None else dentry, dkeep


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
        return gatv2_scores_reference(left, right, att, entry_term, slope, pattern)
    return _Gatv2Scores.apply(left, right, att, entry_term, slope, pattern)


def gatv2_scores_reference(
    left: Tensor, right: Tensor, att: Tensor, entry_term: Tensor | None, slope: float, pattern: Pattern
) -> Tensor:
    """Return what ``gatv2_scores`` returns, through an ``entries x features`` array."""
    z = left.index_select(0, pattern.rows()) + right.index_select(0, pattern._indices)
    if entry_term is not None:
        z = z + entry_term
    return (F.leaky_relu(z, slope) * att).sum(-1)


class _Gatv2Scores(AbstractKernelFunction):
    differentiable = 4
    reference = staticmethod(gatv2_scores_reference)

    @staticmethod
    def forward(
        left: Tensor, right: Tensor, att: Tensor, entry_term: Tensor | None, slope: float, pattern: Pattern
    ) -> Tensor:
        out = empty_recycled((pattern.entries, att.shape[0]), left.dtype)
        rows, columns, entry = kernel_arrays(left, right, entry_term)
        pattern._run(kernels.gatv2_scores, att.numel(), rows, columns, entry, att, rows.dtype.type(slope), out)
        return out

    @staticmethod
    def gradients(
        grad: Tensor,
        wanted: Any,
        left: Tensor,
        right: Tensor,
        att: Tensor,
        entry_term: Tensor | None,
        slope: float,
        pattern: Pattern,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        rows, columns, entry, nothing = kernel_arrays(left, right, entry_term, None)
        dleft, dright, datt = (empty_recycled(t.shape, left.dtype) for t in (left, right, left))
        dentry = None if entry_term is None else empty_recycled(entry_term.shape, left.dtype)
        run, width, given = kernels.gatv2_scores_backward, 2 * att.numel(), (entry, att, rows.dtype.type(slope), grad)
        own = np.arange(pattern.entries, dtype=pattern._arrays[1].dtype)
        pattern._run(run, width, own, rows, columns, *given, dleft, datt, nothing if dentry is None else dentry)
        transpose, position = pattern._transpose
        transpose._run(run, width, position, columns, rows, *given, dright, nothing, nothing)
        return dleft, dright, datt.sum(0), dentry

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
        return self_attention_reference(query, key, value, mask)
    inputs = (query, key, value)
    if torch.compiler.is_compiling() or not (torch.is_grad_enabled() and any(x.requires_grad for x in inputs)):
        return F.scaled_dot_product_attention(*inputs, attn_mask=mask)
    q, k, v = leaves = [x.detach().requires_grad_() for x in inputs]
    return _SelfAttention.apply(*inputs, mask, (leaves, F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))


def self_attention_reference(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, _: Any = None) -> Tensor:
    """Return what ``self_attention`` returns, through an array of ``places x places``."""
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(-1) @ value


class _SelfAttention(AbstractKernelFunction):
    """Carries a result that was recorded apart, and its gradients, into the graph of what it was made from."""

    differentiable = 3
    reference = staticmethod(self_attention_reference)

    @staticmethod
    def forward(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, recorded: Any) -> Tensor:
        return recorded[1].detach()

    @staticmethod
    def gradients(grad: Tensor, wanted: Any, *inputs: Any) -> tuple[Tensor, ...]:
        leaves, out = inputs[-1]
        return torch.autograd.grad(out, leaves, grad, retain_graph=True)

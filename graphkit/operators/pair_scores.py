"""The dynamic attention score of GATv2, without an ``entries x features`` array."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
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

    Raises:
        ValueError: for shapes that do not fit the pattern or each other.

    Source: Brody, Alon & Yahav (2022), arXiv:2105.14491, equation 7.
    """
    shaped("att", att, heads=None, features=None)
    heads, features = att.shape
    shaped("left", left, rows=pattern.shape[0], heads=heads, features=features)
    shaped("right", right, columns=pattern.shape[1], heads=heads, features=features)
    if entry_term is not None:
        shaped("entry_term", entry_term, entries=pattern.entries, heads=heads, features=features)
    if not compiled(left):
        return pair_scores_composed(pattern, left, right, att, entry_term, slope)
    return _PairScores.apply(left, right, att, entry_term, slope, pattern)


def pair_scores_composed(
    pattern: Pattern, left: Tensor, right: Tensor, att: Tensor, entry_term: Tensor | None, slope: float
) -> Tensor:
    """Return what ``pair_scores`` returns, through an ``entries x features`` array."""
    z = left.index_select(0, pattern.rows()) + right.index_select(0, pattern._columns)
    if entry_term is not None:
        z = z + entry_term
    return (F.leaky_relu(z, slope) * att).sum(-1)


class _PairScores(AbstractFunction):
    @staticmethod
    def forward(
        left: Tensor, right: Tensor, att: Tensor, entry_term: Tensor | None, slope: float, pattern: Pattern
    ) -> Tensor:
        out = fresh((pattern.entries, att.shape[0]), left.dtype)
        rows, columns, entry = kernel_arrays(left, right, entry_term)
        weights, scores = kernel_arrays(att, out)
        pointers, places = pattern._arrays
        given = places, rows, columns, entry, weights, rows.dtype.type(slope)
        threads.over_rows(kernels.pair_scores, pointers, att.numel(), *given, scores)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.slope, ctx.pattern = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        left, right, att, entry_term = inputs = ctx.saved_tensors
        if torch.is_grad_enabled():
            composed = partial(pair_scores_composed, ctx.pattern, slope=ctx.slope)
            return (*differentiable_gradients(composed, list(inputs), grad), None, None)
        rows, columns, entry, nothing = kernel_arrays(left, right, entry_term, None)
        weights, upstream = kernel_arrays(att, grad)
        slope = rows.dtype.type(ctx.slope)
        dleft, dright, datt = (fresh(t.shape, left.dtype) for t in (left, right, left))
        dentry = None if entry_term is None else fresh(entry_term.shape, left.dtype)
        pointers, places = ctx.pattern._arrays
        own = np.arange(len(places), dtype=places.dtype)
        given = entry, weights, slope, upstream
        outputs = dleft.numpy(), datt.numpy(), nothing if dentry is None else dentry.numpy()
        run = kernels.pair_scores_backward
        threads.over_rows(run, pointers, 2 * att.numel(), places, own, rows, columns, *given, *outputs)
        transpose, position = ctx.pattern._transpose
        pointers, places = transpose._arrays
        outputs = dright.numpy(), nothing, nothing
        threads.over_rows(run, pointers, 2 * att.numel(), places, position.numpy(), columns, rows, *given, *outputs)
        return dleft, dright, datt.sum(0), dentry, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        left, right, att, entry_term, slope, pattern = inputs
        tasks = info.batch_size
        att = att.expand(tasks, *att.shape) if in_dims[2] is None else att.movedim(in_dims[2], 0)
        left, right, entry_term = side_by_side((left, right, entry_term), (*in_dims[:2], in_dims[3]), tasks)
        out = _PairScores.apply(left, right, att.flatten(0, 1), entry_term, slope, pattern)
        return out.unflatten(1, (tasks, att.shape[1])), 1

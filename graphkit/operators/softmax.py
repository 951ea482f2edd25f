"""The softmax over the entries of each row, closed under differentiation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit._kernels import attention as kernels
from graphkit._kernels import threads
from graphkit._kernels.memory import fresh
from graphkit.operators.arguments import shaped
from graphkit.operators.functions import AbstractFunction, compiled, kernel_arrays
from graphkit.operators.pattern import Pattern
from graphkit.operators.products import along_rows, row_sums


def entry_softmax(pattern: Pattern, scores: Tensor) -> Tensor:
    r"""Return :math:`\alpha_{ij} = e^{s_{ij}} / \sum_k e^{s_{ik}}`, ``[entries, heads]``; an empty row has no entries.

    Example:
        >>> import numpy as np
        >>> pattern = Pattern.from_coordinates(np.array([0, 0, 1]), np.array([0, 1, 1]), (2, 2))
        >>> entry_softmax(pattern, torch.zeros(3, 1)).flatten().tolist()
        [0.5, 0.5, 1.0]
    """
    shaped("scores", scores, entries=pattern.entries, heads=None)
    return _EntrySoftmax.apply(scores, pattern)


class _EntrySoftmax(AbstractFunction):
    @staticmethod
    def forward(scores: Tensor, pattern: Pattern) -> Tensor:
        if not compiled(scores):
            rows = pattern.rows().unsqueeze(1).expand_as(scores)
            top = scores.new_full((pattern.shape[0], scores.shape[1]), -torch.inf)
            shifted = (scores - top.scatter_reduce(0, rows, scores, "amax").gather(0, rows)).exp()
            total = torch.zeros_like(top).scatter_add(0, rows, shifted)
            return shifted / total.gather(0, rows)
        out = fresh(scores.shape, scores.dtype)
        pointers, _ = pattern._arrays
        threads.over_rows(kernels.softmax_rows, pointers, 4 * scores.shape[1], *kernel_arrays(scores, out))
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.pattern = inputs[1]
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (alpha,) = ctx.saved_tensors
        if torch.is_grad_enabled() or not compiled(grad):
            weighted = alpha * grad
            return weighted - alpha * along_rows(ctx.pattern, row_sums(ctx.pattern, weighted)), None
        out = fresh(alpha.shape, alpha.dtype)
        pointers, _ = ctx.pattern._arrays
        threads.over_rows(kernels.softmax_rows_backward, pointers, 4 * alpha.shape[1], *kernel_arrays(alpha, grad, out))
        return out, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, ...], scores: Tensor, pattern: Pattern) -> tuple[Tensor, int]:
        stacked = scores.movedim(in_dims[0], 1)
        return _EntrySoftmax.apply(stacked.flatten(1), pattern).view(stacked.shape), 1

"""The softmax over the entries of each row, closed under differentiation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit._kernels import attention as kernels
from graphkit._kernels import threads
from graphkit._kernels.memory import fresh
from graphkit.operators.functions import AbstractFunction
from graphkit.operators.pattern import Pattern
from graphkit.operators.products import along_rows, row_sums

COMPILED = (torch.float32, torch.float64)
"""Types that the fused kernels take, on the CPU; the rest goes through compositions of PyTorch's own operations."""


def entry_softmax(pattern: Pattern, scores: Tensor) -> Tensor:
    r"""Return :math:`\alpha_{ij} = e^{s_{ij}} / \sum_k e^{s_{ik}}`, ``[entries, heads]``; an empty row has no entries.

    Example:
        >>> pattern = Pattern.from_coordinates(np.array([0, 0, 1]), np.array([0, 1, 1]), (2, 2))
        >>> entry_softmax(pattern, torch.zeros(3, 1)).flatten().tolist()
        [0.5, 0.5, 1.0]
    """
    return _EntrySoftmax.apply(scores, pattern)


def kernel_array(tensor: Tensor | None, dimensions: int, dtype: torch.dtype) -> np.ndarray:
    """Return the tensor for a kernel; an array without rows stands for ``None``."""
    tensor = torch.empty((0,) * dimensions, dtype=dtype) if tensor is None else tensor
    return tensor.detach().contiguous().numpy()


def differentiable_gradients(
    function: Callable[..., Tensor], inputs: list[Tensor | None], grad: Tensor
) -> list[Tensor | None]:
    """Return the gradients of a composed function at those inputs that are tensors, themselves differentiable."""
    given = [k for k, value in enumerate(inputs) if value is not None]

    def of_given(*tensors: Tensor) -> Tensor:
        full = list(inputs)
        for k, tensor in zip(given, tensors, strict=True):
            full[k] = tensor
        return function(*full)

    pull = torch.func.vjp(of_given, *(inputs[k] for k in given))[1]
    gradients: list[Tensor | None] = [None] * len(inputs)
    for k, gradient in zip(given, pull(grad), strict=True):
        gradients[k] = gradient
    return gradients


class _EntrySoftmax(AbstractFunction):
    @staticmethod
    def forward(scores: Tensor, pattern: Pattern) -> Tensor:
        if scores.device.type != "cpu" or scores.dtype not in COMPILED:
            rows = pattern.rows().unsqueeze(1).expand_as(scores)
            top = scores.new_full((pattern.shape[0], scores.shape[1]), -torch.inf)
            shifted = (scores - top.scatter_reduce(0, rows, scores, "amax").gather(0, rows)).exp()
            total = torch.zeros_like(top).scatter_add(0, rows, shifted)
            return shifted / total.gather(0, rows)
        out = fresh(scores.shape, scores.dtype)
        pointers, _ = pattern.arrays
        threads.over_rows(
            kernels.softmax_rows, pointers, 4 * scores.shape[1], kernel_array(scores, 2, scores.dtype), out.numpy()
        )
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.pattern = inputs[1]
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (alpha,) = ctx.saved_tensors
        if torch.is_grad_enabled() or grad.device.type != "cpu" or grad.dtype not in COMPILED:
            weighted = alpha * grad
            return weighted - alpha * along_rows(ctx.pattern, row_sums(ctx.pattern, weighted)), None
        out = fresh(alpha.shape, alpha.dtype)
        pointers, _ = ctx.pattern.arrays
        arrays = (kernel_array(side, 2, alpha.dtype) for side in (alpha, grad, out))
        threads.over_rows(kernels.softmax_rows_backward, pointers, 4 * alpha.shape[1], *arrays)
        return out, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, ...], scores: Tensor, pattern: Pattern) -> tuple[Tensor, int]:
        stacked = scores.movedim(in_dims[0], 1)
        return _EntrySoftmax.apply(stacked.flatten(1), pattern).view(stacked.shape), 1

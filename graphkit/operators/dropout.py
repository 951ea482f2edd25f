"""Dropout whose mask is drawn again instead of kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit._kernels import resources, splitmix
from graphkit._kernels.resources import empty_recycled
from graphkit._torch_internals import inside_transform
from graphkit.operators.autograd import AbstractFunction, has_kernel


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Return ``x`` with each value zeroed with probability ``p`` and the others divided by ``1 - p``.

    One number is drawn from PyTorch's generator; the mask is a hash of it and of each place, computed as it is needed,
    forward and backward. That is several times faster than drawing it number by number, and no mask is kept. The
    distribution is that of ``torch.nn.functional.dropout``, the stream of numbers is another. Elsewhere than on the CPU
    and inside ``torch.func`` transforms it is that function.

    Args:
        x: any shape.
        p: in [0, 1].
        training: nothing is dropped otherwise.

    Raises:
        ValueError: if ``p`` lies outside [0, 1].

    Source: Steele, Lea & Flood (2014), Fast splittable pseudorandom number generators (the hash).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> sorted(set(dropout(torch.ones(100), 0.75).tolist()))
        [0.0, 4.0]
    """
    if not 0 <= p <= 1:
        raise ValueError(f"`p` must lie in [0, 1], got {p}.")
    if not training or p == 0:
        return x
    if not has_kernel(x) or p == 1 or inside_transform() or torch.compiler.is_compiling():
        return F.dropout(x, p)
    return _Dropout.apply(x, int(torch.randint(2**63 - 1, ())), p)


class _Dropout(AbstractFunction):
    @staticmethod
    def forward(x: Tensor, seed: int, p: float) -> Tensor:
        out = empty_recycled(x.shape, x.dtype)
        flat = x.detach().contiguous().view(-1).numpy()
        threshold, factor = np.uint64(int(p * 2.0**64)), flat.dtype.type(1 / (1 - p))
        arrays = flat, np.uint64(seed), threshold, factor, out.view(-1).numpy()
        resources.over_range(splitmix.dropout_range, len(flat), *arrays)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.seed, ctx.p = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Dropout.apply(grad, ctx.seed, ctx.p), None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, ...], x: Tensor, seed: int, p: float) -> tuple[Tensor, int]:
        mask = _Dropout.apply(torch.ones(x.select(in_dims[0], 0).shape, dtype=x.dtype), seed, p)
        return x.movedim(in_dims[0], 0) * mask, 0

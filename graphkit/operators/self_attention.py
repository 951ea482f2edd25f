"""Scaled dot-product attention by PyTorch's fused kernels, which have one derivative, with all of them."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.operators.functions import AbstractFunction, differentiable_gradients, forward_mode, inside_transform


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
        return composed_attention(query, key, value, mask=mask)
    inputs = (query, key, value)
    if torch.compiler.is_compiling() or not (torch.is_grad_enabled() and any(x.requires_grad for x in inputs)):
        return F.scaled_dot_product_attention(*inputs, attn_mask=mask)
    q, k, v = leaves = [x.detach().requires_grad_() for x in inputs]
    return _SelfAttention.apply(*inputs, mask, (leaves, F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))


def composed_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
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
            return *differentiable_gradients(partial(composed_attention, mask=mask), inputs, grad), None, None
        leaves, out = ctx.recorded
        return *torch.autograd.grad(out, leaves, grad, retain_graph=True), None, None

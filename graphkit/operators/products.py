"""The two products of a sparse matrix, closed under differentiation.

``multiply`` is the matrix times dense features; ``sample`` is the dense product read at the stored entries. The
gradient of each is made of the two again, so both can be differentiated any number of times, under ``torch.func``
too. Tasks that ``vmap`` stacks become further features where the matrix is shared, and heads where its values differ.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit._kernels import product, threads
from graphkit.operators.pattern import Pattern

BLOCK = 2**22
"""Numbers held at a time by ``sample`` on an accelerator, where it gathers both sides in blocks of entries."""


def multiply(pattern: Pattern, values: Tensor | None, x: Tensor, *, turned: Tensor | None = None) -> Tensor:
    r"""Return :math:`y_i = \sum_j a_{ij} x_j`, with every head's own values where there are heads.

    Args:
        pattern: places of the entries, ``[rows, columns]``.
        values: ``[entries]``, or ``[entries, heads]``, or ``None`` for ones (only without heads).
        x: ``[columns, features]``, or ``[columns, heads, features]`` when ``values`` has heads.
        turned: ``values`` in the order of the transpose, when they are known and constant; spares a permutation in
            the backward pass.

    Returns:
        ``[rows, features]`` or ``[rows, heads, features]``, in the type of ``x``. Half-precision features are
        multiplied and summed in float32.
    """
    if x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float16):
        wide = None if values is None else values.float()
        return multiply(pattern, wide, x.float(), turned=None if turned is None else turned.float()).to(x.dtype)
    if values is not None and values.dtype != x.dtype:
        values, turned = values.to(x.dtype), None if turned is None else turned.to(x.dtype)
    return _Multiply.apply(x, values, turned, pattern)


def sample(pattern: Pattern, left: Tensor, right: Tensor) -> Tensor:
    r"""Return :math:`\langle l_i, r_j \rangle` for every entry :math:`(i, j)`, head by head where there are heads.

    Args:
        pattern: places of the entries, ``[rows, columns]``.
        left: ``[rows, features]`` or ``[rows, heads, features]``.
        right: ``[columns, features]`` or ``[columns, heads, features]``, of the same type.

    Returns:
        ``[entries]`` or ``[entries, heads]``; no ``entries x features`` array is made.
    """
    if left.device.type == "cpu" and left.dtype in (torch.bfloat16, torch.float16):
        return sample(pattern, left.float(), right.float()).to(left.dtype)
    return _Sample.apply(left, right, pattern)


def along_rows(pattern: Pattern, x: Tensor) -> Tensor:
    """Return ``x[i]`` for every entry (i, j), ``[entries, heads]`` from ``[rows, heads]``."""
    return sample(pattern, x.unsqueeze(-1), x.new_ones(pattern.shape[1], *x.shape[1:], 1))


def along_columns(pattern: Pattern, x: Tensor) -> Tensor:
    """Return ``x[j]`` for every entry (i, j), ``[entries, heads]`` from ``[columns, heads]``."""
    return sample(pattern, x.new_ones(pattern.shape[0], *x.shape[1:], 1), x.unsqueeze(-1))


def row_sums(pattern: Pattern, values: Tensor) -> Tensor:
    """Return the sum of the values in each row, ``[rows]`` from ``[entries]`` or ``[rows, heads]`` with heads."""
    return multiply(pattern, values, values.new_ones(pattern.shape[1], *values.shape[1:], 1)).squeeze(-1)


def _multiply(pattern: Pattern, values: Tensor | None, x: Tensor) -> Tensor:
    if x.device.type != "cpu":
        return _multiply_on_accelerator(pattern, values, x)
    x = x.contiguous()
    out = torch.empty((pattern.shape[0], *x.shape[1:]), dtype=x.dtype)
    pointers, columns = pattern.arrays
    features = x.detach().numpy()
    width = x.shape[1:].numel()
    if values is None:
        threads.over_rows(product.sum_rows, pointers, width, columns, features, out.numpy())
        return out
    weights = values.detach().contiguous().numpy()
    run = product.multiply if values.dim() == 1 else product.multiply_heads
    threads.over_rows(run, pointers, width, columns, weights, features, out.numpy())
    return out


def _multiply_on_accelerator(pattern: Pattern, values: Tensor | None, x: Tensor) -> Tensor:
    if values is not None and values.dim() == 2:
        heads = [_multiply_on_accelerator(pattern, values[:, h], x[:, h]) for h in range(values.shape[1])]
        return torch.stack(heads, 1) if heads else x.new_zeros(pattern.shape[0], *x.shape[1:])
    weights = x.new_ones(pattern.entries) if values is None else values.contiguous()
    matrix = torch.sparse_csr_tensor(pattern.pointers, pattern.columns, weights, pattern.shape, check_invariants=False)
    return matrix @ x


def _sample(pattern: Pattern, left: Tensor, right: Tensor) -> Tensor:
    out = torch.empty((pattern.entries, *left.shape[1:-1]), dtype=left.dtype, device=left.device)
    if left.device.type == "cpu":
        pointers, columns = pattern.arrays
        heads = (1,) if left.dim() == 2 else left.shape[1:2]
        sides = [side.detach().contiguous().view(len(side), *heads, side.shape[-1]).numpy() for side in (left, right)]
        threads.over_rows(
            product.sample, pointers, left.shape[1:].numel(), columns, *sides, out.view(pattern.entries, *heads).numpy()
        )
        return out
    rows, step = pattern.rows(), max(1, BLOCK // max(1, left.shape[1:].numel()))
    for start in range(0, pattern.entries, step):
        block = slice(start, start + step)
        out[block] = (left[rows[block]] * right[pattern.columns[block]]).sum(-1)
    return out


def stacked_tasks(x: Any, dim: int | None, tasks: int) -> Any:
    """Return ``x`` with the axis that ``vmap`` hides put second; what all tasks share is expanded, ``None`` stays."""
    if x is None:
        return None
    return x.unsqueeze(1).expand(-1, tasks, *x.shape[1:]) if dim is None else x.movedim(dim, 1)


class _Multiply(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, values: Tensor | None, turned: Tensor | None, pattern: Pattern) -> Tensor:
        return _multiply(pattern, values, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, values, turned, ctx.pattern = inputs
        ctx.save_for_backward(x if values is not None and ctx.needs_input_grad[1] else None, values, turned)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, values, turned = ctx.saved_tensors
        dx = dvalues = None
        if ctx.needs_input_grad[0]:
            transpose, position = ctx.pattern.transpose
            if values is None:
                dx = _Multiply.apply(grad, None, None, transpose)
            elif turned is None:
                dx = _Multiply.apply(grad, values.index_select(0, position), None, transpose)
            else:
                dx = _Multiply.apply(grad, turned, values, transpose)
        if ctx.needs_input_grad[1]:
            dvalues = _Sample.apply(grad, x, ctx.pattern)
        return dx, dvalues, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        x, values, turned, pattern = inputs
        tasks = info.batch_size
        x = stacked_tasks(x, in_dims[0], tasks)
        if in_dims[1] is None and (values is None or values.dim() == 1):
            flat = _Multiply.apply(x.flatten(1), values, turned, pattern)
            return flat.view(pattern.shape[0], *x.shape[1:]), 1
        values = stacked_tasks(values, in_dims[1], tasks)
        heads = values.flatten(1)
        out = _Multiply.apply(x.reshape(x.shape[0], heads.shape[1], x.shape[-1]), heads, None, pattern)
        return out.view(pattern.shape[0], *x.shape[1:]), 1


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(left: Tensor, right: Tensor, pattern: Pattern) -> Tensor:
        return _sample(pattern, left, right)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        left, right, ctx.pattern = inputs
        ctx.save_for_backward(left, right)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        left, right = ctx.saved_tensors
        dleft = dright = None
        if ctx.needs_input_grad[0]:
            dleft = _Multiply.apply(right, grad, None, ctx.pattern)
        if ctx.needs_input_grad[1]:
            transpose, position = ctx.pattern.transpose
            dright = _Multiply.apply(left, grad.index_select(0, position), None, transpose)
        return dleft, dright, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        left, right, pattern = inputs
        left, right = (
            stacked_tasks(side, dim, info.batch_size) for side, dim in ((left, in_dims[0]), (right, in_dims[1]))
        )
        shape = left.shape[1:-1]
        left, right = (side.reshape(side.shape[0], shape.numel(), side.shape[-1]) for side in (left, right))
        return _Sample.apply(left, right, pattern).view(pattern.entries, *shape), 1

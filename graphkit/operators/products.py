"""The two products of a sparse matrix, closed under differentiation.

``multiply`` is the matrix times dense features; ``sample`` is the dense product read at the stored entries. The
gradient of each is made of the two again, so both can be differentiated any number of times, under ``torch.func``
too. Tasks that ``vmap`` stacks become further features where the matrix is shared, and heads where its values differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit._kernels import product, threads
from graphkit._kernels.memory import fresh
from graphkit.operators import accelerated
from graphkit.operators.arguments import ends_of_entries, factors_of_product
from graphkit.operators.functions import AbstractFunction, forward_mode, inside_transform, kernel_arrays, stacked_tasks
from graphkit.operators.pattern import Pattern

NARROW = 32
"""Features below which, on the CPU, PyTorch's own product (MKL's) is the faster one: it keeps a row in registers.
Our kernel costs some 4 ns an entry before the first feature, and is 1.3 to 2 times faster from 32 features on."""


def multiply(
    pattern: Pattern,
    values: Tensor | None,
    x: Tensor,
    *,
    turned: Tensor | None = None,
    scale: float = 1.0,
    plus: Tensor | None = None,
    plus_scale: float = 1.0,
) -> Tensor:
    r"""Return :math:`y_i = s \sum_j a_{ij} x_j + t p_i`, with every head's own values where there are heads.

    The second term costs no pass over memory of its own; it carries biases, residuals and three-term recurrences.

    Args:
        pattern: places of the entries, ``[rows, columns]``.
        values: ``[entries]``, or ``[entries, heads]``, or ``None`` for ones (only without heads).
        x: ``[columns, features]``, or ``[columns, heads, features]`` when ``values`` has heads.
        turned: ``values`` in the order of the transpose, when they are known and constant; spares a permutation in
            the backward pass.
        scale: :math:`s`.
        plus: :math:`p`, ``[rows, features]``, or ``[1, features]`` for all rows; nothing when left out. Not with heads.
            Given ``x`` itself, the matrix is :math:`sA + tI` and its transpose is as cheap.
        plus_scale: :math:`t`.

    Returns:
        ``[rows, features]`` or ``[rows, heads, features]``, in the type that PyTorch promotes the factors and the term
        to. Half-precision features are multiplied and summed in float32, and stay in their type where it meets no more.

    Raises:
        ValueError: for shapes that do not fit the pattern or each other.
    """
    factors_of_product(values, x, pattern.entries, pattern.shape[1])
    kind = _promoted(values, x, plus, scale, plus_scale)
    if x.dtype != kind:
        plus, x = (x.to(kind),) * 2 if plus is x else (plus, x.to(kind))
    if not _continuous(kind):
        scale, plus_scale = int(scale), int(plus_scale)
    if x.dtype in accelerated.HALF:
        wide = (None if part is None else part.float() for part in (x, values, turned, plus))
        return _Multiply.apply(*wide, scale, plus_scale, False, pattern).to(x.dtype)
    if values is not None and values.dtype != x.dtype:
        values, turned = values.to(x.dtype), None if turned is None else turned.to(x.dtype)
    if plus is not None and plus.dtype != x.dtype:
        plus = plus.to(x.dtype)
    if not (torch.is_grad_enabled() or inside_transform()):
        return _multiply(pattern, values, x, scale, plus, plus_scale)
    shifted = plus is x and pattern.shape[0] == pattern.shape[1]
    return _Multiply.apply(x, values, turned, None if shifted else plus, scale, plus_scale, shifted, pattern)


def multiply_onto(out: Tensor, matrix: Any, x: Tensor, *, scale: float = 1.0, kept: float = 1.0) -> None:
    r"""Set ``out`` to :math:`s A x + t \cdot` itself, in place and out of differentiation's sight.

    Args:
        out: contiguous, ``[rows, features]``.
        matrix: the ``SparseOperator`` :math:`A`, without heads.
        x: ``[columns, features]``, of the same type, in memory of its own.
        scale: :math:`s`.
        kept: :math:`t`.
    """
    out, values = out.detach(), matrix._kept.values
    made = _multiply(matrix.pattern, values, x, scale, out, kept, out=out)
    if made is not out:
        out.copy_(made)


def sample(pattern: Pattern, left: Tensor, right: Tensor) -> Tensor:
    r"""Return :math:`\langle l_i, r_j \rangle` for every entry :math:`(i, j)`, head by head where there are heads.

    Args:
        pattern: places of the entries, ``[rows, columns]``.
        left: ``[rows, features]`` or ``[rows, heads, features]``.
        right: ``[columns, features]`` or ``[columns, heads, features]``.

    Returns:
        ``[entries]`` or ``[entries, heads]``, in the type that PyTorch promotes both to; no ``entries x features``
        array is made.

    Raises:
        ValueError: for shapes that do not fit the pattern or each other.
    """
    ends_of_entries(left, right, pattern.shape)
    if left.dtype != right.dtype:
        kind = torch.promote_types(left.dtype, right.dtype)
        left, right = left.to(kind), right.to(kind)
    if left.dtype in accelerated.HALF:
        return sample(pattern, left.float(), right.float()).to(left.dtype)
    return _Sample.apply(left, right, pattern)


def _promoted(values: Tensor | None, x: Tensor, plus: Tensor | None, scale: float, plus_scale: float) -> torch.dtype:
    """Return the type of a product: PyTorch's for its parts, but half-precision features stay beside float32 values."""
    found = x.dtype
    for part in (values, plus):
        if part is not None and part.dtype != found:
            narrow = found in accelerated.HALF and part.dtype == torch.float32
            found = found if narrow else torch.promote_types(found, part.dtype)
    if found == torch.bool:
        return torch.int64  # a sum counts, as that of `torch.sum` does
    fits = _continuous(found) or (float(scale).is_integer() and float(plus_scale).is_integer())
    return found if fits else torch.get_default_dtype()


def _continuous(kind: torch.dtype) -> bool:
    """Tell whether numbers of a type have fractions."""
    return kind.is_floating_point or kind.is_complex


def along_rows(pattern: Pattern, x: Tensor) -> Tensor:
    """Return ``x[i]`` for every entry (i, j), ``[entries, heads]`` from ``[rows, heads]``."""
    if x.device.type != "cpu":
        return accelerated.taken(x, pattern.rows())
    return sample(pattern, x.unsqueeze(-1), x.new_ones(pattern.shape[1], *x.shape[1:], 1))


def along_columns(pattern: Pattern, x: Tensor) -> Tensor:
    """Return ``x[j]`` for every entry (i, j), ``[entries, heads]`` from ``[columns, heads]``."""
    if x.device.type != "cpu":
        return accelerated.taken(x, pattern._columns)
    return sample(pattern, x.new_ones(pattern.shape[0], *x.shape[1:], 1), x.unsqueeze(-1))


def row_sums(pattern: Pattern, values: Tensor) -> Tensor:
    """Return the sum of the values in each row, ``[rows]`` from ``[entries]`` or ``[rows, heads]`` with heads."""
    if values.device.type != "cpu":
        return accelerated.row_sums(pattern, values)
    return multiply(pattern, values, values.new_ones(pattern.shape[1], *values.shape[1:], 1)).squeeze(-1)


def _multiply(
    pattern: Pattern,
    values: Tensor | None,
    x: Tensor,
    scale: float,
    plus: Tensor | None,
    plus_scale: float,
    out: Tensor | None = None,
) -> Tensor:
    """Return the result; in ``out``, which may be ``plus``, where it is on the CPU."""
    if x.device.type != "cpu":
        return accelerated.multiply(pattern, values, x, scale, plus, plus_scale)
    width = x.shape[1:].numel()
    heads = values is not None and values.dim() == 2
    out = fresh((pattern.shape[0], *x.shape[1:]), x.dtype) if out is None else out
    # torch has no sparse product in half precision, nor of integers
    narrow = width < NARROW and not torch.is_autocast_enabled("cpu") and _continuous(x.dtype)
    if narrow and not heads and pattern.entries > 0 and pattern._columns.dtype == torch.int32:
        stored = x.new_ones(pattern.entries) if values is None else values.detach()
        start, kept = (out, 0.0) if plus is None else (plus.detach(), plus_scale)  # what is kept 0 times is not read
        return torch.addmm(start, accelerated.torch_csr(pattern, stored), x.detach(), beta=kept, alpha=scale, out=out)
    pointers, columns = pattern._arrays
    if values is not None and heads:
        threads.over_rows(product.multiply_heads, pointers, width, columns, *kernel_arrays(values, x, out))
        return out
    features, term = kernel_arrays(x, plus)
    number = features.dtype.type
    weights = np.empty(0, number) if values is None else kernel_arrays(values)[0]
    scales = number(scale), term, number(plus_scale)
    threads.over_rows(product.multiply, pointers, width, columns, weights, features, *scales, out.numpy())
    return out


def _sample(pattern: Pattern, left: Tensor, right: Tensor) -> Tensor:
    if left.device.type == "cpu":
        out = fresh((pattern.entries, *left.shape[1:-1]), left.dtype)
        pointers, columns = pattern._arrays
        heads = (1,) if left.dim() == 2 else left.shape[1:2]
        sides = [side.detach().contiguous().view(len(side), *heads, side.shape[-1]).numpy() for side in (left, right)]
        threads.over_rows(
            product.sample, pointers, left.shape[1:].numel(), columns, *sides, out.view(pattern.entries, *heads).numpy()
        )
        return out
    return accelerated.sample(pattern, left, right)


def _permuted(values: Tensor, position: Tensor) -> Tensor:
    """Return values of entries, with or without heads, in another order."""
    there = values.device.type != "cpu"
    return accelerated.taken(values, position) if there else values.index_select(0, position)


def _conjugate(part: Any) -> Any:
    """Return what stands in a gradient in place of a factor: its complex conjugate, itself where it is real."""
    return part.conj_physical() if part is not None and part.is_complex() else part


class _Multiply(AbstractFunction):
    @staticmethod
    def forward(
        x: Tensor,
        values: Tensor | None,
        turned: Tensor | None,
        plus: Tensor | None,
        scale: float,
        plus_scale: float,
        shifted: bool,
        pattern: Pattern,
    ) -> Tensor:
        return _multiply(pattern, values, x, scale, x if shifted else plus, plus_scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, values, turned, plus, ctx.scale, ctx.plus_scale, ctx.shifted, ctx.pattern = inputs
        ctx.single_plus = plus is not None and plus.shape[0] != ctx.pattern.shape[0]
        ctx.save_for_backward(x if values is not None and ctx.needs_input_grad[1] else None, values, turned)
        if forward_mode():
            ctx.save_for_forward(x, values, turned)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, values, turned = (_conjugate(part) for part in ctx.saved_tensors)
        dx = dvalues = dplus = None
        if ctx.needs_input_grad[0]:
            transpose, position = ctx.pattern._transpose
            back = None if turned is None else values
            if values is not None:
                values = _permuted(values, position) if turned is None else turned
            dx = _Multiply.apply(grad, values, back, None, ctx.scale, ctx.plus_scale, ctx.shifted, transpose)
        if ctx.needs_input_grad[1]:
            dvalues = _Sample.apply(grad, x, ctx.pattern)
            dvalues = dvalues if ctx.scale == 1.0 else dvalues * ctx.scale
        if ctx.needs_input_grad[3]:
            dplus = grad.sum(0, keepdim=True) if ctx.single_plus else grad
            dplus = dplus if ctx.plus_scale == 1.0 else dplus * ctx.plus_scale
        return dx, dvalues, None, dplus, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, dvalues: Tensor | None, _: Any, dplus: Tensor | None, *__: Any) -> Tensor:
        x, values, turned = ctx.saved_tensors
        parts = []
        if dx is not None:
            parts.append(_Multiply.apply(dx, values, turned, None, ctx.scale, ctx.plus_scale, ctx.shifted, ctx.pattern))
        if dvalues is not None:
            parts.append(_Multiply.apply(x, dvalues, None, None, ctx.scale, 1.0, False, ctx.pattern))
        if dplus is not None:
            parts.append((ctx.plus_scale * dplus).expand(ctx.pattern.shape[0], *x.shape[1:]))
        return sum(parts[1:], parts[0])

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        x, values, turned, plus, scale, plus_scale, shifted, pattern = inputs
        tasks = info.batch_size
        x, plus = stacked_tasks(x, in_dims[0], tasks), stacked_tasks(plus, in_dims[3], tasks)
        if in_dims[1] is None and (values is None or values.dim() == 1):
            term = None if plus is None else plus.flatten(1)
            flat = _Multiply.apply(x.flatten(1), values, turned, term, scale, plus_scale, shifted, pattern)
            return flat.view(pattern.shape[0], *x.shape[1:]), 1
        heads = stacked_tasks(values, in_dims[1], tasks).flatten(1)
        flat = x.reshape(x.shape[0], heads.shape[1], x.shape[-1])
        out = _Multiply.apply(flat, heads, None, None, 1.0, 1.0, False, pattern).view(pattern.shape[0], *x.shape[1:])
        out = out if scale == 1.0 else out * scale
        plus = x if shifted else plus
        return out if plus is None else out + plus_scale * plus, 1


class _Sample(AbstractFunction):
    @staticmethod
    def forward(left: Tensor, right: Tensor, pattern: Pattern) -> Tensor:
        return _sample(pattern, left, right)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        left, right, ctx.pattern = inputs
        ctx.save_for_backward(left, right)
        if forward_mode():
            ctx.save_for_forward(left, right)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        left, right = (_conjugate(side) for side in ctx.saved_tensors)
        dleft = dright = None
        if ctx.needs_input_grad[0]:
            dleft = _Multiply.apply(right, grad, None, None, 1.0, 1.0, False, ctx.pattern)
        if ctx.needs_input_grad[1]:
            transpose, position = ctx.pattern._transpose
            values = _permuted(grad, position)
            dright = _Multiply.apply(left, values, None, None, 1.0, 1.0, False, transpose)
        return dleft, dright, None

    @staticmethod
    def jvp(ctx: Any, dleft: Tensor | None, dright: Tensor | None, _: Any) -> Tensor:
        left, right = ctx.saved_tensors
        parts = [] if dleft is None else [_Sample.apply(dleft, right, ctx.pattern)]
        if dright is not None:
            parts.append(_Sample.apply(left, dright, ctx.pattern))
        return sum(parts[1:], parts[0])

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        left, right, pattern = inputs
        left, right = (
            stacked_tasks(side, dim, info.batch_size) for side, dim in ((left, in_dims[0]), (right, in_dims[1]))
        )
        shape = left.shape[1:-1]
        left, right = (side.reshape(side.shape[0], shape.numel(), side.shape[-1]) for side in (left, right))
        return _Sample.apply(left, right, pattern).view(pattern.entries, *shape), 1

"""The two products of a sparse matrix, SpMM and SDDMM, closed under differentiation.

``spmm`` is the matrix times dense features; ``sddmm`` is the dense product sampled at the stored entries. The
gradient of each is made of the two again, so both can be differentiated any number of times, under ``torch.func``
too. Tasks that ``vmap`` stacks become further features where the matrix is shared, and heads where its values differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

import graphkit.operators.torch_backend as torch_backend
from graphkit._exports import deprecated_names
from graphkit._kernels import csr_products
from graphkit._kernels.resources import empty_recycled
from graphkit._torch_internals import forward_mode, inside_transform
from graphkit.operators.autograd import AbstractFunction, kernel_arrays, stack_tasks
from graphkit.operators.operand_checks import check_factors, check_sddmm
from graphkit.operators.pattern import Pattern

__getattr__ = deprecated_names(__name__, {"multiply": f"{__name__}.spmm", "sample": f"{__name__}.sddmm"})

NARROW = 32
"""Features below which, on the CPU, PyTorch's own product (MKL's) is the faster one: it keeps a row in registers.
Our kernel costs some 4 ns an entry before the first feature, and is 1.3 to 2 times faster from 32 features on."""


def spmm(
    pattern: Pattern,
    values: Tensor | None,
    x: Tensor,
    *,
    values_t: Tensor | None = None,
    alpha: float = 1.0,
    addend: Tensor | None = None,
    beta: float = 1.0,
) -> Tensor:
    r"""Return the sparse-dense product (SpMM) :math:`y_i = \alpha \sum_j a_{ij} x_j + \beta p_i`.

    Where there are heads, each has its own values. The second term costs no pass over memory of its own; it carries
    biases, residuals and three-term recurrences.

    Args:
        pattern: places of the entries, ``[rows, columns]``.
        values: ``[entries]``, or ``[entries, heads]``, or ``None`` for ones (only without heads).
        x: ``[columns, features]``, or ``[columns, heads, features]`` when ``values`` has heads.
        values_t: ``values`` in the order of the transpose, when they are known and constant; spares a permutation in
            the backward pass.
        alpha: :math:`\alpha`.
        addend: :math:`p`, ``[rows, features]``, or ``[1, features]`` for all rows; nothing when left out. Not with
            heads. Given ``x`` itself, the matrix is :math:`\alpha A + \beta I` and its transpose is as cheap.
        beta: :math:`\beta`.

    Returns:
        ``[rows, features]`` or ``[rows, heads, features]``, in the type that PyTorch promotes the factors and the term
        to. Half-precision features are multiplied and summed in float32, and stay in their type where it meets no more.

    Raises:
        ValueError: for shapes that do not fit the pattern or each other.
    """
    check_factors(values, x, pattern.entries, pattern.shape[1])
    # All parts in one type; half precision is summed in float32.
    kind = _result_dtype(values, x, addend, alpha, beta)
    if x.dtype != kind:
        addend, x = (x.to(kind),) * 2 if addend is x else (addend, x.to(kind))
    if not _is_inexact(kind):
        alpha, beta = int(alpha), int(beta)
    if x.dtype in torch_backend.HALF:
        wide = (None if part is None else part.float() for part in (x, values, values_t, addend))
        return _Spmm.apply(*wide, alpha, beta, False, pattern).to(x.dtype)
    if values is not None and values.dtype != x.dtype:
        values, values_t = values.to(x.dtype), None if values_t is None else values_t.to(x.dtype)
    if addend is not None and addend.dtype != x.dtype:
        addend = addend.to(x.dtype)
    if not (torch.is_grad_enabled() or inside_transform()):
        return _spmm(pattern, values, x, alpha, addend, beta)
    # The same tensor twice: the matrix is alpha A + beta I, and one gradient serves both.
    shifted = addend is x and pattern.shape[0] == pattern.shape[1]
    return _Spmm.apply(x, values, values_t, None if shifted else addend, alpha, beta, shifted, pattern)


def spmm_into(out: Tensor, matrix: Any, x: Tensor, *, alpha: float = 1.0, beta: float = 1.0) -> None:
    r"""Set ``out`` to :math:`\alpha A x + \beta \cdot` itself, in place and out of differentiation's sight.

    Args:
        out: contiguous, ``[rows, features]``.
        matrix: the ``SparseOperator`` :math:`A`, without heads.
        x: ``[columns, features]``, of the same type, in memory of its own.
        alpha: :math:`\alpha`.
        beta: :math:`\beta`.
    """
    out, values = out.detach(), matrix._store.values
    result = _spmm(matrix.pattern, values, x, alpha, out, beta, out=out)
    if result is not out:
        out.copy_(result)


def sddmm(pattern: Pattern, left: Tensor, right: Tensor) -> Tensor:
    r"""Return the sampled dense-dense product (SDDMM) :math:`\langle l_i, r_j \rangle` at every entry :math:`(i, j)`.

    With heads it is taken head by head.

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
    check_sddmm(left, right, pattern.shape)
    if left.dtype != right.dtype:
        kind = torch.promote_types(left.dtype, right.dtype)
        left, right = left.to(kind), right.to(kind)
    if left.dtype in torch_backend.HALF:
        return sddmm(pattern, left.float(), right.float()).to(left.dtype)
    return _Sddmm.apply(left, right, pattern)


def _result_dtype(values: Tensor | None, x: Tensor, addend: Tensor | None, alpha: float, beta: float) -> torch.dtype:
    """Return the type of a product: PyTorch's for its parts, but half-precision features stay beside float32 values."""
    found = x.dtype
    for part in (values, addend):
        if part is not None and part.dtype != found:
            narrow = found in torch_backend.HALF and part.dtype == torch.float32
            found = found if narrow else torch.promote_types(found, part.dtype)
    if found == torch.bool:
        return torch.int64  # a sum counts, as that of `torch.sum` does
    fits = _is_inexact(found) or (float(alpha).is_integer() and float(beta).is_integer())
    return found if fits else torch.get_default_dtype()


def _is_inexact(kind: torch.dtype) -> bool:
    """Tell whether numbers of a type have fractions."""
    return kind.is_floating_point or kind.is_complex


def rows_to_entries(pattern: Pattern, x: Tensor) -> Tensor:
    """Return ``x[i]`` for every entry (i, j), ``[entries, heads]`` from ``[rows, heads]``."""
    if x.device.type != "cpu":
        return torch_backend.gather_rows(x, pattern.rows())
    return sddmm(pattern, x.unsqueeze(-1), x.new_ones(pattern.shape[1], *x.shape[1:], 1))


def columns_to_entries(pattern: Pattern, x: Tensor) -> Tensor:
    """Return ``x[j]`` for every entry (i, j), ``[entries, heads]`` from ``[columns, heads]``."""
    if x.device.type != "cpu":
        return torch_backend.gather_rows(x, pattern._indices)
    return sddmm(pattern, x.new_ones(pattern.shape[0], *x.shape[1:], 1), x.unsqueeze(-1))


def row_sums(pattern: Pattern, values: Tensor) -> Tensor:
    """Return the sum of the values in each row, ``[rows]`` from ``[entries]`` or ``[rows, heads]`` with heads."""
    if values.device.type != "cpu":
        return torch_backend.row_sums(pattern, values)
    return spmm(pattern, values, values.new_ones(pattern.shape[1], *values.shape[1:], 1)).squeeze(-1)


def _spmm(
    pattern: Pattern,
    values: Tensor | None,
    x: Tensor,
    alpha: float,
    addend: Tensor | None,
    beta: float,
    out: Tensor | None = None,
) -> Tensor:
    """Return the result; in ``out``, which may be ``addend``, where it is on the CPU."""
    if x.device.type != "cpu":
        return torch_backend.spmm(pattern, values, x, alpha, addend, beta)
    width = x.shape[1:].numel()
    heads = values is not None and values.dim() == 2
    out = empty_recycled((pattern.shape[0], *x.shape[1:]), x.dtype) if out is None else out
    # torch has no sparse product in half precision, nor of integers
    narrow = width < NARROW and not torch.is_autocast_enabled("cpu") and _is_inexact(x.dtype)
    if narrow and not heads and pattern.entries > 0 and pattern._indices.dtype == torch.int32:
        stored = x.new_ones(pattern.entries) if values is None else values.detach()
        start, beta = (out, 0.0) if addend is None else (addend.detach(), beta)  # what is taken 0 times is not read
        return torch.addmm(start, torch_backend.torch_csr(pattern, stored), x.detach(), beta=beta, alpha=alpha, out=out)
    if values is not None and heads:
        pattern._run(csr_products.spmm_heads, width, values, x, out)
        return out
    features, term = kernel_arrays(x, addend)
    number = features.dtype.type
    weights = np.empty(0, number) if values is None else values
    pattern._run(csr_products.spmm, width, weights, features, number(alpha), term, number(beta), out)
    return out


def _sddmm(pattern: Pattern, left: Tensor, right: Tensor) -> Tensor:
    if left.device.type != "cpu":
        return torch_backend.sddmm(pattern, left, right)
    out = empty_recycled((pattern.entries, *left.shape[1:-1]), left.dtype)
    heads = (1,) if left.dim() == 2 else left.shape[1:2]
    a, b = (side.detach().contiguous().view(len(side), *heads, side.shape[-1]) for side in (left, right))
    pattern._run(csr_products.sddmm, left.shape[1:].numel(), a, b, out.view(pattern.entries, *heads))
    return out


def _permute(values: Tensor, position: Tensor) -> Tensor:
    """Return values of entries, with or without heads, in another order."""
    there = values.device.type != "cpu"
    return torch_backend.gather_rows(values, position) if there else values.index_select(0, position)


def _conjugate(part: Any) -> Any:
    """Return what stands in a gradient in place of a factor: its complex conjugate, itself where it is real."""
    return part.conj_physical() if part is not None and part.is_complex() else part


class _Spmm(AbstractFunction):
    @staticmethod
    def forward(
        x: Tensor,
        values: Tensor | None,
        values_t: Tensor | None,
        addend: Tensor | None,
        alpha: float,
        beta: float,
        shifted: bool,
        pattern: Pattern,
    ) -> Tensor:
        return _spmm(pattern, values, x, alpha, x if shifted else addend, beta)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, values, values_t, addend, ctx.alpha, ctx.beta, ctx.shifted, ctx.pattern = inputs
        ctx.addend_is_row = addend is not None and addend.shape[0] != ctx.pattern.shape[0]
        ctx.save_for_backward(x if values is not None and ctx.needs_input_grad[1] else None, values, values_t)
        if forward_mode():
            ctx.save_for_forward(x, values, values_t)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, values, values_t = (_conjugate(part) for part in ctx.saved_tensors)
        dx = dvalues = daddend = None
        if ctx.needs_input_grad[0]:
            transpose, position = ctx.pattern._transpose
            back = None if values_t is None else values
            if values is not None:
                values = _permute(values, position) if values_t is None else values_t
            dx = _Spmm.apply(grad, values, back, None, ctx.alpha, ctx.beta, ctx.shifted, transpose)
        if ctx.needs_input_grad[1]:
            dvalues = _Sddmm.apply(grad, x, ctx.pattern)
            dvalues = dvalues if ctx.alpha == 1.0 else dvalues * ctx.alpha
        if ctx.needs_input_grad[3]:
            daddend = grad.sum(0, keepdim=True) if ctx.addend_is_row else grad
            daddend = daddend if ctx.beta == 1.0 else daddend * ctx.beta
        return dx, dvalues, None, daddend, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, dvalues: Tensor | None, _: Any, daddend: Tensor | None, *__: Any) -> Tensor:
        x, values, values_t = ctx.saved_tensors
        parts = []
        if dx is not None:
            parts.append(_Spmm.apply(dx, values, values_t, None, ctx.alpha, ctx.beta, ctx.shifted, ctx.pattern))
        if dvalues is not None:
            parts.append(_Spmm.apply(x, dvalues, None, None, ctx.alpha, 1.0, False, ctx.pattern))
        if daddend is not None:
            parts.append((ctx.beta * daddend).expand(ctx.pattern.shape[0], *x.shape[1:]))
        return sum(parts[1:], parts[0])

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        x, values, values_t, addend, alpha, beta, shifted, pattern = inputs
        tasks = info.batch_size
        x, addend = stack_tasks(x, in_dims[0], tasks), stack_tasks(addend, in_dims[3], tasks)
        if in_dims[1] is None and (values is None or values.dim() == 1):
            term = None if addend is None else addend.flatten(1)
            flat = _Spmm.apply(x.flatten(1), values, values_t, term, alpha, beta, shifted, pattern)
            return flat.view(pattern.shape[0], *x.shape[1:]), 1
        heads = stack_tasks(values, in_dims[1], tasks).flatten(1)
        flat = x.reshape(x.shape[0], heads.shape[1], x.shape[-1])
        out = _Spmm.apply(flat, heads, None, None, 1.0, 1.0, False, pattern).view(pattern.shape[0], *x.shape[1:])
        out = out if alpha == 1.0 else out * alpha
        addend = x if shifted else addend
        return out if addend is None else out + beta * addend, 1


class _Sddmm(AbstractFunction):
    @staticmethod
    def forward(left: Tensor, right: Tensor, pattern: Pattern) -> Tensor:
        return _sddmm(pattern, left, right)

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
            dleft = _Spmm.apply(right, grad, None, None, 1.0, 1.0, False, ctx.pattern)
        if ctx.needs_input_grad[1]:
            transpose, position = ctx.pattern._transpose
            values = _permute(grad, position)
            dright = _Spmm.apply(left, values, None, None, 1.0, 1.0, False, transpose)
        return dleft, dright, None

    @staticmethod
    def jvp(ctx: Any, dleft: Tensor | None, dright: Tensor | None, _: Any) -> Tensor:
        left, right = ctx.saved_tensors
        parts = [] if dleft is None else [_Sddmm.apply(dleft, right, ctx.pattern)]
        if dright is not None:
            parts.append(_Sddmm.apply(left, dright, ctx.pattern))
        return sum(parts[1:], parts[0])

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        left, right, pattern = inputs
        left, right = (
            stack_tasks(side, dim, info.batch_size) for side, dim in ((left, in_dims[0]), (right, in_dims[1]))
        )
        shape = left.shape[1:-1]
        left, right = (side.reshape(side.shape[0], shape.numel(), side.shape[-1]) for side in (left, right))
        return _Sddmm.apply(left, right, pattern).view(pattern.entries, *shape), 1

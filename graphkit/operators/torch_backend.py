"""The two products on an accelerator, where PyTorch and cuSPARSE take the place of our kernels.

Rows of few numbers are gathered number by number: ``index_select`` takes as long for rows of 8 as for rows of 128.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from graphkit.operators.pattern import Pattern

BLOCK = 2**25
"""Numbers held at a time where both sides of ``sddmm`` are gathered in blocks of entries."""

HALF = (torch.bfloat16, torch.float16)
"""Types that are multiplied and summed in float32: cuSPARSE takes some widths only, and sums of ones stop at 256."""

SAMPLED = (torch.float32, torch.float64)
"""Types whose products cuSPARSE reads at the entries of a matrix."""


def spmm(
    pattern: Pattern, values: Tensor | None, x: Tensor, alpha: float, addend: Tensor | None, beta: float
) -> Tensor:
    """Return what :func:`graphkit.operators.products.spmm` does."""
    if values is not None and values.dim() == 2:
        heads = [spmm(pattern, values[:, h], x[:, h], 1.0, None, 1.0) for h in range(values.shape[1])]
        return torch.stack(heads, 1) if heads else x.new_zeros(pattern.shape[0], *x.shape[1:])
    weights = x.new_ones(pattern.entries) if values is None else values.contiguous()
    if (
        _cusparse_takes(pattern) and x.numel() and (x.is_floating_point() or x.is_complex())
    ):  # cuSPARSE knows no integers
        with torch.autocast(x.device.type, enabled=False):  # it would make both factors half
            product = torch_csr(pattern, weights) @ x
    else:
        messages = weights.unsqueeze(-1) * x.index_select(0, pattern._indices)
        product = x.new_zeros(pattern.shape[0], *x.shape[1:]).index_add(0, pattern.rows(), messages)
    product = product if alpha == 1.0 else product.mul_(alpha)
    return product if addend is None else product.add_(addend, alpha=beta)


def sddmm(pattern: Pattern, left: Tensor, right: Tensor) -> Tensor:
    """Return what :func:`graphkit.operators.products.sddmm` does."""
    heads = left.dim() == 3
    if _cusparse_takes(pattern) and left.numel() and left.dtype in SAMPLED:
        zeros = torch_csr(pattern, left.new_zeros(pattern.entries))
        sides = zip(left.unbind(1), right.unbind(1), strict=True) if heads else [(left, right)]
        found = [
            torch.sparse.sampled_addmm(zeros, a.contiguous(), b.contiguous().T, beta=0.0).values() for a, b in sides
        ]
        return torch.stack(found, 1) if heads else found[0]
    out = left.new_empty(pattern.entries, *left.shape[1:-1])
    rows, step = pattern.rows(), max(1, BLOCK // max(1, left.shape[1:].numel()))
    for start in range(0, pattern.entries, step):
        block = slice(start, start + step)
        out[block] = (left[rows[block]] * right[pattern._indices[block]]).sum(-1)
    return out


def row_sums(pattern: Pattern, values: Tensor) -> Tensor:
    """Return the sum of the values in each row, ``[rows]`` or ``[rows, heads]``."""
    wide = _as_float32(values)
    sums = wide.new_zeros(pattern.shape[0], *values.shape[1:])
    return sums.scatter_add(0, _expand_index(pattern.rows(), wide), wide).to(values.dtype)


def gather_rows(x: Tensor, index: Tensor) -> Tensor:
    """Return ``x[index]`` for rows of few numbers, or of one; its gradient is a sum."""
    wide = _as_float32(x)
    found = wide.index_select(0, index) if x.dim() == 1 else wide.gather(0, _expand_index(index.long(), wide))
    return found.to(x.dtype)


def torch_csr(pattern: Pattern, values: Tensor) -> Tensor:
    """Return the matrix as PyTorch's own CSR tensor, which shares the operator's memory."""
    return torch.sparse_csr_tensor(pattern._indptr, pattern._indices, values, pattern.shape, check_invariants=False)


with warnings.catch_warnings():  # PyTorch says once a process that its CSR tensors are in beta; that is ours to know
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 0], [], [], (1, 1), check_invariants=False)


def _as_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in HALF else x


def _cusparse_takes(pattern: Pattern) -> bool:
    """Tell whether cuSPARSE takes a pattern: it refuses an empty one, and more entries than places."""
    return 0 < pattern.entries <= pattern.shape[0] * pattern.shape[1]


def _expand_index(index: Tensor, x: Tensor) -> Tensor:
    """Return an index of rows as ``gather`` wants it: once for every number of a row of ``x``."""
    return index.view(-1, *(1,) * (x.dim() - 1)).expand(-1, *x.shape[1:])

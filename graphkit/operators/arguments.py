"""What a sparse operator asks of its parts and factors, beside the checks that all rooms share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit._checks import extent, integers, rising_pointers, tensor
from graphkit._torch_internals import coo_parts

LAYOUTS = (torch.strided, torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)
INDEX = (torch.int32, torch.int64)


def matrix(argument: str, value: Tensor) -> Tensor:
    """Return ``value`` if it is a matrix of numbers in a layout that is known, dense or compressed.

    Raises:
        TypeError: for anything but a tensor.
        ValueError: for another number of axes, or blocks (BSR, BSC) in place of entries.
    """
    if tensor(argument, value).layout not in LAYOUTS:
        raise ValueError(
            f"`{argument}` must be a dense, COO, CSR or CSC matrix, got {value.layout}; `.to_sparse_csr()` makes one."
        )
    if value.dim() != 2:
        raise ValueError(f"`{argument}` must be a matrix [rows, columns], got {list(value.shape)}.")
    return value


def entries_in_shape(rows: Any, columns: Any, shape: tuple[int, int]) -> None:
    """Refuse the entries of a matrix that lie outside it: PyTorch makes such matrices unless it is told to look.

    Args:
        rows: of each entry, a tensor or an array.
        columns: of each entry, as many.
        shape: of the matrix.
    """
    _within("row", rows, shape[0])
    _within("column", columns, shape[1])
    if len(rows) != len(columns):
        raise ValueError(f"`rows` and `columns` must be as many, got {len(rows):,} and {len(columns):,}.")


def _within(axis: str, places: Any, length: int) -> None:
    """Refuse rows, or columns, that a matrix does not have."""
    integers(f"{axis}s", places)
    low, high = extent(places)
    if low < 0 or high >= length:
        wrong = low if low < 0 else high
        raise ValueError(f"the sparse matrix has an entry in {axis} {wrong}, but only {length} `{axis}s`.")


def sound_matrix(matrix: Tensor) -> None:
    """Refuse a ``torch.sparse`` matrix whose parts do not fit: PyTorch makes one, and reads past its memory."""
    height, width = matrix.shape[:2]
    if matrix.layout == torch.sparse_coo:
        if matrix.sparse_dim() != 2:
            raise ValueError(f"`matrix` must have rows and columns of single entries, got {list(matrix.shape)}.")
        rows, columns = coo_parts(matrix)[0]
        entries_in_shape(rows, columns, (height, width))
    elif matrix.layout == torch.sparse_csr:
        rising_pointers("crow_indices", matrix.crow_indices(), height, matrix.col_indices().numel())
        _within("column", matrix.col_indices(), width)
    elif matrix.layout == torch.sparse_csc:
        rising_pointers("ccol_indices", matrix.ccol_indices(), width, matrix.row_indices().numel())
        _within("row", matrix.row_indices(), height)


def compressed_in_shape(pointers: Tensor, columns: Tensor, order: Tensor, shape: tuple[int, int]) -> None:
    """Refuse parts of a pattern that do not fit its shape or each other."""
    for name, part in (("pointers", pointers), ("columns", columns), ("order", order)):
        integers(name, tensor(name, part))
    if pointers.dtype != columns.dtype or pointers.dtype not in INDEX:
        raise TypeError(f"`pointers` and `columns` must both be int32 or int64, got {pointers.dtype}, {columns.dtype}.")
    if len(order) != len(columns):
        raise ValueError(f"`order` must have one place for each of {len(columns):,} entries, got {len(order):,}.")
    rising_pointers("pointers", pointers, shape[0], len(columns))
    for name, part, most in (("columns", columns, shape[1]), ("order", order, None)):
        low, high = extent(part)
        if low < 0 or (most is not None and high >= most):
            span = "0 upwards" if most is None else f"0 to {most - 1}"
            raise ValueError(f"`{name}` must lie from {span}, got {low if low < 0 else high}.")


def one_number_per_entry(values: Tensor | None, entries: int) -> None:
    """Refuse values of a matrix that are not one number for each stored entry."""
    if values is not None and tensor("values", values).shape != (entries,):
        raise ValueError(f"`values` must have shape [entries] = [{entries}], got {list(values.shape)}.")


def shaped(argument: str, value: Tensor, **axes: int | None) -> None:
    """Refuse a tensor that has not the named axes, each of its length where that is settled.

    Example:
        >>> shaped("x", torch.ones(2, 3), nodes=2, features=None)
        >>> shaped("x", torch.ones(2, 3), nodes=4, features=None)
        Traceback (most recent call last):
        ValueError: `x` must have shape [4 nodes, features], got [2, 3].
    """
    found = tensor(argument, value).shape
    fits = len(found) == len(axes) and all(
        length is None or length == given for length, given in zip(axes.values(), found, strict=True)
    )
    if not fits:
        wanted = ", ".join(name if length is None else f"{length:,} {name}" for name, length in axes.items())
        raise ValueError(f"`{argument}` must have shape [{wanted}], got {list(found)}.")


def addend_of_product(plus: Tensor | None, x: Tensor, rows: int) -> None:
    """Refuse a term that cannot be added to the product with ``x``, row by row or one row to all."""
    if plus is None:
        return
    if tensor("plus", plus).dim() != 2 or plus.shape[0] not in (1, rows) or plus.shape[1:] != x.shape[1:]:
        raise ValueError(f"`plus` must have shape [{rows} or 1, {x.shape[1]}], as the product, got {list(plus.shape)}.")


def factors_of_product(values: Tensor | None, x: Tensor, entries: int, columns: int) -> None:
    """Refuse values of entries and features of columns that do not fit a matrix or each other."""
    single = values is None or values.dim() == 1
    if single and x.dim() == 2 and x.shape[0] == columns and (values is None or values.shape[0] == entries):
        return  # what nearly every call is, at once
    if values is not None and (values.dim() not in (1, 2) or values.shape[0] != entries):
        raise ValueError(f"`values` must have one number for each of {entries:,} entries, got {list(values.shape)}.")
    if values is None or single:
        shaped("x", x, columns=columns, features=None)
    else:
        shaped("x", x, columns=columns, heads=values.shape[1], features=None)


def ends_of_entries(left: Tensor, right: Tensor, shape: tuple[int, int]) -> None:
    """Refuse features of the two ends of a matrix that do not fit it or each other."""
    axes = tensor("left", left).dim(), tensor("right", right).dim()
    fits = axes in ((2, 2), (3, 3)) and (left.shape[0], right.shape[0]) == tuple(shape)
    if not fits or left.shape[1:] != right.shape[1:]:
        raise ValueError(
            f"`left` and `right` must have {shape[0]} and {shape[1]} rows of as many features, "
            f"got {list(left.shape)} and {list(right.shape)}."
        )


def rows_of_list(argument: str, edges: Tensor, listed: int) -> None:
    """Refuse features of edges of which the pattern names more than there are."""
    if edges.dim() == 0 or len(edges) < listed:
        raise ValueError(f"`{argument}` must have a row for each of {listed:,} edges, got {list(edges.shape)}.")


def rows_of_table(row: Tensor, table: Tensor) -> None:
    """Refuse a table of edge features some of whose rows are not there."""
    integers("row", row)
    low, high = extent(row)
    if low < 0 or high >= len(table):
        raise ValueError(
            f"`row` must name rows of `table`, from 0 to {len(table) - 1}, got {low if low < 0 else high}."
        )

"""Checks of the parts and factors of sparse operators and Fourier bases, beside those that all rooms share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit._checks import integer_vector, min_and_max, tensor, valid_indptr

LAYOUTS = (torch.strided, torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)
INDEX = (torch.int32, torch.int64)


def check_matrix(argument: str, value: Tensor) -> Tensor:
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


def check_entries(rows: Any, columns: Any, shape: tuple[int, int]) -> None:
    """Refuse entries outside the matrix: PyTorch makes such matrices unless it is told to look."""
    _check_range("row", rows, shape[0])
    _check_range("column", columns, shape[1])
    if len(rows) != len(columns):
        raise ValueError(f"`rows` and `columns` must be as many, got {len(rows):,} and {len(columns):,}.")


def _check_range(axis: str, places: Any, length: int) -> None:
    """Refuse rows, or columns, that a matrix does not have."""
    integer_vector(f"{axis}s", places)
    low, high = min_and_max(places)
    if low < 0 or high >= length:
        wrong = low if low < 0 else high
        raise ValueError(f"the sparse matrix has an entry in {axis} {wrong}, but only {length} `{axis}s`.")


def check_torch_sparse(matrix: Tensor) -> None:
    """Refuse a ``torch.sparse`` matrix whose parts do not fit: PyTorch makes one, and reads past its memory."""
    height, width = matrix.shape[:2]
    if matrix.layout == torch.sparse_coo:
        if matrix.sparse_dim() != 2:
            raise ValueError(f"`matrix` must have rows and columns of single entries, got {list(matrix.shape)}.")
        rows, columns = matrix._indices()
        check_entries(rows, columns, (height, width))
    elif matrix.layout == torch.sparse_csr:
        valid_indptr("crow_indices", matrix.crow_indices(), height, matrix.col_indices().numel())
        _check_range("column", matrix.col_indices(), width)
    elif matrix.layout == torch.sparse_csc:
        valid_indptr("ccol_indices", matrix.ccol_indices(), width, matrix.row_indices().numel())
        _check_range("row", matrix.row_indices(), height)


def check_pattern(indptr: Tensor, indices: Tensor, perm: Tensor, shape: tuple[int, int]) -> None:
    """Refuse parts of a pattern that do not fit its shape or each other."""
    for name, part in (("indptr", indptr), ("indices", indices), ("perm", perm)):
        integer_vector(name, tensor(name, part))
    if indptr.dtype != indices.dtype or indptr.dtype not in INDEX:
        raise TypeError(f"`indptr` and `indices` must both be int32 or int64, got {indptr.dtype}, {indices.dtype}.")
    if len(perm) != len(indices):
        raise ValueError(f"`perm` must have one place for each of {len(indices):,} entries, got {len(perm):,}.")
    valid_indptr("indptr", indptr, shape[0], len(indices))
    for name, part, most in (("indices", indices, shape[1]), ("perm", perm, None)):
        low, high = min_and_max(part)
        if low < 0 or (most is not None and high >= most):
            span = "0 upwards" if most is None else f"0 to {most - 1}"
            raise ValueError(f"`{name}` must lie from {span}, got {low if low < 0 else high}.")


def check_values(values: Tensor | None, entries: int) -> None:
    """Refuse values of a matrix that are not one number for each stored entry."""
    if values is not None and tensor("values", values).shape != (entries,):
        raise ValueError(f"`values` must have shape [entries] = [{entries}], got {list(values.shape)}.")


def check_shape(argument: str, value: Tensor, **axes: int | None) -> None:
    """Refuse a tensor that has not the named axes, each of its length where that is settled.

    Example:
        >>> check_shape("x", torch.ones(2, 3), nodes=2, features=None)
        >>> check_shape("x", torch.ones(2, 3), nodes=4, features=None)
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


def check_addend(addend: Tensor | None, x: Tensor, rows: int) -> None:
    """Refuse a term that cannot be added to the product with ``x``, row by row or one row to all."""
    if addend is None:
        return
    if tensor("addend", addend).dim() != 2 or addend.shape[0] not in (1, rows) or addend.shape[1:] != x.shape[1:]:
        raise ValueError(
            f"`addend` must have shape [{rows} or 1, {x.shape[1]}], as the product, got {list(addend.shape)}."
        )


def check_factors(values: Tensor | None, x: Tensor, entries: int, columns: int) -> None:
    """Refuse values of entries and features of columns that do not fit a matrix or each other."""
    single = values is None or values.dim() == 1
    if single and x.dim() == 2 and x.shape[0] == columns and (values is None or values.shape[0] == entries):
        return  # what nearly every call is, at once
    if values is not None and (values.dim() not in (1, 2) or values.shape[0] != entries):
        raise ValueError(f"`values` must have one number for each of {entries:,} entries, got {list(values.shape)}.")
    if values is None or single:
        check_shape("x", x, columns=columns, features=None)
    else:
        check_shape("x", x, columns=columns, heads=values.shape[1], features=None)


def check_sddmm(left: Tensor, right: Tensor, shape: tuple[int, int]) -> None:
    """Refuse features of the two ends of a matrix that do not fit it or each other."""
    axes = tensor("left", left).dim(), tensor("right", right).dim()
    fits = axes in ((2, 2), (3, 3)) and (left.shape[0], right.shape[0]) == tuple(shape)
    if not fits or left.shape[1:] != right.shape[1:]:
        raise ValueError(
            f"`left` and `right` must have {shape[0]} and {shape[1]} rows of as many features, "
            f"got {list(left.shape)} and {list(right.shape)}."
        )


def check_edge_rows(argument: str, edges: Tensor, listed: int) -> None:
    """Refuse features of edges of which the pattern names more than there are."""
    if edges.dim() == 0 or len(edges) < listed:
        raise ValueError(f"`{argument}` must have a row for each of {listed:,} edges, got {list(edges.shape)}.")


def check_table_rows(row: Tensor, table: Tensor) -> None:
    """Refuse a table of edge features some of whose rows are not there."""
    integer_vector("row", row)
    low, high = min_and_max(row)
    if low < 0 or high >= len(table):
        raise ValueError(
            f"`row` must name rows of `table`, from 0 to {len(table) - 1}, got {low if low < 0 else high}."
        )


def refuse_large_eigenspace(value: float, below: int, most: int, nodes: int) -> None:
    """Refuse to follow an eigenspace of a large component to its end: it cannot be cut, and is no use in part."""
    before = f"take the {below:,} pairs below it (`k={below}`), " if below else ""
    raise ValueError(
        f"`k` ends inside the eigenspace of {value:.6g}, which has more than {most:,} pairs in a component of "
        f"{nodes:,} nodes and is never cut; {before}`solver='dense'` to have it whole, or `k=None` for all pairs."
    )


def check_basis(
    eigenvalues: Tensor, entries: Tensor, residuals: Tensor, node_pointers: Tensor, pair_pointers: Tensor
) -> None:
    """Refuse parts of a basis that do not fit each other."""
    check_shape("eigenvalues", eigenvalues, pairs=None)
    pairs = len(eigenvalues)
    check_shape("residuals", residuals, pairs=pairs)
    check_shape("entries", entries, entries=None)
    for name, indptr in (("node_pointers", node_pointers), ("pair_pointers", pair_pointers)):
        integer_vector(name, tensor(name, indptr))
    if len(node_pointers) != len(pair_pointers):
        raise ValueError("`node_pointers` and `pair_pointers` must be of as many graphs.")
    if eigenvalues.device.type != "cpu":
        return  # their numbers were looked at where they were made
    valid_indptr("pair_pointers", pair_pointers, len(pair_pointers) - 1, pairs)
    valid_indptr("node_pointers", node_pointers, len(node_pointers) - 1, int(node_pointers[-1]))
    wanted = int((node_pointers.diff() * pair_pointers.diff()).sum())
    if len(entries) != wanted:
        raise ValueError(f"`entries` must hold nodes times pairs of each graph, {wanted:,}, got {len(entries):,}.")


def check_same_dtype(x: Any, basis: torch.dtype, weight: torch.dtype | None = None) -> None:
    """Refuse a dense signal of another type than the basis, and both where a layer's weights have another.

    Under autocast the products decide on a type of their own.

    Raises:
        TypeError: for anything but features, and for types that differ.
    """
    if not hasattr(x, "dtype"):
        raise TypeError(f"`x` must be a tensor, got {type(x).__name__}; `torch.as_tensor` makes one.")
    if not isinstance(x, Tensor) or torch.is_autocast_enabled(x.device.type):
        return
    if x.dtype != basis:
        raise TypeError(
            f"`x` must have the type of the basis, {basis}, got {x.dtype}; convert one of them: "
            "`x.to(basis.dtype)` or, of floating-point numbers, `basis.to(x.dtype)`."
        )
    if weight is not None and weight != basis:
        raise TypeError(
            f"`x` and `basis` must have the type of the layer's weights, {weight}, got {basis}; convert them with "
            f"`.to({weight})`, or the layer with `layer.to({basis})`."
        )

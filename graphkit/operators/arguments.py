"""What a sparse operator asks of its parts and factors, beside the checks that all rooms share."""

from __future__ import annotations

from torch import Tensor


def entries_in_shape(rows: Tensor, columns: Tensor, shape: tuple[int, int]) -> None:
    """Refuse the entries of a matrix that lie outside it: PyTorch makes such matrices unless it is told to look."""
    for axis, places, length in (("row", rows, shape[0]), ("column", columns, shape[1])):
        if len(places) and not 0 <= int(places.min()) <= int(places.max()) < length:
            wrong = int(places.min()) if int(places.min()) < 0 else int(places.max())
            raise ValueError(f"the sparse matrix has an entry in {axis} {wrong}, but only {length} {axis}s.")


def one_number_per_entry(values: Tensor | None, entries: int) -> None:
    """Refuse values of a matrix that are not one number for each stored entry."""
    if values is not None and values.shape != (entries,):
        raise ValueError(f"`values` must have shape [entries] = [{entries}], got {list(values.shape)}.")


def addend_of_product(plus: Tensor | None, x: Tensor, rows: int) -> None:
    """Refuse a term that cannot be added to the product with ``x``, row by row or one row to all."""
    if x.dim() != 2:
        raise ValueError(f"`x` must have shape [columns, features], got {list(x.shape)}.")
    if plus is not None and (plus.dim() != 2 or plus.shape[0] not in (1, rows) or plus.shape[1] != x.shape[1]):
        raise ValueError(f"`plus` must have shape [{rows} or 1, {x.shape[1]}], as the product, got {list(plus.shape)}.")


def ends_of_entries(left: Tensor, right: Tensor, shape: tuple[int, int]) -> None:
    """Refuse features of the two ends of a matrix that do not fit it or each other."""
    fits = left.dim() > 1 and right.dim() > 1 and (left.shape[0], right.shape[0]) == tuple(shape)
    if not fits or left.shape[1:] != right.shape[1:]:
        raise ValueError(
            f"`left` and `right` must have {shape[0]} and {shape[1]} rows of as many features, "
            f"got {list(left.shape)} and {list(right.shape)}."
        )

"""Where a sparse matrix has entries: compressed rows, and the same for its transpose."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from graphkit._checks import extent
from graphkit._kernels import ordering
from graphkit._torch_internals import clear_interpreter_stack, forward_mode, is_wrapped
from graphkit.operators.arguments import compressed_in_shape, entries_in_shape

INT32_LIMIT = 2**31 - 1


@contextlib.contextmanager
def outside_transforms() -> Iterator[None]:
    """Leave every ``torch.func`` transform and inference mode, for structures that outlive them.

    Inside ``grad`` or ``vmap`` every result is a wrapper that dies with the transform, and what inference mode makes
    cannot be trained with later; a graph prepared there must hold neither. PyTorch has no public name for leaving a
    transform, and its ``_DisableFuncTorch`` is not enough: an ``autograd.Function`` still asks for what it hides.
    """
    inferring = torch.is_inference_mode_enabled()
    with (
        clear_interpreter_stack(),
        torch.inference_mode(False) if inferring else contextlib.nullcontext(),
    ):
        yield


def rememberable(tensor: Tensor | None) -> bool:
    """Tell whether a tensor's numbers may be remembered: no derivative is taken of it and no transform wraps it."""
    if tensor is None:
        return True
    if tensor.requires_grad or is_wrapped(tensor):
        return False
    return not forward_mode() or forward_ad.unpack_dual(tensor).tangent is None


class Pattern:
    """The places of the entries of a sparse matrix, sorted by row and then by column; duplicates stay apart.

    It never changes: it is shared by all that is prepared of a graph, and kernels trust it. It holds copies of what it
    is made of, and hands out copies; inside the package ``_pointers``, ``_columns``, ``_order`` are read without one.

    Args:
        pointers: entry range of each row, ``[rows + 1]``, int32 where everything fits, else int64.
        columns: column of each entry, ``[entries]``, in the type of the pointers.
        order: place of each entry in the list the pattern was made from, ``[entries]``.
        shape: rows and columns.

    Raises:
        TypeError: for parts that are not tensors of integers of one type.
        ValueError: for pointers, columns or places that do not fit the shape or each other.
    """

    _pointers: Tensor
    _columns: Tensor
    _order: Tensor
    shape: tuple[int, int]
    _other: tuple[Pattern | weakref.ref[Pattern], Tensor] | None
    _views: tuple[np.ndarray, np.ndarray] | None
    _listed: int | None

    def __init__(self, pointers: Tensor, columns: Tensor, order: Tensor, shape: tuple[int, int]) -> None:
        compressed_in_shape(pointers, columns, order, shape)
        self._hold(pointers.clone(), columns.clone(), order.clone(), shape)

    def _hold(self, pointers: Tensor, columns: Tensor, order: Tensor, shape: tuple[int, int]) -> Pattern:
        self._pointers, self._columns, self._order, self.shape = pointers, columns, order, shape
        self._other = self._views = self._listed = None
        return self

    @classmethod
    def trusted(cls, pointers: Tensor, columns: Tensor, order: Tensor, shape: tuple[int, int]) -> Pattern:
        """Return the pattern of parts that a sort has just made, that need no look and that nobody else holds."""
        return cls.__new__(cls)._hold(pointers, columns, order, shape)

    @classmethod
    def from_coordinates(
        cls, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int], device: torch.device | str = "cpu"
    ) -> Pattern:
        """Return the pattern with entries ``(rows[k], columns[k])``.

        Raises:
            ValueError: for entries outside ``shape``.
        """
        entries_in_shape(rows, columns, shape)
        index = np.int32 if max(*shape, len(rows)) < INT32_LIMIT else np.int64
        arrays = ordering.compressed_rows(rows, columns, shape, index)
        with outside_transforms():
            pointers, entries, order = (torch.from_numpy(array).to(device) for array in arrays)
        return cls.trusted(pointers, entries, order, shape)

    @classmethod
    def from_ends(cls, rows: Tensor, columns: Tensor, shape: tuple[int, int]) -> Pattern:
        """Return the pattern with entries ``(rows[k], columns[k])``, made on the device where they are.

        Raises:
            ValueError: for entries outside ``shape``.
        """
        with outside_transforms():
            if rows.device.type == "cpu":
                return cls.from_coordinates(rows.detach().numpy(), columns.detach().numpy(), shape)
            entries_in_shape(rows, columns, shape)
            return cls.trusted(*_compressed_rows(rows.detach().long(), columns.detach().long(), shape), shape)

    @property
    def pointers(self) -> Tensor:
        """Entry range of each row, ``[rows + 1]``; a copy."""
        return self._pointers.clone()

    @property
    def columns(self) -> Tensor:
        """Column of each entry, ``[entries]``; a copy."""
        return self._columns.clone()

    @property
    def order(self) -> Tensor:
        """Place of each entry in the list the pattern was made from, ``[entries]``; a copy."""
        return self._order.clone()

    @property
    def device(self) -> torch.device:
        """Where the pattern lies."""
        return self._columns.device

    @property
    def entries(self) -> int:
        """Number of stored entries."""
        return self._columns.numel()

    @property
    def listed(self) -> int:
        """How long the list that the pattern was made from must be for ``order`` to lie in it; looked at once."""
        if self._listed is None:
            with outside_transforms():
                self._listed = extent(self._order)[1] + 1
        return self._listed

    @property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Pointers and columns as NumPy views, for the kernels, which only read; the pattern must be on the CPU."""
        if self._views is None:
            with outside_transforms():
                self._views = self._pointers.numpy(), self._columns.numpy()
        return self._views

    @property
    def transpose(self) -> tuple[Pattern, Tensor]:
        """The transposed pattern, and the position in this one of each of its entries, ``[entries]``; a copy.

        Made once. A symmetric pattern is its own transpose; otherwise the transpose knows this pattern weakly, so that
        no circle keeps a large graph alive.
        """
        other, position = self._transpose
        return other, position.clone()

    @property
    def _transpose(self) -> tuple[Pattern, Tensor]:
        if self._other is not None:
            other, position = self._other
            strong = other() if isinstance(other, weakref.ref) else other
            if strong is not None:
                return strong, position
        with outside_transforms():
            return self._transposed()

    def _transposed(self) -> tuple[Pattern, Tensor]:
        if self._columns.device.type == "cpu":
            arrays = ordering.transposed_rows(*self._arrays, self.shape[1])
            pointers, columns, position = (torch.from_numpy(array) for array in arrays)
        else:
            pointers, columns, position = _compressed_rows(self._columns.long(), self.rows(), self.shape[::-1])
        if (
            self.shape[0] == self.shape[1]
            and torch.equal(pointers, self._pointers)
            and torch.equal(columns, self._columns)
        ):
            self._other = weakref.ref(self), position
            return self, position
        other = Pattern.trusted(pointers, columns, self._order.index_select(0, position), self.shape[::-1])
        back = torch.empty_like(position)
        back[position.long()] = torch.arange(len(position), dtype=position.dtype, device=position.device)
        other._other = weakref.ref(self), back
        self._other = other, position
        return other, position

    @property
    def symmetric(self) -> bool:
        """Whether the transpose has its entries in the same places."""
        return self._transpose[0] is self

    def rows(self) -> Tensor:
        """Return the row of each entry, ``[entries]``, int64."""
        counts = self._pointers.diff().long()
        numbers = torch.arange(self.shape[0], device=self._columns.device)
        return numbers.repeat_interleave(counts, output_size=self.entries)

    def to(self, device: torch.device | str) -> Pattern:
        """Return the pattern on ``device``; itself when it is there already."""
        device = torch.device(device)
        if device == self._columns.device:
            return self
        return Pattern.trusted(self._pointers.to(device), self._columns.to(device), self._order.to(device), self.shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return Pattern, (self._pointers, self._columns, self._order, self.shape)

    def __deepcopy__(self, memo: dict[int, Any]) -> Pattern:
        return self  # nothing ever writes to a pattern

    def __repr__(self) -> str:
        return f"Pattern({self.shape[0]} x {self.shape[1]}, {self.entries} entries)"


def _compressed_rows(rows: Tensor, columns: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return what :func:`graphkit._kernels.ordering.compressed_rows` does, by sorting on an accelerator."""
    index = torch.int32 if max(*shape, len(rows)) < INT32_LIMIT else torch.int64
    order = (rows * shape[1] + columns).argsort(stable=True)
    ends = torch.arange(shape[0] + 1, device=rows.device)
    pointers = torch.searchsorted(rows.index_select(0, order), ends)
    return pointers.to(index), columns.index_select(0, order).to(index), order.to(index)

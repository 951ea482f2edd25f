"""Where a sparse matrix has entries: compressed sparse rows (CSR), and the same for its transpose."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit._checks import min_and_max
from graphkit._exports import deprecated_arguments, deprecated_method
from graphkit._kernels import csr_layout, resources
from graphkit.operators.autograd import outside_transforms
from graphkit.operators.operand_checks import check_entries, check_pattern

INT32_LIMIT = 2**31 - 1


class Pattern:
    """The places of the entries of a sparse matrix in CSR, sorted by row and then by column; duplicates stay apart.

    It never changes: it is shared by all that is cached of a graph, and kernels trust it. It holds copies of what it
    is made of, and hands out copies; inside the package ``_indptr``, ``_indices``, ``_perm`` are read without one.

    Args:
        indptr: entry range of each row, ``[rows + 1]``, int32 where everything fits, else int64.
        indices: column of each entry, ``[entries]``, in the type of ``indptr``.
        perm: place of each entry in the list the pattern was made from, ``[entries]``.
        shape: rows and columns.

    Raises:
        TypeError: for parts that are not tensors of integers of one type.
        ValueError: for parts that do not fit the shape or each other.

    Example:
        >>> pattern = Pattern.from_coo(torch.tensor([1, 0, 1]), torch.tensor([2, 1, 0]), (2, 3))
        >>> pattern.indptr.tolist(), pattern.indices.tolist(), pattern.perm.tolist()
        ([0, 1, 3], [1, 0, 2], [1, 2, 0])
    """

    _indptr: Tensor
    _indices: Tensor
    _perm: Tensor
    shape: tuple[int, int]
    _transpose_cache: tuple[Pattern | weakref.ref[Pattern], Tensor] | None
    _array_cache: tuple[np.ndarray, np.ndarray] | None
    _list_length: int | None

    @deprecated_arguments(pointers="indptr", columns="indices", order="perm")
    def __init__(self, indptr: Tensor, indices: Tensor, perm: Tensor, shape: tuple[int, int]) -> None:
        check_pattern(indptr, indices, perm, shape)
        self._assign(indptr.clone(), indices.clone(), perm.clone(), shape)

    def _assign(self, indptr: Tensor, indices: Tensor, perm: Tensor, shape: tuple[int, int]) -> Pattern:
        self._indptr, self._indices, self._perm, self.shape = indptr, indices, perm, shape
        self._transpose_cache = self._array_cache = self._list_length = None
        return self

    @classmethod
    def _from_csr(cls, indptr: Tensor, indices: Tensor, perm: Tensor, shape: tuple[int, int]) -> Pattern:
        """Return the pattern of parts that a sort has just made, that need no look and that nobody else holds."""
        return cls.__new__(cls)._assign(indptr, indices, perm, shape)

    @classmethod
    def from_coo(
        cls,
        rows: Tensor | np.ndarray,
        columns: Tensor | np.ndarray,
        shape: tuple[int, int],
        device: torch.device | str = "cpu",
    ) -> Pattern:
        """Return the pattern with entries ``(rows[k], columns[k])``.

        Args:
            rows: ``[entries]``, integers, a tensor or an array.
            columns: ``[entries]``, likewise.
            shape: rows and columns.
            device: where the pattern of arrays is to lie; that of tensors lies where they are.

        Raises:
            ValueError: for entries outside ``shape``.
        """
        with outside_transforms():
            if isinstance(rows, Tensor) and isinstance(columns, Tensor):
                rows, columns, device = rows.detach(), columns.detach(), rows.device
                if device.type != "cpu":
                    check_entries(rows, columns, shape)
                    return cls._from_csr(*_coo_to_csr(rows.long(), columns.long(), shape), shape)
                rows, columns = rows.numpy(), columns.numpy()
            check_entries(rows, columns, shape)
            index = np.int32 if max(*shape, len(rows)) < INT32_LIMIT else np.int64
            arrays = csr_layout.coo_to_csr(np.asarray(rows), np.asarray(columns), shape, index)
            indptr, indices, perm = (torch.from_numpy(array).to(device) for array in arrays)
            return cls._from_csr(indptr, indices, perm, shape)

    @property
    def indptr(self) -> Tensor:
        """Entry range of each row, ``[rows + 1]``; a copy."""
        return self._indptr.clone()

    @property
    def indices(self) -> Tensor:
        """Column of each entry, ``[entries]``; a copy."""
        return self._indices.clone()

    @property
    def perm(self) -> Tensor:
        """Place of each entry in the list the pattern was made from, ``[entries]``; a copy."""
        return self._perm.clone()

    pointers = deprecated_method("indptr")
    columns = deprecated_method("indices")
    order = deprecated_method("perm")
    from_ends = deprecated_method("from_coo")
    from_coordinates = deprecated_method("from_coo")

    @property
    def device(self) -> torch.device:
        """Where the pattern lies."""
        return self._indices.device

    @property
    def entries(self) -> int:
        """Number of stored entries."""
        return self._indices.numel()

    @property
    def list_length(self) -> int:
        """How long the list that the pattern was made from must be for ``perm`` to lie in it; looked at once."""
        if self._list_length is None:
            with outside_transforms():
                self._list_length = min_and_max(self._perm)[1] + 1
        return self._list_length

    @property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """``indptr`` and ``indices`` as NumPy views for the kernels, which only read; of a pattern on the CPU."""
        if self._array_cache is None:
            with outside_transforms():
                self._array_cache = self._indptr.numpy(), self._indices.numpy()
        return self._array_cache

    def _run(self, kernel: Any, width: int, *arguments: Any) -> None:
        """Run a kernel over all rows, tensors handed as the arrays they are; ``width`` multiply-adds an entry."""
        indptr, indices = self._arrays
        arrays = [each.detach().contiguous().numpy() if isinstance(each, Tensor) else each for each in arguments]
        resources.over_rows(kernel, indptr, width, indices, *arrays)

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
        if self._transpose_cache is not None:
            other, position = self._transpose_cache
            strong = other() if isinstance(other, weakref.ref) else other
            if strong is not None:
                return strong, position
        with outside_transforms():
            return self._make_transpose()

    def _make_transpose(self) -> tuple[Pattern, Tensor]:
        if self._indices.device.type == "cpu":
            arrays = csr_layout.transpose_csr(*self._arrays, self.shape[1])
            indptr, indices, position = (torch.from_numpy(array) for array in arrays)
        else:
            indptr, indices, position = _coo_to_csr(self._indices.long(), self.rows(), self.shape[::-1])
        if self.shape[0] == self.shape[1] and torch.equal(indptr, self._indptr) and torch.equal(indices, self._indices):
            self._transpose_cache = weakref.ref(self), position
            return self, position
        other = Pattern._from_csr(indptr, indices, self._perm.index_select(0, position), self.shape[::-1])
        back = torch.empty_like(position)
        back[position.long()] = torch.arange(len(position), dtype=position.dtype, device=position.device)
        other._transpose_cache = weakref.ref(self), back
        self._transpose_cache = other, position
        return other, position

    @property
    def symmetric(self) -> bool:
        """Whether the transpose has its entries in the same places."""
        return self._transpose[0] is self

    def rows(self) -> Tensor:
        """Return the row of each entry, ``[entries]``, int64."""
        counts = self._indptr.diff().long()
        numbers = torch.arange(self.shape[0], device=self._indices.device)
        return numbers.repeat_interleave(counts, output_size=self.entries)

    def to(self, device: torch.device | str) -> Pattern:
        """Return the pattern on ``device``; itself when it is there already."""
        device = torch.device(device)
        if device == self._indices.device:
            return self
        return Pattern._from_csr(self._indptr.to(device), self._indices.to(device), self._perm.to(device), self.shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return Pattern, (self._indptr, self._indices, self._perm, self.shape)

    def __deepcopy__(self, memo: dict[int, Any]) -> Pattern:
        return self  # nothing ever writes to a pattern

    def __repr__(self) -> str:
        return f"Pattern({self.shape[0]} x {self.shape[1]}, {self.entries} entries)"


def _coo_to_csr(rows: Tensor, columns: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return what :func:`graphkit._kernels.csr_layout.coo_to_csr` does, by sorting on an accelerator."""
    index = torch.int32 if max(*shape, len(rows)) < INT32_LIMIT else torch.int64
    perm = (rows * shape[1] + columns).argsort(stable=True)
    ends = torch.arange(shape[0] + 1, device=rows.device)
    indptr = torch.searchsorted(rows.index_select(0, perm), ends)
    return indptr.to(index), columns.index_select(0, perm).to(index), perm.to(index)

"""Arrays on the disk that are written from front to back, however large, and that are whole or not there."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

HEADER = 128
"""Bytes before the first number: NumPy's header, whose shape is known at the end only."""


class ArrayWriter:
    """A ``.npy`` file, row after row; it lies beside its place until it is closed, and is gone if that does not happen.

    Plain writes, not a writable map: a full disk is an ``OSError`` then, and not the end of the process.

    Args:
        path: of the finished file.
        dtype: of its numbers.
        row: shape of a row; ``()`` for a vector.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as home:
        ...     with ArrayWriter(Path(home) / "x.npy", np.float32, (2,)) as file:
        ...         file.append(np.ones((3, 2)))
        ...     np.load(Path(home) / "x.npy").shape
        (3, 2)
    """

    def __init__(self, path: Path, dtype: Any, row: tuple[int, ...] = ()) -> None:
        self.path, self.dtype, self.row = path, np.dtype(dtype).newbyteorder("<"), row
        self.written = 0
        self._beside = path.with_name(f"{path.name}.part")

    def __enter__(self) -> ArrayWriter:
        self._file = self._beside.open("wb")
        self._file.write(bytes(HEADER))
        return self

    def append(self, rows: np.ndarray) -> None:
        """Write further rows ``[rows, *row]``."""
        if rows.shape[1:] != self.row:
            raise ValueError(f"rows of shape {list(self.row)} are asked for, got {list(rows.shape[1:])}.")
        self._file.write(np.ascontiguousarray(rows, dtype=self.dtype).data)
        self.written += len(rows)

    def set_shape(self, *shape: int) -> None:
        """Say that the file holds another shape than ``[rows, *row]``, of as many numbers."""
        self.row, self.written = shape[1:], shape[0]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if error is None:
                self._file.seek(0)
                self._file.write(_header(self.dtype, (self.written, *self.row)))
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            with suppress(OSError):  # what was buffered did not find room either; the first error is the one to tell
                self._file.close()
        if kind is None:
            os.replace(self._beside, self.path)
        else:
            self._beside.unlink(missing_ok=True)


def write_array(path: Path, rows: np.ndarray | Iterable[np.ndarray]) -> None:
    """Write an array at once, whole or not at all."""
    array = np.asarray(rows)
    with ArrayWriter(path, array.dtype, array.shape[1:]) as file:
        file.append(array)


def memory_map(path: Path) -> Tensor:
    """Return the array in a ``.npy`` file as a tensor that stays on the disk: pages are read when they are looked at.

    It is read-only, and PyTorch does not know: writing into it ends the process. A copy may be written to.

    Raises:
        ValueError: for a file that is no plain array.
    """
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return the ``HEADER`` bytes that NumPy's format asks for, version 1.0."""
    text = repr({"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}).encode()
    start = b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little")
    return start + text.ljust(HEADER - 11) + b"\n"

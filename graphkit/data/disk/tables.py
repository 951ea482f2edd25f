"""Tables of numbers in files of several forms, read in pieces that fit into memory.

CSV (compressed or not; commas, tabs or blanks between columns, numbers quoted or not; one line of names is skipped),
Parquet (with pyarrow) and NumPy.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.data.disk.checked_files import DataError

FORMS = (".csv", ".tsv", ".txt", ".parquet", ".npy")
"""Endings that are known; the text forms may end in ``.gz`` too."""

CHUNK_VALUES = 1 << 24
"""Numbers of features read at a time."""

SPLIT_NAMES = {"train_mask": ("train",), "val_mask": ("val", "valid", "validation"), "test_mask": ("test",)}
"""What the parts of a split may be called."""


def read_chunks(path: Path, rows: int, *, skip: int = 0) -> Iterator[np.ndarray]:
    """Yield the table in ``path`` in pieces of ``rows`` lines, ``[rows, columns]``, the last perhaps of fewer.

    A vector has one column; ``skip`` pieces are left out at the beginning.

    Raises:
        DataError: for another form, a file that is missing, cut short, or holds what is no number.
    """
    ending = "".join(suffix for suffix in path.suffixes[-2:] if suffix in (*FORMS, ".gz"))
    if ending.removesuffix(".gz") not in FORMS or ending in (".npy.gz", ".parquet.gz"):
        raise DataError(f"{path}: a table ends in {', '.join(FORMS)}, or in .gz where it is text.")
    if not path.is_file():
        raise DataError(f"{path} is missing.")
    read = {".npy": _read_numpy, ".parquet": _read_parquet}.get(ending, _read_text)
    try:
        for number, piece in enumerate(read(path, rows, skip)):
            if not len(piece):
                continue
            if not np.issubdtype(piece.dtype, np.number):
                raise DataError(f"{path}: {_describe_non_number(piece, (number + skip) * rows)}")
            yield piece[:, None] if piece.ndim == 1 else piece
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise DataError(f"{path} is cut short or damaged ({error}); copy it anew.") from error


def to_integers(path: Path, piece: np.ndarray, first: int) -> np.ndarray:
    """Return a piece as int64, or refuse numbers that are none, such as 1.5 and missing ones.

    Real numbers that are whole are integers (pandas writes a column with a gap so), as far as their type holds every
    integer: beyond 2^53, and 2^24 in single precision, two ids may have become one.

    Raises:
        DataError: that names the row.
    """
    if np.issubdtype(piece.dtype, np.signedinteger):
        return piece.astype(np.int64, copy=False)
    rule = "integers"
    if np.issubdtype(piece.dtype, np.unsignedinteger):
        wrong = piece > np.iinfo(np.int64).max
    elif np.issubdtype(piece.dtype, np.floating):
        wrong, exact = piece != np.floor(piece), 2 ** (np.finfo(piece.dtype).nmant + 1)
        if not wrong.any():
            wrong = ~(abs(piece) < exact)
            rule = f"integers below {exact:,}, beyond which {piece.dtype} skips some (store them as int64)"
    else:
        wrong = np.ones(piece.shape, dtype=bool)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        value = piece[row, column]
        said = "nothing" if isinstance(value, np.floating) and np.isnan(value) else repr(value.item())
        raise DataError(f"{path}: row {first + row + 1:,} must hold {rule}, got {said}.")
    return piece.astype(np.int64)


def read_edge_chunks(path: Path, rows: int, skip: int) -> Iterator[np.ndarray]:
    """Yield pieces of an edge list; an array of NumPy may be PyG's ``[2, edges]`` too."""
    if path.suffix == ".npy" and path.is_file():
        with contextlib.suppress(ValueError, OSError, EOFError):
            table = np.load(path, mmap_mode="r", allow_pickle=False)
            if table.ndim == 2 and table.shape[0] == 2 and table.shape[1] != 2:
                for start in range(skip * rows, table.shape[1], rows):
                    yield np.array(table[:, start : start + rows].T)
                return
    yield from read_chunks(path, rows, skip=skip)


def read_split(path: Path) -> dict[str, np.ndarray]:
    """Return the node ids of the three parts of a split, each ``[nodes, 1]``."""
    found: dict[str, np.ndarray] = {}
    if path.is_dir():
        files = {each.name.partition(".")[0]: each for each in sorted(path.iterdir())}
        for mask, names in SPLIT_NAMES.items():
            if called := next((name for name in names if name in files), None):
                blocks = list(read_chunks(files[called], CHUNK_VALUES))
                found[mask] = np.concatenate(blocks) if blocks else np.empty((0, 1), dtype=np.int64)
    elif path.is_file() and path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as archive:
                for mask, names in SPLIT_NAMES.items():
                    if called := next((name for name in names if name in archive), None):
                        found[mask] = archive[called].reshape(-1, 1)
        except (ValueError, OSError, EOFError) as error:
            raise DataError(
                f"{path} is no whole archive of arrays of numbers as `numpy.savez` writes it; save it anew."
            ) from error
    else:
        raise DataError(f"{path}: a split is a .npz file, or a folder, with train, val and test.")
    if absent := [names[0] for mask, names in SPLIT_NAMES.items() if mask not in found]:
        raise DataError(f"{path} has no {absent[0]!r}: a split names the nodes of train, val and test.")
    return found


def _read_numpy(path: Path, rows: int, skip: int) -> Iterator[np.ndarray]:
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path} is no whole array of numbers as `numpy.save` writes it; save it anew.") from error
    if table.ndim not in (1, 2):
        raise DataError(f"{path} must hold a vector or a matrix, got shape {list(table.shape)}.")
    for start in range(skip * rows, len(table), rows):
        yield np.array(table[start : start + rows])


def _read_parquet(path: Path, rows: int, skip: int) -> Iterator[np.ndarray]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(f"{path}: Parquet files need pyarrow: pip install 'graphkit[parquet]'.") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=rows)
            # A batch ends with a group of rows too: pieces are put together to be as long as asked for.
            kept = list[Any]()
            for batch in batches:
                kept.append(np.stack([column.to_numpy(zero_copy_only=False) for column in batch.columns], axis=1))
                while (many := sum(map(len, kept))) >= rows:
                    whole = np.concatenate(kept)
                    kept = [whole[rows:]]
                    skip -= 1
                    if skip < 0:
                        yield whole[:rows]
                    if many == rows:
                        break
            if kept and sum(map(len, kept)) and skip <= 0:
                yield np.concatenate(kept)
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path} is no whole Parquet file: {error}") from error


def _read_text(path: Path, rows: int, skip: int) -> Iterator[np.ndarray]:
    import pandas

    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig") as file:
        first = next((line for line in file if line.strip() and not line.startswith("#")), "")
        file.seek(0)
        if not first:
            return
        separator = "," if "," in first else "\t" if "\t" in first else r"\s+"
        named = not any(_is_number(word) for word in first.replace(",", " ").replace('"', " ").split())
        options: dict[str, Any] = {"sep": separator, "comment": "#", "chunksize": rows, "low_memory": False}
        try:
            with pandas.read_csv(file, header=0 if named else None, **options) as chunks:
                for chunk in itertools.islice(chunks, skip, None):
                    yield chunk.to_numpy()
        except pandas.errors.ParserError as error:
            # "Error tokenizing data. C error: Expected 2 fields in line 2, saw 4" and a line's end.
            raise DataError(f"{path} is no table: {str(error).strip().rpartition('error: ')[2]}.") from error


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _describe_non_number(piece: np.ndarray, first: int) -> str:
    """Say where a piece holds what is no number."""
    table = piece.reshape(len(piece), -1)
    for row, values in enumerate(table):
        for value in values:
            if not _is_number(str(value)):
                return f"row {first + row + 1:,} must hold numbers, got {value!r}."
    return f"rows {first + 1:,} to {first + len(table):,} must hold numbers of 64 bits."

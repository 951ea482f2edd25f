"""Tables in files of several forms: which columns they have, and their rows in pieces that fit into memory.

Text with any delimiter (compressed or not; with or without a line of names; lines of comments before the first row),
Parquet (with pyarrow) and NumPy.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gzip
import itertools
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graphkit.data.disk.checked_files import DataError

if TYPE_CHECKING:
    import pandas

TEXT_FORMS = (".csv", ".tsv", ".txt", ".edgelist", ".edges", ".smi")
FORMS = (*TEXT_FORMS, ".parquet", ".npy")
"""Endings that are known; the text forms may end in ``.gz`` too."""

CHUNK_VALUES = 1 << 24
"""Numbers of features read at a time."""

SAMPLE = 1000
"""Rows that are looked at to tell what a table holds."""

COMMENTS = ("#", "%", "//")
"""What a line before the first row begins with where it is a comment."""

HEADINGS = {
    *("source", "target", "src", "dst", "from", "to", "head", "tail", "node", "node1", "node2", "weight", "label"),
    *("id", "name", "class", "split", "graph", "smiles", "y", "u", "v", "i", "j"),
}
"""Words of a line of names, where all columns are text and types do not tell."""

DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError)
"""What reading a text raises that is cut short, or no text."""

SPLIT_NAMES = {"train_mask": ("train",), "val_mask": ("val", "valid", "validation"), "test_mask": ("test",)}
"""What the parts of a split may be called."""


@dataclass(frozen=True, eq=False)
class Table:
    """A file of rows, and what its beginning shows.

    Args:
        path: of the file.
        columns: their names; "0", "1", ... where it has none.
        sample: the first rows, text as text.
        header: whether its first row are the names of the columns.
        separator: what stands between the columns of a text, as a regular expression or one letter.
        comments: lines before the first row.
        frame: the table itself, where it is in memory.
        is_turned: whether the array is PyG's ``[2, edges]``.
    """

    path: Path
    columns: tuple[str, ...]
    sample: pandas.DataFrame
    header: bool = False
    separator: str = ","
    comments: int = 0
    frame: pandas.DataFrame | None = None
    is_turned: bool = False

    @classmethod
    def of(cls, path: Path, frame: pandas.DataFrame) -> Table:
        """Return a table that is in memory, of a file."""
        return cls(path, tuple(map(str, frame.columns)), frame[:SAMPLE], True, frame=frame)

    def frames(
        self, rows: int, *, skip: int = 0, numbers: bool = False, columns: Sequence[str] | None = None
    ) -> Iterator[pandas.DataFrame]:
        """Yield the table in pieces of ``rows`` rows, the last perhaps of fewer.

        Args:
            rows: of a piece.
            skip: pieces that are left out at the beginning.
            numbers: let numbers of a text be numbers; otherwise every value of it is a text, as it is written.
            columns: those that are wanted, all by default.

        Raises:
            DataError: for a file that is cut short or damaged.
        """
        wanted = list(self.columns if columns is None else columns)
        if self.frame is not None:
            starts = range(skip * rows, len(self.frame), rows)
            yield from (self.frame[wanted][start : start + rows] for start in starts)
            return
        readers = {".npy": self._numpy_frames, ".parquet": self._parquet_frames}
        read = readers.get(form_of(self.path), self._text_frames)
        try:
            yield from (frame for frame in read(rows, skip, wanted, numbers) if len(frame))
        except DAMAGE as error:
            raise _damage_error(self.path, error) from error

    def read(self, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """Return the whole table, text as text."""
        import pandas

        pieces = list(self.frames(1 << 20, columns=columns))
        if pieces:
            return pandas.concat(pieces, ignore_index=True)
        return pandas.DataFrame({name: [] for name in (self.columns if columns is None else columns)}, dtype=str)

    def _text_frames(self, rows: int, skip: int, wanted: list[str], numbers: bool) -> Iterator[pandas.DataFrame]:
        import pandas

        if not self.columns:
            return
        opened: Any = gzip.open if self.path.suffix == ".gz" else open
        typed: dict[str, Any] = {"low_memory": False} if numbers else {"dtype": str, "keep_default_na": False}
        try:
            with opened(self.path, "rt", encoding="utf-8-sig", newline="") as file:
                for _ in range(self.comments):
                    file.readline()
                chunks = pandas.read_csv(
                    file,
                    sep=self.separator,
                    header=0 if self.header else None,
                    names=list(self.columns),
                    chunksize=rows,
                    index_col=False,
                    **typed,
                )
                with chunks:
                    for chunk in itertools.islice(chunks, skip, None):
                        yield chunk[wanted]
        except pandas.errors.EmptyDataError:
            return
        except pandas.errors.ParserError as error:
            # "Error tokenizing data. C error: Expected 2 fields in line 2, saw 4" and a line's end.
            raise DataError(f"{self.path} is no table: {str(error).strip().rpartition('error: ')[2]}.") from error

    def _numpy_frames(self, rows: int, skip: int, wanted: list[str], _: bool) -> Iterator[pandas.DataFrame]:
        import pandas

        table = open_array(self.path)
        table = table.T if self.is_turned else table[:, None] if table.ndim == 1 else table
        for start in range(skip * rows, len(table), rows):
            yield pandas.DataFrame(np.array(table[start : start + rows]), columns=list(self.columns))[wanted]

    def _parquet_frames(self, rows: int, skip: int, wanted: list[str], _: bool) -> Iterator[pandas.DataFrame]:
        import pandas

        with _open_parquet(self.path) as file:
            # A batch ends with a group of rows too: pieces are put together to be as long as asked for.
            kept: list[pandas.DataFrame] = []
            for batch in file.iter_batches(batch_size=rows, columns=wanted):
                kept.append(batch.to_pandas())
                while sum(map(len, kept)) >= rows:
                    whole = pandas.concat(kept, ignore_index=True)
                    kept = [whole[rows:]]
                    skip -= 1
                    if skip < 0:
                        yield whole[:rows]
            if skip <= 0:
                yield pandas.concat(kept, ignore_index=True) if kept else pandas.DataFrame(columns=wanted)


def form_of(path: Path) -> str:
    """Return the ending of a table's file, without that of a compressed one; nothing for one that is none."""
    ending = "".join(suffix for suffix in path.suffixes[-2:] if suffix in (*FORMS, ".gz"))
    text = ending.removesuffix(".gz")
    return text if text in TEXT_FORMS or ending in FORMS else ""


def open_table(path: Path, *, header: bool | None = None, edges: bool = False) -> Table:
    """Return a table, having looked at its first rows.

    Args:
        path: of a file.
        edges: whether it lists edges: an array may be PyG's ``[2, edges]`` then.
        header: whether its first row are names; told by types and words where it is ``None``.

    Raises:
        DataError: for another form, a file that is missing, cut short or no table.
    """
    form = form_of(path)
    if not form:
        raise DataError(f"{path}: a table ends in {', '.join(FORMS)}, or in .gz where it is text.")
    if not path.is_file():
        raise DataError(f"{path} is missing.")
    if form == ".npy":
        array = open_array(path)
        turned = edges and array.ndim == 2 and array.shape[0] == 2 and array.shape[1] != 2
        columns = 2 if turned else array.shape[1] if array.ndim == 2 else 1
        names = tuple(map(str, range(columns)))
        found = Table(path, names, _no_rows(names), is_turned=turned)
    elif form == ".parquet":
        with _open_parquet(path) as file:
            names = tuple(file.schema_arrow.names)
        found = Table(path, names, _no_rows(names))
    else:
        found = _sniff_text(path, header)
    return dataclasses.replace(found, sample=next(found.frames(SAMPLE), found.sample))


def read_chunks(path: Path, rows: int, *, skip: int = 0) -> Iterator[np.ndarray]:
    """Yield the numbers in ``path`` in pieces of ``rows`` lines, ``[rows, columns]``, the last perhaps of fewer.

    A vector has one column; ``skip`` pieces are left out at the beginning.

    Raises:
        DataError: for another form, a file that is missing, cut short, or holds what is no number.
    """
    for number, frame in enumerate(open_table(path).frames(rows, skip=skip, numbers=True)):
        yield numbers_of(path, frame, (number + skip) * rows)


def numbers_of(path: Path, frame: pandas.DataFrame, first: int) -> np.ndarray:
    """Return the rows of a frame as numbers, ``[rows, columns]``, or refuse what is none.

    Raises:
        DataError: that names the row.
    """
    piece = frame.to_numpy()
    if not np.issubdtype(piece.dtype, np.number):
        raise DataError(f"{path}: {_describe_non_number(piece, first)}")
    return piece


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


def open_array(path: Path) -> np.ndarray:
    """Return the vector or matrix in a ``.npy`` file, which stays on the disk.

    Raises:
        DataError: for a file that is no whole array, and one of other axes.
    """
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path} is no whole array of numbers as `numpy.save` writes it; save it anew.") from error
    if table.ndim not in (1, 2):
        raise DataError(f"{path} must hold a vector or a matrix, got shape {list(table.shape)}.")
    return table


def read_split(path: Path) -> dict[str, pandas.DataFrame]:
    """Return the node ids of the three parts of a split, each a frame of one column."""
    import pandas

    found: dict[str, pandas.DataFrame] = {}
    if path.is_dir():
        files = {each.name.partition(".")[0]: each for each in sorted(path.iterdir())}
        for mask, names in SPLIT_NAMES.items():
            if called := next((name for name in names if name in files), None):
                found[mask] = open_table(files[called], header=None).read()
    elif path.is_file() and path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as archive:
                for mask, names in SPLIT_NAMES.items():
                    if called := next((name for name in names if name in archive), None):
                        found[mask] = pandas.DataFrame({"id": archive[called].reshape(-1)})
        except (ValueError, OSError, EOFError) as error:
            raise DataError(
                f"{path} is no whole archive of arrays of numbers as `numpy.savez` writes it; save it anew."
            ) from error
    else:
        raise DataError(f"{path}: a split is a .npz file, or a folder, with train, val and test.")
    if absent := [names[0] for mask, names in SPLIT_NAMES.items() if mask not in found]:
        raise DataError(f"{path} has no {absent[0]!r}: a split names the nodes of train, val and test.")
    return found


@contextlib.contextmanager
def _open_parquet(path: Path) -> Iterator[Any]:
    """Give an open Parquet file.

    Raises:
        DataError: where pyarrow is not installed, and for a file that is no whole one.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(f"{path}: Parquet files need pyarrow: pip install 'graphkit[parquet]'.") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path} is no whole Parquet file: {error}") from error


def _damage_error(path: Path, error: Exception) -> DataError:
    """Return the error for a text that cannot be read to its end."""
    if isinstance(error, UnicodeDecodeError):
        return DataError(f"{path} is no text in UTF-8 ({error}); write it anew as such, or copy it anew.")
    return DataError(f"{path} is cut short or damaged ({error}); copy it anew.")


def _no_rows(names: Sequence[str]) -> pandas.DataFrame:
    import pandas

    return pandas.DataFrame({name: [] for name in names})


def _sniff_text(path: Path, header: bool | None) -> Table:
    """Return what the first lines of a text say of its delimiter and its names."""
    opened: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig") as file:
            lines = list(itertools.islice((line.rstrip("\r\n") for line in file), SAMPLE))
    except DAMAGE as error:
        raise _damage_error(path, error) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    comments = sum(1 for _ in itertools.takewhile(lambda line: line.startswith(COMMENTS) or not line.strip(), lines))
    lines = [line for line in lines[comments:] if line.strip()]
    if not lines:
        return Table(path, (), _no_rows(()), False, ",", comments)
    separator = _separator(lines)
    rows = [_cells(line, separator) for line in lines]
    named = _is_heading(rows, form_of(path)) if header is None else header
    names = _unique_names(rows[0]) if named else tuple(map(str, range(len(rows[0]))))
    return Table(path, names, _no_rows(names), named, separator, comments)


def _separator(lines: Sequence[str]) -> str:
    """Return what stands between the columns: the first delimiter that gives each line as many, or runs of blanks."""
    for candidate in (",", "\t", ";", "|"):
        counts = {len(_cells(line, candidate)) for line in lines[:50]}
        if len(counts) == 1 and counts != {1}:
            return candidate
    if r"\s+" and all(re.search(r"\S\s+\S", line) for line in lines[:50]) and "," not in lines[0]:
        return r"\s+"
    return next((candidate for candidate in (",", "\t", ";", "|") if candidate in lines[0]), r"\s+")


def _cells(line: str, separator: str) -> list[str]:
    if separator == r"\s+":
        return next(csv.reader([" ".join(line.split())], delimiter=" "), [])
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]


def _unique_names(cells: Sequence[str]) -> tuple[str, ...]:
    """Return names of columns, one for each cell, all different."""
    names: list[str] = []
    for place, cell in enumerate(cells):
        name = cell or f"column {place}"
        while name in names:
            name = f"{name} again"
        names.append(name)
    return tuple(names)


def _is_heading(rows: Sequence[Sequence[str]], form: str) -> bool:
    """Return whether the first row are names of columns: text over numbers, words that name, nothing that comes again.

    Numbers are no names, but for 0, 1, 2, ... over a wide table, as pandas writes it.
    """
    first, others = rows[0], rows[1:]
    if any(map(is_number, first)):
        counted = len(first) > 2 and list(first) == [str(place) for place in range(len(first))]
        return counted and all(list(row) != list(first) for row in others)
    if not others:
        return any(cell.lower() in HEADINGS for cell in first)
    if any(
        all(is_number(row[place]) for row in others if place < len(row) and row[place]) for place in range(len(first))
    ):
        return True
    if any(cell.lower() in HEADINGS for cell in first):
        return True
    again = {cell for row in others for cell in row}
    return form in (".csv", ".tsv") and not again & set(first)


def is_number(word: str) -> bool:
    """Return whether a text is a number."""
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
            if not is_number(str(value)):
                return f"row {first + row + 1:,} must hold numbers, got {value!r}."
    return f"rows {first + 1:,} to {first + len(table):,} must hold numbers of 64 bits."

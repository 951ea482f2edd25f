"""Columns of a table as features: what kind each is, and the numbers that its values become.

A column of numbers becomes one feature, less its mean and over its deviation; one of words becomes a feature for each
different word. What that takes is written into the manifest of a stored graph, so that the rows of another table
become numbers in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from graphkit.data.disk.checked_files import DataError

if TYPE_CHECKING:
    import pandas

Kind = Literal["number", "raw", "category"]

KINDS = ("number", "raw", "category", "ignore")
"""What a column can be: a number, standardised; one as it stands; words of a list; no feature."""

MISSING_WORDS = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "?")
"""What stands in a text where a value is missing."""

CATEGORIES = 64
"""Different words up to which a column of text is taken for categories; more are rather names."""

MANY = 100_000
"""Different values that are remembered of a column."""

FEW, SOME = 10, 100
"""Rows from which different whole numbers in every row are taken for ids: where they are counted through or called so,
and in any case."""

ID_WORDS = {
    *("id", "ids", "key", "index", "idx", "uid", "uuid", "guid", "nr", "no", "code", "ref"),
    *("label", "type", "class", "category", "kind", "group", "cluster", "zip"),
}
"""Last words of a column's name that say that its numbers are names."""


@dataclass(frozen=True)
class Column:
    """A column of a table and how its values become features.

    Args:
        name: in the table.
        kind: "number", less ``mean`` and over ``scale``; "raw", as it stands; "category", a feature for each word.
        categories: the words, in the order of their features.
        fill: what stands for a number that is missing; of a category all features are 0 then.
        mean: of the numbers that are there; 0 where they are raw.
        scale: their deviation; 1 where they are raw.

    Example:
        >>> import pandas
        >>> jobs = Column("job", "category", ("baker", "smith"))
        >>> jobs.features, jobs.encode(pandas.Series(["smith", "", "baker"])).tolist()
        (('job=baker', 'job=smith'), [[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    fill: float = 0.0
    mean: float = 0.0
    scale: float = 1.0

    @property
    def features(self) -> tuple[str, ...]:
        """The names of its features."""
        return tuple(f"{self.name}={each}" for each in self.categories) if self.kind == "category" else (self.name,)

    def encode(self, values: pandas.Series, *, unknown: Literal["refuse", "missing"] = "refuse") -> np.ndarray:
        """Return the features of some rows, float32 ``[rows, features]``.

        Args:
            values: of the column, as a table holds them.
            unknown: what becomes of a word that is not in ``categories``: it is refused, or counts as missing.

        Raises:
            DataError: for a word that is not known, and text where there must be numbers.
        """
        if self.kind != "category":
            numbers = numbers_in(values, self.name).fillna(self.fill).to_numpy(dtype=np.float64)
            return ((numbers - self.mean) / self.scale).astype(np.float32)[:, None]
        words = words_in(values)
        place = _places(self.categories, words)
        lost = (place < 0) & words.notna().to_numpy()
        if unknown == "refuse" and lost.any():
            row = int(lost.argmax())
            raise DataError(
                f"column {self.name!r}: {words.iloc[row]!r} is none of its {len(self.categories)} categories "
                f"({_short(self.categories)})."
            )
        found = np.zeros((len(words), len(self.categories)), dtype=np.float32)
        known = place >= 0
        found[np.flatnonzero(known), place[known]] = 1
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a manifest."""
        return {**vars(self), "categories": list(self.categories)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Column:
        """Return what :meth:`as_dict` gave."""
        return cls(**{**fields, "categories": tuple(fields["categories"])})


@dataclass(frozen=True)
class Target:
    """What is to be predicted, and how it is stored.

    Args:
        kind: "classes", ``y [items]`` of int64 with -1 where it is missing; "binary", several tasks of 0 and 1, and
            "numbers", both ``y [items, columns]`` of float32 with NaN where it is missing.
        columns: names of the columns.
        class_names: names of the classes in the order of their numbers.
    """

    kind: Literal["classes", "binary", "numbers"]
    columns: tuple[str, ...]
    class_names: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a manifest."""
        return {"kind": self.kind, "columns": list(self.columns), "class_names": list(self.class_names)}


class ColumnSummary:
    """What the values of a column are, gathered piece by piece: enough to tell its kind and to make it features.

    Args:
        name: of the column.

    Example:
        >>> import pandas
        >>> ages = ColumnSummary("age")
        >>> ages.add(pandas.Series(["31", "", "54"]))
        >>> ages.kind(), ages.column("number").fill
        (('number', '31 to 54, 1 missing'), 42.5)
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = self.missing = self.numbers = 0
        self.words: set[str] = set()
        self._repeats = False
        self.is_number = self.is_whole = True
        self.low, self.high, self.mean, self._squares = np.inf, -np.inf, 0.0, 0.0

    @property
    def there(self) -> int:
        """How many values are not missing."""
        return self.rows - self.missing

    @property
    def different(self) -> int:
        """How many different values there are; all are taken to differ beyond ``MANY``."""
        return self.there if len(self.words) > MANY and not self._repeats else len(self.words)

    @property
    def is_binary(self) -> bool:
        """Whether all values are 0 or 1."""
        return self.is_number and self.is_whole and self.low >= 0 and self.high <= 1

    def add(self, values: pandas.Series) -> None:
        """Look at further values."""
        there = (values if _is_numeric(values) else words_in(values)).dropna()
        self.rows += len(values)
        self.missing += len(values) - len(there)
        different = there.drop_duplicates()
        self._repeats |= len(different) < len(there)
        if len(self.words) <= MANY:
            self.words.update(map(str, words_in(different[: MANY + 1])))
        numbers = _as_numbers(there) if self.is_number else None
        if numbers is None:
            self.is_number = False
        elif len(numbers):
            array = numbers.to_numpy()
            self.is_whole &= bool((array == np.floor(array)).all())
            self.low, self.high = min(self.low, float(array.min())), max(self.high, float(array.max()))
            # Mean and squares of two parts together (Chan, Golub & LeVeque, 1979).
            many, apart = len(array), float(array.mean()) - self.mean
            total = self.numbers + many
            self._squares += float(((array - array.mean()) ** 2).sum()) + apart**2 * self.numbers * many / total
            self.mean += apart * many / total
            self.numbers = total

    def kind(self) -> tuple[str, str]:
        """Return the kind of the column, of ``KINDS``, and what speaks for it in a few words.

        Whole numbers that are different in every row, and those under a name such as "school_id", are names and no
        quantities: the first are left out, the second are categories where they are few.
        """
        different = self.different
        missing = f", {self.missing:,} missing" if self.missing else ""
        if different < 2:
            return "ignore", "the same everywhere" if different else "empty"
        if not self.is_number:
            if different <= CATEGORIES and 2 * different <= self.there:
                return "category", f"{different:,} different words{missing}"
            return "ignore", f"{different:,} different texts{missing}"
        seems_id = self._is_named_id or self.high - self.low == self.there - 1 or self.there >= SOME
        if self.is_whole and seems_id and different == self.there and self.there >= FEW:
            return "ignore", "taken for an id: another whole number in every row"
        if self.is_whole and self._is_named_id and not self.is_binary:
            if different <= CATEGORIES:
                return "category", f"{different:,} different names in numbers{missing}"
            return "ignore", f"{different:,} different names in numbers{missing}"
        if self.is_binary:
            return "raw", f"0 or 1{missing}"
        return "number", f"{self.low:.4g} to {self.high:.4g}{missing}"

    @property
    def _is_named_id(self) -> bool:
        """Whether the last word of its name says that its numbers are names."""
        words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", self.name).lower())
        return bool(words) and words[-1] in ID_WORDS

    def column(self, kind: Kind) -> Column:
        """Return the column, of this kind, with the categories or the mean and the deviation of its values.

        Raises:
            DataError: for text where there must be numbers, and more categories than can be told apart.
        """
        if kind == "category":
            if len(self.words) > MANY:
                raise DataError(f"column {self.name!r} has more than {MANY:,} different values: too many categories.")
            import pandas

            return Column(self.name, kind, sorted_words(pandas.Series(sorted(self.words), dtype="string")))
        if not self.is_number:
            wrong = next(word for word in sorted(self.words) if not _is_finite(word))
            raise DataError(f"column {self.name!r} must hold finite numbers of float32, got {wrong!r}.")
        if kind == "raw":
            return Column(self.name, kind, fill=0.0 if self.is_binary else self.mean)
        scale = float(np.sqrt(self._squares / max(self.numbers, 1)))
        return Column(self.name, kind, fill=self.mean, mean=self.mean, scale=scale if scale > 0 else 1.0)


def fit_target(values: pandas.DataFrame, kind: str | None = None) -> tuple[Target, np.ndarray]:
    """Return what the columns to be predicted are, and ``y``.

    One column of words, or of whole numbers of which there are few, are classes; their names are kept and they are
    numbered from 0, whatever they were. -1 is a class only where it stands with 1 alone; elsewhere it is a missing one.
    Several columns of 0 and 1 are as many tasks; all others are numbers.

    Args:
        values: the columns.
        kind: "classes" or "numbers", where it is not to be told by the values.

    Raises:
        DataError: for columns without a value, numbers that are none, and several columns of classes.
    """
    names = tuple(map(str, values.columns))
    words = {name: words_in(values[name]) for name in names}
    for name, each in words.items():
        if not each.notna().any():
            raise DataError(f"the target {name!r} has no value.")
    numbers = {name: _as_numbers(each.dropna()) for name, each in words.items()}
    if kind not in ("classes", "binary", "numbers"):
        kind = _target_kind(numbers)
    if kind == "classes":
        if len(names) > 1:
            raise DataError(
                f"several targets must be numbers, or 0 and 1, to be learnt together; of {names[0]!r} and "
                f"{names[1]!r} take one."
            )
        return _classes(names[0], words[names[0]], numbers[names[0]])
    table = np.full((len(values), len(names)), np.nan, dtype=np.float32)
    for place, name in enumerate(names):
        table[:, place] = numbers_in(values[name], name).to_numpy(dtype=np.float32)
    if kind == "binary" and not set(np.unique(table[~np.isnan(table)])) <= {0.0, 1.0}:
        raise DataError(f"the target {names[0]!r} must hold 0 and 1 to be binary.")
    return Target("binary" if kind == "binary" else "numbers", names), table


def _target_kind(numbers: Mapping[str, pandas.Series | None]) -> str:
    """Return the kind that values speak for."""
    several = len(numbers) > 1
    if several and all(each is not None and set(each.unique()) <= {0, 1} for each in numbers.values()):
        return "binary"
    first = next(iter(numbers.values()))
    if first is None:
        return "classes"
    different, whole = first.nunique(), bool((first == np.floor(first)).all())
    return "classes" if whole and not several and (different <= 50 or 10 * different <= len(first)) else "numbers"


def _classes(name: str, words: pandas.Series, numbers: pandas.Series | None) -> tuple[Target, np.ndarray]:
    if numbers is not None and -1 in (found := set(numbers.unique())) and found != {-1, 1}:
        if numbers.min() < -1:
            row = int(numbers.idxmin()) + 1
            raise DataError(
                f"the target {name!r}: row {row:,} must hold a class from 0, or -1 for none, got {numbers.min():g}."
            )
        words = words.where(~words.index.isin(numbers.index[numbers == -1]))
    elif numbers is not None and numbers.min() < -1:
        row = int(numbers.idxmin()) + 1
        raise DataError(
            f"the target {name!r}: row {row:,} must hold a class from 0, or -1 for none, got {numbers.min():g}."
        )
    if not words.notna().any():
        raise DataError(f"the target {name!r} has no value.")
    names = sorted_words(words.dropna())
    return Target("classes", (name,), names), _places(names, words)


def words_in(values: pandas.Series, missing: Sequence[str] = MISSING_WORDS) -> pandas.Series:
    """Return values as text, whole numbers without a point; missing where they are, or are one of these words."""
    import pandas

    if pandas.api.types.is_bool_dtype(values):
        return values.astype("Int64").astype("string")
    if pandas.api.types.is_float_dtype(values):
        there = values.dropna()
        if bool((there == np.floor(there)).all()) and bool((abs(there) < 2**53).all()):
            values = values.astype("Int64")
    text = values.astype("string").str.strip()
    return text.where(~text.isin(missing))


def ids_in(values: pandas.Series) -> pandas.Series:
    """Return ids as text; a node may be called "NA" or "null", but not nothing."""
    return words_in(values, ("",))


def numbers_in(values: pandas.Series, name: str) -> pandas.Series:
    """Return values as numbers in float64, NaN where they are missing.

    Raises:
        DataError: for text that is none, and for numbers that are not finite in float32.
    """
    words = values if _is_numeric(values) else words_in(values)
    numbers = _as_numbers(words.dropna())
    if numbers is None:
        words = words_in(values)
        wrong = next(each for each in words.dropna() if not _is_finite(each))
        row = int((words == wrong).fillna(False).to_numpy().argmax()) + 1
        raise DataError(f"column {name!r}: row {row:,} must hold a finite number of float32, got {wrong!r}.")
    return numbers.reindex(words.index)


def sorted_words(words: pandas.Series) -> tuple[str, ...]:
    """Return the different words, numbers by their size, all others by the alphabet."""
    different = words.drop_duplicates()
    numbers = _as_numbers(different)
    if numbers is None:
        return tuple(sorted(map(str, different)))
    return tuple(str(different[place]) for place in numbers.sort_values(kind="stable").index)


def _as_numbers(there: pandas.Series) -> pandas.Series | None:
    """Return words as float64, or nothing where one is no finite number."""
    import pandas

    numbers = pandas.to_numeric(there, errors="coerce").astype("float64")
    fits = numbers.abs() <= np.finfo(np.float32).max
    return numbers if bool(fits.all()) else None


def _is_numeric(values: pandas.Series) -> bool:
    """Return whether a column holds numbers already, which need not be read."""
    import pandas

    return pandas.api.types.is_numeric_dtype(values) and not pandas.api.types.is_bool_dtype(values)


def _is_finite(word: str) -> bool:
    try:
        return abs(float(word)) <= float(np.finfo(np.float32).max)
    except ValueError:
        return False


def _places(known: Sequence[str], words: pandas.Series) -> np.ndarray:
    """Return the place of each word among those that are known, -1 of others and of missing ones."""
    import pandas

    return pandas.Index(list(known), dtype="object").get_indexer(words.astype("object")).astype(np.int64)


def _short(words: Sequence[str]) -> str:
    return ", ".join([*words[:5], "..."] if len(words) > 5 else words)

"""Own signals over time: a table of them, and the edges between the nodes that have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from graphkit import _checks
from graphkit.data.disk.checked_files import DataError
from graphkit.data.disk.import_plan import WEIGHTS, Overrule, end_columns
from graphkit.data.disk.manifest import StoredGraph
from graphkit.data.disk.storage import require_new, store_graph
from graphkit.data.disk.tables import Table, open_table
from graphkit.data.temporal_graph import TemporalGraph
from graphkit.operators.edges import with_both_ways

if TYPE_CHECKING:
    import pandas

TIMES = ("time", "times", "date", "datetime", "timestamp", "day", "hour", "week", "month", "step", "t")
"""What a column of moments may be called."""

NODES = ("id", "node", "node_id", "sensor", "sensor_id", "station", "station_id", "region", "name")
"""What a column of nodes is called, in a table with a row for each node at each moment."""

PLACES = (("longitude", "latitude"), ("lon", "lat"), ("x", "y"))
"""What the columns of places may be called."""

PLAUSIBLE = 100_000_000
"""Whole numbers from which moments are seconds since 1970; smaller ones are numbers of moments."""

ROLES = ("time", "id", "from", "to", "weight", "number", "ignore")
"""What a column can be said to be."""


def import_series(
    series: Path | str,
    edges: Path | str,
    to: Path | str,
    *,
    nodes: Path | str | None = None,
    columns: Mapping[str, str] | None = None,
    undirected: bool = False,
    name: str | None = None,
) -> StoredGraph:
    """Write signals over time and the graph they are on to a folder, and return what its manifest says.

    Args:
        series: a table (.csv, .tsv, .parquet) with a row for each moment: perhaps a column of times, and a column of
            numbers for each node, which is called as edges call it; or with a row for each node at each moment: a
            column of times, one of nodes, and one of numbers for each feature. What is empty was not measured. Times
            are dates, seconds since 1970, or numbers of moments; of those that are missing in an equal step nothing
            was measured. Without times rows follow each other.
        edges: a table of two nodes and perhaps a weight.
        to: the folder; it must not exist.
        nodes: a table of nodes and their longitude and latitude.
        columns: column -> "time", "id", "from", "to", "weight", "number" or "ignore", where that is not to be told by
            its name.
        undirected: whether each edge is given its other direction, with its weight.
        name: what it is called in records; by default the name of the folder.

    Raises:
        ValueError: if ``to`` exists, or an argument is none of its values.
        DataError: for a file that is missing, times that go back, stand still or are not whole steps apart, values
            that are no numbers, and edges or places of nodes that have no signals.
    """
    folder = require_new(to, "to")
    _checks.flag("undirected", undirected)
    said = Overrule(dict(_kinds(columns)))
    table = _table("series", series, header=True)  # numbers may be names of nodes
    ends = _table("edges", edges)
    frame, listed = table.read(), ends.read()
    values, ids, times, calendar = _signals(frame, table.path, said)
    numbers = {word: place for place, word in enumerate(ids)}
    edge_index, weight = _edges(listed, ends, numbers, said)
    fields: dict[str, Any] = {}
    if nodes is not None:
        fields["pos"] = _places(_table("nodes", nodes), numbers, said)
    said.require_used([f"{table.path}: {', '.join(table.columns)}", f"{ends.path}: {', '.join(ends.columns)}"])
    if undirected:
        edge_index, weight = with_both_ways(edge_index, weight, len(ids))
    signals = torch.from_numpy(values)
    try:
        if times is None:
            graph = TemporalGraph(signals, edge_index, weight, **fields)
        else:
            graph = TemporalGraph.on_calendar(signals, torch.from_numpy(times), edge_index, weight, **fields)
            graph.times = graph.times if calendar else None
    except ValueError as error:
        raise DataError(f"{table.path}: {error}") from None
    graph.node_names = ids
    how = {"imported": [str(table.path), str(ends.path)], "gaps": graph.steps - len(values)}
    return store_graph(graph, folder, name=name, how=how)


def _table(argument: str, path: Any, *, header: bool | None = None) -> Table:
    """Return the table of an argument."""
    try:
        return open_table(_checks.path(argument, path), header=header)
    except DataError as error:
        raise DataError(f"`{argument}`: {error}") from None


def _kinds(columns: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return what was said of columns, looked at."""
    given = _checks.instance("columns", {} if columns is None else columns, Mapping, "a mapping from columns")
    for column, kind in given.items():
        _checks.instance("columns", column, str, "a mapping from names of columns")
        _checks.member("columns", kind, ROLES)
    return given


def _column_of(columns: Sequence[str], said: Overrule, role: str, usual: Sequence[str]) -> str | None:
    """Return the column that was said to be something, or else one that is called so."""
    found = said.of(role, columns)
    if found:
        return found[0]
    free = [name for name in columns if name not in said.kinds]
    return next((name for word in usual for name in free if name.lower() == word), None)


def _signals(
    frame: pandas.DataFrame, path: Path, said: Overrule
) -> tuple[np.ndarray, list[str], np.ndarray | None, bool]:
    """Return signals ``[rows, nodes, features]``, names of the nodes, when rows are, and if that is in seconds."""
    columns = [str(name) for name in frame.columns]
    time, node = _column_of(columns, said, "time", TIMES), _column_of(columns, said, "id", NODES)
    ignored = said.of("ignore", columns)
    rest = [name for name in columns if name not in (time, node, *ignored)]
    said.of("number", columns)
    if not rest or not len(frame):
        raise DataError(f"{path} holds no signals: it must have rows, and a column of numbers beside those of times.")
    if node is None:
        values = np.stack([_numbers(frame[name], name, path) for name in rest], 1)[..., None]
        return values, rest, *((None, False) if time is None else _moments(frame[time], time, path))
    if time is None:
        raise DataError(f"{path} has a column of nodes, {node!r}, and none of times; name it (`--column NAME=time`).")
    moments, seconds = _moments(frame[time], time, path)
    known, row = np.unique(moments, return_inverse=True)
    ids = list(dict.fromkeys(frame[node].astype(str)))
    place = {word: number for number, word in enumerate(ids)}
    column = frame[node].astype(str).map(place).to_numpy()
    if len(np.unique(row * len(ids) + column)) < len(frame):
        raise DataError(f"{path} has a node twice at one moment; each row is of one node at one moment.")
    values = np.full((len(known), len(ids), len(rest)), np.nan, np.float32)
    for feature, name in enumerate(rest):
        values[row, column, feature] = _numbers(frame[name], name, path)
    return values, ids, known, seconds


def _numbers(values: pandas.Series, name: str, path: Path) -> np.ndarray:
    """Return a column of numbers, NaN where it is empty."""
    import pandas

    words = values.astype(str).str.strip()
    empty = values.isna() | words.isin(["", "nan", "NaN", "NA", "null", "None"])
    found = pandas.to_numeric(words.mask(empty), errors="coerce")
    wrong = found.isna() & ~empty
    if bool(wrong.any()):
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{path}: column {name!r} holds {words.iloc[row]!r} in row {row + 1:,}, which is no number; "
            f"`--column {name}=ignore` leaves it out."
        )
    numbers: np.ndarray = found.to_numpy(dtype=np.float32, copy=True)
    if bool(np.isinf(numbers).any()):
        raise DataError(f"{path}: column {name!r} holds a number that is not finite.")
    return numbers


def _moments(values: pandas.Series, name: str, path: Path) -> tuple[np.ndarray, bool]:
    """Return when moments are, and whether that is in seconds since 1970; else they are numbered.

    Whole numbers are seconds from a hundred million on, dates where they are written as 20240131, and else numbers.
    """
    import pandas

    words = values.astype(str).str.strip()
    if bool(words.str.fullmatch(r"-?\d{1,15}").all()):
        numbers = np.array(words.astype(np.int64))
        if not bool(words.str.fullmatch(r"(19|20|21)\d{2}[01]\d[0-3]\d").all()):
            return numbers, bool((numbers >= PLAUSIBLE).all())
    apart = words.str.extract(r"^(\d{1,2})[/.-](\d{1,2})[/.-]\d{4}").astype(float)
    day_first = bool((apart[0] > 12).any())
    if bool(apart[0].notna().any()) and day_first == bool((apart[1] > 12).any()):
        raise DataError(
            f"{path}: column {name!r} holds {words.iloc[0]!r}, which may be read with the day first or the month "
            "first; write dates as 2024-01-31."
        )
    found = pandas.to_datetime(words, errors="coerce", utc=True, format="mixed", dayfirst=day_first)
    if bool(found.isna().any()):
        row = int(np.flatnonzero(found.isna())[0])
        raise DataError(f"{path}: column {name!r} holds {words.iloc[row]!r} in row {row + 1:,}, which is no date.")
    seconds: np.ndarray = found.dt.tz_localize(None).to_numpy().astype("datetime64[s]").astype(np.int64)
    return seconds, True


def _edges(
    frame: pandas.DataFrame, table: Table, numbers: Mapping[str, int], said: Overrule
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return edges and their weights, of nodes by what they are called."""
    columns = list(table.columns)
    source, target = end_columns(columns, said, table.path)
    said.of("ignore", columns)
    others = [name for name in columns if name not in (source, target)]
    weight = _column_of(others, said, "weight", WEIGHTS)
    if weight is None and len(others) == 1 and others[0] == "2":
        weight = others[0]
    ends = []
    for name in (source, target):
        words = frame[name].astype(str).str.strip()
        places = words.map(numbers)
        if bool(places.isna().any()):
            stranger = words[places.isna()].iloc[0]
            shown = ", ".join(map(repr, list(numbers)[:3]))
            raise DataError(
                f"{table.path}: {stranger!r} is no node of the series, whose nodes are called {shown} and so on."
            )
        ends.append(torch.from_numpy(places.to_numpy(dtype=np.int64, copy=True)))
    values = None if weight is None else torch.from_numpy(_numbers(frame[weight], weight, table.path))
    if values is not None and bool((values.isnan() | (values < 0)).any()):
        raise DataError(f"{table.path}: column {weight!r} must hold a number of 0 or above for each edge.")
    return torch.stack(ends), values


def _places(table: Table, numbers: Mapping[str, int], said: Overrule) -> torch.Tensor:
    """Return the places of the nodes, ``[nodes, 2]``."""
    columns = list(table.columns)
    lowered = {name.lower(): name for name in reversed(columns)}
    pair = next((pair for pair in PLACES if all(each in lowered for each in pair)), None)
    if pair is None:
        raise DataError(f"{table.path} must have columns longitude and latitude, or x and y; got {', '.join(columns)}.")
    frame = table.read()
    rest = [name for name in columns if name not in (lowered[pair[0]], lowered[pair[1]])]
    node = _column_of(rest, said, "id", NODES) or (rest[0] if rest else "")
    if not node:
        raise DataError(f"{table.path} must have a column of nodes beside their places.")
    found = torch.full((len(numbers), 2), torch.nan)
    words = frame[node].astype(str).str.strip()
    known = words.isin(list(numbers)).to_numpy()
    rows = torch.tensor([numbers[word] for word in words[known]], dtype=torch.long)
    for axis, each in enumerate(pair):
        found[rows, axis] = torch.from_numpy(_numbers(frame[lowered[each]], lowered[each], table.path)[known])
    if bool(found.isnan().any()):
        missing = list(numbers)[int(found.isnan().any(1).nonzero()[0])]
        raise DataError(f"{table.path} has no place of the node {missing!r}.")
    return found

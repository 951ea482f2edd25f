#!/usr/bin/env python3
"""Make the tables of the result pages from the committed records, and the records from their commands.

``tables.toml`` says which command makes which record, and which cell of which table shows which value of it. The tables
stand in the pages between two comments; everything else in a page is written by hand. Nothing but Python is needed to
build the pages; to run commands, graphkit must be installed.

    python docs/results/build.py                      write the tables of all pages
    python docs/results/build.py --check              say which pages are not what the records make
    python docs/results/build.py --list               list the records, their commands and which of them exist
    python docs/results/build.py --run few-shot       run every command of a page and write its records
    python docs/results/build.py --run train-cora-gcn run the command of one record
    python docs/results/build.py --add train-cora-gcn FILE    take a record that a command wrote with --json

A value that has no record yet is taken from ``records/earlier.toml`` and printed in italics.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
CHECKOUT = FOLDER.parent.parent
RECORDS = FOLDER / "records"
EARLIER = RECORDS / "earlier.toml"
START, END = "<!-- table: {} -->", "<!-- end of table -->"
BLOCK = re.compile(r"<!-- table: ([\w-]+) -->\n(.*?)<!-- end of table -->", re.DOTALL)
VALUE = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")
"""A value in a cell: ``<record:path|format>``; ``<>`` is one that no record holds, ``<@table; row; heading>`` a cell.

A path is keys apart by slashes. ``key=value&key=value`` chooses the first such row of a list, ``each:key=value`` all.
"""

PLACES = ("--json", "--run-dir", "--run", "--picture")
"""Options that name files of the machine on which a command ran, and change no figure."""

ABSOLUTE = re.compile(r"(?:^|[\s'\"=:(])(?:/|~/|[A-Za-z]:\\)[\w.-]+[/\\]")


class ResultError(Exception):
    """What cannot be built, run or added, in one line."""


@dataclass(frozen=True)
class Results:
    """The tables, the commands behind them, the records there are, and the figures of before records were kept."""

    commands: Mapping[str, str]
    tables: Mapping[str, Mapping[str, Any]]
    records: Mapping[str, Any]
    earlier: Mapping[str, Mapping[str, Mapping[str, str]]]

    @classmethod
    def read(cls) -> Results:
        """Return what lies in this folder."""
        spec = tomllib.loads((FOLDER / "tables.toml").read_text(encoding="utf-8"))
        earlier = tomllib.loads(EARLIER.read_text(encoding="utf-8"))
        records = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDS.glob("*.json"))}
        return cls(spec["records"], spec["tables"], records, earlier["tables"])

    def records_of(self, page: str) -> list[str]:
        """Return the records that the tables of a page show."""
        names: dict[str, None] = {}
        for table in tables_of(pages()[page]):
            for row in self.tables[table]["rows"]:
                names |= dict.fromkeys(_records_of(self.tables[table], row))
        return list(names)

    def table(self, name: str) -> str:
        """Return a table as Markdown."""
        if name not in self.tables:
            raise ResultError(f"no table {name!r} stands in tables.toml.")
        table = self.tables[name]
        headings = [column["heading"] for column in table["columns"]]
        kept = any(_records_of(table, row) for row in table["rows"])
        lines = []
        for row in table["rows"]:
            cells, used = self.cells(name, row)
            if table.get("commands", False):
                cells.append(self._commands(row))
            if kept:
                cells.append(", ".join(f"[record](records/{record}.json)" for record in used) or "earlier")
            lines.append(cells)
        if table.get("commands", False):
            headings.append("command")
        if kept:
            headings.append("record")
        rows = [f"| {' | '.join(cell.strip() for cell in line)} |\n" for line in [headings, *lines]]
        return "".join([rows[0], "|---" * len(headings) + "|\n", *rows[1:]])

    def cells(self, name: str, row: Mapping[str, str]) -> tuple[list[str], list[str]]:
        """Return the cells of a row and the records that they show."""
        table, used, cells = self.tables[name], {}, []
        timed = not any(_records_of(table, each) for each in table["rows"])
        for column in table["columns"]:
            template = _filled(column, row)
            needed = [found[1] for found in VALUE.finditer(template)]
            if any(place.startswith("@") for place in needed):
                cells.append(VALUE.sub(lambda found: self._cell_of(*found[1].removeprefix("@").split("; ")), template))
            elif needed and not all(place.partition(":")[0] in self.records for place in needed):
                said = self._earlier(name, row_key(table, row), column["heading"])
                cells.append(said if timed or not said else f"*{said}*")
            else:
                used |= {place.partition(":")[0]: None for place in needed}
                cells.append(VALUE.sub(lambda found: self._value(found[1], found[2] or ""), template))
        return cells, list(used)

    def _cell_of(self, name: str, key: str, heading: str) -> str:
        """Return a cell of another table."""
        table = self.tables[name]
        row = next((each for each in table["rows"] if row_key(table, each) == key), None)
        headings = [column["heading"] for column in table["columns"]]
        if row is None or heading not in headings:
            raise ResultError(f"table {name!r} has no row {key!r} with {heading!r}.")
        return self.cells(name, row)[0][headings.index(heading)]

    def _earlier(self, name: str, key: str, heading: str) -> str:
        """Return the figure of before records were kept."""
        said = self.earlier.get(name, {}).get(key, {}).get(heading)
        if said is None:
            raise ResultError(f"table {name!r}, row {key!r}, {heading!r}: no record and no earlier figure.")
        return said

    def _value(self, place: str, form: str) -> str:
        """Return the value that ``record:path`` names, as ``form`` wants it."""
        record, _, path = place.partition(":")
        value = self.records[record]
        for part in path.split("/"):
            try:
                value = _step(value, part)
            except (KeyError, IndexError, TypeError):
                raise ResultError(f"record {record!r} has no {path!r} ({part!r} is missing).") from None
        return shown(value, form)

    def _commands(self, row: Mapping[str, str]) -> str:
        """Return the command of a row, which its variable ``record`` or ``command`` names."""
        return f"`{row.get('command') or self.commands[row['record']]}`"


class Each(list[Any]):
    """The rows of a record that were asked for; the next parts of the path are taken of each of them."""


def _summary(values: Sequence[Any]) -> dict[str, Any]:
    """Return mean and deviation of numbers; of lists of them also the least and the largest mean."""
    lists = [value if isinstance(value, list) else [value] for value in values]
    means = [statistics.fmean(each) for each in lists]
    numbers = [number for each in lists for number in each]
    std = statistics.stdev(numbers) if len(numbers) > 1 else None
    return {"mean": statistics.fmean(numbers), "std": std, "least": min(means), "most": max(means)}


def _step(value: Any, part: str) -> Any:
    """Return one part of a record: a key, a position, or the rows of a list that have the wanted fields."""
    if isinstance(value, Each):
        return Each(_step(each, part) for each in value)
    if isinstance(value, list) and not part.isdigit():
        wanted = [pair.split("=", 1) for pair in part.removeprefix("each:").split("&") if pair]
        rows = Each(each for each in value if all(str(each[key]) == text for key, text in wanted))
        return rows if part.startswith("each:") else rows[0]
    if isinstance(value, list):
        return value[int(part)]
    return value[part]


def _filled(column: Mapping[str, str], row: Mapping[str, str]) -> str:
    """Return the cell of a row: the row's own under the heading, or the column's with the row's variables put in."""
    template = row.get(column["heading"], column.get("cell", "<>"))
    return re.sub(r"\{(\w+)\}", lambda found: row[found[1]], template)


def _records_of(table: Mapping[str, Any], row: Mapping[str, str]) -> list[str]:
    """Return the records that a row shows, or would show if they existed."""
    places = [found[1] for column in table["columns"] for found in VALUE.finditer(_filled(column, row))]
    return [place.partition(":")[0] for place in places if place and not place.startswith("@")]


def row_key(table: Mapping[str, Any], row: Mapping[str, str]) -> str:
    """Return what a row is known by among the earlier figures: its cells of words but the command."""
    cells = (_filled(column, row) for column in table["columns"] if column["heading"] != "command")
    return ", ".join(cell for cell in cells if cell and not VALUE.search(cell))


def shown(value: Any, form: str = "") -> str:
    """Return a value of a record as text.

    Args:
        value: a summary with ``mean`` and ``std`` or ``interval``, numbers, a number, or a text.
        form: words apart by spaces: ``mean`` leaves out the deviation, ``range`` gives the least and the most,
            ``number`` is not turned into per cent, ``1``, ``2`` are the decimals.
    """
    words = form.split()
    decimals = next((int(word) for word in words if word.isdigit()), 1)
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        value = _summary(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value if 'number' in words else 100 * value:.{decimals}f}"
    scale = 1 if "number" in words or value.get("unit", "fraction") != "fraction" else 100
    if "range" in words:
        return " to ".join(f"{scale * value[end]:.{decimals}f}" for end in ("least", "most"))
    width = value.get("interval", value.get("std"))
    mean = f"{scale * value['mean']:.{decimals}f}"
    return mean if not width or "mean" in words else f"{mean} ± {scale * width:.{decimals}f}"


def pages() -> dict[str, Path]:
    """Return name -> file of the pages with tables: those of this folder, and ``front``, the README."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.md"))} | {"front": CHECKOUT / "README.md"}


def tables_of(page: Path) -> list[str]:
    """Return the tables that stand in a page."""
    return [block[0] for block in BLOCK.findall(page.read_text(encoding="utf-8"))]


def built(page: Path, results: Results) -> str:
    """Return the text of a page with its tables made anew."""
    text = page.read_text(encoding="utf-8")
    return BLOCK.sub(lambda found: f"{START.format(found[1])}\n{results.table(found[1])}{END}", text)


def plain_command(command: str) -> str:
    """Return a record's command as a person would type it: no path of a machine, no place where results were put."""
    words = shlex.split(command)
    if words[0].endswith(".py"):
        words = ["graphkit", "bench", Path(words[0]).stem.replace("_", "-"), *words[1:]]
    kept: list[str] = []
    words_left = iter(words)
    for word in words_left:
        if word in PLACES:
            next(words_left, None)
        elif not word.startswith(tuple(f"{option}=" for option in PLACES)):
            kept.append(word)
    return shlex.join(kept)


def texts(value: Any) -> Iterator[str]:
    """Return every text in a record, keys among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield key
            yield from texts(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from texts(each)


def machine_texts(record: Any) -> list[str]:
    """Return what in a record names a folder, this machine or its user."""
    names = {socket.gethostname(), getpass.getuser()} - {"", "root", "localhost"}
    own = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in names)) if names else None
    return [text for text in texts(record) if ABSOLUTE.search(text) or (own and own.search(text))]


def as_text(record: Mapping[str, Any]) -> str:
    """Return a record as JSON of one line for each field, and for each method or row of figures."""
    lines = []
    for key, value in record.items():
        if key in ("figures", "methods", "by_shots", "rows") and value:
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            named = isinstance(value, dict)
            inner = ",\n".join(f"  {json.dumps(k) + ': ' if named else ''}{_line(v)}" for k, v in pairs)
            lines.append(f'"{key}": {"{" if named else "["}\n{inner}\n {"}" if named else "]"}')
        else:
            lines.append(f'"{key}": {_line(value)}')
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def add(name: str, file: Path, results: Results) -> None:
    """Take a record that a command wrote; the earlier figures that it replaces are dropped.

    Raises:
        ResultError: for a record of another command, or one that names a folder, this machine or its user.
    """
    if name not in results.commands:
        raise ResultError(f"no record {name!r} stands in tables.toml.")
    record = json.loads(file.read_text(encoding="utf-8"))
    if "command" not in record:
        raise ResultError(f"{name}: {file} holds no record; its command failed.")
    record["command"] = plain_command(record["command"])
    expected = shlex.join(shlex.split(results.commands[name]))
    if record["command"] != expected:
        raise ResultError(f"{name}: made by `{record['command']}`, tables.toml says `{expected}`.")
    if told := machine_texts(record):
        raise ResultError(f"{name}: the record names this machine: {told[0]!r}.")
    (RECORDS / f"{name}.json").write_text(as_text(record), encoding="utf-8")


def replaced(results: Results) -> list[tuple[str, str, str, str, str]]:
    """Return table, row, heading, earlier and present text of every earlier figure that a record now gives."""
    found = []
    for name, rows in results.earlier.items():
        table = results.tables[name]
        by_key = {row_key(table, row): row for row in table["rows"]}
        headings = [column["heading"] for column in table["columns"]]
        for key, figures in rows.items():
            cells = dict(zip(headings, results.cells(name, by_key[key])[0], strict=True))
            columns = {column["heading"]: _filled(column, by_key[key]) for column in table["columns"]}
            for heading, said in figures.items():
                needed = [place[1].partition(":")[0] for place in VALUE.finditer(columns[heading])]
                if all(record in results.records for record in needed):
                    found.append((name, key, heading, said, cells[heading]))
    return found


def drop_replaced(results: Results) -> None:
    """Say where a record differs from the earlier figure, and drop the earlier ones that are replaced."""
    gone = replaced(results)
    for name, key, heading, said, now in gone:
        if said != now:
            print(f"{name}, {key}, {heading}: was {said}, is {now}")
    dropped = {(name, key, heading) for name, key, heading, _, _ in gone}
    text = EARLIER.read_text(encoding="utf-8").partition("\n[tables")[0].rstrip("\n") + "\n\n"
    for name, rows in results.earlier.items():
        for key, figures in rows.items():
            kept = {heading: said for heading, said in figures.items() if (name, key, heading) not in dropped}
            if kept:
                text += f"[tables.{name}.{_quoted(key)}]\n"
                text += "".join(f"{_quoted(heading)} = {_quoted(said)}\n" for heading, said in kept.items()) + "\n"
    EARLIER.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def run(names: Sequence[str], results: Results) -> None:
    """Run the commands of records, or of all records of pages, and take what they write."""
    wanted: dict[str, None] = {}
    for name in names:
        wanted |= dict.fromkeys(results.records_of(name) if name in pages() else [name])
    for name in wanted:
        if name not in results.commands:
            raise ResultError(f"{name!r} is neither a page nor a record.")
        words = shlex.split(results.commands[name])[1:]
        print(f"{name}: {results.commands[name]}", flush=True)
        with tempfile.TemporaryDirectory(prefix="graphkit-results-") as folder:
            file = Path(folder) / "record.json"
            command = [sys.executable, "-m", "graphkit.cli", *words, "--json", str(file)]
            path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
            done = subprocess.run(command, cwd=folder, check=False, env={**os.environ, "PYTHONPATH": path})
            if done.returncode or not file.is_file():
                raise ResultError(f"{name}: the command failed; it is run again by the same call.")
            add(name, file, results)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, check, list, run or add; return 1 where something does not fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is not up to date")
    parser.add_argument("--list", action="store_true", help="list records, their commands and whether they exist")
    parser.add_argument("--run", nargs="+", metavar="PAGE|RECORD", help="run commands and write their records")
    parser.add_argument("--add", nargs=2, metavar=("RECORD", "FILE"), help="take a record written with --json")
    options = parser.parse_args(arguments)
    results = Results.read()
    try:
        if options.list:
            for name, command in results.commands.items():
                print(f"{'record ' if name in results.records else 'earlier'}  {name}: {command}")
            return 0
        if options.add:
            add(options.add[0], Path(options.add[1]), results)
        if options.run:
            run(options.run, results)
        if options.add or options.run:
            results = Results.read()
            drop_replaced(results)
            results = Results.read()
        behind = []
        for path in pages().values():
            text = built(path, results)
            if text != path.read_text(encoding="utf-8"):
                behind.append(path.name)
                if not options.check:
                    path.write_text(text, encoding="utf-8")
    except ResultError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    if behind:
        print(f"{'not up to date' if options.check else 'written'}: {', '.join(behind)}")
    return int(options.check and bool(behind))


if __name__ == "__main__":
    raise SystemExit(main())

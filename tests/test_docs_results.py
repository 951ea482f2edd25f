"""The tables of the result pages are those that the committed records make, and every record has its command."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent


def script():
    """Return the script that builds the pages, as a module."""
    spec = importlib.util.spec_from_file_location("result_pages", CHECKOUT / "docs" / "results" / "build.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclass looks for its annotations
    spec.loader.exec_module(module)
    return module


build = script()
RESULTS = build.Results.read()


@pytest.mark.parametrize("page", build.pages())
def test_the_tables_of_a_page_are_those_that_the_records_make(page):
    path = build.pages()[page]
    assert build.built(path, RESULTS) == path.read_text(encoding="utf-8")


def test_every_table_stands_in_one_page():
    standing = [table for path in build.pages().values() for table in build.tables_of(path)]
    assert sorted(standing) == sorted(RESULTS.tables)


def test_every_record_is_that_of_a_command_and_is_shown():
    assert set(RESULTS.records) <= set(RESULTS.commands)
    shown = {record for page in build.pages() for record in RESULTS.records_of(page)}
    assert set(RESULTS.commands) == shown


@pytest.mark.parametrize("name", RESULTS.records)
def test_a_record_says_the_command_that_the_tables_name(name):
    assert RESULTS.records[name]["command"] == shlex.join(shlex.split(RESULTS.commands[name]))


@pytest.mark.parametrize("name", RESULTS.records)
def test_a_record_names_no_folder_and_no_machine_and_is_small(name):
    assert build.machine_texts(RESULTS.records[name]) == []
    path = build.RECORDS / f"{name}.json"
    assert path.read_text(encoding="utf-8") == build.as_text(RESULTS.records[name])
    assert path.stat().st_size < 80_000  # twelve learners of four countries, three figures of three horizons each


def test_an_earlier_figure_goes_when_its_record_comes():
    assert build.replaced(RESULTS) == []


def test_every_earlier_figure_is_shown():
    for name, rows in RESULTS.earlier.items():
        keys = {build.row_key(RESULTS.tables[name], row) for row in RESULTS.tables[name]["rows"]}
        headings = {column["heading"] for column in RESULTS.tables[name]["columns"]}
        assert rows.keys() <= keys, name
        assert {heading for figures in rows.values() for heading in figures} <= headings, name


def test_commands_lose_what_belongs_to_a_machine():
    said = "/home/someone/graphkit/examples/benchmarks/digits_grid.py --seeds 3 --json /tmp/there/record.json"
    assert build.plain_command(said) == "graphkit bench digits-grid --seeds 3"
    assert build.plain_command("graphkit train cora --json=a.json --model gcn --run-dir b") == (
        "graphkit train cora --model gcn"
    )


def test_a_record_that_names_a_folder_is_refused(tmp_path):
    name, command = next(iter(RESULTS.commands.items()))
    for record, why in (
        ({"command": command, "config": {"folder": "/home/someone/data"}}, "names this machine"),
        ({"command": f"{command} --epochs 3"}, "tables.toml says"),
        ({}, "holds no record"),
    ):
        (tmp_path / "record.json").write_text(json.dumps(record), encoding="utf-8")
        with pytest.raises(build.ResultError, match=why):
            build.add(name, tmp_path / "record.json", RESULTS)


def test_figures_are_printed_as_the_command_prints_them():
    assert build.shown({"mean": 0.8215, "std": 0.0049, "unit": "fraction"}) == "82.2 ± 0.5"
    assert build.shown({"mean": 0.8333, "interval": 0.0123, "spread": 0.1}) == "83.3 ± 1.2"
    assert build.shown({"mean": 1.186, "std": 0.031, "unit": "number"}, "2") == "1.19 ± 0.03"
    assert build.shown({"mean": 0.5, "std": None}, "mean") == "50.0"
    assert (build.shown(19968), build.shown(0.25), build.shown(0.25, "number 2")) == ("19,968", "25.0", "0.25")


def test_rows_are_chosen_by_their_fields_and_averaged():
    record = {
        "rows": [{"model": "a", "values": [0.1, 0.3]}, {"model": "a", "values": [0.2]}, {"model": "b", "values": [1]}]
    }
    results = build.Results(commands={}, tables={}, records={"some": record}, earlier={})
    assert results._value("some:rows/each:model=a/values", "mean") == "20.0"
    assert results._value("some:rows/each:model=a/values", "range") == "20.0 to 20.0"
    assert results._value("some:rows/each:model=a/values/0", "mean") == "15.0"
    assert results._value("some:rows/model=b/values/0", "number") == "1"
    with pytest.raises(build.ResultError, match="no 'rows/model=c'"):
        results._value("some:rows/model=c", "")

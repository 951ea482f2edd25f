"""What the README shows works: its Python runs, its commands parse, its links lead somewhere."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import itertools
import re
import shlex
from pathlib import Path

import click
import pytest

from graphkit.cli import commands
from graphkit.cli.bench import scripts
from graphkit.data import card
from graphkit.training import recipe

CHECKOUT = Path(__file__).parent.parent
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
LINES = [line for language, block in BLOCKS if language == "console" for line in block.splitlines() if line.strip()]
INLINE = re.findall(r"`((?:graphkit|make) [^`]+)`", README)
MADE = re.findall(r"data import .*--to (\S+)", README)
COMMANDS = dict.fromkeys(re.sub(r"^(\w+=\S+ )+", "", line) for line in [*LINES, *INLINE])


def test_the_snippets_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    snippets = [block for language, block in BLOCKS if language == "python"]
    assert len(snippets) >= 3
    for number, snippet in enumerate(snippets):
        exec(compile(snippet, f"README.md, snippet {number + 1}", "exec"), names)
    assert names["logits"].shape == (1797, 10)
    assert names["hidden"].shape == (1797, 16)
    assert "95 % interval" in capsys.readouterr().out
    assert (tmp_path / "karate.json").is_file()


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("graphkit ")])
def test_a_graphkit_command_parses_and_names_what_exists(line):
    word, *rest = shlex.split(line)[1:]
    command = commands.commands[word]
    while isinstance(command, click.Group) and rest:
        word, *rest = rest
        command = command.commands[word]
    given = command.make_context(word, rest).params
    known = None if given.get("dataset") in (None, *MADE) else card(given["dataset"])
    if given.get("model"):
        kind = known.kind if known else "node"
        recipe(given["model"], items={"signal": "signals", "graph": "graphs"}.get(kind, "nodes"))
    for name in given.get("names") or []:
        card(name)
    if word == "card":
        card(given["name"])
    if word == "bench" and given["name"]:
        assert given["name"] in scripts()


@pytest.mark.parametrize("line", [line for line in COMMANDS if not line.startswith("graphkit ")])
def test_any_other_command_is_one_that_is_known(line):
    first, *rest = shlex.split(line)
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    if first == "make":
        assert re.search(rf"^{re.escape(rest[0])}:", makefile, re.MULTILINE)
    elif first == "torchrun":
        _, _, asked = line.partition("graphkit.cli ")
        test_a_graphkit_command_parses_and_names_what_exists(f"graphkit {asked}")
    elif first == "export":
        assert rest[0].split("=")[0] in ("GRAPHKIT_DATA", "GRAPHKIT_MIRROR")
    else:
        assert first == "python"
        assert (CHECKOUT / rest[0]).is_file()


BENCHMARKS = [line for line in COMMANDS if line.startswith("graphkit bench ") and "--list" not in line]
SPEED = README.partition("### Speed\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("line", BENCHMARKS)
def test_the_options_of_a_benchmark_are_those_of_its_script(line, monkeypatch):
    class Parsed(Exception):
        pass

    def only_parsed(parser, arguments):
        left = parser.parse_known_args(arguments)[1]
        raise Parsed(*left)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parsed)
    name, *arguments = shlex.split(line)[2:]
    path = scripts()[name]
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"of_readme_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(Parsed) as parsed:
        module.main(arguments)
    assert parsed.value.args == ()


def speed_rows():
    """Return each line of the speed tables: its command, or the last before it, and what it and its heading quote."""
    command, heading = "", ""
    lines = SPEED.splitlines()
    for line, after in itertools.pairwise(lines):
        if after.startswith("|---"):
            heading = line
        elif line.startswith("| "):
            last = line.strip("| ").split("|")[-1].strip()
            found = re.search(r"`(graphkit [^`]+)`", last)
            assert found or last == "the same", line
            command = found[1] if found else command
            yield command, re.findall(r'"([^"]+)"', heading + re.sub("`.*?`", "", line))


def test_each_line_of_the_speed_tables_names_a_command_and_the_rows_that_it_prints():
    rows = list(speed_rows())
    assert len(rows) > 20
    for command, quoted in rows:
        word, name, *_ = shlex.split(command)[1:]
        if word != "bench":
            assert quoted == []
            continue
        nodes = ast.walk(ast.parse(scripts()[name].read_text(encoding="utf-8")))
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        assert {row for row in quoted if row not in texts} == set(), name
        if name in ("gcn-epoch", "scripts", "layers"):  # ratios that depend on what stands on the other side
            assert quoted, command


def test_links_to_files_lead_to_files():
    links = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert links
    assert [link for link in links if not (CHECKOUT / link).exists()] == []


def test_the_layers_it_lists_are_those_there_are():
    import graphkit.nn

    layers = {name for name in graphkit.nn.__all__ if name.endswith("Conv")}
    assert {name for name in layers if f"`{name}`" not in README} == set()

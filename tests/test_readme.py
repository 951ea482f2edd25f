"""What the README and the pages of ``docs`` show works: Python runs, commands parse, links lead on."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import itertools
import re
import shlex
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from graphkit.cli import commands
from graphkit.cli.bench import scripts
from graphkit.data import card
from graphkit.training import recipe
from graphkit.training.embedding import EMBEDDINGS
from graphkit.training.fewshot import METHODS

CHECKOUT = Path(__file__).parent.parent
DOCS = CHECKOUT / "docs"
PAGES = {
    str(path.relative_to(CHECKOUT)): path.read_text(encoding="utf-8")
    for path in [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
}
README = PAGES["README.md"]
ALL = "\n".join(PAGES.values())
RESULTS = tomllib.loads((DOCS / "results" / "tables.toml").read_text(encoding="utf-8"))


def blocks(text: str, language: str) -> list[str]:
    """Return the blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


SNIPPETS = blocks(README, "python")
LINES = [line for block in blocks(ALL, "console") for line in block.splitlines() if line.strip()]
INLINE = [" ".join(found.split()) for found in re.findall(r"`((?:graphkit|make) [^`]+)`", ALL)]
MADE = re.findall(r"data import .*--to (\S+)|data synthesize (\S+)", ALL)
OWN_NAMES = {name.rstrip("`.") for found in MADE for name in found}
COMMANDS = dict.fromkeys(re.sub(r"^(\w+=\S+ )+", "", line) for line in [*LINES, *INLINE, *RESULTS["records"].values()])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Any:
    """Give the snippets one folder to work in."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("snippets")
        patch.chdir(place)
        yield place


@cache
def names_after(snippet: str) -> dict[str, Any]:
    """Return what a snippet defines that is run by itself."""
    names: dict[str, Any] = {}
    exec(compile(snippet, "README.md", "exec"), names)
    return names


def test_the_readme_is_short():
    assert README.count("\n") <= 200
    assert len(README.encode()) <= 12_000


def test_every_snippet_of_the_readme_runs_by_itself(folder, capsys):
    assert len(SNIPPETS) >= 4
    defined: dict[str, Any] = {}
    for snippet in SNIPPETS:
        defined |= names_after(snippet)
    assert defined["logits"].shape == (1797, 10)
    assert defined["found"].map_at_r > 0
    assert list(defined["embedded"].record.figures) == [
        *("raw features", "random encoder", "best view", "ridge on views", "triplet, not joined", "triplet")
    ]
    assert list(defined["compared"].record.methods) == ["prototypes-2", "ridge-semi-chosen", "protomaml"]
    assert "95 % interval" in capsys.readouterr().out
    assert (folder / "karate.json").is_file()


@pytest.mark.parametrize("page", [name for name in PAGES if name != "README.md" and blocks(PAGES[name], "python")])
def test_the_snippets_of_a_page_run_one_after_the_other(page, folder):
    names: dict[str, Any] = {}
    for number, snippet in enumerate(blocks(PAGES[page], "python")):
        if snippet in SNIPPETS:  # run already, and by itself
            names |= names_after(snippet)
        else:
            exec(compile(snippet, f"{page}, snippet {number + 1}", "exec"), names)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("graphkit ")])
def test_a_graphkit_command_parses_and_names_what_exists(line, monkeypatch):
    monkeypatch.chdir(CHECKOUT)  # some name a record
    word, command, rest = commands.resolve_command(click.Context(commands), shlex.split(line)[1:])
    while isinstance(command, click.Group) and rest:
        word, *rest = rest
        command = command.commands[word]
    if not rest or rest == ["--help"]:
        return
    given = command.make_context(word, rest).params
    known = None if given.get("dataset") in (None, *OWN_NAMES) else card(given["dataset"])
    if given.get("model") and word == "train":
        kind = known.kind if known else "node"
        items = {"signal": "signals", "graph": "graphs", "link": "links"}.get(kind, "nodes")
        recipe(given["model"], items="links" if given.get("task") == "links" else items)
    if given.get("model") and word == "forecast":
        recipe(given["model"], items="moments")
    if given.get("loss"):
        assert given["loss"] in EMBEDDINGS
    if given.get("learner"):
        assert given["learner"] in (*METHODS, "all")
    for name in given.get("names") or []:
        assert name in OWN_NAMES or card(name)
    if word == "card" and given["name"] not in OWN_NAMES:
        card(given["name"])
    if word == "bench" and given["name"]:
        assert given["name"] in scripts()


@pytest.mark.parametrize("line", [line for line in COMMANDS if not line.startswith("graphkit ")])
def test_any_other_command_is_one_that_is_known(line, monkeypatch):
    first, *rest = shlex.split(line, comments=True)
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    if first == "make":
        assert re.search(rf"^{re.escape(rest[0])}:", makefile, re.MULTILINE)
    elif first == "torchrun":
        _, _, asked = line.partition("graphkit.cli ")
        test_a_graphkit_command_parses_and_names_what_exists(f"graphkit {asked}", monkeypatch)
    elif first == "export":
        assert rest[0].split("=")[0] in ("GRAPHKIT_DATA", "GRAPHKIT_MIRROR")
    elif first == "pip":
        assert rest[0] == "install"
        assert [name for name in rest if name.endswith(".txt") and not (CHECKOUT / name).is_file()] == []
    elif first == ".venv/bin/python":
        assert rest[:2] == ["-m", "pytest"]
        assert [name for name in rest[2:] if "/" in name and not (CHECKOUT / name.partition("::")[0]).exists()] == []
    else:
        assert first == "python"
        assert (CHECKOUT / rest[0]).is_file()


BENCHMARKS = [line for line in COMMANDS if line.startswith("graphkit bench ") and "--list" not in line]
SPEED = PAGES["docs/results/speed.md"]


@pytest.mark.parametrize("line", BENCHMARKS)
def test_the_options_of_a_benchmark_are_those_of_its_script(line, monkeypatch):
    class Parsed(Exception):
        pass

    def only_parsed(parser, arguments):
        left = parser.parse_known_args(arguments)[1]
        raise Parsed(*left)

    name, *arguments = shlex.split(line)[2:]
    if arguments == ["--help"]:
        return
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parsed)
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
    for line, after in itertools.pairwise(SPEED.splitlines()):
        if after.startswith("|---"):
            heading = line
        elif line.startswith("| ") and heading.endswith("| command |"):
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


def links(page: str) -> list[Path]:
    """Return the files that a page links to."""
    found = re.findall(r"\]\((?!http)([^)#]+)", PAGES[page])
    return [((CHECKOUT / page).parent / link).resolve() for link in found]


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_to_files(page):
    assert [path.name for path in links(page) if not path.exists()] == []


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        if page in PAGES and page not in reached:
            reached.add(page)
            waiting += [str(path.relative_to(CHECKOUT.resolve())) for path in links(page)]
    assert reached == PAGES.keys()


def test_the_layers_it_lists_are_those_there_are():
    import graphkit.nn

    layers = {name for name in graphkit.nn.__all__ if name.endswith("Conv")}
    assert {name for name in layers if f"`{name}`" not in PAGES["docs/layers.md"]} == set()


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_place_in_the_code_that_a_page_names_exists(page):
    """After a renaming the page is to say where it went."""
    places = re.findall(r"`((?:graphkit|tests|datasets|examples|docs)/[\w./]+)`", PAGES[page])
    assert places
    assert [place for place in places if not (CHECKOUT / place).exists()] == []


def test_the_architecture_names_every_room():
    import graphkit

    rooms = {path.parent.name for path in Path(graphkit.__file__).parent.glob("*/__init__.py")}
    assert {room for room in rooms if f"`{room}`" not in PAGES["docs/architecture.md"]} == set()


def test_the_citation_names_this_version():
    from graphkit import __version__

    written = (CHECKOUT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", written, re.MULTILINE) == [__version__]


def test_the_floors_of_the_architecture_are_those_of_the_import_contract():
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    contract = {
        room.strip(" ()"): len(layers) - place for place, layer in enumerate(layers) for room in layer.split("|")
    }
    rows = re.findall(r"^\| (\d) \| (.+?) \|", PAGES["docs/architecture.md"], re.MULTILINE)
    assert {room: int(floor) for floor, rooms in rows for room in re.findall(r"`(\w+)`", rooms)} == contract

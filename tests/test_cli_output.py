"""What the command line prints of names and texts that come from data, and what a failed file or picture costs."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import torch

import graphkit.cli
import graphkit.data
import graphkit.viz
from graphkit.cli import output
from graphkit.training.embedding import SavedEmbeddings

pytestmark = pytest.mark.usefixtures("own_folder")

HOSTILE = "\x1b[31mred\x1b]0;title\x07 [bold]b[/bold] :smile: \u202egnp \x9b2J \r over"
SHOWN = "\\x1b[31mred\\x1b]0;title\\x07 [bold]b[/bold] :smile: \\u202egnp \\x9b2J \\r over"


def steers(text):
    """Return the characters of a text by which a terminal would be steered."""
    return {each for each in text if (ord(each) < 32 and each != "\n") or 127 <= ord(each) < 160 or each in "\u202e"}


def test_what_steers_a_terminal_is_written_out_and_all_else_is_as_it_was():
    assert output.plain(HOSTILE) == SHOWN
    kept = "Straße, 図, é, \U0001f600, two\nlines, a\\b"
    assert output.plain(kept) == kept


def test_everything_printed_goes_through_it():
    for path in Path(graphkit.cli.__file__).parent.glob("*.py"):
        called = {
            ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        }
        if path.name != "output.py":
            assert not called & {"click.echo", "print", "click.secho"}, path.name


def test_embeddings_of_a_hostile_name_are_searched(call):
    about = {"dataset": HOSTILE, "loss": HOSTILE, "level": HOSTILE, "graphs": json.dumps({HOSTILE: 4})}
    SavedEmbeddings(torch.eye(4), torch.arange(4), about).write(Path("embeddings-0.safetensors"))
    code, out, err = call("search", ".", "--query", "1")
    assert code == 0, err
    assert not steers(out + err)
    assert SHOWN in out
    assert SHOWN in err


@pytest.mark.parametrize("arguments", [["train", HOSTILE], ["embed", "--loss", HOSTILE], ["bench", HOSTILE]])
def test_what_was_typed_is_said_so_too(call, arguments):
    code, _, err = call(*arguments)
    assert code in (1, 2)
    assert not steers(err)


COMMANDS = {
    "train": ["train", "karate", "--seeds", "1", "--epochs", "1", "--device", "cpu", "--picture", "p.png"],
    "embed": ["embed", "karate", "--epochs", "1", "--dim", "2", "--device", "cpu", "--no-probes"],
    "fewshot": ["fewshot", "digits", "--learner", "prototypes-2", "--baselines", "none", "--class-split",
                "random:1:4,3,3", "--tasks", "2", "--picture", "p.png"],
}  # fmt: skip


@pytest.mark.parametrize("error", [ValueError("$\\x$\nis no formula"), RuntimeError("no font"), KeyError("beyond")])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_picture_that_fails_costs_neither_table_nor_record(call, monkeypatch, command, error):
    def broken(*_):
        raise error

    monkeypatch.setattr(graphkit.viz, "save", broken)
    code, out, err = call(*COMMANDS[command], "--json", "r.json")
    assert code == 1
    assert json.loads(Path("r.json").read_text())["command"]
    assert "protocol" in out
    if not isinstance(error, KeyError):
        assert "could not be drawn" in err
        assert len(err.splitlines()[-1]) > 20


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_names_the_file_and_prints_the_record(call, monkeypatch, command):
    from graphkit.training.engine import store

    def full(path, content):
        raise OSError(28, "No space left on device")

    for module in ("engine.records", "engine.store"):
        monkeypatch.setattr(f"graphkit.training.{module}.write_atomically", full)
    code, out, err = call(*COMMANDS[command], "--json", "r.json")
    assert store.write_atomically is full
    assert code == 1
    assert json.JSONDecoder().raw_decode(out[out.index("{\n") :])[0]["command"]
    lines = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert lines
    assert all(line.startswith("Error: '") and "No space left on device" in line for line in lines)


def test_an_error_of_the_disk_names_its_file(tmp_path, monkeypatch):
    from graphkit.training.engine.store import write_atomically

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space") as told:
        write_atomically(tmp_path / "file", b"content")
    assert told.value.filename == str(tmp_path / "file")
    assert not list(tmp_path.iterdir())

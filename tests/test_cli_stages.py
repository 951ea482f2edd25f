"""No command works on in silence: what is begun is said where nothing else was for a while, and never among results."""

from __future__ import annotations

import io
import logging
import re
import threading
import time

import pytest

from graphkit.cli import output
from graphkit.cli.output import LOGGER, Stages, begin
from graphkit.training import Unit
from tests.training.studies import STUDIES

SO_FAR = re.compile(r"^(.+): \d+ s so far$", re.MULTILINE)
COMMANDS = {
    "train": ["train", "karate", "--seeds", "1", "--epochs", "60", "--device", "cpu"],
    "train nested": ["train", "mutag", "--model", "structure-free", "--protocol", "nested-10-fold", "--beside", "none",
                     "--epochs", "1", "--set", "hidden=4"],
    "train sampled": ["train", "karate", "--model", "sage", "--fan-out", "3,3", "--seeds", "1", "--epochs", "2",
                      "--device", "cpu"],
    "embed": ["embed", "karate", "--epochs", "3", "--dim", "2", "--device", "cpu", "--beside", "gcn", "--no-probes",
              "--no-pictures"],
    "fewshot": ["fewshot", "digits", "--learner", "maml", "--baselines", "none", "--class-split", "random:1:4,3,3",
                "--tasks", "2", "--set", "steps=5"],
}  # fmt: skip
BEGUN = {
    "train": "seed 0 (1 of 1)",
    "train sampled": "seed 0 (1 of 1)",
    "train nested": "structure-free, fold 9, training 4 (50 of 50)",
    "embed": "training gcn beside it, with seed 0",
    "fewshot": "maml on",
}


def spoken(every, block):
    """Return what is said while a function runs, which is given what is watched."""
    stages = Stages()
    stages.every = every
    with stages:
        block(stages)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_what_it_is_at_and_keeps_it_out_of_its_results(call, monkeypatch, caplog, command, request):
    if "mutag" in COMMANDS[command]:
        request.getfixturevalue("mirror")
    monkeypatch.setattr(Stages, "LOG", 0.01)  # so long without news is long
    raw = io.StringIO()
    for logger, handler in ((LOGGER, caplog.handler), (logging.getLogger(), logging.StreamHandler(raw))):
        monkeypatch.setattr(logger, "handlers", [*logger.handlers, handler])
    code, out, err = call(*COMMANDS[command])
    assert code == 0, err
    assert SO_FAR.search(err)
    assert "so far" not in out
    assert caplog.messages[0].startswith("loading ")
    assert any(BEGUN[command] in message for message in caplog.messages)
    assert raw.getvalue() == "", "some libraries give the root logger a handler that prints records as they are"


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_tells_pythons_logging_what_it_begins_and_prints_nothing(study, caplog, capfd):
    with caplog.at_level(logging.INFO, "graphkit"):
        STUDIES[study]()
    assert caplog.messages
    assert {record.levelno for record in caplog.records} == {logging.INFO}
    assert capfd.readouterr() == ("", "")


def test_nothing_is_said_while_there_are_news(capsys):
    def busy(_):
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            output.say("news")
            time.sleep(0.001)

    spoken(0.2, busy)
    assert not SO_FAR.search(capsys.readouterr().err)


def test_a_bar_that_moves_is_news(monkeypatch):
    before = output.last_news()
    output.Bar(3)._show(Unit(key="seed-0", label="seed 0", seed=0), 0.5, "")
    assert output.last_news() > before


def test_what_is_said_is_the_last_stage_with_its_own_seconds(monkeypatch):
    said = []
    monkeypatch.setattr(output, "say", said.append)

    def block(stages):
        begin("first")
        begin("second %s {}\x1b")
        stage, began = stages._at
        stages._at = stage, began - 41
        time.sleep(0.2)

    spoken(0.05, block)
    assert said
    assert set(said) == {"second %s {}\x1b: 41 s so far"}


def test_a_reader_of_the_news_who_has_left_stops_nothing(monkeypatch):
    def closed(_):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(output, "say", closed)
    before = list(LOGGER.handlers)
    spoken(0.01, lambda _: time.sleep(0.05))  # what is raised in a thread would fail the test
    assert LOGGER.handlers == before


def test_a_closed_standard_error_stops_nothing(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    spoken(0.01, lambda _: time.sleep(0.05))


def test_a_terminal_is_told_sooner_than_a_file(monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert Stages().every == Stages.LOG
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert Stages().every == Stages.TERMINAL < 10


def test_of_several_processes_the_first_speaks(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    spoken(0.01, lambda _: time.sleep(0.05))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt(), SystemExit(3)])
def test_however_a_command_ends_nothing_of_it_stays(error):
    before = (LOGGER.level, list(LOGGER.handlers), threading.active_count())
    with pytest.raises(type(error)), Stages():
        raise error
    assert (LOGGER.level, list(LOGGER.handlers), threading.active_count()) == before

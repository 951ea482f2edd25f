"""A request to stop is remembered, and can be repeated."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

import pytest

from graphkit.training.engine import interrupts
from graphkit.training.engine.interrupts import (
    LAUNCHED,
    Orphan,
    end_with_launcher,
    is_orphan,
    stop_request,
    stop_with_parent,
)


@pytest.fixture
def interruptible():
    """Python's own handler, which a job in a shell's background begins without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_further_sigterms_change_nothing_and_a_second_sigint_interrupts(interruptible):
    own = signal.getsignal(signal.SIGTERM)
    with stop_request() as stop:
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is own


def test_the_first_sigint_is_remembered():
    with stop_request() as stop:
        assert not stop
        signal.raise_signal(signal.SIGINT)
        assert stop.signal == signal.SIGINT


def test_what_leaves_no_state_behind_ends_at_once():
    with stop_request() as stop:
        with pytest.raises(KeyboardInterrupt), stop.at_once():
            signal.raise_signal(signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
        signal.raise_signal(signal.SIGTERM)  # elsewhere it is remembered again
        with pytest.raises(KeyboardInterrupt), stop.at_once():
            pytest.fail("somebody had asked before")


def sent_when_the_parent_ends():
    number, get_signal_of_parents_death = ctypes.c_int(), 2  # PR_GET_PDEATHSIG of <sys/prctl.h>
    ctypes.CDLL(None).prctl(get_signal_of_parents_death, ctypes.byref(number), 0, 0, 0)
    return number.value


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells of a parent's death on Linux only")
def test_no_sigterm_comes_after_the_request_for_a_parent_that_ends_thread_by_thread():
    stop_with_parent(True)
    try:
        with stop_request():
            assert sent_when_the_parent_ends() == signal.SIGTERM
            signal.raise_signal(signal.SIGTERM)
            assert sent_when_the_parent_ends() == 0
    finally:
        stop_with_parent(False)


LEFT = """
import os, sys
from graphkit.training.engine.interrupts import Orphan, end_with_launcher
if os.fork():
    os.read({ready}, 1)
    os._exit(0)
first = os.getppid()
os.write({go}, b"x")
while os.getppid() == first:
    pass
try:
    end_with_launcher()
except Orphan as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells of a parent's death on Linux only")
def test_a_process_whose_launcher_is_gone_says_so_though_it_asked_too_late(tmp_path):
    ready, go = os.pipe()
    code = LEFT.format(ready=ready, go=go)
    environment = {**os.environ, LAUNCHED: "none"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, pass_fds=(ready, go)
    )
    assert done.stdout == "the `torchrun` that started this process is gone, and so is the job.\n", done.stderr


def test_a_process_that_nobody_launched_asks_for_nothing(monkeypatch):
    monkeypatch.delenv(LAUNCHED, raising=False)
    monkeypatch.setattr(interrupts, "_first_parent", -1)
    end_with_launcher()


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells of a parent's death on Linux only")
@pytest.mark.parametrize(("command", "gone"), [(b"/sbin/init", True), (b"python\0-m\0torch.distributed.run", False)])
def test_the_first_process_of_a_system_is_no_launcher_unless_it_runs_one(monkeypatch, tmp_path, command, gone):
    (tmp_path / "cmdline").write_bytes(command)
    monkeypatch.setattr(interrupts, "Path", lambda _: tmp_path / "cmdline")
    monkeypatch.setattr(interrupts, "_first_parent", 1)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert is_orphan() is gone
    monkeypatch.setattr(interrupts, "_first_parent", 7)
    assert is_orphan()


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells of a parent's death on Linux only")
def test_a_forked_process_knows_its_own_parent(monkeypatch):
    monkeypatch.setenv(LAUNCHED, "none")
    child = os.fork()
    if not child:
        os._exit(3 if is_orphan() else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_orphan_is_told_by_the_command_in_one_line(call, monkeypatch):
    monkeypatch.setattr("graphkit.cli.end_with_launcher", lambda: (_ for _ in ()).throw(Orphan("gone.")))
    assert call("train", "karate") == (1, "", "Error: gone.\n")

"""A process that is asked to stop stops within seconds, though another one of the job does not answer any longer.

It hears no signal while it waits: what waits is C++, and Python acts on signals between its own steps. Every kind of
job that several processes share is tried.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time

import pytest

from graphkit.data import partition
from graphkit.data.distributed.row_exchange import mark_waiting, waiting_seconds
from graphkit.training import Silence, nested_cross_validation, recipe, train
from graphkit.training.engine import interrupts
from graphkit.training.engine.interrupts import hang_up_on_stop
from graphkit.training.fewshot import fewshot
from tests.jobs import Ending, job
from tests.training.test_meta_processes import METHODS, PROTOCOL, figures
from tests.training.test_meta_processes import study as study  # a fixture
from tests.training.test_nested import GIVEN

NODES = recipe("sage", {"epochs": 5, "fan_out": "3,2", "batch": 12, "microbatches": 2, "hidden": 8})
GRAPHS = recipe("gin-virtual", {"epochs": 5, "hidden": 8, "layers": 2, "batch": 20, "microbatches": 2}, items="graphs")
WITHIN = 30.0
"""Seconds, a twentieth of those for which a process waits for another one that nobody ends; a busy machine is slow."""


def of_nodes(data, run, silent, resume):
    outcome = train(data, NODES, device="cpu", run_dir=run, reporter=Ending(silent), resume=resume)
    return list(outcome.record.metric.values)


def of_graphs(graphs, run, silent, resume):
    outcome = train(graphs, GRAPHS, device="cpu", run_dir=run, reporter=Ending(silent), resume=resume)
    return list(outcome.record.metric.values)


def of_folds(graphs, run, silent, resume):
    class Listener(Silence):
        def on_unit(self, unit, result):
            if silent and "fold 3, training 1" in unit.label:
                silent()

    chosen, options = recipe("structure-free", items="graphs"), {"given": GIVEN, "folds": 4, "device": "cpu"}
    more = {"run_dir": run, "resume": resume, "reporter": Listener()}
    return list(nested_cross_validation(graphs, chosen, **options, **more).record.metric.values)


def of_tasks(study, run, silent, resume):
    options = {"methods": METHODS, "run_dir": run, "resume": resume, "reporter": Ending(silent, after=2)}
    return figures(fewshot(study, PROTOCOL, ["maml"], **options))


KINDS = {
    "nodes": (of_nodes, "data"),
    "nodes of a graph in parts": (of_nodes, "parts"),
    "graphs": (of_graphs, "graphs"),
    "folds": (of_folds, "graphs"),
    "tasks": (of_tasks, "study"),
}


@pytest.fixture
def parts(data, tmp_path):
    return partition(data, tmp_path / "parts", parts=2, by="contiguous")


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(interrupts, "GRACE", 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_who_waits_for_a_silent_process_stops_when_asked_and_the_job_resumes(kind, request, tmp_path, short):
    trained, name = KINDS[kind]
    given, run = request.getfixturevalue(name), tmp_path / "run"
    heard, told = os.pipe()

    def silent():
        select.select([heard], [], [], 50)  # until the first has ended

    def work(rank):
        if rank:
            return trained(given, run, silent, False)
        asked = []
        threading.Thread(target=ask_when_it_waits, args=(asked,), daemon=True).start()
        try:
            return trained(given, run, None, False)
        except KeyboardInterrupt as stopped:
            return [f"{type(stopped).__name__}: {stopped}", time.monotonic() - asked[0]]

    def ended(rank):
        try:
            return work(rank)
        finally:
            os.write(told, b".")

    first, second = job(2, tmp_path / "said", ended)
    os.close(heard)
    os.close(told)
    said, seconds = first
    assert said.startswith("Interrupted: stopped ")
    assert f"resume from '{run}" in said
    assert seconds < WITHIN
    assert "lost another one of the job" in second or second.startswith("Interrupted")  # it was told, and did not hang

    def again(resume):
        return lambda rank: trained(given, run if resume else tmp_path / "whole", None, resume)

    resumed, whole = (job(2, tmp_path / f"resume-{resume}", again(resume)) for resume in (True, False))
    assert resumed == whole


def ask_when_it_waits(asked):
    """Send a SIGTERM to this process when it has waited for another for longer than it ever does."""
    while waiting_seconds() < 1.0:
        time.sleep(0.01)
    asked.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_process_that_is_asked_and_does_not_wait_is_left_alone(short):
    hung = []
    with hang_up_on_stop(lambda: hung.append(True), waiting_seconds):
        before = signal.signal(signal.SIGTERM, lambda *_: None)
        signal.raise_signal(signal.SIGTERM)
        until = time.monotonic() + 4 * interrupts.GRACE
        while time.monotonic() < until:
            with mark_waiting():  # one wait after the other, as in a job that goes on
                time.sleep(0.01)
        signal.signal(signal.SIGTERM, before)
    assert not hung


def test_a_process_that_waits_and_is_not_asked_is_left_alone(short):
    hung = []
    with hang_up_on_stop(lambda: hung.append(True), waiting_seconds):
        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.raise_signal(signal.SIGUSR1)
        with mark_waiting():
            time.sleep(4 * interrupts.GRACE)
        signal.signal(signal.SIGUSR1, before)
    assert not hung


def test_who_listened_before_listens_again_and_hears_all_meanwhile():
    here, there = socket.socketpair()
    there.setblocking(False)
    own = signal.set_wakeup_fd(there.fileno())
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with hang_up_on_stop(lambda: None, waiting_seconds):
            signal.raise_signal(signal.SIGUSR1)
            assert here.recv(1) == bytes([signal.SIGUSR1])
        assert signal.set_wakeup_fd(there.fileno()) == there.fileno()
    finally:
        signal.signal(signal.SIGUSR1, before)
        signal.set_wakeup_fd(own)
        here.close()
        there.close()


def test_signals_of_a_forked_process_are_its_own(short):
    """Workers that draw batches are ended by a SIGTERM; nobody asked their parent for anything."""
    hung = []
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    with hang_up_on_stop(lambda: hung.append(True), waiting_seconds):
        child = os.fork()
        if not child:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        os.waitpid(child, 0)
        with mark_waiting():
            time.sleep(3 * interrupts.GRACE)
    signal.signal(signal.SIGTERM, before)
    assert not hung


def test_other_threads_hang_up_on_nobody():
    done = []

    def work():
        with hang_up_on_stop(lambda: None, waiting_seconds):
            done.append(signal.SIGTERM)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done
    assert waiting_seconds() == 0

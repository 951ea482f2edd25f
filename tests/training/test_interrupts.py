"""A request to stop is remembered, and can be repeated."""

from __future__ import annotations

import ctypes
import signal
import sys

import pytest

from graphkit.training.interrupts import stop_request, stop_with_parent


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

"""A request to stop is remembered, and can be repeated."""

from __future__ import annotations

import signal

import pytest

from graphkit.training.interrupts import stop_request


def test_further_sigterms_change_nothing_and_a_second_sigint_interrupts():
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

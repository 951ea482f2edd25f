"""Stopping between two epochs when the system or the user asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A run that was asked to stop and left a checkpoint, named in the message."""


class StopRequest:
    """Remembers whether SIGINT or SIGTERM arrived, so that the loop can stop where its state is whole."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Catch the first SIGINT or SIGTERM into a :class:`StopRequest`; a SIGINT after it acts as if we were not here.

    A further SIGTERM changes nothing: the system sends several when a parent of many threads is killed.

    Outside the main thread, where Python allows no handlers, the request is never set.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def remember(number: int, _frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    for number in before:
        signal.signal(number, remember)
    try:
        yield request
    finally:
        restore()

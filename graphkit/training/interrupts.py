"""Stopping between two epochs when the system or the user asks for it."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_with_parent = False  # whether we asked for it: what somebody else asked for is left alone


class Interrupted(KeyboardInterrupt):
    """A run that was asked to stop and left a checkpoint, named in the message."""


class StopRequest:
    """Remembers whether SIGINT or SIGTERM arrived, so that the loop can stop where its state is whole."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._waits = True

    def __bool__(self) -> bool:
        return self.signal is not None

    def hear(self, number: int) -> None:
        """Remember a signal; raise ``KeyboardInterrupt`` inside :meth:`at_once`."""
        self.signal = signal.Signals(number)
        if not self._waits:
            raise KeyboardInterrupt

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a request end this block with ``KeyboardInterrupt``: for what is long and leaves no state behind."""
        self._waits = False
        try:
            if self:
                raise KeyboardInterrupt
            yield
        finally:
            self._waits = True


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Catch the first SIGINT or SIGTERM into a :class:`StopRequest`; a SIGINT after it acts as if we were not here.

    A further SIGTERM changes nothing until the block ends. The system sends one for each thread of a parent that is
    killed, so that one could come after it: from the first on we no longer ask for them.

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
        if number == signal.SIGTERM and _with_parent:
            stop_with_parent(False)
        signal.signal(signal.SIGINT, before[signal.SIGINT])
        request.hear(number)

    for number in before:
        signal.signal(number, remember)
    try:
        yield request
    finally:
        restore()


def stop_with_parent(wanted: bool) -> None:
    """Let the system send this process a SIGTERM when its parent ends, even by a SIGKILL, or no longer; Linux only."""
    global _with_parent
    if sys.platform == "linux":
        set_signal_of_parents_death = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
        ctypes.CDLL(None).prctl(set_signal_of_parents_death, signal.SIGTERM if wanted else 0, 0, 0, 0)
        _with_parent = wanted

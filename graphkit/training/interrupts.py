"""Stopping between two epochs when the system or the user asks for it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

LAUNCHED = "TORCHELASTIC_RUN_ID"
"""A variable that `torchrun` gives to the processes it starts."""

_first_parent = os.getppid()
_with_parent = False  # whether we asked for it: what somebody else asked for is left alone


class Interrupted(KeyboardInterrupt):
    """A run that was asked to stop and left a checkpoint, named in the message."""


class Orphan(RuntimeError):
    """A process of a job whose `torchrun` is gone: what is started in its place must not meet it."""


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


def end_with_launcher() -> None:
    """Let this process end with the `torchrun` that started it, if one did, even if that is killed.

    Else it would train on, beside what is started in its place, which may meet at the same port.

    Raises:
        Orphan: where it is gone already: nobody is told of the death of a parent that died before.
    """
    if LAUNCHED in os.environ:
        stop_with_parent(True)
        if orphaned():
            raise Orphan("the `torchrun` that started this process is gone, and so is the job.")


def orphaned() -> bool:
    """Return whether this process was handed on to another parent than the one that started it; Linux only.

    One that was handed on before it could look has the system's first process for a parent, which starts jobs only
    where it is a `torchrun` itself, as in a container.
    """
    parent = os.getppid()
    if sys.platform != "linux" or parent == _first_parent != 1:
        return False
    return parent != _first_parent or not _starts_jobs(Path("/proc/1/cmdline"))


def _starts_jobs(command: Path) -> bool:
    """Return whether a process, by its command, may be a `torchrun`; one that is hidden from us is none of ours."""
    try:
        words = command.read_bytes()
    except OSError:
        return False
    return b"python" in words or b"torch" in words


def _know_parent() -> None:
    global _first_parent
    _first_parent = os.getppid()


os.register_at_fork(after_in_child=_know_parent)


def stop_with_parent(wanted: bool) -> None:
    """Let the system send this process a SIGTERM when its parent ends, even by a SIGKILL, or no longer; Linux only."""
    global _with_parent
    if sys.platform == "linux":
        set_signal_of_parents_death = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
        ctypes.CDLL(None).prctl(set_signal_of_parents_death, signal.SIGTERM if wanted else 0, 0, 0, 0)
        _with_parent = wanted

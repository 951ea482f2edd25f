"""What ends a run early: a training that fails, and the system or the user, who may stop it between two epochs."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

LAUNCHED = "TORCHELASTIC_RUN_ID"
"""A variable that `torchrun` gives to the processes it starts."""

GRACE = 10.0
"""Seconds for which a process that was asked to stop still waits for another one. `torchrun` and most schedulers kill
after thirty."""

NOBODY = b"\0"
"""Stands for no signal: nobody listens any longer."""

_listens = False
_first_parent = os.getppid()
_with_parent = False  # whether we asked for it: what somebody else asked for is left alone


class TrainingError(RuntimeError):
    """A run that cannot go on, with what is left of it in the message."""


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


@contextmanager
def hang_up_on_stop(hang_up: Callable[[], None], waited: Callable[[], float]) -> Iterator[None]:
    """Hang up where a request to stop finds this process waiting for another one that does not answer.

    Python acts on a signal between two of its own steps, and who waits inside a collective takes none for as long as
    the others are given. But the system's part of a handler runs at once: it writes to a socket that a thread reads.

    Outside the main thread, where Python allows none of this, nothing is done.

    Args:
        hang_up: ends the wait with an error, called in another thread, once.
        waited: for how many seconds this process has been waiting; 0 where it does something.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    global _listens
    heard, told = socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    _listens = True
    watch = threading.Thread(target=_watch, args=(heard, before, hang_up, waited), daemon=True)
    watch.start()
    try:
        yield
    finally:
        _listens = False
        signal.set_wakeup_fd(before)
        told.send(NOBODY)  # once closed, it may still be open in a process that was forked
        watch.join()
        told.close()
        heard.close()


def _watch(heard: socket.socket, before: int, hang_up: Callable[[], None], waited: Callable[[], float]) -> None:
    """Read signals until there is nobody to send any, and hang up after one that finds us waiting for too long."""
    asked: float | None = None
    done = False
    while True:
        heard.settimeout(None if asked is None or done else GRACE / 20)
        try:
            numbers = heard.recv(64)
        except TimeoutError:
            numbers = None
        if numbers is not None:
            if NOBODY in numbers:
                return
            if before >= 0:
                os.write(before, numbers)  # somebody listened already
            if asked is None and {signal.SIGINT, signal.SIGTERM}.intersection(numbers):
                asked = time.monotonic()
        if asked is not None and not done and min(waited(), time.monotonic() - asked) > GRACE:
            done = True
            hang_up()


def end_with_launcher() -> None:
    """Let this process end with the `torchrun` that started it, if one did, even if that is killed.

    Else it would train on, beside what is started in its place, which may meet at the same port.

    Raises:
        Orphan: where it is gone already: nobody is told of the death of a parent that died before.
    """
    if LAUNCHED in os.environ:
        stop_with_parent(True)
        if is_orphan():
            raise Orphan("the `torchrun` that started this process is gone, and so is the job.")


def is_orphan() -> bool:
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


def _begin_anew() -> None:
    """Know the parent that forked this process, and tell it nothing of the signals that come here."""
    global _first_parent, _listens
    _first_parent = os.getppid()
    if _listens and threading.current_thread() is threading.main_thread():
        signal.set_wakeup_fd(-1)
    _listens = False


os.register_at_fork(after_in_child=_begin_anew)


def stop_with_parent(wanted: bool) -> None:
    """Let the system send this process a SIGTERM when its parent ends, even by a SIGKILL, or no longer; Linux only."""
    global _with_parent
    if sys.platform == "linux":
        set_signal_of_parents_death = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
        ctypes.CDLL(None).prctl(set_signal_of_parents_death, signal.SIGTERM if wanted else 0, 0, 0, 0)
        _with_parent = wanted

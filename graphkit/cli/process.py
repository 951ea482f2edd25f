"""The process of a command: heavy imports, news of what a long run is at, temporary files swept at its end."""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from functools import cache
from pathlib import Path
from types import FrameType

from graphkit.cli import output


def preload(*modules: str) -> None:
    """Import modules; Ctrl-C ends the process at once meanwhile, while nothing is begun that could be lost.

    An import that is interrupted may swallow the interrupt, or leave a module half made over which the next import
    stumbles: NumPy's does both.
    """
    before = signal.getsignal(signal.SIGINT)
    ours = threading.current_thread() is threading.main_thread() and before not in (None, signal.SIG_IGN)

    def leave(_number: int, _frame: FrameType | None) -> None:
        os.write(2, b"Stopped.\n")
        os._exit(1)

    if ours:
        signal.signal(signal.SIGINT, leave)
    try:
        for module in modules:
            importlib.import_module(module)
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)


LOGGER = logging.getLogger("graphkit")


def begin(stage: str) -> None:
    """Tell of a stage that the command line itself begins."""
    LOGGER.info("%s", stage)


class Stages(logging.Handler):
    """Hears in a block what is begun, and says it on standard error after each while without news.

    Of the processes of a job the first one speaks.

    Attributes:
        TERMINAL: seconds without news before a terminal is told.
        LOG: seconds before a file or a pipe is.
    """

    TERMINAL, LOG = 5.0, 15.0

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        seen = sys.stderr is not None and sys.stderr.isatty()  # it is None where the shell closed it
        self.every = self.TERMINAL if seen else self.LOG
        self._at, self._level = ("at work", time.monotonic()), LOGGER.level
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Stages:
        if os.environ.get("RANK", "0") == "0":
            LOGGER.addHandler(self)
            LOGGER.setLevel(logging.INFO)
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self in LOGGER.handlers:
            self._over.set()
            self._thread.join()
            LOGGER.setLevel(self._level)
            LOGGER.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Hear what begins."""
        self._at = record.getMessage(), time.monotonic()

    def _watch(self) -> None:
        """Wait until the last news are old, say what goes on, and wait again."""
        last = self._at[1]
        while not self._over.wait(last + self.every - time.monotonic()):
            last, now = max(last, output.last_news()), time.monotonic()
            if now - last < self.every:
                continue
            stage, began = self._at
            try:
                output.say(f"{stage}: {now - began:.0f} s so far")
            except OSError:  # nobody reads any longer
                return


@cache
def sweep_at_exit() -> None:
    """Remove at the end what this process has written, and nothing of another one."""
    atexit.register(sweep)


def sweep() -> None:
    """Remove the files that modules of this process were made of, as ``torch_geometric.template`` makes them.

    They are known by the module that was read from them; a file with the same name of another process is not there.
    """
    folder = Path(tempfile.gettempdir())
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "")
        if file.parent == folder and file.suffix == ".py" and file.name.startswith(f"{name}_"):
            file.unlink(missing_ok=True)

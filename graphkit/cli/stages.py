"""What a long run is at, said where nothing else was for a while: no command works on in silence.

The library prints nothing. It tells Python's ``logging``, under its own name and at the level ``INFO``, what it begins.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

from graphkit.cli import output

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

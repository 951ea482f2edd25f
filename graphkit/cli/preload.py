"""Loading what is heavy, with Ctrl-C ending the process at once."""

from __future__ import annotations

import importlib
import os
import signal
import threading
from types import FrameType


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

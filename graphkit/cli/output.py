"""What a command shows, lines, tables, progress, news of a long run, and how its process begins and ends."""

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import click

from graphkit._checks import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

    from graphkit.training.engine.records import Unit, UnitResult


GAP, WRAPPED = 2, 30
"""Blanks between columns, and the least width of a last column of words."""

LOGGER = logging.getLogger("graphkit")

_shown = time.monotonic()

debuggable = click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback where an error arose.")
"""Accepted everywhere; ``main`` looks for it."""


class Writable(Protocol):
    """What a measurement leaves."""

    def write(self, path: Path) -> None:
        """Write it to a file."""

    def to_json(self) -> str:
        """Return it as text."""


def plain(text: str) -> str:
    r"""Return lines of which a terminal shows every letter: names may come from anywhere.

    Example:
        >>> print(plain("\x1b[31mred\u202e, two\nlines"))
        \x1b[31mred\u202e, two
        lines
    """
    return "\n".join(map(printable, text.split("\n")))


def echo(text: str = "") -> None:
    """Write a result to standard output."""
    click.echo(plain(text))


def say(message: str) -> None:
    """Write one line of news to standard error, which leaves standard output to results."""
    click.echo(plain(message), err=True)
    _tell_time()


def last_news() -> float:
    """Return when news were last shown, by the monotonic clock."""
    return _shown


def _tell_time() -> None:
    """Remember that news were shown just now."""
    global _shown
    _shown = time.monotonic()


def write_record(record: Writable, path: Path | None) -> list[str]:
    """Write a record and return what could not be written; one with no place left goes to the screen."""
    if path is None:
        return []
    try:
        record.write(path)
        say(f"Record: {path}")
        return []
    except OSError as error:
        echo(record.to_json())
        return [f"{str(path)!r} could not be written ({error.strerror}); the record stands above."]


@contextmanager
def drawing(place: Path, lost: list[str]) -> Iterator[None]:
    """Draw a picture in a block; one that fails costs nothing else, and is added to what was lost."""
    try:
        yield
        say(f"Picture: {place}")
    except OSError as error:
        lost.append(f"{str(error.filename or place)!r} could not be written ({error.strerror}).")
    except (ValueError, RuntimeError) as error:
        lost.append(f"{str(place)!r} could not be drawn ({' '.join(str(error).split())}).")


def report_errors(lost: Sequence[str]) -> int:
    """Say what a command could not write, and return its exit code."""
    for fault in lost:
        say(f"Error: {fault}")
    return 1 if lost else 0


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under headings; a heading that starts with a blank stands over numbers. Only the last column wraps.

    On a narrow terminal no figure is cut: columns that have no room follow below, beside the first one again. A column
    in which no row has anything is left out.
    """
    from rich.table import Table

    rows = [list(map(plain, row)) for row in rows]
    filled = [place for place in range(len(headings)) if not rows or any(row[place] for row in rows)]
    headings, rows = [plain(headings[place]) for place in filled], [[row[place] for place in filled] for row in rows]
    for number, columns in enumerate(_blocks(headings, rows, _console().width)):
        made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
        for column in columns:
            heading = headings[column]
            right, wraps = heading.startswith(" "), column == len(headings) - 1
            made.add_column(heading.strip(), justify="right" if right else "left", no_wrap=not wraps)
        for row in rows:
            made.add_row(*(row[column] for column in columns))
        if number:
            echo()
        _print(made)


def _blocks(headings: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[list[int]]:
    """Return the columns of each table that fits into ``room``; the first column stands in all of them."""
    widths = [max(map(len, (heading.strip(), *cells))) for heading, *cells in zip(headings, *rows, strict=True)]
    if not headings[-1].startswith(" "):
        widths[-1] = min(widths[-1], WRAPPED)
    blocks, left = [[0]], room - widths[0]
    for column, width in enumerate(widths[1:], start=1):
        if width + GAP > left and len(blocks[-1]) > 1:
            blocks.append([0])
            left = room - widths[0]
        blocks[-1].append(column)
        left -= width + GAP
    return blocks


def fields(rows: Iterable[tuple[str, str]]) -> None:
    """Print named values, one a line."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for row in rows:
        made.add_row(*map(plain, row))
    _print(made)


def _print(made: Table) -> None:
    """Print a table."""
    _console().print(made)


def _console() -> Console:
    """Return standard output, as wide as the terminal, or 160 columns where there is none."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 160
    return console


class Lines:
    """Progress for logs: a line when a unit is finished, and one every ten seconds in between.

    Args:
        per_cent: whether figures are shown in per cent.
        each: whether every unit has its line; of very many short ones one every ten seconds is enough.
    """

    EVERY = 10.0

    def __init__(self, per_cent: bool = True, *, each: bool = True) -> None:
        self.per_cent, self.each = per_cent, each
        self._said = time.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def on_epoch(self, unit: Unit, epoch: Any, best: Any) -> None:
        """Say how far a unit is, if nothing was said for a while."""
        if self._is_due():
            self._say(f"{_which(unit)}: epoch {epoch.number}, {_validation(epoch, best, self.per_cent)}")

    def on_unit(self, unit: Unit, result: UnitResult) -> None:
        """Say what a unit came to."""
        if self.each or unit.number == unit.total or self._is_due():
            self._say(f"{_which(unit)}: {_came_to(result, self.per_cent)}")

    def _is_due(self) -> bool:
        return time.monotonic() - self._said >= self.EVERY

    def _say(self, line: str) -> None:
        say(line)
        self._said = time.monotonic()


class Bar:
    """Progress for a terminal: one bar over all units and their epochs, with the validation figure.

    Args:
        epochs: of a unit, at most; 0 where that is not known.
        per_cent: whether figures are shown in per cent.
    """

    EVERY = 0.1

    def __init__(self, epochs: int = 0, per_cent: bool = True) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.epochs, self.per_cent = epochs, per_cent
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figure]}"))
        self._progress: Progress = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
        self._task: TaskID = self._progress.add_task("", total=None, figure="")
        self._shown = 0.0

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def on_epoch(self, unit: Unit, epoch: Any, best: Any) -> None:
        """Move the bar, ten times a second at most."""
        now = time.monotonic()
        if now - self._shown >= self.EVERY:
            self._shown = now
            part = min(epoch.number / self.epochs, 1.0) if self.epochs else 0.0
            self._show(unit, unit.number - 1 + part, _validation(epoch, best, self.per_cent))

    def on_unit(self, unit: Unit, result: UnitResult) -> None:
        """Move the bar to the end of a unit, however early it stopped."""
        best = "" if result.validation is None else f"best validation {_value(result.validation, self.per_cent)}"
        self._show(unit, unit.number, best)

    def _show(self, unit: Unit, done: float, figure: str) -> None:
        self._progress.update(self._task, completed=done, total=unit.total, description=_which(unit), figure=figure)
        _tell_time()


def describe(what: object, fields: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """Return the first line of what something is, and those of its fields that are not as usual."""
    own = [f"{name}={value}" for name, value in fields.items() if name in usual and value != usual[name]]
    sentence = str(what.__doc__).splitlines()[0].replace("``", "`").partition(": :class:")[0].rstrip(".") + "."
    return " ".join([sentence, ", ".join(own)]).strip()


def plural(number: int, noun: str) -> str:
    """Return ``1 thread`` or ``2 threads``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _which(unit: Unit) -> str:
    """Return which of the units this is."""
    return f"{unit.label} ({unit.number:,} of {unit.total:,})"


def _validation(epoch: Any, best: Any, per_cent: bool) -> str:
    """Return this epoch's validation figure and the best one so far, or its loss where nothing is validated."""
    if not hasattr(epoch, "figure"):
        return f"loss {epoch.train_loss:.4g}"
    return f"validation {_value(epoch.figure, per_cent)}, best {_value(best.figure, per_cent)}"


def _came_to(result: UnitResult, per_cent: bool) -> str:
    """Return a unit's validation figure, or its loss where nothing is validated, and what it took."""
    if result.validation is None:
        losses = [
            f"loss {value:.4g} at epoch {result.selected}, " for value in [result.scalars().get("train_loss")] if value
        ]
        return f"{''.join(losses)}{result.seconds:.1f} s"
    at = f" at epoch {result.selected}" if result.selected else ""
    return f"validation {_value(result.validation, per_cent)}{at}, {result.seconds:.1f} s"


def _value(figure: float, per_cent: bool) -> str:
    """Return a figure in per cent, or as it is."""
    return f"{100 * figure:.1f} %" if per_cent else f"{figure:.3f}"


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


def begin(stage: str) -> None:
    """Tell of a stage that the command line itself begins."""
    LOGGER.info("%s", stage)


class Stages(logging.Handler):
    """Hears in a block what is begun, and says it on standard error after each while without news.

    Of the processes of a job the first one speaks. No other handler hears of it in the block: some libraries give the
    root logger one that prints every record as it is.

    Attributes:
        TERMINAL: seconds without news before a terminal is told.
        LOG: seconds before a file or a pipe is.
    """

    TERMINAL, LOG = 5.0, 15.0

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        seen = sys.stderr is not None and sys.stderr.isatty()  # it is None where the shell closed it
        self.every = self.TERMINAL if seen else self.LOG
        self._at, self._before = ("at work", time.monotonic()), (LOGGER.level, LOGGER.propagate)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Stages:
        LOGGER.propagate = False
        if os.environ.get("RANK", "0") == "0":
            LOGGER.addHandler(self)
            LOGGER.setLevel(logging.INFO)
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self in LOGGER.handlers:
            self._over.set()
            self._thread.join()
            LOGGER.removeHandler(self)
        level, LOGGER.propagate = self._before
        LOGGER.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Hear what begins."""
        self._at = record.getMessage(), time.monotonic()

    def _watch(self) -> None:
        """Wait until the last news are old, say what goes on, and wait again."""
        last = self._at[1]
        while not self._over.wait(last + self.every - time.monotonic()):
            last, now = max(last, last_news()), time.monotonic()
            if now - last < self.every:
                continue
            stage, began = self._at
            try:
                say(f"{stage}: {now - began:.0f} s so far")
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

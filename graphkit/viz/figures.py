"""How a picture of ours looks, and how it reaches the disk."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from graphkit._checks import printable, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito's colours, told apart with any kind of colour blindness and in grey.
BLUE, ORANGE, GREEN, VERMILION, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
INK, GREY, FAINT = "#222222", "#555555", "#8A8A8A"
CYCLE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, "#56B4E9", "#6B4C9A", "#8C564B")
"""Of lines in one panel, in turn."""


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches, drawn by Agg and known to no ``pyplot``."""
    picture = Figure(figsize=(width, height), dpi=160, facecolor="white")
    FigureCanvasAgg(picture)
    return picture


def escape(value: object, most: int = 40) -> str:
    """Return a name that comes from data as matplotlib shows it letter by letter, in one line, cut if it is long.

    Between two dollar signs matplotlib sees a formula, and what begins with an underscore it leaves out of legends.
    """
    shown = printable(str(value), most).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def short_names(names: Sequence[str], most: int) -> list[str]:
    """Return names of at most ``most`` letters, told apart: those alike when cut lose their middle, or have a number.

    Example:
        >>> short_names(["Department of Physics, A", "Department of Physics, B", "Law"], 16)
        ['Departme…sics, A', 'Departme…sics, B', 'Law']
    """
    names = [printable(str(name), 1000) for name in names]
    head = most // 2

    def in_middle(name: str, number: int) -> str:
        return f"{name[:head]}…{name[head + 1 - most :]}"

    def with_number(name: str, number: int) -> str:
        mark = f"… [{number}]"
        return f"{name[: max(most - len(mark), 1)]}{mark}"

    shown = [name if len(name) <= most else f"{name[: most - 1]}…" for name in names]
    for way in (in_middle, with_number):
        many = Counter(shown)
        shown = [
            way(name, number) if len(name) > most and many[short] > 1 else short
            for number, (name, short) in enumerate(zip(names, shown, strict=True))
        ]
    return [escape(name, most + 4) for name in shown]


def widest(names: Sequence[str], size: float, *, weight: str = "normal") -> float:
    """Return how many inches the widest of some texts takes in letters of a size, 0 of none."""
    picture = new_figure(1.0, 1.0)
    with _ignore_missing_glyphs():
        boxes = [picture.text(0, 0, each, fontsize=size, fontweight=weight).get_window_extent() for each in names]
    return max((box.width for box in boxes), default=0.0) / picture.dpi


def truncate(line: str, size: float, room: float) -> str:
    """Return as much of a line as goes into so many inches in letters of a size, in dots."""
    picture = new_figure(1.0, 1.0)
    with _ignore_missing_glyphs():
        return _truncate(picture.text(0, 0, "", fontsize=size), line, room * picture.dpi)


def partial_note(note: str, shown: int, items: int, what: str = "items") -> str:
    """Return a note that says how much of something is drawn, where that is not all of it."""
    if shown == items:
        return note
    said = f"{shown:,} of {items:,} {what} are drawn, evenly spaced"
    return f"{note}\n{said}" if note else said


def draw_headline(
    picture: Figure,
    title: str,
    note: str,
    at: tuple[float, float, float],
    *,
    sizes: tuple[float, float] = (17, 11),
    spacing: float | None = None,
) -> None:
    """Write the title and the lines of the note over a picture, each cut where the picture ends.

    Args:
        picture: where they are written.
        title: one line, bold.
        note: lines under it, grey.
        at: left, top of the title and top of the note, in shares of the picture.
        sizes: of the letters.
        spacing: from one line of the note to the next, in heights of a line; matplotlib's when left out.
    """
    left, top, below = at
    looks: tuple[dict[str, Any], ...] = {"color": INK, "fontweight": "bold"}, {"color": GREY, "linespacing": spacing}
    lines = [text("title", title)], text("note", note).split("\n")
    for height, size, look, part in zip((top, below), sizes, looks, lines, strict=True):
        written = picture.text(left, height, "", fontsize=size, va="top", **look)
        with _ignore_missing_glyphs():
            written.set_text("\n".join(_truncate(written, line, (0.99 - left) * picture.bbox.width) for line in part))


@contextmanager
def _ignore_missing_glyphs() -> Iterator[None]:
    """Let letters pass that no font has: the box in the picture says it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def _truncate(written: Text, line: str, room: float) -> str:
    """Return as much of a line as there is room for, in dots."""
    line = printable(line, 1000)  # what is longer than any picture is wide is not even measured
    most = len(line)
    while most:
        written.set_text(shown := escape(line, most))
        width = written.get_window_extent().width
        if width <= room:
            return shown
        most = min(most - 1, int(most * room / width))
    return ""


def single_panel(title: str, note: str, *, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """Return a wide picture of one panel, titled, and its axes in our look."""
    picture = new_figure(11.0, 5.2)
    draw_headline(picture, title, note, (0.08, 0.955, 0.875))
    axes = picture.subplots()
    picture.subplots_adjust(left=0.08, right=0.985, bottom=0.13, top=0.78)
    style_axes(axes, xlabel=xlabel, ylabel=ylabel)
    return picture, axes


def style_axes(axes: Axes, *, xlabel: str, ylabel: str) -> None:
    """Give axes our look: two spines, a faint grid behind, letters that can be read from the last row."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=12, colors=INK, color=FAINT)
    axes.set_xlabel(xlabel, fontsize=14, color=INK)
    axes.set_ylabel(ylabel, fontsize=14, color=INK)


def require_format(path: Path | str, argument: str = "picture") -> str:
    """Return the format that the ending of ``path`` names; ``argument`` is what asked for it.

    Raises:
        ValueError: for an ending matplotlib cannot write.
        TypeError: for what is no path.
    """
    text("argument", argument)
    if not isinstance(path, str | Path):
        raise TypeError(f"`{argument}` must be a path, got {type(path).__name__}.")
    form, known = Path(path).suffix.lstrip(".").lower(), FigureCanvasAgg.get_supported_filetypes()
    if form not in known:
        raise ValueError(f"`{argument}` must end in .png, .pdf, .svg or another form of matplotlib, got {str(path)!r}.")
    return form


def save(picture: Figure, path: Path | str) -> None:
    """Write a picture beside ``path`` in the format of its ending (png, pdf, svg), and rename it.

    Letters that no font at hand has stand as empty boxes.

    Raises:
        ValueError: for an ending matplotlib cannot write.
        TypeError: for what is no picture, or no path.
        OSError: with the name of ``path``, if there is no room for it.
    """
    if not isinstance(picture, Figure):
        raise TypeError(f"`picture` must be a matplotlib Figure, got {type(picture).__name__}.")
    form = require_format(path, "path")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    try:
        with _ignore_missing_glyphs():
            picture.savefig(beside, format=form)
        beside.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        beside.unlink(missing_ok=True)

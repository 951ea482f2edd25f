"""How a picture of ours looks, and how it reaches the disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito's colours, told apart with any kind of colour blindness and in grey.
BLUE, ORANGE, GREEN, VERMILION, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
INK, GREY, FAINT = "#222222", "#555555", "#8A8A8A"


def figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches, drawn by Agg and known to no ``pyplot``."""
    picture = Figure(figsize=(width, height), dpi=160, facecolor="white")
    FigureCanvasAgg(picture)
    return picture


def plain(axes: Axes, *, xlabel: str, ylabel: str) -> None:
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


def require_format(path: Path, argument: str = "picture") -> str:
    """Return the format that the ending of ``path`` names; ``argument`` is what asked for it.

    Raises:
        ValueError: for an ending matplotlib cannot write.
    """
    form, known = path.suffix.lstrip(".").lower(), FigureCanvasAgg.get_supported_filetypes()
    if form not in known:
        raise ValueError(f"`{argument}` must end in .png, .pdf, .svg or another form of matplotlib, got {str(path)!r}.")
    return form


def save(picture: Figure, path: Path | str) -> None:
    """Write a picture beside ``path`` in the format of its ending (png, pdf, svg), and rename it.

    Raises:
        ValueError: for an ending matplotlib cannot write.
        OSError: with the name of ``path``, if there is no room for it.
    """
    path = Path(path)
    form = require_format(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    try:
        picture.savefig(beside, format=form)
        beside.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        beside.unlink(missing_ok=True)

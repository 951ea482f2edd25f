"""Galleries: some items, and beside each the ones nearest to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from graphkit._checks import text
from graphkit.viz.arguments import integers, labels, numbers
from graphkit.viz.arguments import names as names_of
from graphkit.viz.figures import GREEN, GREY, INK, VERMILION, figure, headline, literal


def neighbour_gallery(
    queries: np.ndarray,
    nearest: np.ndarray,
    y: np.ndarray,
    *,
    title: str,
    note: str = "",
    images: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """Return a row for each query: itself, then its nearest items; green where the class is the query's, red where not.

    Args:
        queries: items that ask ``[queries]``.
        nearest: the items nearest to each, nearest first ``[queries, shown]``; -1 where fewer answered.
        y: labels of all items.
        title: what was embedded.
        note: a line under the title.
        images: a grey picture of each item ``[items, height, width]``; without it the class is written out.
        names: of the classes, in the order of the labels.

    Raises:
        ValueError: unless there is a row of nearest items for each query, an image for each item and a name for each
            class, and all items are there.
        TypeError: for what are no integers, numbers or texts.

    Example:
        >>> picture = neighbour_gallery(np.array([0]), np.array([[1, 2]]), np.array([0, 0, 1]), title="three items")
        >>> len(picture.axes)
        3
    """
    y = labels("y", y)
    queries = integers("queries", queries, "queries", below=len(y))
    nearest = integers("nearest", nearest, "queries", "shown", least=-1, below=len(y))
    if len(queries) != len(nearest) or not nearest.size:
        raise ValueError(f"`nearest` must have a row for each of {len(queries)} queries, got {list(nearest.shape)}.")
    known = names_of("names", names, int(y.max(initial=-1)) + 1)
    if images is not None and len(images := numbers("images", images, "items", "height", "width")) != len(y):
        raise ValueError(f"`images` must hold one for each of {len(y)} items, got {len(images)}.")
    shown, answered = nearest.shape[1], nearest >= 0
    wrong = int(((y[nearest] != y[queries][:, None]) & answered).sum())
    told = f"left: the query; then its {shown} nearest, {wrong} of {answered.sum()} of another class (red)"
    below = f"{note}\n{told}" if text("note", note) else told
    side = 0.78
    lines = 1 + (note.count("\n") + 1 if note else 0)
    head = 0.75 + 0.21 * lines
    picture = figure(max(side * (shown + 1) + 1.5, 5.5), side * len(queries) + head + 0.2)
    width, height = picture.get_size_inches()
    headline(picture, title, below, (0.5 / width, 1 - 0.2 / height, 1 - 0.58 / height), sizes=(15, 10), spacing=1.4)
    for row, (query, answers) in enumerate(zip(queries, nearest, strict=True)):
        for column, item in enumerate([query, *answers[answers >= 0]]):
            gap = 0.0 if column == 0 else 0.35
            left, bottom = 0.5 + side * column + gap, height - head - side * (row + 1)
            axes = picture.add_axes((left / width, bottom / height, 0.9 * side / width, 0.9 * side / height))
            colour = INK if column == 0 else GREEN if y[item] == y[query] else VERMILION
            _cell(axes, item, y, images, known, colour)
    return picture


def _cell(
    axes: Axes, item: int, y: np.ndarray, images: np.ndarray | None, names: Sequence[str] | None, colour: str
) -> None:
    """Draw one item."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    if images is None:
        shown = str(y[item]) if not names or y[item] < 0 else names[int(y[item])]
        axes.add_patch(Rectangle((0, 0), 1, 1, color=colour, alpha=0.12))
        axes.text(0.5, 0.62, literal(shown, 9), ha="center", va="center", fontsize=11, color=INK)
        axes.text(0.5, 0.22, f"#{item}", ha="center", va="center", fontsize=7, color=GREY)
    else:
        axes.imshow(images[item], cmap="gray_r", extent=(0, 1, 0, 1), interpolation="nearest")
    for spine in axes.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(2.2)

"""Galleries: some items, and beside each the ones nearest to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from graphkit.viz.figures import GREEN, GREY, INK, VERMILION, figure


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
        ValueError: unless there is a row of nearest items for each query.

    Example:
        >>> picture = neighbour_gallery(np.array([0]), np.array([[1, 2]]), np.array([0, 0, 1]), title="three items")
        >>> len(picture.axes)
        3
    """
    if len(queries) != len(nearest) or not nearest.size:
        raise ValueError(f"`nearest` must have a row for each of {len(queries)} queries, got {list(nearest.shape)}.")
    shown = nearest.shape[1]
    side = 0.78
    lines = 1 + (note.count("\n") + 1 if note else 0)
    head = 0.75 + 0.21 * lines
    picture = figure(side * (shown + 1) + 1.5, side * len(queries) + head + 0.2)
    width, height = picture.get_size_inches()
    for row, (query, answers) in enumerate(zip(queries, nearest, strict=True)):
        for column, item in enumerate([query, *answers[answers >= 0]]):
            gap = 0.0 if column == 0 else 0.35
            left, bottom = 0.5 + side * column + gap, height - head - side * (row + 1)
            axes = picture.add_axes((left / width, bottom / height, 0.9 * side / width, 0.9 * side / height))
            colour = INK if column == 0 else GREEN if y[item] == y[query] else VERMILION
            _cell(axes, item, y, images, names, colour)
    answered = nearest >= 0
    wrong = int(((y[nearest] != y[queries][:, None]) & answered).sum())
    picture.text(0.5 / width, 1 - 0.2 / height, title, fontsize=15, color=INK, fontweight="bold", va="top")
    text = f"{note}\n" if note else ""
    picture.text(
        0.5 / width, 1 - 0.58 / height, f"{text}left: the query; then its {shown} nearest, {wrong} of "
        f"{answered.sum()} of another class (red)", fontsize=10, color=GREY, va="top", linespacing=1.4,
    )  # fmt: skip
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
        text = names[int(y[item])] if names else str(y[item])
        axes.add_patch(Rectangle((0, 0), 1, 1, color=colour, alpha=0.12))
        axes.text(0.5, 0.62, text, ha="center", va="center", fontsize=11, color=INK)
        axes.text(0.5, 0.22, f"#{item}", ha="center", va="center", fontsize=7, color=GREY)
    else:
        axes.imshow(images[item], cmap="gray_r", extent=(0, 1, 0, 1), interpolation="nearest")
    for spine in axes.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(2.2)

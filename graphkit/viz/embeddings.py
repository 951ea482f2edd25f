"""Pictures of embedding spaces: scatter before and after, distances of pairs, galleries of nearest neighbours."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Rectangle

from graphkit._checks import at_least, member, text
from graphkit.viz import figures as look
from graphkit.viz.checks import as_list, embeddings, integers, labels, numbers
from graphkit.viz.checks import names as names_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_OTHERS = ("#56B4E9", "#B8A900", "#6B4C9A", "#7F7F7F", "#1B2A41")
COLOURS = (look.BLUE, look.ORANGE, look.GREEN, look.VERMILION, look.PURPLE, *_OTHERS)
"""One per class; from the eleventh class they come again with another marker."""

MARKERS = "o^sD"

SHOWN = 2_500
"""Items of a scatter; of more, so many evenly spaced ones."""

LINE, COLUMN, COLUMNS, NAME = 0.28, 1.05, 3, 24
"""Inches of a line and of a column of the legend, the most columns and letters of a name; its last line counts what has
no room."""

SHORT, LETTERS, ROWS, WIDE = 8, 13, 3, 1.3
"""Letters of a class that fit into a square of a gallery; of longer ones letters of a line, lines, inches of a box."""

METHODS = ("PCA", "t-SNE")
SEED = 0


def embedding_scatter(
    spaces: Mapping[str, np.ndarray],
    y: np.ndarray,
    *,
    title: str,
    note: str = "",
    names: Sequence[str] | None = None,
    methods: Sequence[str] = ("PCA", "t-SNE"),
) -> Figure:
    """Return the same items in several spaces, side by side, each flattened by PCA and by t-SNE.

    t-SNE shows who is near whom; its distances and densities mean nothing. Rows are scaled to length 1 first, since
    nearness is the cosine.

    Args:
        spaces: heading -> ``[items, features]``, such as raw features and the embedding.
        y: labels ``[items]``; -1 is left out.
        title, note: what was embedded, and a line under it: the protocol.
        names: of the classes, in the order of the labels.
        methods: "PCA", "t-SNE", one row of pictures each.

    Raises:
        ValueError: for an unknown method, fewer than four labelled items, embeddings of another number of items or not
            finite, or a class without a name.
        TypeError: for what are no numbers, labels or texts.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(12, 3))
        >>> picture = embedding_scatter({"before": z, "after": z}, np.arange(12) % 3, title="twelve", methods=["PCA"])
        >>> [axes.get_title() for axes in picture.axes]
        ['before', 'after']
    """
    y = labels("y", y)
    spaces = embeddings("spaces", spaces, len(y))
    known = names_of("names", names, int(y.max(initial=-1)) + 1)
    methods = [member("methods", method, METHODS) for method in as_list("methods", methods, "names")]
    if not methods:
        raise ValueError("`methods` must hold at least one of 'PCA' and 't-SNE'.")
    labelled = np.flatnonzero(y >= 0)
    if len(labelled) < 4:
        raise ValueError(f"`y` must label at least four items, got {len(labelled)}.")
    chosen = labelled[np.linspace(0, len(labelled) - 1, min(SHOWN, len(labelled))).astype(int)]
    classes = np.unique(y[labelled])
    lines = int(4.6 * len(methods) / LINE) - 2
    columns = min(COLUMNS, -(-len(classes) // lines))
    known = look.short_names(known, NAME) if known else None
    legend = 0.7 + columns * max(COLUMN, 0.45 + look.widest(known or [], 12))
    note = look.partial_note(text("note", note), len(chosen), len(labelled))
    head = 1.6 + 0.22 * max(note.count("\n") - 1, 0)
    picture = look.new_figure(5.2 * len(spaces) + legend + 0.15, 4.6 * len(methods) + head)
    width, height = picture.get_size_inches()
    look.draw_headline(picture, title, note, (0.45 / width, 1 - 0.2 / height, 1 - 0.62 / height), spacing=1.4)
    grid = picture.subplots(len(methods), len(spaces), squeeze=False)
    left, right, bottom, top = 0.45 / width, 1 - legend / width, 0.15 / height, 1 - head / height
    picture.subplots_adjust(left=left, right=right, bottom=bottom, top=top, wspace=0.05, hspace=0.05)
    for row, method in enumerate(methods):
        for column, (heading, values) in enumerate(spaces.items()):
            axes = grid[row, column]
            _draw_scatter(axes, project_to_plane(values[chosen], method), y[chosen], classes)
            axes.set_title(look.truncate(heading, 15, 5.0) if row == 0 else "", fontsize=15, color=look.INK, pad=8)
            axes.set_ylabel(method if column == 0 else "", fontsize=14, color=look.INK)
    _draw_legend(picture, classes, known, 1 - (legend - 0.15) / width, lines, columns)
    return picture


def project_to_plane(values: np.ndarray, method: str) -> np.ndarray:
    """Return two coordinates per row, ``[items, 2]``, by "PCA" or "t-SNE" of the rows scaled to length 1.

    Raises:
        ValueError: for another method.

    Example:
        >>> project_to_plane(np.eye(4), "PCA").shape
        (4, 2)
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    member("methods", method, METHODS)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    unit = np.divide(values, length, out=np.zeros(values.shape), where=length > 0)
    if method == "PCA":
        return PCA(2, random_state=SEED).fit_transform(np.pad(unit, ((0, 0), (0, max(0, 2 - unit.shape[1])))))
    if unit.shape[1] > 50:
        unit = PCA(min(50, len(unit)), random_state=SEED).fit_transform(unit)
    perplexity = min(30.0, (len(unit) - 1) / 3)
    # Started from the first two components as they are: t-SNE's own PCA start divides by a spread that may be 0.
    start = (
        np.pad(unit, ((0, 0), (0, 2)))[:, :2] if unit.shape[1] < 3 else PCA(2, random_state=SEED).fit_transform(unit)
    )
    start = 1e-4 * start / max(float(start[:, 0].std()), 1e-12)
    made = TSNE(2, perplexity=perplexity, init=start.astype(np.float32), learning_rate="auto", random_state=SEED)
    return made.fit_transform(unit.astype(np.float32))


def _draw_scatter(axes: Axes, points: np.ndarray, y: np.ndarray, classes: np.ndarray) -> None:
    """Draw points, no axis: only who is near whom can be read."""
    size = 26 if len(points) < 400 else 9
    for number, label in enumerate(classes):
        mine = points[y == label]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]
        axes.scatter(mine[:, 0], mine[:, 1], s=size, c=colour, marker=marker, linewidths=0, alpha=0.75)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#DDDDDD")


def _draw_legend(
    picture: Figure, classes: np.ndarray, names: Sequence[str] | None, left: float, lines: int, columns: int
) -> None:
    """Name the classes beside the pictures, as many as there is room for."""
    from matplotlib.lines import Line2D

    marks = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=MARKERS[number // len(COLOURS) % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            markersize=8,
            label=names[int(label)] if names else str(label),
        )
        for number, label in enumerate(classes)
    ]
    if len(marks) > lines * columns:
        left_out = len(marks) - lines * columns + 1
        marks = [*marks[:-left_out], Line2D([], [], linestyle="", label=f"{left_out} more")]
    picture.legend(
        handles=marks, ncols=columns, columnspacing=0.8, handletextpad=0.1, loc="center left",
        bbox_to_anchor=(left, 0.5), frameon=False, fontsize=12, labelcolor=look.INK,
        title="class", title_fontsize=12,
    )  # fmt: skip


def pair_distances(
    spaces: Mapping[str, np.ndarray], y: np.ndarray, *, title: str, note: str = "", most: int = 1_500
) -> Figure:
    """Return histograms of the distances (1 - cosine) of pairs of one class and of two, one panel per space.

    The heading of a panel says how often a pair of one class lies farther apart than a pair of two: what a threshold
    on the distance cannot set right.

    Args:
        spaces: heading -> ``[items, features]``.
        y: labels ``[items]``; -1 is left out.
        title, note: what was embedded, and a line under it.
        most: items whose pairs are taken; of more, so many evenly spaced ones.

    Raises:
        ValueError: unless there are pairs of both kinds, and finite embeddings of as many items as labels.
        TypeError: for what are no numbers, labels or texts.

    Example:
        >>> z = np.eye(3)[[0, 0, 1, 1]]
        >>> picture = pair_distances({"apart": z}, np.array([0, 0, 1, 1]), title="two classes")
        >>> picture.axes[0].get_title()
        'apart, 0.0 % overlap'
    """
    y = labels("y", y)
    spaces = embeddings("spaces", spaces, len(y))
    at_least("most", most, 2)
    labelled = np.flatnonzero(y >= 0)
    chosen = labelled[np.linspace(0, len(labelled) - 1, min(most, len(labelled))).astype(int)]
    upper = np.triu_indices(len(chosen), 1)
    same = y[chosen][upper[0]] == y[chosen][upper[1]]
    if same.all() or not same.any():
        raise ValueError("`y` must have pairs of one class and pairs of two.")
    note = look.partial_note(text("note", note), len(chosen), len(labelled), "items, and the pairs of them,")
    head = 1.59 + 0.22 * max(note.count("\n") - 1, 0)
    picture = look.new_figure(5.4 * len(spaces) + 0.5, 3.71 + head)
    width, height = picture.get_size_inches()
    look.draw_headline(picture, title, note, (0.8 / width, 1 - 0.24 / height, 1 - 0.66 / height), spacing=1.4)
    panels = picture.subplots(1, len(spaces), squeeze=False, sharey=False)[0]
    picture.subplots_adjust(
        left=0.8 / width, right=1 - 0.3 / width, bottom=0.8 / height, top=1 - head / height, wspace=0.22
    )
    for axes, (heading, values) in zip(panels, spaces.items(), strict=True):
        unit = values[chosen] / np.maximum(np.linalg.norm(values[chosen], axis=1, keepdims=True), 1e-12)
        distance = (1 - unit @ unit.T)[upper]
        look.style_axes(axes, xlabel="distance (1 - cosine)", ylabel="density" if axes is panels[0] else "")
        bins = np.linspace(min(distance.min(), 0), max(distance.max(), 1e-6), 61)
        for kind, colour, label in ((same, look.BLUE, "same class"), (~same, look.VERMILION, "different classes")):
            axes.hist(distance[kind], bins=bins, density=True, color=colour, alpha=0.6, label=label)
        axes.set_yticks([])
        overlap = f"{100 * _overlap(distance, same):.1f} % overlap"
        named = look.truncate(heading, 14, 4.7 - look.widest([overlap], 14))
        axes.set_title(f"{named}, {overlap}", fontsize=14, color=look.INK, pad=8)
    panels[-1].legend(frameon=False, fontsize=12, labelcolor=look.INK, loc="upper left" if len(panels) == 1 else "best")
    return picture


def _overlap(distance: np.ndarray, same: np.ndarray) -> float:
    """Return the chance that a pair of one class lies farther apart than a pair of two, ties counting half."""
    near, far = distance[same], np.sort(distance[~same])
    below = np.searchsorted(far, near) + np.searchsorted(far, near, side="right")
    return float(below.sum() / (2 * len(near) * len(far)))


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
        title, note: what was embedded, and a line under it.
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
    summary = f"left: the query; then its {shown} nearest, {wrong} of {answered.sum()} of another class (red)"
    below = f"{note}\n{summary}" if text("note", note) else summary
    side = 0.78
    known = look.short_names(known, LETTERS * ROWS - 5) if known else None
    wide = side if images is not None or not known or max(map(len, known)) <= SHORT else WIDE
    lines = 1 + (note.count("\n") + 1 if note else 0)
    head = 0.75 + 0.21 * lines
    picture = look.new_figure(max(wide * (shown + 1) + 1.5, 5.5), side * len(queries) + head + 0.2)
    width, height = picture.get_size_inches()
    look.draw_headline(
        picture, title, below, (0.5 / width, 1 - 0.2 / height, 1 - 0.58 / height), sizes=(15, 10), spacing=1.4
    )
    for row, (query, answers) in enumerate(zip(queries, nearest, strict=True)):
        for column, item in enumerate([query, *answers[answers >= 0]]):
            gap = 0.0 if column == 0 else 0.35
            left, bottom = 0.5 + wide * column + gap, height - head - side * (row + 1)
            axes = picture.add_axes((left / width, bottom / height, (wide - 0.1 * side) / width, 0.9 * side / height))
            colour = look.INK if column == 0 else look.GREEN if y[item] == y[query] else look.VERMILION
            _draw_item(axes, item, y, images, known, colour)
    return picture


def _draw_item(
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
        size = 11 if len(shown) <= SHORT else 9
        lines = "\n".join(textwrap.wrap(shown, LETTERS)) or shown
        axes.text(0.5, 0.62, lines, ha="center", va="center", fontsize=size, color=look.INK, linespacing=1.0)
        axes.text(0.5, 0.14, f"#{item}", ha="center", va="center", fontsize=7, color=look.GREY)
    else:
        axes.imshow(images[item], cmap="gray_r", extent=(0, 1, 0, 1), interpolation="nearest")
    for spine in axes.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(2.2)

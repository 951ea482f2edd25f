"""Pictures of evaluations: confusion matrices, calibration, and runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphkit._checks import flag, text
from graphkit.viz import figures as look
from graphkit.viz.checks import integers, names, numbers, table
from graphkit.viz.curves import clip_intervals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST = 5
"""Seeds from which an interval of their mean is drawn, as records have it."""

FEW = 12
"""Classes of which every cell of a confusion matrix has its number."""


def class_evaluation(
    confusion: Any, bins: Any, classes: Sequence[str] | None = None, *, title: str, note: str = ""
) -> Figure:
    """Return a confusion matrix, and beside it how often predictions are right by how sure they are.

    Args:
        confusion: numbers of items, ``[true, predicted]``.
        bins: items, mean confidence and accuracy of each bin, ``[bins, 3]``; a bin without items is left out.
        classes: names of the classes.
        title: what was measured.
        note: a line under it.

    Raises:
        ValueError: for a matrix that is not square or counts no item, and bins that hold no fractions.
        TypeError: for what are no arrays of numbers, or no texts.

    Example:
        >>> bins = [[1, 0.6, 1.0], [3, 0.9, 2 / 3]]
        >>> picture = class_evaluation([[2, 0], [1, 1]], bins, ["cat", "dog"], title="GCN on pets")
        >>> [axes.get_xlabel() for axes in picture.axes]
        ['predicted', 'confidence (%)']
    """
    counts = integers("confusion", confusion, "true classes", "predicted classes")
    if counts.shape[0] != counts.shape[1] or not counts.sum():
        raise ValueError(f"`confusion` must be square and count an item at least, got {list(counts.shape)}.")
    found = numbers("bins", bins, "bins", "items, confidence, accuracy")
    if found.shape[1:] != (3,) or found.min(initial=0) < 0 or found[:, 1:].max(initial=0) > 1:
        raise ValueError("`bins` must hold items, confidence and accuracy, the last two from 0 to 1.")
    known = names("classes", classes, len(counts)) or [str(place) for place in range(len(counts))]
    shown = look.short_names(known[: len(counts)], 20 if len(counts) <= FEW else 12)
    room = look.widest(shown, _letters(shown))
    below = 0.9 + (0.75 * room if _aslant(shown) else 0.0)
    width, height = 11.0, 4.7 + below
    picture = look.new_figure(width, height)
    look.draw_headline(picture, title, note, (0.02, 1 - 0.2 / height, 1 - 0.56 / height))
    left, right = picture.subplots(1, 2, width_ratios=(1.15, 1))
    edge = max(1.32, room + 0.65) / width
    picture.subplots_adjust(left=edge, right=0.98, bottom=below / height, top=1 - 1.12 / height, wspace=0.22)
    _draw_confusion(left, counts, shown)
    _draw_calibration(right, found[found[:, 0] > 0])
    return picture


def _letters(classes: Sequence[str]) -> int:
    """Return the size of letters that so many classes are named in."""
    return 10 if len(classes) <= FEW else 7


def _aslant(classes: Sequence[str]) -> bool:
    """Return whether names are so long that they stand aslant below a matrix."""
    return max(map(len, classes)) > 3


def _draw_confusion(axes: Axes, counts: np.ndarray, classes: Sequence[str]) -> None:
    """Draw a matrix whose rows are shaded by the share of the class that they are."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xlabel("predicted", fontsize=14, color=look.INK)
    axes.set_ylabel("true", fontsize=14, color=look.INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, labelsize=_letters(classes), colors=look.INK)
    step = max(1, len(classes) // 30)
    places, shown = range(0, len(classes), step), classes[::step]
    if step > 1:  # nothing is left out without a word
        axes.set_xlabel(f"predicted (one class of {step} is named)", fontsize=14, color=look.INK)
    long = _aslant(classes)
    axes.set_xticks(places, shown, rotation=45 if long else 0, ha="right" if long else "center")
    axes.set_yticks(places, shown)
    if len(classes) > FEW:
        return
    for (row, column), many in np.ndenumerate(counts):
        if many:
            color = "white" if share[row, column] > 0.55 else look.INK
            axes.text(column, row, f"{many:,}", ha="center", va="center", fontsize=10, color=color)


def _draw_calibration(axes: Axes, bins: np.ndarray) -> None:
    """Draw accuracy over confidence; the larger a mark, the more items it stands for."""
    look.style_axes(axes, xlabel="confidence (%)", ylabel="accuracy (%)")
    axes.plot([0, 100], [0, 100], "--", color=look.FAINT, linewidth=1.2, label="as sure as right")
    share = bins[:, 0] / max(bins[:, 0].sum(), 1)
    confidence, accuracy = 100 * bins[:, 1], 100 * bins[:, 2]
    axes.plot(confidence, accuracy, "-", color=look.BLUE, linewidth=1.5, zorder=2)
    label = "items of like confidence"
    axes.scatter(
        confidence, accuracy, s=30 + 700 * share, color=look.BLUE, alpha=0.75, zorder=3, label=label, clip_on=False
    )
    axes.set_xlim(min(95.0, 5 * (confidence.min(initial=100.0) // 5)), 100)
    axes.set_ylim(0, 100)
    legend = axes.legend(
        frameon=False, fontsize=10, labelcolor=look.INK, loc="lower right", bbox_to_anchor=(1, 1), ncols=2
    )
    for handle in legend.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([40])


def run_figures(
    values: Mapping[str, Sequence[float]],
    *,
    title: str,
    metric_name: str = "accuracy",
    fraction: bool = True,
    note: str = "",
) -> Figure:
    """Return runs beside each other: the figure of every seed, their mean and its 95 % interval.

    Args:
        values: name of a run -> its figures, one at least.
        title: what is compared.
        metric_name: what the figures are.
        fraction: whether they are fractions, shown in per cent.
        note: a line under the title.

    Raises:
        ValueError: without a run, for a run without a figure, and figures that are not finite.
        TypeError: for what is no dictionary of numbers, or no texts.

    Example:
        >>> picture = run_figures({"gcn": [0.8, 0.81, 0.82], "mlp": [0.58]}, title="cora")
        >>> [label.get_text() for label in picture.axes[0].get_yticklabels()]
        ['gcn', 'mlp']
    """
    from scipy.stats import t

    scale = 100 if flag("fraction", fraction) else 1
    given = {
        str(name): scale * numbers("values", each, "seeds") for name, each in table("values", values, "run").items()
    }
    if not all(len(each) for each in given.values()):
        raise ValueError("`values` must hold at least one figure of each run.")
    picture = look.new_figure(11.0, 1.9 + 0.42 * len(given))
    axes, height = picture.subplots(), picture.get_figheight()
    look.draw_headline(picture, title, note, (0.02, 1 - 0.18 / height, 1 - 0.58 / height))
    named = look.short_names(list(given), 30)
    left = max(0.27, (look.widest(named, 12) + 0.3) / picture.get_figwidth())
    picture.subplots_adjust(left=left, right=0.97, bottom=0.75 / height, top=1 - 1.0 / height)
    look.style_axes(
        axes, xlabel=look.truncate(text("metric_name", metric_name), 14, 5.0) + (" (%)" if fraction else ""), ylabel=""
    )
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.8)
    for place, each in enumerate(given.values()):
        many, label = len(each), f"mean, 95 % interval of {LEAST} seeds or more" if not place else "_again"
        axes.plot(each, [place] * many, "o", markersize=4, color=look.FAINT, alpha=0.6, zorder=1)
        half = float(t.ppf(0.975, many - 1)) * each.std(ddof=1) / many**0.5 if many >= LEAST else None
        reach = half if half is None or not fraction else clip_intervals([each.mean()], [half])
        axes.errorbar(
            each.mean(), place, xerr=reach, fmt="o", capsize=3, color=look.BLUE, markersize=8, label=label, zorder=3
        )
    axes.plot([], [], "o", markersize=4, color=look.FAINT, label="each seed")
    axes.set_yticks(range(len(given)), named)
    axes.set_ylim(len(given) - 0.4, -0.6)
    axes.legend(frameon=False, fontsize=10, labelcolor=look.INK, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return picture

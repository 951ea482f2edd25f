"""Methods beside each other on the same few-shot tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from graphkit.viz.figures import BLUE, FAINT, GREY, INK, ORANGE, figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def method_accuracies(
    plain_figures: Mapping[str, Mapping[str, Any]],
    calibrated: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    title: str,
    note: str = "",
) -> Figure:
    """Return one line per method: the accuracy with its interval over tasks, and each class split as a faint dot.

    Args:
        plain_figures: method -> "mean", "interval" and "values" (one per class split), fractions.
        calibrated: the same with calibration, for some of the methods.
        title: what was measured.
        note: a line under the title: the protocol.

    Raises:
        ValueError: without a method.

    Example:
        >>> figures = {"maml": {"mean": 0.8, "interval": 0.01, "values": [0.7, 0.9]}}
        >>> picture = method_accuracies(figures, title="cora, 2 ways, 3 shots")
        >>> [label.get_text() for label in picture.axes[0].get_yticklabels()]
        ['maml']
    """
    if not plain_figures:
        raise ValueError("`plain_figures` must hold at least one method.")
    names = list(plain_figures)
    picture = figure(11.0, 1.9 + 0.36 * len(names))
    axes = picture.subplots()
    height = picture.get_figheight()
    picture.subplots_adjust(left=0.21, right=0.97, bottom=0.75 / height, top=1 - 1.0 / height)
    plain(axes, xlabel="accuracy (%)", ylabel="")
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.8)
    for kind, figures, color, shift in (("", plain_figures, BLUE, 0.0), ("calibrated", calibrated or {}, ORANGE, 0.26)):
        label = kind or "accuracy, 95 % interval over tasks"
        for place, name in enumerate(names):
            if name not in figures:
                continue
            found, at = figures[name], place + shift
            if not kind:
                values = [100 * value for value in found["values"]]
                axes.plot(values, [at] * len(values), "o", markersize=4, color=FAINT, alpha=0.45, zorder=1)
            axes.errorbar(
                100 * found["mean"],
                at,
                xerr=100 * found["interval"],
                fmt="o",
                markersize=8,
                color=color,
                ecolor=color,
                capsize=3,
                label=label,
                zorder=3,
            )
            label = "_again"
    axes.plot([], [], "o", markersize=4, color=FAINT, label="each class split or graph")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.legend(frameon=False, fontsize=10, labelcolor=INK, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    picture.text(0.02, 1 - 0.18 / height, title, fontsize=17, color=INK, fontweight="bold", va="top")
    picture.text(0.02, 1 - 0.58 / height, note, fontsize=11, color=GREY, va="top")
    return picture

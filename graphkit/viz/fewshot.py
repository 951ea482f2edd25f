"""Methods beside each other on the same few-shot tasks; over the number of shots, and of inner steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graphkit._checks import text
from graphkit.viz.arguments import integers, numbers, table
from graphkit.viz.figures import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    VERMILION,
    figure,
    headline,
    literal,
    plain,
)

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
        ValueError: without a method, or for figures that are not finite.
        TypeError: for what are no dictionaries of figures, or no texts.

    Example:
        >>> figures = {"maml": {"mean": 0.8, "interval": 0.01, "values": [0.7, 0.9]}}
        >>> picture = method_accuracies(figures, title="cora, 2 ways, 3 shots")
        >>> [label.get_text() for label in picture.axes[0].get_yticklabels()]
        ['maml']
    """
    plain_figures = _methods("plain_figures", plain_figures, "values")
    if isinstance(calibrated, Mapping) and not calibrated:
        calibrated = None
    again = {} if calibrated is None else _methods("calibrated", calibrated)
    names = list(plain_figures)
    picture = figure(11.0, 1.9 + 0.36 * len(names))
    axes = picture.subplots()
    height = picture.get_figheight()
    headline(picture, title, note, (0.02, 1 - 0.18 / height, 1 - 0.58 / height))
    picture.subplots_adjust(left=0.21, right=0.97, bottom=0.75 / height, top=1 - 1.0 / height)
    plain(axes, xlabel="accuracy (%)", ylabel="")
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.8)
    for kind, figures, color, shift in (("", plain_figures, BLUE, 0.0), ("calibrated", again, ORANGE, 0.26)):
        label = kind or "accuracy, 95 % interval over tasks"
        for place, name in enumerate(names):
            if name not in figures:
                continue
            found, at = figures[name], place + shift
            if not kind:
                values = [100 * value for value in found["values"]]
                axes.plot(
                    values, [at] * len(values), "o", markersize=4, color=FAINT, alpha=0.45, zorder=1, clip_on=False
                )
            axes.errorbar(
                100 * found["mean"],
                at,
                xerr=_within([100 * found["mean"]], [100 * found["interval"]]),
                clip_on=False,
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
    axes.set_xlim(*_possible(axes.get_xlim()))
    axes.set_yticks(range(len(names)), [literal(name, 24) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.legend(frameon=False, fontsize=10, labelcolor=INK, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    return picture


LOOKS = (
    (BLUE, "o"),
    (VERMILION, "s"),
    (GREEN, "^"),
    (PURPLE, "D"),
    (ORANGE, "v"),
    (GREY, "X"),
    (FAINT, "P"),
    (INK, "*"),
)
"""Colour and mark of each line; more lines cannot be told apart across a room."""


def accuracy_curves(
    curves: Mapping[str, Mapping[int, Mapping[str, Any]]], *, over: str, title: str, note: str = ""
) -> Figure:
    """Return the accuracy of each method over shots or inner steps, with its interval over tasks.

    The first method stands out. Each line is named where it ends, so that no legend has to be looked up.

    Args:
        curves: method -> number -> "mean" and "interval", fractions; at most 8 methods.
        over: what the numbers count.
        title: what was measured.
        note: a line under the title: the protocol.

    Raises:
        ValueError: without a method, for a method without a number, for more than 8, or figures that are not finite.
        TypeError: for what are no dictionaries of figures, or no texts.

    Example:
        >>> figures = {1: {"mean": 0.7, "interval": 0.01}, 3: {"mean": 0.8, "interval": 0.01}}
        >>> picture = accuracy_curves({"maml": figures}, over="shots", title="cora, 2 ways")
        >>> picture.axes[0].get_xlabel(), [text.get_text() for text in picture.axes[0].texts]
        ('shots', ['maml'])
    """
    for name, figures in table("curves", curves, "method").items():
        if not isinstance(figures, Mapping) or not figures:
            raise ValueError(f"`curves` must hold at least one number for each method, but {str(name)!r} has none.")
        integers("curves", list(figures), "numbers", least=0)
        _methods("curves", figures)
    if len(curves) > len(LOOKS):
        raise ValueError(f"`curves` must hold at most {len(LOOKS)} methods, got {len(curves)}.")
    picture = figure(11.0, 5.6)
    headline(picture, title, note, (0.02, 0.965, 0.90))
    axes = picture.subplots()
    picture.subplots_adjust(left=0.08, right=0.80, bottom=0.13, top=0.82)
    plain(axes, xlabel=literal(text("over", over)), ylabel="accuracy (%)")
    shown = sorted({number for figures in curves.values() for number in figures})
    places = {number: place for place, number in enumerate(shown)}
    ends = []
    for row, ((name, figures), (color, mark)) in enumerate(zip(curves.items(), LOOKS, strict=False)):
        known = sorted(figures)
        means = [100 * figures[number]["mean"] for number in known]
        axes.errorbar(
            [places[number] + 0.05 * (row - (len(curves) - 1) / 2) for number in known],
            means,
            yerr=_within(means, [100 * figures[number]["interval"] for number in known]),
            clip_on=False,
            marker=mark,
            markersize=9 if not row else 7,
            linewidth=3.0 if not row else 1.8,
            linestyle="-" if len(known) > 1 else "",
            color=color,
            elinewidth=1.5,
            capsize=3,
            zorder=9 - row,
        )
        ends.append((means[-1], name, color))
    axes.set_xticks(range(len(shown)), [str(number) for number in shown])
    axes.set_xlim(-0.35, len(shown) - 0.65)
    low, high = _possible(axes.get_ylim())
    axes.set_ylim(low, high)
    for height, (_, name, color) in zip(_apart([end for end, _, _ in ends], 0.058 * (high - low)), ends, strict=True):
        axes.annotate(
            literal(name, 20),
            (len(shown) - 0.6, height),
            color=color,
            fontsize=13,
            fontweight="bold" if name == next(iter(curves)) else "normal",
            va="center",
            annotation_clip=False,
        )
    return picture


def _methods(argument: str, given: Any, *lists: str) -> Mapping[Any, Mapping[str, Any]]:
    """Return figures by method, "mean" and "interval" of each, and under ``lists`` several."""
    for name, found in table(argument, given, "method").items():
        if not isinstance(found, Mapping):
            raise TypeError(f"`{argument}` must hold a dictionary of figures for {str(name)!r}, got {found!r}.")
        for key in ("mean", "interval", *lists):
            if key not in found:
                raise ValueError(f"`{argument}` must hold {key!r} of {str(name)!r}.")
            numbers(argument, found[key], *(["class splits"] if key in lists else []))
        if found["interval"] < 0:
            raise ValueError(f"`{argument}` must hold intervals of at least 0, got {found['interval']!r}.")
    return given


def _possible(limits: tuple[float, float]) -> tuple[float, float]:
    """Return limits of an axis of per cents without what no accuracy can be.

    Example:
        >>> _possible((93.0, 104.0)), _possible((-2.0, 60.0))
        ((93.0, 100.0), (0.0, 60.0))
    """
    low, high = limits
    return max(low, 0.0), min(high, 100.0)


def _within(means: Sequence[float], intervals: Sequence[float]) -> list[list[float]]:
    """Return how far intervals reach below and above their means, inside of 0 to 100.

    Example:
        >>> _within([98.0, 50.0], [3.0, 1.0])
        [[3.0, 1.0], [2.0, 1.0]]
    """
    pairs = list(zip(means, intervals, strict=True))
    return [[min(half, mean) for mean, half in pairs], [max(0.0, min(half, 100 - mean)) for mean, half in pairs]]


def _apart(heights: Sequence[float], least: float) -> list[float]:
    """Return heights moved as little as it takes for any two to be ``least`` apart, in the same order.

    Example:
        >>> _apart([1.0, 5.0, 1.2], 1.0)
        [0.6, 5.0, 1.6]
    """
    groups: list[list[int]] = [[number] for number in sorted(range(len(heights)), key=heights.__getitem__)]

    def placed(group: list[int]) -> list[float]:
        middle = sum(heights[number] for number in group) / len(group)
        return [middle + least * (place - (len(group) - 1) / 2) for place in range(len(group))]

    joined = True
    while joined:
        joined = False
        for place in range(len(groups) - 1):
            if placed(groups[place + 1])[0] - placed(groups[place])[-1] < least - 1e-9:
                groups[place : place + 2] = [groups[place] + groups[place + 1]]
                joined = True
                break
    found = dict(pair for group in groups for pair in zip(group, placed(group), strict=True))
    return [round(found[number], 9) for number in range(len(heights))]

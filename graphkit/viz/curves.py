"""Curves of accuracy: over epochs, over shots and inner steps, and methods beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphkit._checks import flag, text
from graphkit._exports import deprecated_arguments
from graphkit.viz import figures as look
from graphkit.viz.checks import as_list, integers, numbers, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Series = Sequence[Sequence[float]]


@deprecated_arguments(validation_figure="validation_metric", figure_name="metric_name", selected="best_epochs")
def learning_curves(
    train_loss: Series,
    validation_loss: Series,
    validation_metric: Series,
    *,
    title: str,
    metric_name: str = "accuracy",
    fraction: bool = True,
    note: str = "",
    best_epochs: Sequence[int] = (),
) -> Figure:
    """Return loss and validation figure over epochs; several seeds as their mean in a band from least to largest.

    Args:
        train_loss: one sequence per seed, one value per epoch; seeds may have stopped at different epochs.
        validation_loss: likewise.
        validation_metric: likewise, what selects: an accuracy, say.
        title: what was trained on what.
        metric_name: what that is.
        fraction: whether it is a fraction in [0, 1], shown in per cent.
        note: a line under the title: the protocol.
        best_epochs: epoch of each seed, from 1, whose weights were tested; marked on the figure.

    Raises:
        ValueError: if there is no seed, a seed without an epoch or with figures that are not finite, or an epoch that
            is not there.
        TypeError: for what are no lists of numbers, or no texts.

    Example:
        >>> picture = learning_curves([[1.0, 0.5]], [[1.1, 0.9]], [[0.4, 0.7]], title="GCN on karate")
        >>> [axes.get_ylabel() for axes in picture.axes]
        ['cross-entropy', 'validation accuracy (%)']
    """
    every = {"train_loss": train_loss, "validation_loss": validation_loss, "validation_metric": validation_metric}
    train_loss, validation_loss, validation_metric = (_series(name, given) for name, given in every.items())
    if not len(train_loss) == len(validation_loss) == len(validation_metric):
        counts = f"{len(train_loss)}, {len(validation_loss)} and {len(validation_metric)}"
        raise ValueError(
            f"`train_loss`, `validation_loss` and `validation_metric` must hold as many seeds, got {counts}."
        )
    chosen = _check_epochs(best_epochs, validation_metric)
    fraction = flag("fraction", fraction)
    metric_name = look.truncate(text("metric_name", metric_name), 14, 2.2)
    picture = look.new_figure(11.0, 5.2)
    look.draw_headline(picture, title, note, (0.07, 0.955, 0.875))
    left, right = picture.subplots(1, 2)
    picture.subplots_adjust(left=0.07, right=0.985, bottom=0.12, top=0.76, wspace=0.2)
    look.style_axes(left, xlabel="epoch", ylabel="cross-entropy" if fraction else "loss")
    look.style_axes(right, xlabel="epoch", ylabel=f"validation {metric_name}" + (" (%)" if fraction else ""))
    _draw_band(left, train_loss, look.BLUE, "training", "-")
    _draw_band(left, validation_loss, look.VERMILION, "validation", "--")
    left.set_ylim(bottom=0)
    scale = 100 if fraction else 1
    shown = [[scale * value for value in seed] for seed in validation_metric]
    many = len(shown) > 1
    _draw_band(
        right, shown, look.GREEN, f"mean of {len(shown)} seeds" if many else "", "-", "least to largest" if many else ""
    )
    if chosen:
        marked = [seed[epoch - 1] for seed, epoch in zip(shown, chosen, strict=True)]
        label = "selected" if many else "selected epoch"
        right.plot(chosen, marked, "o", markersize=8, color=look.GREEN, markeredgecolor="white", label=label, zorder=5)
    for axes in (left, right) if many or chosen else (left,):
        # Above the axes: inside, a curve of any shape may run through it.
        room = {"borderpad": 0, "columnspacing": 1.0, "handlelength": 1.4, "handletextpad": 0.5, "ncols": 3}
        place = {"loc": "lower right", "bbox_to_anchor": (1, 1)}
        axes.legend(frameon=False, fontsize=10, labelcolor=look.INK, **place, **room)
    return picture


def _series(argument: str, given: Series) -> list[list[float]]:
    """Return the numbers of each seed, one seed and one epoch at least."""
    seeds = [numbers(argument, seed, "epochs").tolist() for seed in as_list(argument, given, "numbers for each seed")]
    if not seeds or not all(seeds):
        raise ValueError(f"`{argument}` must hold at least one seed, and each seed at least one epoch.")
    return seeds


def _check_epochs(best_epochs: Sequence[int], figures: list[list[float]]) -> list[int]:
    """Return the epoch of each seed, all of which have run; none where none is given."""
    epochs = integers("best_epochs", as_list("best_epochs", best_epochs, "epochs"), "seeds", least=1).tolist()
    if epochs and len(epochs) != len(figures):
        raise ValueError(f"`best_epochs` must hold an epoch for each of {len(figures)} seeds, got {len(epochs)}.")
    for epoch, seed in zip(epochs, figures, strict=False):
        if epoch > len(seed):
            raise ValueError(f"`best_epochs` must hold epochs that ran, 1 to {len(seed)}, got {epoch}.")
    return epochs


def _draw_band(axes: Axes, series: Series, color: str, label: str, style: str, spread: str = "") -> None:
    """Draw the mean over those seeds still running at an epoch, in a band from least to largest."""
    longest = max(len(seed) for seed in series)
    table = np.full((len(series), longest), np.nan)
    for row, seed in zip(table, series, strict=True):
        row[: len(seed)] = seed
    epochs = np.arange(1, longest + 1)
    if len(series) > 1:
        low, high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
        axes.fill_between(epochs, low, high, color=color, alpha=0.18, linewidth=0, label=spread)
    axes.plot(epochs, np.nanmean(table, axis=0), style, color=color, linewidth=2.2, label=label)


@deprecated_arguments(plain_figures="accuracies")
def method_accuracies(
    accuracies: Mapping[str, Mapping[str, Any]],
    calibrated: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    title: str,
    note: str = "",
) -> Figure:
    """Return one line per method: the accuracy with its interval over tasks, and each class split as a faint dot.

    Args:
        accuracies: method -> "mean", "interval" and "values" (one per class split), fractions.
        calibrated: the same with calibration, for some of the methods.
        title, note: what was measured, and a line under it: the protocol.

    Raises:
        ValueError: without a method, or for figures that are not finite.
        TypeError: for what are no dictionaries of figures, or no texts.

    Example:
        >>> figures = {"maml": {"mean": 0.8, "interval": 0.01, "values": [0.7, 0.9]}}
        >>> picture = method_accuracies(figures, title="cora, 2 ways, 3 shots")
        >>> [label.get_text() for label in picture.axes[0].get_yticklabels()]
        ['maml']
    """
    accuracies = _check_methods("accuracies", accuracies, "values")
    if isinstance(calibrated, Mapping) and not calibrated:
        calibrated = None
    again = {} if calibrated is None else _check_methods("calibrated", calibrated)
    names = list(accuracies)
    picture = look.new_figure(11.0, 1.9 + 0.36 * len(names))
    axes = picture.subplots()
    height = picture.get_figheight()
    look.draw_headline(picture, title, note, (0.02, 1 - 0.18 / height, 1 - 0.58 / height))
    shown = look.short_names(names, 24)
    left = max(0.21, (look.widest(shown, 12) + 0.3) / picture.get_figwidth())
    picture.subplots_adjust(left=left, right=0.97, bottom=0.75 / height, top=1 - 1.0 / height)
    look.style_axes(axes, xlabel="accuracy (%)", ylabel="")
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.8)
    for kind, figures, color, shift in (("", accuracies, look.BLUE, 0.0), ("calibrated", again, look.ORANGE, 0.26)):
        label = kind or "accuracy, 95 % interval over tasks"
        for place, name in enumerate(names):
            if name not in figures:
                continue
            found, at = figures[name], place + shift
            if not kind:
                values = [100 * value for value in found["values"]]
                axes.plot(
                    values, [at] * len(values), "o", markersize=4, color=look.FAINT, alpha=0.45, zorder=1, clip_on=False
                )
            mean = 100 * found["mean"]
            reach = clip_intervals([mean], [100 * found["interval"]])
            dot: dict[str, Any] = {"color": color, "markersize": 8}
            axes.errorbar(mean, at, xerr=reach, clip_on=False, fmt="o", capsize=3, label=label, zorder=3, **dot)
            label = "_again"
    axes.plot([], [], "o", markersize=4, color=look.FAINT, label="each class split or graph")
    axes.set_xlim(*_clip_limits(axes.get_xlim()))
    axes.set_yticks(range(len(names)), shown)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.legend(frameon=False, fontsize=10, labelcolor=look.INK, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    return picture


LINE_COLOURS = (look.BLUE, look.VERMILION, look.GREEN, look.PURPLE, look.ORANGE, look.GREY, look.FAINT, look.INK)
LOOKS = tuple(zip(LINE_COLOURS, "os^DvXP*", strict=True))
"""Colour and mark of each line; more lines cannot be told apart across a room."""


def accuracy_curves(
    curves: Mapping[str, Mapping[int, Mapping[str, Any]]], *, over: str, title: str, note: str = ""
) -> Figure:
    """Return the accuracy of each method over shots or inner steps, with its interval over tasks.

    The first method stands out. Each line is named where it ends, so that no legend has to be looked up.

    Args:
        curves: method -> number -> "mean" and "interval", fractions; at most 8 methods.
        over: what the numbers count.
        title, note: what was measured, and a line under it: the protocol.

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
        _check_methods("curves", figures)
    if len(curves) > len(LOOKS):
        raise ValueError(f"`curves` must hold at most {len(LOOKS)} methods, got {len(curves)}.")
    picture = look.new_figure(11.0, 5.6)
    look.draw_headline(picture, title, note, (0.02, 0.965, 0.90))
    axes = picture.subplots()
    named = dict(zip(curves, look.short_names(list(curves), 24), strict=True))
    room = look.widest(list(named.values()), 13, weight="bold") + 0.35
    picture.subplots_adjust(left=0.08, right=min(0.8, 1 - room / picture.get_figwidth()), bottom=0.13, top=0.82)
    look.style_axes(axes, xlabel=look.truncate(text("over", over), 14, 6.0), ylabel="accuracy (%)")
    shown = sorted({number for figures in curves.values() for number in figures})
    places = {number: place for place, number in enumerate(shown)}
    ends = []
    for row, ((name, figures), (color, mark)) in enumerate(zip(curves.items(), LOOKS, strict=False)):
        known = sorted(figures)
        means = [100 * figures[number]["mean"] for number in known]
        shift = 0.05 * (row - (len(curves) - 1) / 2)  # so that intervals do not lie on each other
        at = [places[number] + shift for number in known]
        reach = clip_intervals(means, [100 * figures[number]["interval"] for number in known])
        size, width, style = 9 if not row else 7, 3.0 if not row else 1.8, "-" if len(known) > 1 else ""
        line: dict[str, Any] = {
            "marker": mark,
            "markersize": size,
            "linewidth": width,
            "linestyle": style,
            "color": color,
        }
        axes.errorbar(at, means, yerr=reach, clip_on=False, elinewidth=1.5, capsize=3, zorder=9 - row, **line)
        ends.append((means[-1], name, color))
    axes.set_xticks(range(len(shown)), [str(number) for number in shown])
    axes.set_xlim(-0.35, len(shown) - 0.65)
    low, high = _clip_limits(axes.get_ylim())
    axes.set_ylim(low, high)
    heights = _spread_apart([end for end, _, _ in ends], 0.058 * (high - low))
    for height, (_, name, color) in zip(heights, ends, strict=True):
        end, weight = (len(shown) - 0.6, height), "bold" if name == next(iter(curves)) else "normal"
        letters: dict[str, Any] = {"color": color, "fontsize": 13, "fontweight": weight, "va": "center"}
        axes.annotate(named[name], end, annotation_clip=False, **letters)
    return picture


def _check_methods(argument: str, given: Any, *lists: str) -> Mapping[Any, Mapping[str, Any]]:
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


def _clip_limits(limits: tuple[float, float]) -> tuple[float, float]:
    """Return limits of an axis of per cents without what no accuracy can be.

    Example:
        >>> _clip_limits((93.0, 104.0)), _clip_limits((-2.0, 60.0))
        ((93.0, 100.0), (0.0, 60.0))
    """
    low, high = limits
    return max(low, 0.0), min(high, 100.0)


def clip_intervals(means: Sequence[float], intervals: Sequence[float]) -> list[list[float]]:
    """Return how far intervals reach below and above their means, inside of 0 to 100.

    Example:
        >>> clip_intervals([98.0, 50.0], [3.0, 1.0])
        [[3.0, 1.0], [2.0, 1.0]]
    """
    pairs = list(zip(means, intervals, strict=True))
    return [[min(half, mean) for mean, half in pairs], [max(0.0, min(half, 100 - mean)) for mean, half in pairs]]


def _spread_apart(heights: Sequence[float], least: float) -> list[float]:
    """Return heights moved as little as it takes for any two to be ``least`` apart, in the same order.

    Example:
        >>> _spread_apart([1.0, 5.0, 1.2], 1.0)
        [0.6, 5.0, 1.6]
    """
    groups: list[list[int]] = [[number] for number in sorted(range(len(heights)), key=heights.__getitem__)]

    def positions(group: list[int]) -> list[float]:
        middle = sum(heights[number] for number in group) / len(group)
        return [middle + least * (place - (len(group) - 1) / 2) for place in range(len(group))]

    merged = True
    while merged:
        merged = False
        for place in range(len(groups) - 1):
            if positions(groups[place + 1])[0] - positions(groups[place])[-1] < least - 1e-9:
                groups[place : place + 2] = [groups[place] + groups[place + 1]]
                merged = True
                break
    found = dict(pair for group in groups for pair in zip(group, positions(group), strict=True))
    return [round(found[number], 9) for number in range(len(heights))]

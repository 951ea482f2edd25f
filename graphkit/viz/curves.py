"""Learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from graphkit._checks import flag, text
from graphkit.viz.arguments import integers, numbers, several
from graphkit.viz.figures import BLUE, GREEN, INK, VERMILION, figure, headline, literal, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Series = Sequence[Sequence[float]]


def learning_curves(
    train_loss: Series,
    validation_loss: Series,
    validation_figure: Series,
    *,
    title: str,
    figure_name: str = "accuracy",
    fraction: bool = True,
    note: str = "",
    selected: Sequence[int] = (),
) -> Figure:
    """Return loss and validation figure over epochs; several seeds as their mean in a band from least to largest.

    Args:
        train_loss: one sequence per seed, one value per epoch; seeds may have stopped at different epochs.
        validation_loss: likewise.
        validation_figure: likewise, what selects: an accuracy, say.
        title: what was trained on what.
        figure_name: what that is.
        fraction: whether it is a fraction in [0, 1], shown in per cent.
        note: a line under the title: the protocol.
        selected: epoch of each seed, from 1, whose weights were tested; marked on the figure.

    Raises:
        ValueError: if there is no seed, a seed without an epoch or with figures that are not finite, or an epoch that
            is not there.
        TypeError: for what are no lists of numbers, or no texts.

    Example:
        >>> picture = learning_curves([[1.0, 0.5]], [[1.1, 0.9]], [[0.4, 0.7]], title="GCN on karate")
        >>> [axes.get_ylabel() for axes in picture.axes]
        ['cross-entropy', 'validation accuracy (%)']
    """
    every = {"train_loss": train_loss, "validation_loss": validation_loss, "validation_figure": validation_figure}
    train_loss, validation_loss, validation_figure = (_series(name, given) for name, given in every.items())
    if not len(train_loss) == len(validation_loss) == len(validation_figure):
        counts = f"{len(train_loss)}, {len(validation_loss)} and {len(validation_figure)}"
        raise ValueError(
            f"`train_loss`, `validation_loss` and `validation_figure` must hold as many seeds, got {counts}."
        )
    chosen = _selected(selected, validation_figure)
    fraction = flag("fraction", fraction)
    figure_name = literal(text("figure_name", figure_name))
    picture = figure(11.0, 5.2)
    headline(picture, title, note, (0.07, 0.955, 0.875))
    left, right = picture.subplots(1, 2)
    picture.subplots_adjust(left=0.07, right=0.985, bottom=0.12, top=0.76, wspace=0.2)
    plain(left, xlabel="epoch", ylabel="cross-entropy" if fraction else "loss")
    plain(right, xlabel="epoch", ylabel=f"validation {figure_name}" + (" (%)" if fraction else ""))
    _band(left, train_loss, BLUE, "training", "-")
    _band(left, validation_loss, VERMILION, "validation", "--")
    left.set_ylim(bottom=0)
    scale = 100 if fraction else 1
    shown = [[scale * value for value in seed] for seed in validation_figure]
    many = len(shown) > 1
    _band(
        right,
        shown,
        GREEN,
        f"mean of {len(shown)} seeds" if many else "",
        "-",
        "least to largest" if many else "",
    )
    if chosen:
        marked = [seed[epoch - 1] for seed, epoch in zip(shown, chosen, strict=True)]
        label = "selected" if many else "selected epoch"
        right.plot(chosen, marked, "o", markersize=8, color=GREEN, markeredgecolor="white", label=label, zorder=5)
    for axes in (left, right) if many or chosen else (left,):
        # Above the axes: inside, a curve of any shape may run through it.
        axes.legend(
            frameon=False,
            fontsize=10,
            labelcolor=INK,
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=3,
            borderpad=0,
            columnspacing=1.0,
            handlelength=1.4,
            handletextpad=0.5,
        )
    return picture


def _series(argument: str, given: Series) -> list[list[float]]:
    """Return the numbers of each seed, one seed and one epoch at least."""
    seeds = [numbers(argument, seed, "epochs").tolist() for seed in several(argument, given, "numbers for each seed")]
    if not seeds or not all(seeds):
        raise ValueError(f"`{argument}` must hold at least one seed, and each seed at least one epoch.")
    return seeds


def _selected(selected: Sequence[int], figures: list[list[float]]) -> list[int]:
    """Return the epoch of each seed, all of which have run; none where none is given."""
    epochs = integers("selected", several("selected", selected, "epochs"), "seeds", least=1).tolist()
    if epochs and len(epochs) != len(figures):
        raise ValueError(f"`selected` must hold an epoch for each of {len(figures)} seeds, got {len(epochs)}.")
    for epoch, seed in zip(epochs, figures, strict=False):
        if epoch > len(seed):
            raise ValueError(f"`selected` must hold epochs that ran, 1 to {len(seed)}, got {epoch}.")
    return epochs


def _band(axes: Axes, series: Series, color: str, label: str, style: str, spread: str = "") -> None:
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

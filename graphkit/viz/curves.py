"""Learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from graphkit.viz.figures import BLUE, GREEN, INK, VERMILION, figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Series = Sequence[Sequence[float]]


def learning_curves(
    train_loss: Series,
    validation_loss: Series,
    validation_accuracy: Series,
    *,
    title: str,
    note: str = "",
    selected: Sequence[int] = (),
) -> Figure:
    """Return loss and validation accuracy over epochs; several seeds as their mean in a band from least to largest.

    Args:
        train_loss: one sequence per seed, one value per epoch; seeds may have stopped at different epochs.
        validation_loss: likewise.
        validation_accuracy: likewise, fractions in [0, 1].
        title: what was trained on what.
        note: a line under the title: the protocol and the figure.
        selected: epoch of each seed, from 1, whose weights were tested; marked on the accuracy.

    Raises:
        ValueError: if there is no seed, or a seed without an epoch.

    Example:
        >>> picture = learning_curves([[1.0, 0.5]], [[1.1, 0.9]], [[0.4, 0.7]], title="GCN on karate")
        >>> [axes.get_ylabel() for axes in picture.axes]
        ['cross-entropy', 'validation accuracy (%)']
    """
    if not train_loss or not all(len(seed) for seed in (*train_loss, *validation_loss, *validation_accuracy)):
        raise ValueError("`train_loss` must hold at least one seed, and each seed at least one epoch.")
    picture = figure(11.0, 4.8)
    left, right = picture.subplots(1, 2)
    plain(left, xlabel="epoch", ylabel="cross-entropy")
    plain(right, xlabel="epoch", ylabel="validation accuracy (%)")
    _band(left, train_loss, BLUE, "training", "-")
    _band(left, validation_loss, VERMILION, "validation", "--")
    left.set_ylim(bottom=0)
    left.legend(frameon=False, fontsize=12, labelcolor=INK)
    per_cent = [[100 * value for value in seed] for seed in validation_accuracy]
    _band(right, per_cent, GREEN, "", "-")
    if selected:
        chosen = [seed[epoch - 1] for seed, epoch in zip(per_cent, selected, strict=True)]
        label = "selected epoch" if len(selected) == 1 else "selected epochs, one a seed"
        right.plot(selected, chosen, "o", markersize=7, color=GREEN, markeredgecolor="white", label=label, zorder=5)
        right.legend(frameon=False, fontsize=12, labelcolor=INK, loc="lower right")
    seeds = "" if len(train_loss) == 1 else f"  ·  mean of {len(train_loss)} seeds, band from least to largest"
    picture.suptitle(title, fontsize=17, color=INK, x=0.01, ha="left", fontweight="bold")
    left.set_title(f"{note}{seeds}".strip(" ·"), fontsize=11, color="#555555", loc="left", pad=12)
    return picture


def _band(axes: Axes, series: Series, color: str, label: str, style: str) -> None:
    """Draw the mean over those seeds still running at an epoch, in a band from least to largest."""
    longest = max(len(seed) for seed in series)
    table = np.full((len(series), longest), np.nan)
    for row, seed in zip(table, series, strict=True):
        row[: len(seed)] = seed
    epochs = np.arange(1, longest + 1)
    if len(series) > 1:
        low, high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
        axes.fill_between(epochs, low, high, color=color, alpha=0.18, linewidth=0)
    axes.plot(epochs, np.nanmean(table, axis=0), style, color=color, linewidth=2.2, label=label)

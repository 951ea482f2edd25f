"""Spectra: where the eigenvalues lie and how often, and what filters do along them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from graphkit._checks import at_least, within
from graphkit.viz.arguments import ascending, numbers, table
from graphkit.viz.figures import (
    BLUE,
    FAINT,
    GREEN,
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

COLORS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE)
STYLES = ("-", "--", "-.", ":")


def multiplicities(eigenvalues: np.ndarray, *, precision: float = 1e-6) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct eigenvalues and how often each comes; values within a chain of ``precision`` are one.

    Args:
        eigenvalues: in any order, ``[pairs]``.
        precision: least distance of two that are told apart, at least 0.

    Raises:
        ValueError: for another shape, or numbers that are not finite.
        TypeError: for what are no numbers.

    Example:
        >>> multiplicities(np.array([0.0, 1.0, 1.0 + 1e-9, 2.0]))[1].tolist()
        [1, 2, 1]
    """
    values = np.sort(numbers("eigenvalues", eigenvalues, "pairs"))
    within("precision", precision, 0.0, np.inf)
    if not len(values):
        return values, np.empty(0, int)
    starts = np.flatnonzero(np.append(True, np.diff(values) > precision))
    return values[starts], np.diff(np.append(starts, len(values)))


def spectrum(
    eigenvalues: np.ndarray, *, title: str, note: str = "", nodes: int | None = None, bins: int = 60, marked: int = 4
) -> Figure:
    """Return a histogram of eigenvalues, with the highest multiplicities written beside their places.

    Args:
        eigenvalues: ``[pairs]``.
        title: what graph they belong to.
        note: a line under the title: normalisation, number of pairs.
        nodes: of the graph, where only some of its pairs are shown; written on the axis.
        bins: of the histogram.
        marked: how many of the repeated eigenvalues are marked, those that come most often.

    Raises:
        ValueError: if there is no eigenvalue, or one is not finite, and for counts below one.
        TypeError: for what are no numbers, or no texts.

    Example:
        >>> picture = spectrum(np.array([0.0, 1.0, 1.0, 1.0, 4.0]), title="star of 5 nodes")
        >>> [text.get_text() for text in picture.axes[0].texts]
        ['1 comes 3 times']
    """
    values = numbers("eigenvalues", eigenvalues, "pairs")
    if not len(values):
        raise ValueError("`eigenvalues` must hold at least one number.")
    at_least("bins", bins, 1)
    at_least("marked", marked, 0)
    if nodes is not None:
        at_least("nodes", nodes, 1)
    picture = figure(11.0, 5.2)
    headline(picture, title, note, (0.08, 0.955, 0.875))
    axes = picture.subplots()
    picture.subplots_adjust(left=0.08, right=0.985, bottom=0.13, top=0.78)
    share = "" if nodes is None or nodes == len(values) else f" (of {nodes:,})"
    plain(axes, xlabel="eigenvalue", ylabel=f"number of pairs{share}")
    counts, _, _ = axes.hist(values, bins=bins, color=BLUE, alpha=0.85)
    distinct, times = multiplicities(values, precision=1e-6 * max(float(np.ptp(values)), 1.0))
    often = [place for place in np.argsort(-times, kind="stable")[:marked] if times[place] > 1]
    top = float(np.max(counts))
    axes.set_ylim(0, 1.3 * top)
    for row, place in enumerate(sorted(often, key=lambda place: distinct[place])):
        value = 0.0 if abs(distinct[place]) < 1e-9 else distinct[place]
        near_end = (value - values.min()) > 0.8 * max(float(np.ptp(values)), 1e-12)
        axes.axvline(value, ymax=(1.07 + 0.06 * row) / 1.3, color=VERMILION, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.annotate(
            f"{value:.4g} comes {times[place]:,} times",
            (value, (1.07 + 0.06 * row) * top),
            xytext=(-6 if near_end else 6, 0),
            textcoords="offset points",
            ha="right" if near_end else "left",
            va="center",
            fontsize=12,
            color=INK,
        )
    return picture


def responses(
    curves: Mapping[str, np.ndarray],
    at: np.ndarray,
    *,
    title: str,
    note: str = "",
    eigenvalues: np.ndarray | None = None,
) -> Figure:
    """Return filters' responses over the spectrum; several channels as their mean in a band of the middle half.

    Args:
        curves: name -> response ``[points]``, or ``[points, channels]``.
        at: the eigenvalues at which they were taken, ascending, ``[points]``.
        title: what was learnt where.
        note: a line under the title.
        eigenvalues: of the graph, ``[pairs]``, drawn as ticks under the curves: where the response matters.

    Raises:
        ValueError: without a curve, or where one has not a finite value for each point.
        TypeError: for what are no numbers, or no texts.

    Example:
        >>> points = np.linspace(0, 2, 5)
        >>> picture = responses({"heat": np.exp(-points)}, points, title="a kernel")
        >>> picture.axes[0].get_xlabel()
        'eigenvalue'
    """
    at = ascending("at", at)
    tables = {name: _response(curve, len(at)) for name, curve in table("curves", curves, "response").items()}
    ticks = None if eigenvalues is None else numbers("eigenvalues", eigenvalues, "pairs")
    picture = figure(11.0, 5.2)
    headline(picture, title, note, (0.08, 0.955, 0.875))
    axes = picture.subplots()
    picture.subplots_adjust(left=0.08, right=0.985, bottom=0.13, top=0.78)
    plain(axes, xlabel="eigenvalue", ylabel="response")
    axes.axhline(0, color=FAINT, linewidth=0.8)
    for number, (name, values) in enumerate(tables.items()):
        color, style = COLORS[number % len(COLORS)], STYLES[number // len(COLORS) % len(STYLES)]
        if values.shape[1] > 1:
            low, high = np.percentile(values, [25, 75], axis=1)
            axes.fill_between(at, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(at, values.mean(axis=1), style, color=color, linewidth=2.2, label=literal(name))
    if ticks is not None:
        axes.plot(
            ticks, np.zeros(len(ticks)), "|", color=INK, markersize=9, alpha=0.25, transform=axes.get_xaxis_transform()
        )
    axes.legend(frameon=False, fontsize=12, labelcolor=INK)
    return picture


def _response(curve: Any, points: int) -> np.ndarray:
    """Return a response with a value for each point, ``[points, channels]``."""
    several = np.ndim(curve) == 2
    values = numbers("curves", curve, "points", *(["channels"] if several else []))
    if len(values) != points or not values.size:
        raise ValueError(
            f"`curves` must hold responses with a value for each of the {points} points, got {list(values.shape)}."
        )
    return values.reshape(points, -1)

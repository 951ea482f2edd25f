"""Spectra: where the eigenvalues lie and how often, and what filters do along them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from graphkit.viz.figures import BLUE, FAINT, GREEN, GREY, INK, ORANGE, PURPLE, VERMILION, figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE)
STYLES = ("-", "--", "-.", ":")


def multiplicities(eigenvalues: np.ndarray, *, precision: float = 1e-6) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct eigenvalues and how often each comes; values within a chain of ``precision`` are one.

    Args:
        eigenvalues: in any order, ``[pairs]``.
        precision: least distance of two that are told apart.

    Example:
        >>> multiplicities(np.array([0.0, 1.0, 1.0 + 1e-9, 2.0]))[1].tolist()
        [1, 2, 1]
    """
    values = np.sort(np.asarray(eigenvalues, float))
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
        ValueError: if there is no eigenvalue, or one is not finite.

    Example:
        >>> picture = spectrum(np.array([0.0, 1.0, 1.0, 1.0, 4.0]), title="star of 5 nodes")
        >>> [text.get_text() for text in picture.axes[0].texts]
        ['1 comes 3 times']
    """
    values = np.asarray(eigenvalues, float).ravel()
    if not len(values) or not np.isfinite(values).all():
        raise ValueError("`eigenvalues` must hold at least one number, and only finite ones.")
    picture = figure(11.0, 5.2)
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
    picture.text(0.08, 0.955, title, fontsize=17, color=INK, fontweight="bold", va="top")
    picture.text(0.08, 0.875, note, fontsize=11, color=GREY, va="top")
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
        ValueError: without a curve, or where one has not a value for each point.

    Example:
        >>> points = np.linspace(0, 2, 5)
        >>> picture = responses({"heat": np.exp(-points)}, points, title="a kernel")
        >>> picture.axes[0].get_xlabel()
        'eigenvalue'
    """
    at = np.asarray(at, float)
    tables = {name: np.asarray(curve, float).reshape(len(curve), -1) for name, curve in curves.items()}
    if not tables or any(len(table) != len(at) for table in tables.values()):
        raise ValueError(f"`curves` must hold at least one response with a value for each of the {len(at)} points.")
    picture = figure(11.0, 5.2)
    axes = picture.subplots()
    picture.subplots_adjust(left=0.08, right=0.985, bottom=0.13, top=0.78)
    plain(axes, xlabel="eigenvalue", ylabel="response")
    axes.axhline(0, color=FAINT, linewidth=0.8)
    for number, (name, table) in enumerate(tables.items()):
        color, style = COLORS[number % len(COLORS)], STYLES[number // len(COLORS) % len(STYLES)]
        if table.shape[1] > 1:
            low, high = np.percentile(table, [25, 75], axis=1)
            axes.fill_between(at, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(at, table.mean(axis=1), style, color=color, linewidth=2.2, label=name)
    if eigenvalues is not None:
        ticks = np.asarray(eigenvalues, float)
        axes.plot(
            ticks, np.zeros(len(ticks)), "|", color=INK, markersize=9, alpha=0.25, transform=axes.get_xaxis_transform()
        )
    axes.legend(frameon=False, fontsize=12, labelcolor=INK)
    picture.text(0.08, 0.955, title, fontsize=17, color=INK, fontweight="bold", va="top")
    picture.text(0.08, 0.875, note, fontsize=11, color=GREY, va="top")
    return picture

"""Spectra: where eigenvalues lie, what filters do along them, and wavelets on their graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap

from graphkit._checks import at_least, text, within
from graphkit.viz import figures as look
from graphkit.viz.checks import as_list, ascending, integers, names, numbers, rows_of_numbers, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


STEP = 0.08
"""From one mark of a spectrum up to the next, in heights of the tallest bar: a line of letters."""

LINE = 0.85
"""Inches of a legend beside its names: a line of its kind, and what is around it."""

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
        title, note: what graph they belong to, and a line under it: normalisation, number of pairs.
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
    share = "" if nodes is None or nodes == len(values) else f" (of {nodes:,})"
    picture, axes = look.single_panel(title, note, xlabel="eigenvalue", ylabel=f"number of pairs{share}")
    counts, _, _ = axes.hist(values, bins=bins, color=look.BLUE, alpha=0.85)
    distinct, times = multiplicities(values, precision=1e-6 * max(float(np.ptp(values)), 1.0))
    often = [place for place in np.argsort(-times, kind="stable")[:marked] if times[place] > 1]
    top = float(np.max(counts))
    axes.set_ylim(0, (1.12 + STEP * max(len(often), 1)) * top)
    for row, place in enumerate(sorted(often, key=lambda place: distinct[place])):
        value = 0.0 if abs(distinct[place]) < 1e-9 else distinct[place]
        near_end = (value - values.min()) > 0.8 * max(float(np.ptp(values)), 1e-12)
        axes.axvline(
            value,
            ymax=(1.07 + STEP * row) / (1.12 + STEP * max(len(often), 1)),
            color=look.VERMILION,
            linewidth=1.2,
            linestyle=(0, (4, 2)),
        )
        side, shift = ("right", -6) if near_end else ("left", 6)
        label, at = f"{value:.4g} comes {times[place]:,} times", (value, (1.07 + STEP * row) * top)
        letters: dict[str, Any] = {"ha": side, "va": "center", "fontsize": 12, "color": look.INK}
        axes.annotate(label, at, xytext=(shift, 0), textcoords="offset points", **letters)
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
        title, note: what was learnt where, and a line under it.
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
    picture, axes = look.single_panel(title, note, xlabel="eigenvalue", ylabel="response")
    axes.axhline(0, color=look.FAINT, linewidth=0.8)
    shown = look.short_names(list(tables), 40)
    for number, values in enumerate(tables.values()):
        color, style = look.CYCLE[number % 5], STYLES[number // 5 % len(STYLES)]
        if values.shape[1] > 1:
            low, high = np.percentile(values, [25, 75], axis=1)
            axes.fill_between(at, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(at, values.mean(axis=1), style, color=color, linewidth=2.2, label=shown[number])
    if ticks is not None:
        axes.plot(
            ticks,
            np.zeros(len(ticks)),
            "|",
            color=look.INK,
            markersize=9,
            alpha=0.25,
            transform=axes.get_xaxis_transform(),
        )
    # Beside the axes: inside, a curve of any shape may run through it.
    picture.subplots_adjust(right=1 - (look.widest(shown, 12) + LINE) / picture.get_figwidth())
    axes.legend(frameon=False, fontsize=12, labelcolor=look.INK, loc="upper left", bbox_to_anchor=(1.0, 1.0))
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


SIGNED = LinearSegmentedColormap.from_list("signed", [look.BLUE, "#9CC9E3", "#F4F4F2", "#F2B38A", look.VERMILION])


def wavelets_on_graph(
    positions: np.ndarray,
    edges: np.ndarray,
    wavelets: np.ndarray,
    labels: Sequence[str],
    *,
    centre: int,
    title: str,
    note: str = "",
) -> Figure:
    """Return a row of pictures of one graph, coloured by the wavelets that are localised at one node.

    Each picture has a scale of colours of its own, from minus to plus its largest value, which it names: the wider a
    wavelet, the lower it is. Colours follow the square root, so that tails are seen.

    Args:
        positions: of the nodes, ``[nodes, 2]``.
        edges: node ids, ``[2, edges]``.
        wavelets: values at the nodes, ``[pictures, nodes]``.
        labels: one for each picture, such as its scale.
        centre: the node they are localised at, which is ringed.
        title, note: what is shown, and a line under it.

    Raises:
        ValueError: where the arrays do not fit each other, or a number is not finite.
        TypeError: for what are no numbers, or no texts.

    Example:
        >>> ring = np.stack([np.cos(np.arange(6)), np.sin(np.arange(6))], 1)
        >>> edges = np.array([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
        >>> picture = wavelets_on_graph(ring, edges, np.eye(6)[:2], ["s = 1", "s = 2"], centre=0, title="a wavelet")
        >>> [axes.get_title() for axes in picture.axes[:2]]
        ['s = 1', 's = 2']
    """
    positions, wavelets = numbers("positions", positions, "nodes", "2"), rows_of_numbers("wavelets", wavelets, "nodes")
    labels = names("labels", as_list("labels", labels, "texts"), len(wavelets)) or []
    if positions.shape != (wavelets.shape[1], 2) or not positions.size or len(labels) != len(wavelets):
        raise ValueError(
            f"`positions` must be [nodes, 2] and `wavelets` [pictures, nodes] with one of `labels` each, got "
            f"{list(positions.shape)}, {list(wavelets.shape)} and {len(labels)} labels."
        )
    edges = integers("edges", edges, "2", "edges", below=len(positions))
    if len(edges) != 2:
        raise ValueError(f"`edges` must have shape [2, edges], got {list(edges.shape)}.")
    centre = int(integers("centre", centre, below=len(positions)))
    columns = min(len(wavelets), 3)
    rows = -(-len(wavelets) // columns)
    width, height, head = 3.1 * columns + 1.35, 3.45 * rows + 1.05, 1.35
    picture = look.new_figure(width, height)
    look.draw_headline(picture, title, note, (0.025, 1 - 0.2 / height, 1 - 0.58 / height), sizes=(17, 11.5))
    many = picture.subplots(rows, columns, squeeze=False).ravel()
    picture.subplots_adjust(
        left=0.02, right=1 - 1.3 / width, bottom=0.4 / height, top=1 - head / height, wspace=0.05, hspace=0.24
    )
    segments = positions[edges.T]
    size = float(np.clip(26000 / len(positions), 12, 190))
    for axes, values, label in zip(many, wavelets, labels, strict=False):
        peak = max(float(np.abs(values).max()), 1e-300)
        shade = np.sign(values) * np.sqrt(np.abs(values) / peak)  # tails that are there are seen
        axes.add_collection(LineCollection(segments, colors="#C9C9C9", linewidths=0.8, zorder=1))
        dots = axes.scatter(*positions.T, c=shade, s=size, cmap=SIGNED, vmin=-1, vmax=1, zorder=2, linewidths=0)
        axes.plot(*positions[centre], "o", markersize=size**0.5 + 2.5, mfc="none", mec=look.INK, mew=1.5, zorder=3)
        axes.set_title(look.truncate(label, 14, 2.9), fontsize=14, color=look.INK, pad=6)
        axes.set_xlabel(f"largest value {peak:.2g}", fontsize=12, color=look.GREY, labelpad=4)
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.margins(0.05)
        for side in axes.spines.values():
            side.set_visible(False)
    for axes in many[len(wavelets) :]:
        axes.set_visible(False)
    top, end = many[0].get_position(), many[columns - 1].get_position()
    tall = min(top.height - 0.02, 2.6 / height)
    bar = picture.colorbar(dots, cax=picture.add_axes((end.x1 + 0.15 / width, top.y1 - tall, 0.16 / width, tall)))
    minus = "\N{MINUS SIGN}"
    bar.set_ticks([-1, -0.5, 0, 0.5, 1], labels=[f"{minus}largest", f"{minus}1/4", "0", "1/4", "largest"])
    bar.ax.tick_params(labelsize=11, colors=look.INK, length=0)
    bar.outline.set_visible(False)
    return picture


def filter_bank(
    eigenvalues: np.ndarray,
    kernels: np.ndarray,
    labels: Sequence[str],
    *,
    title: str,
    note: str = "",
    spectrum: np.ndarray | None = None,
) -> Figure:
    r"""Return kernels over the spectrum and, below them, the sum of their squares, which tells how good a frame is.

    Args:
        eigenvalues: where the kernels were read, ascending, ``[points]``.
        kernels: ``[bands, points]``.
        labels: one for each band.
        title, note: what is shown, and a line under it.
        spectrum: the eigenvalues of a graph, which are marked below the axis; none when left out.

    Raises:
        ValueError: where the arrays do not fit each other, or a number is not finite.
        TypeError: for what are no numbers, or no texts.

    Example:
        >>> x = np.linspace(0, 2, 5)
        >>> picture = filter_bank(x, np.stack([1 - x / 2, x / 2]), ["low", "high"], title="two bands")
        >>> picture.axes[1].get_ylabel()
        'Σ g²'
    """
    x, kernels = ascending("eigenvalues", eigenvalues), rows_of_numbers("kernels", kernels, "points")
    labels = names("labels", as_list("labels", labels, "texts"), len(kernels)) or []
    ticks = None if spectrum is None else numbers("spectrum", spectrum, "pairs")
    text("note", note)
    if kernels.shape != (len(labels), len(x)):
        raise ValueError(
            f"`kernels` must have a row for each of {len(labels)} `labels` and a value for each of {len(x)} "
            f"`eigenvalues`, got {list(kernels.shape)}."
        )
    picture = look.new_figure(9.0, 5.6)
    look.draw_headline(picture, title, note, (0.095, 0.965, 0.88), sizes=(17, 11.5))
    upper, lower = picture.subplots(2, 1, sharex=True, height_ratios=[3, 1.15])
    shown = look.short_names(labels, 24)
    right = min(0.8, 1 - (look.widest(shown, 12) + LINE) / picture.get_figwidth())
    picture.subplots_adjust(left=0.095, right=right, bottom=0.125, top=0.8 if note else 0.87, hspace=0.14)
    look.style_axes(upper, xlabel="", ylabel="g(λ)")
    look.style_axes(lower, xlabel="eigenvalue λ", ylabel="Σ g²")
    for number, (row, label) in enumerate(zip(kernels, shown, strict=True)):
        color, style = look.CYCLE[number % len(look.CYCLE)], "-" if number < 8 else "--"
        upper.plot(x, row, color=color, linewidth=2.2, label=label, ls=style)
    total = np.square(kernels).sum(0)
    lower.plot(x, total, color=look.INK, linewidth=2.2)
    lower.fill_between(x, total, color=look.FAINT, alpha=0.15, linewidth=0)
    lower.set_ylim(0, 1.25 * float(total.max()) or 1)
    lower.locator_params(axis="y", nbins=4)
    low, high = float(total.min()), float(total.max())
    bounds = f"{low:.3g} everywhere" if high - low < 1e-6 * high else f"from {low:.2g}\nto {high:.2g}"
    lower.text(1.02, 0.5, bounds, transform=lower.transAxes, fontsize=12, color=look.INK, va="center")
    if ticks is not None:
        rug = lower.get_xaxis_transform()
        lower.vlines(ticks, 0, 0.12, transform=rug, color=look.VERMILION, linewidth=0.7, alpha=0.6)
        lower.text(
            1.02, 0.04, "| eigenvalues", transform=lower.transAxes, fontsize=12, color=look.VERMILION, va="center"
        )
    upper.set_xlim(x[0], x[-1])
    upper.legend(frameon=False, fontsize=12, labelcolor=look.INK, loc="upper left", bbox_to_anchor=(1.0, 1.03))
    return picture

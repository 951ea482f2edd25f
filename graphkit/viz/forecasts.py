"""Pictures of forecasts: beside what came, how far off by the time of day, and where on the map."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphkit._checks import text
from graphkit.viz import figures as look
from graphkit.viz.checks import as_list, integers, numbers, table, with_gaps
from graphkit.viz.checks import names as names_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def forecast_lines(
    times: Sequence[Any],
    truth: np.ndarray,
    forecasts: Mapping[str, np.ndarray],
    names: Sequence[str],
    *,
    title: str,
    note: str = "",
    ylabel: str = "",
) -> Figure:
    """Return what came at some nodes over time, and what was forecast of it, a panel for each node.

    Args:
        times: dates or numbers of the moments, ``[time]``.
        truth: ``[time, nodes]``, NaN where nothing was measured.
        forecasts: what they are called, such as "3 ahead" -> forecasts of these moments, ``[time, nodes]``.
        names: of the nodes.
        title: one line.
        note: lines under it.
        ylabel: what is measured.

    Raises:
        ValueError: for shapes that do not fit each other.

    Example:
        >>> came = np.ones((5, 2))
        >>> picture = forecast_lines(range(5), came, {"1 ahead": came + 1}, ["a", "b"], title="two nodes")
        >>> len(picture.axes)
        2
    """
    moments = _moments("times", times)
    came = with_gaps("truth", truth, "time", "nodes")
    given = {
        str(name): with_gaps("forecasts", each, "time", "nodes") for name, each in _by_name("forecasts", forecasts)
    }
    wanted = [len(moments), came.shape[1]]
    for argument, each in (("truth", came), *(("forecasts", each) for each in given.values())):
        if list(each.shape) != wanted:
            raise ValueError(f"`{argument}` must have shape [times, nodes], {wanted}, got {list(each.shape)}.")
    if not came.shape[1]:
        raise ValueError("`truth` must hold at least one node.")
    truth, names = came, (names_of("names", as_list("names", names, "texts"), wanted[1]) or [])[: wanted[1]]
    many = len(names)
    picture = look.new_figure(11.0, 1.9 + 1.9 * many)
    height = picture.get_size_inches()[1]
    look.draw_headline(picture, title, note, (0.08, 1 - 0.2 / height, 1 - 0.6 / height))
    panels = picture.subplots(many, 1, sharex=True, squeeze=False)[:, 0]
    picture.subplots_adjust(left=0.08, right=0.985, bottom=0.65 / height, top=1 - 1.25 / height, hspace=0.28)
    for place, panel in enumerate(panels):
        look.style_axes(panel, xlabel="", ylabel=look.truncate(text("ylabel", ylabel), 14, 1.4))
        panel.plot(moments, truth[:, place], color=look.INK, linewidth=1.3, label="what came")
        for (name, each), colour in zip(given.items(), itertools.cycle(look.CYCLE)):
            panel.plot(moments, each[:, place], color=colour, linewidth=1.1, label=look.escape(name) or " ")
        panel.set_title(look.escape(names[place]), loc="left", fontsize=12, color=look.GREY)
        panel.margins(x=0.01)
    picture.legend(
        *panels[0].get_legend_handles_labels(),
        loc="upper right",
        bbox_to_anchor=(0.985, 1 - 0.72 / height),
        ncols=1 + len(given),
        frameon=False,
        fontsize=12,
    )
    _date_axis(panels[-1], moments)
    return picture


def error_lines(
    places: Sequence[float],
    errors: Mapping[str, np.ndarray],
    *,
    title: str,
    note: str = "",
    xlabel: str,
    ylabel: str,
) -> Figure:
    """Return errors over the time of day, or over another part of the calendar, a line for each horizon.

    Args:
        places: hours of the day, days of the week or moments, ``[places]``.
        errors: what it is called -> errors ``[places]``, NaN where there are none.
        title, note, xlabel, ylabel: texts.

    Raises:
        ValueError: for errors of another number.

    Example:
        >>> error_lines([0, 1], {"to 3": np.ones(2)}, title="t", xlabel="hour", ylabel="RMSE").axes[0].get_xlabel()
        'hour'
    """
    at = numbers("places", places, "places")
    given = {str(name): with_gaps("errors", each, "places") for name, each in _by_name("errors", errors)}
    picture, axes = look.single_panel(
        title,
        note,
        xlabel=look.truncate(text("xlabel", xlabel), 14, 8.0),
        ylabel=look.truncate(text("ylabel", ylabel), 14, 3.0),
    )
    for (name, each), colour in zip(given.items(), itertools.cycle(look.CYCLE)):
        if len(each) != len(at):
            raise ValueError(f"`errors` must hold {len(at)} numbers, as many as `places`, got {len(each)}.")
        axes.plot(at, each, color=colour, linewidth=1.6, label=look.escape(name) or " ")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.legend(frameon=False, fontsize=12, ncols=len(errors), loc="upper left", bbox_to_anchor=(0, 1.1))
    return picture


def error_map(
    pos: np.ndarray, errors: np.ndarray, edge_index: np.ndarray | None = None, *, title: str, note: str = "", label: str
) -> Figure:
    """Return the nodes where they lie, coloured by their error.

    Args:
        pos: ``[nodes, 2]``.
        errors: ``[nodes]``, NaN where there are none.
        edge_index: edges that are drawn between them, ``[2, edges]``.
        title, note: texts.
        label: what the colours are.

    Raises:
        ValueError: for another number of errors.

    Example:
        >>> error_map(np.zeros((3, 2)), np.ones(3), title="three", label="RMSE").axes[0].get_xlabel()
        ''
    """
    from matplotlib.collections import LineCollection

    pos, errors = numbers("pos", pos, "nodes", "two"), with_gaps("errors", errors, "nodes")
    if pos.shape != (len(errors), 2):
        raise ValueError(f"`pos` must have shape [{len(errors)}, 2], as many as `errors`, got {list(pos.shape)}.")
    if edge_index is not None:
        edge_index = integers("edge_index", edge_index, "two", "edges", below=len(errors))
        if len(edge_index) != 2:
            raise ValueError(f"`edge_index` must have shape [2, edges], got {list(edge_index.shape)}.")
    picture = look.new_figure(9.0, 7.4)
    look.draw_headline(picture, title, note, (0.05, 0.965, 0.91))
    axes = picture.subplots()
    picture.subplots_adjust(left=0.05, right=0.93, bottom=0.04, top=0.85)
    if edge_index is not None and edge_index.size:
        lines = pos[edge_index.T]
        axes.add_collection(LineCollection(list(lines), colors="#CFCFCF", linewidths=0.5, zorder=1))
    drawn = axes.scatter(
        pos[:, 0], pos[:, 1], c=errors, cmap="viridis", s=34, edgecolors="white", linewidths=0.4, zorder=2
    )
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_axis_off()
    bar = picture.colorbar(drawn, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label(look.truncate(text("label", label), 13, 5.0), fontsize=13, color=look.INK)
    bar.outline.set_visible(False)
    return picture


def _moments(argument: str, times: Any) -> np.ndarray:
    """Return dates, or finite numbers, of the moments."""
    dates = getattr(getattr(times, "dtype", None), "kind", "") == "M" and times.ndim == 1
    return np.asarray(times) if dates else numbers(argument, times, "time")


def _by_name(argument: str, given: Any) -> Iterable[tuple[Any, Any]]:
    """Return what stands in a mapping."""
    return table(argument, given, "array").items()


def _date_axis(axes: Any, times: np.ndarray) -> None:
    """Write dates shortly, or say that moments are numbered."""
    if times.dtype.kind == "M":
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        return
    axes.set_xlabel("moment", fontsize=14, color=look.INK)

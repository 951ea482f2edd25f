"""One self-contained page of a run of forecasts: nodes by their error, and what was forecast of each."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from graphkit._checks import extra, instance, text
from graphkit.viz.figures import CYCLE
from graphkit.viz.run_page import FOLDER, script_json, shorten


@dataclass(frozen=True, kw_only=True)
class ForecastPage:
    """What a page of forecasts says.

    Args:
        title: of the page.
        headline: the result in a line.
        ids: what the nodes are called.
        points: where they lie, ``[nodes, 2]``.
        axes: what the two axes are.
        errors: of each node, ``[nodes]``.
        times: of the moments, as texts or numbers.
        truth: ``[time, nodes]``.
        forecasts: what they are called -> ``[time, nodes]``.
        record: rows of a table: what it is, and its value.
        left_out: what is not shown, in words.
    """

    title: str
    headline: str
    ids: Sequence[Any]
    points: np.ndarray
    axes: tuple[str, str]
    errors: np.ndarray
    times: Sequence[Any]
    truth: np.ndarray
    forecasts: Mapping[str, np.ndarray]
    record: Sequence[tuple[str, str]]
    left_out: str = ""

    def __post_init__(self) -> None:
        wanted = (len(self.times), len(self.ids))
        shapes = {self.truth.shape, *(each.shape for each in self.forecasts.values())}
        if shapes != {wanted} or len(self.points) != wanted[1] or len(self.errors) != wanted[1]:
            raise ValueError(f"`truth`, `forecasts`, `points` and `errors` must be of {wanted} times and nodes.")


def forecast_page(page: ForecastPage) -> str:
    """Return the page as HTML that needs no network.

    Args:
        page: what it says.

    Raises:
        ValueError: without plotly (``graphkit[view]``).

    Example:
        >>> one = np.ones((2, 1))
        >>> page = ForecastPage(title="a & b", headline="", ids=["<n>"], points=np.zeros((1, 2)), axes=("x", "y"),
        ...                     errors=np.ones(1), times=[0, 1], truth=one, forecasts={"1 ahead": one}, record=[])
        >>> "<n>" in forecast_page(page).partition("application/json")[2].partition("</script>")[0]
        False
    """
    extra("view", "view", "plotly")
    from plotly.offline import get_plotlyjs

    instance("page", page, ForecastPage, "a ForecastPage")
    folder = files("graphkit.viz") / FOLDER
    content = {
        "headline": page.headline,
        "left_out": page.left_out,
        "ids": [str(each) for each in page.ids],
        "points": [shorten(page.points[:, axis]) for axis in (0, 1)],
        "axes": list(page.axes),
        "errors": shorten(page.errors),
        "times": [str(each) for each in page.times],
        "truth": [shorten(each) for each in page.truth.T],
        "forecasts": {name: [shorten(each) for each in values.T] for name, values in page.forecasts.items()},
        "colours": list(CYCLE),
        "first": int(np.argsort(np.nan_to_num(page.errors))[len(page.errors) // 2]),
        "record": [list(row) for row in page.record],
    }
    parts = {
        "title": html.escape(text("title", page.title)),
        "style": (folder / "page.css").read_text(encoding="utf-8"),
        "script": (folder / "forecast.js").read_text(encoding="utf-8"),
        "plotly": get_plotlyjs(),
        "data": script_json(content),
    }
    frame = (folder / "forecast.html").read_text(encoding="utf-8")
    return re.sub(r"%(\w+)%", lambda found: parts[found[1]], frame)

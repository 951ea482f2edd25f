"""One self-contained page of a run: items in two dimensions, neighbours, curves, confusion matrix, record."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np

from graphkit._checks import extra, instance, text
from graphkit.viz.embeddings import COLOURS

FOLDER = "page"
"""The page's parts, beside this file."""


@dataclass(frozen=True, kw_only=True)
class PageItems:
    """What a page shows of items, in their order.

    Args:
        ids: what they are called.
        points: heading -> places in two dimensions, ``[items, 2]``.
        axes: heading -> what the two axes are.
        classes: names of the classes; none where numbers are predicted.
        true, predicted: classes ``[items]``, -1 for none; of numbers the first ones.
        predicted_word: what ``predicted`` is called.
        confidence: probability of the predicted class ``[items]``.
        parts: names of the parts of the split.
        part: of each item ``[items]``, -1 for none.
        edges: pairs of neighbours ``[2, edges]``, numbers of items; ``None`` where items have none.
        nearest: in place of those the items nearest to each, nearest first ``[items, count]``, -1 for none.
        distances: of these.
        nearest_word, distance_word: what both are called.
        left_out: what is not shown, in words.
    """

    ids: Sequence[Any]
    points: Mapping[str, np.ndarray]
    axes: Mapping[str, tuple[str, str]]
    classes: Sequence[str]
    true: np.ndarray
    predicted: np.ndarray
    predicted_word: str = "predicted"
    confidence: np.ndarray | None = None
    parts: Sequence[str] = ()
    part: np.ndarray | None = None
    edges: np.ndarray | None = None
    nearest: np.ndarray | None = None
    distances: np.ndarray | None = None
    nearest_word: str = "nearest items"
    distance_word: str = "distance"
    left_out: str = ""

    def __post_init__(self) -> None:
        counts = {len(self.ids), len(self.true), len(self.predicted), *(len(each) for each in self.points.values())}
        if len(counts) > 1 or not self.points:
            raise ValueError(f"`items` must hold as many of everything, and places, got {sorted(counts)}.")


@dataclass(frozen=True, kw_only=True)
class PageCurves:
    """The figures of every epoch of one training.

    Args:
        name: of the training.
        train_loss, figure, validation_loss: one number for each epoch; the last may be left out.
        selected: the selected epoch, from 1.
    """

    name: str
    train_loss: Sequence[float]
    figure: Sequence[float]
    selected: int
    validation_loss: Sequence[float] = ()


@dataclass(frozen=True, kw_only=True)
class RunPage:
    """What a page of a run says.

    Args:
        title: of the page.
        headline: the result in a line.
        items: what is predicted.
        metric: name of the figure.
        record: rows of a table: what it is, and its value.
        curves: of each training.
        confusion: numbers of items ``[true, predicted]``.
        confusion_of: whose items these are.
    """

    title: str
    headline: str
    items: PageItems
    metric: str
    record: Sequence[tuple[str, str]]
    curves: Sequence[PageCurves] = ()
    confusion: np.ndarray | None = None
    confusion_of: str = ""
    colours: Sequence[str] = field(default=COLOURS)


def run_page(page: RunPage) -> str:
    """Return the page as HTML that needs no network: everything is in it, and a rule in it forbids to ask for more.

    Names that come from data are shown letter by letter.

    Args:
        page: what it says.

    Raises:
        ValueError: without plotly (``graphkit[view]``).

    Example:
        >>> items = PageItems(ids=["a"], points={"PCA": np.zeros((1, 2))}, axes={"PCA": ("1", "2")}, classes=["<b>"],
        ...                   true=np.array([0]), predicted=np.array([0]))
        >>> page = RunPage(title="GCN & co", headline="", items=items, metric="accuracy", record=[("model", "gcn")])
        >>> "<b>" in run_page(page).partition("application/json")[2].partition("</script>")[0]
        False
    """
    extra("view", "view", "plotly")
    from plotly.offline import get_plotlyjs

    instance("page", page, RunPage, "a RunPage")
    folder = files("graphkit.viz") / FOLDER
    parts = {
        "title": html.escape(text("title", page.title)),
        "style": (folder / "page.css").read_text(encoding="utf-8"),
        "script": (folder / "page.js").read_text(encoding="utf-8"),
        "plotly": get_plotlyjs(),
        "data": script_json(_content(page)),
    }
    frame = (folder / "page.html").read_text(encoding="utf-8")
    return re.sub(r"%(\w+)%", lambda found: parts[found[1]], frame)


def _content(page: RunPage) -> dict[str, Any]:
    """Return what the script of the page reads."""
    items = page.items
    none = [-1] * len(items.ids)
    classes = [str(name) for name in items.classes]
    content: dict[str, Any] = {
        "title": page.title,
        "headline": page.headline,
        "metric": page.metric,
        "colours": list(page.colours),
        "classes": classes,
        "parts": list(items.parts),
        "left_out": items.left_out,
        "predicted_word": items.predicted_word,
        "spaces": {name: [shorten(points[:, axis]) for axis in (0, 1)] for name, points in items.points.items()},
        "axes": {name: list(axes) for name, axes in items.axes.items()},
        "items": {
            "ids": [each if isinstance(each, int) else str(each) for each in items.ids],
            "true": items.true.tolist() if classes else none,
            "predicted": items.predicted.tolist() if classes else none,
            "confidence": None if items.confidence is None else shorten(items.confidence),
            "part": none if items.part is None else items.part.tolist(),
        },
        "values": None if classes else {"true": shorten(items.true), "predicted": shorten(items.predicted)},
        "curves": [{**vars(each), **{name: shorten(getattr(each, name)) for name in CURVES}} for each in page.curves],
        "record": [list(row) for row in page.record],
    }
    if items.edges is not None:
        content["indptr"], content["indices"] = _neighbours(items.edges, len(items.ids))
    if items.nearest is not None and items.distances is not None:
        content["nearest"] = items.nearest.tolist()
        content["distances"] = [shorten(row) for row in items.distances]
        content |= {"nearest_word": items.nearest_word, "distance_word": items.distance_word}
    if page.confusion is not None:
        content["confusion"] = {"of": page.confusion_of, "counts": page.confusion.tolist()}
    return content


CURVES = ("train_loss", "validation_loss", "figure")
"""What is drawn of each training."""


def _neighbours(edges: np.ndarray, items: int) -> tuple[list[int], list[int]]:
    """Return the neighbours of each item in either direction, each once, one item after the other."""
    both = np.concatenate([edges, edges[::-1]], axis=1)
    both = np.unique(both[:, both[0] != both[1]], axis=1)
    return np.searchsorted(both[0], np.arange(items + 1)).tolist(), both[1].tolist()


def shorten(values: Any) -> list[float | None]:
    """Return numbers with five digits; what is none of them is left out."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in np.asarray(values, dtype=float).tolist()]


def script_json(content: Any) -> str:
    """Return JSON that can stand in a page: no tag begins or ends in it."""
    written = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

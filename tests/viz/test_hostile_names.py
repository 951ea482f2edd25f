"""Whatever a data set, a class, a method or a graph is called: every picture shows it letter by letter and is written.

Between two dollar signs matplotlib sees a formula, which need not be one; what begins with an underscore it leaves out
of legends; and a text from a file may hold what moves a terminal's cursor.
"""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from matplotlib import cbook
from matplotlib.text import Text

import graphkit.viz
from graphkit._checks import printable
from graphkit.viz import (
    accuracy_curves,
    class_evaluation,
    embedding_scatter,
    error_lines,
    error_map,
    filter_bank,
    forecast_lines,
    learning_curves,
    method_accuracies,
    neighbour_gallery,
    pair_distances,
    responses,
    run_figures,
    save,
    spectrum,
    wavelets_on_graph,
)
from graphkit.viz.figures import escape, short_names

FOUND = {"mean": 0.7, "interval": 0.01, "values": [0.6, 0.8]}
Y, Z = np.array([0, 0, 1, 1, 2, 2]), np.random.default_rng(0).normal(size=(6, 3))
POINTS = np.linspace(0, 2, 6)
SEEDS = [[1.0, 0.5]]

NAMES = {
    "formula": r"$\x$",
    "dollars": "a$b$c$",
    "backslash": r"\frac{1}{0} \$",
    "colours": "\x1b[31mred\x1b[0m",
    "lines": "one\ntwo\r\tthree",
    "long": "a very long name " * 400,
    "empty": "",
    "underscore": "_hidden",
    "signs": "100 % {of} #1 ^ & ~",
    "beyond": "\U0001f600 \U00020000 漢字",
    "backwards": "\u202eabc\u200b\x00\x7f\ud800",
}
"""Made-up names of data sets, classes, methods and graphs."""

PICTURES = {
    "learning_curves": lambda name: learning_curves(
        SEEDS, SEEDS, SEEDS, title=f"GCN on {name}", note=f"split {name}\nprotocol", metric_name=name, best_epochs=[2]
    ),
    "method_accuracies": lambda name: method_accuracies(
        {name: FOUND, "b": FOUND}, {name: FOUND}, title=name, note=name
    ),
    "accuracy_curves": lambda name: accuracy_curves(
        {name: {1: FOUND, 3: FOUND}, "b": {1: FOUND}}, over=name, title=name, note=name
    ),
    "neighbour_gallery": lambda name: neighbour_gallery(
        np.array([0, 2]), np.array([[1, 2], [3, -1]]), Y, title=name, note=name, names=[name, "b", name]
    ),
    "embedding_scatter": lambda name: embedding_scatter(
        {f"before: {name}": Z, name: Z}, Y, title=name, note=name, names=[name, "b", name + "!"], methods=["PCA"]
    ),
    "forecast_lines": lambda name: forecast_lines(
        POINTS, Z[:, :2], {name: Z[:, :2]}, [name, "b"], title=name, note=name, ylabel=name
    ),
    "error_lines": lambda name: error_lines(POINTS, {name: POINTS}, title=name, note=name, xlabel=name, ylabel=name),
    "error_map": lambda name: error_map(Z[:, :2], POINTS[: len(Z)], title=name, note=name, label=name),
    "pair_distances": lambda name: pair_distances({name: Z}, Y, title=name, note=name),
    "spectrum": lambda name: spectrum(POINTS, title=f"Spectrum of {name}", note=name),
    "responses": lambda name: responses({name: POINTS, "b": POINTS}, POINTS, title=name, note=name),
    "filter_bank": lambda name: filter_bank(POINTS, np.stack([POINTS, POINTS]), [name, "b"], title=name, note=name),
    "class_evaluation": lambda name: class_evaluation(
        np.array([[3, 1], [0, 2]]), np.array([[4, 0.8, 0.75], [2, 0.6, 0.5]]), [name, "b"], title=name, note=name
    ),
    "run_figures": lambda name: run_figures({name: [0.7] * 5, "b": [0.6]}, title=name, metric_name=name, note=name),
    "wavelets_on_graph": lambda name: wavelets_on_graph(
        Z[:, :2], np.array([[0, 1], [1, 2]]), np.eye(6)[:2], [name, "b"], centre=0, title=name, note=name
    ),
}
FORMS = {"formula": ("png", "svg", "pdf"), "beyond": ("png", "pdf"), "backwards": ("svg",)}
"""Of some names the files are written too; of the others every text is laid out."""
NO_PICTURES = {"multiplicities", "require_format", "save"}


def test_the_law_is_about_every_picture():
    assert set(PICTURES) | NO_PICTURES == set(graphkit.viz.__all__)


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_written_whatever_things_are_called(kind, name, tmp_path):
    picture = PICTURES[kind](NAMES[name])
    for form in FORMS.get(name, ()) if kind in ("embedding_scatter", "method_accuracies") else ():
        save(picture, tmp_path / f"picture.{form}")
        assert (tmp_path / f"picture.{form}").stat().st_size > 1000
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        picture.draw_without_rendering()
    texts = [text for text in picture.findobj(Text) if text.get_text()]
    for text in texts:
        own = text.get_text().replace("\n", "")
        assert not cbook.is_math_text(own) or "mathdefault" in own  # matplotlib's own numbers on an axis
        assert own.isprintable()
    for text in picture.texts:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")
            box = text.get_window_extent()
        assert box.x1 <= picture.bbox.x1
    shown = "".join(text.get_text() for text in texts).replace(r"\$", "$")
    assert printable(NAMES[name]).replace(r"\$", "$")[:6] in shown


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("name", ["Municipal Waste Management, West Wing " * 2, "W" * 80], ids=["words", "wide"])
def test_no_name_is_so_long_that_it_leaves_the_picture(kind, name):
    picture = PICTURES[kind](name)
    picture.draw_without_rendering()
    ticks = {label for axes in picture.axes for label in (*axes.get_xticklabels(), *axes.get_yticklabels())}
    words = {text for text in ticks if re.search("[A-Z]", text.get_text())}
    for text in {
        *picture.findobj(Text)
    } - ticks | words:  # a tick of a number may lie beyond its axis, and is not drawn
        box = text.get_window_extent()
        if text.get_text() and text.get_visible():
            assert picture.bbox.x0 <= box.x0 <= box.x1 <= picture.bbox.x1, text
            assert picture.bbox.y0 <= box.y0 <= box.y1 <= picture.bbox.y1, text


def test_a_gallery_keeps_every_name_in_its_box():
    names = ["Reinforcement learning", "Probabilistic methods of several kinds", "AI"]
    picture = neighbour_gallery(np.array([0, 2]), np.array([[1, 2], [3, 4]]), Y, title="classes", names=names)
    picture.draw_without_rendering()
    for axes in picture.axes:
        for text in axes.texts:
            box, frame = text.get_window_extent(), axes.get_window_extent()
            assert frame.x0 <= box.x0 <= box.x1 <= frame.x1
            assert frame.y0 <= box.y0 <= box.y1 <= frame.y1


def test_long_names_that_begin_alike_are_told_apart():
    names = [f"Department of Applied {what}, unit {unit}" for what in ("Physics", "Law") for unit in range(9)]
    for most in (12, 16, 24):
        assert len(set(short_names(names, most))) == len(names)


def test_what_is_not_all_drawn_is_said():
    many = np.random.default_rng(0).normal(size=(2600, 2))
    y = np.arange(2600) % 2
    drawn = embedding_scatter({"z": many}, y, title="many", methods=["PCA"])
    assert "2,500 of 2,600 items are drawn, evenly spaced" in drawn.texts[1].get_text()
    drawn = pair_distances({"z": many}, y, title="many", note="a split")
    assert "a split\n1,500 of 2,600 items" in drawn.texts[1].get_text()
    assert "drawn" not in pair_distances({"z": many}, y, title="many", most=2600).texts[1].get_text()


@pytest.mark.parametrize("kind", ["responses", "filter_bank", "embedding_scatter"])
def test_legends_name_what_begins_with_an_underscore(kind):
    picture = PICTURES[kind]("_hidden")
    legends = picture.legends or [picture.axes[0].get_legend()]
    assert " _hidden" in [text.get_text() for text in legends[0].get_texts()]


def test_a_name_without_anything_odd_stays_as_it_is():
    assert escape("ogbn-arxiv (2 ways) μ ± λ") == "ogbn-arxiv (2 ways) μ ± λ"
    assert escape("a" * 50, 10) == "a" * 9 + "…"
    assert printable("cora") == "cora"
    assert printable("\x1b]0;title\x07") == r"\x1b]0;title\x07"

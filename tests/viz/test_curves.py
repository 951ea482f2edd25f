"""Learning curves: what they show, and that drawing them touches nothing global."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from graphkit.viz import learning_curves, require_format, save

CURVES = ([[1.0, 0.5, 0.4], [1.2, 0.7]], [[1.1, 0.8, 0.9], [1.3, 1.0]], [[0.5, 0.7, 0.8], [0.3, 0.5]])


def test_the_line_is_the_mean_of_the_seeds_still_running_in_a_band_of_their_extremes():
    picture = learning_curves(*CURVES, title="GCN on a graph", best_epochs=[3, 2])
    left, right = picture.axes
    training = left.lines[0]
    np.testing.assert_allclose(training.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(training.get_ydata(), [1.1, 0.6, 0.4])
    np.testing.assert_allclose(right.lines[0].get_ydata(), [40, 60, 80])
    np.testing.assert_allclose(right.lines[1].get_xydata(), [[3, 80], [2, 50]])
    corners = left.collections[0].get_paths()[0].vertices
    assert corners[:, 1].max() == 1.2
    assert corners[:, 1].min() == 0.4


def test_one_seed_has_no_band():
    picture = learning_curves(*([seeds[0]] for seeds in CURVES), title="one seed")
    assert not any(axes.collections for axes in picture.axes)


def test_axes_say_what_they_measure():
    picture = learning_curves(*CURVES, title="GCN on a graph", note="public split")
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in picture.axes] == [
        ("epoch", "cross-entropy"),
        ("epoch", "validation accuracy (%)"),
    ]
    assert [text.get_text() for text in picture.texts] == ["GCN on a graph", "public split"]


def test_no_text_leaves_the_picture():
    picture = learning_curves(*CURVES, title="GCN on a graph", note="public split", best_epochs=[3, 2])
    picture.canvas.draw()
    frame = picture.bbox
    for text in (*picture.texts, *(label for axes in picture.axes for label in (axes.xaxis.label, axes.yaxis.label))):
        box = text.get_window_extent()
        assert frame.x0 <= box.x0 <= box.x1 <= frame.x1
        assert frame.y0 <= box.y0 <= box.y1 <= frame.y1


@pytest.mark.parametrize("seeds", [1, 2, 100])
def test_no_legend_stands_on_a_curve_or_a_text(seeds):
    note = "split stratified(seed=0, train=0.6)  ·  protocol 0123456789abcdef"
    some = [(50 * each)[:seeds] for each in CURVES]
    picture = learning_curves(*some, title="GCN on a graph", note=note, best_epochs=(50 * [3, 2])[:seeds])
    picture.canvas.draw()
    for axes in picture.axes:
        legend = axes.get_legend().get_window_extent()
        assert not any(legend.overlaps(other.get_window_extent()) for other in picture.texts)
        assert legend.y0 >= axes.get_window_extent().y1 - 1
        assert legend.x0 >= axes.get_window_extent().x0


def test_a_saved_picture_can_be_read_and_leaves_nothing_beside_it(tmp_path):
    save(learning_curves(*CURVES, title="GCN on a graph"), tmp_path / "new" / "curve.png")
    with Image.open(tmp_path / "new" / "curve.png") as image:
        assert image.size == (1760, 832)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["curve.png"]


def test_settings_of_matplotlib_stay_as_they_were(tmp_path):
    before = dict(mpl.rcParams)
    save(learning_curves(*CURVES, title="GCN on a graph"), tmp_path / "curve.svg")
    assert dict(mpl.rcParams) == before


def test_pyplot_is_never_imported():
    code = "import sys, graphkit.viz; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_ending_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`picture` must end in \.png, .*, got 'curve\.doc'"):
        require_format(tmp_path.__class__("curve.doc"))


@pytest.mark.parametrize("empty", [([], [], []), ([[]], [[]], [[]])], ids=["no seed", "no epoch"])
def test_nothing_to_draw_is_refused(empty):
    with pytest.raises(ValueError, match="at least one seed"):
        learning_curves(*empty, title="nothing")

"""Spectra and responses: what they show."""

from __future__ import annotations

import numpy as np
import pytest

from graphkit.viz import multiplicities, responses, save, spectrum


def test_equal_eigenvalues_are_counted_once_each():
    values, times = multiplicities(np.array([1.0, 0.0, 1.0 + 1e-8, 2.0, 1.0]))
    np.testing.assert_allclose(values, [0, 1, 2])
    assert times.tolist() == [1, 3, 1]
    assert multiplicities(np.empty(0))[1].tolist() == []


def test_the_bars_hold_all_pairs_and_the_most_frequent_are_named(tmp_path):
    values = np.concatenate((np.zeros(7), np.linspace(0.1, 1.9, 50), np.ones(20), [2.0]))
    picture = spectrum(values, title="a graph", note="sym", nodes=100, marked=2)
    axes = picture.axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == len(values)
    assert [text.get_text() for text in axes.texts] == ["0 comes 7 times", "1 comes 20 times"]
    assert axes.get_ylabel() == "number of pairs (of 100)"
    save(picture, tmp_path / "spectrum.png")


def test_a_spectrum_without_repetitions_marks_none():
    assert not spectrum(np.linspace(0, 2, 9), title="a path").axes[0].texts


def test_the_line_is_the_mean_of_the_channels(tmp_path):
    at = np.linspace(0, 2, 5)
    curves = {"one": at, "many": np.stack((at, 3 * at), 1)}
    picture = responses(curves, at, title="filters", eigenvalues=np.array([0.0, 1.0, 2.0]))
    axes = picture.axes[0]
    drawn = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(drawn["one"].get_ydata(), at)
    np.testing.assert_allclose(drawn["many"].get_ydata(), 2 * at)
    assert len(axes.collections) == 1
    save(picture, tmp_path / "responses.png")


@pytest.mark.parametrize("picture", [spectrum, responses])
def test_no_text_leaves_the_picture(picture):
    if picture is spectrum:
        drawn = spectrum(np.repeat([0.0, 1.0, 1.9, 2.0], 300), title="a graph", note="sym")
    else:
        drawn = responses({"a filter": np.ones(3)}, np.arange(3.0), title="a filter", note="learnt")
    drawn.canvas.draw()
    frame = drawn.bbox
    axes = drawn.axes[0]
    for text in (*drawn.texts, *axes.texts, axes.xaxis.label, axes.yaxis.label):
        box = text.get_window_extent()
        assert frame.x0 <= box.x0 <= box.x1 <= frame.x1
        assert frame.y0 <= box.y0 <= box.y1 <= frame.y1


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="`eigenvalues` must hold at least one number"):
        spectrum(np.empty(0), title="nothing")
    with pytest.raises(ValueError, match="`eigenvalues` must be finite"):
        spectrum(np.array([np.nan]), title="nothing")
    with pytest.raises(ValueError, match="`curves` must hold at least one response"):
        responses({}, np.arange(3.0), title="nothing")
    with pytest.raises(ValueError, match="each of the 3 points"):
        responses({"short": np.ones(2)}, np.arange(3.0), title="nothing")

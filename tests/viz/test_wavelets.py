"""Pictures of wavelets: what is drawn where, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PathCollection

from graphkit.operators import meyer
from graphkit.viz import filter_bank, wavelets_on_graph

RING = np.stack([np.cos(np.arange(6)), np.sin(np.arange(6))], 1)
EDGES = np.array([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
VALUES = np.array([[4.0, -1.0, 0.0, 0.0, 0.0, 1.0], [0.2, 0.1, 0.1, 0.1, 0.1, 0.1]])


def drawn(**options):
    return wavelets_on_graph(RING, EDGES, VALUES, ["fine", "coarse"], centre=0, title="wavelets", **options)


def test_every_wavelet_is_drawn_on_its_graph_with_colours_of_its_own_scale():
    picture = drawn(note="a ring")
    first, second, bar = picture.axes
    for axes, values in ((first, VALUES[0]), (second, VALUES[1])):
        edges, dots = axes.collections
        assert isinstance(edges, LineCollection)
        assert isinstance(dots, PathCollection)
        np.testing.assert_allclose(np.stack(edges.get_segments()), RING[EDGES.T])
        np.testing.assert_allclose(dots.get_offsets(), RING)
        np.testing.assert_allclose(dots.get_array(), np.sign(values) * np.sqrt(np.abs(values) / np.abs(values).max()))
        np.testing.assert_allclose(axes.lines[0].get_xydata(), RING[:1])  # the ring around the centre
    assert [axes.get_title() for axes in (first, second)] == ["fine", "coarse"]
    assert [axes.get_xlabel() for axes in (first, second)] == ["largest value 4", "largest value 0.2"]
    assert [text.get_text() for text in bar.get_yticklabels()][2:] == ["0", "1/4", "largest"]
    assert [text.get_text() for text in picture.texts] == ["wavelets", "a ring"]


def test_more_than_three_stand_in_rows():
    picture = wavelets_on_graph(RING, EDGES, np.ones((4, 6)), list("abcd"), centre=1, title="four")
    assert [axes.get_title() for axes in picture.axes if axes.get_visible()] == [*"abcd", ""]


def test_kernels_stand_above_the_sum_of_their_squares():
    x = np.linspace(0, 2, 9)
    kernels = np.stack([1 - x / 2, x / 2])
    picture = filter_bank(x, kernels, ["low", "high"], title="two bands", spectrum=np.array([0.0, 1.5]))
    upper, lower = picture.axes
    np.testing.assert_allclose([line.get_ydata() for line in upper.lines], kernels)
    np.testing.assert_allclose(lower.lines[0].get_ydata(), (kernels**2).sum(0))
    assert [text.get_text() for text in upper.get_legend().get_texts()] == ["low", "high"]
    assert [text.get_text() for text in lower.texts] == ["from 0.5\nto 1", "| eigenvalues"]


def test_a_tight_frame_says_so():
    x = torch.linspace(0, 2, 50, dtype=torch.float64)
    picture = filter_bank(x.numpy(), meyer(3)(x).numpy(), list("abc"), title="Meyer")
    assert picture.axes[1].texts[0].get_text() == "1 everywhere"


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"`positions` must be \[nodes, 2\] and `wavelets` \[pictures, nodes\]"):
        wavelets_on_graph(RING[:5], EDGES, VALUES, ["a", "b"], centre=0, title="")
    with pytest.raises(ValueError, match="`labels` must hold one text for each of 2, got 1"):
        filter_bank(np.linspace(0, 2, 9), np.ones((2, 9)), ["one"], title="")
    with pytest.raises(ValueError, match=r"`kernels` must have a row for each of 2 `labels` .* 9 `.*, got \[2, 8\]"):
        filter_bank(np.linspace(0, 2, 9), np.ones((2, 8)), ["one", "two"], title="")

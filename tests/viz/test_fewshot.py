"""Pictures of few-shot methods: what is drawn is what was measured, and names do not cover each other."""

from __future__ import annotations

import itertools

import pytest

from graphkit.viz import accuracy_curves, method_accuracies


def curves(names=3, numbers=(1, 3, 5), step=0.01):
    return {
        f"method {row}": {
            number: {"mean": 0.6 + 0.05 * k + step * row, "interval": 0.02} for k, number in enumerate(numbers)
        }
        for row in range(names)
    }


def test_lines_are_the_figures_over_numbers_as_equal_steps():
    axes = accuracy_curves(curves(), over="shots", title="cora").axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "3", "5"]
    lines = [container.lines[0] for container in axes.containers]
    assert [round(height, 6) for height in lines[1].get_ydata()] == [61.0, 66.0, 71.0]
    assert [round(place, 1) for place in lines[1].get_xdata()] == [0.0, 1.0, 2.0]
    assert axes.get_ylabel() == "accuracy (%)"


def test_names_of_lines_that_end_together_stand_apart_in_their_order():
    picture = accuracy_curves(curves(names=8, step=0.0001), over="inner steps", title="cora")
    axes = picture.axes[0]
    picture.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == [f"method {row}" for row in range(8)]
    assert all(low.y1 <= high.y0 + 1 for low, high in itertools.pairwise(boxes))
    assert max(box.x1 for box in boxes) <= picture.bbox.x1


def test_no_axis_and_no_interval_runs_past_what_an_accuracy_can_be():
    certain, none = {"mean": 1.0, "interval": 0.03, "values": [1.0]}, {"mean": 0.0, "interval": 0.03, "values": [0.0]}
    for axes in (
        method_accuracies({"a": certain, "b": none}, title="digits").axes[0],
        accuracy_curves({"a": {1: certain}, "b": {1: none}}, over="shots", title="digits").axes[0],
    ):
        limits = axes.get_ylim() if "shots" in axes.get_xlabel() else axes.get_xlim()
        assert limits == (0, 100)
        for container in axes.containers:
            for bar in container.lines[2]:
                ends = bar.get_segments()[0][:, int("shots" in axes.get_xlabel())]
                assert 0 <= ends.min() <= ends.max() <= 100


def test_a_method_may_lack_a_number():
    some = curves()
    del some["method 1"][5]
    assert len(accuracy_curves(some, over="inner steps", title="cora").axes[0].containers) == 3


@pytest.mark.parametrize(("made", "message"), [({}, "at least one method"), ({"a": {}}, "at least one number")])
def test_nothing_to_draw_is_refused(made, message):
    with pytest.raises(ValueError, match=message):
        accuracy_curves(made, over="shots", title="cora")


def test_more_lines_than_can_be_told_apart_are_refused():
    with pytest.raises(ValueError, match="at most 8 methods, got 9"):
        accuracy_curves(curves(names=9), over="shots", title="cora")


def test_methods_stand_below_each_other_in_their_order():
    figures = {"mean": 0.8, "interval": 0.01, "values": [0.7, 0.9]}
    axes = method_accuracies({"a": figures, "b": figures}, {"b": figures}, title="cora").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    with pytest.raises(ValueError, match="at least one method"):
        method_accuracies({}, title="cora")

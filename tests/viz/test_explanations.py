"""Pictures of explanations: nodes, pairs and features are there, names are shown as they are."""

from __future__ import annotations

import numpy as np
import pytest

from graphkit.viz.explanations import explanation_graph

PAIRS = np.array([[0, 0, 2], [1, 2, 3]])
GIVEN = {"names": ["$a$", "_b", "c", "d"], "title": "node a", "note": "edges: 0.5"}


def test_nodes_pairs_and_features_are_drawn():
    picture = explanation_graph(
        PAIRS, [0.9, 0.5, 0.1], [("f", 0.7)], groups=[0, 1, 1, -1], group_names=["x", "y"], centre=0, **GIVEN
    )
    graph, bars = picture.axes
    assert len(graph.collections[0].get_segments()) == 3
    widths = graph.collections[0].get_linewidths()
    assert list(widths) == sorted(widths, reverse=True)
    assert [text.get_text() for text in graph.texts] == [r"\$a\$", " _b", "c", "d"]
    assert [text.get_text() for text in graph.get_legend().get_texts()] == ["x", "y"]
    assert [bar.get_width() for bar in bars.patches] == [0.7]


def test_either_may_be_missing():
    assert len(explanation_graph(PAIRS, [0.9, 0.5, 0.1], **GIVEN).axes) == 1
    assert len(explanation_graph(np.empty((2, 0), dtype=int), [], [("f", 0.7)], **GIVEN).axes) == 1


def test_wrong_arguments_are_refused_in_words():
    with pytest.raises(ValueError, match=r"^`edges` must hold a pair of nodes for each of 2 scores"):
        explanation_graph(PAIRS, [0.9, 0.5], **GIVEN)
    with pytest.raises(ValueError, match="there is nothing to be drawn"):
        explanation_graph(np.empty((2, 0), dtype=int), [], **GIVEN)
    with pytest.raises(ValueError, match=r"^`scores`"):
        explanation_graph(PAIRS, [0.9, 0.5, np.nan], **GIVEN)


@pytest.mark.parametrize("pairs", [0, 2])
@pytest.mark.parametrize("name", ["x", "W" * 60, "Łódź = a very long name of a column"])
def test_names_of_any_length_stay_in_the_picture_and_beside_the_graph(name, pairs):
    edges = np.array([[0, 0], [1, 2]])[:, :pairs]
    given = {"names": [name] * 3, "title": "t", "groups": [0, 1, 0], "group_names": [name, "b"]}
    picture = explanation_graph(edges, [0.9, 0.2][:pairs], [(name, 0.3), ("other", 0.2)], **given)
    picture.canvas.draw()
    room = picture.bbox
    bars = picture.axes[-1]
    for label in [*bars.get_yticklabels(), bars.xaxis.label]:
        box = label.get_window_extent()
        assert box.x0 >= room.x0
        assert box.x1 <= room.x1
        assert box.y0 >= room.y0
    if pairs:
        graph = picture.axes[0].get_window_extent()
        assert min(label.get_window_extent().x0 for label in bars.get_yticklabels()) >= graph.x1


def test_a_molecule_is_drawn_with_its_atoms_and_as_many_lines_as_its_bonds_have():
    bonds = ["single", "double", "triple", "aromatic", "other"]
    pairs = np.array([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
    names = ["C0", "C1", "N2", "O3", "C4", "C5"]
    picture = explanation_graph(pairs[:, :2], [0.9, 0.5], names=names, title="t", pairs=pairs, bonds=bonds)
    (axes,) = picture.axes
    assert len(axes.lines) == 1 + 2 + 3 + 2 + 1
    assert [text.get_text() for text in axes.texts] == names
    assert len(axes.collections[0].get_segments()) == 2
    with pytest.raises(ValueError, match=r"^`bonds` must hold a kind for each of 5 pairs, got 2"):
        explanation_graph(pairs[:, :2], [0.9, 0.5], names=names, title="t", pairs=pairs, bonds=bonds[:2])


def test_the_whole_graph_lies_under_the_pairs_that_are_named():
    picture = explanation_graph(PAIRS[:, :1], [0.9], pairs=PAIRS, **GIVEN)
    named, rest = picture.axes[0].collections[:2]
    assert (len(named.get_segments()), len(rest.get_segments())) == (1, 2)
    assert len(picture.axes[0].texts) == 4

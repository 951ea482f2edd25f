"""Pictures of embedding spaces: what they show, what they leave alone, what they refuse."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

from graphkit.viz import embedding_scatter, neighbour_gallery, pair_distances, save
from graphkit.viz.embeddings import project_to_plane

Y = np.arange(30) % 3
APART = np.eye(3)[Y] + 0.01 * np.random.default_rng(0).normal(size=(30, 3))
MIXED = np.random.default_rng(1).normal(size=(30, 5))


def test_every_labelled_item_is_one_point_in_each_panel():
    y = np.where(np.arange(30) < 3, -1, Y)
    picture = embedding_scatter({"before": MIXED, "after": APART}, y, title="thirty", note="split")
    assert len(picture.axes) == 4
    for axes in picture.axes:
        assert sum(len(points.get_offsets()) for points in axes.collections) == 27
    assert [axes.get_ylabel() for axes in picture.axes] == ["PCA", "", "t-SNE", ""]
    assert [text.get_text() for text in picture.legends[0].get_texts()] == ["0", "1", "2"]


def test_classes_that_lie_apart_are_drawn_apart():
    for method in ("PCA", "t-SNE"):
        points = project_to_plane(APART, method)
        centres = np.stack([points[label == Y].mean(0) for label in range(3)])
        within = max(np.linalg.norm(points[label == Y] - centres[label], axis=1).max() for label in range(3))
        between = min(np.linalg.norm(centres[a] - centres[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
        assert between > within


def test_a_projection_is_the_same_each_time():
    assert np.array_equal(project_to_plane(MIXED, "t-SNE"), project_to_plane(MIXED, "t-SNE"))


@pytest.mark.parametrize("values", [np.ones((6, 1)), np.ones((6, 4)), np.zeros((6, 2))], ids=["1", "4", "zeros"])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # PCA divides by a spread of zero
def test_items_in_one_place_can_be_drawn(values):
    assert np.isfinite(project_to_plane(values, "PCA")).all()
    assert np.isfinite(project_to_plane(values, "t-SNE")).all()


def test_overlap_is_the_share_of_pairs_in_the_wrong_order():
    picture = pair_distances({"apart": APART, "mixed": MIXED}, Y, title="thirty")
    left, right = picture.axes
    assert left.get_title() == "apart, 0.0 % overlap"
    unit = MIXED / np.linalg.norm(MIXED, axis=1, keepdims=True)
    pairs = [(1 - unit[i] @ unit[j], Y[i] == Y[j]) for i in range(30) for j in range(i)]
    wrong = np.mean([near > far for near, same in pairs if same for far, other in pairs if not other])
    assert right.get_title() == f"mixed, {100 * wrong:.1f} % overlap"
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["same class", "different classes"]


def test_the_gallery_frames_what_is_of_another_class():
    picture = neighbour_gallery(np.array([0, 1]), np.array([[3, 1], [4, 7]]), Y, title="two", note="split\nprotocol")
    colours = [axes.spines["left"].get_edgecolor() for axes in picture.axes]
    assert len(colours) == 6
    assert colours[1] == colours[4] == colours[5] != colours[2]
    assert "1 of 4 of another class" in picture.texts[1].get_text()
    images = np.random.default_rng(0).random((30, 4, 4))
    drawn = neighbour_gallery(np.array([0]), np.array([[3]]), Y, title="one", images=images)
    assert np.array_equal(drawn.axes[1].images[0].get_array(), images[3])


def test_places_where_nobody_answered_stay_empty():
    picture = neighbour_gallery(np.array([0, 1]), np.array([[3, -1], [4, 2]]), Y, title="two")
    assert len(picture.axes) == 5
    assert "1 of 3 of another class" in picture.texts[1].get_text()


def test_no_text_leaves_the_pictures_and_settings_stay(tmp_path):
    before = dict(mpl.rcParams)
    pictures = [
        embedding_scatter({"before": MIXED, "after": APART}, Y, title="thirty items", note="one\ntwo"),
        pair_distances({"before": MIXED, "after": APART}, Y, title="thirty items", note="one\ntwo"),
        neighbour_gallery(np.array([0]), np.array([[3, 1, 2, 4, 5, 6]]), Y, title="thirty items", note="one\ntwo"),
    ]
    for number, picture in enumerate(pictures):
        save(picture, tmp_path / f"{number}.png")
        for text in picture.texts:
            box = text.get_window_extent()
            assert picture.bbox.x0 <= box.x0 <= box.x1 <= picture.bbox.x1
            assert picture.bbox.y0 <= box.y0 <= box.y1 <= picture.bbox.y1
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(("methods", "named"), [(("PCA", "t-SNE"), 70), (("PCA",), 42)])
def test_of_very_many_classes_as_many_are_named_as_there_is_room_for(tmp_path, methods, named):
    y = np.arange(140) % 70
    z = np.random.default_rng(0).normal(size=(140, 3))
    picture = embedding_scatter({"before": z, "after": z}, y, title="seventy classes", methods=methods)
    save(picture, tmp_path / "many.png")
    box = picture.legends[0].get_window_extent()
    assert picture.axes[-1].get_window_extent().x1 <= box.x0 <= box.x1 <= picture.bbox.x1
    assert picture.bbox.y0 <= box.y0 <= box.y1 <= picture.bbox.y1
    texts = [text.get_text() for text in picture.legends[0].get_texts()]
    assert len(texts) == named
    assert texts[-1] == ("69" if named == 70 else "29 more")


WRONG = {
    "no label": (lambda: embedding_scatter({"a": APART}, Y * 0 - 1, title=""), "at least four items, got 0"),
    "method": (
        lambda: embedding_scatter({"a": APART}, Y, title="", methods=["UMAP"]),
        "`methods` 'UMAP' is not known. Known: PCA, t-SNE",
    ),
    "one class": (lambda: pair_distances({"a": APART}, Y * 0, title=""), "pairs of one class and pairs of two"),
    "rows": (lambda: neighbour_gallery(np.array([0]), np.zeros((2, 1), int), Y, title=""), "a row for each of 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_drawn_is_refused(case):
    call, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        call()

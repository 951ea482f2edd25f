"""What a graph must be before anything is trained on it; each refusal names its field."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import feature_sum, load, open_stored, store, validate


def sound() -> Data:
    return Data(
        x=torch.ones(4, 2),
        edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]),
        edge_weight=torch.ones(3),
        edge_attr=torch.ones(3, 2),
        y=torch.tensor([0, 1, 0, 1]),
        train_mask=torch.tensor([True, False, False, False]),
        val_mask=torch.tensor([False, True, False, False]),
        test_mask=torch.tensor([False, False, True, True]),
    )


def test_sound_graphs_pass():
    validate(sound())
    validate(load("karate"))
    validate(Data(x=torch.ones(1, 1), edge_index=torch.zeros(2, 0, dtype=torch.long)))
    validate(Data(edge_index=torch.tensor([[0], [1]], dtype=torch.int32), num_nodes=2))
    data = sound()
    data.x = data.x.to_sparse()
    validate(data)


def with_value(value: float, at: tuple[int, ...], shape: tuple[int, ...]) -> torch.Tensor:
    tensor = torch.ones(shape)
    tensor[at] = value
    return tensor


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("x", with_value(float("nan"), (1, 1), (4, 2)), "`x` must be finite, but 1 of its values are NaN or infinite"),
        ("x", with_value(float("inf"), (1, 1), (4, 2)), "`x` must be finite"),
        ("x", with_value(float("nan"), (1, 1), (4, 2)).to_sparse(), "`x` must be finite"),
        ("x", torch.ones(4, 2, dtype=torch.long), r"`x` must be floating point, got torch.int64; call"),
        ("x", torch.ones(4), r"`x` must have shape \[4, features\], got \[4\]"),
        ("edge_index", torch.tensor([[0], [-1]]), "`edge_index` must hold node ids from 0 to 3, found -1"),
        ("edge_index", torch.tensor([[0], [4]]), "`edge_index` must hold node ids from 0 to 3, found 4"),
        ("edge_index", torch.tensor([[0.0], [1.0]]), "`edge_index` must hold integers, got torch.float32"),
        ("edge_index", torch.zeros(3, 2, dtype=torch.long), r"`edge_index` must have shape \[2, edges\], got \[3, 2\]"),
        ("edge_index", None, "`edge_index` is missing"),
        ("edge_weight", torch.ones(2), r"`edge_weight` must have one value per edge \(3\), got \[2\]"),
        ("edge_weight", torch.tensor([1.0, float("nan"), 1.0]), "`edge_weight` must be finite"),
        ("edge_attr", torch.ones(4, 2), r"`edge_attr` must have one value per edge \(3\), got \[4, 2\]"),
        ("y", torch.zeros(3), r"`y` must have one label per node \(4\), got 3"),
        ("y", torch.tensor([0, 1, float("inf"), 0]), "`y` must be finite"),
        ("train_mask", torch.zeros(3, dtype=torch.bool), "`train_mask` must be boolean of length 4"),
        ("val_mask", torch.zeros(4), "`val_mask` must be boolean of length 4, got torch.float32"),
        ("test_mask", torch.ones(4, dtype=torch.bool), "the masks must be disjoint, but 2 nodes"),
    ],
)
def test_a_wrong_field_is_named(field, value, message):
    data = sound()
    data.num_nodes = 4
    data[field] = value
    with pytest.raises(ValueError, match=message):
        validate(data)


def test_a_graph_without_nodes_is_refused():
    with pytest.raises(ValueError, match="at least one node"):
        validate(Data(x=torch.ones(0, 3), edge_index=torch.zeros(2, 0, dtype=torch.long)))
    with pytest.raises(ValueError, match="at least one node"):
        validate(Data())


WORDS = torch.tensor([[4.0, 0, 2, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("x", "total"),
    [
        (WORDS, 4.0),  # the row without a word does not count
        (WORDS.to_sparse(), 4.0),
        (WORDS.to_sparse_csr(), 4.0),
        (1000 * WORDS + (WORDS > 3), 4000.0),  # three digits
        (torch.eye(4), 1.0),
        (WORDS / 2, 0.0),  # no counts
        (WORDS - 1, 0.0),
        (-WORDS, 0.0),
        (WORDS[:, :3] + 1, 0.0),  # dense counts, such as ages or degrees
        (torch.tensor([[3.0], [1.0], [2.0]]), 0.0),
        (torch.zeros(3, 2), 0.0),
        (torch.zeros(0, 2), 0.0),
        (torch.zeros(3, 0), 0.0),
        (None, 0.0),
    ],
)
def test_features_are_scaled_where_they_are_bags_of_words(x, total):
    assert feature_sum(Data(x=x, edge_index=torch.zeros(2, 0, dtype=torch.long))) == total


def test_the_nodes_that_may_not_be_seen_decide_nothing():
    x = torch.cat([WORDS, WORDS * 50, WORDS + 0.5])
    assert feature_sum(Data(x=x)) == 0.0
    assert feature_sum(Data(x=x), torch.arange(9) < 3) == 4.0


def test_a_card_says_whether_rows_are_scaled_and_the_disk_that_they_are_not(tmp_path):
    karate = load("karate")
    words = Data(x=WORDS * 3, edge_index=torch.zeros(2, 0, dtype=torch.long), card=karate.card)
    assert feature_sum(words) == 12.0
    words.card = dataclasses.replace(karate.card, row_normalise=True)
    assert feature_sum(words) == 1.0
    store(karate, tmp_path / "kept")
    assert feature_sum(open_stored(tmp_path / "kept")) == 0.0

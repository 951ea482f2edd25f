"""The digits as signals: the grid is NetworkX's, the pixels scikit-learn's, the split one of signals."""

from __future__ import annotations

import networkx as nx
import torch
from sklearn.datasets import load_digits
from torch_geometric.utils import to_networkx

from graphkit.data import load
from graphkit.data.catalog.sources.generated import digits_grid


def test_pixels_are_joined_to_those_beside_them():
    expected = nx.grid_2d_graph(8, 8)
    grid = to_networkx(digits_grid(), to_undirected=True)
    found = nx.relabel_nodes(grid, {p: (p // 8, p % 8) for p in range(64)})
    assert nx.utils.graphs_equal(nx.Graph(found.edges), nx.Graph(expected.edges))


def test_a_signal_is_the_image_and_places_show_it_upright():
    data, digits = digits_grid(), load_digits()
    assert data.num_nodes == 64
    torch.testing.assert_close(16 * data.signals.view(-1, 8, 8).double(), torch.from_numpy(digits.images))
    assert torch.equal(data.y, torch.from_numpy(digits.target).long())
    assert data.pos[0].tolist() == [0, 7]
    assert data.pos[63].tolist() == [7, 0]


def test_the_split_is_one_of_signals_and_follows_its_seed():
    one, same, other = (load("digits-grid", seed=seed) for seed in (0, 0, 1))
    assert one.train_mask.shape == (1797,)
    assert one.protocol["fingerprint"] == same.protocol["fingerprint"] != other.protocol["fingerprint"]
    shares = one.y[one.train_mask].bincount() / one.y.bincount()
    assert (shares - 0.6).abs().max() < 0.005  # to half a digit of 174 and more

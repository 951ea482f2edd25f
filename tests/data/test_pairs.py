"""Scores of pairs by their features."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

import graphkit.data.pairs
from graphkit.data.pairs import averaged_rows, feature_cosine
from graphkit.operators.pair_scores import row_products


@pytest.mark.parametrize("hops", [0, 2])
def test_cosine_of_features_by_blocks_is_that_of_their_rows(hops, monkeypatch):
    drawn = torch.Generator().manual_seed(0)
    x = (torch.rand(40, 30, generator=drawn) < 0.2).float()
    x[3] = 0
    edges = torch.randint(40, (2, 60), generator=drawn)
    data = Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1), num_nodes=40)
    pairs = torch.randint(40, (2, 200), generator=drawn)
    expected = row_products(averaged_rows(data, hops), pairs)
    torch.testing.assert_close(feature_cosine(data, pairs, hops), expected, atol=1e-5, rtol=1e-4)
    monkeypatch.setattr(graphkit.data.pairs, "BLOCK", 40 * 7)  # seven features at a time
    torch.testing.assert_close(feature_cosine(data, pairs, hops), expected, atol=1e-5, rtol=1e-4)
    alike = Data(x=torch.ones(4, 3), edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=4)
    assert not feature_cosine(alike, torch.tensor([[0, 2], [1, 3]]), 0).any()
    assert not feature_cosine(Data(x=torch.ones(4, 0), edge_index=edges[:, :0], num_nodes=4), pairs[:, :0], 2).any()

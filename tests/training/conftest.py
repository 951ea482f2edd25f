"""A graph, and a set of graphs, small enough to train on in milliseconds."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import GraphSet
from graphkit.data.splits import Stratified
from graphkit.training import Recipe
from graphkit.training.zoo.recipes import RECIPES

DROPS = ("propagation_dropout", "node_dropout", "attention_dropout")


def undropped(name: str, epochs: int) -> Recipe:
    """Return a named recipe for nodes without dropout, so that nothing is drawn but the weights."""
    fields = {field: 0.0 for field in DROPS if hasattr(RECIPES[name].model, field)}
    return RECIPES[name].merge_fields({"epochs": epochs, "dropout": 0.0, **fields})


@pytest.fixture
def data() -> Data:
    """Three communities of 30 nodes with noisy features, a third of each to train on, to select by and to test on."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(90) % 3
    same = y[:, None] == y[None, :]
    drawn = torch.rand(90, 90, generator=generator)
    joined = ((same & (drawn < 0.12)) | (drawn < 0.02)).triu(1)
    edge_index = (joined | joined.T).nonzero().T.contiguous()
    x = torch.nn.functional.one_hot(y, 3).float() + 0.8 * torch.rand(90, 3, generator=generator)
    part = torch.arange(90) // 3 % 3
    masks = {name: part == number for number, name in enumerate(("train_mask", "val_mask", "test_mask"))}
    return Data(x=x, edge_index=edge_index, y=y, **masks)


@pytest.fixture
def graphs() -> GraphSet:
    """Rings and stars of six nodes, told apart by their edges alone."""
    ring = torch.stack([torch.arange(6), (torch.arange(6) + 1) % 6])
    star = torch.stack([torch.zeros(5, dtype=torch.long), torch.arange(1, 6)])
    both = [torch.cat([half, half.flip(0)], dim=1) for half in (ring, star)]
    y = torch.arange(60) % 2
    edges = [both[kind] for kind in y.tolist()]
    x = torch.rand(360, 2, generator=torch.Generator().manual_seed(0))
    data = Data(x=x, edge_index=torch.cat(edges, dim=1), y=y)
    made = GraphSet(data, nodes=torch.full((60,), 6), edges=torch.tensor([each.size(1) for each in edges]))
    return made.with_split(Stratified()(made.items, torch.Generator().manual_seed(0)))

"""A graph small enough to train on in milliseconds."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data


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

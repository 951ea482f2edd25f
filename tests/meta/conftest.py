"""Items of six classes that a linear map tells apart, and a small graph of them."""

from __future__ import annotations

import pytest
import torch

from graphkit.meta import FewShotProtocol, Nodes, Rows, TaskSet


@pytest.fixture
def rows() -> Rows:
    y = torch.arange(120) % 6
    x = torch.randn(120, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Rows(x + 1.5 * torch.eye(6, 7, dtype=torch.float64)[y], y)


@pytest.fixture
def nodes(rows) -> Nodes:
    drawn = torch.Generator().manual_seed(2)
    same = rows.y[:, None] == rows.y
    joined = (torch.rand(120, 120, generator=drawn) < torch.where(same, 0.15, 0.01)).triu(1)
    return Nodes(rows.x, (joined | joined.T).nonzero().T.contiguous(), rows.y)


@pytest.fixture
def tasks(rows) -> TaskSet:
    return TaskSet.draw(rows, (0, 1, 2), FewShotProtocol(n_way=2, k_shot=3, n_query=4, n_tasks=5))

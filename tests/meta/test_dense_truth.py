"""Meta-losses on Cora against the inner loop written out with dense matrices, for models that were operated on.

``x`` are the 60 most frequent words; every fast way has to give the figures of the dense loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.data import load
from graphkit.meta import MAML, FewShotProtocol, Nodes, Task, TaskSet
from graphkit.nn import Encoder, GCNConv
from graphkit.operators import sparse_features


@pytest.fixture(scope="module")
def cora(mirror) -> Nodes:
    data = load("cora")
    words = data.x.to_dense() if data.x.layout != torch.strided else data.x
    frequent = (words != 0).sum(0).topk(60).indices
    return Nodes((words[:, frequent] != 0).double(), data.edge_index, data.y)


def tasks_of(items: Nodes) -> list[Task]:
    return list(TaskSet.draw(items, (0, 1), FewShotProtocol(n_way=2, k_shot=3, n_query=5, n_tasks=4)))


def encoder(**options: Any) -> Encoder:
    torch.manual_seed(0)
    return Encoder(60, 8, 2, **{"dropout": 0.0, "conv": GCNConv, **options}).double()


def learner(model: nn.Module) -> MAML:
    return MAML(model, inner_lr=0.5, inner_steps=3)


def dense_adjacency(items: Nodes, weight: Tensor, *, mean: bool = False) -> Tensor:
    """Return the normalised adjacency with self-loops; its rows over their numbers of neighbours for a ``mean``."""
    size = len(items.y)
    joined = torch.zeros(size, size, dtype=torch.float64).index_put(tuple(items.edge_index.flip(0)), weight, True)
    joined = joined + torch.eye(size, dtype=torch.float64)
    root = joined.sum(1).rsqrt()
    normal = root[:, None] * joined * root
    return normal / (joined != 0).sum(1, keepdim=True) if mean else normal


def dense_loss(model: Encoder, adjacency: Tensor, x: Tensor, tasks: list[Task], factor: float = 1.0) -> Tensor:
    """Return the meta-loss of the loop written out; the first layer's outputs are taken ``factor`` times."""
    averaged = adjacency @ x

    def outputs(bias: Tensor, weight: Tensor, last_bias: Tensor, last_weight: Tensor) -> Tensor:
        hidden = F.relu(factor * (averaged @ weight.T + bias))
        return adjacency @ hidden @ last_weight.T + last_bias

    losses = []
    for task in tasks:
        table = list(model.parameters())
        for _ in range(3):
            loss = F.cross_entropy(outputs(*table)[task.episode.support.flatten()], task.episode.support_y)
            slopes = torch.autograd.grad(loss, table, create_graph=True)
            table = [value - 0.5 * slope for value, slope in zip(table, slopes, strict=True)]
        losses.append(F.cross_entropy(outputs(*table)[task.episode.query.flatten()], task.episode.query_y))
    return torch.stack(losses).mean()


def hooked() -> Encoder:
    model = encoder()
    model.convs[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


def by_mean() -> Encoder:
    return encoder(conv=lambda i, o: GCNConv(i, o, aggr="mean"))


ROWS: dict[str, tuple[float, Callable[[], Encoder], float, bool]] = {
    "nothing": (0.671265, encoder, 1.0, False),
    "mean": (0.696417, by_mean, 1.0, True),
    "in place": (0.671265, lambda: encoder(activation=nn.ReLU(inplace=True)), 1.0, False),
    "a hook": (0.659225, hooked, 2.0, False),
}


@pytest.mark.parametrize("what", ROWS)
def test_the_meta_loss_and_gradient_are_those_of_the_dense_loop(what, cora):
    figure, make, factor, mean = ROWS[what]
    model, tasks = make(), tasks_of(cora)
    ones = torch.ones(cora.edge_index.size(1), dtype=torch.float64)
    expected = dense_loss(model, dense_adjacency(cora, ones, mean=mean), cora.x, tasks, factor)
    found = learner(model).meta_loss(tasks)
    assert expected.item() == pytest.approx(figure, abs=1e-6)
    assert found.item() == pytest.approx(expected.item(), abs=1e-12)
    for one, other in zip(
        *(torch.autograd.grad(loss, list(model.parameters())) for loss in (found, expected)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_values_that_were_edited_are_those_of_the_dense_loop(cora):
    x = sparse_features(cora.x)
    items = Nodes(x, cora.edge_index, cora.y)
    model, tasks = encoder(), tasks_of(items)
    assert learner(model).meta_loss(tasks).item() == pytest.approx(0.671265, abs=1e-6)
    x.values.mul_(3)
    ones = torch.ones(cora.edge_index.size(1), dtype=torch.float64)
    expected = dense_loss(model, dense_adjacency(cora, ones), 3 * cora.x, tasks)
    assert expected.item() == pytest.approx(0.636324, abs=1e-6)
    assert learner(model).meta_loss(tasks).item() == pytest.approx(expected.item(), abs=1e-12)


def test_features_and_weights_that_ask_have_the_gradient_of_the_dense_loop(cora):
    x = cora.x.clone().requires_grad_()
    weight = torch.ones(cora.edge_index.size(1), dtype=torch.float64, requires_grad=True)
    items = Nodes(x, cora.edge_index, cora.y, weight)
    model, tasks = encoder(), tasks_of(items)
    expected = torch.autograd.grad(dense_loss(model, dense_adjacency(cora, weight), x, tasks), [x, weight])
    found = torch.autograd.grad(learner(model).meta_loss(tasks), [x, weight])
    assert expected[0].norm().item() == pytest.approx(0.0576, abs=1e-4)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)

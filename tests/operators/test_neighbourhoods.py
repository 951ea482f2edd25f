"""The two sums that are no matrix products: the largest neighbour, and rectified sums with edge features."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad, vmap

from graphkit.operators.messages import neighbor_max, relu_message_sum, relu_message_sum_reference
from tests.contracts import EXACT
from tests.graphs import BY_NAME, ZOO, pattern_of

close = torch.testing.assert_close


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_the_maximum_is_that_of_a_loop(graph):
    x = graph.features(3)
    truth = torch.zeros_like(x)
    for node in range(graph.num_nodes):
        neighbours = graph.edge_index[0][graph.edge_index[1] == node]
        if len(neighbours):
            truth[node] = x[neighbours].amax(0)
    close(neighbor_max(pattern_of(graph), x), truth, **EXACT)


@pytest.mark.parametrize("name", ["self-loops", "duplicate edges", "isolated nodes", "directed"])
def test_the_maximum_is_twice_differentiable(name):
    pattern, x = pattern_of(BY_NAME[name]), BY_NAME[name].features(3).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: neighbor_max(pattern, v), (x,))
    assert torch.autograd.gradgradcheck(lambda v: neighbor_max(pattern, v), (x,))
    assert torch.autograd.gradgradcheck(lambda v: neighbor_max(pattern, v).pow(3), (x,))


def test_ties_share_the_gradient_whatever_the_order():
    """The least-norm choice among the subgradients; duplicates of an edge count as often as they stand."""
    pattern = pattern_of(BY_NAME["complete"])
    x = torch.ones(5, 1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(neighbor_max(pattern, x)[0].sum(), x)
    assert slope.flatten().tolist() == [0, 0.25, 0.25, 0.25, 0.25]


def test_a_nan_among_the_neighbours_is_not_hidden():
    x = BY_NAME["complete"].features(2)
    x[2, 0] = torch.nan
    found = neighbor_max(pattern_of(BY_NAME["complete"]), x)
    assert found[:, 0].isnan().tolist() == [True, True, False, True, True]
    assert not found[:, 1].isnan().any()


def test_the_largest_of_negative_values_is_negative():
    x = -1 - BY_NAME["ring"].features(2).abs()
    assert (neighbor_max(pattern_of(BY_NAME["ring"]), x) < 0).all()


def test_tasks_may_be_stacked_for_the_maximum():
    graph = BY_NAME["grid"]
    pattern, xs = pattern_of(graph), torch.stack([graph.features(2), graph.features(2).flip(0)])

    def energy(x):
        return neighbor_max(pattern, x).pow(3).sum()

    close(vmap(energy)(xs), torch.stack([energy(x) for x in xs]), **EXACT)
    close(vmap(grad(energy))(xs), torch.stack([grad(energy)(x) for x in xs]), **EXACT)
    twice = grad(lambda x: grad(energy)(x).square().sum())
    close(vmap(twice)(xs), torch.stack([twice(x) for x in xs]), **EXACT)


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_the_rectified_sum_is_that_of_a_loop(graph):
    x, edge = graph.features(3), graph.edge_features(3)
    truth = torch.zeros_like(x)
    for (source, target), e in zip(graph.edge_index.T.tolist(), edge, strict=True):
        truth[target] += (x[source] + e).relu()
    pattern = pattern_of(graph)
    close(relu_message_sum(pattern, x, edge), truth, **EXACT)
    close(relu_message_sum_reference(x, edge, pattern), truth, **EXACT)


@pytest.mark.parametrize("name", ["self-loops", "duplicate edges", "isolated nodes", "directed"])
def test_the_rectified_sum_is_twice_differentiable(name):
    graph = BY_NAME[name]
    pattern = pattern_of(graph)
    inputs = graph.features(3).requires_grad_(), graph.edge_features(3).requires_grad_()
    assert torch.autograd.gradcheck(lambda *v: relu_message_sum(pattern, *v), inputs)
    assert torch.autograd.gradgradcheck(lambda *v: relu_message_sum(pattern, *v).square(), inputs)


def test_tasks_may_be_stacked_for_the_rectified_sum():
    graph = BY_NAME["grid"]
    pattern, edge = pattern_of(graph), graph.edge_features(2)
    xs = torch.stack([graph.features(2), graph.features(2).flip(0)])

    def energy(x, edge):
        return relu_message_sum(pattern, x, edge).square().sum()

    close(vmap(energy, (0, None))(xs, edge), torch.stack([energy(x, edge) for x in xs]), **EXACT)
    found = vmap(grad(energy, argnums=1), (0, None))(xs, edge)
    close(found, torch.stack([grad(energy, argnums=1)(x, edge) for x in xs]), **EXACT)

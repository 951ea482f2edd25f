"""Linear models of views against a dense refit, on graphs that they were not fitted to, and with labels missing."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from graphkit.nn.view_models import RidgeMixture, ViewRegression
from graphkit.operators import gcn_adjacency, sparse_features


def community(nodes: int = 40, seed: int = 0):
    """Return features, edges and labels of two communities."""
    drawn = torch.Generator().manual_seed(seed)
    y = torch.arange(nodes) % 2
    x = torch.rand(nodes, 6, generator=drawn) * (torch.rand(nodes, 6, generator=drawn) < 0.6)
    x[:, 0] += y
    likely = torch.where(y[:, None] == y, 0.3, 0.05)
    edges = (torch.rand(nodes, nodes, generator=drawn) < likely).triu(1)
    return x, (edges | edges.T).nonzero().T.contiguous(), y


def fitted(x, edges, targets, index, *, number=1, weight=None, **given):
    torch.manual_seed(0)
    model = RidgeMixture(x.size(1), targets.size(1), width=4, hops=4)
    ViewRegression(model, x, edges, weight, index=index, targets=targets, **given).solve(number)
    return model


def one_hot(y):
    return torch.eye(2)[y]


@pytest.mark.parametrize("number", [1, 2, 5, 99])
def test_it_learns_a_community_and_says_the_same_of_a_graph_that_holds_it(number):
    x, edges, y = community()
    index = torch.arange(20)
    model = fitted(x, edges, one_hot(y[index]), index, number=number)
    found = model(x, edges)
    assert float((found.argmax(1) == y)[20:].double().mean()) > 0.8
    twice = torch.cat((edges, edges + 40), 1)
    assert torch.allclose(model(torch.cat((x, x)), twice), torch.cat((found, found)), atol=1e-5)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_labels_of_other_nodes_and_the_order_of_nodes_decide_nothing(number):
    x, edges, y = community()
    index, order = torch.arange(0, 40, 3), torch.randperm(40, generator=torch.Generator().manual_seed(1))
    found = fitted(x, edges, one_hot(y[index]), index, number=number)(x, edges)
    place = order.argsort()
    permuted = fitted(x[order], place[edges], one_hot(y[index]), place[index], number=number)(x[order], place[edges])
    assert torch.allclose(permuted, found[order], atol=1e-3)


def test_sparse_and_dense_features_are_the_same():
    x, edges, y = community()
    index = torch.arange(20)
    dense = fitted(x, edges, one_hot(y[index]), index)
    sparse = fitted(sparse_features(x), edges, one_hot(y[index]), index)
    assert torch.allclose(dense(x, edges), sparse(sparse_features(x), edges), atol=1e-4)


def test_a_view_is_a_unit_row_along_the_directions_of_the_graph_that_was_fitted_to():
    x, edges, y = community()
    model = fitted(x, edges, one_hot(y), torch.arange(40), number=1)
    smooth = gcn_adjacency(edges, num_nodes=40).to_dense()
    rows = normalize(x * model.importance, dim=1) @ model.directions
    place = model.views.index("averaged-2-centred")
    plain = smooth @ smooth @ rows
    with torch.no_grad():
        model.weight.zero_()
        model.weight[place] = torch.randn(4, 2)
        expected = normalize(plain - plain.mean(0), dim=1) @ model.weight[place] + model.bias
        assert torch.allclose(model(x, edges), expected, atol=1e-5)


def test_edge_weights_count():
    x, edges, y = community()
    index = torch.arange(20)
    weight = 0.1 + torch.rand(edges.size(1), generator=torch.Generator().manual_seed(2))
    plain, weighted = (fitted(x, edges, one_hot(y[index]), index, weight=each) for each in (None, weight))
    assert not torch.allclose(plain(x, edges), weighted(x, edges, weight), atol=1e-3)
    ones = torch.ones_like(weight)
    alike = fitted(x, edges, one_hot(y[index]), index, weight=ones)
    assert torch.allclose(plain(x, edges), alike(x, edges, ones), atol=1e-4)


def test_columns_with_labels_missing_are_fitted_to_those_that_are_there():
    x, edges, y = community()
    index = torch.arange(30)
    targets = torch.stack((y[index].float(), 1 - y[index].float(), torch.full((30,), torch.nan)), 1)
    targets[20:, 1] = torch.nan
    whole = fitted(x, edges, targets, index, number=2)(x, edges)
    for columns, rows in ((0, 30), (1, 20)):
        alone = fitted(x, edges, targets[:rows, [columns]], index[:rows], number=2)(x, edges)
        assert torch.allclose(whole[:, [columns]], alone, atol=1e-4)
    assert not whole[:, 2].any()


@pytest.mark.parametrize("columns", [0, 0.3])
@pytest.mark.parametrize("number", [1, 2, 4])
def test_features_that_say_nothing_leave_the_mean(columns, number):
    y, nodes = torch.arange(40) % 2, torch.arange(40)
    edges = torch.cat((torch.stack((nodes, nodes.roll(1))), torch.stack((nodes, nodes.roll(-1)))), 1)
    model = fitted(torch.full((40, 3), float(columns)), edges, one_hot(y[:10]), torch.arange(10), number=number)
    found = model(torch.full((40, 3), float(columns)), edges)
    assert torch.allclose(found, one_hot(y[:10]).mean(0).expand(40, 2), atol=0.05)


@pytest.mark.parametrize("edges", [torch.empty(2, 0, dtype=torch.long), torch.tensor([[0, 1], [0, 1]])])
@pytest.mark.parametrize("number", [1, 4])
def test_one_label_of_a_graph_without_neighbours_is_no_trouble(edges, number):
    x = torch.eye(5)
    model = fitted(x, edges, torch.tensor([[1.0, 0.0]]), torch.tensor([3]), number=number)
    assert model(x, edges).argmax(1).tolist() == [0] * 5


def test_the_scale_is_the_one_of_least_loss():
    x, edges, y = community()
    index = torch.arange(20)

    def loss(outputs, rows, columns):
        return torch.nn.functional.cross_entropy(outputs, y[index][rows])

    plain, scaled = (fitted(x, edges, one_hot(y[index]), index, loss=each) for each in (None, loss))
    ratio = float((scaled.weight.detach().norm() / plain.weight.detach().norm()).log2() * 2)
    assert ratio == pytest.approx(round(ratio), abs=1e-3)
    assert ratio > 0


@pytest.mark.parametrize(
    ("given", "said"),
    [({"width": 0}, "`width`"), ({"hops": 0}, "`hops`"), ({"width": 2.5}, "`width`")],
)
def test_wrong_arguments_are_refused(given, said):
    with pytest.raises((TypeError, ValueError), match=said):
        RidgeMixture(3, 2, **given)
    model, x, edges = RidgeMixture(3, 2), torch.eye(3), torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match="`sharpness`"):
        ViewRegression(model, x, edges, index=torch.tensor([0]), targets=torch.ones(1, 2), sharpness=0)


def test_other_features_are_refused():
    with pytest.raises(ValueError, match="`x`"):
        RidgeMixture(3, 2)(torch.eye(4), torch.tensor([[0], [1]]))

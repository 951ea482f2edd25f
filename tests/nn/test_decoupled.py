"""FilteredPerceptron: the map and the filter written out; what it takes."""

from __future__ import annotations

import pytest
import torch

from graphkit.nn import FilteredPerceptron, PolynomialConv
from graphkit.operators import sparse_features
from tests.contracts import EXACT
from tests.graphs import BY_NAME

close = torch.testing.assert_close


def made(hidden, **options):
    filter = PolynomialConv(3, 3, 4, "jacobi", per_channel=True, linear=False, bias=False)
    return FilteredPerceptron(4, hidden, 3, filter, **options).double()


@pytest.mark.parametrize("hidden", [0, 5])
def test_it_is_the_filter_of_the_map(hidden):
    graph, model = BY_NAME["grid"], made(hidden).eval()
    x = graph.features().relu()
    h = x @ model.first.weight.T + model.first.bias
    if hidden:
        h = h.relu() @ model.last.weight.T + model.last.bias
    expected = model.filter(h, graph.edge_index, graph.weights())
    close(model(x, graph.edge_index, graph.weights()), expected, **EXACT)
    close(model(sparse_features(x), graph.edge_index, graph.weights()), expected, **EXACT)


def test_dropout_acts_in_training_alone():
    graph, model = BY_NAME["grid"], made(5, dropout=0.0, propagation_dropout=0.9)
    runs = [model(graph.features(), graph.edge_index) for _ in range(2)]
    assert not torch.equal(*runs)
    model.eval()
    assert torch.equal(*(model(graph.features(), graph.edge_index) for _ in range(2)))


def test_it_is_drawn_anew():
    model = made(5)
    with torch.no_grad():
        model.filter.filter.weight.fill_(3.0)
    model.reset_parameters()
    assert model.filter.filter.weight.max() == 1


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="`propagation_dropout` must lie in"):
        made(5, propagation_dropout=1.0)
    with pytest.raises(ValueError, match="`hidden_channels` must be"):
        made(-1)

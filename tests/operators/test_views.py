"""Views of features against dense algebra and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfTransformer

from graphkit.operators import gcn_adjacency, mean_adjacency
from graphkit.operators.views import feature_importance, leading_directions, unit_view, view_rows, weighted_rows
from tests.graphs import ZOO


def features(nodes: int, columns: int) -> np.ndarray:
    drawn = np.random.default_rng(0)
    return (drawn.random((nodes, columns)) * (drawn.random((nodes, columns)) < 0.3)).astype(np.float32)


def test_squared_importance_is_scikit_learns_document_frequency():
    x = features(40, 12)
    expected = TfidfTransformer(smooth_idf=True).fit(x).idf_
    assert np.allclose(feature_importance((x > 0).sum(0), 40) ** 2, expected)


def test_weighted_rows_have_length_one_or_zero():
    x = features(30, 8)
    x[3] = 0
    rows, weights = weighted_rows(csr_array(x))
    expected = x * weights
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(rows.toarray(), expected / np.maximum(lengths, 1e-12), atol=1e-6)
    assert not rows.toarray()[3].any()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(wrong):
    with pytest.raises(ValueError, match="`x` must hold finite numbers"):
        weighted_rows(csr_array([[1.0, wrong]]))


def test_leading_directions_keep_the_inner_products_that_so_many_can():
    left, right = features(30, 3), features(3, 20)
    matrix = csr_array(left @ right)
    rows, directions = leading_directions(matrix, 5)
    assert torch.allclose(rows @ rows.T, torch.from_numpy((matrix @ matrix.T).toarray()), atol=1e-4)
    assert torch.allclose(torch.from_numpy(matrix.toarray()) @ directions, rows, atol=1e-4)


def test_few_columns_stay_as_they_are_and_zeros_have_a_direction():
    x = features(5, 3)
    rows, directions = leading_directions(csr_array(x), 3)
    assert torch.equal(rows, torch.from_numpy(x))
    assert torch.equal(directions, torch.eye(3))
    rows, directions = leading_directions(csr_array((4, 6)), 2)
    assert (rows.shape, directions.shape) == ((4, 1), (6, 1))


@pytest.mark.parametrize("graph", ZOO, ids=lambda graph: graph.name)
def test_view_rows_are_powers_of_dense_matrices(graph):
    edges, nodes = graph.edge_index, graph.num_nodes
    x = torch.rand(nodes, 2, generator=torch.Generator().manual_seed(0))
    smooth, mean = gcn_adjacency(edges, num_nodes=nodes), mean_adjacency(edges, num_nodes=nodes)
    a, p = smooth.to_dense(), mean.to_dense()
    found = dict(view_rows(x, smooth.__matmul__, mean.__matmul__, hops=5))
    walks = sum(0.1 * 0.9**k * torch.linalg.matrix_power(a, k) @ x for k in range(6))
    expected = {
        "raw": x,
        "neighbours-1": p @ x,
        "neighbours-2": p @ p @ x,
        "high-pass": x - a @ x,
        **{f"averaged-{k}": torch.linalg.matrix_power(a, k) @ x for k in (1, 2, 4)},
        "pagerank": walks,
    }
    assert list(found) == list(expected)
    for name, rows in expected.items():
        assert torch.allclose(found[name], rows, atol=1e-5), name


def test_no_hops_are_refused():
    with pytest.raises(ValueError, match=r"`hops` must be .* at least 1"):
        next(view_rows(torch.ones(1, 1), torch.clone, torch.clone, hops=0))


def test_a_row_that_is_the_mean_but_for_rounding_is_zero():
    rows = torch.rand(1, 8, generator=torch.Generator().manual_seed(0)).expand(50, 8).clone()
    rows[7] += 0.1
    found = unit_view(rows, rows.mean(0))
    assert found.norm(dim=1).tolist() == pytest.approx([1.0] * 50)
    rows[7] = rows[0]
    assert not unit_view(rows, rows.mean(0)).any()
    assert unit_view(rows).norm(dim=1).tolist() == pytest.approx([1.0] * 50)

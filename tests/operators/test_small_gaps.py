"""The Fourier basis of graphs whose lowest eigenvalues are near each other: long paths, ladders, uneven weights."""

from __future__ import annotations

import math

import networkx as nx
import pytest
import torch

from graphkit.data import load
from graphkit.operators import SparseOperator, fourier_basis, laplacian
from graphkit.operators.spectrum import eigensolvers

close = torch.testing.assert_close


def operator(graph: nx.Graph, normalization: str | None = None, weight: torch.Tensor | None = None) -> SparseOperator:
    edges = torch.tensor(list(nx.convert_node_labels_to_integers(graph).edges)).T
    both = torch.cat((edges, edges.flip(0)), 1)
    weights = None if weight is None else weight.repeat(2)
    return laplacian(both, weights, len(graph), normalization=normalization, dtype=torch.float64)


@pytest.mark.parametrize("k", [5, 40])
@pytest.mark.parametrize("nodes", [1600, 4000])
@pytest.mark.parametrize("normalization", [None, "sym"])
def test_the_lowest_of_a_long_path_are_right_to_their_own_size(normalization, nodes, k):
    j = torch.arange(k, dtype=torch.float64)
    expected = 1 - (math.pi * j / (nodes - 1)).cos() if normalization else 4 * (math.pi * j / 2 / nodes).sin().square()
    found = fourier_basis(operator(nx.path_graph(nodes), normalization), k)
    assert found.pairs == k
    close(found.eigenvalues, expected, rtol=1e-6, atol=1e-13)  # a residual of 1e-3 leaves its square over the gap


@pytest.mark.parametrize("solver", ["auto", "lanczos"])
def test_the_lowest_of_a_ladder_are_found(solver):
    along, across = (4 * (math.pi * torch.arange(n, dtype=torch.float64) / 2 / n).sin() ** 2 for n in (1000, 2))
    expected = (along[:, None] + across).flatten().sort().values[:6]
    found = fourier_basis(operator(nx.grid_2d_graph(2, 1000)), 6, solver=solver)
    close(found.eigenvalues, expected, rtol=1e-6, atol=1e-13)


def test_weights_over_four_decades_are_no_obstacle():
    graph = nx.grid_2d_graph(42, 38)
    drawn = torch.rand(graph.number_of_edges(), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = operator(graph, weight=10 ** (4 * drawn - 2))
    close(fourier_basis(matrix, 10).eigenvalues, torch.linalg.eigvalsh(matrix.to_dense())[:10], rtol=1e-6, atol=1e-11)


def test_the_combinatorial_laplacian_of_citeseer_is_solved(mirror):
    data = load("citeseer")
    matrix = laplacian(data.edge_index, num_nodes=data.num_nodes, dtype=torch.float64)
    truth = torch.linalg.eigvalsh(matrix.to_dense())
    for k in (64, 460):
        found = fourier_basis(matrix, k)
        assert int((found.eigenvalues == 0).sum()) == 438
        assert found.pairs >= max(k, 438)
        close(found.eigenvalues, truth[: found.pairs], rtol=1e-6, atol=1e-11)


def test_where_iteration_does_not_get_there_small_components_are_solved_densely(monkeypatch):
    monkeypatch.setattr(eigensolvers, "PRODUCTS", 10)
    matrix = operator(nx.path_graph(1600), "sym")
    close(fourier_basis(matrix, 2).eigenvalues[1], 1 - torch.tensor(math.pi / 1599).double().cos(), rtol=0, atol=1e-12)
    with pytest.raises(RuntimeError, match=r"the 6 lowest eigenpairs .* were not found by 12 products .*'dense'"):
        fourier_basis(matrix, 2, solver="chebyshev")

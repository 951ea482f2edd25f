"""SpecformerFilter: the product of its layers' responses in the eigenbasis; truncated, turned and batched bases."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from graphkit.nn import FilteredPerceptron, SpecformerFilter
from graphkit.operators import FourierBasis, fourier_basis, laplacian
from tests.contracts import EXACT
from tests.graphs import BY_NAME, ZOO

close = torch.testing.assert_close
UNDIRECTED = [graph for graph in ZOO if graph.symmetric and graph.num_nodes]


def basis_of(graph, k=None) -> FourierBasis:
    matrix = laplacian(graph.edge_index, num_nodes=graph.num_nodes, normalization="sym", dtype=torch.float64)
    return fourier_basis(matrix, k if k is None else min(k, graph.num_nodes))


@pytest.fixture
def layers() -> SpecformerFilter:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SpecformerFilter(4, layers=3, terms=2, hidden=8).double().eval()


def test_it_is_the_filter_of_its_response(layers):
    for graph in UNDIRECTED:
        basis, x = basis_of(graph), graph.features()
        u = basis.eigenvectors
        close(layers(x, basis), u @ (layers.response(basis.eigenvalues) * (u.T @ x)), **EXACT)


def test_what_a_truncated_basis_does_not_span_is_scaled_and_not_lost(layers):
    graph = BY_NAME["grid"]
    basis, x = basis_of(graph, 3), graph.features()
    spanned = basis.filter(x, torch.ones_like)
    rest = layers.weight[:, 0].prod(0) * (x - spanned)
    close(layers(x, basis), basis.filter(x, layers.response(basis.eigenvalues)) + rest, **EXACT)


def test_signs_do_not_matter_and_a_batch_is_its_graphs(layers):
    graphs = [BY_NAME["grid"], BY_NAME["star"]]
    bases = [basis_of(graph, 4) for graph in graphs]
    apart = [layers(graph.features(), basis) for graph, basis in zip(graphs, bases, strict=True)]
    close(layers(graphs[0].features(), dataclasses.replace(bases[0], entries=-bases[0].entries)), apart[0], **EXACT)
    together = torch.cat([graph.features() for graph in graphs])
    close(layers(together, bases), torch.cat(apart), **EXACT)


def test_it_is_used_after_a_perceptron_and_on_another_graph(layers):
    model = FilteredPerceptron(5, 6, 4, layers).double().eval()
    for name in ("grid", "star"):
        graph = BY_NAME[name]
        x = torch.cat((graph.features(), graph.features()[:, :1]), 1)
        h = model.last(model.first(x).relu())
        close(model(x, basis_of(graph)), layers(h, basis_of(graph)), **EXACT)
    drawn = copy.deepcopy(layers.weight)
    model.reset_parameters()
    assert not torch.equal(drawn, layers.weight)
    assert str(layers).startswith("SpecformerFilter(\n  4, layers=3")


def test_gradients_are_those_of_finite_differences(layers):
    graph = BY_NAME["ring"]
    basis = basis_of(graph, 3)
    assert torch.autograd.gradcheck(lambda x: layers(x, basis), graph.features().requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("given", [None, [], torch.ones(2, 3), [torch.ones(2, 3)]])
def test_what_is_no_basis_is_refused(layers, given):
    with pytest.raises(TypeError, match=r"`basis` must be a FourierBasis, got .*; `fourier_basis\("):
        layers(torch.ones(9, 4).double(), given)
    with pytest.raises(ValueError, match="`hidden` must be even"):
        SpecformerFilter(4, hidden=7)

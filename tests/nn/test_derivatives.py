"""Every public module and operator under every kind of derivative that PyTorch has, against reverse mode in a loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.nn
import torch_geometric.utils
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.func import functional_call, jvp, vmap
from torch_geometric.data import Data

import graphkit.nn
import graphkit.operators as ops
from graphkit.operators.spectrum.fourier import FourierBasis
from tests.nn.public import BASIS, CATEGORIES, EDGES, GRAPH, LAPLACIAN, MODULES, NODES, PUBLIC, TREE, Public

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
X = GRAPH.features()
WEIGHTS = GRAPH.weights()
WALK = ops.lazy_random_walk(EDGES, num_nodes=NODES, dtype=torch.float64)
BANK = ops.heat([0.5, 1.0])
F64 = torch.float64

Function = Callable[..., Tensor]

OPERATORS: dict[str, tuple[Function, tuple[Tensor, ...]]] = {
    "SparseOperator": (lambda w, x: ops.SparseOperator.from_edge_index(EDGES, w, num_nodes=NODES) @ x, (WEIGHTS, X)),
    "SparseOperator.sddmm": (lambda x, y: LAPLACIAN.sddmm(x, y), (X, X.flip(0))),
    "sparse_features": (lambda x: ops.sparse_features(x.relu()) @ X[:4], (X,)),
    "laplacian": (lambda w, x: ops.laplacian(EDGES, w, NODES, normalization="sym", dtype=F64) @ x, (WEIGHTS, X)),
    "rescaled_laplacian": (lambda w, x: ops.rescaled_laplacian(EDGES, w, num_nodes=NODES, dtype=F64) @ x, (WEIGHTS, X)),
    "gcn_adjacency": (lambda w, x: ops.gcn_adjacency(EDGES, w, num_nodes=NODES, dtype=F64) @ x, (WEIGHTS, X)),
    "walk_adjacency": (lambda w, x: ops.walk_adjacency(EDGES, w, num_nodes=NODES, dtype=F64) @ x, (WEIGHTS, X)),
    "mean_adjacency": (lambda x: ops.mean_adjacency(EDGES, num_nodes=NODES, dtype=F64) @ x, (X,)),
    "sum_adjacency": (lambda x: ops.sum_adjacency(EDGES, num_nodes=NODES) @ x, (X,)),
    "lazy_random_walk": (lambda w, x: ops.lazy_random_walk(EDGES, w, num_nodes=NODES, dtype=F64) @ x, (WEIGHTS, X)),
    "chebyshev_terms": (lambda x: torch.stack(ops.chebyshev_terms(LAPLACIAN, x, 4)), (X,)),
    "chebyshev_sum": (lambda x: ops.chebyshev_sum(LAPLACIAN, [x, x * x, x.flip(0)]), (X,)),
    "eigenvalue_bound": (lambda w: ops.eigenvalue_bound(ops.laplacian(EDGES, w, NODES, dtype=F64)), (WEIGHTS,)),
    "FourierBasis": (lambda x: BASIS.igft(BASIS.gft(x) * BASIS.gft(x)), (X,)),
    "diffusion_wavelets": (lambda x: ops.diffusion_wavelets(WALK, x), (X,)),
    "node_scattering": (lambda x: ops.node_scattering(WALK, x, scales=3), (X,)),
    "graph_scattering": (lambda x: ops.graph_scattering(WALK, x, scales=2), (X,)),
    "wavelet_analysis": (lambda x: ops.wavelet_analysis(LAPLACIAN, x, BANK), (X,)),
    "wavelet_synthesis": (
        lambda x: ops.wavelet_synthesis(LAPLACIAN, ops.wavelet_analysis(LAPLACIAN, x, BANK), BANK),
        (X,),
    ),
    "krylov": (lambda x: ops.krylov(LAPLACIAN, x, BANK)[0], (X,)),
    "BalancedTree": (lambda x: TREE.gather(TREE.spread(x) ** 2), (X,)),
}
EXEMPT = {
    "Hierarchy": "holds levels",
    "Level": "holds a graph",
    "ThresholdedWavelets": "holds an operator",
    "FilterBank": "a function of eigenvalues, of PyTorch's own operations",
    "coarse_graph": "says that no gradient flows",
    "coarsen": "chooses clusters",
    "fourier_basis": "says that no gradient flows",
    "largest_eigenvalue": "says that no gradient flows",
    "heat": "makes a bank",
    "itersine": "makes a bank",
    "mexican_hat": "makes a bank",
    "meyer": "makes a bank",
    "pagerank_graph": "chooses neighbours",
    "thresholded_wavelets": "chooses entries",
}


def test_every_public_module_and_operator_is_here():
    assert {public.kind for public in MODULES} | CATEGORIES == PUBLIC.keys()
    assert {name.partition(".")[0] for name in OPERATORS} | EXEMPT.keys() == set(ops.__all__)
    assert not OPERATORS.keys() & EXEMPT.keys()
    assert FourierBasis is ops.FourierBasis


def function_of(public: Public) -> tuple[Function, tuple[Tensor, ...]]:
    """Return a module as a function of features and parameters, and these."""
    module = public.made()
    names = [name for name, _ in module.named_parameters()]

    def function(x: Tensor, *parameters: Tensor) -> Tensor:
        return functional_call(
            Called(module, public), {f"module.{n}": p for n, p in zip(names, parameters, strict=True)}, (x,)
        )

    return function, (public.features(), *(p.detach() for p in module.parameters()))


class Called(torch.nn.Module):
    def __init__(self, module: torch.nn.Module, public: Public) -> None:
        super().__init__()
        self.module, self.public = module, public

    def forward(self, x: Tensor) -> Tensor:
        return self.public.call(self.module, x)


CASES: dict[str, Any] = {
    **{str(public): (lambda public=public: function_of(public)) for public in MODULES},
    **{name: (lambda case=case: case) for name, case in OPERATORS.items()},
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Function, tuple[Tensor, ...]]:
    return CASES[request.param]()


def drawn(*like: Tensor, seed: int = 1) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(part.shape, dtype=part.dtype, generator=generator) for part in like)


def test_a_batch_of_gradients_is_each_gradient(case):
    """``is_grads_batched``, and with it the vectorised Jacobian and PyG's ``total_influence``."""
    function, inputs = case
    leaves = [part.clone().requires_grad_() for part in inputs]
    out = function(*leaves)
    upstream = torch.stack([drawn(out, seed=seed)[0] for seed in range(3)])
    options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
    found = torch.autograd.grad(out, leaves, upstream, is_grads_batched=True, **options)
    looped = [torch.autograd.grad(out, leaves, one, **options) for one in upstream]
    for gradient, each in zip(found, zip(*looped, strict=True), strict=True):
        # Of what is not used PyTorch makes one gradient of zeros for the whole batch.
        torch.testing.assert_close(gradient.expand(3, *each[0].shape), torch.stack(each), **CLOSE)


@pytest.mark.skipif(not hasattr(torch_geometric.utils, "total_influence"), reason="PyG 2.6 has no `total_influence`")
@pytest.mark.parametrize("name", ["GCNConv", "SAGEConv", "GATConv"])
def test_the_influence_of_far_nodes_is_that_of_pygs_layers(name):
    """PyG's ``total_influence`` takes vectorised Jacobians."""
    models = []
    for nn in (graphkit.nn, torch_geometric.nn):
        layers = [(getattr(nn, name)(4, 4), "x, edge_index -> x") for _ in range(2)]
        models.append(torch_geometric.nn.Sequential("x, edge_index", layers))
    models[1].load_state_dict(models[0].state_dict())
    data = Data(x=X.float(), edge_index=EDGES, num_nodes=NODES)  # PyG's averages are in single precision
    influence = torch_geometric.utils.total_influence
    found, expected = (influence(model, data, max_hops=3, num_samples=NODES)[0] for model in models)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_vectorised_jacobian_is_the_looped_one_and_can_be_differentiated(case):
    function, (x, *rest) = case
    found, expected = (
        jacobian(lambda x: function(x, *rest), x, vectorize=vectorize, create_graph=True) for vectorize in (True, False)
    )
    torch.testing.assert_close(found, expected, **CLOSE)


def test_forward_mode_is_the_jacobian_times_a_direction(case):
    function, inputs = case
    along = drawn(*inputs)
    out, found = jvp(function, inputs, along)
    torch.testing.assert_close(out, function(*inputs), **CLOSE)
    leaves = [part.clone().requires_grad_() for part in inputs]
    (seen,) = drawn(out, seed=2)
    back = torch.autograd.grad(function(*leaves), leaves, seen, allow_unused=True, materialize_grads=True)
    expected = sum((b * a).sum() for b, a in zip(back, along, strict=True))
    torch.testing.assert_close((found * seen).sum(), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"krylov"}))  # of several results, for which PyTorch fails
def test_the_vectorised_jacobian_goes_forwards_too(name):
    function, (x, *rest) = CASES[name]()
    found = jacobian(lambda x: function(x, *rest), x, vectorize=True, strategy="forward-mode")
    torch.testing.assert_close(found, jacobian(lambda x: function(x, *rest), x), **CLOSE)


def test_finite_differences_confirm_the_second_derivative(case):
    function, inputs = case
    leaves = [part.clone().requires_grad_() for part in inputs]
    assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"sparse_features"}))  # whose places of non-zeros differ
def test_several_inputs_at_once_are_each_input(name):
    function, inputs = CASES[name]()
    stacked = tuple(torch.stack([part, part * 1.1, part * 0.9]) for part in inputs)
    looped = torch.stack([function(*(part[k] for part in stacked)) for k in range(3)])
    torch.testing.assert_close(vmap(function)(*stacked), looped, **CLOSE)

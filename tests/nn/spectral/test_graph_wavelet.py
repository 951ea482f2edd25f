"""GraphWaveletConv: the dense wavelets' numbers in each form, the tie of the published form to its graph, the laws."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch

from graphkit.nn import GraphWaveletConv
from graphkit.operators import heat, itersine, laplacian, meyer
from tests import contracts
from tests.contracts import EXACT, LargestTensor, Layer, called, matrix_forms
from tests.graphs import BY_NAME, ZOO, large, undirected

LAYERS = [
    Layer("bands, narrowing", lambda nn: nn.GraphWaveletConv(4, 3, scale=[0.5, 2.0]), "edge_weight", undirected=True),
    Layer("bands, widening", lambda nn: nn.GraphWaveletConv(4, 6, scale=[0.5, 2.0]), "edge_weight", undirected=True),
    Layer("mixed", lambda nn: nn.GraphWaveletConv(4, 3, form="mixed", bias=False), "edge_weight", undirected=True),
    Layer(
        "random walk",
        lambda nn: nn.GraphWaveletConv(4, 6, scale=1.0, form="mixed", normalization="rw"),
        "edge_weight",
    ),
]
LAWS = [
    *(law for law in contracts.LAWS if law not in (contracts.loads_pygs_weights_and_back, contracts.reads_like_pygs)),
    contracts.takes_several_signals_on_one_graph,
    contracts.takes_sparse_features,
    contracts.makes_no_array_of_messages,
]
SYMMETRIC = [graph for graph in ZOO if graph.symmetric and graph.num_nodes]


@pytest.mark.parametrize("law", LAWS, ids=called)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_it_obeys(layer, law):
    law(layer)


def test_it_compiles_and_exports():
    contracts.compiles_and_exports(LAYERS[0])


@pytest.mark.parametrize("form", ["bands", "mixed"])
def test_it_learns_its_width(form):
    make, lazy = (lambda nn, i=i: nn.GraphWaveletConv(i, 3, form=form) for i in (4, -1))
    contracts.learns_its_width(make, lazy)


# ---- truth


def spectrum(graph, normalization="sym"):
    """Eigenvalues, eigenvectors as columns, and their inverse, of the dense Laplacian; isolated nodes have 0."""
    weight = graph.weights()
    matrix = laplacian(
        graph.edge_index, weight, graph.num_nodes, normalization=normalization, dtype=torch.float64
    ).to_dense()
    if normalization == "sym":
        values, vectors = torch.linalg.eigh(matrix)
        return values, vectors, vectors.T
    degree = graph.dense(weight).fill_diagonal_(0).sum(1)
    root = torch.where(degree > 0, degree, 1).sqrt()
    values, vectors = torch.linalg.eigh(root[:, None] * matrix / root)
    return values, vectors / root[:, None], vectors.T * root


def wavelet(graph, kernel, normalization="sym"):
    values, vectors, inverse = spectrum(graph, normalization)
    return (vectors * kernel(values)) @ inverse


def call(conv, graph):
    return conv(graph.features(), graph.edge_index, graph.weights())


@pytest.mark.parametrize("normalization", ["sym", "rw"])
@pytest.mark.parametrize("out", [3, 6])
@pytest.mark.parametrize("graph", SYMMETRIC, ids=lambda graph: graph.name)
def test_smooth_forms_are_sums_of_dense_wavelets(graph, out, normalization):
    scales, x = (0.5, 1.0, 3.0), graph.features()
    psi = [wavelet(graph, lambda v, s=s: torch.exp(-s * v), normalization) for s in scales]
    options = {"scale": scales, "normalization": normalization, "order": 30}
    bands = GraphWaveletConv(4, out, **options).double()
    truth = sum(p @ x @ lin.weight.T for p, lin in zip(psi, bands.lins, strict=True)) + bands.bias
    torch.testing.assert_close(call(bands, graph), truth, **EXACT)
    mixed = GraphWaveletConv(4, out, form="mixed", **options).double()
    torch.nn.init.normal_(mixed.weight)
    truth = sum(w * p for p, w in zip(psi, mixed.weight, strict=True)) @ x @ mixed.lins[0].weight.T + mixed.bias
    torch.testing.assert_close(call(mixed, graph), truth, **EXACT)


@pytest.mark.parametrize("normalization", ["sym", "rw"])
@pytest.mark.parametrize("graph", SYMMETRIC, ids=lambda graph: graph.name)
def test_the_published_form_is_a_wavelet_a_diagonal_and_the_true_inverse(graph, normalization):
    psi = wavelet(graph, lambda v: torch.exp(-v), normalization)
    for out in (3, 6):
        conv = GraphWaveletConv(
            4, out, scale=1.0, form="gwnn", num_nodes=graph.num_nodes, normalization=normalization, order=30
        ).double()
        torch.nn.init.normal_(conv.weight)
        inner = psi @ torch.diag(conv.weight[0]) @ torch.linalg.inv(psi)
        truth = inner @ graph.features() @ conv.lins[0].weight.T + conv.bias
        torch.testing.assert_close(call(conv, graph), truth, rtol=0, atol=1e-9)  # the inverse multiplies by e^2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("threshold", [None, 0.0], ids=["polynomials", "matrices"])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.0, 5.0, 8.0, [0.5, 1.0], [1.0, 4.0], [0.3, 2.0, 6.0]], ids=str)
def test_the_published_form_inverts_its_wavelets_at_the_order_it_chooses(scale, threshold, dtype):
    graph = BY_NAME["path"]  # bipartite: its eigenvalues reach from 0 to 2
    options = {"num_nodes": graph.num_nodes, "threshold": threshold, "bias": False}
    conv = GraphWaveletConv(4, 4, scale=scale, form="gwnn", **options).to(dtype)
    torch.nn.init.eye_(conv.lins[0].weight)
    x = graph.features(dtype=dtype)
    found = [conv(x, graph.edge_index)]
    if threshold is None:
        conv.register_message_forward_hook(lambda *_: None)  # the plain path
        found.append(conv(x, graph.edge_index))
    # 1e-7 of the polynomials; in single precision the digits that `LOST` allows to go with it
    within = 1e-7 if dtype == torch.float64 else 3e-6
    for out in found:
        assert out.dtype == dtype
        assert float((out.detach() - x).abs().max() / x.abs().max()) < within


def test_with_ones_the_published_form_is_a_linear_map_which_the_public_codes_are_not():
    graph = BY_NAME["grid"]
    conv = GraphWaveletConv(4, 3, scale=1.0, form="gwnn", num_nodes=9, order=30).double()
    mapped = graph.features() @ conv.lins[0].weight.T
    torch.testing.assert_close(call(conv, graph), mapped, **EXACT)
    values, vectors, _ = spectrum(graph)
    overwritten = values.clone()  # as in Eilene/GWNN: the eigenvalues are exp(-s v) by the time of the inverse
    overwritten.neg_().exp_()
    theirs = (vectors * overwritten) @ vectors.T @ (vectors * overwritten.exp()) @ vectors.T
    assert (theirs - torch.eye(9, dtype=torch.float64)).norm() > 1
    clipped = torch.exp(values).clamp(max=1)  # as in PyGSP 0.5.1, on which the other one is built
    theirs = (vectors * torch.exp(-values)) @ vectors.T @ (vectors * clipped) @ vectors.T
    assert (theirs - torch.eye(9, dtype=torch.float64)).norm() > 1


@pytest.mark.parametrize("bank", [meyer(3), itersine(3)], ids=lambda bank: bank.name)
def test_other_banks_are_applied_as_the_polynomials_that_the_response_shows(bank):
    graph, conv = BY_NAME["grid"], GraphWaveletConv(4, 3, bank=bank, order=40).double()
    values, vectors, inverse = spectrum(graph)
    truth = torch.einsum("np,poi,pm,mi->no", vectors, conv.response(values), inverse, graph.features()) + conv.bias
    torch.testing.assert_close(call(conv, graph), truth, **EXACT)


@pytest.mark.parametrize("bank", [meyer(), itersine()], ids=lambda bank: bank.name)
def test_kernels_that_are_not_smooth_are_followed_to_a_thousandth_by_default(bank):
    graph, conv = BY_NAME["grid"], GraphWaveletConv(4, 3, bank=bank).double()
    assert 50 < conv.order < 200
    values, _, _ = spectrum(graph)
    exact = torch.einsum("bp,boi->poi", bank(values), torch.stack([lin.weight for lin in conv.lins]))
    torch.testing.assert_close(conv.response(values), exact, rtol=0, atol=5e-3)  # six bands of 1e-3, weights below 1
    assert call(conv, graph).isfinite().all()


def test_a_tight_frame_in_the_published_form_starts_as_a_linear_map_too():
    graph = BY_NAME["grid"]
    conv = GraphWaveletConv(4, 3, bank=meyer(3), form="gwnn", num_nodes=9, order=400).double()
    mapped = graph.features() @ conv.lins[0].weight.T
    torch.testing.assert_close(call(conv, graph), mapped, rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", ["bands", "mixed"])
def test_the_response_is_what_the_layer_does(form):
    graph, conv = BY_NAME["isolated nodes"], GraphWaveletConv(4, 3, form=form).double()
    values, vectors, inverse = spectrum(graph)
    response = conv.response(values)
    if form == "mixed":
        response = response[:, None, None] * conv.lins[0].weight
    truth = torch.einsum("np,poi,pm,mi->no", vectors, response, inverse, graph.features()) + conv.bias
    torch.testing.assert_close(call(conv, graph), truth, **EXACT)


def test_what_was_learnt_on_one_graph_is_used_on_another():
    """The same response at the same eigenvalues, whatever graph they come from."""
    conv = GraphWaveletConv(4, 3).double()
    twin = GraphWaveletConv(4, 3).double()
    call(conv, BY_NAME["ring"])
    twin.load_state_dict(conv.state_dict())
    points = torch.linspace(0, 2, 5, dtype=torch.float64)
    assert torch.equal(twin.response(points), conv.response(points))
    assert torch.equal(call(twin, BY_NAME["grid"]), call(conv, BY_NAME["grid"]))


# ---- the tie of the published form to its graph


def tied(nodes=9, **options):
    return GraphWaveletConv(4, 3, scale=1.0, form="gwnn", num_nodes=nodes, **options).double()


def test_it_refuses_another_graph_in_one_line():
    conv, grid = tied(), BY_NAME["grid"]
    conv(grid.features(), grid.edge_index)
    other = grid.relabelled(torch.arange(9).roll(1))
    for graph, message in ((BY_NAME["star"], "6 nodes"), (other, "another graph of 9 nodes")):
        with pytest.raises(
            ValueError, match=f"`form='gwnn'` has 9 parameters tied to the .* used on {message}"
        ) as caught:
            conv(graph.features(), graph.edge_index)
        assert "\n" not in str(caught.value)
    conv(grid.features(), grid.edge_index.clone())
    conv(grid.features(), grid.edge_index[:, torch.arange(grid.num_edges).flip(0)], grid.weights())
    conv.reset_parameters()
    conv(other.features(), other.edge_index)


def test_copies_and_loaded_states_are_tied_to_it_too():
    conv, grid = tied(), BY_NAME["grid"]
    expected = conv(grid.features(), grid.edge_index)
    fresh = tied()
    fresh.load_state_dict(conv.state_dict())
    other = grid.relabelled(torch.arange(9).roll(1))
    for twin in (fresh, copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert torch.equal(twin(grid.features(), grid.edge_index), expected)
        with pytest.raises(ValueError, match="another graph of 9 nodes"):
            twin(other.features(), other.edge_index)


def test_every_form_of_its_graph_is_the_same_graph():
    conv, grid = tied(), BY_NAME["grid"]
    expected = conv(grid.features(), grid.edge_index)
    for form in matrix_forms(grid):
        torch.testing.assert_close(conv(grid.features(), form), expected, **EXACT)


def test_the_published_form_has_right_derivatives_and_two_paths():
    conv, graph = tied(4), BY_NAME["self-loops"]
    x, weight = graph.features().requires_grad_(), graph.weights()
    names = [name for name, _ in conv.named_parameters()]

    def function(x, *parameters):
        return torch.func.functional_call(
            conv, dict(zip(names, parameters, strict=True)), (x, graph.edge_index, weight)
        )

    inputs = (x, *(p.detach().requires_grad_() for p in conv.parameters()))
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)
    fused, seen = call(conv, graph), []
    conv.register_message_forward_hook(lambda *_: seen.append(1))
    torch.testing.assert_close(call(conv, graph), fused, **EXACT)
    assert seen


# ---- thresholds


@pytest.mark.parametrize("form", ["bands", "mixed", "gwnn"])
def test_thresholded_wavelets_are_within_the_error_they_report(form):
    graph = BY_NAME["grid"]
    tie = {"num_nodes": 9} if form == "gwnn" else {}
    options = {"scale": [0.3, 1.0] if form != "gwnn" else 0.3, "form": form, **tie}
    whole = GraphWaveletConv(4, 3, **options).double()
    cut = GraphWaveletConv(4, 3, threshold=0.02, **options).double()
    cut.load_state_dict(whole.state_dict())
    found, expected = call(cut, graph).detach(), call(whole, graph).detach()
    parts = cut.wavelets(graph.edge_index, graph.weights(), num_nodes=9, dtype=torch.float64)
    assert len(parts) == 2
    assert any(part.density < 1 for part in parts)
    difference = (found - expected).norm(dim=0)
    assert float(difference.max()) > 1e-6
    if form == "bands":
        mapped = torch.stack([graph.features() @ lin.weight.detach().T for lin in cut.lins]).norm(dim=1)
        assert bool((difference <= sum(p.bound * m for p, m in zip(parts, mapped, strict=True)) + 1e-6).all())


def test_thresholded_wavelets_are_made_once_for_a_graph():
    graph, conv = BY_NAME["grid"], GraphWaveletConv(4, 3, threshold=1e-3)
    index = graph.edge_index.clone()
    first = conv.wavelets(index, num_nodes=9)
    again = conv.wavelets(index, num_nodes=9)
    assert all(one.operator._store is other.operator._store for one, other in zip(first, again, strict=True))
    index.copy_((index + 1) % 9)
    assert conv.wavelets(index, num_nodes=9)[0].operator._store is not first[0].operator._store


def test_no_array_of_nodes_by_nodes_is_made():
    graph = large(900, 8)
    conv = GraphWaveletConv(4, 3, form="gwnn", scale=1.0, num_nodes=900)
    with LargestTensor() as largest:
        conv(graph.features(dtype=torch.float32), graph.edge_index).sum().backward()
    assert largest.numbers < 900 * 900 / 20


# ---- refusals


def test_a_directed_graph_is_warned_of_and_its_thresholded_wavelets_are_refused():
    graph = BY_NAME["directed"]
    with pytest.warns(UserWarning, match="`edge_index` is directed or its weights differ by direction"):
        GraphWaveletConv(4, 3).double()(graph.features(), graph.edge_index)
    with pytest.raises(ValueError, match="must be symmetric to have frequencies"):
        GraphWaveletConv(4, 3, threshold=0.1).double()(graph.features(), graph.edge_index)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GraphWaveletConv(4, 3, normalization="rw").double()(graph.features(), graph.edge_index)


def test_edge_weights_with_a_gradient_have_no_thresholded_wavelets():
    graph = BY_NAME["grid"]
    conv = GraphWaveletConv(4, 3, threshold=0.1).double()
    with pytest.raises(ValueError, match="`edge_weight` has a gradient, which thresholded wavelets do not pass on"):
        conv(graph.features(), graph.edge_index, graph.weights().requires_grad_())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "gwnn"}, "`num_nodes` must be given with form='gwnn'"),
        ({"num_nodes": 5}, "and with no other form; got form='bands' and num_nodes=5"),
        ({"form": "free"}, "`form` 'free' is not known"),
        ({"normalization": "none"}, "`normalization` 'none' is not known"),
        ({"bank": heat(1.0, largest=3.0)}, "`bank` must be made with `largest=2`, got 3"),
        ({"threshold": 0.1, "normalization": "rw"}, "`threshold` needs `normalization='sym'`"),
        (
            {"form": "gwnn", "scale": 20.0, "num_nodes": 5},
            "cannot be inverted in float64: its condition number is 2.4e",
        ),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GraphWaveletConv(4, 3, **options)


def test_the_published_form_has_no_response():
    with pytest.raises(ValueError, match="has a number for each node and no response"):
        tied().response(torch.zeros(1))


def test_an_isolated_node_keeps_its_features():
    graph = undirected("lonely", [(0, 1)], 3)
    conv = GraphWaveletConv(4, 3, scale=2.0, bias=False).double()
    found = conv(graph.features(), graph.edge_index)[2]
    torch.testing.assert_close(found, graph.features()[2] @ conv.lins[0].weight.T, rtol=0, atol=1e-6)

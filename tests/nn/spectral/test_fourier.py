"""SpectralConv against U g(L) U^T, on bases that differ by signs and rotations, on other graphs, in batches."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from torch_geometric.data import Batch, Data

from graphkit.nn import Encoder, SpecformerFilter, SpectralConv
from graphkit.nn.spectral.responses import Bernstein, BSplines, Chebyshev, EigenvalueEncoder
from graphkit.operators import FourierBasis, SparseOperator, fourier_basis, laplacian
from tests.contracts import EXACT
from tests.graphs import BY_NAME, ZOO

close = torch.testing.assert_close
SMOOTH = ["bspline", "bernstein", "chebyshev", "mlp", "set"]
EVERY = ["free", *SMOOTH]
MIXINGS = ["full", "depthwise"]
UNDIRECTED = [graph for graph in ZOO if graph.symmetric and graph.num_nodes]


def operator(graph, normalization="sym") -> SparseOperator:
    return laplacian(graph.edge_index, num_nodes=graph.num_nodes, normalization=normalization, dtype=torch.float64)


def conv(response, mixing="full", basis=None, **options) -> SpectralConv:
    """Return a layer of 4 to 3 channels with drawn parameters."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tied = basis if response == "free" else None
        layer = SpectralConv(4, 3, response, terms=5, mixing=mixing, basis=tied, **options).double()
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return layer.eval()


def filtered(layer: SpectralConv, x: torch.Tensor, basis: FourierBasis, response: torch.Tensor) -> torch.Tensor:
    """Return the filter by one dense product for each pair of channels."""
    u = basis.eigenvectors
    dual = u if basis.scale is None else u * basis.scale[:, None]
    back = u if basis.scale is None else u / basis.scale[:, None]
    if layer.mixing == "depthwise":
        mapped = x @ layer.weight[0]
        return torch.stack([back @ (response[:, o] * (dual.T @ mapped[:, o])) for o in range(3)], 1).detach()
    parts = [[back @ (response[:, i, o] * (dual.T @ x[:, i])) for i in range(4)] for o in range(3)]
    return torch.stack([sum(part) for part in parts], 1).detach()


def truth(layer: SpectralConv, x: torch.Tensor, basis: FourierBasis) -> torch.Tensor:
    """Return the layer's result: the filter, the part that the basis does not span, the bias."""
    spanned = basis.filter(x, torch.ones_like)
    rest = layer.rest[0] if layer.mixing == "full" else layer.weight[0] * layer.rest[0]
    response = layer.response(basis.eigenvalues)
    return (filtered(layer, x, basis, response) + (x - spanned) @ rest + layer.bias).detach()


# ---- truth


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("response", EVERY)
def test_it_is_the_filter_of_its_response(response, mixing):
    for graph in UNDIRECTED:
        for normalization in ("sym", "rw"):
            for k in (None, min(2, graph.num_nodes)):
                basis = fourier_basis(operator(graph, normalization), k)
                layer, x = conv(response, mixing, basis), graph.features()
                expected = truth(layer, x, basis)
                close(layer(x, basis).detach(), expected, **EXACT)
                close(layer(SparseOperator.from_dense(x), basis).detach(), expected, **EXACT)
                close(layer(torch.stack((x, x)), basis)[1].detach(), expected, **EXACT)


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("wide", [2, 40])
def test_both_orders_of_map_and_transform_agree(wide, mixing):
    basis = fourier_basis(operator(BY_NAME["grid"]), 4)
    layer = SpectralConv(wide, 3, terms=4, mixing=mixing).double()
    x = torch.randn(9, wide, dtype=torch.float64)
    close(layer(x, basis), layer(SparseOperator.from_dense(x), basis), **EXACT)


@pytest.mark.parametrize("terms", [4, 5, 9])
def test_splines_are_scipys(terms):
    inner = np.linspace(0, 2, terms - 2)
    knots = np.concatenate(([0] * 3, inner, [2] * 3))
    points = np.linspace(0, 2, 41)
    expected = BSpline.design_matrix(points, knots, 3).toarray()
    found = BSplines(terms).double()(torch.from_numpy(points))
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-7)  # knots are kept in float32


@pytest.mark.parametrize("make", [BSplines, Bernstein])
def test_terms_add_up_to_one_and_are_constant_beyond_the_interval(make):
    points = torch.linspace(-0.5, 2.5, 61, dtype=torch.float64)
    found = make(6).double()(points)
    close(found.sum(1), torch.ones(61, dtype=torch.float64), rtol=0, atol=1e-6)
    close(found[0], make(6).double()(torch.zeros(1, dtype=torch.float64))[0])


def test_chebyshev_terms_are_cosines():
    points = torch.linspace(0, 2, 21, dtype=torch.float64)
    expected = torch.cos(torch.arange(7) * torch.arccos(points - 1).unsqueeze(1))
    close(Chebyshev(7)(points), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("response", ["bspline", "bernstein", "chebyshev", "free"])
@pytest.mark.parametrize("mixing", MIXINGS)
def test_it_starts_as_a_linear_map(response, mixing):
    graph = BY_NAME["star"]
    basis, x = fourier_basis(operator(graph), 2), graph.features()
    layer = SpectralConv(4, 3, response, mixing=mixing, basis=basis if response == "free" else None).double()
    close(layer(x, basis), x @ layer.weight[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("response", EVERY)
def test_heat_multiplies_what_it_does_without(response, mixing):
    graph = BY_NAME["grid"]
    whole, basis = fourier_basis(operator(graph)), fourier_basis(operator(graph), 4)
    for part in (whole, basis):
        layer, warm = conv(response, mixing, part), conv(response, mixing, part, heat=1.5)
        warm.load_state_dict(layer.state_dict())
        cooled = torch.exp(-1.5 * part.eigenvalues).view(-1, *[1] * (1 if mixing == "depthwise" else 2))
        close(warm.response(part.eigenvalues), cooled * layer.response(part.eigenvalues), **EXACT)
        if part.complete:
            x = graph.features()
            expected = part.filter(layer(x, part) - layer.bias, lambda values: torch.exp(-1.5 * values))
            for given in (x, SparseOperator.from_dense(x)):
                close(warm(given, part) - warm.bias, expected, **EXACT)
    signal = torch.randn(9, 4, dtype=torch.float64)
    outside = signal - basis.igft(basis.gft(signal))
    close(warm(outside, basis) - warm.bias, math.exp(-1.5) * (layer(outside, basis) - layer.bias), **EXACT)


def test_heat_leaves_a_polynomial_as_it_is():
    matrix, x = operator(BY_NAME["grid"]), BY_NAME["grid"].features()
    basis = fourier_basis(matrix, 4)
    layer = conv("bspline", "depthwise", polynomial=2)
    warm = conv("bspline", "depthwise", polynomial=2, heat=1.5)
    warm.load_state_dict(layer.state_dict())
    for made in (layer, warm):
        torch.nn.init.zeros_(made.factors)
    close(warm(x, basis, matrix), layer(x, basis, matrix), **EXACT)


def test_a_polynomial_with_a_correction_of_low_rank_is_p_of_l_and_more():
    graph = BY_NAME["grid"]
    matrix, x = operator(graph), graph.features()
    basis, whole = fourier_basis(matrix, 3), fourier_basis(matrix)
    for mixing in MIXINGS:
        layer = conv("bspline", mixing, polynomial=4)
        plain = copy.deepcopy(layer)
        torch.nn.init.zeros_(plain.weight if mixing == "full" else plain.factors)
        p = plain.response(whole.eigenvalues)
        correction = layer.response(basis.eigenvalues) - plain.response(basis.eigenvalues)
        expected = filtered(layer, x, whole, p) + filtered(layer, x, basis, correction) + layer.bias
        close(layer(x, basis, matrix), expected, **EXACT)
        with pytest.raises(ValueError, match="`laplacian` must be the basis's operator"):
            layer(x, basis)


# ---- laws


def turned(basis: FourierBasis) -> FourierBasis:
    """Return the basis with other signs, and other vectors inside each eigenspace."""
    u, generator = basis.eigenvectors.clone(), torch.Generator().manual_seed(0)
    start = 0
    while start < basis.pairs:
        stop = start + int(((basis.eigenvalues[start:] - basis.eigenvalues[start]).abs() < 1e-8).sum())
        drawn = torch.randn(stop - start, stop - start, generator=generator, dtype=torch.float64)
        u[:, start:stop] = -u[:, start:stop] @ torch.linalg.qr(drawn)[0]
        start = stop
    return dataclasses.replace(basis, entries=u.reshape(-1))


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("response", SMOOTH)
def test_smooth_responses_do_not_see_signs_and_rotations(response, mixing):
    for graph in UNDIRECTED:
        basis = fourier_basis(operator(graph), min(3, graph.num_nodes))
        layer, x = conv(response, mixing), graph.features()
        close(layer(x, turned(basis)), layer(x, basis), rtol=0, atol=1e-6)  # sums of float32 frequencies times 100


@pytest.mark.parametrize("response", SMOOTH)
def test_it_is_equivariant_to_permuting_the_nodes(response):
    for graph in UNDIRECTED:
        order = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(1))
        layer, x = conv(response), graph.features()
        renamed = layer(x[order], fourier_basis(operator(graph.relabelled(order)), min(3, graph.num_nodes)))
        expected = layer(x, fourier_basis(operator(graph), min(3, graph.num_nodes)))[order]
        close(renamed, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("response", SMOOTH)
def test_a_batch_is_its_graphs(response, mixing):
    layer = conv(response, mixing)
    items = []
    for graph in UNDIRECTED:
        basis = fourier_basis(operator(graph), min(3, graph.num_nodes))
        items.append(Data(x=graph.features(), edge_index=graph.edge_index, basis=basis))
    batch = Batch.from_data_list(items)
    apart = torch.cat([layer(item.x, item.basis) for item in items])
    close(layer(batch.x, batch.basis), apart, **EXACT)
    close(layer(batch.x, FourierBasis.batch(batch.basis)), apart, **EXACT)


@pytest.mark.parametrize("response", EVERY)
@pytest.mark.parametrize("mixing", MIXINGS)
def test_gradients_are_those_of_finite_differences(response, mixing):
    graph = BY_NAME["ring"]
    basis = fourier_basis(operator(graph), 3)
    layer = conv(response, mixing, basis)
    names = list(dict(layer.named_parameters()))

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x, basis))

    inputs = [graph.features().requires_grad_(), *(p.detach().clone().requires_grad_() for p in layer.parameters())]
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("response", SMOOTH)
def test_what_was_learnt_on_one_graph_is_used_on_another(response):
    learnt = conv(response, "depthwise")
    loaded = SpectralConv(4, 3, response, terms=5, mixing="depthwise").double().eval()
    loaded.load_state_dict(learnt.state_dict())
    points = torch.linspace(0, 2, 30, dtype=torch.float64)
    close(loaded.response(points), learnt.response(points), **EXACT)
    for name in ("star", "grid"):
        basis = fourier_basis(operator(BY_NAME[name]))
        close(loaded(BY_NAME[name].features(), basis).detach(), truth(learnt, BY_NAME[name].features(), basis), **EXACT)


@pytest.mark.parametrize("response", EVERY)
def test_it_survives_copies_pickles_and_state_dicts(response):
    basis = fourier_basis(operator(BY_NAME["grid"]), 4)
    layer, x = conv(response, "full", basis), BY_NAME["grid"].features()
    other = SpectralConv(4, 3, response, terms=5, basis=basis if response == "free" else None).double().eval()
    other.load_state_dict(layer.state_dict())
    for copied in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        close(copied(x, basis), layer(x, basis), **EXACT)
    layer.reset_parameters()
    assert str(layer) == f"SpectralConv(4, 3, response={response!r})"


def test_an_encoder_stacks_it():
    graph = BY_NAME["grid"]
    basis = fourier_basis(operator(graph).to(torch.float32), 5)
    encoder = Encoder(4, 8, 2, conv=SpectralConv, layers=2)
    assert "basis" in encoder.takes
    assert encoder(graph.features(dtype=torch.float32), basis).shape == (9, 2)


def test_equal_eigenvalues_have_equal_terms_and_other_graphs_do_not_count():
    encoder = EigenvalueEncoder(3, hidden=8, heads=2).double().eval()
    one, two = torch.tensor([0.0, 0.5, 0.5], dtype=torch.float64), torch.tensor([0.0, 1.5], dtype=torch.float64)
    found = encoder(torch.cat((one, two)), torch.tensor([0, 3, 3, 5]))
    close(found[1], found[2], **EXACT)
    close(found, torch.cat((encoder(one), encoder(two))), **EXACT)
    assert encoder(one[:0]).shape == (0, 3)
    assert not torch.allclose(encoder(one)[0], encoder(two)[0])  # the same eigenvalue in another spectrum


# ---- refusals


def test_a_free_response_refuses_another_graph():
    grid, other = BY_NAME["grid"], BY_NAME["star"]
    basis = fourier_basis(operator(grid), 4)
    layer = conv("free", "depthwise", basis)
    message = r"`response='free'` has 6 parameters tied to the basis .* another \(6 nodes, 6 pairs\); choose a smooth"
    with pytest.raises(ValueError, match=message):
        layer(other.features(), fourier_basis(operator(other)))
    weighted = laplacian(grid.edge_index, grid.weights(), 9, normalization="sym", dtype=torch.float64)
    same_shape = fourier_basis(weighted, basis.pairs)
    assert same_shape.pairs == basis.pairs
    with pytest.raises(ValueError, match="`response='free'` has 6 parameters"):
        layer(grid.features(), same_shape)
    with pytest.raises(ValueError, match="`eigenvalues` must be the 6 that the free response was built on, got 2"):
        layer.response(torch.zeros(2))
    close(layer.response(basis.eigenvalues), layer.factors, **EXACT)


def test_a_free_response_knows_its_basis_however_it_was_asked_for():
    for name in ("complete", "grid"):
        graph = BY_NAME[name]
        x, single = graph.features().float(), operator(graph).to(torch.float32)
        basis = fourier_basis(laplacian(graph.edge_index, num_nodes=graph.num_nodes, normalization="sym"))
        layer = conv("free", "depthwise", basis).float()
        for other in (
            fourier_basis(single, graph.num_nodes),
            fourier_basis(single, solver="dense"),
            fourier_basis(operator(graph)).to(torch.float32),
        ):
            assert layer(x, other).shape == (graph.num_nodes, 3)
        with pytest.raises(ValueError, match="`response='free'` has"):
            layer(x, fourier_basis(single, 1))


def test_many_bernstein_terms_are_finite_in_single_precision():
    found = Bernstein(160)(torch.linspace(0, 2, 41))
    close(found.sum(1), torch.ones(41), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["response", "mixing"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(TypeError, match=f"`{name}` must be a name, got None. Known: "):
        SpectralConv(4, 3, **{name: None})


def test_wrong_arguments_are_refused():
    basis = fourier_basis(operator(BY_NAME["grid"], None))
    for options, message in (
        ({"response": "splin"}, "`response` 'splin' is not known"),
        ({"mixing": "half"}, "`mixing` 'half' is not known"),
        ({"terms": 3}, "`terms` must be an integer of at least 4"),
        ({"response": "free"}, "`basis` must be given with response='free'"),
        ({"basis": basis}, "`basis` must be given with response='free'"),
        ({"interval": (2.0, 0.0)}, "`interval` must be"),
        ({"interval": (0.0, 1.0, 2.0)}, "`interval` must be"),
        ({"heat": -1.0}, "`heat` must"),
        ({"response": "set", "hidden": 7}, "`hidden` must be even"),
    ):
        with pytest.raises(ValueError, match=message):
            SpectralConv(4, 3, **options)
    x = BY_NAME["grid"].features()
    with pytest.raises(
        ValueError, match=r"`interval` \(0.0, 2.0\) must hold all eigenvalues, which lie between 0 and 6"
    ):
        conv("bspline")(x, basis)
    conv("bspline", interval=(0.0, 8.0))(x, basis)
    with pytest.raises(ValueError, match=r"`x` must have 4 features"):
        conv("mlp")(x[:, :2], basis)
    with pytest.raises(ValueError, match="the basis belongs to a graph of 9 nodes"):
        conv("mlp")(x[:5], basis)
    with pytest.raises(TypeError, match=r"`basis` must be a FourierBasis, got a tensor; `fourier_basis\("):
        conv("mlp")(x, BY_NAME["grid"].edge_index)
    with pytest.raises(ValueError, match="`in_channels` must be an integer of at least 1, got -1"):
        SpectralConv(-1, 3)


@pytest.mark.parametrize("mixing", ["full", "depthwise"])
@pytest.mark.parametrize("response", ["bspline", "set", "mlp"])
def test_signals_bases_and_weights_of_different_types_are_refused(response, mixing):
    graph = BY_NAME["grid"]
    basis = fourier_basis(laplacian(graph.edge_index, normalization="sym"))
    conv, x = SpectralConv(4, 2, response, mixing=mixing), graph.features().float()
    assert conv(x, basis).dtype == torch.float32
    with pytest.raises(TypeError, match=r"`x` must have the type of the basis, torch.float32, got torch.float64"):
        conv(x.double(), basis)
    with pytest.raises(TypeError, match=r"`x` must have the type of the basis, torch.float32, got torch.int64"):
        conv(x.long(), basis)
    with pytest.raises(TypeError, match=r"the type of the layer's weights, torch.float32, got torch.float64"):
        conv(x.double(), basis.to(torch.float64))
    with pytest.raises(TypeError, match=r"`x` must be a tensor, got list"):
        conv([1.0], basis)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert conv(x.bfloat16(), basis).shape == (9, 2)


def test_the_transform_and_the_encoders_filter_refuse_another_type():
    graph = BY_NAME["grid"]
    basis, x = fourier_basis(laplacian(graph.edge_index, normalization="sym")), graph.features()
    for call in (lambda: basis.gft(x), lambda: basis.filter(x, torch.exp), lambda: SpecformerFilter(4)(x, basis)):
        with pytest.raises(TypeError, match="`x` must have the type of the basis"):
            call()
    with pytest.raises(TypeError, match="the type of the layer's weights"):
        SpecformerFilter(4)(x, basis.to(torch.float64))


@pytest.mark.parametrize("response", ["free", "bspline", "bernstein", "chebyshev"])
def test_drawn_channels_differ_from_the_start_and_flat_ones_are_multiples_of_each_other(response):
    graph = BY_NAME["grid"]
    basis = fourier_basis(laplacian(graph.edge_index, normalization="sym", dtype=torch.float64))
    tied = basis if response == "free" else None
    curves = {}
    for start in ("flat", "drawn"):
        torch.manual_seed(0)
        conv = SpectralConv(1, 3, response, start=start, basis=tied).double()
        curves[start] = conv.response(basis.eigenvalues).flatten(1).detach()
    assert torch.linalg.matrix_rank(curves["flat"], atol=1e-5, rtol=0.0) == 1
    assert torch.linalg.matrix_rank(curves["drawn"], atol=1e-5, rtol=0.0) == 3
    with pytest.raises(ValueError, match="`start='drawn'` is for mixing='full'"):
        SpectralConv(1, 3, response, start="drawn", mixing="depthwise", basis=tied)

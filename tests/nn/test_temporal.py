"""Layers over time: DiffusionConv, GraphGRU, GatedTemporalConv, STConvBlock, AdaptiveAdjacency and networks of them."""

from __future__ import annotations

import pytest
import torch
import torch_geometric.nn

from graphkit.nn import (
    AdaptiveAdjacency,
    ChebConv,
    DiffusionConv,
    GATConv,
    GatedTemporalConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GraphGRU,
    PolynomialConv,
    SAGEConv,
    STConvBlock,
)
from graphkit.nn.temporal import ConvolutionalForecaster, LagNetwork, RecurrentForecaster
from graphkit.nn.temporal.adaptive import LARGEST
from graphkit.nn.temporal.recurrent import convolve

EDGES = torch.tensor([[0, 1, 2, 3, 0, 4], [1, 2, 3, 4, 2, 4]])
WEIGHT = torch.tensor([1.0, 2.0, 1.0, 0.5, 3.0, 2.0], dtype=torch.float64)
BOTH = torch.cat([EDGES, EDGES.flip(0)], 1)
DOUBLE = {"dtype": torch.float64}


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), **DOUBLE)


def dense(edges, weight, nodes=5):
    matrix = torch.zeros(nodes, nodes, **DOUBLE).index_put((edges[1], edges[0]), weight, accumulate=True)
    total = matrix.sum(1, keepdim=True)
    return torch.where(total > 0, matrix / torch.where(total > 0, total, 1.0), 0.0)


@pytest.mark.parametrize("widths", [(4, 3), (3, 5)])
@pytest.mark.parametrize("both", [True, False])
def test_diffusion_is_powers_of_both_walks(widths, both):
    conv = DiffusionConv(*widths, K=3, both=both).double()
    x = drawn(2, 5, widths[0])
    expected = conv.lins[0](x) + conv.bias
    for way, walk in enumerate((dense(EDGES, WEIGHT), dense(EDGES.flip(0), WEIGHT))[: 1 + both]):
        for power in range(1, 4):
            expected = expected + conv.lins[3 * way + power](torch.linalg.matrix_power(walk, power) @ x)
    torch.testing.assert_close(conv(x, EDGES, WEIGHT), expected)


def one_by_one(layer, x):
    return torch.stack([layer(each, BOTH) for each in x])


CONVOLUTIONS = {
    "gcn": lambda i, o: GCNConv(i, o),
    "cheb": lambda i, o: ChebConv(i, o, K=3),
    "sage": lambda i, o: SAGEConv(i, o),
    "diffusion": lambda i, o: DiffusionConv(i, o),
    "chebii": lambda i, o: PolynomialConv(i, o, 3, "chebii"),
    "gin": lambda i, o: GINConv(torch.nn.Linear(i, o)),
    "gat": lambda i, o: GATConv(i, o),
    "gatv2": lambda i, o: GATv2Conv(i, o),
    "PyG's GAT": lambda i, o: torch_geometric.nn.GATConv(i, o),
    "PyG's GraphConv": lambda i, o: torch_geometric.nn.GraphConv(i, o),
    "PyG's GEN": lambda i, o: torch_geometric.nn.GENConv(i, o, norm="layer"),
    "PyG's GAT both ways": lambda i, o: torch_geometric.nn.DirGNNConv(
        torch_geometric.nn.GATConv(i, o, add_self_loops=False)
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_gru_on_a_graph_is_its_equations_one_moment_after_another(name):
    unit, x = GraphGRU(2, 3, CONVOLUTIONS[name]).double(), drawn(4, 6, 5, 2)
    start = drawn(4, 5, 3)
    for given in (None, start):
        h, states = torch.zeros(4, 5, 3, **DOUBLE) if given is None else given, []
        for moment in range(6):
            into = one_by_one(unit.input, x[:, moment])
            z = torch.sigmoid(into[..., :3] + one_by_one(unit.gates, h)[..., :3])
            r = torch.sigmoid(into[..., 3:6] + one_by_one(unit.gates, h)[..., 3:])
            h = z * h + (1 - z) * torch.tanh(into[..., 6:] + one_by_one(unit.candidate, r * h))
            states.append(h)
        torch.testing.assert_close(unit(x, BOTH, h=given), torch.stack(states, 1))
        torch.testing.assert_close(unit.last_state(x, BOTH, h=given), h)
    # Its state is a value: the first half and the second make the whole.
    first = unit(x[:, :3], BOTH)
    second = unit(x[:, 3:], BOTH, h=first[:, -1])
    torch.testing.assert_close(torch.cat([first, second], 1), unit(x, BOTH))


@pytest.mark.parametrize("name", ["gat", "PyG's GAT", "gcn"])
def test_a_gru_with_any_layer_is_traced(name):
    unit, x = GraphGRU(2, 3, CONVOLUTIONS[name]).eval(), torch.ones(2, 4, 5, 2)
    traced = torch.export.export(unit, (x, BOTH)).module()
    torch.testing.assert_close(traced(x, BOTH), unit(x, BOTH))


def test_a_layer_that_writes_into_its_edges_is_given_them_anew():
    class Writes(torch.nn.Module):
        def forward(self, x, edge_index):
            found = torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]])
            edge_index.zero_()
            return found

    x, edges = drawn(4, 5, 2), BOTH.clone()
    first = convolve(Writes(), x, edges)
    assert torch.equal(convolve(Writes(), x, edges), first)
    assert torch.equal(edges, BOTH)


def test_edges_between_nodes_that_are_not_there_are_refused_in_numbers_of_the_graph():
    with pytest.raises(ValueError, match="node 6"):
        convolve(GATConv(2, 3), torch.ones(4, 6, 2), torch.tensor([[0, 6], [1, 2]]))
    with pytest.raises(TypeError, match="`edge_index` must be a tensor"):
        convolve(GATConv(2, 3), torch.ones(4, 6, 2))


@pytest.mark.parametrize("widths", [(2, 4), (4, 2), (3, 3)])
def test_a_gated_convolution_is_its_equation_one_moment_at_a_time(widths):
    conv, x = GatedTemporalConv(*widths, kernel=3).double(), drawn(2, 6, 5, widths[0])
    found = conv(x)
    assert found.shape == (2, 4, 5, widths[1])
    for moment in range(4):
        seen = torch.cat([x[:, moment + place] for place in range(3)], -1)
        p, q = conv.linear(seen).chunk(2, -1)
        last = x[:, moment + 2]
        if widths[0] > widths[1]:
            last = conv.align(last)
        last = torch.nn.functional.pad(last, (0, widths[1] - last.size(-1)))
        torch.testing.assert_close(found[:, moment], (p + last) * q.sigmoid())
    with pytest.raises(ValueError, match=r"`x` must have shape .* with 3 moments at least"):
        conv(x[:, :2])


@pytest.mark.parametrize("conv", [GCNConv, GATConv])
def test_a_block_is_its_parts_one_after_the_other(conv):
    block, x = STConvBlock(2, 4, 3, conv, kernel=2).double().eval(), drawn(2, 5, 5, 2)
    h = block.before(x)
    h = torch.relu(one_by_one(block.conv, h.flatten(0, 1)).view_as(h) + h)
    torch.testing.assert_close(block(x, BOTH), block.norm(block.after(h)))
    assert block(x, BOTH).shape == (2, 3, 5, 3)


def test_an_adaptive_adjacency_takes_means_of_all_nodes():
    layer, x = AdaptiveAdjacency(5, 3).double(), drawn(2, 5, 4)
    matrix = torch.softmax(torch.relu(layer.target @ layer.source.T), 1)
    torch.testing.assert_close(layer(x), torch.einsum("vu,buc->bvc", matrix, x))
    torch.testing.assert_close(layer.matrix.sum(1), torch.ones(5, **DOUBLE))
    with pytest.raises(ValueError, match=r"`x` must have shape \[..., 5, features\]"):
        layer(x[:, :4])
    with pytest.raises(ValueError, match="`num_nodes` must be at most 20,000"):
        AdaptiveAdjacency(LARGEST + 1)


NETWORKS = {
    "recurrent": lambda **fields: RecurrentForecaster(6, 2, 2, hidden=4, conv=lambda i, o: ChebConv(i, o, 2), **fields),
    "convolutional": lambda **fields: ConvolutionalForecaster(
        6, 2, 2, hidden=4, conv=lambda i, o: GCNConv(i, o), blocks=1, **fields
    ),
    "lags": lambda **fields: LagNetwork(6, 2, 2, hidden=4, nodes=5, **fields),
    "lags, shared": lambda **fields: LagNetwork(6, 2, 2, hidden=4, both=True, **fields),
}


@pytest.mark.parametrize("scaling", ["series", "nodes", "window"])
@pytest.mark.parametrize("base", ["last", "mean"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_does_not_care_for_units(name, base, scaling):
    """Other units of the signals are other units of the forecasts: mean and deviation are taken out."""
    torch.manual_seed(0)
    net = NETWORKS[name](scaling=scaling, scaled_nodes=5, base=base, clock=2).double().eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    signals, clock = drawn(40, 5, 2), drawn(3, 2)
    seen = signals[:18].unflatten(0, (3, 6))
    net.fit_scale(signals)
    one = net(seen, clock, BOTH)
    assert one.shape == (3, 2, 5, 2)
    net.fit_scale(100 * signals - 7)
    torch.testing.assert_close(net(100 * seen - 7, clock, BOTH), 100 * one - 7, rtol=1e-6, atol=1e-6)
    gone = seen.clone()
    gone[0, 2, 1] = torch.nan
    assert bool(net(gone, clock, BOTH).isfinite().all())
    with pytest.raises(ValueError, match=r"`seen` must have shape \[moments, 6, nodes, features\]"):
        net(seen[:, :4], clock, BOTH)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_a_function_of_its_parameters(name):
    """MAML takes the gradient of a step of it."""
    torch.manual_seed(0)
    net, seen, y = NETWORKS[name]().double().eval(), drawn(3, 6, 5, 2), drawn(3, 2, 5, 2)
    start = {key: value.detach() for key, value in net.named_parameters()}

    def loss(parameters):
        return (torch.func.functional_call(net, parameters, (seen, None, BOTH)) - y).square().mean()

    def after(parameters):
        slopes = torch.func.grad(loss)(parameters)
        return loss({key: value - 0.1 * slopes[key] for key, value in parameters.items()})

    meta = torch.func.grad(after)(start)
    way = {
        key: torch.randn(value.shape, generator=torch.Generator().manual_seed(2), **DOUBLE)
        for key, value in start.items()
    }
    ends = [after({key: value + sign * 1e-5 * way[key] for key, value in start.items()}) for sign in (1, -1)]
    slope = sum(float((meta[key] * way[key]).sum()) for key in start)
    assert slope == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-7)


def test_clocks_of_periods_that_were_not_run_through_are_not_looked_at():
    net = NETWORKS["lags"](clock=2)
    net.fit_scale(torch.randn(40, 5, 2), torch.tensor([True, False]))
    assert net.known.tolist() == [1.0, 0.0]

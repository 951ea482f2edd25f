"""Pooling and the construction by clustering: against loops over nodes, fakes and clusters."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch.autograd import gradcheck

from graphkit.nn import ChebConv, ChebPool, ClusterPool, GCNConv, LocallyConnectedConv, SignalNet, SpectralConv
from graphkit.nn.signal_models import SignalPerceptron
from graphkit.operators import coarsen
from tests.graphs import ZOO

UNDIRECTED = [graph for graph in ZOO if graph.symmetric and graph.num_nodes > 1]
SEVEN = torch.tensor([[0, 1, 2, 3, 4, 5, 0, 2], [1, 2, 3, 4, 5, 6, 3, 5]])
PATH = torch.cat([SEVEN, SEVEN.flip(0)], 1)


def tree_of(edge_index, nodes, levels=2):
    return coarsen(edge_index, None, nodes, levels=levels).tree


@pytest.mark.parametrize("graph", UNDIRECTED, ids=lambda graph: graph.name)
@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("levels", [1, 2])
def test_pooling_is_over_the_real_members_alone(graph, reduce, levels):
    """Written out: for each node of the coarse level, over those that belong to it."""
    hierarchy = coarsen(graph.edge_index, None, graph.num_nodes, levels=levels)
    tree = hierarchy.tree
    x = torch.randn(3, graph.num_nodes, 2, dtype=torch.float64) - 5  # all negative: a fake 0 would win
    pooled = tree.gather(ChebPool(reduce, levels=levels)(tree.spread(x), tree), level=levels)
    belongs = hierarchy.assignment(levels)
    for node in range(hierarchy.levels[-1].num_nodes):
        members = x[:, belongs == node]
        expected = members.amax(1) if reduce == "max" else members.mean(1)
        torch.testing.assert_close(pooled[:, node], expected, rtol=0, atol=1e-12)


def test_values_at_fakes_count_for_nothing():
    tree = tree_of(PATH, 7)
    assert bool(tree.fake(0).any())
    x = tree.spread(torch.randn(7, 2))
    spoiled = torch.where(tree.fake(0)[:, None], 1e6, x)
    for reduce in ("max", "mean"):
        assert torch.equal(ChebPool(reduce)(x, tree), ChebPool(reduce)(spoiled, tree))


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_pooling_has_right_derivatives(reduce):
    tree = tree_of(PATH, 7)
    x = torch.randn(2, 7, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda v: ChebPool(reduce)(tree.spread(v), tree), x)


def test_pooling_level_by_level_is_pooling_at_once():
    tree = tree_of(PATH, 7)
    x = tree.spread(torch.randn(7, 3))
    twice = ChebPool()(ChebPool()(x, tree), tree, 1)
    real = ~tree.fake(2)
    assert torch.equal(ChebPool(levels=2)(x, tree)[real], twice[real])


def test_more_levels_than_the_tree_has_are_refused():
    tree = tree_of(PATH, 7)
    with pytest.raises(ValueError, match="leads beyond the tree, which has 2 levels"):
        ChebPool(levels=3)(tree.spread(torch.randn(7, 1)), tree)
    with pytest.raises(ValueError, match="`reduce` 'sum' is not known"):
        ChebPool("sum")
    with pytest.raises(ValueError, match="7"):
        ChebPool()(torch.randn(7, 1), tree)


@pytest.mark.parametrize("reduce", ["max", "mean", "sum"])
def test_clusters_become_nodes(reduce):
    x, cluster = torch.randn(7, 2, dtype=torch.float64), torch.tensor([0, 0, 1, 1, 1, 2, 2])
    pooled = ClusterPool(reduce)(x, cluster, PATH)
    kinds = {"max": lambda v: v.amax(0), "mean": lambda v: v.mean(0), "sum": lambda v: v.sum(0)}
    expected = torch.stack([kinds[reduce](x[cluster == c]) for c in range(3)])
    torch.testing.assert_close(pooled.x, expected)
    dense = torch.zeros(7, 7).index_put((PATH[0], PATH[1]), torch.ones(PATH.size(1)), accumulate=True)
    member = torch.eye(3)[cluster]
    between = (member.T @ dense @ member).fill_diagonal_(0)
    found = torch.zeros(3, 3).index_put((pooled.edge_index[0], pooled.edge_index[1]), pooled.edge_weight)
    assert torch.equal(found, between)


def test_a_batch_is_pooled_as_its_graphs_are_and_no_cluster_spans_two():
    x, cluster = torch.randn(14, 2), torch.tensor([0, 0, 1, 1, 1, 2, 2])
    edges = torch.cat([PATH, PATH + 7], 1)
    batch = torch.arange(14) // 7
    pooled = ClusterPool("mean")(x, torch.cat([cluster, cluster + 3]), edges, batch=batch)
    assert pooled.batch.tolist() == [0, 0, 0, 1, 1, 1]
    torch.testing.assert_close(pooled.x[3:], ClusterPool("mean")(x[7:], cluster, PATH).x)
    with pytest.raises(ValueError, match="cluster"):
        ClusterPool()(x, torch.cat([cluster, cluster]), edges, batch=batch)


def locally(conv, level, x):
    """Written out: a matrix for each node and each of its neighbours, itself first among them."""
    source, target = level.edge_index.tolist()
    real = [node for node in range(level.num_nodes) if int(level.sizes[node])]
    pairs = [*((node, node) for node in real), *zip(target, source, strict=True)]
    out = torch.zeros(*x.shape[:-1], conv.out_channels, dtype=x.dtype)
    for number, (to, of) in enumerate(pairs):
        out[..., to, :] += x[..., of, :] @ conv.weight[number].T
    return out + conv.bias


@pytest.mark.parametrize("graph", UNDIRECTED, ids=lambda graph: graph.name)
def test_every_neighbourhood_has_weights_of_its_own(graph):
    tree = coarsen(graph.edge_index, None, graph.num_nodes, levels=1).tree
    for level in tree.levels:
        conv = LocallyConnectedConv(2, 3, level).double()
        torch.nn.init.normal_(conv.bias)
        x = torch.randn(4, level.num_nodes, 2, dtype=torch.float64)
        torch.testing.assert_close(conv(x, level), locally(conv, level, x), rtol=0, atol=1e-12)


def test_locally_connected_layers_have_right_derivatives():
    level = tree_of(PATH, 7).levels[0]
    conv = LocallyConnectedConv(2, 3, level).double()
    x = torch.randn(level.num_nodes, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda v, w: torch.func.functional_call(conv, {"weight": w}, v), (x, conv.weight))


def test_locally_connected_layers_are_tied_to_their_graph():
    level = tree_of(PATH, 7).levels[0]
    other = tree_of(PATH[:, [0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13]], 7).levels[0]
    conv = LocallyConnectedConv(2, 3, level)
    with pytest.raises(ValueError, match="LocallyConnectedConv"):
        conv(torch.randn(other.num_nodes, 2), other)
    with pytest.raises(ValueError, match="LocallyConnectedConv"):
        conv(torch.randn(level.num_nodes + 1, 2))
    with pytest.raises(ValueError, match="LocallyConnectedConv"):
        LocallyConnectedConv(2, 3, other).load_state_dict(conv.state_dict())
    x = torch.randn(level.num_nodes, 2)
    for same in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert torch.equal(same(x, level), conv(x, level))
    again = LocallyConnectedConv(2, 3, level)
    again.load_state_dict(conv.state_dict())
    assert torch.equal(again(x), conv(x))


CONVS = {
    "cheb": lambda i, o, level: ChebConv(i, o, K=3),
    "gcn": lambda i, o, level: GCNConv(i, o),
    "clustered": LocallyConnectedConv,
    "spectral": lambda i, o, level: SpectralConv(i, o, "free", basis=level.basis, residual=False),
    "smooth": lambda i, o, level: SpectralConv(i, o, "bspline", terms=4, residual=False),
    "linear": lambda i, o, level: torch.nn.Linear(i, o),
}


@pytest.mark.parametrize("name", CONVS)
def test_signals_are_convolved_pooled_and_read_out_one_by_one(name):
    tree = tree_of(PATH, 7)
    net = SignalNet(2, [3, 4], 5, tree, conv=CONVS[name], dropout=0.5).eval()
    x = torch.randn(6, 7, 2)
    out = net(x, tree)
    assert out.shape == (6, 5)
    torch.testing.assert_close(out, torch.stack([net(signal, tree) for signal in x]), rtol=1e-5, atol=1e-5)
    net.train()(x, tree).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert net.first is net.convs[0]


def test_a_pooled_network_is_its_stages_written_out():
    tree = tree_of(PATH, 7)
    net = SignalNet(1, [2, 3], 4, tree, conv=CONVS["clustered"], pool="mean").double()
    x = torch.randn(7, 1, dtype=torch.float64)
    h = tree.spread(x)
    for stage, conv in enumerate(net.convs):
        h = ChebPool("mean")(locally(conv, tree.levels[stage], h).relu(), tree, stage)
    expected = net.head(tree.gather(h, level=2).flatten())
    torch.testing.assert_close(net(x, tree), expected)


def test_a_mean_readout_serves_another_graph_and_a_flat_one_refuses_it():
    tree, other = tree_of(PATH, 7), tree_of(torch.cat([PATH, PATH + 7], 1), 14)
    mean = SignalNet(1, [2, 2], 3, tree, conv=CONVS["cheb"], readout="mean")
    assert mean(torch.randn(5, 14, 1), other).shape == (5, 3)
    flat = SignalNet(1, [2, 2], 3, tree, conv=CONVS["cheb"])
    with pytest.raises(ValueError, match="make the model with readout='mean'"):
        flat(torch.randn(5, 14, 1), other)
    with pytest.raises(ValueError, match="`widths` must give the channels"):
        SignalNet(1, [], 3, tree, conv=CONVS["cheb"])


def test_drawing_anew_changes_every_weight():
    net = SignalNet(1, [2, 2], 3, tree_of(PATH, 7), conv=CONVS["clustered"])
    before = [p.clone() for p in net.parameters() if p.dim() > 1]
    net.reset_parameters()
    assert not any(torch.equal(a, b) for a, b in zip(before, (p for p in net.parameters() if p.dim() > 1), strict=True))


def test_a_perceptron_reads_all_values_of_a_signal():
    net = SignalPerceptron(2, 5, 3, num_nodes=7).eval()
    x = torch.randn(4, 7, 2)
    torch.testing.assert_close(net(x), net.last(net.first(x.reshape(4, 14)).relu()))


def test_a_locally_connected_layer_says_what_it_takes_in_place_of_a_level():
    edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    level, x = coarsen(edge_index, levels=1).levels[0], torch.ones(3, 4)
    conv = LocallyConnectedConv(4, 2, level)
    for call in (lambda: LocallyConnectedConv(4, 2, edge_index), lambda: conv(x, edge_index)):
        with pytest.raises(TypeError, match=r"`level` must be a level of a hierarchy, got a tensor; `coarsen\("):
            call()
    with pytest.raises(TypeError, match="`level` must be a level of a hierarchy, got list"):
        LocallyConnectedConv(4, 2, [level])
    with pytest.raises(TypeError, match="`x` must be a tensor, got list"):
        conv([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"`x` must have 4 features, got \[3, 2\]"):
        conv(torch.ones(3, 2))

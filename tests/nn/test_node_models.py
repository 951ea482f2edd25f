"""The encoder: what it stacks, in which order, and the laws its layers must not lose in it."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GATConv, GCNConv, GINEConv, SAGEConv
from torch_geometric.nn.models import GCN

from graphkit.nn.node_models import Encoder
from graphkit.operators import sparse_features

EDGES = torch.tensor([[0, 1, 1, 2, 3, 4, 4, 5], [1, 0, 2, 1, 4, 3, 5, 4]])


@pytest.fixture
def x(generator):
    return torch.randn(6, 4, generator=generator, dtype=torch.float64)


def encoder(conv=GCNConv, **options):
    torch.manual_seed(0)
    return Encoder(4, 8, 3, conv=conv, **options).double().eval()


@pytest.mark.parametrize("jumping_knowledge", [None, "cat", "max", "lstm"])
@pytest.mark.parametrize("norm", [None, "batch"])
def test_it_computes_what_the_model_of_pyg_computes(x, norm, jumping_knowledge):
    theirs = GCN(4, 8, 3, out_channels=3, norm=norm, jk=jumping_knowledge).double().eval()
    ours = encoder(layers=3, norm=norm, jumping_knowledge=jumping_knowledge)
    ours.convs.load_state_dict(theirs.convs.state_dict())
    if norm:
        ours.norms.load_state_dict({k: v for k, v in theirs.norms.state_dict().items() if k in ours.norms.state_dict()})
    if jumping_knowledge:
        ours.jump.load_state_dict(theirs.jk.state_dict())
        ours.head.load_state_dict(theirs.lin.state_dict())
    torch.testing.assert_close(ours(x, EDGES), theirs(x, EDGES), rtol=0, atol=1e-12)


def test_one_layer_is_the_bare_convolution(x):
    model = encoder(layers=1)
    assert len(model.norms) == 0
    torch.testing.assert_close(model(x, EDGES), model.convs[0](x, EDGES), rtol=0, atol=0)


@pytest.mark.parametrize("widths", [(4, 8), (8, 8)])
def test_a_residual_adds_the_layers_input(generator, widths):
    i, o = widths
    torch.manual_seed(0)
    model = Encoder(i, o, 3, conv=GCNConv, residual=True).eval()
    x = torch.randn(6, i, generator=generator)
    added = x if i == o else x @ model.skips[0].weight.T
    hidden = F.relu(model.convs[0](x, EDGES) + added)
    torch.testing.assert_close(model(x, EDGES), model.convs[1](hidden, EDGES))


def test_the_last_layer_may_differ_as_in_gat(x):
    model = encoder(
        conv=lambda i, o: GATConv(i, o // 4, heads=4), last=lambda i, o: GATConv(i, o, heads=1, concat=False)
    )
    assert (model.convs[0].heads, model.convs[1].heads) == (4, 1)
    assert model(x, EDGES).shape == (6, 3)


def test_a_layer_that_knows_no_graph_is_given_the_features_alone(x):
    model = encoder(conv=nn.Linear)
    torch.testing.assert_close(model(x), model.convs[1](F.relu(model.convs[0](x))), rtol=0, atol=0)
    torch.testing.assert_close(model(x, EDGES), model(x), rtol=0, atol=0)


def test_sparse_features_give_what_dense_ones_give(x):
    model = encoder(conv=nn.Linear)
    torch.testing.assert_close(model(sparse_features(x)), model(x), rtol=0, atol=1e-12)


def test_edge_weights_reach_the_layers(x, generator):
    model, weight = encoder(), torch.rand(8, generator=generator, dtype=torch.float64)
    hidden = F.relu(model.convs[0](x, EDGES, weight))
    torch.testing.assert_close(model(x, EDGES, weight), model.convs[1](hidden, EDGES, weight), rtol=0, atol=0)


def test_edge_features_reach_the_layers(x, generator):
    model = encoder(conv=lambda i, o: GINEConv(nn.Linear(i, o), edge_dim=2))
    first = torch.rand(8, 2, generator=generator, dtype=torch.float64)
    assert not torch.equal(model(x, EDGES, edge_attr=first), model(x, EDGES, edge_attr=2 * first))


@pytest.mark.parametrize("name", ["edge_weight", "edge_attr"])
def test_what_no_layer_can_use_is_refused_not_ignored(x, name):
    with pytest.raises(ValueError, match=f"`{name}` was given, but SAGEConv does not use it"):
        encoder(conv=SAGEConv)(x, EDGES, **{name: torch.ones(8)})


def test_the_layer_norm_looks_at_one_node_at_a_time(x):
    model = encoder(conv=nn.Linear, norm="layer")
    torch.testing.assert_close(model(x)[:1], model(x[:1]), rtol=0, atol=1e-12)


def test_the_graph_norm_looks_at_one_graph_at_a_time(x):
    model = encoder(norm="graph")
    together = model(x, EDGES, batch=torch.tensor([0, 0, 0, 1, 1, 1]))
    apart = torch.cat([model(x[:3], EDGES[:, :4]), model(x[3:], EDGES[:, 4:] - 3)])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-12)


def test_permuting_the_nodes_permutes_the_result(x, generator):
    model, order = encoder(norm="layer", residual=True, jumping_knowledge="cat"), torch.randperm(6, generator=generator)
    place = order.argsort()
    torch.testing.assert_close(model(x[order], place[EDGES]), model(x, EDGES)[order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("edges", [torch.empty(2, 0, dtype=torch.long), torch.tensor([[0], [0]])])
def test_a_single_node_trains_even_with_a_batch_norm(edges):
    model = Encoder(4, 8, 3, conv=GCNConv, norm="batch")
    model(torch.ones(1, 4), edges).sum().backward()


def test_dropout_acts_in_training_only(x):
    model = encoder(dropout=0.9)
    still = model(x, EDGES)
    assert not torch.equal(model.train()(x, EDGES), still)
    assert torch.equal(model.eval()(x, EDGES), still)


def test_copies_pickles_and_state_dicts_compute_the_same(x):
    model = encoder(norm="batch", residual=True, jumping_knowledge="lstm")
    other = encoder(norm="batch", residual=True, jumping_knowledge="lstm")
    other.reset_parameters()
    other.load_state_dict(model.state_dict())
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), other):
        assert torch.equal(twin(x, EDGES), model(x, EDGES))


def test_reset_parameters_draws_every_parameter_anew():
    model = encoder(residual=True, jumping_knowledge="cat", layers=3)
    before = {name: value.clone() for name, value in model.named_parameters() if value.unique().numel() > 1}
    model.reset_parameters()
    assert all(not torch.equal(before[name], value) for name, value in model.named_parameters() if name in before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 0}, "`layers` must be an integer of at least 1, got 0"),
        ({"dropout": 1.0}, r"`dropout` must lie in \[0.0, 1.0\), got 1.0"),
        ({"jumping_knowledge": "mean"}, "`jumping_knowledge` 'mean' is not known"),
        ({"norm": "bach"}, "Could not resolve"),
    ],
    ids=["layers", "dropout", "jumping_knowledge", "norm"],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        encoder(**options)

"""Models whose layers are exchanged for ours and back: what is said, what stays, what is left."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torch_geometric.nn
from torch import nn
from torch_geometric.nn import to_hetero

import graphkit.nn
from graphkit.nn import accelerate, to_pyg
from graphkit.nn.class_exchange import OURS, ExchangeReport
from graphkit.nn.fused import Fused
from tests.nn.test_surgery import KINDS, PAIR, X, every_kind

MODELS = {
    "GCN": lambda: torch_geometric.nn.GCN(4, 8, 2, 3),
    "GraphSAGE": lambda: torch_geometric.nn.GraphSAGE(4, 8, 2, 3, jk="cat"),
    "GAT": lambda: torch_geometric.nn.GAT(4, 8, 2, 3, heads=2),
    "GATv2": lambda: torch_geometric.nn.GAT(4, 8, 2, 3, v2=True),
    "GIN": lambda: torch_geometric.nn.GIN(4, 8, 2, 3, norm="BatchNorm"),
}


@pytest.fixture(params=MODELS)
def model(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MODELS[request.param]().double()


def test_every_layer_of_ours_that_pyg_has_is_exchanged():
    """A fused layer of a name that PyG has is PyG's by class, and in the table."""
    ours = {name for name in graphkit.nn.__all__ if hasattr(torch_geometric.nn, name)}
    assert {layer.__name__ for layer in OURS} == ours
    for pygs, layer in OURS.items():
        assert issubclass(layer, Fused)
        assert issubclass(layer, pygs)


def test_a_model_goes_on_training_where_it_was(model):
    """Weights, the optimiser's memory and hooks stay; losses are those of the model as it was."""
    twin = copy.deepcopy(model)
    losses = []
    for each, change in ((model, accelerate), (twin, str)):
        optimiser = torch.optim.Adam(each.parameters(), lr=0.01)
        for step in range(6):
            if step == 3:
                change(each)
            loss = each(X, PAIR).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
    torch.testing.assert_close(torch.tensor(losses[:6]), torch.tensor(losses[6:]), rtol=1e-9, atol=0)
    assert all(isinstance(conv, Fused) for conv in model.convs)


def test_what_was_exchanged_is_said(model):
    done = accelerate(model)
    assert done == ExchangeReport(("convs.0", "convs.1"), {})
    assert str(done) == "2 layers exchanged: convs.0, convs.1"
    assert accelerate(model) == ExchangeReport((), {})
    assert to_pyg(model) == done
    assert not any(isinstance(conv, Fused) for conv in model.convs)


def test_a_loaded_pickle_is_exchanged(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert len(accelerate(loaded).exchanged) == 2
    torch.testing.assert_close(loaded(X, PAIR), model(X, PAIR))
    copy = io.BytesIO()
    torch.save(loaded, copy)
    copy.seek(0)
    assert len(to_pyg(torch.load(copy, weights_only=False)).exchanged) == 2


def test_a_heterogeneous_model_is_exchanged():
    metadata = ["a", "b"], [("a", "to", "b"), ("b", "to", "a")]
    model = to_hetero(torch_geometric.nn.GraphSAGE(4, 8, 2, 3), metadata).double()
    x = {"a": X, "b": X.flip(0)}
    edges = dict.fromkeys(metadata[1], PAIR)
    before = model(x, edges)
    assert len(accelerate(model).exchanged) == 4
    torch.testing.assert_close(model(x, edges), before)


class Own(torch_geometric.nn.GCNConv):
    """A layer that does the same, which nobody can know."""


def test_what_is_left_is_said_and_left_as_it_was():
    layers = {
        "hooked": torch_geometric.nn.GCNConv(4, 3),
        "median": torch_geometric.nn.SAGEConv(4, 3, aggr="median"),
        "normed": torch_geometric.nn.GATConv(4, 3),
        "own": Own(4, 3),
        "other": torch_geometric.nn.TransformerConv(4, 3),
        "taken": torch_geometric.nn.GINConv(nn.Linear(4, 3)),
        "ours": graphkit.nn.PolynomialConv(4, 3, 2),
    }
    layers["hooked"].register_message_forward_hook(lambda *_: None)
    nn.utils.parametrizations.weight_norm(layers["normed"].lin)
    model = nn.ModuleDict(layers)
    kinds = {name: type(layer) for name, layer in layers.items()}
    done = accelerate(model)
    assert done.exchanged == ("taken",)
    assert done.left == {
        "hooked": "a hook on its messages",
        "median": "the aggregation 'median'",
        "normed": "`lin`, which is hooked or replaced",
        "own": "Own, a subclass of GCNConv, may do more than that",
        "other": "graphkit has no TransformerConv",
    }
    assert "\nown left: Own, a subclass" in str(done)
    assert {name for name, kind in kinds.items() if type(layers[name]) is not kind} == {"taken"}
    back = to_pyg(model)
    assert back.exchanged == ("taken",)
    assert back.left == {"ours": "PyG has no PolynomialConv"}


OPTIONS = {
    "GCNConv": ({"improved": True}, {"improved": False}),
    "ChebConv": ({"K": 3, "normalization": "rw"}, {"K": 3, "normalization": None}, {"K": 3}),
}


@pytest.mark.parametrize(
    ("name", "options"), [(name, each) for name, found in OPTIONS.items() for each in found], ids=str
)
def test_it_is_said_where_numbers_change_and_only_there(name, options):
    for library, function in ((torch_geometric.nn, accelerate), (graphkit.nn, to_pyg)):
        layer = getattr(library, name)(4, 3, **options).double()
        beside = (None, torch.tensor([0, 0, 0, 1, 1])) if name == "ChebConv" else ()
        before = layer(X, PAIR, *beside)
        done = function(layer)
        same = torch.allclose(layer(X, PAIR, *beside), before)
        assert ("" in done.changed) == (not same)
        assert ("differs: PyG" in str(done)) == (not same)


@pytest.mark.parametrize("function", [accelerate, to_pyg])
@pytest.mark.parametrize("wrong", [None, 3, nn.Linear, [nn.Linear(2, 2)]], ids=str)
def test_what_is_no_module_is_refused(function, wrong):
    with pytest.raises(TypeError, match=r"`model` must be a torch\.nn\.Module"):
        function(wrong)


@pytest.mark.parametrize("kind", [k for k in KINDS if not k.name.startswith("GAT")], ids=str)
def test_torchscript_reads_it_as_pygs(kind):
    """Of PyG 2.8.1's layers TorchScript reads all but those of attention."""
    ours, peer = kind.made(graphkit.nn), kind.made(torch_geometric.nn)
    inputs = {name: value.detach() for name, value in kind.inputs().items()}
    x = inputs.pop("x")
    expected = ours(x, PAIR, **inputs)
    to_pyg(ours)
    for layer in (peer, ours):
        torch.testing.assert_close(torch.jit.script(layer)(x, PAIR, **inputs), expected)


@every_kind
def test_an_exchanged_layer_takes_the_fused_way(kind):
    layer = kind.made(torch_geometric.nn)
    accelerate(layer)
    assert layer.fusible(PAIR, X)


def test_an_explained_layer_is_exchanged_when_its_explainer_is_gone():
    layer = torch_geometric.nn.GCNConv(4, 3).double()
    before = layer(X, PAIR)
    torch_geometric.explain.algorithm.utils.set_masks(layer, nn.Parameter(torch.zeros(8).double()), PAIR)
    masked = layer(X, PAIR)
    assert accelerate(layer).left == {"": "an explainer"}
    torch.testing.assert_close(layer(X, PAIR), masked)
    torch_geometric.explain.algorithm.utils.clear_masks(layer)
    assert accelerate(layer).exchanged == ("",)
    assert layer.fusible(PAIR, X)
    torch.testing.assert_close(layer(X, PAIR), before)
    torch_geometric.explain.algorithm.utils.set_masks(layer, nn.Parameter(torch.zeros(8).double()), PAIR)
    torch.testing.assert_close(layer(X, PAIR), masked)

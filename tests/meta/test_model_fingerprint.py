"""Nothing that is remembered of a model outlives a change of it: the result is always that of the whole graph."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Data

from graphkit.meta import MAML, FewShotProtocol, Nodes, TaskSet
from graphkit.meta.acceleration import subgraph
from graphkit.meta.acceleration.model_fingerprint import MAX_PROBES, _probes, memoized_probe, model_fingerprint
from graphkit.nn import Encoder, GCNConv, SAGEConv
from graphkit.operators import gcn_adjacency

FAR = 1
"""How far some models below see, which a test changes."""


@pytest.fixture
def ring() -> Nodes:
    """A ring so long that two hops are a small part of it."""
    drawn = torch.Generator().manual_seed(3)
    edges = torch.stack([torch.arange(240), torch.arange(240).roll(1)])
    x = torch.randn(240, 7, dtype=torch.float64, generator=drawn)
    return Nodes(x, torch.cat([edges, edges.flip(0)], 1), torch.arange(240) % 4)


class Box:
    """Somebody's own object."""

    far = 1

    def __init__(self) -> None:
        self.inner = {"far": [1]}


class Model(nn.Module):
    """Averages as often as it is told to by something that its settings do not show."""

    far = 1

    def __init__(self, told: Callable[[Model], Any]) -> None:
        super().__init__()
        self.told, self.conv, self.lin = told, pyg.SimpleConv(aggr="mean"), nn.Linear(7, 2)
        self.register_buffer("gate", torch.ones(()))
        self.plain, self.list_length, self.box, self.weights = torch.ones(2), [1], Box(), {"far": (torch.ones(1),)}
        self.partial = functools.partial(max, 1, 1)
        self.hidden = nn.Module()
        self.hidden._far = 1

    def forward(self, x, edge_index):
        x = self.lin(x)
        for _ in range(int(self.told(self))):
            x = self.conv(x, edge_index)
        return x


def closed(count: int) -> Callable[[Model], int]:
    return lambda model: count


def with_default(model: Model, count: int = 1) -> int:
    return count


def globally(model: Model) -> int:
    return (lambda: FAR)()  # named in a function in it


def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output - output.mean(0)  # which looks at all nodes


def set_globally(model: Model) -> None:
    global FAR
    FAR = 3


def set_through_numpy(model: Model) -> None:
    model.gate.numpy()[...] = 3


def set_default(model: Model) -> None:
    with_default.__defaults__ = (3,)


CHANGES: dict[str, tuple[Callable[[Model], Any], Callable[[Model], Any]]] = {
    "a buffer": (lambda m: m.gate, lambda m: m.gate.fill_(3)),
    "a buffer through NumPy": (lambda m: m.gate, set_through_numpy),
    "a buffer put in its place": (lambda m: m.gate, lambda m: setattr(m, "gate", torch.full((), 3.0))),
    "a tensor": (lambda m: m.plain[0], lambda m: m.plain.fill_(3)),
    "a tensor in a tuple in a dictionary": (lambda m: m.weights["far"][0], lambda m: m.weights["far"][0].fill_(3)),
    "a list": (lambda m: len(m.list_length), lambda m: m.list_length.extend([1, 1])),
    "an object": (lambda m: m.box.inner["far"][0], lambda m: m.box.inner.update(far=[3])),
    "an object's class": (lambda m: m.box.far, lambda m: setattr(Box, "far", 3)),
    "a class": (lambda m: m.far, lambda m: setattr(Model, "far", 3)),
    "a partial function": (lambda m: m.partial(), lambda m: setattr(m, "partial", functools.partial(max, 3, 2))),
    "a private number": (lambda m: m.hidden._far, lambda m: setattr(m.hidden, "_far", 3)),
    "a function": (closed(1), lambda m: setattr(m, "told", closed(3))),
    "a default": (with_default, set_default),
    "a global": (globally, set_globally),
    "a method": (lambda m: 1, lambda m: setattr(m, "forward", lambda x, e: m.lin(m.conv(m.conv(x, e), e)))),
    "a hook": (lambda m: 1, lambda m: m.register_forward_hook(hook)),
    "a hook on a layer": (lambda m: 1, lambda m: m.conv.register_forward_hook(hook)),
}


ALTERED = {"a method", "a hook", "a hook on a layer"}
"""After these a model is not looked at any more: it goes over the whole graph."""


@pytest.fixture
def _put_back():
    yield
    global FAR
    FAR = Model.far = Box.far = 1
    with_default.__defaults__ = (1,)


@pytest.mark.usefixtures("_put_back")
@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_model_is_looked_at_anew_and_another_is_not(what, ring, monkeypatch):
    told, change = CHANGES[what]
    tasks = list(TaskSet.draw(ring, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=3)))
    learner, looks = MAML(Model(told).double(), inner_lr=0.5, inner_steps=2), []
    measured = subgraph._probe_receptive_field
    monkeypatch.setattr(subgraph, "_probe_receptive_field", lambda *given: looks.append(1) or measured(*given))
    before = learner.logits(tasks)
    learner.logits(tasks)
    assert len(looks) == 1
    with torch.no_grad():
        learner.model.lin.weight.mul_(1.5)  # as every outer step does
    learner.logits(tasks)
    assert len(looks) == 1
    change(learner.model)
    found = learner.logits(tasks)
    assert len(looks) == (1 if what in ALTERED else 2)
    torch.testing.assert_close(found, learner.plain().logits(tasks), rtol=0, atol=1e-10)
    assert not torch.allclose(found, before)


def test_the_value_of_the_report(ring):
    """The gate of a layer that looks two hops further, closed at first."""

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.near, self.far = pyg.SAGEConv(7, 2), pyg.SAGEConv(2, 2)
            self.register_buffer("gate", torch.zeros(()))

        def forward(self, x, edge_index):
            z = self.near(x, edge_index)
            return z if self.gate == 0 else z + self.gate * self.far(self.far(z, edge_index), edge_index)

    model = Gated().double()
    for name, parameter in model.far.named_parameters():
        parameter.requires_grad_(False)
        assert name
    tasks = list(TaskSet.draw(ring, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=3)))
    learner = MAML(model, inner_lr=0.5, inner_steps=2)
    learner.logits(tasks)
    model.gate.fill_(5.0)
    found = learner.logits(tasks)
    torch.testing.assert_close(found, learner.plain().logits(tasks), rtol=0, atol=1e-10)


def test_a_model_that_holds_what_is_not_understood_is_looked_at_every_time(ring, monkeypatch):
    tasks = list(TaskSet.draw(ring, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=3)))
    learner, looks = MAML(Model(closed(1)).double(), inner_steps=1), []
    learner.model.stream = torch.Generator()
    assert model_fingerprint(learner.model) is None
    measured = subgraph._probe_receptive_field
    monkeypatch.setattr(subgraph, "_probe_receptive_field", lambda *given: looks.append(1) or measured(*given))
    for times in (1, 2):
        learner.logits(tasks)
        assert len(looks) >= times


@pytest.mark.parametrize("part", ["edge_index", "x"])
def test_a_changed_graph_is_looked_at_anew(part, ring):
    model = Encoder(7, 5, 2, conv=SAGEConv, dropout=0.0).double()
    index = torch.tensor([0, 1])
    assert subgraph.find_receptive_field(model, ring, index) is not None
    if part == "x":
        ring.x.mul_(2.0)
    else:
        ring.edge_index[:, ::2] = torch.randint(240, (2, 240), generator=torch.Generator().manual_seed(0))
    looked = []
    memoized_probe("reach", model, ring, lambda: looked.append(1))
    assert looked


def test_what_is_remembered_keeps_no_model_alive(ring):
    model = Encoder(7, 5, 2, conv=GCNConv, dropout=0.0, norm="batch").double().eval()
    subgraph.find_receptive_field(model, ring, torch.tensor([0, 1]))
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


def test_few_answers_are_kept(ring):
    model = Model(closed(1)).double()
    for value in range(20):
        model.gate.fill_(value)
        memoized_probe("reach", model, ring, lambda: None)
    assert len(_probes[model]) == MAX_PROBES


@pytest.mark.parametrize(
    "made",
    [
        lambda: Encoder(7, 5, 2, conv=GCNConv, dropout=0.0, norm="batch"),
        lambda: pyg.GAT(7, 5, 2, 2),
        lambda: pyg.GIN(7, 5, 2, 2),
        lambda: pyg.PNA(7, 5, 2, 2, aggregators=["mean"], scalers=["identity"], deg=torch.ones(3)),
        lambda: pyg.Sequential(
            "x, e", [(pyg.TransformerConv(7, 5), "x, e -> x"), (nn.TransformerEncoderLayer(5, 1), "x -> x")]
        ),
    ],
    ids=["ours", "gat", "gin", "pna", "sequential"],
)
def test_usual_models_are_understood(made):
    one, other = (model_fingerprint(made()) for _ in range(2))
    assert one is not None
    assert other is not None


def test_slots_are_not_understood():
    class Slotted:
        __slots__ = ("far",)

    class Further(Slotted):
        pass

    model = Model(closed(1))
    for kind in (Slotted, Further):
        model.box = kind()
        model.box.far = 1
        assert model_fingerprint(model) is None


class WithParts(nn.Module):
    """Holds matrices of several kinds."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)
        self.operator = gcn_adjacency(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        self.array, self.matrix = np.ones(3), scipy.sparse.eye(3).tocsr()
        self.complex, self.nested = torch.ones(2, dtype=torch.complex64), [{"a": (torch.zeros(2), np.zeros(2))}]


EDITS: dict[str, Callable[[WithParts], Any]] = {
    "an operator's values": lambda m: m.operator.values.mul_(2),
    "an array": lambda m: m.array.__setitem__(0, 2.0),
    "a matrix of scipy": lambda m: m.matrix.data.__setitem__(0, 2.0),
    "complex numbers": lambda m: m.complex.__setitem__(0, 2j),
    "a tensor deep down": lambda m: m.nested[0]["a"][0].fill_(1),
    "an array deep down": lambda m: m.nested[0]["a"][1].fill(1),
    "a longer list": lambda m: m.nested.append(None),
    "frozen parameters": lambda m: m.lin.requires_grad_(False),
    "a parameter of another shape": lambda m: setattr(m.lin, "weight", nn.Parameter(torch.ones(3, 2))),
    "a hook before": lambda m: m.lin.register_forward_pre_hook(lambda *_: None),
    "a mode": lambda m: m.eval(),
    "a further module": lambda m: m.add_module("further", nn.Identity()),
    "another class": lambda m: setattr(m, "__class__", nn.Module),
}


@pytest.mark.parametrize("what", EDITS)
def test_whatever_is_edited_shows_and_nothing_else_does(what):
    model = WithParts()
    before = model_fingerprint(model)
    model.lin.weight.data.mul_(2)
    assert model_fingerprint(model)[0] == before[0]
    assert hash(model_fingerprint(model)[0]) == hash(before[0])
    EDITS[what](model)
    assert model_fingerprint(model)[0] != before[0]


@pytest.mark.parametrize(
    "part",
    [torch.Generator(), Data(x=torch.ones(1)), list(range(20_000)), threading.Lock()],
    ids=["a generator", "a graph", "a long list", "a lock"],
)
def test_what_cannot_be_read_in_full_is_not_understood(part):
    model = WithParts()
    model.part = part
    assert model_fingerprint(model) is None

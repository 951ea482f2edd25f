"""Every fast way of the inner loop beside its plain twin, whatever is done to the model or its graph.

The plain twin goes task by task over the whole graph: ``learner.whole = True``. Compared are the meta-loss, the logits
and all gradients, those of features and weights of edges among them; where the plain way refuses, so must the fast.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn

import graphkit.meta
from graphkit.meta import (
    ANIL,
    MAML,
    AbstractLearner,
    KernelRidge,
    MetaSGD,
    Nodes,
    Protocol,
    ProtoMAML,
    PrototypicalNetwork,
    Reptile,
    Rows,
    SemiSupervisedProtoMAML,
    SemiSupervisedPrototypes,
    Task,
    TaskSet,
)
from graphkit.nn import ChebConv, Encoder, GATConv, GCNConv, GINConv, SAGEConv
from graphkit.operators import SparseOperator, sparse_features
from tests.meta.inner_layers import OURS, TORCH, Graphed
from tests.meta.surgeries import FORMS, OF_GCN, SURGERIES, WIDTH, DoublingEncoder, OwnMessages, PlainSubclass, hook_on_all
from tests.meta.test_cuts import LAYERS, graph

Make = Callable[[nn.Module], AbstractLearner]
FEATURES, WAYS = 7, 2

LEARNERS: dict[str, Make] = {
    "maml": lambda m: MAML(m, inner_lr=0.3, inner_steps=2),
    "fomaml": lambda m: MAML(m, inner_lr=0.3, inner_steps=2, order=1),
    "maml, multi-step": lambda m: MAML(m, inner_lr=0.3, inner_steps=2, multi_step=0.5),
    "maml, stored": lambda m: MAML(m, inner_lr=0.3, inner_steps=2, statistics="stored"),
    "anil": lambda m: ANIL(m, inner_lr=0.3, inner_steps=2),
    "meta-sgd": lambda m: MetaSGD(m, inner_lr=0.3, inner_steps=2).double(),
    "protomaml": lambda m: ProtoMAML(m, temperature=1.0, inner_lr=0.1, inner_steps=2),
    "reptile": lambda m: Reptile(m, inner_lr=0.3, inner_steps=2),
    "prototypes": lambda m: PrototypicalNetwork(m),
    "ridge": lambda m: KernelRidge(m, penalty=0.5),
}
"""Learners of nodes."""

UNLABELLED = torch.randn(9, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
OF_ROWS: dict[str, Make] = {
    "protomaml, semi-supervised": lambda m: SemiSupervisedProtoMAML(m, UNLABELLED, inner_lr=0.1, inner_steps=2),
    "prototypes, semi-supervised": lambda m: SemiSupervisedPrototypes(m, UNLABELLED),
}
"""Learners of rows alone."""


def encoder(conv: Any = GCNConv, *, channels: int = FEATURES, kind: type[Encoder] = Encoder, **options: Any) -> Encoder:
    torch.manual_seed(1)
    return kind(channels, WIDTH, WAYS, **{"conv": conv, "layers": 4, "dropout": 0.0, **options}).double()


def tasks_of(items: Any, count: int = 2) -> list[Task]:
    return list(TaskSet.drawn(items, (0, 1, 2), Protocol(n_way=WAYS, k_shot=2, n_query=2, n_tasks=count)))


def asking(items: Any) -> list[Tensor]:
    """Return what of a graph asks for a gradient."""
    x = items.x.values if isinstance(items.x, SparseOperator) else items.x
    return [each for each in (x, getattr(items, "edge_weight", None)) if each is not None and each.requires_grad]


def outcome(learner: AbstractLearner, tasks: list[Task]) -> list[Tensor | None] | str:
    """Return the meta-loss, its gradients and the logits, or what was refused."""
    wanted = [p for p in learner.parameters() if p.requires_grad] + asking(tasks[0].items)
    try:
        loss = learner.meta_loss(tasks)
        slopes = torch.autograd.grad(loss, wanted, allow_unused=True) if loss.requires_grad else ()
        with torch.no_grad():
            logits = learner.logits(tasks)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return [loss.detach(), logits, *slopes]


def require_the_twin(learner: AbstractLearner, tasks: list[Task], *, tolerance: float = 1e-10) -> None:
    """Compare the fast way, twice, with the plain one."""
    fast = outcome(learner, tasks)
    learner.whole = True
    plain = outcome(learner, tasks)
    learner.whole = False
    for found in (fast, outcome(learner, tasks)):
        if isinstance(plain, str) or isinstance(found, str):
            assert found == plain
            continue
        for quick, slow in zip(found, plain, strict=True):
            assert (quick is None) == (slow is None), "a gradient is there on one of the ways"
            if quick is not None and slow is not None:
                largest = max(1.0, slow.nan_to_num(0, 0, 0).abs().max().item())
                torch.testing.assert_close(quick, slow, rtol=0, atol=tolerance * largest, equal_nan=True)


def operated(surgery: Callable[[Any], Any], model: Encoder) -> Encoder:
    made = surgery(model)
    return made if isinstance(made, Encoder) else model


def takes_part(conv: Any, name: str) -> bool:
    """Tell whether a surgery can be done to a layer."""
    return hasattr(conv, name)


CONVS: dict[str, Any] = {
    "gcn": GCNConv,
    "pyg's gcn": pyg.GCNConv,
    "sage": SAGEConv,
    "gat": GATConv,
    "gin": lambda i, o: GINConv(nn.Sequential(nn.Linear(i, o), nn.Tanh(), nn.Linear(o, o))),
    "cheb": lambda i, o: ChebConv(i, o, K=2),
}


def test_every_learner_is_here():
    public = [getattr(graphkit.meta, name) for name in graphkit.meta.__all__]
    learners = {k for k in public if inspect.isclass(k) and issubclass(k, AbstractLearner) and not inspect.isabstract(k)}
    made = {type(make(encoder())) for make in LEARNERS.values()} | {type(make(nn.Identity())) for make in OF_ROWS.values()}
    assert made == learners - {graphkit.meta.AbstractGradientLearner}


@pytest.mark.parametrize("name", SURGERIES | OF_GCN)
def test_a_stack_that_was_operated_on_is_its_plain_twin(name):
    model = operated((SURGERIES | OF_GCN)[name], encoder())
    require_the_twin(LEARNERS["maml"](model), tasks_of(graph()))


@pytest.mark.parametrize("name", SURGERIES)
def test_a_model_that_was_operated_on_is_its_plain_twin(name):
    model = operated(SURGERIES[name], encoder(pyg.GraphConv))
    require_the_twin(LEARNERS["maml"](model), tasks_of(graph()))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("conv", [GCNConv, pyg.GraphConv])
def test_a_graph_in_any_form_is_its_plain_twin(form, conv):
    items = FORMS[form](graph())
    half = form in ("float32", "bfloat16")
    model = encoder(conv).to(items.x.dtype)
    require_the_twin(LEARNERS["maml"](model), tasks_of(items), tolerance=1e-5 if half else 1e-10)

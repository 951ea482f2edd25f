"""Every fast way of the inner loop beside its plain twin, whatever is done to the model or its graph.

The plain twin goes task by task over the whole graph: ``learner.plain()``. Compared are the meta-loss, the logits
and all gradients, those of features and weights of edges among them; where the plain way refuses, so must the fast.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn

import graphkit.meta
from graphkit.meta import (
    ANIL,
    MAML,
    AbstractLearner,
    FewShotProtocol,
    KernelRidge,
    MetaSGD,
    Nodes,
    ProtoMAML,
    PrototypicalNetwork,
    Reptile,
    Rows,
    SemiSupervisedProtoMAML,
    SemiSupervisedPrototypes,
    SiameseNetwork,
    Task,
    TaskSet,
    ViewRidge,
    acceleration,
)
from graphkit.meta.acceleration.subgraph import MODEL_ERRORS, find_receptive_field
from graphkit.meta.learners import abstract_learner
from graphkit.nn import ChebConv, Encoder, GATConv, GCNConv, GINConv, SAGEConv
from graphkit.operators import SparseOperator
from tests.meta.inner_layers import OURS, TORCH, WIDTH, Graphed, Layer
from tests.meta.surgeries import (
    ALTERED,
    FORMS,
    OF_GCN,
    OF_GRAPHS,
    SURGERIES,
    DoublingEncoder,
    OwnMessages,
    PlainSubclass,
    hook_on_all,
    map_of,
)
from tests.meta.test_subgraph import LAYERS, graph

pytestmark = [
    pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning"),  # on features that ask for no slope
    pytest.mark.filterwarnings("ignore:`edge_index` is directed or its weights differ:UserWarning"),  # on both ways
    pytest.mark.filterwarnings("ignore:(Sparse invariant|Converting sparse):UserWarning"),  # PyTorch's and PyG's, once
]

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
    "siamese": lambda m: SiameseNetwork(m),
    "ridge": lambda m: KernelRidge(m, penalty=0.5),
    "ridge on views": lambda m: ViewRidge(m, views=1),
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
    return list(TaskSet.draw(items, (0, 1, 2), FewShotProtocol(n_way=WAYS, k_shot=2, n_query=2, n_tasks=count)))


def asking(items: Any) -> list[Tensor]:
    """Return what of a graph asks for a gradient."""
    x = items.x.values if isinstance(items.x, SparseOperator) else items.x
    return [each for each in (x, getattr(items, "edge_weight", None)) if each is not None and each.requires_grad]


def outcome(learner: AbstractLearner, tasks: list[Task]) -> list[Tensor | None] | str:
    """Return the meta-loss, its gradients and the logits, or what was refused."""
    wanted = [p for p in learner.parameters() if p.requires_grad] + asking(tasks[0].items)
    try:
        loss = learner.meta_loss(tasks)
        slopes = torch.autograd.grad(loss, wanted, allow_unused=True) if loss.requires_grad and wanted else ()
        with torch.no_grad():
            logits = learner.logits(tasks)
    except (*MODEL_ERRORS, AttributeError) as error:  # PyG's, where a layer of its own is given an operator
        return f"{type(error).__name__}: {error}"
    return [loss.detach(), logits, *slopes]


def require_the_twin(learner: AbstractLearner, tasks: list[Task], *, tolerance: float = 1e-10) -> None:
    fast = outcome(learner, tasks)
    plain = outcome(learner.plain(), tasks)
    require_same(fast, plain, tolerance)


def require_same(fast: list[Tensor | None] | str, plain: list[Tensor | None] | str, tolerance: float = 1e-10) -> None:
    """Compare two outcomes but for rounding."""
    if isinstance(plain, str) or isinstance(fast, str):
        assert fast == plain
        return
    for quick, slow in zip(fast, plain, strict=True):
        assert (quick is None) == (slow is None), "a gradient is there on one of the ways"
        if quick is not None and slow is not None:
            largest = max(1.0, slow.nan_to_num(0, 0, 0).abs().max().item())
            torch.testing.assert_close(quick, slow, rtol=0, atol=tolerance * largest, equal_nan=True)


def rows() -> Rows:
    items = graph()
    return Rows(items.x, items.y)


def operated(surgery: Callable[[Any], Any], model: Encoder) -> Encoder:
    made = surgery(model)
    return made if isinstance(made, Encoder) else model


CONVS: dict[str, Any] = {
    "gcn": GCNConv,
    "pyg's gcn": pyg.GCNConv,
    "sage": SAGEConv,
    "gat": GATConv,
    "gin": lambda i, o: GINConv(nn.Sequential(nn.Linear(i, o), nn.Tanh(), nn.Linear(o, o))),
    "cheb": lambda i, o: ChebConv(i, o, K=2),
}


def ways(learner: AbstractLearner, tasks: list[Task]) -> str:
    """Return by which way the learner goes: in the span, in blocks, on parts, all rows at once or plainly."""
    items, entered = tasks[0].items, []
    places = ((acceleration, "span_logits"), (acceleration, "block_logits"), (abstract_learner, "vmap_tasks"))
    with pytest.MonkeyPatch.context() as patch:
        for module, name in places:
            patch.setattr(module, name, _told(getattr(module, name), name, entered))
        learner.logits(tasks)
    if entered:
        return entered[-1]
    reach = find_receptive_field(learner.model, items, tasks[0].episode.support.flatten())
    return "plain" if reach is None else "parts"


def _told(function: Callable[..., Any], name: str, entered: list[str]) -> Callable[..., Any]:
    def told(*inputs: Any, **options: Any) -> Any:
        found = function(*inputs, **options)
        if found is not None:
            entered.append(name)
        return found

    return told


HARMLESS = {
    "nothing",
    "pruned for good",
    "a frozen weight",
    "a frozen layer",
    "frozen and back",
    "a hook on a parameter's slope",
    "parameters replaced",
    "no bias any more",
    "an activation in place",
    "an activation set in place",
    "deepcopy",
    "pickle",
}
"""Surgeries after which a model is still a plain stack."""


def test_every_learner_is_here():
    public = [getattr(graphkit.meta, name) for name in graphkit.meta.__all__]
    kinds = {kind for kind in public if inspect.isclass(kind) and issubclass(kind, AbstractLearner)}
    made = {type(make(encoder())) for make in LEARNERS.values()}
    made |= {type(make(nn.Linear(FEATURES, 4).double())) for make in OF_ROWS.values()}
    assert made == {kind for kind in kinds if not inspect.isabstract(kind)}


CHOSEN = [name for name in SURGERIES | OF_GRAPHS | OF_GCN if "told names" not in name and ", last" not in name]
"""The others differ from these little, and are among the slow."""


@pytest.mark.parametrize("name", CHOSEN)
def test_a_stack_that_was_operated_on_is_its_plain_twin(name):
    learner = LEARNERS["maml"](operated((SURGERIES | OF_GRAPHS | OF_GCN)[name], encoder()))
    tasks = tasks_of(graph())
    require_the_twin(learner, tasks)
    assert (ways(learner, tasks) == "span_logits") == (name in HARMLESS)


@pytest.mark.parametrize("name", [name for name in SURGERIES | OF_GRAPHS if ", " not in name or "first" in name])
def test_a_model_that_was_operated_on_is_its_plain_twin(name):
    learner = LEARNERS["maml"](operated((SURGERIES | OF_GRAPHS)[name], encoder(pyg.GraphConv)))
    tasks = tasks_of(graph())
    require_the_twin(learner, tasks)
    assert (ways(learner, tasks) == "plain") == (name in ALTERED)
    if name in HARMLESS:
        assert ways(learner, tasks) == "block_logits"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("conv", [GCNConv, pyg.GCNConv, pyg.GraphConv], ids=["gcn", "pyg's gcn", "graph"])
def test_a_graph_in_any_form_is_its_plain_twin(form, conv):
    items = FORMS[form](graph())
    half = items.x.dtype != torch.float64
    require_the_twin(
        LEARNERS["maml"](encoder(conv).to(items.x.dtype)), tasks_of(items), tolerance=1e-5 if half else 1e-10
    )


ENTERED = {"as it is", "float32", "an operator of features", "turned features", "weights", "turned edges"}


@pytest.mark.parametrize("form", FORMS)
def test_the_usual_forms_of_a_graph_go_the_fast_way_and_others_do_not(form):
    items = FORMS[form](graph())
    found = ways(LEARNERS["maml"](encoder().to(items.x.dtype)), tasks_of(items))
    assert (found == "span_logits") == (form in ENTERED)


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("name", ["nothing", "a frozen layer"])
def test_every_learner_is_its_plain_twin(name, learner):
    for conv in (GCNConv, SAGEConv) if name == "nothing" else (GCNConv,):
        require_the_twin(LEARNERS[learner](operated(SURGERIES[name], encoder(conv))), tasks_of(graph()))


@pytest.mark.parametrize("learner", LEARNERS | OF_ROWS)
def test_every_learner_of_rows_is_its_plain_twin(learner):
    require_the_twin((LEARNERS | OF_ROWS)[learner](encoder(nn.Linear)), tasks_of(rows()))


@pytest.mark.parametrize("name", [name for name in SURGERIES if ", " not in name or "first" in name])
def test_a_model_of_rows_that_was_operated_on_is_its_plain_twin(name):
    learner, tasks = LEARNERS["maml"](operated(SURGERIES[name], encoder(nn.Linear))), tasks_of(rows())
    require_the_twin(learner, tasks)
    assert (ways(learner, tasks) == "vmap_tasks") == (name not in ALTERED)


def activations() -> dict[str, Callable[[], nn.Module]]:
    """Return all of PyTorch's that can stand between two layers, and in place those that can work so."""
    found: dict[str, Callable[[], nn.Module]] = {}
    for name in nn.modules.activation.__all__:
        layer = TORCH[getattr(nn, name)]
        if layer.call is Layer(nn.Identity).call and layer.out == WIDTH and layer.twice:
            found[name] = layer.make
            if hasattr(layer.make(), "inplace"):
                found[f"{name}, in place"] = lambda make=layer.make: in_place(make())
    return found


def in_place(module: Any) -> nn.Module:
    module.inplace = True
    return module


@pytest.mark.parametrize("name", activations())
@pytest.mark.parametrize("conv", [GCNConv, pytest.param(pyg.GraphConv, marks=pytest.mark.slow)])
def test_every_activation_is_its_plain_twin(name, conv):
    model = encoder(conv, activation=activations()[name](), layers=3)
    require_the_twin(LEARNERS["maml"](model), tasks_of(graph()))


NO_NORM = {
    **dict.fromkeys(("HeteroBatchNorm", "HeteroLayerNorm"), "asks for types of nodes"),
    "MessageNorm": "asks for messages beside the features",
}
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "GraphSizeNorm": lambda width: pyg.GraphSizeNorm(),
    "PairNorm": lambda width: pyg.PairNorm(),
    "MeanSubtractionNorm": lambda width: pyg.MeanSubtractionNorm(),
    "DiffGroupNorm": lambda width: pyg.DiffGroupNorm(width, groups=2),
    "InstanceNorm": lambda width: pyg.InstanceNorm(width, affine=True),
    **{name: getattr(pyg, name) for name in ("BatchNorm", "LayerNorm", "GraphNorm")},
    **{f"PyTorch's {kind.__name__}": kind for kind in (nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d)},
    "PyTorch's GroupNorm": lambda width: nn.GroupNorm(2, width),
}


def test_every_norm_of_pyg_is_here_or_left_out_for_a_reason():
    assert {name for name in NORMS if "'" not in name} | NO_NORM.keys() == set(pyg.norm.__all__)


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("learner", ["maml, stored", pytest.param("maml", marks=pytest.mark.slow)])
@pytest.mark.parametrize("conv", [SAGEConv, pytest.param(GCNConv, marks=pytest.mark.slow)])
def test_every_norm_is_its_plain_twin(name, learner, conv):
    require_the_twin(LEARNERS[learner](encoder(conv, norm=NORMS[name], layers=3)), tasks_of(graph()))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("name", [None, "cat", "max", pytest.param("lstm", marks=pytest.mark.slow)])
def test_jumping_knowledge_and_residuals_are_their_plain_twins(name, residual):
    for conv in (GCNConv, SAGEConv):
        model = encoder(conv, jumping_knowledge=name, residual=residual)
        require_the_twin(LEARNERS["maml"](model), tasks_of(graph()))


def test_jumping_knowledge_by_an_lstm_is_its_plain_twin():
    """Which holds its parameters in a list too."""
    model = encoder(layers=2, jumping_knowledge="lstm")
    require_the_twin(LEARNERS["fomaml"](model), tasks_of(graph()))


def layer_of_ours(kind: Any) -> nn.Module:
    make, call = OURS[kind]
    torch.manual_seed(2)
    return Graphed(make(), call, channels=FEATURES, ways=WAYS).double()


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_every_layer_of_ours_is_its_plain_twin(kind):
    require_the_twin(LEARNERS["maml"](layer_of_ours(kind)), tasks_of(graph()))


@pytest.mark.parametrize("kind", [DoublingEncoder, Encoder])
@pytest.mark.parametrize("conv", [GCNConv, OwnMessages, PlainSubclass])
def test_subclasses_are_their_plain_twins(kind, conv):
    learner, tasks = LEARNERS["maml"](encoder(conv, kind=kind)), tasks_of(graph())
    require_the_twin(learner, tasks)
    assert (ways(learner, tasks) == "span_logits") == (kind is Encoder and conv is GCNConv)


def test_a_layer_that_is_given_no_weights_is_its_plain_twin():
    """An encoder knows from its first layers which take weights of edges."""
    model = encoder(last=SAGEConv)
    model.convs[-1] = GCNConv(WIDTH, WAYS).double()
    require_the_twin(LEARNERS["maml"](model), tasks_of(FORMS["weights"](graph())))


@pytest.mark.parametrize("conv", [pyg.GCNConv, SAGEConv, pyg.GraphConv])
def test_outputs_that_are_all_zero_in_a_trial_prove_nothing(conv):
    """A last layer with an activation of its own, which is dead under many parameters."""

    class Ending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = encoder(conv)
            self.lift = 0.0

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return (self.convs(x, edge_index) + self.lift).relu()

    model, tasks = Ending(), tasks_of(graph())
    for lift in (-100.0, 1.0):  # dead whatever is drawn, and alive
        model.lift = lift
        assert (ways(LEARNERS["prototypes"](model), tasks) == "plain") == (lift < 0)


def test_a_last_layer_with_an_activation_of_its_own_is_its_plain_twin():
    require_the_twin(LEARNERS["maml"](encoder(LAYERS["arma"])), tasks_of(graph()))


def doubling(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *inputs, **named: 2 * function(*inputs, **named)


REPLACEMENTS: dict[str, tuple[Any, str]] = {
    "the encoder": (Encoder, "forward"),
    "the layer": (GCNConv, "forward"),
    "messages": (GCNConv, "message"),
    "sums": (GCNConv, "aggregate"),
    "updates": (GCNConv, "update"),
    "the activation": (nn.ReLU, "forward"),
    "the linear map": (pyg.Linear, "forward"),
    "messages of PyG's": (pyg.GCNConv, "message"),
}


@pytest.mark.parametrize("what", REPLACEMENTS)
def test_what_is_replaced_on_a_class_is_seen(what, monkeypatch):
    conv = pyg.GCNConv if what in ("the linear map", "messages of PyG's") else GCNConv
    learner, tasks = LEARNERS["maml"](encoder(conv)), tasks_of(graph())
    before = learner.meta_loss(tasks)
    kind, name = REPLACEMENTS[what]
    monkeypatch.setattr(kind, name, doubling(getattr(kind, name)))
    require_the_twin(learner, tasks)
    assert not torch.equal(learner.meta_loss(tasks), before)


@pytest.mark.parametrize("conv", [GCNConv, SAGEConv])
def test_a_hook_on_all_modules_is_heard(conv):
    learner, tasks = LEARNERS["maml"](encoder(conv)), tasks_of(graph())
    before = learner.meta_loss(tasks)
    with hook_on_all():
        require_the_twin(learner, tasks)
        assert ways(learner, tasks) == "plain"
        assert not torch.equal(learner.meta_loss(tasks), before)


@pytest.mark.parametrize("conv", [GCNConv, SAGEConv])
def test_autocast_goes_the_plain_way(conv):
    items = FORMS["float32"](graph())
    learner, tasks = LEARNERS["maml"](encoder(conv).float()), tasks_of(items)
    assert ways(learner, tasks) != "plain"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ways(learner, tasks) == "plain"


@pytest.mark.parametrize("form", FORMS)
def test_rows_in_any_form_are_their_plain_twin(form):
    x = FORMS[form](graph()).x
    if not isinstance(x, Tensor):
        return  # rows are a tensor
    items, tolerance = Rows(x, graph().y), 1e-10 if x.dtype == torch.float64 else 1e-5
    require_the_twin(LEARNERS["maml"](encoder(nn.Linear).to(x.dtype)), tasks_of(items), tolerance=tolerance)


class LookedUp(nn.Module):
    """Looks up what its features name."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.conv = nn.Embedding(9, WIDTH), pyg.GraphConv(WIDTH, WAYS)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(self.rows(x).sum(1).tanh(), edge_index)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_features_that_are_looked_up_are_seen_on_parts(dtype):
    items = graph()
    items = replace(items, x=(items.x.abs() * 3).clamp(max=8).to(dtype))
    learner, tasks = LEARNERS["maml"](LookedUp().double()), tasks_of(items)
    require_the_twin(learner, tasks)
    assert ways(learner, tasks) == "parts"


@pytest.mark.parametrize("conv", [GCNConv, SAGEConv])
def test_one_task_and_tasks_of_several_graphs_are_their_plain_twins(conv):
    learner, tasks = LEARNERS["maml"](encoder(conv)), tasks_of(graph())
    require_the_twin(learner, tasks[:1])
    require_the_twin(learner, [tasks[0], tasks_of(graph(directed=True))[1]])


def halved(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: each * 0.5 for name, each in value.items()}
    return [halved(each) for each in value] if isinstance(value, list) else value * 0.5


OF_LEARNERS = (
    *("rate", "inner_parameters", "initial_head", "prototypes", "trajectory"),
    *("adapt_to_support", "embed", "predict_query"),
)


@pytest.mark.parametrize("by", ["a subclass", pytest.param("the learner", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", OF_LEARNERS)
@pytest.mark.parametrize("conv", [GCNConv, SAGEConv])
def test_a_learner_that_adapts_in_another_way_does(name, by, conv):
    def own(self: Any, *inputs: Any) -> Any:
        return halved(getattr(ProtoMAML, name)(self, *inputs))

    kind = type("Own", (ProtoMAML,), {name: own}) if by == "a subclass" else ProtoMAML
    learner, tasks = kind(encoder(conv), temperature=1.0, inner_lr=0.1, inner_steps=2), tasks_of(graph())
    if by == "the learner":
        setattr(learner, name, lambda *inputs: own(learner, *inputs))
    require_the_twin(learner, tasks)


FREEZING: dict[str, Callable[[Any], Any]] = {
    "a layer": lambda e: e.convs[0].requires_grad_(False),
    "the last layer": lambda e: e.convs[-1].requires_grad_(False),
    "a weight": lambda e: map_of(e.convs[1]).weight.requires_grad_(False),
    "all": lambda e: e.requires_grad_(False),
    "weight norm": lambda e: nn.utils.parametrizations.weight_norm(map_of(e.convs[1])),
}


@pytest.mark.parametrize("what", FREEZING)
@pytest.mark.parametrize("learner", ["maml", "anil", "meta-sgd", "protomaml", "reptile"])
def test_what_is_frozen_after_a_learner_was_made_does_not_move(learner, what):
    """As if it had been frozen before; what is trained again moves again."""
    tasks, first = tasks_of(graph()), outcome(LEARNERS[learner](encoder()), tasks_of(graph()))
    changed = encoder()
    FREEZING[what](changed)
    later = LEARNERS[learner](encoder())
    later.meta_loss(tasks)
    FREEZING[what](later.model)
    require_the_twin(later, tasks)
    found = outcome(later, tasks)
    if learner == "meta-sgd" or (learner == "anil" and what in ("the last layer", "all")):
        return  # their rates, or their head, are chosen when they are made
    expected = outcome(LEARNERS[learner](changed), tasks)
    assert type(found) is type(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == other if isinstance(one, str) else torch.equal(one, other)
    if what != "weight norm":
        later.model.requires_grad_(True)
        assert all(torch.equal(one, other) for one, other in zip(outcome(later, tasks), first, strict=True))


EDITS: dict[str, tuple[str, Callable[[Nodes], Any]]] = {
    "features": ("as it is", lambda items: items.x[::2].mul_(3)),
    "data of features": ("as it is", lambda items: items.x.data[::2].mul_(3)),
    "features through NumPy": ("as it is", lambda items: np.negative(items.x.numpy(), out=items.x.numpy())),
    "values": ("an operator of features", lambda items: items.x.values[::2].mul_(3)),
    "data of values": ("an operator of features", lambda items: items.x.values.data[::2].mul_(3)),
    "values put in their place": (
        "an operator of features",
        lambda items: setattr(items.x, "values", items.x.values.square()),
    ),
    "weights": ("weights", lambda items: items.edge_weight[::2].mul_(3)),
    "data of weights": ("weights", lambda items: items.edge_weight.data[::2].mul_(3)),
    "edges": ("as it is", lambda items: items.edge_index[:, ::2].fill_(7)),
}


def fresh(items: Nodes) -> Nodes:
    """Return the same graph in tensors of which nothing is remembered."""
    x = items.x
    x = SparseOperator.from_dense(x.to_dense()) if isinstance(x, SparseOperator) else x.clone()
    weight = None if items.edge_weight is None else items.edge_weight.clone()
    return Nodes(x, items.edge_index.clone(), items.y, weight)


@pytest.mark.parametrize("what", EDITS)
@pytest.mark.parametrize("learner", ["maml", "prototypes"])
@pytest.mark.parametrize("other", [False, True])
def test_a_graph_that_is_edited_between_two_calls_is_seen(what, learner, other):
    form, edit = EDITS[what]
    items = FORMS[form](graph())
    conv = {False: GCNConv, True: pyg.GraphConv if form == "weights" else SAGEConv}[other]
    items = replace(items, x=items.x if form != "as it is" else items.x.clone(), edge_index=items.edge_index.clone())
    made, tasks = LEARNERS[learner](encoder(conv)), tasks_of(items)
    before = made.meta_loss(tasks)
    edit(items)
    found, copied = outcome(made, tasks), fresh(items)
    expected = outcome(made.plain(), [replace(task, items=copied) for task in tasks])
    assert not torch.equal(found[0], before)
    require_same(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_is_its_plain_twin_under_every_surgery(learner, conv):
    for name, surgery in (SURGERIES | OF_GRAPHS | (OF_GCN if "gcn" in conv else {})).items():
        if conv != "gin" or name not in ("a linear map with a bias", "an adapter"):
            require_the_twin(LEARNERS[learner](operated(surgery, encoder(CONVS[conv]))), tasks_of(graph()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("learner", "layer"), sorted({("maml", layer) for layer in LAYERS} | {(each, "gcn of ours") for each in LEARNERS})
)
def test_every_learner_is_its_plain_twin_on_every_form(learner, layer):
    for form in FORMS.values():
        items = form(graph())
        half = items.x.dtype != torch.float64
        made = LEARNERS[learner](encoder(LAYERS[layer])).to(items.x.dtype)
        require_the_twin(made, tasks_of(items), tolerance=1e-5 if half else 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_every_learner_is_its_plain_twin_through_every_layer_of_ours(kind, learner):
    if learner != "anil":
        require_the_twin(LEARNERS[learner](layer_of_ours(kind)), tasks_of(graph()))


@pytest.mark.slow
@pytest.mark.parametrize("learner", LEARNERS | OF_ROWS)
def test_every_learner_of_rows_is_its_plain_twin_under_every_surgery(learner):
    for surgery in SURGERIES.values():
        require_the_twin((LEARNERS | OF_ROWS)[learner](operated(surgery, encoder(nn.Linear))), tasks_of(rows()))

"""The meta-gradient of every learner through every layer that can stand in an inner loop, on rows, nodes and graphs.

Of order 2 it is held against central differences of the same meta-loss in float64, of order 1 against the inner loop
written out with its gradients as constants.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

import graphkit.nn
from graphkit.data import GraphSet
from graphkit.meta import (
    ANIL,
    MAML,
    AbstractGradientLearner,
    AbstractLearner,
    FewShotProtocol,
    Graphs,
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
    TaskSet,
    ViewRidge,
)
from tests.meta.inner_layers import LEFT_OUT, OURS, OURS_LEFT_OUT, TORCH, Graphed, Layer, Net

FORMS = ("rows", "nodes", "graphs")
EXTRA = torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(5))

EXACT: dict[str, Callable[[nn.Module], AbstractLearner]] = {
    "maml": lambda model: MAML(model, inner_lr=0.4, inner_steps=2),
    "maml, multi-step": lambda model: MAML(model, inner_lr=0.4, inner_steps=2, multi_step=0.5),
    "maml, stored": lambda model: MAML(model, inner_lr=0.4, inner_steps=2, statistics="stored"),
    "anil": lambda model: ANIL(model, inner_lr=0.4, inner_steps=2, head="head"),
    "anil, all but the head": lambda model: ANIL(model, inner_lr=0.4, inner_steps=2, head="start"),
    "meta-sgd": lambda model: MetaSGD(model, inner_lr=0.4, inner_steps=2),
    "protomaml": lambda model: ProtoMAML(model, inner_lr=0.1, inner_steps=2, temperature=0.5),
    "protomaml, semi-supervised": lambda model: SemiSupervisedProtoMAML(
        model, EXTRA, inner_lr=0.1, inner_steps=2, temperature=0.5
    ),
    "prototypes": PrototypicalNetwork,
    "prototypes, euclidean": lambda model: PrototypicalNetwork(model, similarity="euclidean"),
    "prototypes, semi-supervised": lambda model: SemiSupervisedPrototypes(model, EXTRA),
    "siamese": lambda model: SiameseNetwork(model, margin=1.5),
    "ridge": lambda model: KernelRidge(model, penalty=0.5, intercept=True),
    "ridge, semi-supervised": lambda model: KernelRidge(model, EXTRA, penalty=0.5, nearest=3),
    "ridge on views": lambda model: ViewRidge(model, views=1, penalties=(0.5, 2.0)),
    "ridge on views, semi-supervised": lambda model: ViewRidge(model, EXTRA, views=1, nearest=3),
}
"""Learners whose meta-gradient is that of their meta-loss."""

FIRST: dict[str, Callable[[nn.Module], AbstractGradientLearner]] = {
    "fomaml": lambda model: MAML(model, inner_lr=0.4, inner_steps=2, order=1),
    "fomaml, multi-step": lambda model: MAML(model, inner_lr=0.4, inner_steps=2, order=1, multi_step=0.5),
    "anil": lambda model: ANIL(model, inner_lr=0.4, inner_steps=2, order=1, head="head"),
    "meta-sgd": lambda model: MetaSGD(model, inner_lr=0.4, inner_steps=2, order=1),
    "protomaml": lambda model: ProtoMAML(model, inner_lr=0.1, inner_steps=2, temperature=0.5, order=1),
    "reptile": lambda model: Reptile(model, inner_lr=0.4, inner_steps=2),
}


def some_tasks(form: str, count: int = 2) -> list:
    """Return tasks over 80 rows, the nodes of a ring with chords, or graphs of four nodes."""
    drawn = torch.Generator().manual_seed(0)
    if form == "rows":
        y = torch.arange(80) % 4
        items = Rows(torch.randn(80, 5, dtype=torch.float64, generator=drawn), y)
    elif form == "nodes":
        y, ring = torch.arange(160) % 4, torch.stack([torch.arange(160), torch.arange(160).roll(1)])
        edges = torch.cat([ring, torch.randint(160, (2, 9), generator=drawn)], 1)
        x = torch.randn(160, 5, dtype=torch.float64, generator=drawn)
        items = Nodes(x, torch.cat([edges, edges.flip(0)], 1), y)
    else:
        y, path = torch.arange(40) % 4, torch.tensor([[0, 1, 2], [1, 2, 3]])
        x = torch.randn(160, 5, dtype=torch.float64, generator=drawn)
        data = Data(x=x, edge_index=torch.cat([path, path.flip(0)], 1).repeat(1, 40), y=y)
        items = Graphs(GraphSet(data, nodes=torch.full((40,), 4), edges=torch.full((40,), 6)))
    return list(TaskSet.draw(items, (0, 1, 2, 3), FewShotProtocol(n_way=2, k_shot=2, n_query=3, n_tasks=count)))


def net(layer: Layer, form: str) -> nn.Module:
    """Return a small model around a layer, with parameters none of whose numbers is 0 or 1 by its start."""
    torch.manual_seed(2)
    model = Net(layer, form).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def meta_gradient(learner: AbstractLearner, tasks: list) -> tuple[list[nn.Parameter], Tensor]:
    """Return the parameters that the meta-loss depends on, and its gradient."""
    parameters = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    slopes = torch.autograd.grad(learner.meta_loss(tasks), parameters, allow_unused=True)
    used = [(p, slope) for p, slope in zip(parameters, slopes, strict=True) if slope is not None]
    return [p for p, _ in used], torch.cat([slope.flatten() for _, slope in used])


def requires_that_it_is_the_slope_of_the_loss(learner: AbstractLearner, tasks: list) -> None:
    """Compare it along one direction, in which no number of it is small."""
    parameters, gradient = meta_gradient(learner, tasks)
    direction = torch.randn(gradient.shape, dtype=gradient.dtype, generator=torch.Generator().manual_seed(7))
    start, expected = nn.utils.parameters_to_vector(parameters).detach(), float(gradient @ direction)

    def slope(step: float) -> float:
        values = []
        for sign in (1, -1):
            nn.utils.vector_to_parameters(start + sign * step * direction, parameters)
            with torch.no_grad():
                values.append(learner.meta_loss(tasks).item())
        nn.utils.vector_to_parameters(start, parameters)
        return (values[0] - values[1]) / (2 * step)

    assert gradient.abs().max() > 1e-5  # or the comparison says nothing
    # A smaller step where the loss is steep or has a kink nearby, of which there are fewer digits.
    close = {step: slope(step) == pytest.approx(expected, rel=2e-6, abs=2e-15 / step) for step in (1e-6, 1e-7)}
    assert any(close.values()), (expected, slope(1e-6), slope(1e-7))


def written_out(learner: AbstractGradientLearner, task) -> Tensor:
    """Return the first-order meta-gradient of one task: steps on a copy of the model, whose slopes are constants."""
    model = copy.deepcopy(learner.model).eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train().track_running_stats = False
    support, query = task.episode.support.flatten(), task.episode.query.flatten()
    y, ways = task.episode.support_y, task.episode.ways
    parameters, moved = dict(model.named_parameters()), learner.moved
    temperature = getattr(learner, "temperature", None)

    def outputs(table: dict[str, Tensor], index: Tensor) -> Tensor:
        return task.items.outputs(lambda *inputs: torch.func.functional_call(model, table, inputs), index)

    def logits(table: dict[str, Tensor], head: tuple[Tensor, Tensor] | None, index: Tensor) -> Tensor:
        z = outputs(table, index)
        return z if head is None else z / z.norm(dim=1, keepdim=True) @ head[0].T + head[1]

    head = None
    if temperature is not None:
        z = outputs(parameters, support)
        means = torch.stack([(z / z.norm(dim=1, keepdim=True))[y == way].sum(0) for way in range(ways)])
        head = (means / means.norm(dim=1, keepdim=True) / temperature, z.new_zeros(ways, requires_grad=True))
    rates = {} if learner.rates is None else {n: learner.rates[n.replace(".", "/")] for n in moved}
    table, losses = dict(parameters), []
    for step in range(learner.inner_steps):
        table = {name: value.view_as(value) for name, value in table.items()}  # a head depends on what it was made of
        loss = F.cross_entropy(logits(table, head, support), y)
        wanted = [table[name] for name in moved] + list(head or ())
        slopes = [slope.detach() for slope in torch.autograd.grad(loss, wanted, retain_graph=True)]
        for name, slope in zip(moved, slopes, strict=False):
            table[name] = table[name] - (rates[name][step] if rates else learner.inner_lr) * slope
        if head is not None:
            weight, bias = head
            head = weight - learner.inner_lr * slopes[-2], bias - learner.inner_lr * slopes[-1]
        losses.append(F.cross_entropy(logits(table, head, query), task.episode.query_y))
    before = learner.multi_step / len(losses)
    total = before * sum(losses[:-1]) + (1 - before * (len(losses) - 1)) * losses[-1]
    wanted = [*parameters.values(), *([] if learner.rates is None else learner.rates.values())]
    if isinstance(learner, Reptile):
        return torch.cat([(parameters[n] - table[n]).detach().flatten() for n in parameters])
    slopes = torch.autograd.grad(total, wanted, allow_unused=True)
    return torch.cat([slope.flatten() for slope in slopes if slope is not None])


def requires_that_it_is_of_first_order(learner: AbstractGradientLearner, tasks: list) -> None:
    _, gradient = meta_gradient(learner, tasks)
    expected = sum(written_out(learner, task) for task in tasks) / len(tasks)
    assert gradient.abs().max() > 1e-5
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-10)  # sums in another order, as in the contracts


def test_every_layer_of_pytorch_and_of_ours_is_looked_at_or_left_out_for_a_reason():
    public = {kind for _, kind in inspect.getmembers(nn, inspect.isclass) if issubclass(kind, nn.Module)}
    assert public == TORCH.keys() | LEFT_OUT.keys()
    assert not TORCH.keys() & LEFT_OUT.keys()
    assert {getattr(graphkit.nn, name) for name in graphkit.nn.__all__} == OURS.keys() | OURS_LEFT_OUT.keys()
    assert not OURS.keys() & OURS_LEFT_OUT.keys()


def test_the_gradient_of_the_report():
    """0.0473552 before; central differences 0.0472517."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rows = Rows(torch.randn(80, 5, dtype=torch.float64), torch.arange(80) % 4)
        tasks = TaskSet.draw(rows, (0, 1, 2, 3), FewShotProtocol(n_way=2, k_shot=3, n_query=5, n_tasks=4))
        double = {"dtype": torch.float64}
        model = nn.Sequential(
            nn.Linear(5, 8, **double), nn.LayerNorm(8, **double), nn.Tanh(), nn.Linear(8, 2, **double)
        )
    learner = MAML(model, inner_lr=0.5, inner_steps=3)
    (slope,) = torch.autograd.grad(learner.meta_loss(list(tasks)), model[0].weight)
    assert slope[0, 0].item() == pytest.approx(0.0472517125, abs=1e-9)


CHOSEN = [kind for kind, layer in TORCH.items() if layer.twice]


@pytest.mark.parametrize(
    "kind", [kind for kind, layer in TORCH.items() if not layer.twice], ids=lambda kind: kind.__name__
)
def test_a_layer_without_a_second_derivative_is_refused_where_one_is_needed(kind):
    learner, tasks = EXACT["maml"](net(TORCH[kind], "rows")), some_tasks("rows")
    with pytest.raises(ValueError, match=r"`model` cannot be differentiated twice \(.*\); take `order=1`"):
        learner.meta_loss(tasks)
    with torch.no_grad():
        assert learner.logits(tasks).isfinite().all()
    requires_that_it_is_of_first_order(FIRST["fomaml"](net(TORCH[kind], "rows")), tasks)


NORMS = [nn.Identity, nn.LayerNorm, nn.BatchNorm1d, nn.InstanceNorm1d, nn.TransformerEncoderLayer]


def called(kind: type) -> str:
    return kind.__name__


@pytest.mark.parametrize("kind", CHOSEN, ids=called)
def test_the_gradient_of_maml_through_any_layer_is_the_slope_of_its_loss(kind):
    requires_that_it_is_the_slope_of_the_loss(EXACT["maml"](net(TORCH[kind], "rows")), some_tasks("rows"))


@pytest.mark.parametrize("kind", NORMS, ids=called)
@pytest.mark.parametrize("name", EXACT)
def test_the_gradient_of_any_learner_is_the_slope_of_its_loss(name, kind):
    learner = EXACT[name](net(TORCH[kind], "rows")).double()
    requires_that_it_is_the_slope_of_the_loss(learner, some_tasks("rows"))


@pytest.mark.parametrize("kind", [nn.LayerNorm, nn.BatchNorm1d], ids=called)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FIRST)
def test_the_first_order_gradient_is_the_loop_written_out(name, form, kind):
    requires_that_it_is_of_first_order(FIRST[name](net(TORCH[kind], form)).double(), some_tasks(form))


@pytest.mark.parametrize("kind", OURS, ids=called)
def test_the_gradient_through_layers_of_ours_is_the_slope_of_the_loss(kind):
    make, call = OURS[kind]
    torch.manual_seed(2)
    requires_that_it_is_the_slope_of_the_loss(EXACT["maml"](Graphed(make(), call).double()), some_tasks("nodes"))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", TORCH, ids=called)
def test_every_learner_through_every_layer_on_every_form_of_items(kind, form):
    layer, tasks = TORCH[kind], some_tasks(form)
    for name, make in EXACT.items():
        if layer.twice and (form == "rows" or "semi" not in name):
            requires_that_it_is_the_slope_of_the_loss(make(net(layer, form)).double(), tasks)
    for make in FIRST.values():
        requires_that_it_is_of_first_order(make(net(layer, form)).double(), tasks)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["nodes", "graphs"])
@pytest.mark.parametrize("kind", OURS, ids=called)
def test_every_learner_through_every_layer_of_ours(kind, form):
    make, call = OURS[kind]
    tasks = some_tasks(form)

    def model() -> nn.Module:
        torch.manual_seed(2)
        return Graphed(make(), call).double()

    for name, learner in EXACT.items():
        if "semi" not in name:
            requires_that_it_is_the_slope_of_the_loss(learner(model()).double(), tasks)
    for learner in FIRST.values():
        requires_that_it_is_of_first_order(learner(model()).double(), tasks)

"""Learners: the meta-gradient against finite differences and a quadratic, and that nothing but the result changes."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import SAGEConv

from graphkit.data import GraphSet
from graphkit.meta import (
    ANIL,
    MAML,
    AbstractGradientLearner,
    AbstractLearner,
    Clone,
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
    calibrated_logits,
    evaluate,
)
from graphkit.meta.acceleration.gcn_span import gcn_stack
from graphkit.meta.inner_loop import descent
from graphkit.nn import Encoder, GATConv, GCNConv, GINConv


def perceptron(out=2):
    return nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, out)).double()


LEARNERS = {
    "maml": lambda: MAML(perceptron(), inner_lr=0.3, inner_steps=3),
    "fomaml": lambda: MAML(perceptron(), inner_lr=0.3, inner_steps=3, order=1),
    "maml, multi-step": lambda: MAML(perceptron(), inner_lr=0.3, inner_steps=3, multi_step=0.5),
    "anil": lambda: ANIL(perceptron(), inner_lr=0.3, inner_steps=3),
    "meta-sgd": lambda: MetaSGD(perceptron(), inner_lr=0.3, inner_steps=3).double(),
    "protomaml": lambda: ProtoMAML(perceptron(4), inner_lr=0.1, inner_steps=3),
    "protomaml, semi-supervised": lambda: SemiSupervisedProtoMAML(
        perceptron(4), torch.randn(9, 7).double(), inner_lr=0.1, inner_steps=3
    ),
    "reptile": lambda: Reptile(perceptron(), inner_lr=0.3, inner_steps=3),
    "prototypes": lambda: PrototypicalNetwork(perceptron(4)),
    "prototypes, euclidean": lambda: PrototypicalNetwork(perceptron(4), similarity="euclidean"),
    "siamese": lambda: SiameseNetwork(perceptron(4)),
    "ridge": lambda: KernelRidge(perceptron(4), penalty=0.5),
    "ridge, semi-supervised": lambda: KernelRidge(perceptron(4), torch.randn(9, 7).double(), penalty=0.5, nearest=3),
    "ridge, with an intercept": lambda: KernelRidge(perceptron(4), penalty=0.5, intercept=True),
    "prototypes, semi-supervised": lambda: SemiSupervisedPrototypes(perceptron(4), torch.randn(9, 7).double()),
    "ridge on views": lambda: ViewRidge(perceptron(4), views=2),
    "ridge on views, semi-supervised": lambda: ViewRidge(perceptron(4), torch.randn(9, 7).double(), views=2, nearest=3),
}
EXACT = [name for name in LEARNERS if name not in ("fomaml", "reptile")]
"""Those whose meta-gradient is the gradient of their meta-loss as a function of the parameters."""


def flat(learner):
    return torch.cat([p.detach().flatten() for p in learner.parameters()])


def gradient(learner, tasks):
    return torch.cat(
        [slope.flatten() for slope in torch.autograd.grad(learner.meta_loss(tasks), list(learner.parameters()))]
    )


@pytest.mark.parametrize("name", EXACT)
def test_the_meta_gradient_is_that_of_finite_differences(name, tasks):
    learner, some = LEARNERS[name](), [tasks[0], tasks[1]]
    slope, parameters = gradient(learner, some), list(learner.parameters())
    direction = torch.randn_like(slope)
    step, values = 1e-5, []
    for sign in (1, -1):
        start = flat(learner)
        torch.nn.utils.vector_to_parameters(start + sign * step * direction, parameters)
        with torch.no_grad():
            values.append(learner.meta_loss(some).item())
        torch.nn.utils.vector_to_parameters(start, parameters)
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(float(slope @ direction), rel=1e-6, abs=1e-9)


def test_on_a_quadratic_the_meta_gradient_is_known():
    """loss = (w - a)'H(w - a)/2, query (w - b)'(w - b)/2: w_T - a = (I - rate H)^T (w - a)."""
    curvature = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    w, a, b = (torch.tensor(v, dtype=torch.float64) for v in ([1.0, -2.0], [0.3, 0.4], [-1.0, 0.5]))
    w.requires_grad_()

    def loss(table):
        away = table["w"] - a
        return away @ curvature @ away / 2

    shrink = torch.linalg.matrix_power(torch.eye(2, dtype=torch.float64) - 0.2 * curvature, 4)
    for order, expected in ((2, shrink.T), (1, torch.eye(2, dtype=torch.float64))):
        last = descent(loss, {"w": w}, steps=4, rate=lambda *_: 0.2, order=order)[-1]["w"]
        torch.testing.assert_close(last, a + shrink @ (w - a), rtol=0, atol=1e-13)
        (slope,) = torch.autograd.grad((last - b).square().sum() / 2, w)
        torch.testing.assert_close(slope, expected @ (last - b).detach(), rtol=0, atol=1e-13)


def by_hand(model, x, y, rate, steps):
    """The inner loop with autograd on a copy."""
    moved = copy.deepcopy(model)
    for _ in range(steps):
        loss = F.cross_entropy(moved(x), y)
        slopes = torch.autograd.grad(loss, list(moved.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(moved.parameters(), slopes, strict=True):
                parameter -= rate * slope
    return moved


def test_adaptation_is_gradient_descent_and_first_order_the_gradient_at_its_end(tasks):
    learner, task = LEARNERS["fomaml"](), tasks[0]
    x, episode = task.items.x, task.episode
    moved = by_hand(learner.model, x[episode.support.flatten()], episode.support_y, 0.3, 3)
    adapted = learner.adapt(task)
    for name, value in moved.named_parameters():
        torch.testing.assert_close(adapted[name], value, rtol=0, atol=1e-13)
    loss = F.cross_entropy(moved(x[episode.query.flatten()]), episode.query_y)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(moved.parameters()))])
    torch.testing.assert_close(gradient(learner, [task]), expected, rtol=0, atol=1e-13)


def test_reptile_moves_by_the_mean_displacement(tasks):
    learner, some = LEARNERS["reptile"](), [tasks[0], tasks[1]]
    expected = torch.zeros_like(flat(learner))
    for task in some:
        support = task.items.x[task.episode.support.flatten()]
        moved = by_hand(learner.model, support, task.episode.support_y, 0.3, 3)
        expected += (flat(learner) - torch.cat([p.detach().flatten() for p in moved.parameters()])) / 2
    torch.testing.assert_close(gradient(learner, some), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("options", [{"inner_steps": 0}, {"inner_lr": 0.0}, {"inner_steps": 0, "multi_step": 0.5}])
@pytest.mark.parametrize("order", [1, 2])
def test_without_steps_or_rate_it_is_the_plain_gradient(options, order, tasks):
    learner = MAML(perceptron(), order=order, **options)
    x, episode = tasks[0].items.x, tasks[0].episode
    loss = F.cross_entropy(learner.model(x[episode.query.flatten()]), episode.query_y)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(learner.parameters()))])
    torch.testing.assert_close(gradient(learner, [tasks[0]]), expected, rtol=0, atol=1e-13)


def test_a_head_alone_moves(tasks):
    learner = LEARNERS["anil"]()
    assert set(learner.adapt(tasks[0])) == {"2.weight", "2.bias"}


def test_learnt_rates_start_as_maml_and_are_trained(tasks):
    maml, learnt = LEARNERS["maml"](), LEARNERS["meta-sgd"]()
    learnt.model.load_state_dict(maml.model.state_dict())
    torch.testing.assert_close(learnt.logits([tasks[0]]), maml.logits([tasks[0]]), rtol=0, atol=1e-7)  # 0.3 in float32
    learnt.meta_loss([tasks[0]]).backward()
    assert all(bool(rates.grad.abs().sum() > 0) for rates in learnt.rates.values())


def test_steps_beyond_the_learnt_rates_are_refused(nodes, tasks):
    message = "`steps` must be at most 2 for a learner that learns a rate for each step"
    learner = MetaSGD(perceptron(), inner_steps=2)
    with pytest.raises(ValueError, match=message):
        evaluate(learner, tasks, steps=5)
    assert learner.inner_steps == 2
    clone = learner.clone()
    for _ in range(2):
        clone.adapt(clone(tasks.items.x).square().mean())
    with pytest.raises(ValueError, match=message):
        clone.adapt(clone(tasks.items.x).square().mean())
    for model in (stacks()["two layers"](2), ENCODERS["sage of pyg"]()):
        learner = MetaSGD(model, inner_steps=2).double()
        drawn = TaskSet.draw(nodes, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=2))
        with pytest.raises(ValueError, match=message):
            evaluate(learner, drawn, steps=3)


def test_a_head_of_prototypes_decides_as_they_do_before_the_first_step(tasks):
    model = perceptron(4)
    start = ProtoMAML(model, inner_steps=0).logits(list(tasks))
    torch.testing.assert_close(start, PrototypicalNetwork(model).logits(list(tasks)), rtol=0, atol=1e-12)
    rows = torch.randn(9, 7).double()
    moved = SemiSupervisedProtoMAML(model, rows, inner_steps=0).logits(list(tasks))
    expected = SemiSupervisedPrototypes(model, rows).logits(list(tasks))
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-12)
    assert not torch.allclose(moved, start)


def test_prototypes_are_means_of_classes(tasks):
    learner, task = LEARNERS["prototypes, euclidean"](), tasks[0]
    z, episode = learner.model(task.items.x), task.episode
    means = z[episode.support].mean(1)
    expected = -(z[episode.query.flatten()][:, None] - means).square().sum(-1) / 0.1
    torch.testing.assert_close(learner.logits([task])[0], expected, rtol=0, atol=1e-11)


def test_unlabelled_rows_move_prototypes(tasks):
    """Written out for each row and class; of no worth they move nothing."""
    unlabelled, task = torch.randn(9, 7, dtype=torch.float64), tasks[0]
    learner = SemiSupervisedPrototypes(nn.Identity(), unlabelled, weight=2.0, spread=0.3)
    support = F.normalize(task.items.x[task.episode.support], dim=-1)
    plain = F.normalize(support.sum(1), dim=-1)
    expected = []
    for label in range(2):
        weights = []
        for row in F.normalize(unlabelled, dim=-1):
            near = [float((row @ prototype / 0.3).exp()) for prototype in plain]
            weights.append(near[label] / sum(near) * near[label])
        mean = sum(w * row for w, row in zip(weights, F.normalize(unlabelled, dim=-1), strict=True)) / sum(weights)
        expected.append(F.normalize(support[label].sum(0) + 2 * mean, dim=-1))
    torch.testing.assert_close(learner.adapt(task)["@prototypes"], torch.stack(expected), rtol=0, atol=1e-12)
    learner.weight = 0.0
    torch.testing.assert_close(learner.adapt(task)["@prototypes"], plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", [None, *range(8)])
def test_kernel_ridge_regression_is_that_of_scikit_learn(seed, tasks):
    """Unlabelled rows, more near one class than the other, are samples of the nearest: the five that weigh most."""
    from sklearn.kernel_ridge import KernelRidge as Reference

    task, unlabelled = tasks[0], None
    if seed is not None:
        drawn = torch.randn(40, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        unlabelled = drawn + 0.5 * task.items.x[task.episode.support[0]].mean(0)
    learner = KernelRidge(nn.Identity(), unlabelled, penalty=0.7, gamma=0.4, weight=2.0, spread=0.3, nearest=5)
    x = F.normalize(task.items.x, dim=-1)
    support, query = x[task.episode.support], x[task.episode.query.flatten()]
    rows, labels, weights = (
        list(support.flatten(0, 1)),
        task.episode.support_y.tolist(),
        [1.0] * support[..., 0].numel(),
    )
    if unlabelled is not None:
        near, plain = F.normalize(unlabelled, dim=-1), F.normalize(support.sum(1), dim=-1)
        similar = (near @ plain.T / 0.3).exp()
        worth = similar.square() / similar.sum(1, keepdim=True)
        for label in range(2):
            own = [i for i in range(40) if worth[i].argmax() == label]
            own = sorted(own, key=lambda i: -worth[i, label])[:5]
            rows += [near[i] for i in own]
            labels += [label] * len(own)
            weights += [float(2 * worth[i, label] / worth[own, label].sum()) for i in own]
    targets = F.one_hot(torch.tensor(labels), 2) - 0.5
    peer = Reference(alpha=0.7, kernel="rbf", gamma=0.4).fit(torch.stack(rows), targets, sample_weight=weights)
    expected = torch.from_numpy(peer.predict(query)) / 0.1
    torch.testing.assert_close(learner.logits([task])[0], expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_an_intercept_minimises_the_same_sum_with_an_offset(shift, tasks):
    """Found by the optimality conditions of function and offset at once; what all rows have in common is no class's."""
    task = tasks.with_items(Rows(tasks.items.x + shift, tasks.items.y))[0]
    x = F.normalize(task.items.x, dim=-1)
    support, query = x[task.episode.support.flatten()], x[task.episode.query.flatten()]
    count = len(support)

    def kernel(a, b):
        return (-0.4 * (a[:, None] - b).square().sum(-1)).exp()

    conditions = torch.ones(count + 1, count + 1, dtype=torch.float64)
    conditions[:count, :count] = kernel(support, support) + 0.7 * torch.eye(count, dtype=torch.float64)
    conditions[count, count] = 0
    targets = torch.cat((F.one_hot(task.episode.support_y, 2) - 0.5, torch.zeros(1, 2)))
    found = torch.linalg.solve(conditions, targets.double())
    expected = (kernel(query, support) @ found[:count] + found[count]) / 0.1
    learner = KernelRidge(nn.Identity(), penalty=0.7, gamma=0.4, intercept=True)
    torch.testing.assert_close(learner.logits([task])[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("made", [KernelRidge, SemiSupervisedPrototypes, SemiSupervisedProtoMAML])
@pytest.mark.parametrize("model", [nn.Identity(), perceptron()])
def test_unlabelled_rows_must_be_such_as_the_tasks_have(made, model, tasks):
    x = tasks.items.x
    for wrong, message in (
        (x[:, :5], r"of the width and dtype of the tasks' items, got \[.*, 5\] of torch.float64"),
        (x.float(), "of the width and dtype of the tasks' items"),
        (x[0], r"`unlabelled` must have shape \[items, features\]"),
        (x * torch.nan, "`unlabelled` must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            made(model, wrong).logits(list(tasks))
    with pytest.raises(TypeError, match="`unlabelled`"):
        made(model, [[1.0]])


def test_a_penalty_that_the_system_does_not_feel_is_refused(tasks):
    same = Rows(torch.ones(len(tasks.items.y), 3), tasks.items.y)
    with pytest.raises(ValueError, match="`penalty` 1e-12 is too small"):
        KernelRidge(nn.Identity(), penalty=1e-12).logits(list(tasks.with_items(same)))


def test_kernel_ridge_regression_may_find_too_few_unlabelled_rows(tasks):
    """Of no class, or fewer than asked for: what is not there weighs nothing, and its slope is a number."""
    row = F.normalize(tasks[0].items.x[tasks[0].episode.support[0]], dim=-1).mean(0, keepdim=True)
    learner = KernelRidge(perceptron(7), row.repeat(3, 1), nearest=200)
    loss = learner.meta_loss([tasks[0]])
    assert loss.isfinite()
    assert all(slope.isfinite().all() for slope in torch.autograd.grad(loss, list(learner.parameters())))


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_tasks_at_once_are_the_tasks_one_by_one(name, dtype, tasks):
    learner = LEARNERS[name]().to(dtype)
    tasks = tasks.with_items(type(tasks.items)(tasks.items.x.to(dtype), tasks.items.y))
    one_by_one = torch.stack([learner.predict(learner.adapt(task), task) for task in tasks])
    tolerance = (1e-12 if dtype == torch.float64 else 4e-6) * one_by_one.abs().max().item()  # roundings of inner steps
    torch.testing.assert_close(learner.logits(list(tasks)), one_by_one, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", LEARNERS)
def test_adapting_touches_nothing(name, tasks):
    learner = LEARNERS[name]()
    state, x, y = copy.deepcopy(learner.state_dict()), tasks.items.x.clone(), tasks.items.y.clone()
    modes = [module.training for module in learner.modules()]
    learner.predict(learner.adapt(tasks[0]), tasks[0])
    learner.logits(list(tasks))
    learner.meta_loss(list(tasks)).backward()
    assert all(torch.equal(value, learner.state_dict()[key]) for key, value in state.items())
    assert torch.equal(tasks.items.x, x)
    assert torch.equal(tasks.items.y, y)
    assert [module.training for module in learner.modules()] == modes


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_learns(name, tasks):
    learner = LEARNERS[name]()
    assert isinstance(learner, AbstractLearner)
    assert isinstance(learner, AbstractGradientLearner) == (not name.startswith(("prototypes", "ridge", "siamese")))
    optimizer = torch.optim.Adam(learner.parameters(), lr=0.02)
    first = None
    for _ in range(30):
        optimizer.zero_grad()
        loss = learner.meta_loss(list(tasks))
        loss.backward()
        optimizer.step()
        first = loss.item() if first is None else first
    assert loss.item() < first


ENCODERS = {
    "gcn of ours": lambda: Encoder(7, 6, 2, conv=GCNConv, dropout=0.0),
    "gat of ours": lambda: Encoder(7, 6, 2, conv=GATConv, dropout=0.0),
    "batch norm": lambda: Encoder(7, 6, 2, conv=GCNConv, dropout=0.0, norm="batch"),
    "sage of pyg": lambda: Encoder(7, 6, 2, conv=SAGEConv, dropout=0.0),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_any_encoder_is_adapted_on_a_graph(name, nodes):
    tasks = TaskSet.draw(nodes, (0, 1, 2), FewShotProtocol(k_shot=2, n_query=3, n_tasks=2))
    learner = MAML(ENCODERS[name]().double(), inner_lr=0.2, inner_steps=2)
    state = copy.deepcopy(learner.state_dict())
    slope, parameters = gradient(learner, list(tasks)), list(learner.parameters())
    direction, start, values = torch.randn_like(slope), flat(learner), []
    for sign in (1, -1):
        torch.nn.utils.vector_to_parameters(start + sign * 1e-5 * direction, parameters)
        with torch.no_grad():
            values.append(learner.meta_loss(list(tasks)).item())
    torch.nn.utils.vector_to_parameters(start, parameters)
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(float(slope @ direction), rel=1e-5, abs=1e-8)
    assert all(torch.equal(value, learner.state_dict()[key]) for key, value in state.items())  # statistics too


def test_dropout_acts_in_the_inner_loop_on_request_alone(nodes):
    tasks = TaskSet.draw(nodes, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=1))
    model = Encoder(7, 6, 2, conv=GCNConv, dropout=0.5).double()
    quiet, noisy = MAML(model, inner_steps=1), MAML(model, inner_steps=1, dropout=True)
    assert torch.equal(quiet.logits(list(tasks)), quiet.logits(list(tasks)))
    assert not torch.equal(noisy.logits(list(tasks)), noisy.logits(list(tasks)))


def test_stored_statistics_are_those_of_evaluation(nodes):
    tasks = TaskSet.draw(nodes, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=1))
    model = Encoder(7, 6, 2, conv=GCNConv, dropout=0.0, norm="batch").double()
    next(iter(model.norms[0].buffers())).add_(1.0)  # the running mean
    stored = MAML(model, inner_steps=0, statistics="stored").logits(list(tasks))[0]
    query = tasks[0].episode.query.flatten()
    torch.testing.assert_close(stored, model.eval()(nodes.x, nodes.edge_index)[query])
    assert not torch.allclose(stored, MAML(model, inner_steps=0).logits(list(tasks))[0])


def test_calibration_moves_prototypes_to_where_the_query_is():
    """Written out for one step."""
    support, query = torch.randn(4, 3), torch.randn(6, 3)
    y, unit = torch.tensor([0, 0, 1, 1]), F.normalize(torch.cat([support, query]), dim=-1)
    first = F.normalize(torch.stack([unit[:2].sum(0), unit[2:4].sum(0)]), dim=-1)
    guess = (unit[4:] @ first.T / 0.2).softmax(-1)
    moved = torch.stack([unit[2 * k : 2 * k + 2].sum(0) + (guess[:, k : k + 1] * unit[4:]).sum(0) for k in range(2)])
    expected = unit[4:] @ F.normalize(moved, dim=-1).T / 0.2
    found = calibrated_logits(support, y, query, ways=2, temperature=0.2, steps=1)
    torch.testing.assert_close(found, expected)


def test_balanced_calibration_guesses_every_class_equally_often():
    """Against the scaling written out on probabilities; guesses that would all be of one class are of both."""
    query = F.normalize(torch.tensor([[1.0, 0.1], [1.0, 0.2], [1.0, 0.3], [1.0, 0.4]], dtype=torch.float64), dim=-1)
    support, y = torch.eye(2, dtype=torch.float64), torch.tensor([0, 1])
    table = (query / 0.1).exp()
    for _ in range(1000):
        table = table / table.sum(0) * 2
        table = table / table.sum(1, keepdim=True)
    found = calibrated_logits(support, y, query, ways=2, steps=0, balanced=True)
    torch.testing.assert_close(found.softmax(-1), table, atol=1e-3, rtol=0)
    assert found.argmax(-1).tolist() == [0, 0, 1, 1]
    assert calibrated_logits(support, y, query, ways=2, steps=0).argmax(-1).tolist() == [0, 0, 0, 0]


class Spare(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.spare = nn.Linear(7, 2).double(), nn.Linear(3, 3)

    def forward(self, x):
        return self.used(x)


def test_a_parameter_that_nothing_depends_on_is_named(tasks):
    with pytest.raises(ValueError, match=r"depend on: spare.weight, spare.bias; take them out"):
        MAML(Spare()).adapt(tasks[0])


def test_a_head_of_another_width_is_refused(tasks):
    with pytest.raises(ValueError, match="`model` has 5 outputs, but a task has 2 classes"):
        MAML(perceptron(5)).logits(list(tasks))


def test_the_width_of_the_head_is_looked_at_for_every_number_of_classes(rows, tasks):
    learner = MAML(perceptron(2))
    learner.logits(list(tasks))
    wider = TaskSet.draw(rows, (0, 1, 2), FewShotProtocol(n_way=3, k_shot=3, n_query=4, n_tasks=2))
    for asked in (learner.logits, learner.meta_loss, lambda some: learner.adapt(some[0])):
        with pytest.raises(ValueError, match="`model` has 2 outputs, but a task has 3 classes"):
            asked(list(wider))


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("form", [{"n_way": 3, "k_shot": 2}, {"k_shot": 2}, {"n_query": 3}])
def test_tasks_of_different_form_are_refused_and_so_is_no_task(name, form, rows, tasks):
    learner = LEARNERS[name]()
    other = TaskSet.draw(
        rows, (0, 1, 2), FewShotProtocol(**{"n_way": 2, "k_shot": 3, "n_query": 4, "n_tasks": 1, **form})
    )
    for asked in (learner.logits, learner.meta_loss):
        with pytest.raises(ValueError, match="`tasks` must be of one form, got 2 ways, 3 shots, 4 queries beside"):
            asked([tasks[0], other[0]])
        with pytest.raises(ValueError, match="`tasks` must hold at least one task"):
            asked([])
        with pytest.raises(TypeError, match="`tasks` must be a list of tasks or a TaskSet, got Task"):
            asked(tasks[0])
    with pytest.raises(TypeError, match=r"`task` must be a task, such as `tasks\[0\]`, got TaskSet"):
        learner.adapt(tasks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inner_lr": -0.1}, "`inner_lr` must be a finite number of at least 0"),
        ({"inner_lr": float("nan")}, "`inner_lr` must be a finite number of at least 0"),
        ({"inner_steps": -1}, "`inner_steps` must be an integer of at least 0"),
        ({"order": 3}, "`order` must be 1 or 2"),
        ({"multi_step": 1.5}, "`multi_step` must lie in"),
        ({"statistics": "batch"}, "`statistics` 'batch' is not known"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MAML(perceptron(), **options)


def test_a_head_that_is_not_there_is_refused():
    for head in ("classifier", "0.wei"):
        with pytest.raises(ValueError, match=r"is no module or parameter that is trained; there are 0\.weight"):
            ANIL(perceptron(), head=head)
    with pytest.raises(ValueError, match="`temperature` must be"):
        ProtoMAML(perceptron(), temperature=0.0)


@pytest.mark.parametrize(
    ("make", "of_the_last"),
    [
        (lambda: Encoder(4, 8, 2, conv=GCNConv, layers=3), {"bias", "lin.weight"}),
        (lambda: Encoder(4, 8, 2, conv=lambda i, o: GCNConv(i, o, bias=False)), {"lin.weight"}),
        (lambda: Encoder(4, 8, 2, conv=GATConv), {"att_src", "att_dst", "bias", "lin.weight"}),
        (lambda: Encoder(4, 8, 2, conv=SAGEConv), {"lin_l.weight", "lin_l.bias", "lin_r.weight"}),
        (lambda: Encoder(4, 8, 2, conv=lambda i, o: GINConv(torch.nn.Linear(i, o))), {"nn.weight", "nn.bias"}),
        (
            lambda: Encoder(4, 8, 2, conv=torch_geometric.nn.GATv2Conv),
            {"att", "bias", "lin_l.weight", "lin_l.bias", "lin_r.weight", "lin_r.bias"},
        ),
    ],
)
def test_the_head_is_the_last_layer_with_all_that_it_has(make, of_the_last):
    model = make()
    last = f"convs.{len(model.convs) - 1}."
    assert set(ANIL(model).moved) == {last + name for name in of_the_last}


def test_a_head_is_a_module_and_not_a_beginning_of_names():
    model = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(12)))
    assert ANIL(model, head="1").moved == ("1.weight", "1.bias")
    assert ANIL(model, head="11.weight").moved == ("11.weight",)


def stacks():
    return {
        "one layer": lambda out: Encoder(7, 6, out, conv=GCNConv, dropout=0.0, layers=1),
        "two layers": lambda out: Encoder(7, 6, out, conv=GCNConv, dropout=0.0),
        "three layers, elu": lambda out: Encoder(7, 6, out, conv=GCNConv, dropout=0.0, layers=3, activation="elu"),
        "no bias": lambda out: Encoder(7, 6, out, conv=lambda i, o: GCNConv(i, o, bias=False), dropout=0.0),
        "pyg's": lambda out: Encoder(7, 6, out, conv=torch_geometric.nn.GCNConv, dropout=0.0),
    }


@pytest.mark.parametrize("stack", stacks())
@pytest.mark.parametrize("name", ["maml", "fomaml", "anil", "meta-sgd", "protomaml"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_span_of_the_support_is_the_plain_loop(stack, name, dtype, nodes, monkeypatch):
    made = {
        "maml": lambda m: MAML(m, inner_lr=0.3, inner_steps=3),
        "fomaml": lambda m: MAML(m, inner_lr=0.3, inner_steps=3, order=1),
        "anil": lambda m: ANIL(m, inner_lr=0.3, inner_steps=3, head=f"convs.{len(m.convs) - 1}"),
        "meta-sgd": lambda m: MetaSGD(m, inner_lr=0.3, inner_steps=3),
        "protomaml": lambda m: ProtoMAML(m, temperature=1.0, inner_lr=0.1, inner_steps=3),
    }[name]
    learner = made(stacks()[stack](4 if name == "protomaml" else 2)).to(dtype)
    items = Nodes(nodes.x.to(dtype), nodes.edge_index, nodes.y)
    tasks = list(TaskSet.draw(items, (0, 1, 2), FewShotProtocol(k_shot=2, n_query=3, n_tasks=4)))
    assert learner.accelerated_logits(tasks) is not None

    def both():
        loss = learner.meta_loss(tasks)
        slopes = torch.autograd.grad(loss, list(learner.parameters()), allow_unused=True)
        slope = torch.cat(
            [
                torch.zeros_like(p).flatten() if g is None else g.flatten()
                for p, g in zip(learner.parameters(), slopes, strict=True)
            ]
        )
        with torch.no_grad():
            return learner.logits(tasks), loss.detach(), slope

    fast = both()
    monkeypatch.setattr(type(learner), "accelerated_logits", lambda self, tasks: None)
    slow = both()
    for quick, plain in zip(fast, slow, strict=True):
        tolerance = (1e-12 if dtype == torch.float64 else 1e-6) * max(1.0, plain.abs().max().item())
        torch.testing.assert_close(quick, plain, rtol=0, atol=tolerance)


def test_what_is_no_plain_stack_is_not_taken_for_one(nodes):
    for options in ({"norm": "batch"}, {"residual": True}, {"conv": GATConv}, {"jumping_knowledge": "cat"}):
        assert gcn_stack(Encoder(7, 6, 2, **{"conv": GCNConv, "dropout": 0.0, **options}), nodes) is None
    assert gcn_stack(Encoder(7, 6, 2, conv=lambda i, o: GCNConv(i, o, improved=True), dropout=0.0), nodes) is None
    tasks = list(TaskSet.draw(nodes, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=2)))
    assert MAML(Encoder(7, 6, 2, conv=GCNConv, dropout=0.5).double(), dropout=True).accelerated_logits(tasks) is None


def test_on_large_graphs_only_the_products_that_are_needed_are_taken(nodes, monkeypatch):
    learner = MAML(stacks()["two layers"](2).double(), inner_lr=0.3, inner_steps=3)
    tasks = list(TaskSet.draw(nodes, (0, 1, 2), FewShotProtocol(k_shot=2, n_query=3, n_tasks=4)))
    whole = gradient(learner, tasks)
    monkeypatch.setattr("graphkit.meta.acceleration.gcn_span.MAX_KERNEL_NODES", 10)
    apart = Nodes(nodes.x, nodes.edge_index, nodes.y)  # nothing is remembered of it yet
    torch.testing.assert_close(
        gradient(learner, list(TaskSet.draw(apart, (0, 1, 2), FewShotProtocol(k_shot=2, n_query=3, n_tasks=4)))),
        whole,
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("name", ["maml", "fomaml", "anil", "meta-sgd"])
def test_a_clone_that_is_adapted_step_by_step_is_the_learner(name, tasks):
    learner, task = LEARNERS[name](), tasks[0]
    x, episode = task.items.x, task.episode
    clone = learner.clone()
    assert isinstance(clone, Clone)
    for _ in range(3):
        clone.adapt(F.cross_entropy(clone(x[episode.support.flatten()]), episode.support_y))
    loss = F.cross_entropy(clone(x[episode.query.flatten()]), episode.query_y)
    expected = learner.meta_loss([task])
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
    for mine, theirs in zip(
        *(torch.autograd.grad(each, list(learner.parameters())) for each in (loss, expected)), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


def test_a_clone_refuses_what_it_cannot_adapt(tasks):
    with pytest.raises(ValueError, match="brings a head of its own"):
        Clone(LEARNERS["protomaml"]())
    clone = Clone(MAML(Spare()))
    with pytest.raises(ValueError, match=r"does not depend on spare\.weight, spare\.bias"):
        clone.adapt(clone(tasks.items.x).sum())


@pytest.mark.parametrize("part", ["x", "edge_index", "edge_weight"])
def test_a_graph_that_was_changed_in_place_is_prepared_anew(part, nodes):
    weight = torch.ones(nodes.edge_index.size(1), dtype=torch.float64)
    items = Nodes(nodes.x.clone(), nodes.edge_index.clone(), nodes.y, weight)
    learner = MAML(stacks()["two layers"](2).double(), inner_lr=0.3, inner_steps=2)
    drawn = list(TaskSet.draw(items, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=2)))
    before = learner.logits(drawn)
    getattr(items, part)[..., :2] = 2 if part == "edge_weight" else getattr(items, part)[..., 5:7].clone()
    after = learner.logits(drawn)
    assert not torch.equal(before, after)
    fresh = Nodes(items.x.clone(), items.edge_index.clone(), items.y, weight.clone())
    again = learner.logits(list(TaskSet.draw(fresh, (0, 1), FewShotProtocol(k_shot=2, n_query=3, n_tasks=2))))
    torch.testing.assert_close(after, again, rtol=0, atol=1e-12)


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = SAGEConv(3, 6), nn.Linear(6, 2)

    def forward(self, x, edge_index, batch):
        return self.head(torch_geometric.nn.global_mean_pool(self.conv(x, edge_index).tanh(), batch))


@pytest.mark.parametrize("name", ["maml", "anil", "reptile", "prototypes", "siamese"])
def test_whole_graphs_are_adapted_to(name):
    y = torch.arange(40) % 4
    ring = torch.stack([torch.arange(5), torch.arange(5).roll(1)])
    x = torch.randn(200, 3, dtype=torch.float64) + y.repeat_interleave(5)[:, None]
    data = Data(x=x, edge_index=torch.cat([ring, ring.flip(0)], 1).repeat(1, 40), y=y)
    items = Graphs(GraphSet(data, nodes=torch.full((40,), 5), edges=torch.full((40,), 10)))
    tasks = list(TaskSet.draw(items, (0, 1, 2, 3), FewShotProtocol(k_shot=2, n_query=3, n_tasks=4)))
    learner = {
        "maml": lambda m: MAML(m, inner_lr=0.3, inner_steps=3),
        "anil": lambda m: ANIL(m, inner_lr=0.3, inner_steps=3, head="head"),
        "reptile": lambda m: Reptile(m, inner_lr=0.3, inner_steps=3),
        "prototypes": PrototypicalNetwork,
        "siamese": SiameseNetwork,
    }[name](Pooled().double())
    one_by_one = torch.stack([learner.predict(learner.adapt(task), task) for task in tasks])
    assert one_by_one.shape == (4, 6, 2)
    torch.testing.assert_close(learner.logits(tasks), one_by_one, rtol=0, atol=1e-12)
    before = flat(learner)
    learner.meta_loss(tasks).backward()
    assert all(
        bool(p.grad.abs().sum() > 0)
        for p in learner.parameters()
        if name not in ("prototypes", "siamese") or p.grad is not None
    )
    assert torch.equal(before, flat(learner))


@pytest.mark.parametrize("shots", [1, 3])
def test_a_siamese_network_is_the_contrastive_loss_of_pairs_and_the_nearest_item(shots):
    """The loop over pairs; with one shot the nearest item is the nearest prototype."""
    y = torch.arange(40) % 4
    x = torch.randn(40, 7, generator=torch.Generator().manual_seed(3)).double() + y[:, None]
    protocol = FewShotProtocol(k_shot=shots, n_query=3, n_tasks=5)
    tasks = list(TaskSet.draw(Rows(x, y), (0, 1, 2, 3), protocol))
    learner = SiameseNetwork(perceptron(4), margin=1.2, temperature=0.5)
    losses = []
    for task, logits in zip(tasks, learner.logits(tasks), strict=True):
        near, asks = (
            F.normalize(learner.model(x[index.flatten()]), dim=1)
            for index in (task.episode.support, task.episode.query)
        )
        pulled, pushed = [], []
        for a, asked in zip(asks, task.episode.query_y, strict=True):
            for b, known in zip(near, task.episode.support_y, strict=True):
                distance = (a - b).norm()
                if asked == known:
                    pulled.append(distance**2)
                else:
                    pushed.append(max(1.2 - distance, 0 * distance) ** 2)
        losses.append(torch.stack(pulled).mean() + torch.stack(pushed).mean())
        nearest = (asks @ near.T).argmax(1)
        assert torch.equal(logits.argmax(1), task.episode.support_y[nearest])
    torch.testing.assert_close(learner.meta_loss(tasks), torch.stack(losses).mean(), rtol=1e-9, atol=1e-9)
    if shots == 1:
        by_means = PrototypicalNetwork(learner.model, temperature=0.5)
        torch.testing.assert_close(by_means.logits(tasks), learner.logits(tasks))

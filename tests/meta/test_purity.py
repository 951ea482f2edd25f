"""What adapting leaves as it was: the model, whatever stands in it and however often, its modes, and other threads."""

from __future__ import annotations

import copy
import sys
import threading
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from torch import nn
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm

from graphkit.meta import MAML, FewShotProtocol, PrototypicalNetwork, Rows, TaskSet, evaluate
from tests.meta.test_meta_gradients import (
    EXACT,
    TORCH,
    Layer,
    Net,
    requires_that_it_is_the_slope_of_the_loss,
    some_tasks,
)


def twice_on_rows() -> nn.Module:
    step = nn.Linear(5, 5)
    return nn.Sequential(step, nn.Tanh(), step, nn.Tanh(), nn.Linear(5, 2))


def twice_deeper() -> nn.Module:
    block = nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Tanh())
    return nn.Sequential(block, nn.Sequential(block, block), nn.Linear(5, 2))


def tied() -> nn.Module:
    first, second = nn.Linear(5, 5), nn.Linear(5, 5)
    second.weight = first.weight
    return nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), nn.Linear(5, 2))


def by_a_hook() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # an older form, which saved models have
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(5, 8)), nn.Tanh(), nn.Linear(8, 2))


def twice_on_nodes() -> nn.Module:
    step = pyg.SAGEConv(5, 5)
    layers = [(step, "x, e -> x"), (nn.Tanh(), "x -> x"), (step, "x, e -> x"), (nn.Linear(5, 2), "x -> x")]
    return pyg.Sequential("x, e", layers)


def twice_on_graphs() -> nn.Module:
    step = pyg.GCNConv(5, 5)
    layers = [(step, "x, e -> x"), (nn.Tanh(), "x -> x"), (step, "x, e -> x"), (pyg.global_mean_pool, "x, b -> x")]
    return pyg.Sequential("x, e, b", [*layers, (nn.Linear(5, 2), "x -> x")])


MODELS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "a module twice": ("rows", twice_on_rows),
    "a block three times": ("rows", twice_deeper),
    "a tied weight": ("rows", tied),
    "a module twice, nodes": ("nodes", twice_on_nodes),
    "a module twice, graphs": ("graphs", twice_on_graphs),
    "normalised weights": ("rows", lambda: nn.Sequential(weight_norm(nn.Linear(5, 8)), nn.Tanh(), nn.Linear(8, 2))),
    **{
        f"orthogonal, {by}": (
            "rows",
            lambda by=by: nn.Sequential(orthogonal(nn.Linear(5, 5), orthogonal_map=by), nn.Tanh(), nn.Linear(5, 2)),
        )
        for by in ("matrix_exp", "cayley")  # that by Householder reads signs from numbers which are 1 or -1 by no more
    },
    "normalised weights by a hook": ("rows", by_a_hook),
    "normalised weights, nodes": (
        "nodes",
        lambda: pyg.Sequential("x, e", [(weight_norm(nn.Linear(5, 2)), "x -> x"), (pyg.SimpleConv(), "x, e -> x")]),
    ),
    "spectral norm": ("rows", lambda: nn.Sequential(spectral_norm(nn.Linear(5, 8)), nn.Tanh(), nn.Linear(8, 2))),
}


def made(name: str) -> tuple[nn.Module, list]:
    form, model = MODELS[name]
    torch.manual_seed(0)
    return model().double(), some_tasks(form)


def parts(model: nn.Module) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value
        for name, module in model.named_modules(remove_duplicate=False)
        for own in (module._parameters, module._buffers)
        for key, value in own.items()
    }


class Untouched:
    """A model before, to be compared with it afterwards: the same tensors, of the same values, and the same modes."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.parts = model, parts(model)
        self.values = {name: value.clone() for name, value in self.parts.items() if value is not None}
        self.modes = [(module.training, getattr(module, "track_running_stats", None)) for module in model.modules()]

    def require(self) -> None:
        now = parts(self.model)
        assert all(now[name] is value for name, value in self.parts.items())
        assert now.keys() == self.parts.keys()
        assert all(torch.equal(now[name], value) for name, value in self.values.items())
        modes = [(module.training, getattr(module, "track_running_stats", None)) for module in self.model.modules()]
        assert modes == self.modes


@pytest.mark.parametrize("learner", ["maml", "meta-sgd", "protomaml", "prototypes", "ridge"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_left_as_it_was_and_its_gradient_is_the_slope_of_the_loss(name, learner):
    model, tasks = made(name)
    adapting, before = EXACT[learner](model).double(), Untouched(model)
    adapting.adapt(tasks[0])
    adapting.logits(tasks)
    adapting.meta_loss(tasks)
    evaluate(
        adapting, TaskSet.draw(tasks[0].items, (0, 1), FewShotProtocol(k_shot=1, n_query=1, n_tasks=2)), calibrate=1
    )
    before.require()
    requires_that_it_is_the_slope_of_the_loss(adapting, tasks)


@pytest.mark.parametrize("name", MODELS)
def test_adapting_is_gradient_descent_on_a_copy(name):
    model, (task, *_) = made(name)
    adapted = MAML(model, inner_lr=0.3, inner_steps=3, statistics="stored").adapt(task)
    moved = made(name)[0].eval()
    for _ in range(3):
        loss = F.cross_entropy(task.items.outputs(moved, task.episode.support.flatten()), task.episode.support_y)
        slopes = torch.autograd.grad(loss, list(moved.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(moved.parameters(), slopes, strict=True):
                parameter -= 0.3 * slope
    for parameter, value in moved.named_parameters():
        torch.testing.assert_close(adapted[parameter], value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("statistics", ["task", "stored"])
@pytest.mark.parametrize("kind", [kind for kind, layer in TORCH.items() if any(True for _ in layer.make().buffers())])
def test_layers_that_store_statistics_store_none_of_a_task(kind, statistics, dropout):
    requires_that_a_layer_stores_nothing(TORCH[kind], statistics, dropout)


@pytest.mark.parametrize("dropout", [False, True])
def test_layers_that_store_something_in_training_mode_do_not(dropout):
    tracked = Layer(
        lambda: nn.InstanceNorm1d(2, affine=True, track_running_stats=True),
        lambda layer, x: layer(x.view(-1, 2, 4)).flatten(1),
    )
    for layer in (tracked, Layer(lambda: spectral_norm(nn.Linear(8, 8)))):
        requires_that_a_layer_stores_nothing(layer, "task", dropout)


def requires_that_a_layer_stores_nothing(layer: Layer, statistics: str, dropout: bool) -> None:
    for form in ("rows", "nodes", "graphs"):
        model = Net(layer, form).double()
        tasks, before = some_tasks(form), Untouched(model)
        for learner in (MAML(model, inner_steps=2, statistics=statistics, dropout=dropout), PrototypicalNetwork(model)):
            learner.adapt(tasks[0])
            learner.meta_loss(tasks).backward()
            learner.predict(learner.adapt(tasks[1]), tasks[1])
        before.require()


def test_a_clone_stores_statistics_of_its_own():
    """As learn2learn's clones do; the model keeps its own, and the next clone begins with those."""
    tasks = some_tasks("rows")
    model = nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Linear(5, 2)).double()
    learner, before, peer = MAML(model, inner_lr=0.2), Untouched(model), copy.deepcopy(model)
    clone = learner.clone()
    clone.adapt(clone(tasks[0].items.x).square().mean())
    before.require()
    peer(tasks[0].items.x)
    torch.testing.assert_close(clone.buffers["1.running_mean"], peer[1].running_mean, rtol=0, atol=1e-15)
    assert clone.buffers["1.num_batches_tracked"] == 1
    assert learner.clone().buffers["1.num_batches_tracked"] == 0


class Meeting(nn.Module):
    """Calls each other in its forward pass if two threads are in it at once: each waits a while for another."""

    def __init__(self) -> None:
        super().__init__()
        self.lin, self.norm = nn.Linear(5, 2), nn.BatchNorm1d(2)
        self.inside, self.met, self.lock = 0, threading.Event(), threading.Lock()
        self.waiting = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.waiting:
            with self.lock:
                self.inside += 1
                if self.inside > 1:
                    self.met.set()
            self.met.wait(0.002)
            with self.lock:
                self.inside -= 1
        return self.norm(self.lin(x))


def in_threads(work: list[Callable[[], object]]) -> list[object]:
    """Return what each function returns or raises, all begun at once, under as many switches as Python makes."""
    found: list[object] = [None] * len(work)
    barrier, before = threading.Barrier(len(work)), sys.getswitchinterval()

    def run(number: int) -> None:
        barrier.wait()
        try:
            found[number] = work[number]()
        except Exception as error:  # a thread's error is the test's to look at
            found[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(work))]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    return found


def test_threads_take_turns_with_a_model():
    """Also those of different learners of it; results are those of one thread, and the model is as it was."""
    tasks, model = some_tasks("rows"), Meeting().double()
    learners = [MAML(model, inner_lr=0.3, inner_steps=2), MAML(model, inner_lr=0.3, inner_steps=2, statistics="stored")]
    whole = nn.Sequential(model, nn.Tanh())
    learners += [PrototypicalNetwork(whole), MAML(whole, inner_lr=0.2, inner_steps=1)]  # the same model in another
    work = [
        work
        for learner in learners
        for work in (
            lambda learner=learner: learner.logits(tasks).detach(),
            lambda learner=learner: learner.predict(learner.adapt(tasks[0]), tasks[0]).detach(),
        )
    ]
    expected, before = [each() for each in work], Untouched(model)
    model.waiting = True
    found = in_threads(work)
    assert not model.met.is_set()
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, torch.Tensor), one
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    before.require()


@pytest.mark.parametrize("form", ["rows", "nodes", "graphs"])
def test_one_learner_serves_four_threads(form):
    tasks = some_tasks(form, count=3)
    torch.manual_seed(0)
    learner = MAML(Net(TORCH[nn.BatchNorm1d], form).double(), inner_lr=0.3, inner_steps=2)
    parameters = list(learner.parameters())

    def work() -> list[torch.Tensor]:
        slopes = torch.autograd.grad(learner.meta_loss(tasks), parameters, allow_unused=True)
        return [learner.logits(tasks).detach(), *(slope for slope in slopes if slope is not None)]

    expected, before = work(), Untouched(learner.model)
    for found in in_threads([work] * 4):
        assert isinstance(found, list), found
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    before.require()


def test_evaluations_with_steps_of_their_own_do_not_meet():
    torch.manual_seed(0)
    rows = Rows(torch.randn(80, 5), torch.arange(80) % 4)
    tasks = TaskSet.draw(rows, (0, 1, 2, 3), FewShotProtocol(k_shot=3, n_query=5, n_tasks=6))
    learner = MAML(nn.Linear(5, 2), inner_lr=0.5, inner_steps=3)
    expected = [evaluate(learner, tasks, steps=steps).accuracies for steps in (1, 5, 9, 0)]
    found = in_threads([lambda steps=steps: evaluate(learner, tasks, steps=steps).accuracies for steps in (1, 5, 9, 0)])
    assert found == expected
    assert learner.inner_steps == 3

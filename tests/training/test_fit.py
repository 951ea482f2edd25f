"""The loop: what it selects by, what it never sees, and that stopping it between epochs changes no bit."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from lightning_fabric import Fabric

from graphkit.training import Epoch, TrainingError, recipe
from graphkit.training.classification.closed_form_trainer import classification_trainer
from graphkit.training.classification.tasks import prepare


def fit_of(data, chosen=None, seed=0):
    chosen = chosen or recipe("gcn", {"epochs": 12})
    fabric = Fabric(accelerator="cpu", devices=1)
    task, _ = prepare(data, chosen, fabric.device, torch.float32)
    torch.manual_seed(seed)
    return classification_trainer(chosen.module(task.channels, task.outputs, task.graph), task, chosen, fabric)


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_training_lowers_the_loss_and_learns(data):
    epochs = list(fit_of(data, recipe("gcn", {"epochs": 60, "lr": 0.05})).epochs())
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert max(epoch.figure for epoch in epochs) > 0.8


@pytest.mark.parametrize(
    "model",
    [
        "gcn",
        "sage",
        "gat",
        "gin",
        "cheb",
        "specformer",
        "wavelet",
        "gwnn",
        "grand",
        "deep-gcn",
        "deep-sage",
        "deep-gat",
        "gpr",
        "bernstein",
        "chebii",
        "jacobi",
        "evennet",
        "optbasis",
        "cayley",
        "mlp",
    ],
)
def test_every_recipe_trains(data, model):
    epochs = list(fit_of(data, recipe(model, {"epochs": 3})).epochs())
    assert [epoch.number for epoch in epochs] == [1, 2, 3]
    assert all(math.isfinite(epoch.train_loss) for epoch in epochs)


def test_a_cosine_schedule_falls_from_the_rate_to_nothing_and_a_continuation_knows_where_it_is(data):
    fit, rates, states = fit_of(data, recipe("gcn", {"epochs": 4, "schedule": "cosine"})), [], []
    for _ in fit.epochs():
        rates.append(fit.optimizer.param_groups[0]["lr"])
        states.append(copy.deepcopy(fit.state_dict()))
    expected = [0.01 * (1 + math.cos(math.pi * k / 4)) / 2 for k in range(4)]
    assert rates == pytest.approx(expected)
    other = fit_of(data, recipe("gcn", {"epochs": 4, "schedule": "cosine"}), seed=1)
    other.load_state_dict(states[1])
    list(other.epochs())
    assert same(other.model.state_dict(), fit.model.state_dict())


@pytest.mark.parametrize(("warm_up", "weight"), [(0, 0.7), (1, 0.7), (4, 0.175)])
def test_views_are_asked_to_agree_on_nodes_without_a_label(data, warm_up, weight):
    """The loss written out: draw by draw the same dropout."""
    chosen = recipe("gcn", {"views": 3, "consistency": 0.7, "sharpening": 0.5, "warm_up": warm_up})
    fit = fit_of(data, chosen)
    task, x, graph = fit.task, fit.task.x, fit.task.graph
    torch.manual_seed(5)
    with torch.no_grad():
        views = [fit.model.train()(x, *graph) for _ in range(3)]
    guesses = [view.softmax(-1) for view in views]
    squared = (sum(guesses) / 3).square()
    target = squared / squared.sum(-1, keepdim=True)
    apart = sum((guess - target).square().sum(-1).mean() for guess in guesses) / 3
    rows = task.train
    entropy = sum(torch.nn.functional.cross_entropy(view[rows.index], rows.y) for view in views) / 3
    torch.manual_seed(5)
    torch.testing.assert_close(next(fit.epochs()).train_loss, float(entropy + weight * apart), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", ["gcn", "gat"])
def test_a_state_saved_between_epochs_continues_to_the_same_bits(data, model):
    chosen = recipe(model, {"epochs": 12})
    whole = fit_of(data, chosen)
    list(whole.epochs())

    halved = fit_of(data, chosen)
    epochs = halved.epochs()
    for _ in range(5):
        next(epochs)
    state = copy.deepcopy(halved.state_dict())

    torch.rand(100)  # whatever happens to the generators in between
    continued = fit_of(data, chosen, seed=99)
    continued.load_state_dict(state)
    list(continued.epochs())
    assert continued.history == whole.history
    assert same(continued.model.state_dict(), whole.model.state_dict())
    assert same(continued.best_weights, whole.best_weights)


def test_the_weights_kept_are_those_of_the_selected_epoch(data):
    fit = fit_of(data)
    snapshots = []
    for _ in fit.epochs():
        snapshots.append({name: value.clone() for name, value in fit.model.state_dict().items()})
    assert same(fit.best_weights, snapshots[fit.best.number - 1])


@pytest.mark.parametrize(
    ("select", "chosen"),
    [("accuracy", 3), ("loss", 4), ("last", 5)],
)
def test_selection_follows_its_rule_and_its_ties(data, monkeypatch, select, chosen):
    told = [(0.5, 0.9), (0.8, 0.7), (0.8, 0.5), (0.7, 0.2), (0.8, 0.5)]  # validation accuracy and loss
    fit = fit_of(data, recipe("gcn", {"epochs": 5, "select": select}))
    monkeypatch.setattr(fit, "take_steps", lambda number: 1.0)
    monkeypatch.setattr(fit, "validate", lambda number, _: Epoch(number, 1.0, told[number - 1][1], told[number - 1][0]))
    list(fit.epochs())
    assert fit.best.number == chosen


@pytest.mark.parametrize("better", ["accuracy", "loss"])
def test_patience_counts_epochs_without_an_accuracy_or_loss_as_good_as_the_best(data, monkeypatch, better):
    fit = fit_of(data, recipe("gcn", {"epochs": 100, "patience": 4}))
    figures = [(1.0, 0.5), *([(1.1, 0.6), (1.1, 0.6)] if better == "accuracy" else [(0.9, 0.4), (0.9, 0.4)])]
    told = [*figures, *[(1.2, 0.3)] * 97]  # after the first, one of loss and accuracy is better and then as good
    monkeypatch.setattr(fit, "take_steps", lambda number: 1.0)
    monkeypatch.setattr(fit, "validate", lambda number, _: Epoch(number, 1.0, *told[number - 1]))
    assert [epoch.number for epoch in fit.epochs()][-1] == 7


def test_patience_of_zero_runs_all_epochs(data, monkeypatch):
    fit = fit_of(data, recipe("gcn", {"epochs": 20, "patience": 0}))
    monkeypatch.setattr(fit, "take_steps", lambda number: 1.0)
    monkeypatch.setattr(fit, "validate", lambda number, _: Epoch(number, 1.0, 1.0, 0.5))
    assert len(list(fit.epochs())) == 20


def test_a_loss_that_is_not_finite_stops_with_the_best_epoch_so_far_kept(data, monkeypatch):
    fit = fit_of(data)
    monkeypatch.setattr(fit, "take_steps", lambda number: 1.0)
    monkeypatch.setattr(fit, "validate", lambda number, _: Epoch(number, math.nan if number == 3 else 1.0, 1.0, 0.5))
    with pytest.raises(TrainingError, match=r"not finite in epoch 3 \(the best before it was epoch 1"):
        list(fit.epochs())
    assert fit.best.number == 1


def test_a_learning_rate_beyond_all_reason_is_such_a_loss(data):
    with pytest.raises(TrainingError, match="try a smaller `lr`"):
        list(fit_of(data, recipe("mlp", {"epochs": 50, "lr": 1e38, "dropout": 0})).epochs())


def test_the_task_holds_no_label_of_a_test_node(data):
    task, test = prepare(data, recipe("gcn"), torch.device("cpu"), torch.float32)
    seen = set(task.train.index.tolist()) | set(task.validation.index.tolist())
    assert not seen & set(test.index.tolist())
    assert len(task.train.y) + len(task.validation.y) == len(seen)


def test_a_filters_coefficients_have_rates_of_their_own(data):
    """Every parameter is in one group; the damping factors of Jacobi's terms are apart from the coefficients."""
    fit = fit_of(data, recipe("jacobi", {"epochs": 1, "filter_lr": 0.03, "factor_lr": 0.02, "filter_l2": 0.5}))
    groups = fit.optimizer.param_groups
    assert sorted(group["lr"] for group in groups) == [0.02, 0.03, 0.05]
    assert [group["weight_decay"] for group in groups if group["lr"] == 0.03] == [0.5]
    assert sum(len(group["params"]) for group in groups) == len(list(fit.model.parameters()))


def test_decay_acts_on_the_first_layer_alone_unless_asked(data):
    first = fit_of(data).optimizer.param_groups
    assert [group["weight_decay"] for group in first] == [5e-4, 0.0]
    everything = fit_of(data, recipe("gcn", {"l2_on": "all"})).optimizer.param_groups
    assert [group["weight_decay"] for group in everything] == [5e-4]


def test_features_below_the_density_of_the_recipe_are_kept_sparse(data):
    data.x = torch.eye(90)
    sparse, _ = prepare(data, recipe("gcn"), torch.device("cpu"), torch.float32)
    dense, _ = prepare(data, recipe("gcn", {"sparse_below": 0}), torch.device("cpu"), torch.float32)
    assert not isinstance(sparse.x, torch.Tensor)
    torch.testing.assert_close(sparse.x.to_dense(), dense.x, rtol=0, atol=0)


def test_features_are_scaled_to_the_sum_that_is_asked_for_and_empty_rows_stay_empty(data):
    data.x[0], data.x[1] = 0.0, torch.tensor([-1.0, 1.0, 2.0])
    for total, scaled in ((True, [-0.25, 0.25, 0.5]), (8, [-2.0, 2.0, 4.0]), (False, [-1.0, 1.0, 2.0])):
        task, _ = prepare(data, recipe("gcn", {"row_normalise": total}), torch.device("cpu"), torch.float32)
        assert task.x[0].tolist() == [0, 0, 0]
        assert task.x[1].tolist() == scaled


def _spoil(data, what):
    if what == "nan":
        data.x[3, 1] = math.nan
    elif what == "complex labels":
        data.y = data.y.cfloat()
    elif what == "negative label":
        data.y[0] = -1
    elif what == "no mask":
        del data.val_mask
    elif what == "overlap":
        data.val_mask = data.train_mask
    elif what == "no test node":
        data.test_mask = torch.zeros_like(data.test_mask)
    elif what == "many splits":
        for name in ("train_mask", "val_mask", "test_mask"):
            data[name] = data[name][:, None].repeat(1, 10)
    elif what == "far node":
        data.edge_index[0, 0] = 90
    return data


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nan", "`x` must be finite, but 1 of its values"),
        ("complex labels", "must hold a class of each item"),
        ("negative label", "must be 0 or above"),
        ("no mask", "`val_mask` is missing"),
        ("overlap", "must be disjoint"),
        ("no test node", "`test_mask` is empty"),
        ("many splits", "`train_mask` holds 10 splits"),
        ("far node", "found 90"),
    ],
)
def test_unsound_data_is_refused_before_anything_is_trained(data, what, message):
    with pytest.raises(ValueError, match=message):
        prepare(_spoil(data, what), recipe("gcn"), torch.device("cpu"), torch.float32)


def test_going_back_to_a_state_forgets_what_came_after_it(data):
    fit = fit_of(data)
    epochs = fit.epochs()
    next(epochs)
    state = copy.deepcopy(fit.state_dict())
    next(epochs)
    fit.load_state_dict(state)
    assert [epoch.number for epoch in fit.history] == [1]

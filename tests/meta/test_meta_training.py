"""Meta-training and the older ways: what is selected, what is learnt, and that frozen parts stay."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.meta import (
    MAML,
    Evaluation,
    FeatureWeights,
    FewShotProtocol,
    MetaStep,
    MetaTrainer,
    MetaTraining,
    MetaTrainingResult,
    Nodes,
    ProtoMAML,
    PrototypicalNetwork,
    Rows,
    TaskSet,
    evaluate,
    logistic_regression,
    meta_train,
    pretrain,
)


@pytest.fixture
def noisy() -> Rows:
    """Six classes in two of twenty features; the others are noise of larger size."""
    drawn = torch.Generator().manual_seed(0)
    y = torch.arange(240) % 6
    angle = y * torch.pi / 3
    signal = torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(240, 2, generator=drawn)
    return Rows(torch.cat([signal, 0.7 * torch.randn(240, 18, generator=drawn)], 1), y)


def parts(rows, shots=3):
    sizes = (((0, 1, 2), 40, 2), ((3, 4), 20, 1), ((4, 5), 20, 0))
    return [TaskSet.draw(rows, c, FewShotProtocol(k_shot=shots, n_query=6, n_tasks=n, seed=s)) for c, n, s in sizes]


@pytest.mark.parametrize("made", [PrototypicalNetwork, ProtoMAML])
def test_weights_of_features_learn_to_leave_noise_out(noisy, made):
    train, validation, test = parts(noisy)
    learner = made(FeatureWeights(20))
    before = evaluate(learner, test).mean
    found = meta_train(learner, [train], validation, MetaTraining(steps=80, every=10, lr=0.05))
    assert isinstance(found, MetaTrainingResult)
    assert evaluate(learner, test).mean > before + 0.1
    weights = learner.model.weight.detach().abs()
    assert weights[:2].min() > 2 * weights[2:].mean()


def test_weights_of_features_begin_by_changing_nothing(noisy):
    test = parts(noisy)[2]
    plain, weighted = (PrototypicalNetwork(model).logits(list(test)) for model in (nn.Identity(), FeatureWeights(20)))
    assert torch.equal(plain, weighted)


def test_the_step_best_on_validation_tasks_is_kept_the_start_among_them(noisy):
    train, validation, _ = parts(noisy)
    learner = MAML(nn.Linear(20, 2), inner_lr=0.5, inner_steps=2)
    found = meta_train(learner, [train], validation, MetaTraining(steps=12, every=3))
    assert evaluate(learner, validation).mean == found.validation
    start = copy.deepcopy(learner.state_dict())
    ruined = meta_train(learner, [train], validation, MetaTraining(steps=3, every=1, lr=1e4))
    assert ruined.step == 0
    assert all(torch.equal(value, learner.state_dict()[name]) for name, value in start.items())


@pytest.mark.parametrize(("margin", "selected"), [(0.0, 3), (1.0, 1), (2.0, 2), (40.0, 0)])
def test_a_margin_leaves_a_step_only_for_one_that_is_surely_better(margin, selected, noisy, monkeypatch):
    """The gains over the start in turn: .05 with a standard error of .04, .048 with .002, .06 with .04."""
    train, validation, _ = parts(noisy)
    swing = torch.tensor([1.0, -1.0]).repeat(10).double() * 19**0.5  # its mean has a standard error of 1
    looks = [0.5 + gain + error * swing for gain, error in ((0, 0), (0.05, 0.04), (0.048, 0.002), (0.06, -0.04))]
    found = iter(Evaluation(tuple(look.tolist()), validation.fingerprint) for look in looks)
    monkeypatch.setattr("graphkit.meta.meta_training.evaluate", lambda *_, **__: next(found))
    options = MetaTraining(steps=3, every=1, margin=margin)
    assert meta_train(PrototypicalNetwork(nn.Linear(20, 2)), [train], validation, options).step == selected


def test_a_trainer_gives_the_figures_of_each_step_and_has_nothing_to_select_before_the_first(noisy):
    train, validation, _ = parts(noisy)
    learner = PrototypicalNetwork(nn.Linear(20, 3))
    trainer = MetaTrainer(learner, [train], validation, MetaTraining(steps=5, every=2))
    with pytest.raises(ValueError, match="nothing to select"):
        trainer.select()
    steps = list(trainer.steps())
    assert [type(step) for step in steps] == [MetaStep] * 5
    assert [step.number for step in steps] == [1, 2, 3, 4, 5]
    assert [step.train_loss for step in steps] == list(trainer.select().losses)
    assert steps[2].validation == steps[1].validation  # the third is not looked at
    assert max(step.figure for step in steps) <= evaluate(learner, validation).mean


def test_several_graphs_take_turns(noisy):
    seen = []

    class Watched(PrototypicalNetwork):
        def meta_loss(self, tasks):
            seen.append(tasks[0].items)
            return super().meta_loss(tasks)

    train, validation, _ = parts(noisy)
    other = Rows(noisy.x + 1, noisy.y)
    meta_train(Watched(nn.Linear(20, 3)), [train, train.with_items(other)], validation, MetaTraining(steps=4))
    assert seen == [noisy, other, noisy, other]


def test_first_order_comes_first_and_the_learner_is_exact_again(noisy):
    train, validation, _ = parts(noisy)
    learner = MAML(nn.Linear(20, 2), inner_steps=1)
    meta_train(learner, [train], validation, MetaTraining(steps=4, first_order=0.5))
    assert learner.order == 2


def test_more_steps_may_be_taken_on_test_tasks_than_in_training(noisy):
    test = parts(noisy)[2]
    learner = MAML(nn.Linear(20, 2), inner_lr=0.3, inner_steps=1)
    longer = MAML(learner.model, inner_lr=0.3, inner_steps=9)
    assert evaluate(learner, test, steps=9).accuracies == evaluate(longer, test).accuracies
    assert learner.inner_steps == 1


def test_a_meta_loss_that_is_not_finite_is_told(noisy):
    train, validation, _ = parts(noisy)
    learner = MAML(nn.Sequential(nn.Linear(20, 5), nn.Linear(5, 2)), inner_lr=0.1, inner_steps=4)
    with pytest.raises(ValueError, match="meta-loss is not finite in step 2; try a smaller `inner_lr`"):
        meta_train(learner, [train], validation, MetaTraining(steps=3, lr=1e30))


def test_a_learner_that_diverges_on_the_validation_tasks_is_told(noisy):
    train, validation, _ = parts(noisy)
    learner = MAML(nn.Linear(20, 2), inner_lr=3e38, inner_steps=4)
    with pytest.raises(ValueError, match=r"`learner` gave NaN, infinite or huge logits in \d+ of 20 tasks"):
        meta_train(learner, [train], validation, MetaTraining(steps=2))


@pytest.mark.parametrize("calibrate", [0, 1, 3])
def test_logistic_regression_is_that_of_pytorch(noisy, calibrate):
    """Minimised by L-BFGS on the same objective: the query stands in it as it was guessed the time before."""
    tasks = TaskSet.draw(noisy, (0, 1), FewShotProtocol(k_shot=4, n_query=8, n_tasks=3))
    found = logistic_regression(tasks, strength=2.0, calibrate=calibrate)
    x, accuracies = F.normalize(noisy.x.double(), dim=-1), []
    for task in tasks:
        support, query = (x[part.flatten()] for part in (task.episode.support, task.episode.query))
        rows, targets = support, task.episode.support_y.double()
        for _ in range(calibrate + 1):
            guesses = (minimised_logistic(rows, targets, strength=2.0)(query) > 0).double()
            rows, targets = torch.cat((support, query)), torch.cat((task.episode.support_y.double(), guesses))
        accuracies.append((guesses == task.episode.query_y).double().mean().item())
    assert found.accuracies == tuple(accuracies)
    assert found.calibrated == (calibrate > 0)


def minimised_logistic(rows, targets, *, strength):
    w, b = (torch.zeros(n, dtype=torch.double, requires_grad=True) for n in (rows.size(1), 1))
    optimizer = torch.optim.LBFGS([w, b], max_iter=200, tolerance_grad=1e-10)

    def closure():
        optimizer.zero_grad()
        loss = strength * F.binary_cross_entropy_with_logits(rows @ w + b, targets, reduction="sum")
        loss = loss + w.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    return lambda x: (x @ w + b).detach()


def test_a_logistic_regression_gains_by_balanced_calibration():
    """One labelled item says little of where a class ends; that both hold as many tells the rest."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(200) % 2
    x = torch.randn(200, 10, generator=generator) + 3 * F.one_hot(y, 10)
    tasks = TaskSet.draw(Rows(x, y), (0, 1), FewShotProtocol(k_shot=1, n_query=8, n_tasks=20))
    plain = logistic_regression(tasks, strength=10.0).mean
    assert plain + 0.02 < logistic_regression(tasks, strength=10.0, calibrate=5, balanced=True).mean


def test_pre_training_tells_the_training_classes_apart(noisy):
    body = nn.Sequential(nn.Linear(20, 16), nn.ReLU())
    test = parts(noisy)[2]
    before = evaluate(PrototypicalNetwork(body), test).mean
    pretrain(body, 16, [(noisy, (0, 1, 2, 3))], epochs=100)
    assert evaluate(PrototypicalNetwork(body), test).mean > before


def test_what_cannot_be_trained_is_refused(noisy):
    train, validation, _ = parts(noisy)
    with pytest.raises(ValueError, match="`train` must hold at least one set"):
        meta_train(PrototypicalNetwork(nn.Linear(20, 2)), [], validation, MetaTraining())
    with pytest.raises(ValueError, match="`first_order` must lie in"):
        MetaTraining(first_order=2.0)
    with pytest.raises(ValueError, match="`lr` must be"):
        MetaTraining(lr=0.0)
    for margin in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`margin` must be a finite number of at least 0"):
            MetaTraining(margin=margin)
    nodes = Nodes(noisy.x, torch.zeros(2, 0, dtype=torch.long), noisy.y)
    with pytest.raises(TypeError, match="`tasks` must be of rows"):
        logistic_regression(train.with_items(nodes))


class Enough(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 5, 9, 12])
@pytest.mark.parametrize("made", ["maml", "dropout", "prototypes"])
def test_a_training_that_was_stopped_goes_on_to_the_same_numbers(stop, made, noisy, tmp_path):
    train, validation, _ = parts(noisy)
    first_order = 0.0 if made == "prototypes" else 0.5
    options = MetaTraining(steps=12, every=3, lr=0.05, first_order=first_order, margin=0.5)

    def learner():
        torch.manual_seed(4)
        body = nn.Sequential(nn.Linear(20, 6), nn.Dropout(0.3), nn.Linear(6, 2))
        if made == "prototypes":
            return PrototypicalNetwork(body)
        return MAML(body, inner_lr=0.3, inner_steps=2, dropout=made == "dropout")

    whole = learner()
    torch.manual_seed(7)
    expected = meta_train(whole, [train, train], validation, options)

    def keep(state):
        found = state()
        if found["step"] == stop:
            torch.save(found, tmp_path / "state.pt")
            raise Enough

    stopped = learner()
    torch.manual_seed(7)
    with pytest.raises(Enough):
        meta_train(stopped, [train, train], validation, options, checkpoint=keep)
    torch.manual_seed(99)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    other = learner()
    torch.nn.init.zeros_(other.model[0].weight)  # nothing of the new learner is left
    found = meta_train(other, [train, train], validation, options, state=state)
    assert found == expected
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in other.state_dict().items())


def test_a_state_of_another_training_is_refused(noisy):
    train, validation, _ = parts(noisy)
    states = []
    learner = PrototypicalNetwork(nn.Linear(20, 2))
    meta_train(learner, [train], validation, MetaTraining(steps=2), checkpoint=lambda state: states.append(state()))
    assert [state["step"] for state in states] == [1, 2]
    refused = pytest.raises(ValueError, match="`state` is of a training of another learner, or with other tasks")
    with refused:
        meta_train(learner, [train], validation, MetaTraining(steps=3), state=states[0])
    others = (PrototypicalNetwork(nn.Linear(20, 2), temperature=0.2), MAML(nn.Linear(20, 2)))
    for other, state in ((others[0], states[0]), (others[1], states[0]), (learner, {"step": 1})):
        with refused:
            meta_train(other, [train], validation, MetaTraining(steps=2), state=state)


SETTINGS = {
    "maml": "[('dropout', False), ('statistics', 'task'), ('whole', False), ('temperature', None), ('inner_lr', 1.0), "
    "('inner_steps', 5), ('order', 2), ('multi_step', 0.0), ('rates', None)]",
    "prototypes": "[('dropout', False), ('statistics', 'task'), ('whole', False), ('similarity', 'cosine'), "
    "('temperature', 0.1)]",
}
"""What version 0.1 wrote into a state of a learner's settings."""


@pytest.mark.parametrize("name", SETTINGS)
def test_a_state_of_the_version_before_is_gone_on_with(name, noisy):
    """It holds the learner's settings as they were written then."""
    train, validation, _ = parts(noisy)
    options = MetaTraining(steps=2, every=1)
    kind, given = {"maml": (MAML, {"inner_lr": 1}), "prototypes": (PrototypicalNetwork, {})}[name]
    learner, states = kind(nn.Linear(20, 2), **given), []
    found = meta_train(learner, [train], validation, options, checkpoint=lambda state: states.append(state()))
    written = states[0]
    written["identity"] = [
        "MetaTraining(steps=2, batch=8, lr=0.01, cosine=True, first_order=0.0, test_steps=0, every=1, margin=0.0)",
        kind.__name__,
        SETTINGS[name],
        train.fingerprint,
        validation.fingerprint,
    ]
    del written["looks"]  # which came later
    assert written.keys() == {
        *("identity", "step", "best", "chosen", "losses", "learner", "optimizer", "weights", "generator")
    }
    assert meta_train(kind(nn.Linear(20, 2), **given), [train], validation, options, state=written) == found


def test_another_inner_loop_is_another_learner_of_the_same_model(noisy):
    train = parts(noisy)[0]
    learner = MAML(nn.Linear(20, 2), inner_lr=0.3, inner_steps=2)
    other = learner.with_inner_loop(steps=3, order=1)
    assert (learner.inner_steps, learner.order, other.inner_steps, other.order) == (2, 2, 3, 1)
    assert other.model is learner.model
    expected = MAML(learner.model, inner_lr=0.3, inner_steps=3, order=1)
    assert torch.equal(other.meta_loss(list(train[:3])), expected.meta_loss(list(train[:3])))
    with pytest.raises(ValueError, match="`inner_steps` must be an integer of at least 0"):
        learner.with_inner_loop(steps=-1)
    for name in ("inner_lr", "inner_steps", "order", "multi_step"):
        with pytest.raises(AttributeError, match="has no setter"):
            setattr(learner, name, 1)


def test_a_method_under_its_old_name_would_never_be_called_and_is_refused():
    with pytest.raises(TypeError, match=r"Own\.adapted would never be called: it is `adapt_to_support` now"):
        type("Own", (ProtoMAML,), {"adapted": lambda *_: {}})
    with pytest.raises(TypeError, match=r"Own\.path would never be called: it is `trajectory` now"):
        type("Own", (ProtoMAML,), {"path": lambda *_: []})

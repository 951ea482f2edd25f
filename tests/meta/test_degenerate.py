"""Rows without a direction, a difference, or room in their type: derivatives are finite, and scale does not matter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from graphkit.meta import (
    MAML,
    AbstractLearner,
    FeatureWeights,
    FewShotProtocol,
    KernelRidge,
    ProtoMAML,
    PrototypicalNetwork,
    Reptile,
    Rows,
    SemiSupervisedProtoMAML,
    SemiSupervisedPrototypes,
    SiameseNetwork,
    TaskSet,
    ViewRidge,
    WithinClassWhitening,
    calibrated_logits,
    evaluate,
    logistic_regression,
)
from graphkit.meta.learners import prototypical
from tests.meta import test_learners

Make = Callable[[nn.Module, Tensor], AbstractLearner]
"""From a model and unlabelled rows to a learner."""

BY_DIRECTION: dict[str, Make] = {
    "prototypes": lambda model, _: PrototypicalNetwork(model),
    "prototypes, semi-supervised": SemiSupervisedPrototypes,
    "siamese": lambda model, _: SiameseNetwork(model),
    "ridge": lambda model, _: KernelRidge(model),
    "ridge, with an intercept": lambda model, _: KernelRidge(model, intercept=True),
    "ridge, semi-supervised": lambda model, rows: KernelRidge(model, rows, nearest=3),
    "protomaml": lambda model, _: ProtoMAML(model, inner_steps=2),
    "protomaml, semi-supervised": lambda model, rows: SemiSupervisedProtoMAML(model, rows, inner_steps=2),
}
"""Learners that look at directions alone, so that the scale of rows does not matter."""
BY_VALUE: dict[str, Make] = {
    "prototypes, euclidean": lambda model, _: PrototypicalNetwork(model, similarity="euclidean"),
    "maml": lambda model, _: MAML(nn.Sequential(model, nn.Linear(4, 2).to(torch.float64)), inner_steps=2),
    "fomaml": lambda model, _: MAML(nn.Sequential(model, nn.Linear(4, 2).double()), inner_steps=2, order=1),
    "ridge on views": lambda model, _: ViewRidge(model, views=1),
    "ridge on views, semi-supervised": lambda model, rows: ViewRidge(model, rows, views=1, nearest=3),
    "reptile": lambda model, _: Reptile(nn.Sequential(model, nn.Linear(4, 2).double()), inner_steps=2),
}

Y = torch.arange(40) % 2
TASKS = TaskSet.draw(Rows(torch.zeros(40, 1), Y), (0, 1), FewShotProtocol(k_shot=3, n_query=4, n_tasks=2))
SUPPORT, QUERY = TASKS[0].episode.support.flatten(), TASKS[0].episode.query.flatten()


def drawn() -> Tensor:
    return torch.randn(40, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + Y[:, None]


def with_rows(index: Tensor, value: float | Tensor) -> Tensor:
    x = drawn()
    x[index] = value
    return x


def opposed() -> Tensor:
    """The support of the first class cancels but for rounding."""
    x = drawn()
    x[SUPPORT[1]], x[SUPPORT[2]] = -x[SUPPORT[0]], 0.0
    x[SUPPORT[1]] *= 1 / 3
    return x


KINDS: dict[str, Callable[[], Tensor]] = {
    "a zero row in the support": lambda: with_rows(SUPPORT[:1], 0.0),
    "a zero row in the query": lambda: with_rows(QUERY[:1], 0.0),
    "a class of zero rows": lambda: with_rows(Y == 0, 0.0),
    "zero rows alone": lambda: torch.zeros(40, 4, dtype=torch.float64),
    "one row everywhere": lambda: torch.full((40, 4), 0.1, dtype=torch.float64),
    "duplicates": lambda: drawn()[:4].repeat(10, 1),
    "a constant column": lambda: torch.cat([drawn()[:, :3], torch.full((40, 1), 7.0)], 1),
    "opposed rows": opposed,
    "one feature": lambda: torch.cat([drawn()[:, :1], torch.zeros(40, 3, dtype=torch.float64)], 1),
    "a huge row": lambda: with_rows(SUPPORT[:1], 1e100),
    "a tiny row": lambda: with_rows(SUPPORT[:1], 1e-100),
}
SCALES = {torch.float64: (2.0**-300, 2.0**300), torch.float32: (2.0**-60, 2.0**60), torch.float16: (2.0**-6, 2.0**6)}


def learner_of(make: Make, x: Tensor) -> tuple[AbstractLearner, list]:
    tasks = list(TASKS.with_items(Rows(x, Y)))
    return make(FeatureWeights(4), x[:9]).to(x.dtype), tasks


def requires_finite_derivatives(learner: AbstractLearner, tasks: list, times: int, largest: float = 1e6) -> None:
    """Of the meta-loss, in the parameters, as often as promised, and of a size that a step can be taken with."""
    parameters = list(learner.parameters())
    loss = learner.meta_loss(tasks)
    assert loss.isfinite()
    for _ in range(times):
        slopes = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
        known = [slope for slope in slopes if slope is not None]
        assert all(bool(slope.isfinite().all()) for slope in known)
        assert all(float(slope.detach().abs().max()) < largest for slope in known)
        loss = sum(slope.square().sum() for slope in known)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BY_DIRECTION)
def test_directions_that_do_not_exist_have_finite_derivatives(name, kind):
    requires_finite_derivatives(*learner_of(BY_DIRECTION[name], KINDS[kind]()), times=2)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "a huge row"])
@pytest.mark.parametrize("name", BY_VALUE)
def test_learners_by_value_have_finite_derivatives(name, kind):
    times = 1 if name in ("fomaml", "reptile") else 2
    requires_finite_derivatives(*learner_of(BY_VALUE[name], KINDS[kind]()), times=times)


@pytest.mark.parametrize("dtype", SCALES)
@pytest.mark.parametrize("name", BY_DIRECTION)
def test_the_scale_of_rows_does_not_matter(name, dtype):
    """Powers of two, so that nothing is rounded: of all rows, and of one, and in the type's own small numbers."""
    x = drawn().to(dtype)
    learner, tasks = learner_of(BY_DIRECTION[name], x)
    expected = learner.logits(tasks)
    assert expected.dtype == dtype
    for scale in SCALES[dtype]:
        other, scaled = learner_of(BY_DIRECTION[name], x * scale)
        torch.testing.assert_close(other.logits(scaled), expected, rtol=0, atol=0)
        one = x.clone()
        one[SUPPORT[0]] *= scale
        other, scaled = learner_of(BY_DIRECTION[name], one)
        torch.testing.assert_close(other.logits(scaled)[0], expected[0], rtol=0, atol=0)


@pytest.mark.parametrize("name", BY_DIRECTION)
def test_half_precision_is_the_rounded_result(name):
    """Tolerances: logits are cosines over a temperature of 0.1, whose last digits are 0.008 and 0.06."""
    x = drawn().half()
    learner, tasks = learner_of(BY_DIRECTION[name], x.double())
    expected = learner.logits(tasks)
    for dtype, tolerance in ((torch.float16, 0.1), (torch.bfloat16, 0.8)):
        learner, tasks = learner_of(BY_DIRECTION[name], x.to(dtype))
        found = learner.logits(tasks)
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance)
        requires_finite_derivatives(learner, tasks, times=1)


def test_euclidean_prototypes_do_not_depend_on_the_origin():
    x, learner = drawn(), PrototypicalNetwork(nn.Identity(), similarity="euclidean")
    expected = learner.logits(list(TASKS.with_items(Rows(x, Y))))
    found = learner.logits(list(TASKS.with_items(Rows(x + 2.0**26, Y))))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)  # features themselves are rounded to 1e-8


def test_the_prototypes_of_the_report():
    """A zero row is of no direction and moves no prototype: the class's is that of its other row."""
    x = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 3.0]], requires_grad=True)
    found = prototypical.prototypes(x, torch.tensor([0, 0, 1, 1]), 2)
    torch.testing.assert_close(found, torch.eye(2))
    (slope,) = torch.autograd.grad((found @ torch.tensor([1.0, 2.0])).sum(), x, create_graph=True)
    torch.testing.assert_close(slope, torch.tensor([[0.0, 2.0], [0.0, 0.0], [0.5, 0.0], [1 / 6, 0.0]]))
    (second,) = torch.autograd.grad(slope.square().sum(), x)
    assert second.isfinite().all()


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_calibration_is_finite(kind, balanced):
    x = KINDS[kind]()
    found = calibrated_logits(x[SUPPORT], TASKS[0].episode.support_y, x[QUERY], ways=2, balanced=balanced)
    assert found.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_learner_is_evaluated_on_them(kind):
    for make in BY_DIRECTION.values():
        learner, tasks = learner_of(make, KINDS[kind]())
        found = evaluate(learner, TASKS.with_items(tasks[0].items))
        assert all(0 <= accuracy <= 1 for accuracy in found.accuracies)
    logistic_regression(TASKS.with_items(Rows(KINDS[kind](), Y)))


def whitened(x: Tensor) -> Tensor:
    return WithinClassWhitening([(Rows(x, Y), (0, 1))])(x)


@pytest.mark.parametrize("dtype", SCALES)
def test_whitening_does_not_depend_on_scale(dtype):
    x = drawn().to(dtype)
    for scale in SCALES[dtype]:
        found = whitened(x * scale) / scale
        torch.testing.assert_close(found, whitened(x), rtol=0, atol=64 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("zero rows alone", "one row everywhere")])
def test_whitening_is_finite(kind):
    found = whitened(KINDS[kind]())
    assert found.isfinite().all()


def test_whitening_of_few_directions_does_not_depend_on_scale(monkeypatch):
    monkeypatch.setattr("graphkit.meta.baselines.MAX_DIRECTIONS", 2)
    x = drawn()
    for scale in SCALES[torch.float64]:
        torch.testing.assert_close(whitened(x * scale) / scale, whitened(x), rtol=0, atol=1e-12)


def test_whitening_of_rows_that_are_not_numbers_is_refused():
    with pytest.raises(ValueError, match="`sources` must be finite"):
        whitened(with_rows(SUPPORT[:1], torch.nan))
    with pytest.raises(ValueError, match=r"`tasks\.items\.x` must be finite"):
        logistic_regression(TASKS.with_items(Rows(with_rows(SUPPORT[:1], torch.nan), Y)))


def test_every_learner_is_looked_at():
    """One of each class that the other tests have, in one of the tables above."""
    made = {type(make(FeatureWeights(4), drawn()[:9])) for make in (BY_DIRECTION | BY_VALUE).values()}
    known = {type(make()) for make in test_learners.LEARNERS.values()}
    assert {kind.__name__ for kind in known - made} == {"ANIL", "MetaSGD"}  # MAML's loss and MAML's model

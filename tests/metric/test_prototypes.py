"""Prototypes and what agrees through them, against loops; gradients; edge cases."""

from __future__ import annotations

import math

import pytest
import torch

from graphkit.metric import PrototypeLoss, class_prototypes, consistency, telemetry


def looped(z, y, temperature):
    unit = [row / row.norm() for row in z]
    means = {}
    for label in sorted({int(k) for k in y if k >= 0}):
        total = sum(unit[i] for i in range(len(y)) if y[i] == label)
        means[label] = total / total.norm()
    losses = []
    for i in range(len(y)):
        if y[i] >= 0:
            scores = {label: float(unit[i] @ mean) / temperature for label, mean in means.items()}
            losses.append(-scores[int(y[i])] + math.log(sum(math.exp(s) for s in scores.values())))
    return sum(losses) / len(losses)


def test_the_loss_is_the_loops(generator):
    z = torch.randn(9, 4, generator=generator).double()
    y = torch.tensor([5, 5, 2, 2, 2, 9, -1, 9, 5])
    assert PrototypeLoss(0.3)(z, y).item() == pytest.approx(looped(z, y, 0.3), abs=1e-12)


def test_gradients_are_right_twice(generator):
    z = torch.randn(6, 3, generator=generator).double().requires_grad_()
    y = torch.tensor([0, 0, 1, 1, 2, -1])
    assert torch.autograd.gradcheck(lambda z: PrototypeLoss(0.5)(z, y), z)
    assert torch.autograd.gradgradcheck(lambda z: PrototypeLoss(0.5)(z, y), z)


def test_a_reference_makes_the_prototypes(generator):
    z, reference = torch.randn(4, 3, generator=generator), torch.randn(6, 3, generator=generator)
    y, known = torch.tensor([1, 1, 3, 3]), torch.tensor([1, 2, 3, 1, 2, 3])
    prototypes = class_prototypes(reference, known)
    logits = prototypes.logits(z, 0.2)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 0, 2, 2]))
    torch.testing.assert_close(PrototypeLoss(0.2)(z, y, reference=(reference, known)), expected)


def test_of_several_attributes_one_or_the_mean_of_all_is_looked_at(generator):
    z, loss = torch.randn(2, 6, 3, generator=generator), PrototypeLoss()
    y = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, -1]])
    each = torch.stack([loss(z[c], y[:, c]) for c in (0, 1)])
    torch.testing.assert_close(loss(z, y), each.mean())
    torch.testing.assert_close(loss(z, y, condition=1), each[1])
    torch.testing.assert_close(loss(z[0], y, condition=0, reference=(z[0], y)), each[0])


def test_it_reports_how_the_classes_lie_by_cosine(generator):
    z, y = torch.randn(6, 3, generator=generator), torch.tensor([0, 0, 1, 1, 2, -1])
    assert PrototypeLoss().report(z, y) == telemetry(z, y, distance="cosine").with_active(1.0)
    assert PrototypeLoss().report(z[:2], y[:2]).active == 0


@pytest.mark.parametrize("y", [[-1, -1, -1], [0, 0, 0]], ids=["no label", "one class"])
def test_what_cannot_be_told_apart_is_a_zero_loss_with_a_gradient(y):
    z = torch.randn(3, 2, requires_grad=True)
    loss = PrototypeLoss()(z, torch.tensor(y))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-7)
    torch.testing.assert_close(z.grad, torch.zeros_like(z), atol=1e-6, rtol=0)


def test_agreement_is_the_papers_formula(generator):
    views = [torch.rand(5, 3, generator=generator).double().softmax(-1) for _ in range(3)]
    mean = sum(views) / 3
    sharp = mean**2 / (mean**2).sum(1, keepdim=True)
    expected = sum(((view - sharp) ** 2).sum(1).mean() for view in views) / 3
    torch.testing.assert_close(consistency(views, sharpening=0.5), expected)


def test_no_gradient_flows_through_the_sharpened_mean():
    guess = torch.tensor([[0.7, 0.3]], requires_grad=True)
    consistency([guess]).backward()
    sharp = torch.tensor([0.49, 0.09]) / 0.58
    torch.testing.assert_close(guess.grad, 2 * (torch.tensor([[0.7, 0.3]]) - sharp))


WRONG = {
    "temperature": (lambda: PrototypeLoss(0.0), ValueError, "`temperature` must be a finite number above 0"),
    "NaN temperature": (lambda: PrototypeLoss(math.nan), ValueError, "`temperature` must be a finite number above 0"),
    "float labels": (lambda: PrototypeLoss()(torch.eye(2), torch.ones(2)), TypeError, "`y` must hold integers"),
    "length": (lambda: PrototypeLoss()(torch.eye(2), torch.ones(3).long()), ValueError, "`y` must have shape"),
    "NaN": (lambda: PrototypeLoss()(torch.eye(2) * torch.nan, torch.ones(2).long()), ValueError, "must be finite"),
    "unknown class": (
        lambda: PrototypeLoss()(torch.eye(2), torch.tensor([0, 7]), reference=(torch.eye(2), torch.tensor([0, 1]))),
        ValueError,
        "`reference` must hold every class",
    ),
    "unlabelled reference": (
        lambda: PrototypeLoss()(torch.eye(2), torch.tensor([0, 1]), reference=(torch.eye(2), torch.tensor([-1, -1]))),
        ValueError,
        "`reference` must hold every class",
    ),
    "empty reference": (
        lambda: PrototypeLoss()(
            torch.eye(2), torch.tensor([0, 1]), reference=(torch.eye(2)[:0], torch.tensor([0])[:0])
        ),
        ValueError,
        "`reference` must hold every class",
    ),
    "reference without labels": (
        lambda: PrototypeLoss()(torch.eye(2), torch.tensor([0, 1]), reference=torch.eye(2)),
        ValueError,
        "without labels nothing",
    ),
    "reference with None": (
        lambda: PrototypeLoss()(torch.eye(2), torch.tensor([0, 1]), reference=(torch.eye(2), None)),
        ValueError,
        "without labels nothing",
    ),
    "reference width": (
        lambda: PrototypeLoss()(torch.eye(2), torch.tensor([0, 1]), reference=(torch.eye(3), torch.tensor([0, 1, 1]))),
        ValueError,
        "`reference` must have 2 features",
    ),
    "NaN reference": (
        lambda: PrototypeLoss()(torch.eye(2), torch.tensor([0, 1]), reference=(torch.eye(2) / 0, torch.tensor([0, 1]))),
        ValueError,
        "`reference` must be finite",
    ),
    "pairs": (
        lambda: PrototypeLoss()(torch.eye(2), torch.tensor([0, 1]), pairs=(torch.tensor([0]),) * 3),
        ValueError,
        "`pairs` mean nothing here",
    ),
    "no labels": (lambda: PrototypeLoss()(torch.eye(2)), ValueError, "`y` must hold the labels"),
    "condition of one attribute": (
        lambda: PrototypeLoss()(torch.eye(2), torch.tensor([0, 1]), condition=0),
        ValueError,
        "labels of several",
    ),
    "no label": (lambda: class_prototypes(torch.eye(2), torch.tensor([-1, -1])), ValueError, "at least one item"),
    "no view": (lambda: consistency([]), ValueError, "`views` must hold"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_refused(case):
    call, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        call()
